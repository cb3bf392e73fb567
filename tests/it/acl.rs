//! The documented users of Redis are enough, and nothing more is asked of it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::ensure;
use carillon_common::{
    auth::{Revocation, Revoked},
    backend::{self, Note, RevokeOrder},
    settings::Settings,
};
use carillon_tests::client::{Handshake, Socket, broadcast, notification};
use carillon_tests::poll::eventually;
use carillon_tests::redis::{Options, Standalone};
use redis::{FromRedisValue, Value, cmd};
use reqwest::Method;
use serde_json::json;

use crate::refusing_store::{run, said};
use crate::world::{SOON, World, content, in_ms, metric_of, next_content, next_of, token_of};

const DOCUMENT: &str = include_str!("../../docs/redis-acl.md");

const SETTINGS: [(&str, &str); 6] = [
    ("lease.ttl", "3s"),
    ("lease.renew", "500ms"),
    ("audit.interval", "500ms"),
    ("channels.linger", "500ms"),
    ("inbox.max", "4"),
    ("inbox.keep", "1"),
];

/// Makes the documented users, their rules changed by `change`; answers with their URLs.
async fn make_users(redis: &Standalone, change: impl Fn(&str) -> String) -> [String; 2] {
    let mut urls = Vec::new();
    for line in DOCUMENT
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER "))
    {
        let line = change(line);
        let mut words = line.split(' ');
        let mut set = cmd(words.next().unwrap());
        set.arg(words.clone().collect::<Vec<_>>());
        redis.query::<()>(&set).await.unwrap();
        let name = words.nth(1).unwrap();
        let password = words.find_map(|word| word.strip_prefix('>')).unwrap();
        urls.push(redis.url_as(name, password));
    }
    urls.try_into().unwrap()
}

/// What Redis refused: the commands, keys and channels.
async fn refused(redis: &Standalone) -> BTreeSet<String> {
    let log: Vec<HashMap<String, Value>> =
        redis.query(cmd("ACL").arg("LOG").arg(100)).await.unwrap();
    let object =
        |entry: &HashMap<String, Value>| String::from_redis_value(entry["object"].clone()).unwrap();
    log.iter().map(object).collect()
}

async fn start(change: impl Fn(&str) -> String, loaded: bool) -> World {
    let redis = Standalone::start(&Options::default()).await.unwrap();
    if loaded {
        let library = backend::redis::library();
        let mut loading = cmd("FUNCTION");
        loading.arg("LOAD").arg(&*library.source);
        redis.query::<String>(&loading).await.unwrap();
    }
    let urls = make_users(&redis, change).await;
    World::over(redis, urls, &SETTINGS, "").await
}

/// Asks the dispatcher, and looks at a place of its answer. What it tells of channels may be a second old.
async fn told(world: &World, path: &str, place: &str, expected: &serde_json::Value) {
    let told = eventually(path, SOON, async || {
        let answer = world.api.request(Method::GET, path).send().await?;
        let answer: serde_json::Value = answer.json().await?;
        ensure!(answer.pointer(place) == Some(expected), "{answer}");
        Ok(())
    });
    told.await.unwrap();
}

