//! `[tracing]`, and the variables of OpenTelemetry.

use super::*;

fn tracing(file: &str, env: &[(&str, &str)]) -> TracingSettings {
    load(file, env).unwrap().tracing
}

#[test]
fn nothing_is_traced_by_default() {
    let tracing = tracing("", &[]);
    assert!(!tracing.is_on());
    assert_eq!(tracing.sampler, TracingSampler::ParentOrRatio);
}

#[test]
fn the_variables_win_over_the_file_and_ours_over_them() {
    let file = "[tracing]\nendpoint = 'http://file:4317'\nratio = 0.5\ntimeout = '3s'\n";
    assert_eq!(tracing(file, &[]).endpoint(), "http://file:4317");
    let usual = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://usual:4318/"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c"),
        ("OTEL_SERVICE_NAME", ""),
    ];
    let by_variables = tracing(file, &usual);
    assert_eq!(by_variables.url(), "http://usual:4318/v1/traces");
    assert_eq!(by_variables.protocol, TracingProtocol::Http);
    assert_eq!(by_variables.timeout, Duration::from_millis(1500));
    assert_eq!(by_variables.headers().unwrap()["a"], "b c");
    assert_eq!((by_variables.ratio, by_variables.service_name), (0.5, None));
    let ours = ("CARILLON__TRACING__ENDPOINT", "http://ours:4318");
    let ours = tracing(file, &[&usual[..], &[ours]].concat());
    assert_eq!(ours.endpoint(), "http://ours:4318");
}

#[test]
fn an_endpoint_for_traces_alone_is_taken_as_it_is() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:4318/in",
        ),
    ];
    assert_eq!(tracing("", &env).url(), "http://traces:4318/in");
}

#[test]
fn a_sampler_without_a_ratio_takes_all() {
    let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
    assert_eq!(tracing("", &[sampler]).ratio, 1.0);
    let both = [sampler, ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
    assert_eq!(tracing("", &both).ratio, 0.25);
}

#[test]
fn whoever_says_none_has_none() {
    let on = ("CARILLON__TRACING__ENDPOINT", "http://ours:4317");
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert!(!tracing("", &[on, off]).is_on(), "{off:?}");
    }
    assert!(tracing("", &[on, ("OTEL_SDK_DISABLED", "false")]).is_on());
}

#[test]
fn what_cannot_be_used_is_told_with_where_it_stands() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ];
    let errors = errors("[tracing]\nbatch = 0\nca_file = 'none.pem'\n", &env);
    for parts in [
        &["tracing.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "scheme"][..],
        &[
            "tracing.protocol",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "grpc",
        ],
        &["tracing.ratio", "OTEL_TRACES_SAMPLER_ARG", "0 to 1"],
        &["tracing.headers", "OTEL_EXPORTER_OTLP_HEADERS"],
        &["tracing.delay", "OTEL_BSP_SCHEDULE_DELAY"],
        &["tracing.batch", "tracing.queue"],
        &["tracing.ca_file", "none.pem"],
    ] {
        assert_error(&errors, parts);
    }
    assert!(!errors.concat().contains("hush"));
}
