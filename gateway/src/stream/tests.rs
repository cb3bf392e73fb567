//! Streams of a whole gateway, over the store in memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use carillon_common::{
    auth::{NewToken, mint},
    backend::{self, Backend, Idempotency, SendOrder},
    http::{Front, listen},
    ids::NotificationId,
    process::{Process, Shutdown},
    settings::{IssuerSettings, Settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Opened;
use crate::parts::Gateway;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(20);
/// A REST call, as far as this matters, whose connection is kept.
const ELSEWHERE: &str = "GET /api/none HTTP/1.1\r\nHost: x\r\n\r\n";

/// As a socket's.
#[test]
fn a_stream_is_small() {
    let size = size_of::<Opened>();
    assert!(size <= 1_024, "{size} bytes each");
}

/// A gateway and what is before it.
struct House {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    backend: Arc<dyn Backend>,
    shutdown: Shutdown,
}

impl House {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.auth.issuers = vec![IssuerSettings::hs256("test", SECRET)];
        settings.drain.delay = Duration::ZERO;
        settings.drain.window = Duration::from_millis(100);
        change(&mut settings);
        let backend = backend::connect(&settings).await.unwrap();
        let process = Process::detached(settings).unwrap();
        let gateway = Gateway::start(&process, backend.clone()).await.unwrap();
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = process.shutdown.clone();
        let (running, told) = (gateway.clone(), shutdown.clone());
        // As of both services in one: its connections are kept.
        let http = Front::Standalone("/ws".to_owned()).before(axum::Router::new());
        tokio::spawn(async move { running.run(listener, http, told).await });
        Self {
            address,
            gateway,
            backend,
            shutdown,
        }
    }

    async fn client(&self) -> Client {
        Client {
            socket: TcpStream::connect(self.address).await.unwrap(),
            unread: Vec::new(),
        }
    }

    async fn send(&self, number: u128) {
        let id = NotificationId::from_u128(number);
        let order = SendOrder {
            user: "alice".parse().unwrap(),
            id,
            body: Bytes::from(format!("{{\"id\":\"{id}\",\n\"type\":\"t\"}}")),
            ttl: Duration::from_secs(60),
            collapse_key: None,
            due: None,
            idempotency: Idempotency {
                key: id.to_string(),
                former: None,
                body_hash: String::new(),
                ttl: Duration::from_secs(60),
            },
            trace: None,
        };
        self.backend.send(&order).await.unwrap();
    }
}

fn token() -> String {
    let exp = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let new = NewToken {
        sub: "alice",
        exp: i64::try_from(exp.as_secs()).unwrap() + 600,
        ..Default::default()
    };
    mint(&IssuerSettings::hs256("test", SECRET), &new).unwrap()
}

fn request(method: &str, version: &str, more: &str) -> String {
    let token = token();
    format!(
        "{method} /sse/notifications?token={token}&device=tab HTTP/{version}\r\nHost: x\r\n{more}\r\n"
    )
}

struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn say(&mut self, request: &str) {
        self.socket.write_all(request.as_bytes()).await.unwrap();
    }

    /// What comes up to this text, that included.
    async fn up_to(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let so_far = String::from_utf8_lossy(&self.unread).into_owned();
                if let Some(at) = so_far.find(text) {
                    let end = at + text.len();
                    self.unread.drain(..end);
                    return so_far[..end].to_owned();
                }
                let read = self.socket.read_buf(&mut self.unread).await.unwrap();
                assert!(read > 0, "ended, without {text}, after {so_far}");
            }
        };
        timeout(SOON, reading).await.unwrap()
    }

    /// The rest of the answer, to the end of the connection.
    async fn rest(&mut self) -> String {
        let reading = self.socket.read_to_end(&mut self.unread);
        timeout(SOON, reading).await.unwrap().unwrap();
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }
}