/// Everything that the services do, once.
async fn everything(world: &World) {
    for number in 0..3 {
        world.send("alice", &number.to_string()).await;
    }
    let mut phone = world.open("alice", "phone").await;
    assert_eq!(phone.contents(), ["0", "1", "2"]);
    let last = phone.replayed[2].clone();
    phone.ack(world, &last).await;
    let request = json!({ "type": "subscribe", "channel": "orders", "durable": true });
    phone.socket.send(&request).await.unwrap();
    next_of(&mut phone.socket, "subscribed").await.unwrap();
    let mut page = world.open_simple("bob").await;
    page.send(&json!({ "type": "subscribe", "channel": "orders" }))
        .await
        .unwrap();
    next_of(&mut page, "subscribed").await.unwrap();

    for (channel, content) in [(Some("orders"), "in a channel"), (None, "to everyone")] {
        world
            .api
            .broadcast(&broadcast(channel, "t", content), Some("key"))
            .await
            .unwrap();
        for socket in [&mut phone.socket, &mut page] {
            assert_eq!(next_content(socket).await.unwrap(), content);
        }
    }
    world.send("bob", "live").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "live");
    let counted = eventually("two are online", SOON, async || {
        let count = world.api.online_count().await?;
        ensure!(count == 2, "{count} are");
        Ok(())
    });
    counted.await.unwrap();

    told(world, "/api/users/alice/presence", "/online", &json!(true)).await;
    told(world, "/api/channels", "/channels/0/name", &json!("orders")).await;
    let history = "/api/channels/orders/history";
    told(
        world,
        history,
        "/notifications/0/content",
        &json!("in a channel"),
    )
    .await;
    told(
        world,
        "/api/channels/orders/presence",
        "/connections",
        &json!(2),
    )
    .await;

    for socket in [phone.socket, page] {
        socket.close().await;
    }
    world.until_connections("alice", 0).await;
    // Full: expired ones go, then the phone is passed over.
    world
        .try_send("alice", "short", json!({ "ttl": "50ms" }))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    for number in 3..9 {
        world.send("alice", &number.to_string()).await;
    }
    let mut again = world.open("alice", "phone").await;
    assert_eq!(again.contents(), ["5", "6", "7", "8"]);
    let last = again.replayed[3].clone();
    again.ack(world, &last).await;
    let leave = json!({ "type": "unsubscribe", "channel": "orders" });
    again.socket.send(&leave).await.unwrap();
    next_of(&mut again.socket, "unsubscribed").await.unwrap();
    let session = again.welcome["session"].as_str().unwrap();
    let handshake = world.v1("alice", "phone").query("session", session);
    let mut replacing = Socket::connect(&handshake).await.unwrap();
    assert_eq!(again.socket.closed(SOON).await.unwrap().0, 4009);
    world.send("alice", "9").await;
    while next_content(&mut replacing).await.unwrap() != "9" {}
    inbox_over_rest(world).await;
    later(world).await;
}

