//! The admin port, and the program as a process.

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_common::auth::ApiKeys;
use serde_json::Value;
use tokio::process::Command as AsyncCommand;

use crate::{
    service::{Service, answer},
    store::ToldStore,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carillon-dispatcher");

async fn admin(service: &Service, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", service.admin);
    let answer = answer(service.http.get(url)).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn the_admin_port_tells_health_and_counts() {
    let service = Service::start(Arc::new(ToldStore::default())).await;
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(admin(&service, path).await.0, 200, "{path}");
    }
    let body = r#"{"target_user":"a","notification_type":"t","content":""}"#;
    answer(service.post("/api/notifications/send", body)).await;
    answer(service.post("/api/notifications/send", "{")).await;
    answer(service.anonymous("GET", "/api/notifications/online-count")).await;
    answer(service.request("GET", "/users/alice/secret")).await;
    let (_, metrics) = admin(&service, "/metrics").await;
    for line in [
        r#"carillon_dispatcher_http_requests_total{code="200",route="/api/notifications/send"} 1"#,
        r#"carillon_dispatcher_http_requests_total{code="400",route="/api/notifications/send"} 1"#,
        r#"carillon_dispatcher_http_requests_total{code="404",route="other"} 1"#,
        r#"carillon_dispatcher_sends_total{outcome="routed",sender="all"} 1"#,
        r#"carillon_dispatcher_auth_failures_total{reason="unauthenticated"} 1"#,
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_draining_service_is_not_ready_and_still_serves() {
    let service = Service::start_with(Arc::new(ToldStore::default()), |settings| {
        settings.drain.delay = Duration::from_secs(3600);
    })
    .await;
    service.shutdown.begin();
    let deadline = Instant::now() + Duration::from_secs(5);
    while admin(&service, "/readyz").await.0 == 200 {
        assert!(Instant::now() < deadline, "still ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let count = answer(service.request("GET", "/api/notifications/online-count")).await;
    assert_eq!(count.status, 200);
    service.running.abort();
}

fn started_with(config: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.toml");
    fs::write(&path, config).unwrap();
    Command::new(PROGRAM)
        .arg("--config")
        .arg(path)
        .output()
        .unwrap()
}

#[test]
fn every_mistake_in_the_settings_is_printed_and_the_exit_code_is_64() {
    let output = started_with("[inbox]\nttl = \"soon\"\nmaximum = 1\n");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{printed}");
    for setting in ["inbox.ttl", "inbox.maximum"] {
        assert!(printed.contains(setting), "{setting} in {printed}");
    }
    let keys = started_with("[[auth.api_keys]]\nname = \"a\"\nhash = \"x\"\nscopes = [\"send\"]\n");
    let printed = String::from_utf8(keys.stderr).unwrap();
    assert_eq!(keys.status.code(), Some(64), "{printed}");
    assert!(printed.contains("auth.api_keys.0.hash"), "{printed}");
}

#[tokio::test]
async fn the_program_says_where_it_listens_serves_and_ends_at_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (key, hash) = ApiKeys::generate();
    let config = format!(
        "[dispatcher]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [drain]\ndelay = \"0s\"\n[[auth.api_keys]]\nname = \"a\"\nhash = \"{hash}\"\n\
         scopes = [\"read\"]\n"
    );
    fs::write(path("carillon.toml"), config).unwrap();
    let mut process = AsyncCommand::new(PROGRAM)
        .arg("--config")
        .arg(path("carillon.toml"))
        .arg("--addresses-file")
        .arg(path("addresses.json"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let addresses: Value = loop {
        if let Ok(text) = fs::read(path("addresses.json")) {
            break serde_json::from_slice(&text).unwrap();
        }
        assert!(Instant::now() < deadline, "no addresses");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let public = addresses["public"].as_str().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{public}/api/notifications/online-count");
    let count = answer(http.get(url).bearer_auth(key.expose())).await;
    assert_eq!((count.status, &*count.text), (200, r#"{"online_count":0}"#));

    let id = process.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let status = tokio::time::timeout(Duration::from_secs(10), process.wait()).await;
    assert_eq!(status.unwrap().unwrap().code(), Some(0));
}
