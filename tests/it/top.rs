//! `carillon top` against running services.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::edge::carillon;
use crate::world::{World, next_content};

fn top(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(carillon());
    command.args(["top", "--once"]).args(arguments);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_are_shown_with_what_happens_there() -> Result<()> {
    let world = World::start(&[]).await;
    let (gateway, dispatcher) = (
        world.gateway.admin().to_string(),
        world.dispatcher.admin().to_string(),
    );
    let mut alice = world.open("alice", "phone").await;
    let looked = tokio::task::spawn_blocking({
        let (gateway, dispatcher) = (gateway.clone(), dispatcher.clone());
        move || {
            top(&[
                "--json",
                "--every",
                "3s",
                &gateway,
                &dispatcher,
                "127.0.0.1:1",
            ])
        }
    });
    while !looked.is_finished() {
        world.send("alice", "one").await;
        next_content(&mut alice.socket).await?;
    }
    let (code, said) = looked.await?;
    let all: Value = serde_json::from_str(&said)?;
    // One of the three is nobody.
    ensure!(
        code == 1 && all["away"][0]["instance"] == "127.0.0.1:1",
        "{all}"
    );
    let [one, other] = [0, 1].map(|at| &all["services"][at]);
    ensure!(
        one["instance"] == *gateway && one["dispatcher"] == Value::Null,
        "{one}"
    );
    ensure!(one["gateway"]["connections"] == 1.0, "{one}");
    ensure!(
        one["redis_up"] == true && one["memory_bytes"].as_f64() > Some(1e6),
        "{one}"
    );
    ensure!(
        one["gateway"]["delivered_per_second"].as_f64() > Some(1.0),
        "{one}"
    );
    ensure!(
        one["gateway"]["delivery_p99_seconds"].as_f64() > Some(0.0),
        "{one}"
    );
    ensure!(
        other["instance"] == *dispatcher && other["gateway"] == Value::Null,
        "{other}"
    );
    ensure!(
        other["dispatcher"]["sends_per_second"].as_f64() > Some(1.0),
        "{other}"
    );
    ensure!(other["dispatcher"]["failed_per_second"] == 0.0, "{other}");

    let table = tokio::task::block_in_place(|| top(&["--every", "100ms", &gateway]));
    ensure!(table.0 == 0 && table.1.starts_with("GATEWAY"), "{table:?}");
    ensure!(table.1.contains(&format!("\n{gateway}")), "{table:?}");
    let nobody = tokio::task::block_in_place(|| top(&["--every", "100ms", "127.0.0.1:1"]));
    ensure!(nobody.0 == 3, "{nobody:?}");
    Ok(())
}
