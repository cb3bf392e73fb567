//! A real Alertmanager, and a receiver that hears what it tells.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::{Json, Router, extract::State, routing::post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::child::Child;
use crate::poll::eventually;
use crate::prometheus::listens;

/// The program: as Debian calls it, and as its authors do.
const NAMES: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// A running Alertmanager; killed when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    _child: Child,
    _dir: TempDir,
    _receiver: AbortOnDropHandle<()>,
    address: SocketAddr,
    told: Told,
}

/// What the receiver was told: each alert's labels and status, in order.
type Told = Arc<Mutex<Vec<(Value, String)>>>;

impl Alertmanager {
    /// Starts it with this configuration (as its file has it), in which every receiver is the one of this test,
    /// told at once.
    ///
    /// # Errors
    /// When it is missing, or refuses its configuration.
    pub async fn start(configuration: &Value) -> Result<Self> {
        let told = Told::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let hook = format!("http://{}/", listener.local_addr()?);
        let router = Router::new()
            .route("/", post(hear))
            .with_state(told.clone());
        let receiver = tokio::spawn(async move {
            // It ends with this test.
            drop(axum::serve(listener, router).await);
        });

        let mut configuration = configuration.clone();
        let receivers = configuration["receivers"].as_array_mut();
        for receiver in receivers.context("no receivers")? {
            receiver["webhook_configs"] = json!([{"url": hook, "send_resolved": true}]);
        }
        configuration["route"]["group_wait"] = json!("0s");
        configuration["route"]["group_interval"] = json!("1s");
        let dir = TempDir::new()?;
        let file = dir.path().join("alertmanager.yml");
        fs::write(&file, configuration.to_string())?;
        let log = dir.path().join("log");
        let mut started = None;
        for name in NAMES {
            let output = File::create(&log)?;
            let mut command = Command::new(name);
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.path={}",
                    dir.path().join("data").display()
                ))
                .arg("--web.listen-address=127.0.0.1:0")
                .arg("--cluster.listen-address=")
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output);
            started = Child::spawn(command).ok();
            if started.is_some() {
                break;
            }
        }
        let child = started.context("alertmanager does not start; `make setup` installs it")?;
        let address = listens(&child, &log).await?;
        Ok(Self {
            _child: child,
            _dir: dir,
            _receiver: AbortOnDropHandle::new(receiver),
            address,
            told,
        })
    }

    /// Where Prometheus tells it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the receiver was told, as the last word about the alert with these labels, that it is `firing`
    /// or `resolved`. Answers with all of its labels.
    ///
    /// # Errors
    /// When that is not so `within` this time.
    pub async fn tells(
        &self,
        labels: &[(&str, &str)],
        status: &str,
        within: Duration,
    ) -> Result<Value> {
        let what = format!("the receiver is told that {labels:?} is {status}");
        eventually(&what, within, async || {
            let told = self.told.lock();
            let is_it = |of: &Value| labels.iter().all(|(name, value)| of[*name] == *value);
            let of_it = told.iter().rfind(|(labels, _)| is_it(labels));
            let (labels, last) = of_it.context("it has heard nothing of it")?;
            ensure!(last == status, "it is {last}");
            Ok(labels.clone())
        })
        .await
    }

    /// What it knows of an alert and keeps to itself: by how many others it is inhibited.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn inhibited(&self, alert: &str) -> Result<usize> {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let all: Value = reqwest::get(url).await?.json().await?;
        let all = all.as_array().context("no list of alerts")?;
        let mut of_it = all.iter().filter(|it| it["labels"]["alertname"] == alert);
        let one = of_it.next().context("it does not know of it")?;
        let by = one["status"]["inhibitedBy"].as_array();
        Ok(by.map_or(0, Vec::len))
    }
}

async fn hear(State(told): State<Told>, Json(message): Json<Value>) {
    let alerts = message["alerts"].as_array().into_iter().flatten();
    let heard = alerts.map(|alert| {
        let status = alert["status"].as_str().unwrap_or_default();
        (alert["labels"].clone(), status.to_owned())
    });
    told.lock().extend(heard);
}
