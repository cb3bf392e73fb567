//! What several commands take: settings, secrets from where they do not leak, durations.

use std::{
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use carillon_common::{
    auth::Secret,
    ids::Millis,
    notification::from_rfc3339,
    settings::{IssuerSettings, Settings, process_env},
    text::decoded,
};
use clap::Args;
use humantime_serde::re::humantime;

use crate::failure::Failure;

/// `150ms`, `10s`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 150ms, 10s, 2h or 1d"))
}

/// A time by RFC 3339.
pub(crate) fn moment(text: &str) -> Result<Millis, String> {
    from_rfc3339(text).ok_or_else(|| "must be a time such as 2026-01-01T00:00:00Z".to_owned())
}

/// The same, or how long it is until then.
pub(crate) fn later(text: &str) -> Result<Millis, String> {
    let from_now = || {
        let from_now = Millis::try_from(duration(text).ok()?.as_millis()).ok()?;
        now_ms().checked_add(from_now)
    };
    let rule = || {
        "must be a time such as 2026-01-01T00:00:00Z, or how long until then, such as 2h".to_owned()
    };
    moment(text).ok().or_else(from_now).ok_or_else(rule)
}

/// A duration as people write it.
pub(crate) fn human(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A number above zero, below a million.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match f64::from_str(text) {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("must be a number a second, above 0".to_owned()),
    }
}

/// The operator's configuration: defaults, then the file, then the environment.
pub(crate) fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    Ok(Settings::load(config, process_env())?)
}

/// A text that may begin with a hyphen, unless it is an option that was meant: `--content --json`.
pub(crate) fn text(text: &str) -> Result<String, String> {
    let is_option = text.strip_prefix("--").is_some_and(|name| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    });
    match is_option {
        false => Ok(text.to_owned()),
        true => Err("is an option, and the text before it is missing".to_owned()),
    }
}

/// The whole of stdin, without a byte order mark.
pub(crate) fn stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Failed(format!("stdin cannot be read: {error}")))?;
    decoded(&bytes)
        .map(str::to_owned)
        .map_err(|error| Failure::Usage(format!("stdin {error}")))
}

/// A secret in a file; a line break at its end is not part of it, nor a byte order mark.
pub(crate) fn secret_file(path: &Path) -> Result<Secret<String>, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
    let text =
        decoded(&bytes).map_err(|error| Failure::Usage(format!("{} {error}", path.display())))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// From a variable of the environment; empty is absent.
pub(crate) fn secret_variable(name: &str) -> Option<Secret<String>> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map(Secret::new)
}

/// Where the secret that signs tokens comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct SigningArgs {
    /// File with the HS256 secret [or the environment's CARILLON_SECRET]
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    pub(crate) secret_file: Option<PathBuf>,
    /// `-` reads the secret from stdin; an argument would show in every list of processes
    #[arg(long, value_name = "-", value_parser = ["-"])]
    secret: Option<String>,
    /// `iss` of the token, where the configuration asks for one
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    issuer: Option<String>,
    /// `aud` of the token, where the configuration asks for one
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    audience: Option<String>,
}

impl SigningArgs {
    /// The issuer that these arguments describe.
    pub(crate) fn issuer(&self) -> Result<IssuerSettings, Failure> {
        let secret = self.secret()?.ok_or_else(|| {
            Failure::Usage(
                "no secret to sign with: pass --secret-file FILE, --secret - or CARILLON_SECRET \
                 (`openssl rand -hex 32` makes one; `carillon standalone --dev` prints ready tokens)"
                    .to_owned(),
            )
        })?;
        // RFC 7518 §3.2; a gateway refuses to start with a shorter one.
        if secret.expose().len() < 32 {
            let text = "the secret is shorter than the 32 bytes that HS256 needs";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut issuer = IssuerSettings::hs256("command line", secret.expose());
        issuer.issuer.clone_from(&self.issuer);
        issuer.audience.clone_from(&self.audience);
        Ok(issuer)
    }

    fn secret(&self) -> Result<Option<Secret<String>>, Failure> {
        match (&self.secret_file, &self.secret) {
            (Some(file), _) => secret_file(file).map(Some),
            (None, Some(_)) => {
                let text = stdin()?;
                Ok(Some(Secret::new(
                    text.trim_end_matches(['\r', '\n']).to_owned(),
                )))
            }
            (None, None) => Ok(secret_variable("CARILLON_SECRET")),
        }
    }
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("10").is_err());
    }

    #[test]
    fn what_is_for_later_has_a_time_or_a_while() {
        assert_eq!(later("2026-01-01T01:00:00+01:00"), Ok(1_767_225_600_000));
        let from_now = later("2h").unwrap() - now_ms();
        assert!((7_140_000..=7_200_000).contains(&from_now), "{from_now}");
        for wrong in ["", "tomorrow", "10", "-2h"] {
            assert!(later(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_no_option() {
        for free in ["-5 °C", "-", "--", "-x", "--Json", "--a b", "---"] {
            assert_eq!(text(free), Ok(free.to_owned()));
        }
        for option in ["--json", "--idempotency-key"] {
            assert!(text(option).is_err(), "{option}");
        }
    }

    #[test]
    fn rates_are_positive() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
