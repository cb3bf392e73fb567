//! `carillon trace` against running services: what Redis knows of a notification, and what it does not.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use carillon_tests::client::broadcast;
use carillon_tests::poll::eventually;
use redis::cmd;
use serde_json::{Value, json};

use crate::edge::carillon;
use crate::tidy::read;
use crate::world::{SOON, World, next_of};

/// The exit code and what was printed.
fn trace(url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(carillon());
    command.args(["trace", "--json", "--backend", url]);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let printed = serde_json::from_str(&said).unwrap_or_default();
    let code = output.status.code().unwrap_or(-1);
    assert!(
        printed != Value::Null || code > 1,
        "{code}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (code, printed)
}

/// What became of it at one of the devices.
fn device<'a>(trace: &'a Value, name: &str) -> Result<&'a Value> {
    let mut devices = trace["devices"].as_array().into_iter().flatten();
    let found = devices.find(|device| device["device"] == name);
    found.with_context(|| format!("no {name}: {trace}"))
}

/// Waits until this became of it at the device.
async fn until(url: &str, arguments: &[&str], name: &str, fate: &str) -> Result<Value> {
    eventually(&format!("{name}: {fate}"), SOON, async || {
        let (_, trace) = tokio::task::block_in_place(|| trace(url, arguments));
        let found = device(&trace, name)?["fate"].clone();
        ensure!(found == fate, "{trace}");
        Ok(trace)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_which_device_acked_which_waits_and_which_was_passed_over() -> Result<()> {
    let world = World::start(&[("inbox.max", "4"), ("inbox.keep", "1")]).await;
    let url = world.redis.url();
    let tablet = world.open("alice", "tablet").await;
    drop(tablet);
    world.until_connections("alice", 0).await;
    let mut phone = world.open("alice", "phone").await;
    let sent = world.send("alice", "first").await;
    let waits = until(&url, &[&sent.id, "--user", "alice"], "phone", "waits").await?;
    ensure!(waits["standing"] == "kept" && waits["cursor"] == *sent.cursor);
    ensure!(waits["notification"]["id"] == *sent.id, "{waits}");
    let connections = &device(&waits, "phone")?["connections"];
    ensure!(connections[0]["gateway"].is_string(), "{connections}");
    ensure!(device(&waits, "tablet")?["connections"] == json!([]));

    loop {
        let frame = phone.socket.frame(SOON).await?;
        if frame["id"] == *sent.id {
            phone.ack(&world, &frame).await;
            break;
        }
    }
    // The same is found without knowing whose it is.
    let acked = until(&url, &[&sent.id], "phone", "acked").await?;
    ensure!(acked["user"] == "alice" && device(&acked, "tablet")?["fate"] == "waits");

    // The tablet is away, and the inbox becomes full.
    for number in 0..5 {
        world.send("alice", &format!("{number}")).await;
        let frame = next_of(&mut phone.socket, "t").await?;
        phone.ack(&world, &frame).await;
    }
    let by_cursor = [&*sent.cursor, "--user", "alice"];
    let passed = until(&url, &by_cursor, "tablet", "dropped").await?;
    ensure!(passed["standing"] == "trimmed" && passed["notification"] == Value::Null);
    ensure!(device(&passed, "tablet")?["at"].is_string(), "{passed}");
    ensure!(device(&passed, "phone")?["fate"] == "acked");
    // A device that comes later is not one that had it.
    let _late = world.open("alice", "late").await;
    until(&url, &by_cursor, "late", "began_after").await?;
    // Its id stood in the frame, and nowhere else.
    ensure!(trace(&url, &[&sent.id, "--user", "alice"]) == (1, json!({"found": false})));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_was_broadcast_or_never_was_is_told_apart() -> Result<()> {
    let world = World::start(&[]).await;
    let url = world.redis.url();
    drop(world.open("bob", "phone").await);
    let sent = world.try_send("bob", "soon", json!({"ttl": "1s"})).await;
    let sent = sent.unwrap();
    let expired = until(&url, &[&sent.id, "--user", "bob"], "phone", "expired").await?;
    ensure!(expired["notification"]["expires_at"] == device(&expired, "phone")?["at"]);

    let all = broadcast(None, "t", "to all");
    let (_, answer) = world.post("/api/notifications/broadcast", &all).await;
    let id = answer["id"].as_str().context("no id")?;
    for arguments in [&[id][..], &[id, "--channel", "*"][..]] {
        let (code, found) = trace(&url, arguments);
        ensure!(code == 0 && found["channel"] == "*", "{found}");
        ensure!(found["cursor"] == answer["cursor"], "{found}");
    }

    let beyond = format!("{}-1", i64::MAX >> 12);
    let (code, found) = trace(&url, &[&beyond, "--user", "bob"]);
    ensure!(code == 0 && found["standing"] == "beyond", "{found}");
    let (number, _) = sent.cursor.split_once('-').context("no nonce")?;
    let other = format!("{number}-1");
    let (_, found) = trace(&url, &[&other, "--user", "bob"]);
    ensure!(found["standing"] == "replaced", "{found}");
    let nobody = "0199a1b2-c3d4-7000-8000-000000000001";
    ensure!(trace(&url, &[nobody]) == (1, json!({"found": false})));
    ensure!(trace(&url, &[&sent.cursor]).0 == 2, "a cursor of nobody");
    Ok(())
}

/// What docs/redis-acl.md gives it is enough, and it changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn it_needs_no_more_than_the_documented_rights_and_only_reads() -> Result<()> {
    let world = World::start(&[]).await;
    let document = read("docs/redis-acl.md");
    let row = document
        .lines()
        .find(|line| line.contains("`carillon trace`"));
    let rights = row.context("no row of carillon trace")?.split('`');
    let rights = rights.skip(3).step_by(2).find(|it| it.starts_with('+'));
    let mut set = cmd("ACL");
    set.arg("SETUSER").arg("looker").arg("on").arg(">secret");
    set.arg("~carillon:*").arg("-@all");
    set.arg(rights.context("no rights")?.split(' ').collect::<Vec<_>>());
    world.redis.query::<()>(&set).await?;
    let sent = world.send("alice", "first").await;
    let before = world.stored().await?;
    let url = world.redis.url_as("looker", "secret");
    for arguments in [&[&*sent.id][..], &[&*sent.cursor, "--user", "alice"][..]] {
        let (code, found) = trace(&url, arguments);
        ensure!(code == 0 && found["standing"] == "kept", "{found}");
    }
    ensure!(world.stored().await? == before, "something was changed");
    Ok(())
}
