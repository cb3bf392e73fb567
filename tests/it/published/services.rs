//! Services that show a token of an issuer in the place of an API key.

use anyhow::{Context, Result, ensure};
use carillon_tests::client::token;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use serde_json::{Value, json};

use super::host::{Host, ISSUER, Key, Mood, set};
use super::{AWAITED, service, warns};
use crate::world::{SOON, metric_of};

/// Status and body of the answer.
async fn post(process: &Process, path: &str, token: &str, body: &Value) -> Result<(u16, Value)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let request = http.post(format!("{}{path}", process.http()));
    let answer = request.bearer_auth(token).json(body).send().await?;
    let status = answer.status().as_u16();
    if status == 503 {
        let after = answer.headers().get("retry-after");
        ensure!(after.is_some(), "when to try again is not said");
    }
    Ok((status, answer.json().await?))
}

async fn send(process: &Process, token: &str, user: &str) -> Result<(u16, Value)> {
    let body = json!({"target_user": user, "notification_type": "t", "content": "x"});
    post(process, "/api/notifications/send", token, &body).await
}

async fn broadcast(process: &Process, token: &str, channel: Option<&str>) -> Result<(u16, Value)> {
    let body = json!({"notification_type": "t", "content": "x", "channel": channel});
    post(process, "/api/notifications/broadcast", token, &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_send_with_tokens_of_their_issuer() -> Result<()> {
    let key = Key::new("a")?;
    let reserved = Host::start(Mood::Drops).await?;
    let (address, url) = (reserved.address, reserved.url());
    drop(reserved);
    let settings = [("auth.jwks_interval", "1s"), ("auth.jwks_refresh", "1h")];
    let dispatcher = service(Service::dispatcher(), &url, &settings);
    let dispatcher = dispatcher.start().await?;
    let both = key.service("send broadcast");
    let (status, problem) = send(&dispatcher, &both, "alice").await?;
    ensure!(
        (status, &problem["code"]) == (503, &json!(AWAITED.1)),
        "{status} {problem}"
    );
    ensure!(problem["retryable"] == true, "{problem}");
    eventually("it is warned of", SOON, async || {
        ensure!(warns(&dispatcher, "key_sets_of_services").await? == 1.0);
        Ok(())
    })
    .await?;
    ensure!(
        warns(&dispatcher, "key_sets").await? == 0.0,
        "of clients it needs none"
    );

    let _host = Host::start_at(address, set(&[&key])).await?;
    eventually("the keys have come", SOON, async || {
        let (status, answer) = send(&dispatcher, &both, "alice").await?;
        ensure!(status == 200, "{answer}");
        Ok(())
    })
    .await?;
    let refusals = [
        (
            send(&dispatcher, &key.service("broadcast"), "a").await?,
            403,
            "insufficient_scope",
        ),
        (
            send(&dispatcher, &key.service("openid"), "a").await?,
            403,
            "insufficient_scope",
        ),
        (
            send(&dispatcher, &key.token("alice"), "a").await?,
            401,
            "unauthenticated",
        ),
        (
            send(&dispatcher, &Key::new("a")?.service("send"), "a").await?,
            401,
            "unauthenticated",
        ),
        (
            broadcast(&dispatcher, &both, Some("billing")).await?,
            403,
            "channel_forbidden",
        ),
        (
            broadcast(&dispatcher, &both, None).await?,
            403,
            "channel_forbidden",
        ),
    ];
    for ((status, problem), expected, code) in refusals {
        ensure!(
            (status, &problem["code"]) == (expected, &json!(code)),
            "{status} {problem}"
        );
        ensure!(!problem.to_string().contains(&both), "a token in {problem}");
    }
    let (status, answer) = broadcast(&dispatcher, &both, Some("orders.eu")).await?;
    ensure!(status == 200, "{answer}");
    let limited = key.signed(&json!({
        "iss": ISSUER, "aud": "carillon-api", "sub": "shop-1", "scope": "send",
        "users": ["shop-*"], "exp": token::now() + 60,
    }));
    let (status, problem) = send(&dispatcher, &limited, "alice").await?;
    ensure!(
        (status, &problem["code"]) == (403, &json!("user_forbidden")),
        "{problem}"
    );
    ensure!(
        problem["errors"][0]["pointer"] == "/target_user",
        "{problem}"
    );
    ensure!(problem["detail"].to_string().contains("alice"), "{problem}");
    ensure!(send(&dispatcher, &limited, "shop-7").await?.0 == 200);

    let sent = "carillon_dispatcher_sends_total{outcome=\"queued\",sender=\"shops\"}";
    ensure!(
        metric_of(&dispatcher, sent).await? == 2.0,
        "by the issuer's name"
    );
    let log = dispatcher.log()?;
    let signature = both.rsplit('.').next().context("a signature")?;
    ensure!(!log.contains(signature), "a token in {log}");
    Ok(())
}

/// The admin port's audit line has the issuer's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_show_a_token_too() -> Result<()> {
    let key = Key::new("a")?;
    let host = Host::start(set(&[&key])).await?;
    let gateway = service(Service::gateway(), &host.url(), &[])
        .start()
        .await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |token: &str| -> Result<u16> {
        let url = format!("http://{}/log-level", gateway.admin());
        let answer = http.get(url).bearer_auth(token).send().await?;
        Ok(answer.status().as_u16())
    };
    eventually("the keys have come", SOON, async || {
        let status = ask(&key.service("admin")).await?;
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    ensure!(ask(&key.service("send")).await? == 403);
    ensure!(ask(&key.token("alice")).await? == 401);
    let log = gateway.log()?;
    let line = log.lines().find(|line| line.contains("an operator's call"));
    let line = line.context("an audit line")?;
    ensure!(line.contains("shops"), "{line}");
    Ok(())
}
