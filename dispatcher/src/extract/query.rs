//! The query string as fields. Strict, where the usual decoders replace what they cannot read.

use std::borrow::Cow;

use http::Uri;

use crate::error::ApiError;

/// For routes that take no parameters: one given is one that would be passed over silently.
pub(crate) fn refuse_query(uri: &Uri) -> Result<(), ApiError> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(ApiError::UnexpectedQuery(
            "this route takes no query parameters",
        )),
    }
}

/// A name and a value.
type Parameter<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The parameters in order, decoded (`application/x-www-form-urlencoded`).
pub(crate) fn parameters(query: &str) -> Result<Vec<Parameter<'_>>, ApiError> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<Cow<'_, str>, ApiError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, tail @ ..]) => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest = tail;
            }
            (b'%', _) => return Err(malformed("a % is followed by two hex digits")),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| malformed("what is percent-encoded must be UTF-8"))
}

fn hex(digit: u8) -> Result<u8, ApiError> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or_else(|| malformed("a % is followed by two hex digits"))
}

fn malformed(rule: &str) -> ApiError {
    ApiError::MalformedQuery(format!("the query string cannot be decoded: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "a=1&b=x+y%20z&&c&d=%C3%A5&e=%7B%22n%22%3A1%7D";
        let read: Vec<_> = parameters(query).unwrap();
        let expected = [
            ("a", "1"),
            ("b", "x y z"),
            ("c", ""),
            ("d", "å"),
            ("e", r#"{"n":1}"#),
        ];
        assert!(
            read.iter()
                .map(|(name, value)| (&**name, &**value))
                .eq(expected),
            "{read:?}"
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for query in ["a=%", "a=%2", "a=%zz", "a=%ff", "%c3=1", "a=%+1"] {
            assert!(parameters(query).is_err(), "{query}");
        }
    }
}