/// One that waits is listed, asked for and cancelled, another one comes.
async fn later(world: &World) {
    let mut ids = Vec::new();
    for ms in [60_000, 100] {
        let mut body = notification("erin", "t", "later");
        body["deliver_at"] = in_ms(ms).into();
        let (status, sent) = world.post("/api/notifications/send", &body).await;
        assert_eq!(status, 202, "{sent}");
        ids.push(sent["id"].as_str().unwrap().to_owned());
    }
    let inbox = "/api/users/erin/notifications";
    told(world, inbox, "/notifications/0/id", &json!(ids[1])).await;
    for (method, path) in [
        (Method::GET, "/api/users/erin/scheduled".to_owned()),
        (Method::GET, format!("{inbox}/{}", ids[0])),
        (
            Method::DELETE,
            format!("/api/users/erin/scheduled/{}", ids[0]),
        ),
    ] {
        let answer = world.api.request(method, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

async fn inbox_over_rest(world: &World) {
    for content in ["1:0", "2:0"] {
        let key = json!({ "collapse_key": "score" });
        world.try_send("dora", content, key).await.unwrap();
    }
    let sent = world.send("dora", "other").await;
    let one = format!("/api/users/dora/notifications/{}", sent.id);
    for (method, path) in [
        (Method::GET, "/api/users/dora/notifications"),
        (Method::GET, &one),
        (Method::DELETE, &one),
        (Method::DELETE, "/api/users/dora"),
    ] {
        let answer = world.api.request(method, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

/// A ticket lets its user in, and revocations come and go; `url`: the dispatcher's.
async fn tokens(world: &World, url: &str) {
    let mut settings = Settings::default();
    settings.backend.name_store(url.to_owned()).unwrap();
    let store = backend::connect(&settings).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = http.post(format!("{}/api/tickets", world.dispatcher.http()));
    let asked = asked.bearer_auth(token_of("dora")).send().await.unwrap();
    let answer: serde_json::Value = asked.json().await.unwrap();
    let ticket = answer["ticket"].as_str().unwrap();
    let handshake = Handshake::to(&world.gateway.ws()).query("ticket", ticket);
    let mut page = Socket::connect(&handshake).await.unwrap();
    let what = Revoked::User("dora".parse().unwrap());
    let now = store.clock().now();
    let order = RevokeOrder {
        revocation: Revocation {
            what: what.clone(),
            issued_before: None,
            until: now + 60_000,
        },
        note: Note {
            at: now,
            by: "tests".to_owned(),
            reason: None,
        },
        most: 10,
    };
    store.revoke(&order).await.unwrap();
    assert_eq!(page.closed(SOON).await.unwrap().0, 4001);
    assert_eq!(store.list_revocations(None, 10).await.unwrap().len(), 1);
    assert!(store.take_back(&what).await.unwrap());
}

/// A gateway that was killed is reaped by the other one.
async fn reaping(world: &World, url: &str) {
    let another = world.another_gateway_at(url, &SETTINGS).await;
    let handshake = carillon_tests::client::Handshake::to(&another.ws()).token(
        carillon_tests::client::TokenIn::Query,
        &crate::world::token_of("carol"),
    );
    let mut socket = Socket::connect(&handshake).await.unwrap();
    world.until_connections("carol", 1).await;
    world.send("carol", "one").await;
    assert_eq!(content(&socket.frame(SOON).await.unwrap()), "one");
    another.kill().await.unwrap();
    world.until_connections("carol", 0).await;
}

#[tokio::test]
async fn the_documented_users_have_what_they_need_and_no_more() {
    let world = start(str::to_owned, true).await;
    everything(&world).await;
    let [gateway, dispatcher] = make_users(&world.redis, str::to_owned).await;
    tokens(&world, &dispatcher).await;
    reaping(&world, &gateway).await;
    let left = eventually(
        "the gateway leaves a channel without members",
        SOON,
        async || {
            let mut followed = cmd("PUBSUB");
            followed.arg("SHARDCHANNELS").arg("*ch:orders");
            ensure!(
                world
                    .redis
                    .query::<Vec<String>>(&followed)
                    .await?
                    .is_empty()
            );
            Ok(())
        },
    );
    left.await.unwrap();
    // Which they try at their start, and find that it is there.
    assert_eq!(
        refused(&world.redis).await,
        BTreeSet::from(["function|load".to_owned()])
    );

    let stats: String = world
        .redis
        .query(cmd("INFO").arg("commandstats"))
        .await
        .unwrap();
    let used: BTreeSet<&str> = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next())
        .collect();
    let given = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER "))
        .flat_map(|line| line.split(' '))
        .filter_map(|word| word.strip_prefix('+'));
    let unused: BTreeSet<&str> = given.filter(|command| !used.contains(command)).collect();
    assert_eq!(unused, BTreeSet::from(["wait"]), "used with replicas alone");
}

/// What a row of the table adds to the dispatcher's user.
fn added(row: &str) -> String {
    let row = DOCUMENT
        .lines()
        .find(|line| line.starts_with(&format!("| {row}")))
        .unwrap();
    let mut rights = row.split('`').filter(|part| part.starts_with('+'));
    rights.next_back().unwrap().to_owned()
}

#[tokio::test]
async fn a_dispatcher_that_watches_pods_needs_what_its_row_adds() {
    let more = added("`kubernetes.watch`");
    let change = |line: &str| match line.contains("carillon-dispatcher") {
        true => format!("{line} {more}"),
        false => line.to_owned(),
    };
    let world = start(change, true).await;
    let mut page = world.open_simple("alice").await;
    world.until_connections("alice", 1).await;
    let [_, url] = make_users(&world.redis, change).await;
    let mut settings = Settings::default();
    settings.backend.name_store(url).unwrap();
    let store = backend::connect(&settings).await.unwrap();
    let gateways = store.gateways().await.unwrap();
    let dead = gateways.iter().find(|gateway| gateway.users == 1).unwrap();
    let until = i64::try_from(dead.generation).unwrap();
    assert!(store.reap(&dead.name, until).await.unwrap());
    // It lives, and registers her again.
    world.until_connections("alice", 1).await;
    world.send("alice", "again").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "again");
    assert_eq!(
        refused(&world.redis).await,
        BTreeSet::from(["function|load".to_owned()])
    );
}

#[tokio::test]
async fn a_dispatcher_that_limits_sends_needs_what_its_row_adds() {
    let more = added("rates of sends");
    let change = |line: &str| match line.contains("carillon-dispatcher") {
        true => format!("{line} {more}"),
        false => line.to_owned(),
    };
    let redis = Standalone::start(&Options::default()).await.unwrap();
    let [gateway, url] = make_users(&redis, change).await;
    let library = backend::redis::library();
    let mut loading = cmd("FUNCTION");
    loading.arg("LOAD").arg(&*library.source);
    redis.query::<String>(&loading).await.unwrap();
    let settings = [("dispatcher.sends_per_user", "2")];
    let world = World::over(redis, [gateway, url], &settings, "").await;
    let mut refusals = 0;
    for number in 0..10 {
        let sent = world
            .try_send("alice", &number.to_string(), json!({}))
            .await;
        refusals += u32::from(sent.is_err_and(|it| it.code() == "rate_limited"));
    }
    assert!(refusals > 0);
    let borrowed = r#"carillon_dispatcher_allowance_borrowed_total{result="answered"}"#;
    let answered = eventually("it borrows", SOON, async || {
        ensure!(metric_of(&world.dispatcher, borrowed).await? > 0.0);
        Ok(())
    });
    answered.await.unwrap();
    assert_eq!(
        refused(&world.redis).await,
        BTreeSet::from(["function|load".to_owned()])
    );
}

#[tokio::test]
async fn a_missing_channel_is_told_and_what_was_stored_arrives() {
    let change = |line: &str| match line.contains("carillon-dispatcher") {
        true => line.replace(" &carillon:*", ""),
        false => line.to_owned(),
    };
    let world = start(change, true).await;
    let mut page = world.open_simple("alice").await;
    world.until_connections("alice", 1).await;
    let body = notification("alice", "t", "kept");
    let refusal = world.api.send(&body, Some("key")).await.unwrap_err();
    assert_eq!(refusal.code(), "outcome_unknown", "{refusal}");
    assert!(refusal.to_string().contains("carillon doctor"), "{refusal}");
    let refusal = world
        .api
        .broadcast(&broadcast(None, "t", "everyone"), Some("key"))
        .await;
    assert_eq!(refusal.unwrap_err().code(), "outcome_unknown");
    // The audit finds it in the inbox, and a retry doubles nothing.
    assert_eq!(next_content(&mut page).await.unwrap(), "kept");
    let again = world.api.send(&body, Some("key")).await.unwrap();
    assert_eq!(world.inbox_length("alice").await, 1, "{again:?}");

    let [_, url] = make_users(&world.redis, change).await;
    let doctor = run(&["doctor", "--backend", &url], &[]);
    assert_eq!(doctor.status.code(), Some(2), "{}", said(&doctor));
    assert!(said(&doctor).contains("SPUBLISH"), "{}", said(&doctor));
}

#[tokio::test]
async fn the_documented_users_that_load_functions_by_themselves() {
    let world = start(|line| format!("{line} +function|load"), false).await;
    everything(&world).await;
    assert_eq!(refused(&world.redis).await, BTreeSet::new());
}

#[tokio::test]
async fn the_documented_users_with_scripts() {
    let scripts = |line: &str| line.replace("+fcall", "+eval +evalsha");
    let world = start(scripts, false).await;
    everything(&world).await;
    // Which is how the services find out.
    let expected = ["fcall", "function|load"].map(str::to_owned);
    assert!(refused(&world.redis).await.is_subset(&expected.into()));
}
