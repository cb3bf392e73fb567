//! A collector that is not there, or does not answer: it costs spans, which are counted, and nothing else.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::poll::eventually;
use tokio::net::TcpListener;

use super::{TRACED, send};
use crate::world::{SOON, World, metric_of, next_content};

const FAILED: &str = r#"carillon_tracing_spans_total{result="failed"}"#;
const DROPPED: &str = r#"carillon_tracing_spans_total{result="dropped"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_costs_nothing_but_a_counter() -> Result<()> {
    // One that nobody listens at, and one that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let silent = format!("http://{}", silent.local_addr()?);
    for (endpoint, protocol) in [
        ("http://127.0.0.1:1", "grpc"),
        ("http://127.0.0.1:1", "http/protobuf"),
        (&silent, "grpc"),
    ] {
        let settings = [
            ("tracing.endpoint", endpoint),
            ("tracing.protocol", protocol),
            ("tracing.timeout", "300ms"),
            ("tracing.queue", "20"),
            ("tracing.batch", "10"),
            ("tracing.delay", "50ms"),
        ];
        let world = World::start(&settings).await;
        let mut alice = world.open("alice", "phone").await;
        for round in 0..50 {
            let content = round.to_string();
            let began = Instant::now();
            send(&world, "alice", &content, &[("traceparent", TRACED)]).await;
            assert_eq!(next_content(&mut alice.socket).await?, content);
            let took = began.elapsed();
            ensure!(took < Duration::from_secs(2), "{took:?} at {endpoint}");
        }
        for process in [&world.gateway, &world.dispatcher] {
            // Two spans of each send in one process, one in the other; all are accounted for.
            eventually("all spans are counted as lost", SOON, async || {
                let lost = metric_of(process, FAILED).await? + metric_of(process, DROPPED).await?;
                ensure!(lost == 50.0 || lost == 100.0, "{lost}");
                Ok(())
            })
            .await?;
        }
        let log = world.dispatcher.log()?;
        let told = log.lines().filter(|it| it.contains("spans cannot be sent"));
        ensure!(told.count() == 1, "once, and not for each batch: {log}");
        for process in [&world.gateway, &world.dispatcher] {
            process.terminate();
            ensure!(process.wait(SOON).await?.success());
        }
    }
    Ok(())
}
