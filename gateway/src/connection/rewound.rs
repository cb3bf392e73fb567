//! A stream of which something was read already.

use std::{
    io::{self, Cursor, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Gives what was read once more, and then the rest. Written to as the stream itself.
#[derive(Debug)]
pub(crate) struct Rewound {
    stream: TcpStream,
    /// Boxed, because most have nothing left of it.
    early: Option<Box<Cursor<Vec<u8>>>>,
}

impl Rewound {
    pub(crate) fn new(stream: TcpStream, early: Vec<u8>) -> Self {
        let early = (!early.is_empty()).then(|| Box::new(Cursor::new(early)));
        Self { stream, early }
    }

    /// The stream alone; what was read of it and not given again is dropped.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The stream, to write to.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(early) = &mut self.early {
            let read = early.read(buffer.initialize_unfilled())?;
            buffer.advance(read);
            if early.position() == early.get_ref().len() as u64 {
                self.early = None;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
