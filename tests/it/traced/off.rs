//! Tracing that is off, and what turns it on and off.

use anyhow::{Result, ensure};
use carillon_tests::client::{Api, Targets, notification};
use carillon_tests::collector::Collector;
use carillon_tests::process::Service;
use reqwest::Method;

use super::{TRACED, flags, send};
use crate::world::{QUIET, SOON, World, metric_of, next_content};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_trace_is_kept_while_it_is_off() -> Result<()> {
    let world = World::start(&[]).await;
    let mut alice = world.open("alice", "phone").await;
    send(&world, "alice", "one", &[("traceparent", TRACED)]).await;
    assert_eq!(next_content(&mut alice.socket).await?, "one");
    assert_eq!(flags(&world, "alice").await?, ["n"]);
    for process in [&world.gateway, &world.dispatcher] {
        for result in ["sent", "failed", "dropped"] {
            let name = format!("carillon_tracing_spans_total{{result=\"{result}\"}}");
            assert_eq!(metric_of(process, &name).await?, 0.0);
        }
    }
    Ok(())
}

/// The variables that every program with OpenTelemetry has, and the one that overrules all.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_variables_are_heeded() -> Result<()> {
    let collector = Collector::start().await?;
    let traces = format!("{}/v1/traces", collector.url());
    let service = Service::standalone()
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &traces)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-token=hush-hush")
        .variable("OTEL_TRACES_SAMPLER", "always_on")
        .variable("OTEL_SERVICE_NAME", "bells")
        .variable(
            "OTEL_RESOURCE_ATTRIBUTES",
            "team=realtime,service.name=other",
        )
        .variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    for disabled in [false, true] {
        let (key, hash) = carillon_common::auth::ApiKeys::generate();
        let keys = format!(
            "[[auth.api_keys]]\nname = \"tests\"\nhash = \"{hash}\"\nscopes = [\"send\"]\n"
        );
        let process = service
            .clone()
            .config(&keys)
            .variable("OTEL_SDK_DISABLED", disabled)
            .start()
            .await?;
        let api = Api::new(Targets::new([process.http()]), key.expose())?;
        let request = api.request(Method::POST, "/api/notifications/send");
        let body = notification("alice", "t", "one");
        request.json(&body).send().await?.error_for_status()?;
        if disabled {
            tokio::time::sleep(QUIET).await;
            assert_eq!(collector.spans().len(), 1, "what came before");
            continue;
        }
        let spans = collector.until(1, SOON).await?;
        assert_eq!(spans[0].span.name, "send inbox");
        assert_eq!(spans[0].text("service.name"), Some("bells"));
        assert_eq!(spans[0].text("team"), Some("realtime"));
        ensure!(collector.headers()[0]["x-token"] == "hush-hush");
        ensure!(!process.log()?.contains("hush-hush"));
    }
    Ok(())
}
