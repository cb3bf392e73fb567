//! Texts.

use rand::{RngExt, seq::IndexedRandom};
use serde_json::Value;

use super::Generator;

/// Letters of one to four bytes, quotes and a control character among them.
const LETTERS: &[char] = &[
    'a',
    'Z',
    '0',
    ' ',
    '"',
    '\\',
    '/',
    '\n',
    'é',
    '—',
    '\u{1f980}',
];

impl Generator<'_> {
    /// A text that the schema takes.
    pub(super) fn text(&mut self, schema: &Value) -> String {
        if schema["format"] == "uuid" {
            let uuid = uuid::Builder::from_random_bytes(self.rng.random());
            return uuid.into_uuid().to_string();
        }
        if let Some((class, least, most)) = schema["pattern"].as_str().and_then(of_class) {
            return self.of(&class, least, most.min(80));
        }
        // Of other patterns an example, but for the one that refuses a first letter.
        let pattern = schema["pattern"].as_str();
        let example = schema["examples"]
            .as_array()
            .and_then(|all| all.choose(&mut self.rng));
        if pattern.is_some_and(|it| it != "^[^$]")
            && let Some(example) = example.and_then(Value::as_str)
        {
            return example.to_owned();
        }
        let least = schema["minLength"].as_u64().unwrap_or(0);
        let most = schema["maxLength"].as_u64().unwrap_or(40);
        let bytes = schema["x-max-bytes"].as_u64().unwrap_or(u64::MAX);
        let size = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
        let mut text = self.letters(size(least), size(most));
        while text.len() > size(bytes) {
            text.pop();
        }
        text
    }

    /// A text of so many letters.
    pub(super) fn letters(&mut self, least: usize, most: usize) -> String {
        self.of(LETTERS, least, most)
    }

    fn of(&mut self, class: &[char], least: usize, most: usize) -> String {
        let length = self.rng.random_range(least..=most.max(least));
        let letters = (0..length).filter_map(|_| class.choose(&mut self.rng));
        letters.collect()
    }
}

/// The letters of a pattern such as `^[a-z_]{1,9}$`, and how many.
fn of_class(pattern: &str) -> Option<(Vec<char>, usize, usize)> {
    let rest = pattern.strip_prefix("^[")?;
    let (class, counts) = rest.strip_suffix("}$")?.split_once("]{")?;
    let (least, most) = counts.split_once(',')?;
    let mut letters = Vec::new();
    let class: Vec<char> = class.chars().collect();
    let mut at = 0;
    while let Some(&first) = class.get(at) {
        match (class.get(at + 1), class.get(at + 2)) {
            (Some('-'), Some(&last)) => {
                letters.extend(first..=last);
                at += 3;
            }
            _ => {
                letters.push(first);
                at += 1;
            }
        }
    }
    Some((letters, least.parse().ok()?, most.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_read() {
        let (letters, least, most) = of_class("^[a-c_.:-]{1,64}$").unwrap();
        assert_eq!(letters, ['a', 'b', 'c', '_', '.', ':', '-']);
        assert_eq!((least, most), (1, 64));
        let (letters, ..) = of_class("^[ -~]{1,255}$").unwrap();
        assert_eq!(letters.len(), 95);
        assert!(of_class("^[^$]").is_none());
    }
}
