//! `carillon top` against running services.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Json;
use axum::extract::{Query, Request};
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::edge::carillon;
use crate::world::{World, next_content};

fn top(arguments: &[&str]) -> (i32, String) {
    top_with(arguments, &[])
}

fn top_with(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(carillon());
    command.args(["top", "--once"]).args(arguments);
    command.envs(environment.iter().copied());
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
        // Few enough for the inbox of one who acks none.
        tokio::time::sleep(Duration::from_millis(20)).await;
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

/// The API server as far as it is asked here: it lists a gateway and a dispatcher by their labels, and passes on
/// to the gateway's admin port alone.
async fn api_server(gateway: String) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listing {
        label_selector: String,
    }
    let list = async |Query(listing): Query<Listing>| {
        let component = listing
            .label_selector
            .rsplit('=')
            .next()
            .unwrap_or_default();
        Json(json!({
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {},
            "items": [{
                "metadata": {"name": format!("carillon-{component}-1"), "namespace": "rt"},
                "spec": {"containers": [{
                    "name": component,
                    "ports": [{"name": "admin", "containerPort": 9191}],
                }]},
            }],
        }))
    };
    let proxied = async move |request: Request| {
        let path = request.uri().path();
        if path != "/api/v1/namespaces/rt/pods/carillon-gateway-1:9191/proxy/metrics" {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                "reason": "Forbidden", "message": "pods/proxy is forbidden", "metadata": {}});
            return (axum::http::StatusCode::FORBIDDEN, Json(status)).into_response();
        }
        let text = reqwest::get(format!("http://{gateway}/metrics")).await;
        text.unwrap().text().await.unwrap().into_response()
    };
    let router = Router::new()
        .route("/api/v1/namespaces/rt/pods", get(list))
        .fallback(proxied);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_found_and_read_by_the_api_server() -> Result<()> {
    let world = World::start(&[]).await;
    let _alice = world.open("alice", "phone").await;
    let server = api_server(world.gateway.admin().to_string()).await?;
    let dir = TempDir::new()?;
    let config = dir.path().join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "rt"}}],
    });
    std::fs::write(&config, text.to_string())?;
    let environment = [("KUBECONFIG", config.to_string_lossy().into_owned())];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let arguments = ["--kubernetes", "--json", "--every", "200ms"];
    let (code, said) = tokio::task::block_in_place(|| top_with(&arguments, &environment));
    let all: Value = serde_json::from_str(&said)?;
    ensure!(code == 1, "{code}: {all}");
    let gateway = &all["services"][0];
    ensure!(gateway["instance"] == "carillon-gateway-1", "{all}");
    ensure!(gateway["gateway"]["connections"] == 1.0, "{all}");
    // What may not be read is named, with what to do instead.
    let away = &all["away"][0];
    let why = away["why"].as_str().unwrap_or_default();
    ensure!(away["instance"] == "carillon-dispatcher-1", "{all}");
    ensure!(
        why.contains("forbidden") && why.contains("port-forward"),
        "{why}"
    );
    Ok(())
}
