//! Keys that an issuer publishes: fetched beside everything else, and never waited for.

mod host;
mod services;
mod tls;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::client::{Handshake, Socket, TokenIn, token};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use serde_json::json;

use self::host::{Host, Key, Mood, set};
use crate::world::{Opened, SECRET, SOON, metric_of, silent};

/// What a client is told whose keys are still to come: come again.
const AWAITED: (u16, &str) = (4100, "token_keys_awaited");

/// An issuer of clients that publishes at `url`, one of services that does, and one with a secret.
fn issuers(url: &str) -> String {
    format!(
        r#"
        [[auth.issuers]]
        name = "id"
        algorithms = ["ES256"]
        jwks_url = "{url}"
        issuer = "https://id.example"
        audience = "carillon"
        [[auth.issuers]]
        name = "shops"
        algorithms = ["ES256"]
        jwks_url = "{url}"
        issuer = "https://id.example"
        audience = "carillon-api"
        scopes = ["send", "broadcast", "admin"]
        channels = ["orders.*"]
        [[auth.issuers]]
        name = "local"
        algorithms = ["HS256"]
        secret = "{SECRET}"
        "#
    )
}

/// A process on this machine, with the issuers of `url`.
fn service(service: Service, url: &str, settings: &[(&str, &str)]) -> Service {
    let always = [
        ("backend.url", "memory://"),
        ("gateway.listen", "127.0.0.1:0"),
        ("dispatcher.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("gateway.per_user_handshake_rate", "1000000"),
        ("gateway.refusal_rate", "1000000"),
        ("gateway.refusal_hold_min", "0s"),
        ("gateway.refusal_hold_max", "0s"),
        ("drain.delay", "0s"),
        ("drain.window", "1s"),
    ];
    let all = always.iter().chain(settings);
    let configured = service.config(&issuers(url));
    all.fold(configured, |it, (name, value)| it.set(name, value))
}

fn simple(process: &Process, token: &str) -> Handshake {
    Handshake::to(&process.ws()).token(TokenIn::Query, token)
}

/// A connection of a device, which is told that it is one.
async fn device(process: &Process, token: &str) -> Result<Socket> {
    let handshake = simple(process, token).protocol("carillon.v1");
    Ok(Opened::by(&handshake.query("device", "phone"))
        .await?
        .socket)
}

/// How a connection ends that is not to be.
async fn refused(process: &Process, token: &str) -> Result<(u16, String)> {
    Socket::connect(&simple(process, token))
        .await?
        .closed(SOON)
        .await
}

async fn is_refused(process: &Process, token: &str, end: (u16, &str)) -> Result<()> {
    let (code, reason) = refused(process, token).await?;
    ensure!((code, &*reason) == end, "closed with {code} {reason}");
    Ok(())
}

/// How many fetches ended so.
async fn fetches(process: &Process, result: &str) -> Result<f64> {
    let name = format!("carillon_jwks_fetches_total{{issuer=\"id\",result=\"{result}\"}}");
    metric_of(process, &name).await
}

/// Waits until more fetches than these have ended so.
async fn fetched(process: &Process, result: &str, beyond: f64) -> Result<()> {
    let what = format!("a fetch that is {result}");
    eventually(&what, SOON, async || {
        let now = fetches(process, result).await?;
        ensure!(now > beyond, "{now}: {}", process.log()?);
        Ok(())
    })
    .await
}

async fn warns(process: &Process, reason: &str) -> Result<f64> {
    let name = format!("carillon_config_warnings{{reason=\"{reason}\"}}");
    metric_of(process, &name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_lacking_is_fetched_for_once_and_one_that_went_ends_its_sockets_alone()
-> Result<()> {
    let (old, new, third) = (Key::new("old")?, Key::new("new")?, Key::new("third")?);
    let host = Host::start(set(&[&old])).await?;
    // Nothing is fetched by the clock; for keys, after so long.
    let interval = Duration::from_secs(3);
    // A fetch that a busy machine holds up is not given up: it would be one more.
    let settings = [
        ("auth.jwks_refresh", "1d"),
        ("auth.jwks_interval", "3s"),
        ("auth.jwks_timeout", "60s"),
    ];
    let gateway = service(Service::standalone(), &host.url(), &settings);
    let gateway = gateway.start().await?;
    fetched(&gateway, "changed", 0.0).await?;
    let first = tokio::time::Instant::now();
    let mut alice = eventually("the first key is in force", SOON, async || {
        device(&gateway, &old.token("alice")).await
    })
    .await?;
    ensure!(host.asked() == 1, "clients and services share a set");

    // The issuer has a new key, and signs with it at once.
    host.now(set(&[&old, &new]));
    let mut seen = 0;
    let mut bob = eventually("the new key is in force", 4 * SOON, async || match device(
        &gateway,
        &new.token("bob"),
    )
    .await
    {
        Ok(socket) => Ok(socket),
        Err(error) => {
            is_refused(&gateway, &new.token("bob"), AWAITED).await?;
            seen += 1;
            Err(error)
        }
    })
    .await?;
    println!("published: {seen} times refused until the new key was there");
    ensure!(host.asked() == 2, "{} fetches", host.asked());
    device(&gateway, &old.token("carol")).await?;

    // Keys that nobody publishes are looked for, and then known to be none.
    let unknown = Key::new("unknown")?;
    let refusals = eventually("the key is known to be absent", SOON, async || {
        let end = refused(&gateway, &unknown.token("mallory")).await?;
        ensure!(end == (4001, "token_key".to_owned()), "{end:?}");
        Ok(host.asked())
    })
    .await?;
    ensure!(refusals == 3, "{refusals} fetches");
    // However many of them are named, there is one fetch in an interval.
    let mut stranger = unknown;
    for (at, kid) in (0..50).zip(["a", "b", "c", "d", "e"].into_iter().cycle()) {
        stranger.kid = kid;
        let (code, reason) = refused(&gateway, &stranger.token("mallory")).await?;
        let told = [AWAITED, (4001, "token_key")];
        ensure!(told.contains(&(code, &*reason)), "{code} {reason}");
        device(&gateway, &old.token(&format!("carol-{at}"))).await?;
    }
    let intervals = first.elapsed().as_secs_f64() / interval.as_secs_f64();
    let most = 2 + intervals as usize;
    ensure!(host.asked() <= most, "{} fetches, {most}", host.asked());

    // The old key goes: its sockets end, and no others.
    host.now(set(&[&new, &third]));
    let mut trent = eventually("the third key is in force", SOON, async || {
        device(&gateway, &third.token("trent")).await
    })
    .await?;
    loop {
        let frame = alice.frame(SOON).await.context("an end is told")?;
        if frame["type"] == "token_expiring" {
            break;
        }
    }
    let end = alice.closed(SOON).await?;
    ensure!(end == (4201, "token_expired".to_owned()), "{end:?}");
    for socket in [&mut bob, &mut trent] {
        silent(socket).await?;
    }
    is_refused(&gateway, &old.token("alice"), AWAITED).await?;
    let log = gateway.log()?;
    for words in [
        "issuer id (kid new)",
        "issuer id (kid old)",
        "came=",
        "went=",
    ] {
        ensure!(log.contains(words), "{words} in {log}");
    }
    Ok(())
}

/// Each mood of a host that is none to be relied on, and what its fetches are counted as.
fn moods(elsewhere: &Host) -> Vec<(Mood, &'static str)> {
    let answers = |status, fields: &str, body: &str| {
        Mood::Answers(status, fields.to_owned(), body.to_owned())
    };
    let html = "<!doctype html><title>Sign in</title>";
    let many: Vec<_> = (0..3_000)
        .map(|kid| json!({"kty": "OKP", "kid": kid}))
        .collect();
    let many = json!({ "keys": many }).to_string();
    let secret = json!({"keys": [{"kty": "oct", "kid": "old", "k": "AAAA"}]}).to_string();
    let redirect = format!("location: {}\r\n", elsewhere.url());
    vec![
        (Mood::Hangs, "timeout"),
        (Mood::Stops, "timeout"),
        (Mood::Pours, "too_large"),
        (Mood::Drops, "unreachable"),
        (answers(500, "", "oops"), "status"),
        (answers(404, "", html), "status"),
        (answers(204, "", ""), "status"),
        (answers(302, &redirect, ""), "redirect"),
        (answers(301, &redirect, ""), "redirect"),
        (
            answers(200, "content-type: text/html\r\n", html),
            "malformed",
        ),
        (answers(200, "", ""), "malformed"),
        (answers(200, "", "{\"keys\":"), "malformed"),
        (
            answers(200, "content-encoding: gzip\r\n", "\u{1f}\u{8b}"),
            "malformed",
        ),
        (answers(200, "", &many), "too_many_keys"),
        (answers(200, "", "{\"keys\":[]}"), "no_keys"),
        (answers(200, "", &secret), "no_keys"),
        (
            answers(200, &format!("x: {}\r\n", "x".repeat(100_000)), "{}"),
            "unreachable",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_hangs_lies_or_dies_fails_nobody_whose_key_is_known() -> Result<()> {
    let (key, new) = (Key::new("old")?, Key::new("new")?);
    let forged = Key::new("old")?;
    let elsewhere = Host::start(set(&[&forged])).await?;
    let host = Host::start(set(&[&key])).await?;
    let settings = [
        ("auth.jwks_refresh", "1s"),
        ("auth.jwks_interval", "1s"),
        ("auth.jwks_timeout", "700ms"),
    ];
    let gateway = service(Service::standalone(), &host.url(), &settings);
    let gateway = gateway.start().await?;
    fetched(&gateway, "changed", 0.0).await?;
    let mut page = eventually("the key is in force", SOON, async || {
        device(&gateway, &key.token("alice")).await
    })
    .await?;
    let mut counted = 0;
    for (mood, kind) in moods(&elsewhere) {
        let before = fetches(&gateway, kind).await?;
        host.now(mood.clone());
        fetched(&gateway, kind, before)
            .await
            .with_context(|| format!("{mood:?}"))?;
        let began = tokio::time::Instant::now();
        device(&gateway, &key.token("bob")).await?;
        let took = began.elapsed();
        println!("published: connected in {took:?} while its host {kind}");
        is_refused(
            &gateway,
            &forged.token("mallory"),
            (4001, "token_signature"),
        )
        .await?;
        counted += 1;
    }
    ensure!(
        counted == 17 && elsewhere.asked() == 0,
        "a redirect was followed"
    );

    // It dies altogether, and comes back with another key.
    let address = host.address;
    let before = fetches(&gateway, "unreachable").await?;
    drop(host);
    fetched(&gateway, "unreachable", before).await?;
    device(&gateway, &key.token("bob")).await?;
    silent(&mut page).await?;
    let log = gateway.log()?;
    let told = log.matches("the issuer's keys cannot be fetched").count();
    ensure!((1..10).contains(&told), "told {told} times in {log}");
    ensure!(
        log.contains("stay in force") && !log.contains("<!doctype"),
        "{log}"
    );
    let _back = Host::start_at(address, set(&[&key, &new])).await?;
    eventually("it is back", SOON, async || {
        device(&gateway, &new.token("carol")).await
    })
    .await?;
    silent(&mut page).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_without_its_issuers_keys() -> Result<()> {
    let key = Key::new("a")?;
    let reserved = Host::start(Mood::Drops).await?;
    let address = reserved.address;
    let url = reserved.url();
    drop(reserved);
    let settings = [("auth.jwks_interval", "1s"), ("auth.jwks_refresh", "1h")];
    let gateway = service(Service::gateway(), &url, &settings).start().await?;
    fetched(&gateway, "unreachable", 0.0).await?;
    let ready = reqwest::get(format!("http://{}/readyz", gateway.admin())).await?;
    ensure!(ready.status() == 200, "{}", ready.status());
    // Each time anew: it is not held as one that is refused for good.
    for _ in 0..3 {
        is_refused(&gateway, &key.token("alice"), AWAITED).await?;
    }
    let mut first = Socket::connect(
        &Handshake::to(&gateway.ws())
            .protocol("carillon.v1")
            .query("device", "phone"),
    )
    .await?;
    first
        .send(&json!({"type": "auth", "token": key.token("alice")}))
        .await?;
    let (code, reason) = first.closed(SOON).await?;
    ensure!((code, &*reason) == AWAITED, "{code} {reason}");
    // Those of others are not its business, nor is it theirs.
    let local = token::hs256(SECRET, "bob", Duration::from_secs(3_600));
    let mut bob = device(&gateway, &local).await?;
    let renewal = json!({"type": "auth", "ref": 1, "token": key.token("bob")});
    bob.send(&renewal).await?;
    let answer = bob.frame(SOON).await?;
    ensure!(
        (&answer["code"], &answer["retryable"]) == (&json!("unavailable"), &json!(true)),
        "{answer}"
    );
    ensure!(warns(&gateway, "key_sets").await? == 1.0);
    let log = gateway.log()?;
    ensure!(
        log.contains("its tokens are refused until they are there"),
        "{log}"
    );
    ensure!(log.contains("none has come yet of id"), "{log}");

    let _host = Host::start_at(address, set(&[&key])).await?;
    let mut alice = eventually("the keys have come", SOON, async || {
        device(&gateway, &key.token("alice")).await
    })
    .await?;
    eventually("nothing is missing", SOON, async || {
        ensure!(warns(&gateway, "key_sets").await? == 0.0);
        Ok(())
    })
    .await?;
    let age = "carillon_jwks_last_success_timestamp_seconds{issuer=\"id\"}";
    let fetched_at = metric_of(&gateway, age).await?;
    ensure!(fetched_at + 60.0 > token::now() as f64, "{fetched_at}");
    let usable = "carillon_jwks_keys{issuer=\"id\",use=\"usable\"}";
    ensure!(metric_of(&gateway, usable).await? == 1.0);
    bob.send(&renewal).await?;
    let answer = bob.frame(SOON).await?;
    ensure!(answer["type"] == "authenticated", "{answer}");
    silent(&mut alice).await
}