#[tokio::test]
async fn a_stream_begins_on_a_connection_that_was_used_before() {
    let house = House::new(|_| ()).await;
    let mut client = house.client().await;
    for _ in 0..2 {
        client.say(ELSEWHERE).await;
        let other = client.up_to("\r\n\r\n").await;
        assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
        assert!(!other.contains("connection: close"), "{other}");
    }
    house.send(1).await;
    client.say(&request("GET", "1.1", "")).await;
    let head = client.up_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let begun = client.up_to("event: replayed\n").await;
    for part in ["retry: ", "event: welcome\n", "id: ", "data: {\"id\":"] {
        assert!(begun.contains(part), "no {part} in {begun}");
    }
    assert!(begun.contains(",\ndata: \"type\":\"t\""), "{begun}");
    assert_eq!(house.gateway.connections(), 1);
    house.send(2).await;
    client.up_to("00000000-0000-0000-0000-000000000002").await;
    drop(client);
    let gone = timeout(SOON, async {
        while house.gateway.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_holds_enough_ends_whole_and_the_next_goes_on() {
    let house = House::new(|settings| settings.sse.unacked = 2).await;
    for number in 1..=3 {
        house.send(number).await;
    }
    let mut client = house.client().await;
    client.say(&request("GET", "1.1", "")).await;
    let first = client.rest().await;
    assert!(first.contains("\"code\":4204"), "{first}");
    assert!(first.ends_with("\r\n0\r\n\r\n"), "{first}");
    assert!(first.contains("-000000000002\"") && !first.contains("-000000000003\""));
    let last = first.rsplit("\nid: ").next().unwrap();
    let last = last.split('\n').next().unwrap();

    let mut client = house.client().await;
    let resume = format!("Last-Event-ID: {last}\r\n");
    client.say(&request("GET", "1.0", &resume)).await;
    let again = client.up_to("event: replayed\n").await;
    assert!(again.contains("-000000000003\"") && !again.contains("-000000000002\""));
    assert!(!again.contains("chunked"), "{again}");
}

#[tokio::test]
async fn a_drain_ends_a_stream_with_when_to_come_back() {
    let house = House::new(|_| ()).await;
    let mut client = house.client().await;
    client.say(&request("GET", "1.1", "")).await;
    client.up_to("event: replayed\n").await;
    house.shutdown.begin();
    let rest = client.rest().await;
    assert!(rest.contains("event: reconnect\n"), "{rest}");
    assert!(
        rest.contains("\"code\":4200,\"reason\":\"draining\""),
        "{rest}"
    );
}

#[tokio::test]
async fn others_are_answered_with_a_status() {
    let house = House::new(|settings| settings.gateway.per_user_connections = 1).await;
    let nobody = "GET /sse/notifications HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = request("POST", "1.1", "Content-Length: 0\r\n");
    let options = request("OPTIONS", "1.1", "");
    let with_body = request("GET", "1.1", "Content-Length: 2\r\n") + "{}";
    for (request, status, part) in [
        (nobody, "401 Unauthorized", "\"code\":\"token_missing\""),
        (
            &*post,
            "405 Method Not Allowed",
            "allow: GET, HEAD, OPTIONS\r\n",
        ),
        (
            &*options,
            "204 No Content",
            "access-control-allow-headers: ",
        ),
        (&*with_body, "400 Bad Request", "leave Content-Length away"),
    ] {
        let mut client = house.client().await;
        client.say(request).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(answer.contains(part), "{answer}");
        assert!(
            answer.contains("access-control-allow-origin: *\r\n"),
            "{answer}"
        );
    }
    let mut client = house.client().await;
    client.say(&request("HEAD", "1.1", "")).await;
    let head = client.rest().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"));
    assert_eq!(house.gateway.connections(), 0);

    let mut first = house.client().await;
    first.say(&request("GET", "1.1", "")).await;
    first.up_to("event: welcome").await;
    for (accept, part) in [
        ("Accept: */*\r\n", "HTTP/1.1 429 Too Many Requests\r\n"),
        ("Accept: text/event-stream\r\n", "\"code\":4103"),
    ] {
        let mut second = house.client().await;
        second.say(&request("GET", "1.1", accept)).await;
        let answer = second.rest().await;
        assert!(answer.contains(part), "{answer}");
    }
}
