//! One call of a described route, and the judgement of its answer.

use std::collections::HashMap;
use std::fmt::Write;

use carillon_tests::client::schemas::closed;
use jsonschema::Validator;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// A call.
#[derive(Debug, Default, Clone)]
pub(super) struct Call {
    /// `POST`
    pub(super) method: String,
    /// As the document has it.
    pub(super) route: String,
    /// With what stands in the place of its parameters.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

/// What the document says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// 2xx, or one of the problems that say that there is none of what is named.
    Taken,
    /// 4xx.
    Refused,
}

/// The document, and its schemas of answers, compiled as they are needed.
pub(super) struct Judge<'a> {
    document: &'a Value,
    answers: HashMap<(String, String, u16), Validator>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(document: &'a Value) -> Self {
        let answers = HashMap::new();
        Self { document, answers }
    }

    /// What is wrong with the answer, if anything is.
    pub(super) async fn fault(
        &mut self,
        call: &Call,
        expected: Expected,
        answer: Response,
    ) -> Option<String> {
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let kind = headers.get("content-type").and_then(|it| it.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let text = answer.text().await.unwrap_or_default();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut faults = String::new();
        let mut note = |what: &str| writeln!(faults, "{what}").unwrap_or_default();

        let as_expected = match expected {
            Expected::Taken => matches!(status, 200..=299 | 404 | 410),
            Expected::Refused => matches!(status, 400..=499),
        };
        if !as_expected {
            note(&format!("{expected:?}, but it is {status}"));
        }
        let said = &self.operation(call)["responses"][status.to_string()];
        if said.is_null() {
            note(&format!("{status} is not described"));
        } else if said["content"][kind.as_str()].is_null() {
            note(&format!("{status} is not described as {kind:?}"));
        } else if let Some(wrong) = self.body_fault(call, status, &kind, &body) {
            note(&wrong);
        }
        for (name, described) in said["headers"].as_object().into_iter().flatten() {
            let always = name == "X-Request-Id";
            if always && !headers.contains_key(name) {
                note(&format!("without {name}: {described}"));
            }
        }
        let retry = headers.contains_key("retry-after");
        if status >= 400 && body["retryable"] != retry {
            note("Retry-After and `retryable` disagree");
        }
        (!faults.is_empty()).then(|| format!("{call:#?}\n{status} {text}\n{faults}"))
    }

    fn operation(&self, call: &Call) -> &'a Value {
        &self.document["paths"][call.route.as_str()][call.method.to_lowercase()]
    }

    fn body_fault(&mut self, call: &Call, status: u16, kind: &str, body: &Value) -> Option<String> {
        let answer = &self.operation(call)["responses"][status.to_string()];
        let place = (call.method.clone(), call.route.clone(), status);
        let schema = self.answers.entry(place).or_insert_with(|| {
            let schema = whole(self.document, &answer["content"][kind]["schema"]);
            jsonschema::options()
                .should_validate_formats(true)
                .should_ignore_unknown_formats(true)
                .build(&schema)
                .unwrap()
        });
        let faults: Vec<_> = schema.iter_errors(body).map(|it| it.to_string()).collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

/// The schema with what it refers to. An answer's parts are closed one by one, but for those that are joined by
/// `allOf`, of which each would refuse the other's fields.
fn whole(document: &Value, schema: &Value) -> Value {
    let components = json!({ "schemas": document["components"]["schemas"] });
    match schema.get("allOf") {
        Some(parts) => {
            let mut components = components;
            let problem = &mut components["schemas"]["Problem"];
            *problem = closed(problem.take());
            json!({ "allOf": parts, "components": components })
        }
        None => {
            let mut whole = closed(schema.clone());
            whole["components"] = closed(components);
            whole
        }
    }
}

impl Call {
    /// Makes the call.
    pub(super) async fn make(&self, http: &Client, base: &str) -> Response {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut url = reqwest::Url::parse(base).unwrap().join(&self.path).unwrap();
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = http.request(method, url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        request.send().await.unwrap()
    }

    /// The same call with a change.
    pub(super) fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        change(&mut other);
        other
    }

    /// Another value of a header, or none.
    pub(super) fn header(&mut self, name: &str, value: Option<&str>) {
        self.headers.retain(|(it, _)| it != name);
        self.headers
            .extend(value.map(|it| (name.to_owned(), it.to_owned())));
    }
}
