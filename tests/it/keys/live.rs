//! Keys that come and go.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::client::{Incoming, Socket, TokenIn};
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{
    ApiKey, CLOSED_WITHIN, FIRST, Mount, SECOND, SUCCESS, handshake, issuer, on_this_machine, page,
    reloads, says, signed,
};
use crate::world::{Opened, SOON, metric_of, next_of, silent};

/// Longer than a change takes to be seen and believed.
const SEEN_WITHIN: Duration = Duration::from_secs(4);

/// Waits until it has put changes in force so many times.
async fn changed(process: &Process, times: f64) -> Result<Instant> {
    carillon_tests::poll::eventually("the change is in force", SOON, async || {
        let now = reloads(process, "changed").await?;
        ensure!(now == times, "{now} times");
        Ok(Instant::now())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_mounted_secret_come_and_go_while_sockets_are_open() -> Result<()> {
    let (orders, billing) = (ApiKey::of("orders"), ApiKey::of("billing"));
    let next = ApiKey::of("orders");
    let issuers = |secrets: &[&str]| -> String {
        let tables = (1..).zip(secrets);
        tables
            .map(|(at, it)| issuer(&format!("login-{at}"), it))
            .collect()
    };
    let mut mount = Mount::with(&[
        ("issuers.toml", &issuers(&[FIRST])),
        ("orders.toml", &orders.table),
    ])?;
    let redis = Standalone::start(&Options::default()).await?;
    let [gateway, dispatcher] = [Service::gateway(), Service::dispatcher()]
        .map(|service| on_this_machine(service, mount.path()).set("backend.url", redis.url()));
    let (gateway, dispatcher) = tokio::try_join!(gateway.start(), dispatcher.start())?;
    let alice = handshake(&gateway, FIRST, "alice").protocol("carillon.v1");
    let mut alice = Opened::by(&alice.query("device", "phone")).await?.socket;
    let renewing = handshake(&gateway, FIRST, "dora").protocol("carillon.v1");
    let mut renewing = Opened::by(&renewing.query("device", "phone")).await?.socket;
    let mut bob = page(&gateway, FIRST, "bob").await?;
    let (status, sent) = orders.send(&dispatcher, Some("once")).await?;
    ensure!(status == 200 && billing.sends(&dispatcher).await? == 401);

    // A second key of each kind: whoever is there does not notice.
    mount.publish(&[
        ("issuers.toml", &issuers(&[FIRST, SECOND])),
        ("orders.toml", &orders.table),
        ("orders-next.toml", &next.table),
        ("billing.toml", &billing.table),
    ])?;
    let took = billing.until(&dispatcher, 200).await?;
    ensure!(took < SEEN_WITHIN, "{took:?}");
    changed(&gateway, 1.0).await?;
    let mut carol = page(&gateway, SECOND, "carol").await?;
    ensure!(orders.sends(&dispatcher).await? == 200);
    // An idempotency key is the service's, whichever of its API keys it shows, and no other's.
    let (status, again) = next.send(&dispatcher, Some("once")).await?;
    ensure!((status, &again) == (200, &sent), "{status} {again}");
    let (status, others) = billing.send(&dispatcher, Some("once")).await?;
    ensure!(status == 200 && others != sent, "{status} {others}");
    silent(&mut bob).await?;

    // The first of each goes.
    mount.publish(&[
        (
            "issuers.toml",
            &issuers(&[SECOND]).replace("login-1", "login-2"),
        ),
        ("billing.toml", &billing.table),
    ])?;
    let published = Instant::now();
    let told = async {
        let frame = next_of(&mut renewing, "token_expiring").await?;
        let renewal = json!({ "type": "auth", "token": signed(SECOND, "dora") });
        renewing.send(&renewal).await?;
        next_of(&mut renewing, "authenticated").await?;
        anyhow::Ok(frame)
    };
    let closed = async {
        next_of(&mut alice, "token_expiring").await?;
        let (phone, page) = tokio::join!(alice.closed(SOON), bob.closed(SOON));
        anyhow::Ok((phone?, page?, Instant::now()))
    };
    let (reloaded, closed, _) = tokio::try_join!(changed(&gateway, 2.0), closed, told)?;
    let (phone, bobs, when) = closed;
    let end = (4201, "token_expired".to_owned());
    ensure!((&phone, &bobs) == (&end, &end), "{phone:?} {bobs:?}");
    let after = when.saturating_duration_since(reloaded);
    ensure!(after < CLOSED_WITHIN, "{after:?} after the reload");
    println!(
        "keys: closed {:?} after the swap, {after:?} after the reload",
        when - published
    );
    orders.until(&dispatcher, 401).await?;
    let refused = page(&gateway, FIRST, "bob").await?.closed(SOON).await?;
    ensure!(
        refused == (4001, "token_signature".to_owned()),
        "{refused:?}"
    );

    // Who has another key, or got one in time, is still there.
    sleep(CLOSED_WITHIN).await;
    silent(&mut carol).await?;
    silent(&mut renewing).await?;
    ensure!(metric_of(&gateway, "carillon_gateway_connections").await? == 2.0);
    for process in [&gateway, &dispatcher] {
        ensure!(metric_of(process, SUCCESS).await? == 1.0);
        let log = process.log()?;
        for words in [
            "came=",
            "went=",
            "issuer login-2",
            "issuer login-1",
            "API key orders",
        ] {
            ensure!(log.contains(words), "{words} in {log}");
        }
        for secret in [FIRST, SECOND, &orders.key, &billing.key] {
            ensure!(!log.contains(secret), "a secret in {log}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_sockets_of_one_issuer_do_not_end_at_once() -> Result<()> {
    const MANY: usize = 400;
    let both = format!("{}{}", issuer("a", FIRST), issuer("b", SECOND));
    let mut mount = Mount::with(&[("issuers.toml", &both)])?;
    let process = on_this_machine(Service::standalone(), mount.path())
        .start()
        .await?;
    let mut others = Vec::new();
    for user in 0..20 {
        others.push(page(&process, SECOND, &format!("other-{user}")).await?);
    }
    let mut ends = tokio::task::JoinSet::new();
    for user in 0..MANY {
        let mut socket = page(&process, FIRST, &format!("user-{user}")).await?;
        ends.spawn(async move { (socket.closed(SOON).await, Instant::now()) });
    }
    mount.publish(&[("issuers.toml", &issuer("b", SECOND))])?;
    let reloaded = changed(&process, 1.0).await?;
    let mut times = Vec::new();
    for (end, when) in ends.join_all().await {
        ensure!(end?.0 == 4201);
        times.push(when.saturating_duration_since(reloaded));
    }
    times.sort();
    let (first, middle, last) = (times[0], times[MANY / 2], times[MANY - 1]);
    println!("keys: {MANY} closed {first:?}, {middle:?}, {last:?} after the reload");
    ensure!(last < CLOSED_WITHIN, "{last:?}");
    ensure!(
        last - first > Duration::from_millis(500),
        "{first:?} to {last:?}"
    );
    for socket in &mut others {
        ensure!(
            timeout(Duration::from_millis(5), socket.next())
                .await
                .is_err()
        );
    }
    // It comes back, and so do they.
    mount.publish(&[("issuers.toml", &both)])?;
    changed(&process, 2.0).await?;
    let mut back = page(&process, FIRST, "user-0").await?;
    silent(&mut back).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sighup_it_is_read_at_once() -> Result<()> {
    for program in [
        Service::gateway(),
        Service::dispatcher(),
        Service::standalone(),
    ] {
        let mount = Mount::with(&[("a.toml", &issuer("a", FIRST)), ("b.toml", "")])?;
        let table = ApiKey::of("first").table;
        std::fs::write(mount.at("b.toml"), &table)?;
        let process = on_this_machine(program, mount.path()).start().await?;
        let mut fastest = SOON;
        for round in 1..=4 {
            let more = ApiKey::of(&format!("more-{round}")).table;
            std::fs::write(mount.at("b.toml"), format!("{table}{more}"))?;
            process.signal(libc::SIGHUP);
            let asked = Instant::now();
            let reloaded = changed(&process, f64::from(round)).await?;
            fastest = fastest.min(reloaded - asked);
        }
        println!("keys: in force {fastest:?} after SIGHUP");
        // Without the signal it would first be believed after half a second.
        ensure!(fastest < Duration::from_millis(450), "{fastest:?}");
        ensure!(!process.log()?.contains("nothing has changed"));
        process.signal(libc::SIGHUP);
        says(&process, "nothing has changed").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_still_being_written_is_not_believed() -> Result<()> {
    let (first, last) = (ApiKey::of("first"), ApiKey::of("last"));
    let mount = Mount::with(&[("issuers.toml", &issuer("a", FIRST))])?;
    let file = mount.at("keys.toml");
    std::fs::write(&file, format!("{}{}", first.table, last.table))?;
    let process = on_this_machine(Service::standalone(), mount.path())
        .start()
        .await?;
    let mut socket = page(&process, FIRST, "alice").await?;
    // On a thread of its own: a half that stands for longer than a writer needs is rightly believed.
    // Half of it is in order by itself, and would revoke a key; half of that is not.
    let halves = [
        first.table.clone(),
        last.table[..20].to_owned(),
        last.table[20..].to_owned(),
    ];
    let writing = tokio::task::spawn_blocking(move || rewrite(&file, &halves));
    while !writing.is_finished() {
        ensure!(last.sends(&process).await? == 200, "{}", process.log()?);
        open_still(&mut socket).await?;
    }
    let rounds = writing.await??;
    ensure!(rounds > 10, "{rounds}");
    // It is seen, once it is whole: nothing came and nothing went.
    carillon_tests::poll::eventually("it is read", SOON, async || {
        ensure!(reloads(&process, "unchanged").await? == 1.0, "not yet");
        Ok(())
    })
    .await?;
    ensure!(reloads(&process, "changed").await? == 0.0);
    ensure!(
        reloads(&process, "faulty").await? == 0.0,
        "{}",
        process.log()?
    );
    open_still(&mut socket).await
}

/// Takes what has come to it; its pings are answered by the way.
async fn open_still(socket: &mut Socket) -> Result<()> {
    while let Ok(incoming) = timeout(Duration::from_millis(50), socket.next()).await {
        ensure!(matches!(incoming, Incoming::Frame(_)), "{incoming:?}");
    }
    Ok(())
}

/// Writes a file again and again, piece by piece, for longer than a change takes to be seen; how many times.
fn rewrite(file: &Path, pieces: &[String]) -> std::io::Result<u32> {
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(9) {
        let mut written = std::fs::File::create(file)?;
        for piece in pieces {
            written.write_all(piece.as_bytes())?;
            std::thread::sleep(Duration::from_millis(100));
        }
        rounds += 1;
    }
    Ok(rounds)
}

#[tokio::test]
async fn a_call_that_is_under_way_when_its_key_goes_is_finished() -> Result<()> {
    let (orders, billing) = (ApiKey::of("orders"), ApiKey::of("billing"));
    let mount = Mount::with(&[("a.toml", &orders.table), ("b.toml", &billing.table)])?;
    let process = on_this_machine(Service::dispatcher(), mount.path())
        .start()
        .await?;
    let body = r#"{"target_user":"alice","notification_type":"t","content":"x"}"#;
    let mut call = TcpStream::connect(process.public()).await?;
    let head = format!(
        "POST /api/notifications/send HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        orders.key,
        body.len()
    );
    call.write_all(head.as_bytes()).await?;
    // That the body is asked for says that the key was accepted.
    let mut answer = vec![0; 4096];
    let length = timeout(SOON, call.read(&mut answer)).await??;
    let begun = String::from_utf8_lossy(&answer[..length]).into_owned();
    ensure!(begun.starts_with("HTTP/1.1 100"), "{begun}");
    std::fs::remove_file(mount.at("a.toml"))?;
    process.signal(libc::SIGHUP);
    orders.until(&process, 401).await?;
    call.write_all(body.as_bytes()).await?;
    let length = timeout(SOON, call.read(&mut answer)).await??;
    let answer = std::str::from_utf8(&answer[..length])?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    ensure!(billing.sends(&process).await? == 200);
    Ok(())
}

/// The handshake with the token in the first frame goes the same way.
#[tokio::test]
async fn a_token_in_the_first_frame_is_judged_by_the_keys_of_its_moment() -> Result<()> {
    let mut mount = Mount::with(&[("a.toml", &issuer("a", FIRST))])?;
    let process = on_this_machine(Service::standalone(), mount.path())
        .start()
        .await?;
    let handshake = || {
        carillon_tests::client::Handshake::to(&process.ws())
            .protocol("carillon.v1")
            .query("device", "phone")
    };
    let mut early = Socket::connect(&handshake()).await?;
    mount.publish(&[("a.toml", &issuer("a", SECOND))])?;
    process.signal(libc::SIGHUP);
    changed(&process, 1.0).await?;
    let auth = |secret: &str| json!({ "type": "auth", "token": signed(secret, "alice") });
    early.send(&auth(SECOND)).await?;
    next_of(&mut early, "authenticated").await?;
    let mut late = Socket::connect(&handshake()).await?;
    late.send(&auth(FIRST)).await?;
    let end = late.closed(SOON).await.context("with a key that is gone")?;
    ensure!(end == (4001, "token_signature".to_owned()), "{end:?}");
    let header = handshake().token(TokenIn::Header, &signed(SECOND, "bob"));
    Opened::by(&header).await?;
    Ok(())
}
