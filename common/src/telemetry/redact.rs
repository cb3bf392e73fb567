//! Credentials in URIs must not reach a log.

use std::borrow::Cow;

use url::form_urlencoded;

/// Parameters whose values are credentials.
const SECRET_PARAMETERS: [&str; 2] = ["token", "ticket"];

/// `uri` with the values of credentials replaced; every request that is logged passes through it.
///
/// Names are compared after percent-decoding and without regard to case: what is redacted must never
/// be less than what some server on the way would take for a token.
pub fn redact_query(uri: &str) -> Cow<'_, str> {
    let Some((path, query)) = uri.split_once('?') else {
        return Cow::Borrowed(uri);
    };
    let mut redacted = String::with_capacity(uri.len());
    redacted.push_str(path);
    redacted.push('?');
    let mut found = false;
    for piece in query.split_inclusive(['&', ';', '?', '#']) {
        match piece.split_once('=') {
            Some((name, value)) if is_secret(name) => {
                found = true;
                redacted.push_str(name);
                redacted.push_str("=redacted");
                redacted.extend(value.chars().last().filter(|end| "&;?#".contains(*end)));
            }
            _ => redacted.push_str(piece),
        }
    }
    if found {
        Cow::Owned(redacted)
    } else {
        Cow::Borrowed(uri)
    }
}

fn is_secret(name: &str) -> bool {
    let decoded = form_urlencoded::parse(name.as_bytes()).next();
    let decoded = decoded.map(|(name, _)| name).unwrap_or_default();
    SECRET_PARAMETERS
        .iter()
        .any(|secret| decoded.trim().eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_and_nothing_else() {
        for (uri, expected) in [
            ("/ws", "/ws"),
            ("/ws?", "/ws?"),
            ("/ws?device=a&since=1-x", "/ws?device=a&since=1-x"),
            ("/ws?token=SECRET", "/ws?token=redacted"),
            ("/ws?a=1&token=SECRET&b=2", "/ws?a=1&token=redacted&b=2"),
            (
                "/ws?ticket=SECRET&token=SECRET",
                "/ws?ticket=redacted&token=redacted",
            ),
            ("/ws?TOKEN=SECRET", "/ws?TOKEN=redacted"),
            ("/ws?%74oken=SECRET", "/ws?%74oken=redacted"),
            ("/ws?+token=SECRET", "/ws?+token=redacted"),
            ("/ws?a=1;token=SECRET", "/ws?a=1;token=redacted"),
            ("/ws?a=1?token=SECRET", "/ws?a=1?token=redacted"),
            ("/ws?a#token=SECRET", "/ws?a#token=redacted"),
            ("/ws?token=SE=CRET==", "/ws?token=redacted"),
            ("/ws?token=", "/ws?token=redacted"),
            ("/ws?token=SECRETé", "/ws?token=redacted"),
            ("/ws?token", "/ws?token"),
            ("/ws?tokens=3&mytoken=x", "/ws?tokens=3&mytoken=x"),
            ("wss://h/ws?token=SECRET#f", "wss://h/ws?token=redacted#f"),
        ] {
            assert_eq!(redact_query(uri), expected);
        }
    }
}
