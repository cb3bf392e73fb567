//! What this machine and the configuration say, without Redis.

use super::Finding;
use crate::{
    descriptors::raise_descriptors,
    settings::{Credentials, Fault, Settings, SettingsError},
};

pub(super) const KEY_SETS: &str = "key sets";
pub(super) const SERVICE_KEY_SETS: &str = "key sets of services";
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
    let mut running = check_running(settings, &credentials).to_vec();
    // Nothing has been fetched here.
    running.retain(|finding| ![KEY_SETS, SERVICE_KEY_SETS].contains(&finding.what));
    findings.extend(running);
    findings
}

/// Open files, and who may connect and send, as a process has it.
pub(super) fn check_running(settings: &Settings, credentials: &Credentials) -> [Finding; 5] {
    let Credentials {
        verifier,
        services,
        api_keys,
    } = credentials;
    [
        descriptors(settings, raise_descriptors()),
        issuers(verifier.len()),
        callers(api_keys.len(), services.len()),
        key_sets(KEY_SETS, &verifier.awaited().collect::<Vec<_>>()),
        key_sets(SERVICE_KEY_SETS, &services.awaited().collect::<Vec<_>>()),
    ]
}

/// The keys that issuers publish, fetched from here and now.
pub async fn check_key_sets(settings: &Settings) -> Vec<Finding> {
    let (credentials, _) = settings.auth.usable();
    let fetch = settings.auth.fetch();
    let mut findings = Vec::new();
    for source in credentials.all_sources() {
        let (issuer, host) = (source.issuer(), source.host());
        findings.push(match source.look(&fetch).await {
            Ok((keys, passed_over)) => Finding::ok(
                KEY_SETS,
                format!(
                    "{keys} keys of {issuer} from {host}, and {passed_over} that cannot be used"
                ),
            ),
            Err(error) => Finding::failure(
                KEY_SETS,
                format!("those of {issuer} cannot be fetched from {host}: {error}"),
                "see to its jwks_url, and that it can be reached from where the services run",
            ),
        });
    }
    findings
}

fn key_sets(what: &'static str, awaited: &[&str]) -> Finding {
    match awaited {
        [] => Finding::ok(what, "none is missing"),
        names => Finding::warning(
            what,
            format!(
                "none has come yet of {}: their tokens are refused",
                names.join(", ")
            ),
            "the log has the reason: see to the issuer's jwks_url, and that it can be reached from here",
        ),
    }
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

fn callers(api_keys: usize, issuers: usize) -> Finding {
    const WHAT: &str = "API keys";
    match (api_keys, issuers) {
        (0, 0) => Finding::warning(
            WHAT,
            "none: no service can send",
            "make one with `carillon apikey new`",
        ),
        (n, 0) => Finding::ok(WHAT, format!("{n} configured")),
        (n, issuers) => {
            let detail = format!("{n} configured, and {issuers} issuers of services");
            Finding::ok(WHAT, detail)
        }
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
