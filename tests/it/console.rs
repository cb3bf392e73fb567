//! What the console calls, on the admin port of a real dispatcher over a real Redis. What it looks like and does in a
//! browser is tested in client/js.

use anyhow::{Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::{poll::eventually, process::Process};
use reqwest::Client;
use serde_json::{Value, json};

use crate::world::{SOON, World, next_content};

/// An operator at an admin port.
struct Operator {
    http: Client,
    key: String,
}

impl Operator {
    async fn get(&self, process: &Process, path: &str) -> Result<Value> {
        let url = format!("http://{}{path}", process.admin());
        let answer = self.http.get(url).bearer_auth(&self.key).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

/// A world with an operator who may read, too.
async fn operated() -> Result<(World, Operator)> {
    let (key, hash) = ApiKeys::generate();
    let more = format!(
        r#"
        [[auth.api_keys]]
        name = "console"
        hash = "{hash}"
        scopes = ["admin", "read"]
        "#
    );
    let world = World::configured(&[("log.level", "info")], &more).await;
    let operator = Operator {
        http: Client::builder().no_proxy().build()?,
        key: key.expose().clone(),
    };
    Ok((world, operator))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_shows_it_and_a_gateway_does_not() -> Result<()> {
    let (world, operator) = operated().await?;
    for (process, status) in [(&world.dispatcher, 200), (&world.gateway, 404)] {
        for path in ["/console", "/console/main.js", "/docs/errors"] {
            let url = format!("http://{}{path}", process.admin());
            let answer = operator.http.get(url).send().await?;
            ensure!(answer.status() == status, "{path}: {}", answer.status());
        }
    }
    let url = format!("{}/console", world.dispatcher.http());
    ensure!(operator.http.get(url).send().await?.status() == 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_tell_their_connections_and_their_release() -> Result<()> {
    let (world, operator) = operated().await?;
    let _phone = world.open("alice", "phone").await;
    let _tab = world.open("alice", "tab").await;
    let _bob = world.open("bob", "phone").await;
    eventually("the gateway tells of itself", SOON, async || {
        let all = operator.get(&world.dispatcher, "/api/gateways").await?;
        let gateway = &all["gateways"][0];
        let told = (
            &gateway["users"],
            &gateway["connections"],
            &gateway["version"],
        );
        let version = json!(env!("CARGO_PKG_VERSION"));
        ensure!(told == (&json!(2), &json!(3), &version), "{all}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_told_with_how_far_they_have_come() -> Result<()> {
    let (world, operator) = operated().await?;
    let mut phone = world.open("alice", "phone").await;
    let _tablet = world.open("alice", "tablet").await;
    let first = world.send("alice", "one").await;
    let last = world.send("alice", "two").await;
    next_content(&mut phone.socket).await?;
    let ack = json!({"type": "ack", "cursor": &first.cursor});
    phone.socket.send(&ack).await?;
    eventually("the ack is told", SOON, async || {
        let told = operator
            .get(&world.dispatcher, "/api/users/alice/devices")
            .await?;
        ensure!(told["last"] == json!(&last.cursor), "{told}");
        let (phone, tablet) = (&told["devices"][0], &told["devices"][1]);
        ensure!(phone["device"] == "phone" && tablet["device"] == "tablet");
        ensure!(phone["cursor"] == json!(&first.cursor), "{told}");
        ensure!(phone["behind"] == 1 && phone["acked_at"].is_string());
        ensure!(tablet["acked_at"].is_null(), "{told}");
        Ok(())
    })
    .await
}

/// This Redis writes nothing to disk, as far as a service can see.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_mended_is_told_by_each_process() -> Result<()> {
    let (world, operator) = operated().await?;
    // What concerns the other service is not this one's.
    for (process, issuers) in [(&world.dispatcher, false), (&world.gateway, true)] {
        let seen = eventually("it has looked at Redis", SOON, async || {
            let seen = operator.get(process, "/checks").await?;
            ensure!(seen["store_looked_at"].is_string(), "{seen}");
            Ok(seen)
        });
        let seen = seen.await?;
        let all = seen["findings"].as_array().into_iter().flatten();
        let of = |what: &str| all.clone().find(|it| it["what"] == what).cloned();
        let version = of("version").unwrap_or_default();
        ensure!(
            version["level"] == "ok" && version["node"].is_string(),
            "{seen}"
        );
        let eviction = of("eviction").unwrap_or_default();
        ensure!(eviction["level"] == "ok", "{seen}");
        let worst = all.clone().any(|it| it["level"] == "failure");
        ensure!((seen["verdict"] == "failure") == worst, "{seen}");
        // Each complaint says what to change.
        let complaints = all.clone().filter(|it| it["level"] != "ok");
        for complaint in complaints {
            ensure!(complaint["remedy"].is_string(), "{complaint}");
        }
        ensure!(of("issuers").is_some() == issuers, "{seen}");
        let log = process.log()?;
        ensure!(log.contains("/checks"), "a call is a line in the log");
        ensure!(!log.contains(&operator.key), "the key is in the log");
    }
    Ok(())
}
