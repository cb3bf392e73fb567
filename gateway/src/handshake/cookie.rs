//! The cookie that may hold a token, out of a request's `Cookie` (RFC 6265bis section 4.2).

use http::{HeaderMap, header};

/// Why the cookie says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclear {
    /// It is there more than once. Which of them is the operator's, and which was set by a neighbour below the same
    /// name, a request does not tell (RFC 6265bis section 8.6).
    Repeated,
    /// Its value is not text.
    NotText,
}

/// The value of the cookie of this name, if it is there.
///
/// # Errors
/// When it does not say one thing.
pub(super) fn value<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Unclear> {
    let lines = headers.get_all(header::COOKIE);
    // Proxies may cut the one line that a browser sends into several (RFC 9113 section 8.2.3).
    let pairs = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut found = pairs.filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (own, value) = (&pair[..at], &pair[at + 1..]);
        (own.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    });
    let first = found.next();
    if found.next().is_some() {
        return Err(Unclear::Repeated);
    }
    let text = first.map(|value| std::str::from_utf8(value).map_err(|_| Unclear::NotText));
    Ok(text.transpose()?.map(unquoted).filter(|it| !it.is_empty()))
}

/// A value may stand in quotes, which are then a part of it to browsers, and to some who set it are not.
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, Unclear> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(header::COOKIE, line);
        }
        value(&headers, "__Host-c").map(|value| value.map(str::to_owned))
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        for (lines, found) in [
            (&[][..], None),
            (&[""], None),
            (&["__Host-c=a.b-c_d"], Some("a.b-c_d")),
            (&["a=1; __Host-c=t; b=2"], Some("t")),
            (&["a=1;__Host-c=t;b=2"], Some("t")),
            (&["a=1;  __Host-c = t  ; b=2"], Some("t")),
            (&["\t__Host-c=t"], Some("t")),
            (&["__Host-c=t;"], Some("t")),
            (&["a=1", "__Host-c=t"], Some("t")),
            (&["__Host-c=\"t\""], Some("t")),
            (&["__Host-c=\""], Some("\"")),
            (&["__Host-c=t=="], Some("t==")),
            (&["__Host-c=a=b"], Some("a=b")),
            (&["__Host-c="], None),
            (&["__Host-c=\"\""], None),
            (&["__Host-c"], None),
            (&["=__Host-c"], None),
            (&["__host-c=t"], None),
            (&["__Host-cc=t"], None),
            (&["x__Host-c=t"], None),
            (&["a=__Host-c=t"], None),
            (&["a=1, __Host-c=t"], None),
            (&[";;; ;"], None),
        ] {
            let found = Ok(found.map(str::to_owned));
            assert_eq!(read(lines), found, "{lines:?}");
        }
    }

    #[test]
    fn of_two_none_counts() {
        for lines in [
            &["__Host-c=a; __Host-c=b"][..],
            &["__Host-c=a; __Host-c=a"],
            &["__Host-c=a; x=1; __Host-c="],
            &["__Host-c=a", "__Host-c=b"],
            &["__Host-c=a; __Host-c =b"],
        ] {
            assert_eq!(read(lines), Err(Unclear::Repeated), "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"__Host-c=\xff").unwrap();
        headers.insert(header::COOKIE, line);
        assert_eq!(value(&headers, "__Host-c"), Err(Unclear::NotText));
    }
}
