//! Accepting connections, also where the system gives none for a while.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::telemetry::Rarely;

/// After accepting failed, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections fail in their hundreds or not at all: at most one line in this time.
const LOGGED_EVERY: Duration = Duration::from_secs(10);
/// ENFILE and EMFILE, on every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];

/// Accepts the connections that come in at a listener.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    logged: Rarely,
}

impl Acceptor {
    /// Those of this listener, which closes when this is dropped.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            logged: Rarely::new(LOGGED_EVERY),
        }
    }

    /// The next one. What keeps it from being accepted is logged now and then, and tried again.
    pub async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => self.log(&error),
            }
            sleep(PAUSE).await;
        }
    }

    fn log(&self, error: &io::Error) {
        let Some(passed_over) = self.logged.allowed(Instant::now()) else {
            return;
        };
        let out_of_descriptors = error
            .raw_os_error()
            .is_some_and(|it| OUT_OF_DESCRIPTORS.contains(&it));
        if out_of_descriptors {
            tracing::warn!(
                %error, passed_over,
                "a connection could not be accepted: raise the hard limit of open files \
                 (LimitNOFILE=, ulimit -Hn)"
            );
        } else {
            tracing::warn!(%error, passed_over, "a connection could not be accepted");
        }
    }
}
