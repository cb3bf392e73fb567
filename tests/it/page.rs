//! The page of `carillon standalone --dev`: what it is served with, for whom, and that nothing of it is there
//! otherwise. What it looks like and does in a browser is tested in client/js.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use carillon_tests::child::Child;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Addresses, Service};
use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::SOON;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// `carillon standalone --dev`, and somebody who asks it.
struct Dev {
    _child: Child,
    _dir: TempDir,
    at: SocketAddr,
    http: Client,
}

impl Dev {
    async fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        let addresses = dir.path().join("addresses.json");
        let mut command = Command::new(Service::built("carillon"));
        command
            .args(["standalone", "--dev", "--listen", "127.0.0.1:0"])
            .arg("--addresses-file")
            .arg(&addresses)
            .env("CARILLON__ADMIN__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = Child::spawn(command)?;
        let at = eventually("it listens", SOON, async || {
            let found: Addresses = serde_json::from_slice(&fs::read(&addresses)?)?;
            Ok(found.public)
        })
        .await?;
        let http = Client::builder().no_proxy().build()?;
        Ok(Self {
            _child: child,
            _dir: dir,
            at,
            http,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// As the page asks.
    async fn own(&self, path: &str) -> Result<Value> {
        let asked = self.http.post(self.url(path)).header(ORIGIN, self.url(""));
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    /// As the page's connection to a gateway, with what it was told first.
    async fn connect(&self, user: &str, session: &str) -> Result<(Socket, Value)> {
        let token = self.own(&format!("/demo/token/{user}")).await?;
        let token = token["token"].as_str().context("no token")?;
        let path = format!("/demo/wire/{user}?token={token}&session={session}&device=d");
        let mut request = format!("ws://{}{path}", self.at).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("origin", self.url("").parse()?);
        headers.insert("sec-websocket-protocol", "carillon.v1".parse()?);
        let (mut socket, _) = connect_async(request).await?;
        let welcome = until(&mut socket, "welcome").await?;
        Ok((socket, welcome))
    }

    async fn gateway_of(&self, session: &str) -> Result<String> {
        let answer = self.own(&format!("/demo/gateway/{session}")).await?;
        Ok(answer["gateway"].as_str().context("no name")?.to_owned())
    }
}

/// The next frame of this type.
async fn until(socket: &mut Socket, kind: &str) -> Result<Value> {
    loop {
        let message = tokio::time::timeout(SOON, socket.next()).await?;
        let Message::Text(text) = message.context("it ended")?? else {
            continue;
        };
        let frame: Value = serde_json::from_str(&text)?;
        if frame["type"] == kind {
            return Ok(frame);
        }
    }
}

async fn code(answer: Response) -> Result<(u16, Value)> {
    let status = answer.status().as_u16();
    Ok((status, answer.json::<Value>().await?["code"].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_served_with_all_it_loads() -> Result<()> {
    let dev = Dev::start().await?;
    let page = dev.http.get(dev.url("/")).header(ACCEPT, BROWSER);
    let page = page.send().await?.error_for_status()?;
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str()?.to_owned();
    ensure!(
        policy.starts_with("default-src 'none'; script-src 'self' 'sha256-"),
        "{policy}"
    );
    for word in ["unsafe", "http:", "https:", "ws:", "*"] {
        ensure!(!policy.contains(word), "{word} in {policy}");
    }
    let html = page.text().await?;
    let mut loaded = 0;
    for path in html.split('"').filter(|text| text.starts_with("/demo/")) {
        let file = dev.http.get(dev.url(path)).send().await?;
        let file = file.error_for_status()?;
        ensure!(file.headers()["x-content-type-options"] == "nosniff");
        let kind = file.headers()[CONTENT_TYPE].to_str()?.to_owned();
        ensure!(
            ["text/javascript", "text/css", "image/svg+xml"]
                .iter()
                .any(|it| kind.starts_with(it)),
            "{path}: {kind}"
        );
        loaded += 1;
    }
    ensure!(loaded >= 5, "{loaded} in {html}");
    // A program gets its problem, as ever.
    let answer = dev.http.get(dev.url("/")).send().await?;
    ensure!(code(answer).await? == (404, json!("not_found")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_credentials_are_for_the_page_alone() -> Result<()> {
    let dev = Dev::start().await?;
    let key = dev.own("/demo/key").await?;
    let sent = dev
        .http
        .post(dev.url("/api/notifications/send"))
        .bearer_auth(key["key"].as_str().context("no key")?)
        .json(&json!({"target_user": "bob", "notification_type": "t", "content": "c"}));
    ensure!(sent.send().await?.status() == 200);

    let elsewhere = format!("evil.example:{}", dev.at.port());
    let rebound = format!("http://{elsewhere}");
    let own = dev.url("");
    let strangers: [&[(&str, &str)]; 5] = [
        &[],
        &[("origin", "http://evil.example")],
        &[("host", &elsewhere), ("origin", &rebound)],
        &[("host", &elsewhere), ("origin", &own)],
        &[("origin", &own), ("sec-fetch-site", "same-site")],
    ];
    for path in ["/demo/key", "/demo/token/alice", "/demo/cut/x"] {
        for headers in strangers {
            let mut asked = dev.http.post(dev.url(path));
            for (name, value) in headers {
                asked = asked.header(*name, *value);
            }
            let answer = code(asked.send().await?).await?;
            ensure!(
                answer == (403, json!("not_the_page")),
                "{path} {headers:?}: {answer:?}"
            );
        }
    }
    let nobody = dev.http.post(dev.url("/demo/token/carol"));
    let nobody = nobody.header(ORIGIN, dev.url("")).send().await?;
    ensure!(code(nobody).await? == (404, json!("not_found")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_is_cut_and_a_gateway_drains() -> Result<()> {
    let dev = Dev::start().await?;
    let (mut alice, welcome) = dev.connect("alice", "one").await?;
    let (mut bob, _) = dev.connect("bob", "two").await?;
    ensure!(welcome["session"] == "one" && welcome["user"] == "alice");
    let (first, other) = (dev.gateway_of("one").await?, dev.gateway_of("two").await?);
    ensure!(first != other, "both are on {first}");

    ensure!(dev.own("/demo/cut/one").await? == json!({"cut": 1}));
    let end = loop {
        match tokio::time::timeout(SOON, alice.next()).await? {
            Some(Ok(Message::Close(frame))) => ensure!(false, "she was told: {frame:?}"),
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    ensure!(
        matches!(&end, Some(Err(Error::Protocol(_) | Error::Io(_)))),
        "{end:?}"
    );
    eventually("the wire is forgotten", SOON, async || {
        ensure!(dev.gateway_of("one").await.is_err());
        Ok(())
    })
    .await?;

    let key = dev.own("/demo/key").await?;
    let key = key["key"].as_str().context("no key")?;
    let path = format!("/api/gateways/{other}/drain");
    let asked = dev.http.post(dev.url(&path)).bearer_auth(key);
    ensure!(asked.send().await?.status() == 202);
    until(&mut bob, "reconnect").await?;
    let (_bob, _) = dev.connect("bob", "three").await?;
    ensure!(dev.gateway_of("three").await? != other);
    drop(bob);
    eventually("the drained gateway has gone", SOON, async || {
        let asked = dev.http.get(dev.url("/api/gateways")).bearer_auth(key);
        let all: Value = asked.send().await?.json().await?;
        let all = all["gateways"].as_array().context("no list")?;
        let names: Vec<_> = all.iter().filter_map(|it| it["id"].as_str()).collect();
        let own = names.iter().filter(|name| name.starts_with("page-"));
        ensure!(own.count() == 2 && !names.contains(&&*other), "{names:?}");
        Ok(())
    })
    .await
}

/// A configured process shows the short page, and has no route of this one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dev_nothing_of_it_is_there() -> Result<()> {
    let process = Service::standalone()
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .start()
        .await?;
    let http = Client::builder().no_proxy().build()?;
    let url = format!("http://{}", process.public());
    let page = http.get(&url).header(ACCEPT, BROWSER).send().await?;
    let page = page.error_for_status()?.text().await?;
    ensure!(!page.contains("/demo/"), "{page}");
    for path in [
        "/demo/key",
        "/demo/token/alice",
        "/demo/wire/alice",
        "/demo/main.js",
    ] {
        for asked in [
            http.get(format!("{url}{path}")),
            http.post(format!("{url}{path}")),
        ] {
            let answer = asked.header(ORIGIN, &url).header(HOST, "localhost");
            ensure!(
                code(answer.send().await?).await? == (404, json!("not_found")),
                "{path}"
            );
        }
    }
    Ok(())
}
