//! What this machine and the configuration say, without Redis.

use super::Finding;
use crate::{
    descriptors::raise_descriptors,
    settings::{Credentials, Fault, Settings, SettingsError},
};

/// Below this a gateway is no gateway.
const FEW_CONNECTIONS: u32 = 4_000;

/// That the store is in memory; `whole`: of the one process that there is.
pub fn in_memory(whole: bool) -> Finding {
    const WHAT: &str = "store";
    match whole {
        true => Finding::warning(
            WHAT,
            "in memory: everything ends with the process",
            "name a Redis in backend.url for anything but trying out",
        ),
        false => Finding::warning(
            WHAT,
            "in memory: nothing reaches another process",
            "name a Redis in backend.url, or run `carillon standalone`",
        ),
    }
}

/// Open files, the files of `auth.dir`, and who may connect and send by those that are in order.
pub fn check_local(settings: &Settings) -> Vec<Finding> {
    let (credentials, faults) = settings.auth.usable();
    let mut findings = folder(settings, &faults);
    findings.extend(check_running(settings, &credentials));
    findings
}

/// Open files, and who may connect and send, as a process has it.
pub(super) fn check_running(settings: &Settings, credentials: &Credentials) -> [Finding; 3] {
    [
        descriptors(settings, raise_descriptors()),
        issuers(credentials.verifier.len()),
        api_keys(credentials.api_keys.len()),
    ]
}

/// Every mistake of every file.
fn folder(settings: &Settings, faults: &[Fault]) -> Vec<Finding> {
    const WHAT: &str = "auth.dir";
    let Some(folder) = &settings.auth.dir else {
        return Vec::new();
    };
    if faults.is_empty() {
        let detail = format!("every file in {} is in order", folder.display());
        return vec![Finding::ok(WHAT, detail)];
    }
    let errors = faults.iter().flat_map(|fault| &fault.errors);
    let failure = |error: &SettingsError| {
        let SettingsError {
            path,
            problem,
            remedy,
            origin,
        } = error;
        Finding::failure(WHAT, format!("{path}: {problem} ({origin})"), remedy)
    };
    errors.map(failure).collect()
}

fn descriptors(settings: &Settings, limit: u64) -> Finding {
    const WHAT: &str = "open files";
    match settings.gateway.connection_limit(limit) {
        Err(error) => Finding::failure(WHAT, error.problem, error.remedy),
        Ok(connections) if connections < FEW_CONNECTIONS => Finding::warning(
            WHAT,
            format!("{limit} here are enough for {connections} connections"),
            "raise the hard limit (LimitNOFILE=, ulimit -Hn) to 65536",
        ),
        Ok(connections) => Finding::ok(
            WHAT,
            format!("{limit} here, {connections} connections for a gateway"),
        ),
    }
}

fn issuers(count: usize) -> Finding {
    const WHAT: &str = "issuers";
    match count {
        0 => Finding::warning(
            WHAT,
            "none: no client can connect",
            "add one to [[auth.issuers]], or to a file in auth.dir",
        ),
        n => Finding::ok(WHAT, format!("{n} configured")),
    }
}

fn api_keys(count: usize) -> Finding {
    const WHAT: &str = "API keys";
    match count {
        0 => Finding::warning(
            WHAT,
            "none: no service can send",
            "make one with `carillon apikey new`",
        ),
        n => Finding::ok(WHAT, format!("{n} configured")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use crate::settings::Auto;

    #[test]
    fn open_files_are_judged_by_the_connections_they_allow() {
        let mut settings = Settings::default();
        let level = |settings: &Settings, limit| descriptors(settings, limit).level;
        assert_eq!(level(&settings, 65_536), Level::Ok);
        assert_eq!(level(&settings, 1_024), Level::Warning);
        settings.gateway.max_connections = Auto::Value(50_000);
        assert_eq!(level(&settings, 20_000), Level::Failure);
    }
}
