//! Why a connection attempt failed, where the failure itself does not say.
//!
//! Redis ends a connection without a word that the client library would pass on in several cases that
//! mean quite different things: it speaks TLS, it speaks none, it wants a client certificate, it has
//! too many clients, it is protected. Asking once more, by hand, tells them apart.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::fault_of;
use crate::backend::url::Address;
use crate::backend::{Fault, FaultKind};
use crate::tls::{Tls, client_config};

/// The most time for one question; whoever is there answers at once.
const PATIENCE: Duration = Duration::from_millis(500);
/// A ClientHello of one byte: whoever speaks TLS answers it with an alert.
const BROKEN_HELLO: [u8; 10] = [0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00];
/// How an alert begins.
const ALERT: u8 = 0x15;

/// What stands behind `failure`; `None` for one that says all that there is to say.
pub(super) async fn explain(
    address: &Address,
    tls: Option<&Tls>,
    failure: &RedisError,
) -> Option<Fault> {
    if let Some(fault) = of_rustls(address, failure) {
        return Some(fault);
    }
    let dropped = failure.is_connection_dropped() && !failure.is_connection_refusal();
    match tls {
        // A plain Redis waits for the end of what looks like a command to it.
        Some(tls) if dropped || failure.is_timeout() => match ask_plain(address).await {
            Plain::Redis(_) => Some(no_tls(address)),
            Plain::Tls | Plain::Nothing => ask_for_alert(address, tls).await,
        },
        None if dropped => match ask_plain(address).await {
            Plain::Redis(line) => refusal(address, &line),
            Plain::Tls => Some(only_tls(address)),
            Plain::Nothing if answers_alert(address).await => Some(only_tls(address)),
            Plain::Nothing => None,
        },
        _ => None,
    }
}

/// Who is there, spoken to without TLS.
enum Plain {
    /// A Redis, and the first line of its answer.
    Redis(String),
    Tls,
    Nothing,
}

async fn ask_plain(address: &Address) -> Plain {
    match exchange(address, b"PING\r\n").await {
        Some(answer) if answer.first() == Some(&ALERT) => Plain::Tls,
        Some(answer) if matches!(answer.first(), Some(b'+' | b'-')) => {
            let text = String::from_utf8_lossy(&answer);
            Plain::Redis(text.lines().next().unwrap_or_default().to_owned())
        }
        _ => Plain::Nothing,
    }
}

async fn answers_alert(address: &Address) -> bool {
    let answer = exchange(address, &BROKEN_HELLO).await;
    answer.is_some_and(|answer| answer.first() == Some(&ALERT))
}

/// The start of the answer to `question`; `None` if there is none.
async fn exchange(address: &Address, question: &[u8]) -> Option<Vec<u8>> {
    let asked = async {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.write_all(question).await?;
        let mut answer = vec![0; 512];
        let read = stream.read(&mut answer).await?;
        answer.truncate(read);
        io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, asked).await.ok()?.ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// A handshake, after which nothing is said: with TLS 1.3 the other side's verdict on our certificate
/// comes after it, and is lost if we have sent something meanwhile.
async fn ask_for_alert(address: &Address, tls: &Tls) -> Option<Fault> {
    let config = client_config(tls).ok()?;
    let name = ServerName::try_from(address.host.clone()).ok()?;
    let asked = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await?;
        stream.read_u8().await
    };
    let error = timeout(PATIENCE, asked).await.ok()?.err()?;
    let error = error.get_ref()?.downcast_ref()?;
    Some(of_tls(address, error))
}

/// A refusal in plain words that the client library did not live to read.
fn refusal(address: &Address, line: &str) -> Option<Fault> {
    let (code, message) = line.strip_prefix('-')?.split_once(' ')?;
    let fault = fault_of(code, message);
    let reported = matches!(fault.kind, FaultKind::MaxClients | FaultKind::Misconfigured);
    reported.then(|| Fault {
        detail: format!("{address}: {}", fault.detail),
        ..fault
    })
}

fn of_rustls(address: &Address, failure: &RedisError) -> Option<Fault> {
    // The library shares its causes, and gives the shared pointer for the cause.
    let cause: &Arc<dyn Error + Send + Sync> = failure.source()?.downcast_ref()?;
    let io: &io::Error = cause.downcast_ref()?;
    Some(of_tls(address, io.get_ref()?.downcast_ref()?))
}

fn of_tls(address: &Address, error: &rustls::Error) -> Fault {
    let remedy = match error {
        rustls::Error::InvalidMessage(_) => return no_tls(address),
        rustls::Error::InvalidCertificate(_) => {
            "name the authority that signed its certificate in backend.ca_file, and in backend.url a \
             host that the certificate is for"
        }
        rustls::Error::AlertReceived(_) => {
            "Redis wants a client certificate that its own authority has signed: name it in \
             backend.cert_file and backend.key_file, or set tls-auth-clients of Redis"
        }
        _ => FaultKind::Tls.remedy(),
    };
    Fault::new(FaultKind::Tls, format!("{address}: {error}")).with_remedy(remedy)
}

fn no_tls(address: &Address) -> Fault {
    Fault::new(FaultKind::Tls, format!("{address} speaks no TLS"))
        .with_remedy("write redis… in place of rediss… in backend.url, or name the TLS port")
}

fn only_tls(address: &Address) -> Fault {
    Fault::new(FaultKind::Tls, format!("{address} speaks TLS alone")).with_remedy(
        "write rediss… in place of redis… in backend.url, or name the port without TLS",
    )
}
