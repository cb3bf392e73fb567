//! `make traces`: one notification's way from REST through Redis to a socket, as a real Jaeger has it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::bench::proc;
use carillon_tests::client::{Api, Handshake, Socket, Targets, TokenIn, notification, token};
use carillon_tests::jaeger::{Jaeger, Stored};
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use clap::Parser;
use reqwest::Method;

const SECRET: &str = "a secret that is known to this program alone";
const SOON: Duration = Duration::from_secs(15);
const CALLER: &str = "00f067aa0ba902b7";

/// Sends a notification under a trace of its caller's, and prints what Jaeger has of it
#[derive(Parser)]
struct Arguments {
    /// The program, as scripts/jaeger builds it
    #[arg(long, value_name = "FILE", default_value = "target/jaeger")]
    jaeger: PathBuf,

    /// Keep what is printed as docs/proof/traces.md
    #[arg(long)]
    record: bool,
}

/// Two processes over a Redis of their own, and a user who is connected.
struct Deployment {
    _redis: Standalone,
    _gateway: Process,
    _dispatcher: Process,
    api: Api,
    socket: Socket,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let jaeger = Jaeger::start(&arguments.jaeger).await?;
    let mut told = String::new();
    for (protocol, endpoint) in [
        ("grpc", jaeger.over_grpc()),
        ("http/protobuf", jaeger.over_http()),
    ] {
        let mut deployment = Deployment::start(protocol, &endpoint).await?;
        let trace = trace_id();
        deployment.send(&trace, "01").await?;
        let spans = jaeger.until(&trace, 3).await?;
        check(&spans)?;
        let silent = trace_id();
        deployment.send(&silent, "00").await?;
        // What is sent after it is there: had there been something of it, so would that be.
        let after = trace_id();
        deployment.send(&after, "01").await?;
        check(&jaeger.until(&after, 3).await?)?;
        let nothing = jaeger.trace(&silent).await?;
        ensure!(
            nothing.is_empty(),
            "a caller that is not traced: {nothing:#?}"
        );
        write!(told, "{}", table(protocol, &trace, &silent, &spans))?;
    }
    println!("{told}");
    if arguments.record {
        record(&arguments.jaeger, &told)?;
    }
    Ok(())
}

impl Deployment {
    async fn start(protocol: &str, endpoint: &str) -> Result<Self> {
        let redis = Standalone::start(&Options::default()).await?;
        let (key, hash) = ApiKeys::generate();
        let config = format!(
            "[[auth.issuers]]\nname = \"traces\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\n\
             [[auth.api_keys]]\nname = \"traces\"\nhash = \"{hash}\"\nscopes = [\"send\"]\n"
        );
        let start = |service: Service| {
            let service = service
                .config(&config)
                .set("backend.url", redis.url())
                .set("gateway.listen", "127.0.0.1:0")
                .set("dispatcher.listen", "127.0.0.1:0")
                .set("admin.listen", "127.0.0.1:0")
                .set("drain.delay", "0s")
                .set("tracing.endpoint", endpoint)
                .set("tracing.protocol", protocol)
                .set("tracing.delay", "50ms")
                .set("tracing.ratio", "0");
            async move { service.start().await }
        };
        let (gateway, dispatcher) = (
            start(Service::gateway()).await?,
            start(Service::dispatcher()).await?,
        );
        let token = token::hs256(SECRET, "alice", Duration::from_secs(600));
        let handshake = Handshake::to(&gateway.ws()).token(TokenIn::Query, &token);
        let socket = Socket::connect(&handshake).await?;
        Ok(Self {
            api: Api::new(Targets::new([dispatcher.http()]), key.expose())?,
            socket,
            _redis: redis,
            _gateway: gateway,
            _dispatcher: dispatcher,
        })
    }

    /// Sends as a caller whose trace this is, and waits until it has arrived.
    async fn send(&mut self, trace: &str, flags: &str) -> Result<()> {
        let request = self.api.request(Method::POST, "/api/notifications/send");
        let request = request
            .header("traceparent", format!("00-{trace}-{CALLER}-{flags}"))
            .json(&notification("alice", "t", trace));
        request.send().await?.error_for_status()?;
        let frame = self.socket.frame(SOON).await?;
        ensure!(frame["content"] == trace, "{frame}");
        Ok(())
    }
}

fn trace_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Parents and links are as they should be, and the spans those of two processes.
fn check(spans: &[Stored]) -> Result<()> {
    let named = |name: &str| {
        let span = spans.iter().find(|span| span.name == name);
        span.with_context(|| format!("no {name}: {spans:#?}"))
    };
    ensure!(spans.len() == 3, "three spans: {spans:#?}");
    let (request, call, delivery) = (
        named("send inbox")?,
        named("c3_send")?,
        named("process inbox")?,
    );
    ensure!(request.service == "carillon-dispatcher" && call.service == request.service);
    ensure!(delivery.service == "carillon-gateway");
    ensure!(request.parent.as_deref() == Some(CALLER), "{request:#?}");
    ensure!(call.parent.as_ref() == Some(&request.id), "{call:#?}");
    ensure!(
        delivery.parent.as_ref() == Some(&request.id),
        "{delivery:#?}"
    );
    ensure!(
        delivery.follows == [request.id.clone()],
        "its link: {delivery:#?}"
    );
    ensure!(
        delivery.events == 1,
        "one socket was written to: {delivery:#?}"
    );
    Ok(())
}

fn table(protocol: &str, trace: &str, silent: &str, spans: &[Stored]) -> String {
    let first = spans
        .iter()
        .map(|span| span.began)
        .min()
        .unwrap_or_default();
    let mut text = format!(
        "## Over {protocol}\n\nTrace `{trace}`, of a caller whose span is `{CALLER}`; of `{silent}`, whose caller \
         is not traced, Jaeger has nothing.\n\n| span | of | id | parent | linked to | begins | takes | events |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for span in spans {
        let Stored {
            name, service, id, ..
        } = span;
        let parent = span.parent.as_deref().unwrap_or_default();
        let (begins, follows) = (span.began - first, span.follows.join(", "));
        text += &format!(
            "| `{name}` | {service} | `{id}` | `{parent}` | {follows} | {begins} µs | {} µs | {} |\n",
            span.took, span.events
        );
    }
    text + "\n"
}

fn record(jaeger: &Path, told: &str) -> Result<()> {
    let git = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()?;
    let commit = String::from_utf8(git.stdout)?;
    // As scripts/jaeger notes it.
    let version = std::fs::read_to_string(jaeger.with_extension("version"))?;
    let (commit, version) = (commit.trim(), version.trim());
    let text = format!(
        "# Traces at {commit}\n\n{}; gateway, dispatcher, Redis and Jaeger {version} on loopback. `make traces` \
         prints this, from what Jaeger's query API answers, and fails where a parent or link is another. The span of \
         a delivery has the request's both as parent and as link; Jaeger makes one reference of the two, and \
         `tests/it/traced.rs` tells them apart as they leave the gateway.\n\n{}\n",
        proc::machine(),
        told.trim_end(),
    );
    std::fs::write("docs/proof/traces.md", text).context("run it from the repository's root")
}
