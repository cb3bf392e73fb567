//! What is wrong with a JSON text, in words for whoever wrote it and not in the parser's.

use serde_json::error::{Category, Error};

/// What is wrong, and where: `expected `:` (line 1, column 8)`.
pub fn fault(error: &Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.classify() == Category::Eof {
        return format!("it ends too early ({place})");
    }
    let told = error.to_string();
    let place_of_parser = format!(" at line {} column {}", error.line(), error.column());
    let what = match told.strip_suffix(&place_of_parser).unwrap_or(&told) {
        "expected value" => "there is no JSON value",
        "expected ident" => "this is neither true nor false nor null",
        what => what,
    };
    format!("{what} ({place})")
}

/// What a JSON text is, as its first character tells.
pub fn kind(text: &str) -> &'static str {
    match text.trim_ascii_start().as_bytes().first() {
        None => "nothing",
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ => "no JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (text, told) in [
            ("", "it ends too early (line 1, column 0)"),
            ("{\n\"a\" 1}", "expected `:` (line 2, column 5)"),
            ("hello", "there is no JSON value (line 1, column 1)"),
            (
                "nope",
                "this is neither true nor false nor null (line 1, column 2)",
            ),
            ("{\"a\":1,}", "trailing comma (line 1, column 8)"),
            ("[1] x", "trailing characters (line 1, column 5)"),
            ("{\"a\":", "it ends too early (line 1, column 5)"),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            assert_eq!(fault(&error), told, "{text}");
        }
    }
}
