//! A running service asked by its own contract: calls that it allows, and calls that it does not. No status is
//! another than those described, none is a 5xx, and every body is as described.

use std::time::Duration;

use anyhow::Result;
use carillon_common::auth::ApiKeys;
use carillon_tests::client::token;
use carillon_tests::generate::{Generator, Wrong};
use carillon_tests::process::Service;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::asked::{Call, Expected, Judge};
use crate::world::in_ms;

/// How many calls of each route are made that it allows; those that it does not are made each once.
const RIGHT: usize = 60;
const SECRET: &str = "a secret that is known to tests alone, 32+";
/// What was found is found again.
const SEED: u64 = 20_260_101;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_keeps_its_contract() -> Result<()> {
    let (key, hash) = ApiKeys::generate();
    let process = Service::standalone()
        .config(&format!(
            "[[auth.issuers]]\nname = \"tests\"\nalgorithms = [\"HS256\"]\n\
             secret = \"{SECRET}\"\n\
             [[auth.api_keys]]\nname = \"tests\"\nhash = \"{hash}\"\n\
             scopes = [\"send\", \"broadcast\", \"read\", \"admin\", \"tickets\"]\n"
        ))
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .set("dispatcher.requests_per_user", 1_000_000)
        .start()
        .await?;
    let base = process.http();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()?;
    // As it is served: with the limits of this very process.
    let document: Value = http
        .get(format!("{base}/openapi.json"))
        .send()
        .await?
        .json()
        .await?;
    let user = token::hs256(SECRET, "alice", Duration::from_secs(600));
    let calls = calls(&document, key.expose(), &user);
    assert!(calls.len() > 300, "{}", calls.len());
    let mut judge = Judge::new(&document);
    let mut faults = Vec::new();
    for (expected, call) in calls {
        let answer = call.make(&http, &base).await;
        faults.extend(judge.fault(&call, expected, answer).await);
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    Ok(())
}

/// With the key of a service, or the token of a user, as each route needs it.
fn calls(document: &Value, key: &str, user: &str) -> Vec<(Expected, Call)> {
    let mut generator = Generator::new(document, SEED);
    let mut all = Vec::new();
    for (route, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let route = Route {
                route,
                method,
                operation,
                shown: match operation["security"][0]["api_key"].is_array() {
                    true => key,
                    false => user,
                },
            };
            all.extend((0..RIGHT).map(|_| (Expected::Taken, route.right(&mut generator))));
            let wrong = route.wrong(&mut generator);
            all.extend(wrong.into_iter().map(|call| (Expected::Refused, call)));
        }
    }
    all
}

struct Route<'a> {
    route: &'a str,
    method: &'a str,
    operation: &'a Value,
    shown: &'a str,
}

