//! A cookie that holds the token, for pages of listed origins.

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Ask, EventStream, Handshake, Socket},
    process::{Process, Service},
};
use reqwest::header::{COOKIE, HeaderName, ORIGIN};
use serde_json::Value;

use super::{STORES, Stage, Store, lives, refused};
use crate::world::{SOON, config, configure, token_of};

const SETTINGS: [(&str, &str); 2] = [
    ("auth.cookie", "__Host-carillon"),
    (
        "gateway.origins",
        "https://app.example.com,https://*.example.org",
    ),
];
const APP: &str = "https://app.example.com";

fn cookie(user: &str) -> String {
    format!("theme=dark; __Host-carillon={}", token_of(user))
}

fn from(gateway: &Process, origin: Option<&str>) -> Handshake {
    let handshake = Handshake::to(&gateway.ws()).header(COOKIE, cookie("alice"));
    match origin {
        Some(origin) => handshake.header(ORIGIN, origin),
        None => handshake,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_lets_pages_of_listed_origins_in_and_no_others() -> Result<()> {
    let foreign = (4003, "origin_not_allowed".to_owned());
    for store in STORES {
        let stage = Stage::on(store, &SETTINGS).await?;
        let gateway = &stage.gateways()[0];
        for origin in [APP, "https://a.b.example.org"] {
            lives(&mut Socket::connect(&from(gateway, Some(origin))).await?).await?;
        }
        for origin in [
            Some("https://evil.example"),
            Some("https://app.example.com.evil.example"),
            Some("https://example.org"),
            Some("null"),
            None,
        ] {
            let told = refused(&from(gateway, origin)).await?;
            ensure!(told == foreign, "{origin:?}: {told:?}");
        }
        let both = format!("{}; {}", cookie("alice"), cookie("bob"));
        let twice = Handshake::to(&gateway.ws()).header(COOKIE, both);
        let twice = twice.header(ORIGIN, APP);
        let told = refused(&twice).await?;
        ensure!(told == (4001, "cookie_repeated".to_owned()), "{told:?}");
        // Whoever is no browser comes with a token, as before.
        let program = Handshake::to(&gateway.ws()).query("token", token_of("alice"));
        lives(&mut Socket::connect(&program).await?).await?;
        let log = gateway.log()?;
        let told = log.matches("evil.example").count();
        ensure!(log.contains("gateway.origins") && told <= 2, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn without_the_setting_a_cookie_is_nothing() -> Result<()> {
    let stage = Stage::on(Store::Memory, &[]).await?;
    let told = refused(&from(&stage.gateways()[0], Some(APP))).await?;
    ensure!(told == (4001, "token_missing".to_owned()), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_of_a_listed_origin_may_carry_it() -> Result<()> {
    let stage = Stage::on(Store::Memory, &SETTINGS).await?;
    let ask = || Ask::of(&stage.gateways()[0].http()).header(COOKIE, cookie("alice"));
    let site = |site: &str| ask().header(HeaderName::from_static("sec-fetch-site"), site);
    for ask in [ask().header(ORIGIN, APP), site("same-origin")] {
        EventStream::open(&ask)
            .await?
            .until("replayed", SOON)
            .await?;
    }
    let answer = ask().header(ORIGIN, APP).answer().await?;
    let headers = answer.headers();
    ensure!(headers["access-control-allow-origin"] == APP, "{headers:?}");
    ensure!(headers["access-control-allow-credentials"] == "true");
    for ask in [
        ask(),
        site("cross-site"),
        site("none"),
        ask().header(ORIGIN, "https://evil.example"),
    ] {
        let answer = ask.answer().await?;
        ensure!(answer.status() == 403, "{answer:?}");
        ensure!(
            !answer
                .headers()
                .contains_key("access-control-allow-credentials")
        );
        let problem: Value = answer.json().await?;
        ensure!(problem["code"] == "origin_not_allowed", "{problem}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cookie_without_a_list_of_origins_is_a_mistake() -> Result<()> {
    let (_, config) = config("");
    for (origins, named) in [
        ("", "gateway.origins is empty"),
        ("null", "beside auth.cookie"),
    ] {
        let service = configure(Service::gateway(), &config, &[("auth.cookie", "c")]);
        let service = service
            .set("backend.url", "memory://")
            .set("gateway.origins", origins);
        let Err(error) = service.start().await else {
            anyhow::bail!("it started with the origins {origins:?}");
        };
        let told = format!("{error:#}");
        ensure!(
            told.contains(named) && told.contains("auth.cookie"),
            "{told}"
        );
    }
    Ok(())
}
