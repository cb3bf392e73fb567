//! A real Prometheus that reads the metrics of running services, and what it makes of them.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::child::Child;
use crate::poll::eventually;

/// For what takes as long as the machine is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    _child: Child,
    _dir: TempDir,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts it with these rule files (their texts), reading each of `targets` and evaluating every second.
    /// Targets get the labels that the chart's PodMonitor gives.
    ///
    /// # Errors
    /// When it is missing, or refuses its configuration.
    pub async fn start(targets: &[SocketAddr], rules: &[String]) -> Result<Self> {
        Self::telling(targets, rules, &[]).await
    }

    /// The same, which tells these Alertmanagers.
    ///
    /// # Errors
    /// When it is missing, or refuses its configuration.
    pub async fn telling(
        targets: &[SocketAddr],
        rules: &[String],
        alertmanagers: &[SocketAddr],
    ) -> Result<Self> {
        let dir = TempDir::new()?;
        for (at, rule) in rules.iter().enumerate() {
            fs::write(dir.path().join(format!("{at}.rules.yaml")), rule)?;
        }
        let scraped = targets.iter().enumerate().map(|(at, target)| {
            json!({
                "targets": [target.to_string()],
                "labels": {"cluster": "c", "namespace": "rt", "pod": format!("pod-{at}")},
            })
        });
        let configuration = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "alerting": {"alertmanagers": [{"static_configs": [{
                "targets": alertmanagers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }]}]},
            "rule_files": [dir.path().join("*.rules.yaml")],
            "scrape_configs": [{
                "job_name": "rt/carillon",
                "static_configs": scraped.collect::<Vec<_>>(),
            }],
        });
        // JSON is YAML, too.
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, configuration.to_string())?;
        let log = dir.path().join("log");
        let output = File::create(&log)?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child =
            Child::spawn(command).context("prometheus does not start; `make setup` installs it")?;
        let address = listens(&child, &log).await?;
        let prometheus = Self {
            _child: child,
            _dir: dir,
            address,
            http: reqwest::Client::new(),
        };
        eventually("every target was read", PATIENCE, async || {
            let up = prometheus.query("count(up == 1)").await?;
            let read = up
                .first()
                .map_or("0", |series| series["value"][1].as_str().unwrap_or("0"));
            ensure!(read == targets.len().to_string(), "{read} were");
            Ok(())
        })
        .await?;
        Ok(prometheus)
    }

    /// The series that a query gives now.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let url = Url::parse_with_params(&url, [("query", query)])?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().cloned();
        result.with_context(|| format!("{query}: {answer}"))
    }

    /// The series that a query gives over the last `seconds`, so many seconds apart.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn range(&self, query: &str, seconds: u32, step: u32) -> Result<Vec<Value>> {
        let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let url = format!("http://{}/api/v1/query_range", self.address);
        let parameters = [
            ("query", query.to_owned()),
            ("start", format!("{:.3}", end - f64::from(seconds))),
            ("end", format!("{end:.3}")),
            ("step", step.to_string()),
        ];
        let url = Url::parse_with_params(&url, parameters)?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().cloned();
        result.with_context(|| format!("{query}: {answer}"))
    }

    /// Waits until the alert fires, or until it does not.
    ///
    /// # Errors
    /// When that is not so `within` this time.
    pub async fn until(&self, alert: &str, fires: bool, within: Duration) -> Result<()> {
        let what = format!("{alert} fires: {fires}");
        let query = format!(r#"ALERTS{{alertname="{alert}", alertstate="firing"}}"#);
        eventually(&what, within, async || {
            let firing = self.query(&query).await?;
            ensure!(firing.is_empty() != fires, "{firing:?}");
            Ok(())
        })
        .await
    }
}

/// What a panel asks, with the variables as Grafana would fill them in.
#[must_use]
pub fn filled(query: &str) -> String {
    let labels = ["cluster", "namespace", "job", "instance", "pod"];
    let filled = labels.iter().fold(query.to_owned(), |query, label| {
        query.replace(&format!("${label}\""), ".*\"")
    });
    filled
        .replace("$__rate_interval", "20s")
        .replace("$quantile", "0.99")
}

/// Where a program of Prometheus says in its log that it listens.
pub(crate) async fn listens(child: &Child, log: &Path) -> Result<SocketAddr> {
    let address = eventually("it says where it listens", PATIENCE, async || {
        let log = fs::read_to_string(log)?;
        if let Some(status) = child.status() {
            return Ok(Err(format!("it ended, {status}: {log}")));
        }
        let line = log.lines().find(|line| line.contains("\"Listening on\""));
        let address = line.and_then(|line| line.rsplit_once("address=")?.1.parse().ok());
        address.map(Ok).context("it does not say it")
    });
    match address.await? {
        Ok(address) => Ok(address),
        Err(ended) => bail!("{ended}"),
    }
}
