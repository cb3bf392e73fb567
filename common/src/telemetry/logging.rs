//! Log lines: to stderr, for people or for machines.

use std::io::IsTerminal;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::settings::{LogFormat, LogSettings};

/// Changes what is logged while the process runs: what the configuration says, and what an operator adds to it for a
/// while. Clones change the same log.
#[derive(Clone)]
pub struct LogLevel(Arc<Shared>);

struct Shared {
    filter: reload::Handle<EnvFilter, Registry>,
    directives: Mutex<Directives>,
}

#[derive(Clone)]
struct Directives {
    configured: Arc<str>,
    added: Option<Arc<str>>,
}

impl LogLevel {
    /// Of a process whose log is somebody else's: nothing changes it.
    pub fn detached(settings: &LogSettings) -> Self {
        let (_, handle) = reload::Layer::new(EnvFilter::default());
        Self::new(handle, settings)
    }

    fn new(filter: reload::Handle<EnvFilter, Registry>, settings: &LogSettings) -> Self {
        let directives = Directives {
            configured: settings.level.as_str().into(),
            added: None,
        };
        Self(Arc::new(Shared {
            filter,
            directives: Mutex::new(directives),
        }))
    }

    /// `log.level`.
    pub fn configured(&self) -> Arc<str> {
        self.0.directives.lock().configured.clone()
    }

    /// Logs what `level` says from now on, and what was added to it; false if it is not a level, or the process no
    /// longer logs.
    pub fn configure(&self, level: &str) -> bool {
        self.change(|directives| directives.configured = level.into())
    }

    /// Logs what `directive` says beside what is configured; false as above.
    pub fn add(&self, directive: &str) -> bool {
        self.change(|directives| directives.added = Some(directive.into()))
    }

    /// Logs what is configured alone.
    pub fn restore(&self) -> bool {
        self.change(|directives| directives.added = None)
    }

    /// What fails changes nothing.
    fn change(&self, change: impl FnOnce(&mut Directives)) -> bool {
        let mut directives = self.0.directives.lock();
        let mut changed = directives.clone();
        change(&mut changed);
        let text = match &changed.added {
            Some(added) => format!("{},{added}", changed.configured),
            None => changed.configured.to_string(),
        };
        let filter = EnvFilter::try_new(text);
        let done = filter.is_ok_and(|filter| self.0.filter.reload(filter).is_ok());
        if done {
            *directives = changed;
        }
        done
    }
}

/// Starts logging for the whole process; once, in `main`. Human lines are coloured only on a terminal,
/// and not where `NO_COLOR` is set.
///
/// # Errors
/// When the process logs already.
pub fn start(settings: &LogSettings) -> Result<LogLevel, TryInitError> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = std::io::stderr().is_terminal() && !plain;
    let (subscriber, level) = subscriber(settings, coloured, std::io::stderr);
    subscriber.try_init()?;
    Ok(level)
}

fn subscriber<W>(
    settings: &LogSettings,
    coloured: bool,
    writer: W,
) -> (impl Subscriber + Send + Sync, LogLevel)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The settings have been checked; a level that cannot be read would still not silence errors.
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(writer).with_ansi(coloured);
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Human => Box::new(lines),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(true)),
    };
    let lines = lines.with_filter(filter_fn(is_wanted));
    (
        tracing_subscriber::registry().with(filter).with(lines),
        LogLevel::new(handle, settings),
    )
}

/// The WebSocket library's details are whole frames, with the tokens and notifications in them. The
/// Kubernetes client warns at every attempt of what our watch tells once.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), *metadata.level());
    !(target.starts_with("tungstenite") && level > Level::INFO
        || target.starts_with("kube_") && level <= Level::WARN)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `f`.
    fn logged(format: LogFormat, level: &str, coloured: bool, f: impl FnOnce(LogLevel)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = LogSettings {
            format,
            level: level.to_owned(),
        };
        let (subscriber, level) = subscriber(&settings, coloured, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || f(level));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top() {
        let text = logged(LogFormat::Json, "info", false, |_| {
            tracing::info!(user.id = "alice", duration_ms = 5, "connected");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "connected");
        assert_eq!(line["user.id"], "alice");
        assert_eq!(line["duration_ms"], 5);
        assert_eq!(line["level"], "INFO");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn human_lines_are_coloured_only_where_asked() {
        let log = |coloured| {
            logged(LogFormat::Human, "info", coloured, |_| {
                tracing::info!(n = 1, "hello")
            })
        };
        assert!(log(false).contains("hello n=1") && !log(false).contains('\u{1b}'));
        assert!(log(true).contains('\u{1b}'));
    }

    #[test]
    fn frames_are_in_no_log() {
        let text = logged(LogFormat::Human, "trace", false, |_| {
            tracing::trace!(target: "tungstenite::protocol", "Received message hush");
            tracing::warn!(target: "tungstenite::protocol", "loud");
            tracing::trace!("ours");
        });
        assert!(!text.contains("hush") && text.contains("loud") && text.contains("ours"));
    }

    #[test]
    fn what_the_kubernetes_client_repeats_is_in_no_log() {
        let text = logged(LogFormat::Human, "debug", false, |_| {
            tracing::warn!(target: "kube_runtime::watcher", "again");
            tracing::debug!(target: "kube_runtime::watcher", "details");
        });
        assert!(!text.contains("again") && text.contains("details"));
    }

    #[test]
    fn level_can_be_changed() {
        let text = logged(LogFormat::Human, "warn", false, |level| {
            tracing::info!("first");
            assert!(level.add("info"));
            tracing::info!("second");
            assert!(!level.add("carillon=loud"));
            tracing::info!("third");
            assert_eq!(&*level.configured(), "warn");
            assert!(level.configure("error"));
            tracing::info!("fourth, by what was added");
            assert!(level.restore());
            tracing::warn!("fifth");
            assert!(!level.configure("loud=loud"));
            assert_eq!(&*level.configured(), "error");
        });
        let are_logged =
            ["first", "second", "third", "fourth", "fifth"].map(|it| text.contains(it));
        assert_eq!(are_logged, [false, true, true, true, false], "{text}");
    }
}
