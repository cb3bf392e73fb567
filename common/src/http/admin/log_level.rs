//! What is logged, changed for a while: it ends by itself, so that nobody's debugging fills a disk.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::to_bytes,
    extract::{Request, State},
    routing::{MethodRouter, get},
};
use humantime_serde::re::humantime;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::EnvFilter;

use super::guard::Operator;
use crate::{
    http::Problem, ids::Millis, json::fault, notification::rfc3339, telemetry::LogLevel,
    text::decoded,
};

const MOST_BYTES: usize = 4_096;
const BODY_TIME: Duration = Duration::from_secs(5);
/// How long a change may last, and does where nothing is said.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
const SHORTEST: Duration = Duration::from_secs(1);
const USUAL: Duration = Duration::from_secs(600);

/// The level, and who has changed it.
struct Live {
    level: LogLevel,
    changed: Mutex<Option<Changed>>,
}

struct Changed {
    directive: String,
    by: Arc<str>,
    until: Millis,
    /// Ends the change; another one takes its place.
    _end: AbortOnDropHandle<()>,
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    directive: String,
    #[serde(rename = "for")]
    time: Option<String>,
}

type Shared = Arc<Live>;

/// What the log's level answers to.
pub(super) fn routes(level: LogLevel) -> MethodRouter<()> {
    let live = Arc::new(Live {
        level,
        changed: Mutex::default(),
    });
    get(show).put(change).delete(restore).with_state(live)
}

impl Live {
    fn shown(&self) -> Json<Value> {
        let changed = self.changed.lock();
        let changed = changed.as_ref().map(|changed| {
            json!({
                "directive": changed.directive,
                "by": changed.by,
                "until": rfc3339(changed.until),
            })
        });
        Json(json!({"configured": &*self.level.configured(), "changed": changed}))
    }

    fn end(&self) -> bool {
        let was = self.changed.lock().take().is_some();
        was && self.level.restore()
    }
}

async fn show(State(live): State<Shared>) -> Json<Value> {
    live.shown()
}

async fn change(
    State(live): State<Shared>,
    Extension(Operator(by)): Extension<Operator>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (directive, time) = read(request).await?;
    // Said while it is sure to be heard: what is asked for may be silence.
    tracing::warn!(
        key = &*by,
        directive,
        time = %humantime::format_duration(time),
        "the log is changed by an operator, for this time"
    );
    let mut changed = live.changed.lock();
    if !live.level.add(&directive) {
        let detail = "the log of this process cannot be changed";
        return Err(Problem::new(503, "log_unchangeable", "Log cannot be changed").detail(detail));
    }
    let ends = live.clone();
    let end = tokio::spawn(async move {
        sleep(time).await;
        if ends.end() {
            tracing::warn!(
                "the log is as configured again: the time that an operator gave is over"
            );
        }
    });
    let until = jiff::Timestamp::now().as_millisecond() + millis(time);
    *changed = Some(Changed {
        directive,
        by,
        until,
        _end: AbortOnDropHandle::new(end),
    });
    drop(changed);
    Ok(live.shown())
}

async fn restore(
    State(live): State<Shared>,
    Extension(Operator(by)): Extension<Operator>,
) -> Json<Value> {
    if live.end() {
        tracing::warn!(key = &*by, "the log is as configured again, by an operator");
    }
    live.shown()
}

