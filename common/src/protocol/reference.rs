//! A client's own mark on a request.

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// Most bytes of one, as it is written.
const MOST: usize = 64;

/// The client's own mark on a request, echoed in its answer: a number or a short string, digit for digit as
/// it was written (a number above 2^53 is none that every reader keeps).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref(Box<str>);

impl Ref {
    /// The mark that this is, if it is one.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let fits = match text.as_bytes().first()? {
            b'-' | b'0'..=b'9' => text.len() <= MOST,
            b'"' => serde_json::from_str::<String>(text).is_ok_and(|it| it.len() <= MOST),
            _ => false,
        };
        fits.then(|| Self(text.into()))
    }
}

impl Serialize for Ref {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.to_string()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was_written() {
        let long = format!("\"{}\"", "x".repeat(65));
        let digits = "1".repeat(65);
        for (text, is_one) in [
            ("7", true),
            ("-7", true),
            ("9007199254740993", true),
            ("123456789012345678901234567890", true),
            ("1.10", true),
            ("1e2", true),
            (r#""a\u0041""#, true),
            ("null", false),
            ("true", false),
            ("[1]", false),
            ("{}", false),
            (&*long, false),
            (&*digits, false),
        ] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let mark = Ref::read(&raw);
            assert_eq!(mark.is_some(), is_one, "{text}");
            if let Some(mark) = mark {
                assert_eq!(serde_json::to_string(&mark).unwrap(), text);
            }
        }
    }
}
