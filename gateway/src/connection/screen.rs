//! What a client's frames must obey before tungstenite reads them: their number and their spelling.
//!
//! tungstenite answers pings by itself, joins fragments and takes lengths in any form; none of that
//! reaches the session, which counts requests alone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use carillon_common::protocol::CloseCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::rewound::Rewound;
use carillon_common::rate::{Bucket, Rate};

/// Of a frame's header with its mask, and the code of a close frame after it.
const HEADER_BYTES: usize = 14 + 2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xa;

/// A client's socket, whose reading ends with the first frame that may not be.
#[derive(Debug)]
pub(crate) struct Screen {
    socket: Rewound,
    frames: Frames,
    /// Of frames that are no whole message.
    rate: Rate,
    left: Bucket,
    /// Pings of ours whose pong is on its way.
    asked: u32,
}

/// Why a client is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame that may not be: {}", .0.reason())]
pub(crate) struct Screened(CloseCode);

impl Screened {
    /// The code to close with, if that is why reading failed.
    pub(crate) fn of(error: &io::Error) -> Option<CloseCode> {
        let inner = error.get_ref()?.downcast_ref::<Self>()?;
        Some(inner.0)
    }
}

impl Screen {
    /// `rate`: of control frames and fragments.
    pub(crate) fn new(socket: Rewound, rate: Rate) -> Self {
        Self {
            socket,
            frames: Frames::default(),
            rate,
            left: Bucket::full(Instant::now()),
            asked: 0,
        }
    }

    /// The stream, to write to.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.socket.stream()
    }

    /// So many pings are written, each of which is answered by a pong that does not count.
    pub(crate) fn asked(&mut self, pings: u32) {
        self.asked = self.asked.saturating_add(pings);
    }

    fn judge(&mut self, mut bytes: &[u8]) -> Result<(), Screened> {
        while let Some(seen) = self.frames.next(&mut bytes).map_err(Screened)? {
            let free = match seen {
                Seen::Message => true,
                Seen::Pong if self.asked > 0 => {
                    self.asked -= 1;
                    true
                }
                Seen::Pong | Seen::Part => self.left.take(self.rate, Instant::now()),
            };
            if !free {
                return Err(Screened(CloseCode::RateLimited));
            }
        }
        Ok(())
    }
}

/// A frame, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A whole message, which the session counts.
    Message,
    /// An answer to a ping, or nobody's.
    Pong,
    /// Another control frame, or a part of a message.
    Part,
}

/// Finds the headers among a client's bytes (RFC 6455, section 5.2).
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    have: u8,
    /// Of the payload, still to come.
    rest: u64,
}

impl Frames {
    /// The next frame whose header is whole, with what is taken of `bytes`; `None` when they are used up.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Seen>, CloseCode> {
        loop {
            let passed = bytes
                .len()
                .min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            *bytes = &bytes[passed..];
            self.rest -= passed as u64;
            let Some((first, others)) = bytes.split_first() else {
                return Ok(None);
            };
            self.header[usize::from(self.have)] = *first;
            self.have += 1;
            *bytes = others;
            let header = &self.header[..usize::from(self.have)];
            if let Some((seen, rest)) = read(header)? {
                (self.have, self.rest) = (0, rest);
                return Ok(Some(seen));
            }
        }
    }
}

/// The frame of a header, and how much of its payload is still to come; `None` while it is not whole.
fn read(header: &[u8]) -> Result<Option<(Seen, u64)>, CloseCode> {
    let &[first, second, ref more @ ..] = header else {
        return Ok(None);
    };
    let short = second & 0x7f;
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = if second & 0x80 != 0 { 4 } else { 0 };
    let Some((length, more)) = more.split_at_checked(extended) else {
        return Ok(None);
    };
    let Some((mask, payload)) = more.split_at_checked(masked) else {
        return Ok(None);
    };
    let length = match length {
        [] => u64::from(short),
        bytes => bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    // "The minimal number of bytes MUST be used to encode the length."
    if (extended == 2 && length < 126) || (extended == 8 && length <= u64::from(u16::MAX)) {
        return Err(CloseCode::ProtocolError);
    }
    let opcode = first & 0x0f;
    if opcode == CLOSE && length >= 2 {
        let &[high, low] = payload else {
            return Ok(None);
        };
        let mask = mask.first_chunk().copied().unwrap_or([0, 0]);
        if !is_sent(u16::from_be_bytes([high ^ mask[0], low ^ mask[1]])) {
            return Err(CloseCode::ProtocolError);
        }
        return Ok(Some((Seen::Part, length - 2)));
    }
    let whole = first & 0x80 != 0 && opcode != CONTINUATION && opcode < CLOSE;
    let seen = match opcode {
        PONG => Seen::Pong,
        _ if whole => Seen::Message,
        _ => Seen::Part,
    };
    Ok(Some((seen, length)))
}

/// Whether a close frame may hold this code (RFC 6455, section 7.4, and the registry of section 11.7).
fn is_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl AsyncRead for Screen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        match self.judge(&buffer.filled()[before..]) {
            Ok(()) => polled,
            Err(screened) => {
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::other(screened)))
            }
        }
    }
}

impl AsyncWrite for Screen {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Control, Data, OpCode},
    };

    use super::*;

    fn frame(opcode: OpCode, last: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::message(payload.to_vec(), opcode, last);
        frame.header_mut().mask = Some([7, 3, 9, 1]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    /// What is seen of these bytes, `step` of them at a time.
    fn seen(bytes: &[u8], step: usize) -> Result<Vec<Seen>, CloseCode> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for mut chunk in bytes.chunks(step) {
            while let Some(frame) = frames.next(&mut chunk)? {
                all.push(frame);
            }
        }
        Ok(all)
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let text = OpCode::Data(Data::Text);
        let going_on = OpCode::Data(Data::Continue);
        let close = OpCode::Control(Control::Close);
        let mut bytes = Vec::new();
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            bytes.extend(frame(text, true, &vec![b'x'; length]));
        }
        bytes.extend(frame(text, false, b"a"));
        bytes.extend(frame(OpCode::Control(Control::Ping), true, b"ping"));
        bytes.extend(frame(going_on, true, b"b"));
        bytes.extend(frame(close, true, &[0x0f, 0xa0, b'b', b'y', b'e']));
        bytes.extend(frame(close, true, b""));
        bytes.extend(frame(OpCode::Control(Control::Pong), true, b"1-2"));
        let mut wanted = vec![Seen::Message; 8];
        wanted.extend([Seen::Part; 5]);
        wanted.push(Seen::Pong);
        for step in [1, 2, 3, 7, 512, bytes.len()] {
            assert_eq!(seen(&bytes, step).unwrap(), wanted, "{step}");
        }
    }

    #[test]
    fn lengths_are_minimal_and_close_codes_are_sent() {
        for (header, right) in [
            (&[0x81, 0xfe, 0, 125, 0, 0, 0, 0][..], false),
            (&[0x81, 0xfe, 0, 126, 0, 0, 0, 0], true),
            (
                &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
                false,
            ),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], true),
        ] {
            assert_eq!(read(header).is_ok(), right, "{header:?}");
        }
        for (code, right) in [
            (0, false),
            (999, false),
            (1000, true),
            (1004, false),
            (1005, false),
            (1006, false),
            (1011, true),
            (1015, false),
            (2999, false),
            (3000, true),
            (4999, true),
            (5000, false),
            (65_535, false),
        ] {
            let close = frame(
                OpCode::Control(Control::Close),
                true,
                &u16::to_be_bytes(code),
            );
            assert_eq!(seen(&close, 1).is_ok(), right, "{code}");
        }
    }
}
