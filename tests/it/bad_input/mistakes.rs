//! Mistakes that are easy to make: the answer says what is wrong and what to do.

use std::process::Output;

use anyhow::{Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::client::notification;
use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use serde_json::Value;
use tokio::process::Command;

use crate::edge::carillon;
use crate::world::{World, token_of};

const SEND: &str = "/api/notifications/send";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A call of the API that is refused with this code, and a detail that has this.
async fn refused(call: RequestBuilder, code: &str, told: &str) -> Result<()> {
    let answer = call.send().await?;
    ensure!(answer.status().is_client_error(), "{}", answer.status());
    let problem: Value = answer.json().await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(problem["code"] == code, "{problem}");
    ensure!(detail.contains(told), "{told:?} is not in {detail:?}");
    for inside in ["struct", "expected value", "ident", "EOF", "at line"] {
        ensure!(!detail.contains(inside), "the parser's words: {detail}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rest() -> Result<()> {
    let world = World::start(&[]).await;
    let url = format!("{}{SEND}", world.dispatcher.http());
    let call = || Client::new().post(&url).json(&notification("a", "t", "c"));
    let with = |authorization: &str| call().header(header::AUTHORIZATION, authorization);
    let (_, hash) = ApiKeys::generate();

    let token = format!("Bearer {}", token_of("alice"));
    refused(
        with(&token),
        "unauthenticated",
        "needs an API key, which begins with ck_",
    )
    .await?;
    let hash = format!("Bearer {hash}");
    refused(with(&hash), "unauthenticated", "the hash of an API key").await?;
    refused(
        with("Basic YTpi"),
        "unauthenticated",
        "write `Authorization: Bearer <key>`",
    )
    .await?;
    refused(
        with("ck_abc"),
        "unauthenticated",
        "write `Authorization: Bearer <key>`",
    )
    .await?;
    refused(call(), "unauthenticated", "send an API key in the header").await?;

    let preflight = Client::new()
        .request(Method::OPTIONS, &url)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST");
    refused(preflight, "preflight_refused", "no page must hold").await?;

    let body = |text: &[u8], kind: &str| {
        let request = world.api.request(Method::POST, SEND);
        request.header("content-type", kind).body(text.to_vec())
    };
    let json = "application/json";
    refused(
        body(b"", json),
        "malformed_json",
        "the body is empty: send a JSON object",
    )
    .await?;
    refused(
        body(b"{\"a\"", json),
        "malformed_json",
        "it ends too early (line 1",
    )
    .await?;
    refused(
        body(b"nonsense", json),
        "malformed_json",
        "(line 1, column 2)",
    )
    .await?;
    refused(body(b"\"x\"", json), "invalid_field", "not a string").await?;
    refused(body(b"\xff\xfe{\0}\0", json), "malformed_json", "UTF-16").await?;
    let latin = "application/json; charset=latin1";
    refused(body(b"{}", latin), "unsupported_media_type", "send UTF-8").await?;
    // What an editor of another system puts before UTF-8 is no mistake.
    let marked = format!("\u{feff}{}", notification("alice", "t", "c"));
    let answer = body(marked.as_bytes(), "application/json; charset=\"UTF-8\"")
        .send()
        .await?;
    ensure!(
        answer.status() == StatusCode::OK,
        "{}",
        answer.text().await?
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser() -> Result<()> {
    let world = World::start(&[]).await;
    for (process, told) in [
        (&world.gateway, "a gateway"),
        (&world.dispatcher, "a dispatcher"),
    ] {
        let get = |accept: &'static str| {
            let url = format!("{}/?token=s3cret", process.http());
            Client::new().get(url).header(header::ACCEPT, accept).send()
        };
        let page = get(BROWSER).await?;
        ensure!(page.status() == StatusCode::OK, "{told}");
        let policy = page.headers()["content-security-policy"]
            .to_str()?
            .to_owned();
        ensure!(policy.contains("default-src 'none'"), "{policy}");
        let page = page.text().await?;
        ensure!(page.contains(told) && !page.contains("s3cret"), "{page}");
        let problem = get("*/*").await?;
        ensure!(problem.status() == StatusCode::NOT_FOUND, "{told}");
        ensure!(problem.headers()["content-type"] == "application/problem+json");

        let admin = format!("http://{}/", process.admin());
        let contents = reqwest::get(admin).await?.text().await?;
        ensure!(contents.contains("/readyz?verbose"), "{contents}");
    }
    // REST at a gateway's port: it says whose that is.
    let call = Client::new().post(format!("{}{SEND}", world.gateway.http()));
    refused(call, "not_found", "REST is the dispatchers'").await
}

async fn typed(line: &[&str]) -> Result<Output> {
    let mut command = Command::new(carillon());
    for name in [
        "CARILLON_API",
        "CARILLON_URL",
        "CARILLON_CONFIG",
        "CARILLON_SECRET",
    ] {
        command.env_remove(name);
    }
    Ok(command.args(line).output().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_command_line() -> Result<()> {
    let world = World::start(&[]).await;
    let (token, gateway) = (token_of("alice"), world.gateway.ws());
    let (rest, rest_as_socket) = (
        world.dispatcher.http(),
        world.dispatcher.http().replace("http", "ws"),
    );
    let bare = rest.trim_start_matches("http://").to_owned();
    let (key, hash) = ApiKeys::generate();
    let key = key.expose().as_str();
    let online = |api: &'static str| ["online", "--retry-for", "0s", "--key", "ck_x", "--api", api];
    for (line, code, told) in [
        (
            vec!["online", "--key", &*token, "--api", &*rest],
            2,
            "a call of the API needs an API key",
        ),
        (
            vec!["online", "--key", &*hash, "--api", &*rest],
            2,
            "the hash of an API key",
        ),
        (
            vec!["online", "--key", key, "--api", &*bare],
            2,
            "write http://127.0.0.1",
        ),
        (
            online("localhost:1").to_vec(),
            2,
            "write http://localhost:1",
        ),
        (
            online("ws://localhost:1").to_vec(),
            2,
            "REST is the dispatcher's: http://localhost:1",
        ),
        (
            vec!["subscribe", "--token", key, "--url", &*gateway],
            2,
            "a client needs a token",
        ),
        (
            vec!["subscribe", "--token", &*token, "--url", "localhost:1"],
            2,
            "write ws://localhost:1",
        ),
        (
            vec!["subscribe", "--token", &*token, "--url", &*rest_as_socket],
            3,
            "not a dispatcher's (8081)",
        ),
        (
            vec![
                "send", "--user", "a", "--type", "t", "--data", "{", "--key", "ck_x",
            ],
            2,
            "it ends too early",
        ),
        (
            vec!["send", "--user", "a", "--type", "t", "--content", "--json"],
            2,
            "is an option",
        ),
        (vec!["token", "inspect", key], 1, "it is an API key"),
        (vec!["token", "inspect", &*token], 0, "pass --config FILE"),
    ] {
        let output = typed(&line).await?;
        let said = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
        ensure!(
            output.status.code() == Some(code),
            "{line:?}: {} {said}",
            output.status
        );
        ensure!(said.contains(told), "{line:?}: {told:?} is not in\n{said}");
        ensure!(!said.contains(&*token), "{line:?} shows the token");
    }
    // `http://` for a socket is its address all the same.
    let url = gateway.replace("ws://", "http://");
    let url = url.trim_end_matches("/ws/notifications");
    let line = [
        "subscribe",
        "--token",
        &token,
        "--url",
        url,
        "--duration",
        "1s",
    ];
    let output = typed(&line).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
