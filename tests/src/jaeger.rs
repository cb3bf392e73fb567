//! A real Jaeger, in memory, and what it answers about a trace.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::child::Child;
use crate::poll::eventually;
use crate::redis::free_port;

/// For what takes as long as the machine is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Jaeger; killed when dropped.
#[derive(Debug)]
pub struct Jaeger {
    _child: Child,
    _dir: TempDir,
    grpc: SocketAddr,
    http: SocketAddr,
    query: SocketAddr,
}

/// A span as Jaeger tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Of the process.
    pub service: String,
    /// Its id.
    pub id: String,
    /// The span that it is a child of. Of a link to the parent itself and the parent Jaeger makes one reference, of the
    /// link's kind: then this is the first of `follows`.
    pub parent: Option<String>,
    /// Spans that it follows, which is how Jaeger shows links.
    pub follows: Vec<String>,
    /// How many events it has.
    pub events: usize,
    /// When it began, in µs.
    pub began: u64,
    /// How long it took, in µs.
    pub took: u64,
}

impl Jaeger {
    /// Starts this program.
    ///
    /// # Errors
    /// When it does not start, or does not answer.
    pub async fn start(program: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        let log = dir.path().join("log");
        let output = File::create(&log)?;
        let [grpc, http, query] = [free()?, free()?, free()?];
        let mut command = Command::new(program);
        command
            .arg(format!("--collector.otlp.grpc.host-port={grpc}"))
            .arg(format!("--collector.otlp.http.host-port={http}"))
            .arg(format!("--query.http-server.host-port={query}"))
            .arg(format!("--query.grpc-server.host-port={}", free()?))
            .arg(format!("--admin.http.host-port={}", free()?))
            .arg(format!("--collector.http-server.host-port={}", free()?))
            .arg(format!("--collector.grpc-server.host-port={}", free()?))
            .arg("--collector.otlp.enabled=true")
            .env("SPAN_STORAGE_TYPE", "memory")
            // It would trace itself.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child =
            Child::spawn(command).context("jaeger does not start: `make traces` builds it")?;
        let jaeger = Self {
            _child: child,
            _dir: dir,
            grpc,
            http,
            query,
        };
        let ready = eventually("Jaeger answers", PATIENCE, async || {
            reqwest::get(format!("http://{query}/api/services")).await?;
            Ok(())
        });
        ready
            .await
            .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(jaeger)
    }

    /// Where it takes spans over gRPC.
    #[must_use]
    pub fn over_grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where it takes them over HTTP.
    #[must_use]
    pub fn over_http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The spans of a trace that it has now, by when they began.
    ///
    /// # Errors
    /// When it answers otherwise than expected.
    pub async fn trace(&self, id: &str) -> Result<Vec<Stored>> {
        let url = format!("http://{}/api/traces/{id}", self.query);
        let answer: Value = reqwest::get(url).await?.json().await?;
        let traces = answer["data"].as_array().cloned().unwrap_or_default();
        let mut spans = Vec::new();
        for trace in &traces {
            let all = trace["spans"].as_array().cloned().unwrap_or_default();
            for span in &all {
                spans.push(read(span, &trace["processes"])?);
            }
        }
        spans.sort_by_key(|span| span.began);
        Ok(spans)
    }

    /// Waits until it has so many spans of a trace.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn until(&self, id: &str, count: usize) -> Result<Vec<Stored>> {
        eventually("Jaeger has the trace", PATIENCE, async || {
            let spans = self.trace(id).await?;
            ensure!(
                spans.len() >= count,
                "{} of {count}: {spans:#?}",
                spans.len()
            );
            Ok(spans)
        })
        .await
    }
}

/// Its listeners take no port 0 that they would tell.
fn free() -> Result<SocketAddr> {
    Ok(([127, 0, 0, 1], free_port()?).into())
}

fn read(span: &Value, processes: &Value) -> Result<Stored> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let references = span["references"].as_array().cloned().unwrap_or_default();
    let of = |kind: &str| -> Vec<String> {
        let of_kind = references.iter().filter(|it| it["refType"] == kind);
        of_kind.filter_map(|it| text(&it["spanID"])).collect()
    };
    let follows = of("FOLLOWS_FROM");
    let process = text(&span["processID"]).context("a process")?;
    Ok(Stored {
        name: text(&span["operationName"]).context("a name")?,
        service: text(&processes[&process]["serviceName"]).context("a service")?,
        id: text(&span["spanID"]).context("an id")?,
        parent: of("CHILD_OF").pop().or_else(|| follows.first().cloned()),
        follows,
        events: span["logs"].as_array().map_or(0, Vec::len),
        began: span["startTime"].as_u64().context("a beginning")?,
        took: span["duration"].as_u64().context("a duration")?,
    })
}
