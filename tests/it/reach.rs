//! What services reach over REST beyond one user's inbox: many users at once, who is where, what channels hold, and
//! the end of connections.

mod assigned;
mod channels;
mod disconnected;
mod several;

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Handshake, TokenIn},
    deployment::{Deployment, Plan},
    process::Process,
    redis::{Options, Standalone},
};
use reqwest::Method;
use serde_json::Value;

/// Two gateways and a dispatcher over one Redis.
struct Scene {
    deployment: Deployment,
    _redis: Standalone,
}

impl Scene {
    async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let redis = Standalone::start(&Options::default()).await?;
        Ok(Self {
            deployment: two_gateways(redis.url(), settings).await?,
            _redis: redis,
        })
    }
}

async fn two_gateways(backend: String, settings: &[(&str, &str)]) -> Result<Deployment> {
    let plan = Plan::over(backend).gateways(2).dispatchers(1);
    let plan = settings
        .iter()
        .fold(plan, |plan, (name, value)| plan.set(name, value));
    plan.start().await
}

/// A tab of a page, in a session of this name.
fn simple(deployment: &Deployment, gateway: &Process, user: &str, session: &str) -> Handshake {
    Handshake::to(&gateway.ws())
        .token(TokenIn::Query, &deployment.token(user))
        .query("session", session)
}

/// A device that speaks `carillon.v1`, in a session of its name.
fn v1(deployment: &Deployment, gateway: &Process, user: &str, device: &str) -> Handshake {
    simple(deployment, gateway, user, device)
        .protocol("carillon.v1")
        .query("device", device)
}

/// A question over REST; it must be answered 200.
async fn get(deployment: &Deployment, path: &str) -> Result<Value> {
    let answer = deployment.api().request(Method::GET, path).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == 200, "{path}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// A call over REST: status and answer.
async fn post(deployment: &Deployment, path: &str, body: &Value) -> Result<(u16, Value)> {
    let request = deployment.api().request(Method::POST, path).json(body);
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}
