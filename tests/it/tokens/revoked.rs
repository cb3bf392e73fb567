//! Revocations: on open connections and for new ones, on every gateway.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Ask, EventStream, Handshake, Socket, token},
    poll::eventually,
    process::{Process, Service},
};
use redis::cmd;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{STORES, Stage, Store, lives, page, refused, token_with};
use crate::world::{Opened, SOON, next_of, token_of};

/// As docs/tokens.md promises.
const WITHIN: Duration = Duration::from_secs(2);

fn end() -> (u16, String) {
    (4001, "token_revoked".to_owned())
}

/// Waits for the end, which must come in time after `began`.
async fn ends(socket: &mut Socket, began: Instant) -> Result<Duration> {
    let told = socket.closed(SOON).await?;
    let took = began.elapsed();
    ensure!(told == end(), "{told:?}");
    ensure!(took < WITHIN, "{took:?}");
    Ok(took)
}

fn device(gateway: &Process, token: &str) -> Handshake {
    page(gateway, token)
        .protocol("carillon.v1")
        .query("device", "phone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_tokens_end_on_every_gateway_and_others_are_not_disturbed() -> Result<()> {
    for store in STORES {
        let stage = Stage::on(store, &[]).await?;
        let (mut ended, mut stay) = (Vec::new(), Vec::new());
        for gateway in stage.gateways() {
            let token = token_with("alice", json!({ "iat": token::now() - 5 }));
            ended.push(Socket::connect(&page(gateway, &token)).await?);
            ended.push(Opened::by(&device(gateway, &token)).await?.socket);
            stay.push(Socket::connect(&page(gateway, &token_of("bob"))).await?);
            stay.push(
                Opened::by(&device(gateway, &token_of("alicia")))
                    .await?
                    .socket,
            );
        }
        let ask = Ask::of(&stage.gateways()[0].http());
        let ask = ask.query(
            "token",
            token_with("alice", json!({ "iat": token::now() - 5 })),
        );
        let mut stream = EventStream::open(&ask).await?;
        stream.until("replayed", SOON).await?;

        let began = Instant::now();
        let told = stage
            .revoke(json!({ "user": "alice", "reason": "lost phone" }))
            .await?;
        for socket in &mut ended {
            ends(socket, began).await?;
        }
        let (events, whole) = stream.to_the_end(SOON).await?;
        ensure!(began.elapsed() < WITHIN && whole);
        let last = events
            .last()
            .map(|event| (event.name.clone(), event.data.clone()));
        let (name, data) = last.unwrap_or_default();
        ensure!(name == "disconnect", "{events:?}");
        ensure!((&data["code"], &data["reason"]) == (&json!(4001), &json!("token_revoked")));
        for socket in &mut stay {
            lives(socket).await?;
        }
        // New connections are refused with it everywhere, and let in with a newer one.
        let old = token_with("alice", json!({ "iat": token::now() - 1 }));
        let undated = token_with("alice", json!({ "iat": null }));
        sleep(Duration::from_millis(1_100)).await;
        let new = token_with("alice", json!({ "iat": token::now() }));
        for gateway in stage.gateways() {
            for token in [&old, &undated] {
                let told = refused(&page(gateway, token)).await?;
                ensure!(told == end(), "{store:?} {told:?}");
                let answer = Ask::of(&gateway.http()).query("token", token.as_str());
                let answer = answer.answer().await?;
                ensure!(answer.status() == 401, "{answer:?}");
                let problem: Value = answer.json().await?;
                ensure!(problem["code"] == "token_revoked", "{problem}");
            }
            lives(&mut Socket::connect(&page(gateway, &new)).await?).await?;
        }
        ensure!(
            told["user"] == "alice" && told["reason"] == "lost phone",
            "{told}"
        );
        ensure!(
            told["revoked_by"] == "ops" && told["jti"].is_null(),
            "{told}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_by_its_own_id() -> Result<()> {
    for store in STORES {
        let stage = Stage::on(store, &[]).await?;
        let gateways = stage.gateways();
        let (first, last) = (&gateways[0], &gateways[gateways.len() - 1]);
        let with = |user: &str, jti: &str| token_with(user, json!({ "jti": jti }));
        let mut one = Socket::connect(&page(first, &with("alice", "1"))).await?;
        let mut bobs = Socket::connect(&page(last, &with("bob", "1"))).await?;
        let mut two = Opened::by(&device(last, &with("alice", "2"))).await?.socket;
        // Of one user alone, then whoever has it.
        let began = Instant::now();
        stage.revoke(json!({ "user": "alice", "jti": "1" })).await?;
        ends(&mut one, began).await?;
        lives(&mut bobs).await?;
        lives(&mut two).await?;
        let began = Instant::now();
        stage
            .revoke(json!({ "jti": "1", "expires_at": token::now() + 3_600 }))
            .await?;
        ends(&mut bobs, began).await?;
        lives(&mut two).await?;
        // It cannot be renewed with one of them either.
        let renewal = json!({ "type": "auth", "token": with("alice", "1"), "ref": 1 });
        two.send(&renewal).await?;
        let told = next_of(&mut two, "error").await?;
        ensure!(
            told["code"] == "token_revoked" && told["ref"] == 1,
            "{told}"
        );
        lives(&mut two).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_were_issued_before_end_and_newer_ones_stay() -> Result<()> {
    for store in STORES {
        let stage = Stage::on(store, &[]).await?;
        let now = token::now();
        let issued = |ago: u64| token_with("alice", json!({ "iat": now - ago }));
        let gateway = &stage.gateways()[0];
        let mut old = Socket::connect(&page(gateway, &issued(600))).await?;
        let mut new = Socket::connect(&page(gateway, &issued(60))).await?;
        let began = Instant::now();
        stage
            .revoke(json!({ "user": "alice", "issued_before": now - 300 }))
            .await?;
        ends(&mut old, began).await?;
        lives(&mut new).await?;
        ensure!(refused(&page(gateway, &issued(301))).await? == end());
        lives(&mut Socket::connect(&page(gateway, &issued(300))).await?).await?;
        // An earlier time takes nothing back.
        stage
            .revoke(json!({ "user": "alice", "issued_before": now - 500 }))
            .await?;
        ensure!(refused(&page(gateway, &issued(301))).await? == end());
        // The list has it once, and to take it back lets the tokens in again.
        let path = "/api/tokens/revocations";
        let (status, listed) = stage.call_as(&stage.key, Method::GET, path, None).await?;
        let all = listed["revocations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(status == 200 && all.len() == 1, "{listed}");
        let id = all[0]["id"].as_str().unwrap_or_default();
        let path = format!("/api/tokens/revocations/{id}");
        let (status, answer) = stage
            .call_as(&stage.key, Method::DELETE, &path, None)
            .await?;
        ensure!(status == 200, "{answer}");
        for gateway in stage.gateways() {
            eventually("the old token is good again", SOON, async || {
                lives(&mut Socket::connect(&page(gateway, &issued(600))).await?).await
            })
            .await?;
        }
        let (status, answer) = stage
            .call_as(&stage.key, Method::DELETE, &path, None)
            .await?;
        ensure!(
            (status, &answer["code"]) == (404, &json!("revocation_unknown")),
            "{answer}"
        );
    }
    Ok(())
}

/// Many users on two gateways, some of whom are revoked while everybody gets messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_those_end_in_time_and_the_others_miss_nothing() -> Result<()> {
    const USERS: usize = 60;
    const REVOKED: usize = 20;
    const ROUNDS: usize = 20;
    let stage = Stage::on(Store::Redis, &[("gateway.handshake_rate", "100000")]).await?;
    let old = token::now() - 5;
    let mut sockets = Vec::new();
    for number in 0..USERS {
        let gateway = &stage.gateways()[number % 2];
        let token = token_with(&format!("user-{number}"), json!({ "iat": old }));
        sockets.push(Some(Socket::connect(&page(gateway, &token)).await?));
    }
    let send = async {
        for round in 0..ROUNDS {
            for number in REVOKED..USERS {
                let body = json!({
                    "target_user": format!("user-{number}"), "notification_type": "t",
                    "content": round.to_string(),
                });
                let path = "/api/notifications/send";
                let sent = stage.call_as(&stage.key, Method::POST, path, Some(&body));
                let (status, answer) = sent.await?;
                ensure!(status == 200, "{answer}");
            }
        }
        anyhow::Ok(())
    };
    let (revoked, stay) = sockets.split_at_mut(REVOKED);
    let revoke = async {
        let mut slowest = Duration::ZERO;
        for (number, socket) in revoked.iter_mut().enumerate() {
            let began = Instant::now();
            let user = format!("user-{number}");
            stage.revoke(json!({ "user": user })).await?;
            let socket = socket
                .as_mut()
                .ok_or_else(|| anyhow::anyhow!("no socket"))?;
            slowest = slowest.max(ends(socket, began).await?);
        }
        anyhow::Ok(slowest)
    };
    let read = async {
        for socket in stay.iter_mut().flatten() {
            for round in 0..ROUNDS {
                let frame = socket.frame(Duration::from_secs(60)).await?;
                let expected = round.to_string();
                ensure!(frame["content"] == *expected, "{frame}");
            }
        }
        anyhow::Ok(())
    };
    let ((), slowest, ()) = tokio::try_join!(send, revoke, read)?;
    println!("revoked: the slowest of {REVOKED} ended after {slowest:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_starts_later_knows_them_and_one_whose_store_is_away_still_does()
-> Result<()> {
    // The same token comes again and again.
    let at_once = [
        ("gateway.refusal_hold_min", "0s"),
        ("gateway.refusal_hold_max", "0s"),
    ];
    let stage = Stage::on(Store::Redis, &at_once).await?;
    let old = token_with("alice", json!({ "iat": token::now() - 5 }));
    stage.revoke(json!({ "user": "alice" })).await?;
    let redis = stage
        .redis
        .as_ref()
        .ok_or_else(|| anyhow::anyhow!("over Redis"))?;
    let (_, config) = crate::world::config("");
    let late = crate::world::configure(Service::gateway(), &config, &at_once);
    let late = late.set("backend.url", redis.url()).start().await?;
    ensure!(refused(&page(&late, &old)).await? == end());

    // The store loses all: those who know write it again, for those who come.
    redis.query::<()>(&cmd("FLUSHALL")).await?;
    let written = eventually("the list is written again", SOON, async || {
        let keys: Vec<String> = redis.query(cmd("KEYS").arg("*:revoked")).await?;
        ensure!(keys.len() == 1, "{keys:?}");
        Ok(())
    });
    written.await?;
    let later = crate::world::configure(Service::gateway(), &config, &at_once);
    let later = later.set("backend.url", redis.url()).start().await?;
    for gateway in stage.gateways().iter().chain([&late, &later]) {
        ensure!(refused(&page(gateway, &old)).await? == end());
    }
    redis.pause();
    let told = refused(&page(&stage.gateways()[0], &old)).await;
    redis.resume();
    ensure!(told? == end());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_revoked_is_told() -> Result<()> {
    let stage = Stage::on(Store::Memory, &[("auth.max_revocations", "2")]).await?;
    for (body, status, code) in [
        (json!({}), 422, "missing_field"),
        (json!({ "user": "" }), 422, "invalid_field"),
        (
            json!({ "user": "a", "issued_before": "soon" }),
            422,
            "invalid_field",
        ),
        (json!({ "user": "a", "until": 1 }), 422, "unknown_field"),
        (json!({ "user": "a" }), 200, ""),
        (json!({ "user": "b" }), 200, ""),
        (json!({ "user": "a" }), 200, ""),
        (json!({ "user": "c" }), 409, "too_many_revocations"),
    ] {
        let path = "/api/tokens/revoke";
        let told = stage
            .call_as(&stage.key, Method::POST, path, Some(&body))
            .await?;
        ensure!(told.0 == status, "{body}: {told:?}");
        ensure!(
            told.1["code"].as_str().unwrap_or_default() == code,
            "{body}: {told:?}"
        );
    }
    // Nobody without the scope, and no client.
    let (status, answer) = stage
        .call_as(
            &token_of("alice"),
            Method::POST,
            "/api/tokens/revoke",
            Some(&json!({ "user": "a" })),
        )
        .await?;
    ensure!(
        (status, &answer["code"]) == (401, &json!("unauthenticated")),
        "{answer}"
    );
    for (query, refused, code) in [
        ("limit=0", 422, "invalid_field"),
        ("after=!", 410, "cursor_gone"),
        ("x=1", 422, "unknown_field"),
    ] {
        let path = format!("/api/tokens/revocations?{query}");
        let (status, answer) = stage.call_as(&stage.key, Method::GET, &path, None).await?;
        ensure!(
            (status, answer["code"].as_str()) == (refused, Some(code)),
            "{query}: {answer}"
        );
    }
    let path = "/api/tokens/revocations?limit=1";
    let (_, first) = stage.call_as(&stage.key, Method::GET, path, None).await?;
    let next = first["next"].as_str().unwrap_or_default();
    let path = format!("/api/tokens/revocations?limit=1&after={next}");
    let (_, second) = stage.call_as(&stage.key, Method::GET, &path, None).await?;
    ensure!(first["revocations"][0]["user"] == "a", "{first}");
    ensure!(
        second["revocations"][0]["user"] == "b" && second["next"].is_null(),
        "{second}"
    );
    Ok(())
}