impl<'a> Route<'a> {
    /// A call that the contract allows.
    fn right(&self, generator: &mut Generator<'a>) -> Call {
        let mut call = Call {
            method: self.method.to_uppercase(),
            route: self.route.to_owned(),
            path: self.route.to_owned(),
            ..Call::default()
        };
        call.header("Authorization", Some(&format!("Bearer {}", self.shown)));
        for parameter in self.parameters() {
            let name = text(&parameter["name"]);
            let schema = &parameter["schema"];
            match text(&parameter["in"]) {
                "path" => {
                    let value = generator.right(schema);
                    // What begins with dots may be none of a URL's path (RFC 3986, section 5.2.4).
                    let value: String = text(&value).chars().take(60).collect();
                    let begins = if value.starts_with('.') { "g" } else { "" };
                    let value = format!("{begins}{value}");
                    let place = format!("{{{name}}}");
                    call.path = call.path.replace(&place, &in_path(&value));
                }
                "query" if self.body().is_none() && generator.happens(0.5) => {
                    let value = generator.right(schema);
                    call.query.push((name.to_owned(), in_query(name, &value)));
                }
                "header" if generator.happens(0.5) => {
                    let value = generator.right(schema);
                    // A header's value begins and ends with something that is seen (RFC 9110, section 5.5).
                    let letters = text(&value).chars().filter(|it| matches!(it, ' '..='~'));
                    let letters: String = letters.take(60).collect();
                    // Each is another request, which a key that is used again would not allow.
                    call.header(name, Some(&format!("k{letters}-{}", Uuid::new_v4())));
                }
                _ => {}
            }
        }
        match self.body() {
            // Either place is for the fields, not both.
            Some(schema) if !self.takes_query() || generator.happens(0.5) => {
                call.header("Content-Type", Some("application/json"));
                call.body = Some(self.fields(generator, schema).to_string());
            }
            Some(schema) => {
                let schema = generator.resolve(schema);
                let fields = self.fields(generator, schema);
                call.query = members(&fields)
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.clone(), in_query(name, value)))
                    .collect();
            }
            None => {}
        }
        call
    }

    /// What the schema allows, and what it has no words for: to everyone, `ttl` has a bound of its own
    /// (`channels.broadcast_ttl`), which goes by whether there is a channel; whose tokens are meant has to be said, and
    /// times go by now.
    fn fields(&self, generator: &mut Generator<'a>, schema: &'a Value) -> Value {
        let mut fields = generator.right(schema);
        if self.route.ends_with("/broadcast")
            && fields["channel"].is_null()
            && let Some(members) = fields.as_object_mut()
        {
            members.remove("ttl");
        }
        if self.route.ends_with("/send")
            && let Some(members) = fields.as_object_mut()
            && members.get("deliver_at").is_some_and(|at| !at.is_null())
        {
            members.insert("deliver_at".to_owned(), in_ms(3_600_000).into());
        }
        if (self.route.ends_with("/revoke") || self.route.ends_with("/tickets"))
            && let Some(members) = fields.as_object_mut()
        {
            for time in ["issued_before", "expires_at", "expires_in"] {
                members.remove(time);
            }
            members.insert("user".to_owned(), Uuid::new_v4().to_string().into());
        }
        fields
    }

    /// Calls that it does not: each is wrong in one way.
    fn wrong(&self, generator: &mut Generator<'a>) -> Vec<Call> {
        let right = loop {
            let call = self.right(generator);
            if call.query.is_empty() {
                break call;
            }
        };
        let mut all = vec![
            right.but(|it| it.header("Authorization", None)),
            right.but(|it| it.header("Authorization", Some("Bearer ck_unknown"))),
            right.but(|it| it.header("Authorization", Some("Basic YTpi"))),
        ];
        if !self.takes_query() || self.body().is_none() {
            all.push(right.but(|it| it.query = vec![("a".to_owned(), "b".to_owned())]));
        }
        let Some(schema) = self.body() else {
            return all;
        };
        if self.parameters().any(|it| it["name"] == "Idempotency-Key") {
            let long = "k".repeat(256);
            all.push(right.but(|it| it.header("Idempotency-Key", Some(&long))));
        }
        all.extend([
            right.but(|it| it.header("Content-Type", Some("text/plain"))),
            right.but(|it| it.header("Content-Type", None)),
            right.but(|it| it.header("Content-Encoding", Some("gzip"))),
            right.but(|it| it.query = vec![("content".to_owned(), "b".to_owned())]),
            right.but(|it| it.body = Some("{\"content\":".to_owned())),
            right.but(|it| it.body = Some(String::new())),
            right
                .but(|it| it.body = Some(format!("{{\"content\":\"{}\"}}", "x".repeat(100 << 10)))),
            right.but(|it| it.body = Some("{\"content\":1,\"content\":2}".to_owned())),
        ]);
        for Wrong { value, .. } in generator.wrong(schema) {
            all.push(right.but(|it| it.body = Some(value.to_string())));
        }
        all
    }

    fn parameters(&self) -> impl Iterator<Item = &'a Value> {
        self.operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
    }

    fn takes_query(&self) -> bool {
        self.parameters()
            .any(|parameter| parameter["in"] == "query")
    }

    fn body(&self) -> Option<&'a Value> {
        let schema = &self.operation["requestBody"]["content"]["application/json"]["schema"];
        let either = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
        let object = either.and_then(|all| all.iter().find(|it| it["type"] != "null"));
        let schema = object.unwrap_or(schema);
        (!schema.is_null()).then_some(schema)
    }
}

/// A field as a parameter: `data` is a text that is JSON.
fn in_query(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if name != "data" => text.clone(),
        value => value.to_string(),
    }
}

/// A name as a part of a path (RFC 3986, section 3.3).
fn in_path(name: &str) -> String {
    let written = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(written).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
