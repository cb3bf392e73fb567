//! Tickets: each lets one client in, once, on whichever gateway it comes to.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Ask, EventStream, Handshake, Incoming, Socket, TokenIn, token},
    process::Process,
};
use redis::cmd;
use reqwest::{
    Method,
    header::{AUTHORIZATION, HeaderName, ORIGIN},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{STORES, Stage, Store, lives, refused, token_with};
use crate::world::{SOON, next_of, token_of};

fn end() -> (u16, String) {
    (4001, "ticket_refused".to_owned())
}

fn with(gateway: &Process, ticket: &str) -> Handshake {
    Handshake::to(&gateway.ws()).query("ticket", ticket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_lets_in_once_on_any_gateway() -> Result<()> {
    for store in STORES {
        let stage = Stage::on(store, &[("gateway.query_token", "false")]).await?;
        let token = token_with("alice", json!({ "channels": ["private:team"] }));
        let gateways = stage.gateways();
        for gateway in gateways {
            let ticket = stage.ticket(&token).await?;
            let handshake = with(gateway, &ticket).protocol("carillon.v1");
            let mut socket = Socket::connect(&handshake).await?;
            let welcome = next_of(&mut socket, "welcome").await?;
            ensure!(welcome["user"] == "alice", "{welcome}");
            // It opens what the token does, and nothing more.
            for (channel, answer) in [("private:team", "subscribed"), ("private:x", "error")] {
                let ask = json!({ "type": "subscribe", "channel": channel });
                socket.send(&ask).await?;
                next_of(&mut socket, answer).await?;
            }
            for other in gateways {
                let told = refused(&with(other, &ticket)).await?;
                ensure!(told == end(), "{store:?} {told:?}");
            }
        }
        let ticket = stage.ticket(&token).await?;
        let ask = Ask::of(&gateways[0].http()).query("ticket", ticket.as_str());
        EventStream::open(&ask)
            .await?
            .until("replayed", SOON)
            .await?;
        let answer = ask.answer().await?;
        ensure!(answer.status() == 401);
        let problem: Value = answer.json().await?;
        ensure!(problem["code"] == "ticket_refused", "{problem}");
    }
    Ok(())
}

/// Both gateways are shown the same ticket at the same moment, many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_one_is_let_in() -> Result<()> {
    let settings = [
        ("gateway.handshake_rate", "100000"),
        ("gateway.per_user_connections", "1000"),
    ];
    let stage = Stage::on(Store::Redis, &settings).await?;
    let [one, two] = stage.gateways() else {
        anyhow::bail!("two gateways")
    };
    for _ in 0..20 {
        let ticket = stage.ticket(&token_of("alice")).await?;
        let ends = |gateway| {
            let handshake = with(gateway, &ticket);
            async move {
                let mut socket = Socket::connect(&handshake).await?;
                // Who is refused may be closed already.
                drop(socket.send(&json!({ "type": "ping" })).await);
                anyhow::Ok(matches!(socket.next().await, Incoming::Frame(_)))
            }
        };
        let let_in = tokio::try_join!(ends(one), ends(two))?;
        ensure!(let_in.0 != let_in.1, "{let_in:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_tickets_are_refused() -> Result<()> {
    for store in STORES {
        let settings = [("auth.ticket_ttl", "1s"), ("auth.leeway", "0s")];
        let stage = Stage::on(store, &settings).await?;
        let gateway = &stage.gateways()[0];
        let lapsed = stage.ticket(&token_of("alice")).await?;
        sleep(Duration::from_millis(1_500)).await;
        let good = stage.ticket(&token_of("alice")).await?;
        let guessed = format!("ct_{}", "A".repeat(43));
        for ticket in [
            "",
            "ct_",
            &lapsed,
            &guessed,
            &good[..good.len() - 1],
            &format!("{good}A"),
            &good.replacen("ct_", "CT_", 1),
            &format!(" {good}"),
            &token_of("alice"),
            &"x".repeat(9_000),
        ] {
            let told = refused(&with(gateway, ticket)).await?;
            ensure!(told == end(), "{ticket:?}: {told:?}");
        }
        // Beside a token, or twice, it is not looked at; nothing is used up by that.
        let token = token_of("alice");
        for handshake in [
            with(gateway, &good).token(TokenIn::Query, &token),
            with(gateway, &good).token(TokenIn::Header, &token),
            with(gateway, &good)
                .protocol("carillon.v1")
                .token(TokenIn::Subprotocol, &token),
            with(gateway, &good).query("ticket", &*good),
        ] {
            let told = Socket::connect(&handshake).await.map(drop).unwrap_err();
            ensure!(format!("{told:#}").contains("400"), "{told:#}");
        }
        let fresh = stage.ticket(&token_of("alice")).await?;
        lives(&mut Socket::connect(&with(gateway, &fresh)).await?).await?;
        // A token that has ended, and one that was revoked, are not saved by a ticket.
        let short = token_with("alice", json!({ "exp": token::now() + 2 }));
        let revoked = token_with("bob", json!({ "iat": token::now() - 5 }));
        let ticket = stage.ticket(&revoked).await?;
        stage.revoke(json!({ "user": "bob" })).await?;
        let told = refused(&with(gateway, &ticket)).await?;
        ensure!(told == (4001, "token_revoked".to_owned()), "{told:?}");
        let (status, answer) = stage.ask_ticket(&revoked, None).await?;
        ensure!(status == 401, "{answer}");
        // It ends when the token would.
        let ticket = stage.ticket(&short).await?;
        let end = refused(&with(gateway, &ticket)).await?;
        ensure!(end == (4201, "token_expired".to_owned()), "{end:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_asks_for_its_users() -> Result<()> {
    for store in STORES {
        let stage = Stage::on(store, &[("auth.tickets_per_user", "3")]).await?;
        let gateway = &stage.gateways()[0];
        let body = json!({ "user": "alice", "channels": ["private:a"], "expires_in": "10m" });
        let (status, answer) = stage.ask_ticket(&stage.key, Some(&body)).await?;
        ensure!(status == 200 && answer["user"] == "alice", "{answer}");
        let ticket = answer["ticket"].as_str().unwrap_or_default();
        let handshake = with(gateway, ticket).protocol("carillon.v1");
        let mut socket = Socket::connect(&handshake).await?;
        let welcome = next_of(&mut socket, "welcome").await?;
        ensure!(
            welcome["token_expires_at"] == answer["session_expires_at"],
            "{welcome}"
        );
        let subscribe = json!({ "type": "subscribe", "channel": "private:a" });
        socket.send(&subscribe).await?;
        next_of(&mut socket, "subscribed").await?;
        // No key vouches for it, and it is revoked as any.
        sleep(Duration::from_millis(20)).await;
        stage.revoke(json!({ "user": "alice" })).await?;
        let told = socket.closed(SOON).await?;
        ensure!(told == (4001, "token_revoked".to_owned()), "{told:?}");

        for (bearer, body, status, code) in [
            (&*stage.key, json!({}), 422, "missing_field"),
            (
                &stage.key,
                json!({ "user": "a", "expires_in": "2d" }),
                422,
                "invalid_field",
            ),
            (
                &stage.key,
                json!({ "user": "a", "device": "d" }),
                422,
                "unknown_field",
            ),
            (
                &token_of("bob"),
                json!({ "user": "carol" }),
                403,
                "user_forbidden",
            ),
            (
                &token_of("bob"),
                json!({ "channels": ["*"] }),
                422,
                "invalid_field",
            ),
            (&token_of("bob"), json!({ "user": "bob" }), 200, ""),
            ("ck_nobodys", json!({}), 401, "unauthenticated"),
            ("a.b.c", json!({}), 401, "unauthenticated"),
        ] {
            let told = stage.ask_ticket(bearer, Some(&body)).await?;
            ensure!(told.0 == status, "{body}: {told:?}");
            ensure!(
                told.1["code"].as_str().unwrap_or_default() == code,
                "{body}: {told:?}"
            );
        }
        for expected in [200, 200, 200, 429, 429] {
            let (status, answer) = stage.ask_ticket(&token_of("dora"), None).await?;
            ensure!(status == expected, "{answer}");
        }
        let (status, _) = stage.ask_ticket(&token_of("eve"), None).await?;
        ensure!(status == 200, "others are not held up");
    }
    Ok(())
}

#[tokio::test]
async fn no_ticket_stands_in_redis_or_in_a_log() -> Result<()> {
    let stage = Stage::on(Store::Redis, &[("log.level", "debug")]).await?;
    let token = token_of("alice");
    let used = stage.ticket(&token).await?;
    let kept = stage.ticket(&token).await?;
    lives(&mut Socket::connect(&with(&stage.gateways()[0], &used)).await?).await?;
    let redis = stage
        .redis
        .as_ref()
        .ok_or_else(|| anyhow::anyhow!("over Redis"))?;
    let keys: Vec<String> = redis.query(cmd("KEYS").arg("*ticket*")).await?;
    ensure!(keys.iter().any(|key| key.contains("}:ticket:")), "{keys:?}");
    let secrets = [&used[3..], &kept[3..], &token];
    for key in &keys {
        let dump: Vec<u8> = redis.query(cmd("DUMP").arg(key)).await?;
        let text = format!("{key} {}", String::from_utf8_lossy(&dump));
        ensure!(!secrets.iter().any(|it| text.contains(*it)), "{text}");
        let life: i64 = redis.query(cmd("PTTL").arg(key)).await?;
        ensure!((1..=31_000).contains(&life), "{key} lasts {life} ms");
    }
    for process in &stage.processes {
        let log = process.log()?;
        ensure!(!secrets.iter().any(|it| log.contains(*it)), "{log}");
    }
    Ok(())
}

/// The answer to a browser that asks whether a page may ask for tickets.
#[tokio::test]
async fn pages_may_ask_for_tickets_as_the_origins_say() -> Result<()> {
    let any: &[(&str, &str)] = &[];
    let listed: &[(&str, &str)] = &[("gateway.origins", "https://*.example.com")];
    for (settings, origin, may) in [
        (any, "https://anywhere.example", true),
        (listed, "https://app.example.com", true),
        (listed, "https://evil.example", false),
    ] {
        let stage = Stage::on(Store::Memory, settings).await?;
        let url = format!("{}/api/tickets", stage.dispatcher().http());
        let asks = HeaderName::from_static("access-control-request-method");
        let preflight = stage
            .http
            .request(Method::OPTIONS, &url)
            .header(ORIGIN, origin);
        let preflight = preflight.header(asks, "POST").send().await?;
        let expected = if may { 204 } else { 403 };
        ensure!(preflight.status() == expected, "{preflight:?}");
        let asked = stage.http.post(&url).header(ORIGIN, origin);
        let bearer = format!("Bearer {}", token_of("alice"));
        let asked = asked.header(AUTHORIZATION, bearer).send().await?;
        let expected = if may { 200 } else { 403 };
        ensure!(asked.status() == expected, "{asked:?}");
        for answer in [&preflight, &asked] {
            let allowed = answer.headers().get("access-control-allow-origin");
            let allowed = allowed.map(|it| it.to_str().unwrap());
            let named = if settings.is_empty() { "*" } else { origin };
            ensure!(allowed == may.then_some(named), "{answer:?}");
        }
        if may {
            ensure!(asked.headers()["cache-control"] == "no-store");
            let methods = &preflight.headers()["access-control-allow-methods"];
            ensure!(methods.to_str()?.contains("POST"));
        } else {
            let problem: Value = asked.json().await?;
            ensure!(problem["code"] == "origin_not_allowed", "{problem}");
            let log = stage.dispatcher().log()?;
            ensure!(
                log.contains("gateway.origins") && log.contains(origin),
                "{log}"
            );
        }
    }
    Ok(())
}
