//! The fields of a request, from a JSON body or a query string, read so that everything that is
//! wrong with them is told at once.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use carillon_common::{errors::ProblemKind, http::FieldProblem, json, text::decoded};
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
    errors: Vec<FieldError>,
}

impl<'f> FieldReader<'f> {
    pub(crate) fn new(fields: &'f Fields<'f>) -> Self {
        Self {
            fields,
            known: Vec::with_capacity(8),
            errors: Vec::new(),
        }
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

    /// A number of seconds, or a text such as `10m`; fractions of a millisecond count as one.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.value(name)?;
        self.checked(name, duration_of(value))
    }

    /// Notes that a field is wrong.
    pub(crate) fn refuse(&mut self, kind: ProblemKind, name: &str, detail: String) {
        self.errors.push(FieldError {
            kind,
            problem: FieldProblem {
                pointer: pointer(name),
                detail,
            },
        });
    }

    /// Everything that was wrong, fields that nobody asked for included.
    pub(crate) fn finish(mut self) -> Vec<FieldError> {
        let fields = self.fields;
        for (name, _) in &fields.0 {
            if self.errors.len() >= MAX_ERRORS {
                break;
            }
            if !self.known.iter().any(|known| known == name) {
                let known = self.known.join(", ");
                let detail = format!("this field is not known here; known are {known}");
                self.refuse(ProblemKind::UnknownField, name, detail);
            }
        }
        self.errors
    }

    /// The one value under a name, if it is there and not null.
    fn value(&mut self, name: &'static str) -> Option<&'f Value<'f>> {
        self.known.push(name);
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
        match value {
            Value::Json(raw) if raw.get() == "null" => None,
            value => Some(value),
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
    let raw = match value {
        Value::Text(text) => return Ok(Cow::Borrowed(text)),
        Value::Json(raw) => raw.get(),
    };
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

/// RFC 6901, section 3: the pointer to a member of the top object.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
