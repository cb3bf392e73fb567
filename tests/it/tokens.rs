//! Tokens that are revoked, tickets that stand for them, and cookies that hold them.

mod cookies;
mod revoked;
mod services;
mod tickets;

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::{
    client::{Handshake, Socket, TokenIn, token},
    process::{Process, Service},
    redis::{Options, Standalone},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::world::{SECRET, SOON, config, configure};

/// Both stores.
const STORES: [Store; 2] = [Store::Memory, Store::Redis];

#[derive(Clone, Copy, Debug)]
enum Store {
    Memory,
    Redis,
}

/// Two gateways and a dispatcher over Redis, or all in one process over its memory.
struct Stage {
    processes: Vec<Process>,
    redis: Option<Standalone>,
    /// May revoke, ask for tickets, and send.
    key: String,
    http: Client,
}

impl Stage {
    async fn on(store: Store, settings: &[(&str, &str)]) -> Result<Self> {
        Self::with(store, settings, "").await
    }

    /// The same with more text in the configuration.
    async fn with(store: Store, settings: &[(&str, &str)], more: &str) -> Result<Self> {
        let (key, hash) = ApiKeys::generate();
        let more = format!(
            "{more}[[auth.api_keys]]\nname = \"ops\"\nhash = \"{hash}\"\n\
             scopes = [\"admin\", \"tickets\", \"send\"]\n"
        );
        let (_, config) = config(&more);
        let of = |service, url: &str| {
            configure(service, &config, settings)
                .set("gateway.refusal_hold_min", "0s")
                .set("gateway.refusal_hold_max", "0s")
                .set("backend.url", url)
        };
        let (processes, redis) = match store {
            Store::Memory => {
                let all = of(Service::standalone(), "memory://").start().await?;
                (vec![all], None)
            }
            Store::Redis => {
                let redis = Standalone::start(&Options::default()).await?;
                let url = redis.url();
                let (one, two, dispatcher) = (
                    of(Service::gateway(), &url),
                    of(Service::gateway(), &url),
                    of(Service::dispatcher(), &url),
                );
                let all = tokio::try_join!(one.start(), two.start(), dispatcher.start())?;
                (vec![all.0, all.1, all.2], Some(redis))
            }
        };
        Ok(Self {
            processes,
            redis,
            key: key.expose().clone(),
            http: Client::builder().no_proxy().build()?,
        })
    }

    fn gateways(&self) -> &[Process] {
        &self.processes[..self.processes.len().min(2)]
    }

    fn dispatcher(&self) -> &Process {
        &self.processes[self.processes.len() - 1]
    }

    /// Status and body of the answer to a call under this key or token.
    async fn call_as(
        &self,
        bearer: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.dispatcher().http());
        let mut request = self.http.request(method, url).bearer_auth(bearer);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Revokes, and it must be accepted.
    async fn revoke(&self, body: Value) -> Result<Value> {
        let path = "/api/tokens/revoke";
        let (status, answer) = self
            .call_as(&self.key, Method::POST, path, Some(&body))
            .await?;
        ensure!(status == 200, "{status} {answer}");
        Ok(answer["revocation"].clone())
    }

    /// Asks for a ticket; status and answer.
    async fn ask_ticket(&self, bearer: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.call_as(bearer, Method::POST, "/api/tickets", body)
            .await
    }

    /// A ticket for who has this token.
    async fn ticket(&self, token: &str) -> Result<String> {
        let (status, answer) = self.ask_ticket(token, None).await?;
        ensure!(status == 200, "{status} {answer}");
        let ticket = answer["ticket"].as_str().unwrap_or_default().to_owned();
        ensure!(ticket.starts_with("ct_"), "{answer}");
        Ok(ticket)
    }
}

/// A token of the user's with more claims.
fn token_with(user: &str, more: Value) -> String {
    let mut claims = json!({ "sub": user, "iat": token::now(), "exp": token::now() + 3_600 });
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    token::sign(SECRET, &claims)
}

fn page(gateway: &Process, token: &str) -> Handshake {
    Handshake::to(&gateway.ws()).token(TokenIn::Query, token)
}

/// How a connection ends at once that is not to be.
async fn refused(handshake: &Handshake) -> Result<(u16, String)> {
    Socket::connect(handshake).await?.closed(SOON).await
}

/// Whether the connection is still there: it is answered.
async fn lives(socket: &mut Socket) -> Result<()> {
    socket.send(&json!({ "type": "ping" })).await?;
    loop {
        if socket.frame(Duration::from_secs(10)).await?["type"] == "pong" {
            return Ok(());
        }
    }
}
