//! The variables that every program with OpenTelemetry has, as settings of `[tracing]`.

use super::error::SettingsError;
use super::tree::{self, Node};

/// Which of the environment says what, the first that is there.
const VARIABLES: [(&str, &[&str], Unit); 13] = [
    (
        "endpoint",
        &[TRACES_ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"],
        Unit::AsItIs,
    ),
    (
        "protocol",
        &[
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ],
        Unit::AsItIs,
    ),
    (
        "headers",
        &[
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ],
        Unit::AsItIs,
    ),
    (
        "ca_file",
        &[
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ],
        Unit::AsItIs,
    ),
    (
        "timeout",
        &[
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ],
        Unit::Millis,
    ),
    ("sampler", &[SAMPLER], Unit::AsItIs),
    ("ratio", &[SAMPLER_ARG], Unit::AsItIs),
    ("service_name", &["OTEL_SERVICE_NAME"], Unit::AsItIs),
    (
        "resource_attributes",
        &["OTEL_RESOURCE_ATTRIBUTES"],
        Unit::AsItIs,
    ),
    ("queue", &["OTEL_BSP_MAX_QUEUE_SIZE"], Unit::AsItIs),
    ("batch", &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], Unit::AsItIs),
    ("delay", &["OTEL_BSP_SCHEDULE_DELAY"], Unit::Millis),
    // As it is, without anything appended.
    ("path", &[TRACES_ENDPOINT], Unit::Nothing),
];

const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

#[derive(Clone, Copy)]
enum Unit {
    AsItIs,
    Millis,
    /// That it is there says that the setting is to be empty.
    Nothing,
}

type Variables = [(String, String)];

/// Lays these variables on `root`, over the configuration's file.
pub(super) fn overlay(root: &mut Node, env: &Variables, errors: &mut Vec<SettingsError>) {
    for (key, names, unit) in VARIABLES {
        let Some((name, value)) = names.iter().find_map(|name| found(env, name)) else {
            continue;
        };
        let value = match unit {
            Unit::AsItIs => value.to_owned(),
            Unit::Millis => format!("{value}ms"),
            Unit::Nothing => String::new(),
        };
        put(root, key, value, name, errors);
    }
    // Where there is a sampler and nothing more, a ratio is the whole.
    if let (Some((name, _)), None) = (found(env, SAMPLER), found(env, SAMPLER_ARG)) {
        put(root, "ratio", "1".to_owned(), name, errors);
    }
}

/// Turns tracing off where one of them says so, whatever else the configuration says.
pub(super) fn overrule(root: &mut Node, env: &Variables, errors: &mut Vec<SettingsError>) {
    let off = [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    for (name, off) in off {
        if let Some((name, value)) = found(env, name)
            && value.eq_ignore_ascii_case(off)
        {
            put(root, "endpoint", String::new(), name, errors);
        }
    }
}

/// One that is empty is as one that is not there.
fn found<'a>(env: &'a Variables, name: &str) -> Option<(&'a str, &'a str)> {
    let (name, value) = env.iter().find(|(found, _)| found == name)?;
    let value = value.trim();
    (!value.is_empty()).then_some((name, value))
}

fn put(root: &mut Node, key: &str, value: String, name: &str, errors: &mut Vec<SettingsError>) {
    let path = ["tracing", key].map(str::to_owned);
    tree::put(root, &path, value, name.to_owned(), errors);
}
