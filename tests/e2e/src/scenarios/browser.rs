//! A page in Chromium, as a user has it.

use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{Router, extract::State, routing::post};
use carillon_client::Message;
use carillon_tests::{figures::Figures, poll::eventually};
use parking_lot::Mutex;
use tokio::{net::TcpListener, process::Command};

use crate::{
    cluster::file,
    deployment::{Deployment, RELEASE},
    stage::Stage,
};

const USER: &str = "browser";

/// What the page has told: every id that its application was given, repetitions included.
type Told = Arc<Mutex<Vec<String>>>;

/// Takes what the page tells.
async fn listen(told: Told) -> Result<u16> {
    let note = |State(told): State<Told>, id: String| async move {
        told.lock().push(id);
    };
    let router = Router::new().route("/told", post(note)).with_state(told);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

async fn send(deployment: &Deployment, n: usize) -> Result<String> {
    let content = n.to_string();
    let message = Message {
        target_user: Some(USER),
        notification_type: "test",
        content: &content,
        ..Message::default()
    };
    let key = format!("browser-{n}-{}", jiff::Timestamp::now().as_nanosecond());
    let accepted = deployment.entrance.api.accept(&message, &key).await?;
    Ok(accepted.id)
}

pub(super) async fn survives_a_rollout(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let told = Told::default();
    let port = listen(told.clone()).await?;
    let page = format!(
        "file://{}#{}/ws/notifications?token={} {port}",
        file("page.html").display(),
        deployment.socket(),
        deployment.access.token(USER)?,
    );
    let profile = tempfile::tempdir()?;
    let mut chromium = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--remote-debugging-port=0", &page])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("chromium is missing")?;
    let heard = || told.lock().clone();

    let mut accepted = vec![send(deployment, 0).await?];
    eventually(
        "the page shows the first one",
        Duration::from_secs(40),
        async || {
            ensure!(heard().contains(&accepted[0]), "nothing yet");
            Ok(())
        },
    )
    .await?;
    let began = Instant::now();
    for component in ["gateway", "dispatcher"] {
        let name = format!("deployment/{RELEASE}-{component}");
        deployment.kubectl(&["rollout", "restart", &name]).await?;
    }
    let rolled = deployment.rolled_out();
    tokio::pin!(rolled);
    loop {
        tokio::select! {
            result = &mut rolled => break result?,
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                accepted.push(send(deployment, accepted.len()).await?);
            }
        }
    }
    let rolled = began.elapsed();
    eventually(
        "the page has shown all",
        Duration::from_secs(40),
        async || {
            let heard: BTreeSet<String> = heard().into_iter().collect();
            let missing: Vec<_> = accepted.iter().filter(|id| !heard.contains(*id)).collect();
            ensure!(
                missing.is_empty(),
                "{} of {} missing",
                missing.len(),
                accepted.len()
            );
            Ok(())
        },
    )
    .await?;
    chromium.kill().await?;

    let mut once = heard();
    let given = once.len();
    let mut known = BTreeSet::new();
    once.retain(|id| known.insert(id.clone()));
    ensure!(once == accepted, "not in the order of acceptance");
    let mut figures = Figures::new("a page in Chromium during a rollout");
    figures.row("rolled out", format!("{rolled:.0?}"));
    figures.row("accepted", accepted.len());
    figures.row("shown", known.len());
    figures.row(
        "given again (at least once, by the simple protocol)",
        given - known.len(),
    );
    Ok(figures)
}
