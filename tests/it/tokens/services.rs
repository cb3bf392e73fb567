//! Tokens of services, which dispatchers judge.

use anyhow::{Result, ensure};
use carillon_tests::{client::token, poll::eventually};
use reqwest::Method;
use serde_json::json;

use super::{Stage, Store};
use crate::world::SOON;

const SECRET: &str = "what services' tokens are signed with, 32";

fn signed(sub: &str, jti: &str) -> String {
    token::sign(
        SECRET,
        &json!({
            "sub": sub, "jti": jti, "iat": token::now() - 5, "exp": token::now() + 600, "scope": "send",
            "iss": "https://id.example", "aud": "carillon-api",
        }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_services_tokens_are_revoked_as_clients_are() -> Result<()> {
    let issuer = format!(
        "[[auth.issuers]]\nname = \"shops\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\n\
         issuer = \"https://id.example\"\naudience = \"carillon-api\"\nscopes = [\"send\"]\n"
    );
    let stage = Stage::with(Store::Redis, &[], &issuer).await?;
    let body = json!({ "target_user": "alice", "notification_type": "t", "content": "x" });
    let send = async |token: &str| {
        let path = "/api/notifications/send";
        stage.call_as(token, Method::POST, path, Some(&body)).await
    };
    let (one, two, other) = (
        signed("shop", "1"),
        signed("shop", "2"),
        signed("cafe", "1"),
    );
    for token in [&one, &two, &other] {
        ensure!(send(token).await?.0 == 200);
    }
    stage.revoke(json!({ "user": "shop", "jti": "1" })).await?;
    let (status, problem) = send(&one).await?;
    ensure!(
        (status, &problem["code"]) == (401, &json!("unauthenticated")),
        "{problem}"
    );
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("revoked"), "{problem}");
    ensure!(send(&two).await?.0 == 200 && send(&other).await?.0 == 200);
    stage.revoke(json!({ "user": "shop" })).await?;
    // On another dispatcher within two seconds, too.
    eventually("the second is refused", SOON, async || {
        ensure!(send(&two).await?.0 == 401);
        Ok(())
    })
    .await?;
    ensure!(send(&other).await?.0 == 200);
    Ok(())
}
