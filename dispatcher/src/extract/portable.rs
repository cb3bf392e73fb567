//! JSON that every reader can read.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// Levels of arrays and objects. Many readers stop at 128, with what is around the value.
const MAX_DEPTH: u8 = 100;

/// Any JSON value, looked at and not kept.
///
/// Passing a text on verbatim asks only for the grammar, which allows what many readers refuse: a
/// nesting of thousands, half a surrogate pair, numbers beyond a double. One such notification
/// would be lost to all of a user's devices, so it is refused where it enters.
pub(crate) struct Portable;

impl<'de> Deserialize<'de> for Portable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let look = Look {
            levels_left: MAX_DEPTH,
        };
        look.deserialize(deserializer)
    }
}

#[derive(Clone, Copy)]
struct Look {
    levels_left: u8,
}

impl Look {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let levels_left = self
            .levels_left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("nested more than {MAX_DEPTH} deep")))?;
        Ok(Self { levels_left })
    }
}

impl<'de> DeserializeSeed<'de> for Look {
    type Value = Portable;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Portable, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look {
    type Value = Portable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Portable, A::Error> {
        let inside = self.deeper()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(Portable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Portable, A::Error> {
        let inside = self.deeper()?;
        while members.next_entry_seed(inside, inside)?.is_some() {}
        Ok(Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_portable(text: &str) -> bool {
        serde_json::from_str::<Portable>(text).is_ok()
    }

    #[test]
    fn ordinary_json_passes() {
        for text in [
            "null",
            "-1.50e3",
            "123456789012345678901234567890",
            r#"{"a":[true,{"b":"\ud83d\ude00"}],"a":1}"#,
        ] {
            assert!(is_portable(text), "{text}");
        }
    }

    #[test]
    fn what_some_readers_cannot_read_is_refused() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_portable(&nested(100)));
        for text in [&*nested(101), r#""\ud83d""#, r#"{"\udc00":1}"#, "[1e999]"] {
            assert!(!is_portable(text), "{text}");
        }
    }
}
