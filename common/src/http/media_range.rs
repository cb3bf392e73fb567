//! What a client would rather have (RFC 9110, section 12.5.1).

use axum::http::header::{ACCEPT, HeaderMap};

/// Whether HTML is wanted more than a problem in JSON. Who wants both alike, or says nothing, is a
/// program.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(MediaRange::read)
        .collect();
    let html = weight(&ranges, "text", "html");
    html > weight(&ranges, "application", "json")
        && html > weight(&ranges, "application", "problem+json")
}

/// `text/*;q=0.5`
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    weight: u32,
}

impl<'a> MediaRange<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let (kind, subtype) = range.split_once('/').unwrap_or((range, ""));
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let weight: f32 = value.trim().parse().ok()?;
            let named = name.trim().eq_ignore_ascii_case("q");
            named.then_some((weight.clamp(0.0, 1.0) * 1000.0) as u32)
        });
        Self {
            kind,
            subtype,
            weight: weight.unwrap_or(1000),
        }
    }

    /// How closely it names a media type, if it covers it.
    fn covers(&self, kind: &str, subtype: &str) -> Option<u8> {
        let same_kind = self.kind.eq_ignore_ascii_case(kind);
        match self.subtype {
            "*" if self.kind == "*" => Some(0),
            "*" if same_kind => Some(1),
            own if same_kind && own.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// That of the range that names the type most closely; 0 if none does.
fn weight(ranges: &[MediaRange<'_>], kind: &str, subtype: &str) -> u32 {
    ranges
        .iter()
        .filter_map(|range| Some((range.covers(kind, subtype)?, range.weight)))
        .max()
        .map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_want_html_and_programs_do_not() {
        for (accept, html) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/html", true),
            ("TEXT/*; Q=0.5", true),
            ("application/json;q=0.4, text/html;q=0.5", true),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("text/html, application/json", false),
            ("text/html;q=0", false),
            ("text/html;q=0.5, application/problem+json", false),
            ("text/plain, */*;q=0.1", false),
            ("text/html;q=0.3, */*;q=0.5", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
