//! Bytes on their way to a socket: all of them at once, or as its client reads them.

use std::{io, time::Duration};

use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

use super::{Context, End, close::reset};
use crate::session::Marks;

/// Writes everything, and waits for a client that does not read for at most `slow`.
///
/// # Errors
/// The outer one when the client did not read in time; the inner one when the socket is gone.
pub(crate) async fn write(
    stream: &TcpStream,
    bytes: Vec<u8>,
    slow: Duration,
) -> Result<io::Result<()>, Elapsed> {
    if bytes.is_empty() {
        return Ok(Ok(()));
    }
    match stream.try_write(&bytes) {
        Ok(written) if written == bytes.len() => Ok(Ok(())),
        Ok(written) => Box::pin(timeout(slow, write_rest(stream, bytes, written))).await,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Box::pin(timeout(slow, write_rest(stream, bytes, 0))).await
        }
        Err(error) => Ok(Err(error)),
    }
}

/// What comes of a write: a client that did not read for too long is given up, and what it has of the last piece
/// leaves no room for another.
pub(crate) fn written(
    result: Result<io::Result<()>, Elapsed>,
    stream: &TcpStream,
    marks: Marks,
    context: &Context,
) -> Option<End> {
    match result {
        Ok(Ok(())) => {
            marks.written(&context.metrics.spans);
            None
        }
        Ok(Err(_)) => Some(End::BROKEN),
        Err(_) => {
            reset(stream);
            Some(End::slow())
        }
    }
}

async fn write_rest(stream: &TcpStream, bytes: Vec<u8>, mut written: usize) -> io::Result<()> {
    while written < bytes.len() {
        stream.writable().await?;
        match stream.try_write(&bytes[written..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
