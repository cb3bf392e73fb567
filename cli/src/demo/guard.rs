//! Who is given the credentials of a process for development: the page itself, opened on this machine.
//!
//! The port is open on this machine alone (`--dev` listens nowhere else), but every page in a browser here can
//! reach it. Another site's request says so: browsers send `Origin` (RFC 6454) with everything that these routes
//! take, and `Sec-Fetch-Site` (Fetch Metadata) with everything; no script can change them. A site whose own name is
//! made to mean 127.0.0.1 (DNS rebinding) is of one origin with itself, and is known by its `Host`: only names that
//! mean this machine wherever they are asked are taken.

use std::net::IpAddr;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use carillon_common::http::Problem;
use http::{HeaderMap, HeaderName, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets requests of the page pass; what they are answered is not kept.
pub(super) async fn only_for_the_page(request: Request, next: Next) -> Response {
    if !is_of_the_page(request.headers()) {
        return Problem::new(403, "not_the_page", "Only for the page itself")
            .detail(
                "this is for the page at / alone, opened as http://127.0.0.1 or http://localhost; what \
                 `carillon standalone --dev` prints serves everything else",
            )
            .into_response();
    }
    let mut response = next.run(request).await;
    let no_store = http::HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn is_of_the_page(headers: &HeaderMap) -> bool {
    let (Ok(Some(host)), Ok(Some(origin)), Ok(site)) = (
        only(headers, header::HOST),
        only(headers, header::ORIGIN),
        only(headers, FETCH_SITE),
    ) else {
        return false;
    };
    // Not every browser sends the last one.
    is_this_machine(host)
        && origin.strip_prefix("http://") == Some(host)
        && site.is_none_or(|site| site == "same-origin")
}

/// The one value of a header; an error where there are several, or one that is no text.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// `127.0.0.1`, `[::1]` or `localhost` (RFC 6761, section 6.3), with any port: it may have been forwarded.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match address.unwrap_or(name).parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => name.starts_with('[') && address.is_loopback(),
        Ok(IpAddr::V4(address)) => !name.starts_with('[') && address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_own(headers: &[(&'static str, &'static str)]) -> bool {
        let all = headers.iter();
        let all = all.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let mut map = HeaderMap::new();
        all.for_each(|(name, value)| {
            map.append(name, value);
        });
        is_of_the_page(&map)
    }

    #[test]
    fn the_page_itself_is_let_in() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:9000", "http://localhost:9000"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("127.0.0.1", "http://127.0.0.1"),
        ] {
            let plain = [("host", host), ("origin", origin)];
            assert!(is_own(&plain), "{host}");
            let with = [plain[0], plain[1], ("sec-fetch-site", "same-origin")];
            assert!(is_own(&with), "{host}");
        }
    }

    #[test]
    fn nobody_else_is() {
        let host = ("host", "127.0.0.1:8080");
        let own = ("origin", "http://127.0.0.1:8080");
        let same = ("sec-fetch-site", "same-origin");
        for (why, headers) in [
            ("none of it, as with curl", vec![host]),
            ("no origin", vec![host, same]),
            ("no host", vec![own, same]),
            (
                "another site",
                vec![host, ("origin", "https://evil.example")],
            ),
            (
                "another port",
                vec![host, ("origin", "http://127.0.0.1:3000"), same],
            ),
            (
                "another scheme",
                vec![host, ("origin", "https://127.0.0.1:8080")],
            ),
            (
                "another name of this machine",
                vec![host, ("origin", "http://localhost:8080")],
            ),
            ("a sandbox", vec![host, ("origin", "null"), same]),
            ("a link", vec![host, own, ("sec-fetch-site", "cross-site")]),
            (
                "the same site",
                vec![host, own, ("sec-fetch-site", "same-site")],
            ),
            (
                "typed into the bar",
                vec![host, own, ("sec-fetch-site", "none")],
            ),
            ("two origins", vec![host, own, own]),
            ("two hosts", vec![host, host, own]),
        ] {
            assert!(!is_own(&headers), "{why}");
        }
    }

    #[test]
    fn a_name_that_was_rebound_is_not_this_machine() {
        for host in [
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8080",
            "192.168.0.2:8080",
            "0.0.0.0:8080",
            "::1",
            "[127.0.0.1]:8080",
            "127.1:8080",
            "localhost:8080:80",
            "",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
