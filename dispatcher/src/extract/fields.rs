//! The fields of a request, from a JSON body or a query string, read so that everything that is
//! wrong with them is told at once.

use std::{borrow::Cow, fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use carillon_common::{
    errors::ProblemKind, http::FieldProblem, ids::Millis, json, notification::from_rfc3339,
    text::decoded,
};
use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, Visitor,
        value::{Error as ValueError, StrDeserializer},
    },
};
use serde_json::{error::Category, value::RawValue};

use super::{portable::Portable, query};
use crate::error::{ApiError, FieldError};

/// A refused request names so many fields; there may be thousands.
const MAX_ERRORS: usize = 32;

/// Names and values, in order, the values not yet looked at.
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

enum Value<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

impl Value<'_> {
    fn is_null(&self) -> bool {
        matches!(self, Self::Json(raw) if raw.get() == "null")
    }
}

impl<'a> Fields<'a> {
    /// The members of the object that `body` is.
    pub(crate) fn from_json(body: &'a [u8]) -> Result<Self, ApiError> {
        let text =
            decoded(body).map_err(|error| ApiError::MalformedJson(format!("the body {error}")))?;
        if text.trim_ascii().is_empty() {
            let told = "the body is empty: send a JSON object";
            return Err(ApiError::MalformedJson(told.to_owned()));
        }
        serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => ApiError::InvalidFields(vec![FieldError {
                kind: ProblemKind::InvalidField,
                problem: FieldProblem {
                    pointer: String::new(),
                    detail: format!("the body must be a JSON object, not {}", json::kind(text)),
                },
            }]),
            _ => ApiError::MalformedJson(format!("the body is not JSON: {}", json::fault(&error))),
        })
    }

    /// The members of the object that an item of a list is.
    pub(crate) fn of_item(item: &'a RawValue) -> Result<Self, ApiError> {
        serde_json::from_str(item.get()).map_err(|_| {
            let detail = format!("must be a JSON object, not {}", json::kind(item.get()));
            ApiError::InvalidFields(vec![FieldError {
                kind: ProblemKind::InvalidField,
                problem: FieldProblem {
                    pointer: String::new(),
                    detail,
                },
            }])
        })
    }

    /// What tells two requests apart but for one field: all the others, as they are written.
    pub(crate) fn but(&self, name: &str) -> Vec<u8> {
        let mut text = Vec::new();
        for (other, value) in self.0.iter().filter(|(other, _)| other != name) {
            let value = match value {
                Value::Json(raw) => raw.get(),
                Value::Text(text) => &**text,
            };
            // Neither a name's end nor a value's can be taken for what follows: their lengths stand before them.
            for part in [&**other, value] {
                text.extend_from_slice(part.len().to_string().as_bytes());
                text.push(b':');
                text.extend_from_slice(part.as_bytes());
            }
        }
        text
    }

    /// The parameters of a query string.
    pub(crate) fn from_query(query: &'a str) -> Result<Self, ApiError> {
        let parameters = query::parameters(query)?;
        let named = |(name, value)| (name, Value::Text(value));
        Ok(Self(parameters.into_iter().map(named).collect()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            members.push((name, Value::Json(value)));
        }
        Ok(Fields(members))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes fields by name and remembers what was wrong with them. A field that is null counts as
/// absent.
pub(crate) struct FieldReader<'f> {
    fields: &'f Fields<'f>,
    known: Vec<&'static str>,
    /// Those that are not, and of which more is told than that.
    elsewhere: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<'f> FieldReader<'f> {
    pub(crate) fn new(fields: &'f Fields<'f>) -> Self {
        Self {
            fields,
            known: Vec::with_capacity(8),
            elsewhere: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Whether a field is there, and not null.
    pub(crate) fn has(&mut self, name: &'static str) -> bool {
        self.know(name);
        let mut given = self.fields.0.iter().filter(|(given, _)| given == name);
        given.any(|(_, value)| !value.is_null())
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Cow<'f, str>> {
        let value = self.value(name)?;
        self.checked(name, text_of(value))
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &'static str) -> Option<Cow<'f, str>> {
        match self.value(name) {
            Some(value) => self.checked(name, text_of(value)),
            None => {
                let detail = format!("{name} is missing");
                self.refuse(ProblemKind::MissingField, name, detail);
                None
            }
        }
    }

    /// Reads what a text says, such as a name.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
        text: Option<Cow<'f, str>>,
        otherwise: ProblemKind,
    ) -> Option<T> {
        match text?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(otherwise, name, format!("{name}: {error}"));
                None
            }
        }
    }

    /// The items of a list that has at least one and at most so many.
    pub(crate) fn list(&mut self, name: &'static str, most: usize) -> Option<Vec<&'f RawValue>> {
        let value = self.value(name)?;
        self.checked(name, list_of(value, most))
    }

    /// A whole number within bounds.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        within: RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.value(name)?;
        self.checked(name, number_of(value, within))
    }

    /// Any JSON, as it was written; in a query string, a text that is JSON.
    pub(crate) fn json(&mut self, name: &'static str) -> Option<&'f RawValue> {
        let raw = match self.value(name)? {
            Value::Json(raw) => *raw,
            Value::Text(text) => match serde_json::from_str(text) {
                Ok(raw) => raw,
                Err(error) => {
                    self.refuse(
                        ProblemKind::InvalidField,
                        name,
                        format!("{name} is not JSON: {}", json::fault(&error)),
                    );
                    return None;
                }
            },
        };
        // A null in a query string is one only now.
        if raw.get() == "null" {
            return None;
        }
        let readable = serde_json::from_str::<Portable>(raw.get())
            .map(|Portable| raw)
            .map_err(|error| {
                let fault = json::fault(&error);
                format!("is JSON that not every client can read: {fault}")
            });
        self.checked(name, readable)
    }

    /// A value that is written as a text.
    pub(crate) fn written<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        let text = self.text(name);
        self.parsed(name, text, ProblemKind::InvalidField)
    }

    /// A number of seconds, or a text such as `10m`; fractions of a millisecond count as one.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.value(name)?;
        self.checked(name, duration_of(value))
    }

    /// A time: a text by RFC 3339, or a number of seconds since 1970, as tokens have it.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Millis> {
        let value = self.value(name)?;
        self.checked(name, time_of(value))
    }

    /// Notes that a field is wrong.
    pub(crate) fn refuse(&mut self, kind: ProblemKind, name: &str, detail: String) {
        self.refuse_at(kind, pointer(name), detail);
    }

    /// Refuses a field that there is elsewhere, and says why not here.
    pub(crate) fn refuse_elsewhere(&mut self, name: &'static str, detail: &str) {
        let mut given = self.fields.0.iter().filter(|(given, _)| given == name);
        if given.any(|(_, value)| !value.is_null()) {
            self.refuse(ProblemKind::UnknownField, name, detail.to_owned());
        }
        self.elsewhere.push(name);
    }

    /// Notes that an item of a list is wrong.
    pub(crate) fn refuse_item(&mut self, name: &str, at: usize, detail: String) {
        // There may be a thousand of them.
        if self.errors.len() < MAX_ERRORS {
            let pointer = format!("{}/{at}", pointer(name));
            self.refuse_at(ProblemKind::InvalidField, pointer, detail);
        }
    }

    fn refuse_at(&mut self, kind: ProblemKind, pointer: String, detail: String) {
        let problem = FieldProblem { pointer, detail };
        self.errors.push(FieldError { kind, problem });
    }

    /// That nothing was wrong.
    ///
    /// # Errors
    /// With everything that was, fields that nobody asked for included.
    pub(crate) fn all_right(self) -> Result<(), ApiError> {
        let errors = self.finish();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::InvalidFields(errors)),
        }
    }

    /// Everything that was wrong, fields that nobody asked for included.
    pub(crate) fn finish(mut self) -> Vec<FieldError> {
        let fields = self.fields;
        for (name, _) in &fields.0 {
            if self.errors.len() >= MAX_ERRORS {
                break;
            }
            let mut told = self.known.iter().chain(&self.elsewhere);
            if !told.any(|told| told == name) {
                let known = self.known.join(", ");
                let detail = format!("this field is not known here; known are {known}");
                self.refuse(ProblemKind::UnknownField, name, detail);
            }
        }
        self.errors
    }

    /// The one value under a name, if it is there and not null.
    fn value(&mut self, name: &'static str) -> Option<&'f Value<'f>> {
        self.know(name);
        let fields = self.fields;
        let mut values = fields.0.iter().filter(|(given, _)| given == name);
        let (_, value) = values.next()?;
        if values.next().is_some() {
            self.refuse(
                ProblemKind::InvalidField,
                name,
                format!("{name} is given twice"),
            );
        }
        (!value.is_null()).then_some(value)
    }

    fn know(&mut self, name: &'static str) {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
    }

    fn checked<T>(&mut self, name: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|wrong| {
            self.refuse(ProblemKind::InvalidField, name, format!("{name} {wrong}"))
        })
        .ok()
    }
}