/// The directive and its time, if the body is in order.
async fn read(request: Request) -> Result<(String, Duration), Problem> {
    let malformed = |detail: String| {
        let detail = format!(
            "{detail}; send {{\"directive\": \"carillon_gateway=debug\", \"for\": \"10m\"}}"
        );
        Problem::new(400, "malformed_json", "Malformed JSON").detail(detail)
    };
    let body = timeout(BODY_TIME, to_bytes(request.into_body(), MOST_BYTES)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(malformed("the body is broken or too large".to_owned())),
        Err(_) => return Err(malformed("the body did not arrive in time".to_owned())),
    };
    let text = decoded(&body).map_err(|error| malformed(format!("the body {error}")))?;
    let wanted: Wanted = serde_json::from_str(text).map_err(|error| {
        malformed(format!(
            "the body is not as it should be: {}",
            fault(&error)
        ))
    })?;
    let wrong = |pointer: &str, detail: String| {
        Problem::new(422, "invalid_field", "Invalid fields")
            .detail(format!("{pointer}: {detail}"))
            .at(pointer, detail)
    };
    let time = match &wanted.time {
        None => USUAL,
        Some(text) => match humantime::parse_duration(text) {
            Ok(time) if (SHORTEST..=LONGEST).contains(&time) => time,
            Ok(_) => return Err(wrong("/for", "must be 1s to 24h".to_owned())),
            Err(error) => return Err(wrong("/for", format!("{error}; write 10m or 2h"))),
        },
    };
    let directive = checked(&wanted.directive);
    let directive = directive.map_err(|detail| wrong("/directive", detail))?;
    Ok((directive, time))
}

/// Levels, for all or for a module each. What filters by spans and fields would be matched at every line.
/// As it is to be used: spaces around the commas are none of it.
fn checked(directive: &str) -> Result<String, String> {
    const REMEDY: &str = "write a level (error, warn, info, debug, trace, off) or module=level, separated by \
                          commas: warn,carillon_gateway=debug";
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let parts: Vec<&str> = directive.split(',').map(str::trim).collect();
    for part in &parts {
        let (module, level) = part.split_once('=').unwrap_or(("any", *part));
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_:-".contains(c);
        if module.is_empty() || !module.chars().all(is_path) {
            return Err(format!("{part:?} names no module; {REMEDY}"));
        }
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!("{part:?} has no level; {REMEDY}"));
        }
    }
    let directive = parts.join(",");
    match EnvFilter::try_new(&directive) {
        Ok(_) => Ok(directive),
        Err(error) => Err(format!("{error}; {REMEDY}")),
    }
}

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_levels_and_modules() {
        for good in [
            "debug",
            "carillon_gateway=debug",
            "warn,carillon_gateway::session=TRACE,hyper=off",
        ] {
            assert_eq!(checked(good).as_deref(), Ok(good));
        }
        assert_eq!(checked("warn, hyper=off ").as_deref(), Ok("warn,hyper=off"));
        for (wrong, why) in [
            ("", "has no level"),
            ("degub", "has no level"),
            ("carillon_gateway", "has no level"),
            ("carillon=loud", "has no level"),
            ("=debug", "names no module"),
            ("[span{user=\"x.*\"}]=debug", "names no module"),
            ("a b=debug", "names no module"),
        ] {
            let told = checked(wrong).unwrap_err();
            assert!(
                told.contains(why) && told.contains("carillon_gateway=debug"),
                "{told}"
            );
        }
    }

    async fn asked(body: &str) -> Result<(String, Duration), Problem> {
        read(Request::new(body.to_owned().into())).await
    }

    #[tokio::test]
    async fn a_body_is_read_strictly() {
        let (directive, time) = asked(r#"{"directive":"debug"}"#).await.unwrap();
        assert_eq!((&*directive, time), ("debug", USUAL));
        let (_, time) = asked(r#"{"directive":"debug","for":"2h"}"#).await.unwrap();
        assert_eq!(time, Duration::from_secs(7_200));
        for (body, status, told) in [
            ("", 400, "ends too early"),
            ("{}", 400, "missing field `directive`"),
            (
                r#"{"directive":"debug","until":"2h"}"#,
                400,
                "unknown field `until`",
            ),
            (r#"{"directive":"debug","for":"soon"}"#, 422, "/for"),
            (r#"{"directive":"debug","for":"25h"}"#, 422, "1s to 24h"),
            (r#"{"directive":"loud"}"#, 422, "/directive"),
        ] {
            let problem = asked(body).await.unwrap_err();
            let detail = problem.detail.unwrap();
            assert_eq!(problem.status, status, "{body}");
            assert!(detail.contains(told), "{body}: {detail}");
        }
        let long = format!(r#"{{"directive":"{}"}}"#, "debug,".repeat(1_000));
        assert_eq!(asked(&long).await.unwrap_err().status, 400);
    }
}
