//! Origins of pages (RFC 6454 section 6.2) and the patterns that allow them: exact ones, and those of all hosts below a
//! name.

/// The origin of pages that have none of their own: from a file, in a sandbox, after some redirects.
pub const NULL: &str = "null";

/// What begins a host that stands for all below a name.
const WILDCARD: &str = "*.";

/// What is wrong with a pattern, and what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// After the pattern: "has a path".
    pub problem: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Whether `pattern` is one: `https://app.example.com`, with a port where it is not the scheme's own;
/// `https://*.example.com` for every host below that name, not the name itself; or `null`.
///
/// # Errors
/// Why it would never fit an origin, or fit too many.
pub fn check(pattern: &str) -> Result<(), Wrong> {
    let wrong = |problem, remedy| Err(Wrong { problem, remedy });
    if pattern == NULL {
        return Ok(());
    }
    if pattern == "*" {
        return wrong("is every origin", "leave the list empty for that");
    }
    let Some((scheme, authority)) = pattern.split_once("://") else {
        let remedy = "begin it with https:// (or http://)";
        return wrong("has no scheme", remedy);
    };
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(is_scheme_byte)
    {
        return wrong("has no scheme", "begin it with https:// (or http://)");
    }
    if !pattern.is_ascii() {
        let remedy = "write the name as browsers send it, in Punycode (xn--…)";
        return wrong("is not ASCII", remedy);
    }
    if authority.contains(['/', '?', '#']) {
        let remedy = "end it after the host, or its port: an origin has no path, not even `/`";
        return wrong("has a path", remedy);
    }
    let (host, port) = apart(authority);
    let defaults = [("http", "80"), ("https", "443")];
    if defaults
        .iter()
        .any(|(name, own)| scheme.eq_ignore_ascii_case(name) && port == Some(*own))
    {
        let remedy = "leave the port away: browsers do not send the scheme's own";
        return wrong("has the scheme's own port", remedy);
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return wrong("has a port that is none", "choose 1 to 65535");
    }
    let below = host.strip_prefix(WILDCARD);
    if below.unwrap_or(host).contains('*') {
        let remedy = "write `*` once, for all that stands before a name: https://*.example.com";
        return wrong("has a `*` in another place", remedy);
    }
    if below.is_some_and(|name| !name.contains('.') && !name.eq_ignore_ascii_case("localhost")) {
        let remedy = "name at least two parts, such as https://*.example.com";
        return wrong("is as good as every host", remedy);
    }
    match is_host(below.unwrap_or(host)) {
        true => Ok(()),
        false => wrong("has no host", "write it as https://app.example.com"),
    }
}

/// Whether an origin, as a browser sends it, is one of those that `pattern` allows.
pub fn covers(pattern: &str, origin: &str) -> bool {
    let parts = pattern.split_once("://").zip(origin.split_once("://"));
    let Some(((scheme, allowed), (from, authority))) = parts else {
        return pattern.eq_ignore_ascii_case(origin);
    };
    let Some(below) = allowed.strip_prefix(WILDCARD) else {
        return pattern.eq_ignore_ascii_case(origin);
    };
    let ((name, port), (host, from_port)) = (apart(below), apart(authority));
    let is_below = || {
        let split = host.len().checked_sub(name.len())?;
        let (before, end) = (host.get(..split)?, host.get(split..)?);
        let labels = before.strip_suffix('.')?;
        Some(end.eq_ignore_ascii_case(name) && is_host(labels))
    };
    scheme.eq_ignore_ascii_case(from) && port == from_port && is_below().unwrap_or(false)
}

/// Host and port. An address in brackets keeps its colons.
fn apart(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Labels with dots between them, or an address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_label_byte);
    host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_would_never_fit_or_fit_too_much_are_refused() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://*.example.com",
            "https://*.example.com:8443",
            "http://*.localhost:3000",
            "https://[::1]:8443",
            "http://192.0.2.1",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
            "HTTPS://App.Example.Com",
            "null",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, problem) in [
            ("*", "every origin"),
            ("app.example.com", "no scheme"),
            ("//app.example.com", "no scheme"),
            ("://app.example.com", "no scheme"),
            ("1a://app.example.com", "no scheme"),
            ("https:/app.example.com", "no scheme"),
            ("", "no scheme"),
            ("https://app.example.com/", "a path"),
            ("https://app.example.com/app", "a path"),
            ("https://app.example.com?x", "a path"),
            ("https://app.example.com:443", "own port"),
            ("HTTP://app.example.com:80", "own port"),
            ("https://app.example.com:0", "a port that is none"),
            ("https://app.example.com:http", "a port that is none"),
            ("https://app.example.com:", "a port that is none"),
            ("https://app.*.com", "another place"),
            ("https://*.*.example.com", "another place"),
            ("https://a*.example.com", "another place"),
            ("https://*example.com", "another place"),
            ("https://*", "another place"),
            ("https://*.com", "every host"),
            ("https://*.", "every host"),
            ("https://user@example.com", "no host"),
            ("https://a..b", "no host"),
            ("https://.example.com", "no host"),
            ("https://", "no host"),
            ("https://[::1", "no host"),
            ("https://bücher.example", "not ASCII"),
        ] {
            let wrong = check(bad).unwrap_err();
            assert!(wrong.problem.contains(problem), "{bad}: {wrong:?}");
        }
    }

    #[test]
    fn origins_are_compared_whole() {
        let exact = "https://app.example.com";
        let below = "https://*.example.com";
        let port = "https://*.example.com:8443";
        for (pattern, origin, allowed) in [
            (exact, "https://app.example.com", true),
            (exact, "https://APP.example.com", true),
            (exact, "https://app.example.com:443", false),
            (exact, "https://app.example.com.evil.example", false),
            (exact, "http://app.example.com", false),
            (exact, "https://example.com", false),
            (exact, "null", false),
            (exact, "", false),
            (below, "https://app.example.com", true),
            (below, "https://a.b.example.com", true),
            (below, "HTTPS://App.Example.COM", true),
            (below, "https://example.com", false),
            (below, "https://.example.com", false),
            (below, "https://evilexample.com", false),
            (below, "https://app.example.com.evil.example", false),
            (below, "https://app.example.com:8443", false),
            (below, "http://app.example.com", false),
            (below, "https://evil.example#.example.com", false),
            (below, "https://evil.example/.example.com", false),
            (below, "https://user@x.example.com", false),
            (below, "https://a..example.com", false),
            (below, "https://é.example.com", false),
            (below, "null", false),
            (port, "https://app.example.com:8443", true),
            (port, "https://app.example.com", false),
            (
                "http://*.localhost:3000",
                "http://shop.localhost:3000",
                true,
            ),
            ("https://[::1]:8443", "https://[::1]:8443", true),
            ("null", "null", true),
            ("null", "https://null", false),
            ("capacitor://localhost", "capacitor://localhost", true),
        ] {
            assert_eq!(covers(pattern, origin), allowed, "{pattern} and {origin:?}");
        }
    }
}
