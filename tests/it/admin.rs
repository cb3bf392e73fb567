//! What the admin port lets an operator see and change, and whom it lets.

use anyhow::{Context, Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_common::http::admin::Operations;
use carillon_tests::client::{broadcast, notification};
use carillon_tests::poll::eventually;
use carillon_tests::process::Process;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::world::{SOON, World, next_content, next_of};

/// A caller of admin ports.
struct Operator {
    http: Client,
    key: String,
}

impl Operator {
    /// Status and answer.
    async fn call(
        &self,
        process: &Process,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let url = format!("http://{}{path}", process.admin());
        let request = self.http.request(method, url).bearer_auth(&self.key);
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn get(&self, process: &Process, path: &str) -> Result<Value> {
        let (status, answer) = self.call(process, Method::GET, path, None).await?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }
}

/// A world with an operator, and one whose key lacks the scope.
async fn operated() -> (World, Operator, Operator) {
    let [(admin, hash), (reader, other)] = [ApiKeys::generate(), ApiKeys::generate()];
    let more = format!(
        r#"
        [[auth.api_keys]]
        name = "ops"
        hash = "{hash}"
        scopes = ["admin"]
        [[auth.api_keys]]
        name = "reader"
        hash = "{other}"
        scopes = ["read", "send", "broadcast"]
        "#
    );
    let world = World::configured(&[("log.level", "info")], &more).await;
    let [operator, reader] = [admin, reader].map(|key| Operator {
        http: Client::new(),
        key: key.expose().clone(),
    });
    (world, operator, reader)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_with_the_scope_admin_gets_in() -> Result<()> {
    let (world, operator, reader) = operated().await;
    let own = carillon_gateway::ADMIN_ROUTES.iter();
    for route in own.chain(Operations::ROUTES) {
        let path = route.path.replace("{session}", "nobody");
        let method = Method::from_bytes(route.method.as_bytes())?;
        let url = format!("http://{}{path}", world.gateway.admin());
        let bare = operator.http.request(method.clone(), &url).send().await?;
        ensure!(bare.status() == 401, "{path}: {}", bare.status());
        ensure!(bare.headers()["www-authenticate"] == "Bearer", "{path}");
        let (status, problem) = reader
            .call(&world.gateway, method.clone(), &path, None)
            .await?;
        ensure!(
            (status, &problem["code"]) == (403, &json!("insufficient_scope")),
            "{problem}"
        );
        let (status, answer) = operator.call(&world.gateway, method, &path, None).await?;
        ensure!(status != 401 && status != 403, "{path}: {status} {answer}");
    }
    let (status, problem) = operator
        .call(&world.gateway, Method::POST, "/busiest", None)
        .await?;
    ensure!((status, &problem["code"]) == (405, &json!("method_not_allowed")));
    // Probes and metrics still need none, and the list names what this process has.
    for (process, has) in [(&world.gateway, true), (&world.dispatcher, false)] {
        let listed = reqwest::get(format!("http://{}/", process.admin())).await?;
        let listed = listed.text().await?;
        ensure!(
            listed.contains("/log-level") && listed.contains("/busiest") == has,
            "{listed}"
        );
        let metrics = reqwest::get(format!("http://{}/metrics", process.admin())).await?;
        ensure!(metrics.status() == 200);
        ensure!(
            !process.log()?.contains(&operator.key),
            "the key is in the log"
        );
    }
    let (status, problem) = operator
        .call(&world.dispatcher, Method::GET, "/tasks", None)
        .await?;
    let told = problem["detail"].as_str().unwrap_or_default();
    ensure!(
        status == 501 && told.contains("tokio_unstable"),
        "{problem}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_found_by_its_user_and_by_its_session() -> Result<()> {
    let (world, operator, _) = operated().await;
    let mut alice = world.open("alice", "phone").await;
    let subscribe = json!({"type": "subscribe", "channel": "orders"});
    alice.socket.send(&subscribe).await?;
    next_of(&mut alice.socket, "subscribed").await?;
    let _page = world.open_simple("alice").await;
    let sent = world.send("alice", "one").await;
    next_content(&mut alice.socket).await?;

    let session = alice.welcome["session"].as_str().context("no session")?;
    let path = format!("/connections/{session}");
    let position = eventually("its position is told", SOON, async || {
        let answer = operator.get(&world.gateway, &path).await?;
        let found = answer["connections"][0].clone();
        ensure!(found["position"] == *sent.cursor, "{answer}");
        Ok(found)
    });
    let phone = position.await?;
    for (field, expected) in [
        ("user", json!("alice")),
        ("device", json!("phone")),
        ("session", json!(session)),
        ("protocol", json!("carillon.v1")),
        ("address", json!("127.0.0.1")),
        ("channels", json!(1)),
        ("waiting", json!({"messages": 0, "bytes": 0})),
    ] {
        ensure!(phone[field] == expected, "{field}: {phone}");
    }
    ensure!(
        phone["since"].as_str().is_some_and(|it| it.ends_with('Z')),
        "{phone}"
    );

    let both = operator
        .get(&world.gateway, "/connections?user=alice")
        .await?;
    let protocols = both["connections"].as_array().context("no list")?.iter();
    let mut protocols: Vec<_> = protocols.map(|it| it["protocol"].clone()).collect();
    protocols.sort_by_key(Value::to_string);
    ensure!(
        protocols == [json!("carillon.v1"), json!("simple")],
        "{both}"
    );
    let none = operator
        .get(&world.gateway, "/connections?user=bob")
        .await?;
    ensure!(none == json!({"connections": []}), "{none}");
    for (path, status, code) in [
        ("/connections", 400, "invalid_query"),
        ("/connections?user=", 400, "invalid_query"),
        ("/connections?user=a&device=b", 400, "invalid_query"),
        ("/connections/nobody", 404, "connection_unknown"),
        ("/connections/%ff", 404, "connection_unknown"),
    ] {
        let (got, problem) = operator
            .call(&world.gateway, Method::GET, path, None)
            .await?;
        ensure!(
            (got, &problem["code"]) == (status, &json!(code)),
            "{path}: {problem}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_busiest_users_and_channels_are_told() -> Result<()> {
    let (world, operator, _) = operated().await;
    let mut alice = world.open("alice", "phone").await;
    let mut bob = world.open("bob", "phone").await;
    for number in 0..5 {
        world.send("alice", &format!("{number}")).await;
        next_content(&mut alice.socket).await?;
    }
    let one = notification("bob", "t", "one");
    world.post("/api/notifications/send", &one).await;
    next_content(&mut bob.socket).await?;
    let all = broadcast(None, "t", "to all");
    world.post("/api/notifications/broadcast", &all).await;
    next_content(&mut bob.socket).await?;
    let busiest = operator.get(&world.gateway, "/busiest").await?;
    let users = json!([
        {"user": "alice", "notifications": 5, "too_many_by": 0},
        {"user": "bob", "notifications": 1, "too_many_by": 0},
    ]);
    ensure!(busiest["users"] == users, "{busiest}");
    let channels = json!([{"channel": "*", "deliveries": 2, "too_many_by": 0}]);
    ensure!(busiest["channels"] == channels, "{busiest}");

    // Whoever does not read shows, with what waits for it.
    let _slow = world.open("carol", "phone").await;
    let large = " ".repeat(60_000);
    for _ in 0..200 {
        world.send("carol", &large).await;
        let waiting = operator.get(&world.gateway, "/busiest").await?["waiting"].clone();
        if waiting[0]["waiting"]["bytes"].as_u64() > Some(60_000) {
            ensure!(waiting[0]["user"] == "carol", "{waiting}");
            return Ok(());
        }
    }
    anyhow::bail!("nothing ever waits for carol")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_more_for_a_while_and_then_no_more() -> Result<()> {
    let (world, operator, _) = operated().await;
    let gateway = &world.gateway;
    // Each connection's end is told at DEBUG.
    let end_of = async |user: &str| -> Result<()> {
        drop(world.open(user, "phone").await);
        world.connections(user, 0).await
    };
    let debug_lines = || -> Result<usize> {
        let log = gateway.log()?;
        Ok(log.lines().filter(|line| line.contains("DEBUG")).count())
    };
    end_of("alice").await?;
    ensure!(debug_lines()? == 0, "{}", gateway.log()?);

    let change = |directive: &str, time: &str| Some(json!({"directive": directive, "for": time}));
    let put = async |body| {
        operator
            .call(gateway, Method::PUT, "/log-level", body)
            .await
    };
    let (status, shown) = put(change("carillon_gateway=debug", "1h")).await?;
    ensure!(status == 200 && shown["changed"]["by"] == "ops", "{shown}");
    ensure!(shown["configured"] == "info", "{shown}");
    end_of("bob").await?;
    eventually("it says more", SOON, async || {
        ensure!(debug_lines()? > 0, "no line");
        Ok(())
    })
    .await?;
    let (status, shown) = operator
        .call(gateway, Method::DELETE, "/log-level", None)
        .await?;
    ensure!(status == 200 && shown["changed"] == Value::Null, "{shown}");
    end_of("carol").await?;
    let log = gateway.log()?;
    let (_, since) = log
        .split_once("as configured again, by an operator")
        .context("not told")?;
    ensure!(!since.contains("DEBUG"), "it goes on: {since}");

    // It ends by itself, and the log says both.
    let (status, _) = put(change("carillon_gateway=debug", "1s")).await?;
    ensure!(status == 200);
    eventually("the time is over", SOON, async || {
        let shown = operator.get(gateway, "/log-level").await?;
        ensure!(shown["changed"] == Value::Null, "{shown}");
        Ok(())
    })
    .await?;
    let log = gateway.log()?;
    for line in [
        "the log is changed by an operator",
        "the time that an operator gave is over",
    ] {
        ensure!(log.contains(line), "{line}: {log}");
    }
    let (status, problem) = put(change("loud", "1s")).await?;
    ensure!(
        (status, &problem["errors"][0]["pointer"]) == (422, &json!("/directive")),
        "{problem}"
    );
    Ok(())
}

/// A gateway of the chart knows no API key, unless it is given one.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_keys_says_how_to_give_it_one() -> Result<()> {
    let standalone = carillon_tests::process::Service::standalone()
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .start()
        .await?;
    let (key, _) = ApiKeys::generate();
    let operator = Operator {
        http: Client::new(),
        key: key.expose().clone(),
    };
    let (status, problem) = operator
        .call(&standalone, Method::GET, "/busiest", None)
        .await?;
    ensure!(
        (status, &problem["code"]) == (401, &json!("no_api_keys")),
        "{problem}"
    );
    let told = problem["detail"].as_str().unwrap_or_default();
    ensure!(
        told.contains("auth.dir") && told.contains("--scopes admin"),
        "{problem}"
    );
    Ok(())
}
