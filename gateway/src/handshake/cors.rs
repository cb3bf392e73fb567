//! What pages of other origins may read of an event stream's answer (Fetch standard, section 3.3).

use std::borrow::Cow;

use carillon_common::settings::Settings;
use http::{HeaderMap, header};

use crate::stream::CORS;

/// The fields of the answer to a request with these headers. Where a cookie counts, the listed origins may send one:
/// then each is named, as the standard wants it. Which origins may connect is settled elsewhere.
pub(super) fn fields(headers: &HeaderMap, settings: &Settings) -> Cow<'static, str> {
    let origin = headers.get(header::ORIGIN).and_then(|it| it.to_str().ok());
    let listed = origin.filter(|origin| settings.gateway.lists_origin(origin));
    match (settings.auth.cookie.as_ref(), listed) {
        (Some(_), Some(origin)) => format!(
            "access-control-allow-origin: {origin}\r\naccess-control-allow-credentials: true\r\n\
             access-control-expose-headers: retry-after\r\nvary: origin\r\n"
        )
        .into(),
        // What is cached for one must not be taken for another's.
        (Some(_), None) => format!("{CORS}vary: origin\r\n").into(),
        (None, _) => CORS.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cookie: bool, origin: Option<&str>) -> String {
        let mut settings = Settings::default();
        settings.auth.cookie = cookie.then(|| "c".to_owned());
        settings.gateway.origins = vec!["https://*.example.com".to_owned()];
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        fields(&headers, &settings).into_owned()
    }

    #[test]
    fn with_a_cookie_listed_origins_are_named_and_nobody_else_may_send_one() {
        let app = Some("https://app.example.com");
        assert_eq!(told(false, app), CORS);
        let named = told(true, app);
        assert!(
            named.contains("allow-origin: https://app.example.com\r\n"),
            "{named}"
        );
        assert!(named.contains("allow-credentials: true\r\n"), "{named}");
        for other in [None, Some("https://evil.example"), Some("null")] {
            let told = told(true, other);
            assert!(!told.contains("credentials"), "{told}");
            assert!(told.contains("vary: origin\r\n"), "{told}");
        }
    }
}
