//! Frames on their way to a socket: all that one wake-up brings, written with one `send(2)`.
//!
//! Not through tungstenite's write buffer: that keeps its largest size for as long as the
//! connection lives. tungstenite writes only its own answers (pong, close), and is flushed before
//! anything of ours follows.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::error::Elapsed};

use super::{effects::Wire, writing::write};

/// First byte of a whole text frame (RFC 6455 section 5.2).
const TEXT: u8 = 0x81;
/// First byte of a ping.
const PING: u8 = 0x89;
/// The longest head of a frame that is not masked.
const FRAME_HEAD: usize = 10;

/// Frames in the order in which they are to be written.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    pings: u32,
}

impl Wire for Outgoing {
    fn with_capacity(payloads: impl Iterator<Item = usize>) -> Self {
        let bytes = payloads.map(|payload| FRAME_HEAD + payload).sum();
        Self {
            bytes: Vec::with_capacity(bytes),
            pings: 0,
        }
    }

    fn notification(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    fn control(&mut self, _: &'static str, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    /// A socket's client is told positions in what it is written.
    fn position(&mut self, _: &str) {}

    /// Its payload has at most 125 bytes (RFC 6455 section 5.5).
    fn ping(&mut self, payload: &str) {
        self.frame(PING, payload.as_bytes());
        self.pings += 1;
    }
}

impl Outgoing {
    /// How many pings there are among them.
    pub(crate) fn pings(&self) -> u32 {
        self.pings
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let length = payload.len();
        self.bytes.push(first);
        if let Ok(short @ ..=125) = u8::try_from(length) {
            self.bytes.push(short);
        } else if let Ok(medium) = u16::try_from(length) {
            self.bytes.push(126);
            self.bytes.extend_from_slice(&medium.to_be_bytes());
        } else {
            self.bytes.push(127);
            self.bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
        self.bytes.extend_from_slice(payload);
    }

    /// Bytes of them all.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes everything, and waits for a client that does not read for at most `slow`.
    ///
    /// # Errors
    /// The outer one when the client did not read in time; the inner one when the socket is gone.
    pub(crate) fn write(
        self,
        stream: &TcpStream,
        slow: Duration,
    ) -> impl Future<Output = Result<io::Result<()>, Elapsed>> {
        write(stream, self.bytes, slow)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (ours.unwrap().0, theirs.unwrap())
    }

    #[tokio::test]
    async fn frames_of_every_length_arrive_in_order() {
        use futures_util::StreamExt;

        let (ours, theirs) = pair().await;
        let texts = [0, 125, 126, 65_535, 65_536, 2_000_000].map(|length| "x".repeat(length));
        let mut outgoing = Outgoing::default();
        texts.iter().for_each(|text| outgoing.notification(text));
        outgoing.ping("1-2");
        let writing = outgoing.write(&ours, Duration::from_secs(10));
        let reading = async {
            let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
            for text in &texts {
                let message = client.next().await.unwrap().unwrap();
                assert!(message == Message::text(text), "{} bytes", text.len());
            }
            let ping = client.next().await.unwrap().unwrap();
            assert_eq!(ping, Message::Ping("1-2".into()));
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_not_waited_for_longer() {
        let (ours, mut theirs) = pair().await;
        let mut outgoing = Outgoing::default();
        outgoing.notification(&"x".repeat(16_000_000));
        let slow = Duration::from_millis(50);
        assert!(outgoing.write(&ours, slow).await.is_err());
        assert_eq!(theirs.read_u8().await.unwrap(), TEXT);
    }
}
