//! A host of key sets that behaves as it is told, and an issuer whose keys it serves.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_tests::client::token;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

pub(super) const ISSUER: &str = "https://id.example";

/// What a host does with a request.
#[derive(Debug, Clone)]
pub(super) enum Mood {
    /// Answers with this set.
    Serves(String),
    /// Answers with this status, these header lines, and this body.
    Answers(u16, String, String),
    /// Says nothing.
    Hangs,
    /// Begins an answer and says no more.
    Stops,
    /// Sends an answer that never ends.
    Pours,
    /// Closes at once.
    Drops,
}

/// It ends with this.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Host {
    pub(super) async fn start(mood: Mood) -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), mood).await
    }

    /// At an address that another had.
    pub(super) async fn start_at(address: SocketAddr, mood: Mood) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (mood, asked) = (Arc::new(Mutex::new(mood)), Arc::new(AtomicUsize::new(0)));
        let accepting = accept(listener, mood.clone(), asked.clone());
        Ok(Self {
            address,
            mood,
            asked,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(super) fn now(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// How many requests it was sent.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, mood: Arc<Mutex<Mood>>, asked: Arc<AtomicUsize>) {
    // They end with the listener.
    let mut answering = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (mood, asked) = (mood.clone(), asked.clone());
        answering.spawn(async move { answer(stream, &mood, &asked).await });
    }
}

/// Whoever has gone is not told.
async fn answer(mut stream: TcpStream, mood: &Mutex<Mood>, asked: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let mood = mood.lock().clone();
    let whole = |status: u16, fields: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} x\r\n{fields}content-length: {length}\r\n\r\n{body}")
    };
    let text = match mood {
        Mood::Serves(set) => whole(200, "content-type: application/json\r\n", &set),
        Mood::Answers(status, fields, body) => whole(status, &fields, &body),
        Mood::Hangs => {
            sleep(Duration::from_secs(3600)).await;
            return None;
        }
        Mood::Stops => {
            let begun = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"keys\":[";
            stream.write_all(begun.as_bytes()).await.ok()?;
            sleep(Duration::from_secs(3600)).await;
            return None;
        }
        Mood::Pours => {
            let begun = "HTTP/1.1 200 OK\r\n\r\n{\"keys\":[";
            stream.write_all(begun.as_bytes()).await.ok()?;
            loop {
                stream.write_all(&[b' '; 8192]).await.ok()?;
            }
        }
        Mood::Drops => return None,
    };
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// A key of the issuer's, with its public half as it is published.
pub(super) struct Key {
    pub(super) kid: &'static str,
    private: EncodingKey,
    pub(super) public: Value,
}

impl Key {
    /// A new one.
    pub(super) fn new(kid: &'static str) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("key.pem");
        let file = file.to_str().context("a path")?;
        let curve = "ec_paramgen_curve:P-256";
        let words = [
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            curve,
            "-out",
            file,
        ];
        openssl(&words, folder.path())?;
        let words = ["pkey", "-in", file, "-pubout", "-outform", "DER"];
        let public = openssl(&words, folder.path())?;
        // SubjectPublicKeyInfo ends with the point: a byte that says how it is written, x and y.
        let point = public.last_chunk::<64>().context("a point")?;
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(Self {
            kid,
            private: EncodingKey::from_ec_pem(&std::fs::read(file)?)?,
            public: json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                "x": part(&point[..32]), "y": part(&point[32..]),
            }),
        })
    }

    /// A client's token.
    pub(super) fn token(&self, user: &str) -> String {
        self.signed(&json!({
            "iss": ISSUER, "aud": "carillon", "sub": user, "exp": token::now() + 3600,
        }))
    }

    /// A service's token.
    pub(super) fn service(&self, scope: &str) -> String {
        self.signed(&json!({
            "iss": ISSUER, "aud": "carillon-api", "sub": "shop-1", "scope": scope,
            "exp": token::now() + 3600,
        }))
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

/// The set with these keys.
pub(super) fn set(keys: &[&Key]) -> Mood {
    let keys: Vec<_> = keys.iter().map(|key| &key.public).collect();
    Mood::Serves(json!({ "keys": keys }).to_string())
}

/// What openssl says.
pub(super) fn openssl(words: &[&str], folder: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new("openssl");
    let output = command.args(words).current_dir(folder).output();
    let output = output.context("openssl")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {words:?}: {told}");
    Ok(output.stdout)
}