fn text_of<'f>(value: &'f Value<'f>) -> Result<Cow<'f, str>, String> {
    match value {
        Value::Text(text) => Ok(Cow::Borrowed(text)),
        Value::Json(raw) => json_text(raw),
    }
}

/// The text that a JSON string is.
pub(crate) fn json_text(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let raw = raw.get();
    match raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        None => Err(format!("must be a string, not {}", json::kind(raw))),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(raw)
            .map(Cow::Owned)
            .map_err(|error| format!("is no text: {}", json::fault(&error))),
    }
}

fn list_of<'f>(value: &'f Value<'f>, most: usize) -> Result<Vec<&'f RawValue>, String> {
    let raw = match value {
        Value::Json(raw) => raw.get(),
        Value::Text(text) => &**text,
    };
    let items: Vec<&RawValue> = serde_json::from_str(raw)
        .map_err(|_| format!("must be a list, not {}", json::kind(raw)))?;
    match items.len() {
        0 => Err("is empty: it must have an item at least".to_owned()),
        count if count > most => Err(format!("may have at most {most} items, not {count}")),
        _ => Ok(items),
    }
}

fn number_of(value: &Value<'_>, within: RangeInclusive<u32>) -> Result<u32, String> {
    let text = match value {
        Value::Json(raw) => raw.get(),
        Value::Text(text) => &**text,
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|it| digits && within.contains(it));
    let (least, most) = within.into_inner();
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

fn duration_of(value: &Value<'_>) -> Result<Duration, String> {
    const RULE: &str = "must be a number of seconds, or a text with units such as \"10m\"";
    let text = match value {
        Value::Json(raw) if !raw.get().starts_with('"') => Cow::Borrowed(raw.get()),
        value => text_of(value)?,
    };
    let duration = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime_serde::deserialize(StrDeserializer::<ValueError>::new(&text))
            .map_err(|error| error.to_string()),
    }
    .map_err(|_| RULE.to_owned())?;
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis)
        .map(Duration::from_millis)
        .map_err(|_| RULE.to_owned())
}

fn time_of(value: &Value<'_>) -> Result<Millis, String> {
    const RULE: &str =
        "must be a time such as \"2026-01-01T00:00:00Z\", or a number of seconds since 1970";
    /// The end of the year 9999. What lies beyond is no time in seconds, but one in milliseconds.
    const LAST_S: f64 = 253_402_300_799.0;
    let text = match value {
        Value::Json(raw) if !raw.get().starts_with('"') => Cow::Borrowed(raw.get()),
        value => text_of(value)?,
    };
    let time = match text.parse::<f64>() {
        Ok(seconds) => (0.0..=LAST_S)
            .contains(&seconds)
            .then_some((seconds * 1000.0) as Millis),
        Err(_) => from_rfc3339(&text),
    };
    time.ok_or_else(|| RULE.to_owned())
}

/// RFC 6901, section 3: the pointer to a member of the top object.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
