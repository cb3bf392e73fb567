//! How Redis is reached: as whom, with which encryption, and what an answer that refuses means.

use carillon_common::{
    backend::{FaultKind, redis::link::LinkError, url::RedisUrl},
    checks::Finding,
    tls::Tls,
};

/// What the configuration says of the way to Redis.
pub(crate) fn check_access(url: &RedisUrl) -> [Finding; 2] {
    [log_in(url), encryption(url.tls.as_ref())]
}

fn log_in(url: &RedisUrl) -> Finding {
    let credentials = &url.credentials;
    let user = credentials.user.as_deref().unwrap_or("default");
    let password = match (&credentials.password_file, &credentials.password) {
        (Some(file), _) => format!("with the password in {}", file.display()),
        (None, Some(_)) => "with the URL's password".to_owned(),
        (None, None) => "without a password".to_owned(),
    };
    Finding::ok("log-in", format!("as {user}, {password}"))
}

fn encryption(tls: Option<&Tls>) -> Finding {
    let Some(tls) = tls else {
        return Finding::ok("encryption", "none");
    };
    let trusted = match &tls.ca_file {
        Some(file) => format!("trusts {}", file.display()),
        None => "trusts the public authorities".to_owned(),
    };
    let shown = match &tls.identity {
        Some(identity) => format!("shows {}", identity.cert_file.display()),
        None => "shows no certificate".to_owned(),
    };
    Finding::ok("encryption", format!("TLS, {trusted}, {shown}"))
}

/// What an answer that refuses means; `None` for none at all.
pub(crate) fn refused(error: &LinkError) -> Option<Finding> {
    if let Some(fault) = error.fault() {
        let detail = format!("{} ({})", fault.kind.what(), fault.detail);
        return Some(Finding::failure(place(fault.kind), detail, fault.remedy));
    }
    match error {
        LinkError::Unavailable(_) | LinkError::Unknown { .. } => None,
        error => {
            let remedy = error.kind().remedy();
            Some(Finding::failure("redis", error.to_string(), remedy))
        }
    }
}

/// What was looked at when this came out.
fn place(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Auth => "log-in",
        FaultKind::Permission => "permissions",
        FaultKind::Tls => "encryption",
        FaultKind::Replica => "role",
        FaultKind::TooFewReplicas => "replicas",
        FaultKind::OutOfMemory => "memory",
        FaultKind::Disk => "disk",
        FaultKind::MaxClients => "clients",
        FaultKind::WrongServer => "server",
        FaultKind::Unreachable
        | FaultKind::Unanswered
        | FaultKind::NotReady
        | FaultKind::Misconfigured
        | FaultKind::Unexpected => "redis",
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::checks::Level;

    use super::*;

    fn server(code: &str, message: &str) -> LinkError {
        LinkError::Server {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn an_outage_is_no_finding_and_everything_else_is_one_with_a_remedy() {
        assert_eq!(refused(&LinkError::Unavailable("gone".to_owned())), None);
        for (code, message, what) in [
            ("WRONGPASS", "invalid", "log-in"),
            ("NOPERM", "this user", "permissions"),
            ("READONLY", "You can't write", "role"),
            ("OOM", "command not allowed", "memory"),
            ("LOADING", "Redis is loading", "redis"),
            ("ERR", "something else", "redis"),
        ] {
            let finding = refused(&server(code, message)).unwrap();
            assert_eq!((finding.what, finding.level), (what, Level::Failure));
            assert!(finding.detail.contains(message) && finding.remedy.is_some());
        }
    }

    #[test]
    fn the_way_to_redis_is_shown_without_the_password() {
        let url = RedisUrl::parse("rediss://ann:hunter2@h?ca_file=/ca.pem").unwrap();
        let details = check_access(&url).map(|finding| finding.detail);
        assert_eq!(details[0], "as ann, with the URL's password");
        assert_eq!(details[1], "TLS, trusts /ca.pem, shows no certificate");
    }
}
