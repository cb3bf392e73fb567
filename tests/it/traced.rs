//! Traces: one notification's way from REST through Redis to the sockets, as a collector sees it.

mod off;
mod unreachable;

use anyhow::{Context, Result, ensure};
use carillon_tests::client::{broadcast, notification};
use carillon_tests::collector::{Collected, Collector};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use redis::cmd;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{SOON, World, next_content, next_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a caller says whose request is traced, and one whose request is not.
const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A world whose spans go there; of requests without a parent it traces none.
async fn world(collector: &Collector, protocol: &str, more: &[(&str, &str)]) -> World {
    let url = collector.url();
    let settings = [
        ("tracing.endpoint", &*url),
        ("tracing.protocol", protocol),
        ("tracing.delay", "50ms"),
        ("tracing.ratio", "0"),
    ];
    World::start(&[&settings[..], more].concat()).await
}

/// Posts as a caller with these headers of W3C's; answers with status and body.
async fn post(world: &World, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = world.api.request(Method::POST, path).json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn send(world: &World, user: &str, content: &str, headers: &[(&str, &str)]) -> Value {
    let body = notification(user, "t", content);
    let (status, answer) = post(world, "/api/notifications/send", &body, headers).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one span of this name.
fn named<'a>(spans: &'a [Collected], name: &str) -> Result<&'a Collected> {
    let mut found = spans.iter().filter(|it| it.span.name == name);
    let first = found
        .next()
        .with_context(|| format!("no {name}: {spans:#?}"))?;
    ensure!(found.next().is_none(), "{name} twice: {spans:#?}");
    Ok(first)
}

/// What the sockets were written, as events of a gateway's span: their dialects.
fn written(delivery: &Collected) -> Vec<String> {
    let events = delivery.span.events.iter().map(|event| {
        assert_eq!(event.name, "written");
        let dialect = Collected {
            resource: Vec::new(),
            span: opentelemetry_proto::tonic::trace::v1::Span {
                attributes: event.attributes.clone(),
                ..Default::default()
            },
        };
        dialect
            .text("carillon.dialect")
            .unwrap_or_default()
            .to_owned()
    });
    let mut dialects: Vec<_> = events.collect();
    dialects.sort();
    dialects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_followed_from_rest_to_the_sockets() -> Result<()> {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await?;
        let more = [
            ("tracing.headers", "x-token=a%2Cb"),
            (
                "tracing.resource_attributes",
                "deployment.environment.name=here",
            ),
        ];
        let world = world(&collector, protocol, &more).await;
        let mut phone = world.open("alice", "phone").await;
        let mut page = world.open_simple("alice").await;
        let headers = [("traceparent", TRACED), ("tracestate", "vendor=x")];
        let sent = send(&world, "alice", "hush", &headers).await;
        assert_eq!(next_content(&mut phone.socket).await?, "hush");
        assert_eq!(next_content(&mut page).await?, "hush");

        let spans = collector.until(3, SOON).await?;
        let (request, call, delivery) = (
            named(&spans, "send inbox")?,
            named(&spans, "c3_send")?,
            named(&spans, "process inbox")?,
        );
        for one in [request, call, delivery] {
            assert_eq!(hex(&one.span.trace_id), TRACE);
            assert_eq!(one.text("deployment.environment.name"), Some("here"));
        }
        let producer = &request.span;
        assert_eq!(hex(&producer.parent_span_id), CALLER);
        assert_eq!(producer.kind, SpanKind::Producer as i32);
        assert_eq!(producer.trace_state, "vendor=x");
        assert_eq!(request.text("service.name"), Some("carillon-dispatcher"));
        assert_eq!(request.text("messaging.message.id"), sent["id"].as_str());
        assert_eq!(request.text("carillon.sender"), Some("tests"));

        assert_eq!(call.span.parent_span_id, producer.span_id);
        assert_eq!(call.span.kind, SpanKind::Client as i32);
        assert_eq!(call.text("db.stored_procedure.name"), Some("c3_send"));
        ensure!(producer.start_time_unix_nano <= call.span.start_time_unix_nano);
        ensure!(call.span.end_time_unix_nano <= producer.end_time_unix_nano);

        let consumer = &delivery.span;
        assert_eq!(delivery.text("service.name"), Some("carillon-gateway"));
        assert_eq!(delivery.text("messaging.message.id"), sent["id"].as_str());
        assert_eq!(consumer.kind, SpanKind::Consumer as i32);
        assert_eq!(consumer.parent_span_id, producer.span_id);
        let [link] = &consumer.links[..] else {
            anyhow::bail!("one link: {consumer:#?}");
        };
        assert_eq!(link.trace_id, producer.trace_id);
        assert_eq!(link.span_id, producer.span_id);
        assert_eq!(written(delivery), ["carillon.v1", "simple"]);

        // Whom it is for and what it says is nobody's business.
        let all = format!("{spans:?}");
        ensure!(!all.contains("alice") && !all.contains("hush"), "{all}");
        let headers = collector.headers();
        ensure!(
            headers.iter().all(|it| it["x-token"] == "a,b"),
            "{headers:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_away_is_traced_when_they_come() -> Result<()> {
    let collector = Collector::start().await?;
    let world = world(&collector, "http/protobuf", &[]).await;
    send(&world, "alice", "later", &[("traceparent", TRACED)]).await;
    let alice = world.open("alice", "phone").await;
    assert_eq!(alice.contents(), ["later"]);
    let spans = collector.until(3, SOON).await?;
    let (request, delivery) = (
        named(&spans, "send inbox")?,
        named(&spans, "process inbox")?,
    );
    assert_eq!(delivery.span.parent_span_id, request.span.span_id);
    assert_eq!(written(delivery), ["carillon.v1"]);
    let replayed = delivery
        .span
        .attributes
        .iter()
        .find(|it| it.key == "carillon.replayed");
    ensure!(
        format!("{replayed:?}").contains("BoolValue(true)"),
        "{replayed:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_one_span_with_each_socket_in_it() -> Result<()> {
    let collector = Collector::start().await?;
    let world = world(&collector, "grpc", &[]).await;
    let mut members = Vec::new();
    for user in ["alice", "bob"] {
        let mut member = world.open(user, "phone").await;
        let subscribe = json!({"type": "subscribe", "channel": "orders"});
        member.socket.send(&subscribe).await?;
        next_of(&mut member.socket, "subscribed").await?;
        members.push(member);
    }
    let body = broadcast(Some("orders"), "t", "all");
    let traced = [("traceparent", TRACED)];
    let (status, _) = post(&world, "/api/notifications/broadcast", &body, &traced).await;
    assert_eq!(status, 200);
    for member in &mut members {
        assert_eq!(next_content(&mut member.socket).await?, "all");
    }
    let spans = collector.until(3, SOON).await?;
    assert_eq!(
        named(&spans, "c3_publish")?.span.kind,
        SpanKind::Client as i32
    );
    let delivery = named(&spans, "process channel")?;
    assert_eq!(
        delivery.span.parent_span_id,
        named(&spans, "send channel")?.span.span_id
    );
    assert_eq!(written(delivery), ["carillon.v1", "carillon.v1"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_not_traced_is_followed_by_nobody() -> Result<()> {
    let collector = Collector::start().await?;
    // Without a parent all would be traced; this caller has one, which says no.
    let world = world(&collector, "grpc", &[("tracing.ratio", "1")]).await;
    let mut alice = world.open("alice", "phone").await;
    send(&world, "alice", "one", &[("traceparent", NOT_TRACED)]).await;
    assert_eq!(next_content(&mut alice.socket).await?, "one");
    assert_eq!(flags(&world, "alice").await?, ["n"]);

    // What comes after it shows that nothing of it is on its way.
    send(&world, "alice", "two", &[]).await;
    assert_eq!(next_content(&mut alice.socket).await?, "two");
    let spans = collector.until(3, SOON).await?;
    let request = named(&spans, "send inbox")?;
    ensure!(request.span.parent_span_id.is_empty(), "a trace of its own");
    ensure!(
        spans
            .iter()
            .all(|it| it.span.trace_id == request.span.trace_id)
    );
    ensure!(hex(&request.span.trace_id) != TRACE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why_and_logs_which_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let more = [
        ("log.format", "json"),
        ("dispatcher.store_timeout", "200ms"),
    ];
    let world = world(&collector, "grpc", &more).await;
    let traced = [("traceparent", TRACED)];
    let path = "/api/notifications/send";
    let (status, _) = post(&world, path, &json!({"content": "x"}), &traced).await;
    assert_eq!(status, 422);
    let spans = collector.until(1, SOON).await?;
    let refused = named(&spans, "send inbox")?;
    assert_eq!(refused.text("error.type"), Some("missing_field"));

    world.redis.pause();
    let body = notification("alice", "t", "x");
    let (status, _) = post(&world, path, &body, &traced).await;
    world.redis.resume();
    assert_eq!(status, 503);
    let log = world.dispatcher.log()?;
    let line = log.lines().find(|line| line.contains("a request failed"));
    let line: Value = serde_json::from_str(line.context("no such line")?)?;
    assert_eq!(line["span"]["trace_id"], TRACE, "{line}");
    let failed = collector.until(3, SOON).await?;
    let failed = failed
        .iter()
        .filter(|it| it.span.name == "send inbox")
        .nth(1);
    let failed = failed.context("its span")?;
    assert_eq!(line["span"]["span_id"], hex(&failed.span.span_id));
    Ok(())
}

/// The flags of what a user's inbox holds.
async fn flags(world: &World, user: &str) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for key in world.keys(&format!("*:inbox:{user}")).await? {
        let frames: Vec<String> = world
            .redis
            .query(cmd("LRANGE").arg(key).arg(0).arg(-1))
            .await?;
        let of = |frame: &String| frame.split('|').nth(5).unwrap_or_default().to_owned();
        flags.extend(frames.iter().map(of));
    }
    Ok(flags)
}
