//! Bytes on their way to a socket: all of them at once, or as its client reads them.

use std::{io, time::Duration};

use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

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
