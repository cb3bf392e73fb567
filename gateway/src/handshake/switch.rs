//! The 101: from here on the socket speaks WebSocket.

use carillon_common::{http::Place, rate::Rate};
use http::HeaderValue;
use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Guest, hello, request::Upgrade};
use crate::{
    connection::{Rewound, Screen, Socket},
    parts::Gateway,
};

/// A read buffer of its own costs every idle connection this much.
const READ_BUFFER: usize = 512;
/// What tungstenite writes itself is rare, and goes out at once.
const WRITE_BUFFER: usize = 0;

/// A handshake to be answered.
pub(super) struct Handshake {
    upgrade: Upgrade,
    /// The subprotocol to answer with.
    protocol: Option<HeaderValue>,
    /// What the client sent after it, without waiting.
    early: Vec<u8>,
}

impl Handshake {
    pub(super) fn new(upgrade: Upgrade, early: Vec<u8>) -> Self {
        Self {
            protocol: hello::answered(&upgrade.headers),
            upgrade,
            early,
        }
    }
}

impl Gateway {
    /// Answers 101.
    pub(super) async fn switch_protocols(
        &self,
        guest: Guest,
        handshake: Handshake,
    ) -> Option<(Socket, Place)> {
        let Handshake {
            upgrade,
            protocol,
            early,
        } = handshake;
        let Guest {
            mut stream, place, ..
        } = guest;
        let answer = upgrade.answer(protocol.as_ref());
        let within = self.settings.gateway.handshake_timeout;
        if !matches!(timeout(within, stream.write_all(&answer)).await, Ok(Ok(()))) {
            self.rejected("handshake");
            return None;
        }
        let limits = &self.settings.socket;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limits.frame_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let stream = Rewound::new(stream, early);
        let rate = Rate::new(limits.frames_per_second, limits.frames_burst);
        let screen = Screen::new(stream, rate);
        let socket = Socket::from_raw_socket(screen, Role::Server, Some(config)).await;
        Some((socket, place))
    }
}
