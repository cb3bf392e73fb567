//! HTML as text.

use serde_json::Value;

/// As the text of an element, or of an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A sentence: what stands between backticks is code.
pub(super) fn line(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            1 => format!("<code>{}</code>", escaped(part)),
            _ => escaped(part),
        })
        .collect()
}

/// Paragraphs.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|it| !it.trim().is_empty());
    paragraphs
        .map(|it| format!("<p>{}</p>\n", line(it)))
        .collect()
}

/// JSON, indented.
pub(super) fn block(value: &Value) -> String {
    format!("<pre>{}</pre>\n", escaped(&format!("{value:#}")))
}

/// A text of a document, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            line("a < b & `\"<script>\"`"),
            "a &lt; b &amp; <code>&quot;&lt;script&gt;&quot;</code>"
        );
        assert_eq!(
            prose("one\n\ntwo `x`"),
            "<p>one</p>\n<p>two <code>x</code></p>\n"
        );
    }
}
