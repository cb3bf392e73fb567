//! Signals: how a process is told to end, and what else it may be told.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::supervisor;

/// What is under way gets this long once the end is to be quick.
const QUICK: Duration = Duration::from_secs(2);

/// How a service is told to end, in order or in order and quickly, and to read its credentials again.
/// Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    told: CancellationToken,
    quick: CancellationToken,
    /// Cancelled once the service has started.
    started: CancellationToken,
    reload: Arc<Notify>,
}

impl Shutdown {
    /// One that nobody has told to end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Told by the process' signals: SIGTERM and SIGINT end it in order, and at once when they come
    /// again; SIGQUIT ends it in order and quickly. At SIGHUP credentials are read again; but it ends
    /// in order where that says that the terminal is gone. SIGUSR1 and SIGUSR2 change nothing, and the
    /// log says so.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let signals = Signals::listen()?;
        let shutdown = Self::new();
        tokio::spawn(handle(signals, shutdown.clone()));
        Ok(shutdown)
    }

    /// Tells the service manager that the service listens. Before this a signal is not answered.
    pub fn tell_ready(&self) {
        supervisor::tell_ready();
        self.started.cancel();
    }

    /// Until it is asked to read its credentials again. For one that waits.
    pub(super) async fn reload_asked(&self) {
        self.reload.notified().await;
    }

    /// Tells the service manager that the reload it was asked for is over.
    pub(super) fn tell_reloaded(&self) {
        if self.runs() {
            supervisor::tell_ready();
        }
    }

    /// Whether it has started, and is not about to end.
    fn runs(&self) -> bool {
        self.started.is_cancelled() && !self.told.is_cancelled()
    }

    /// Ends it in order.
    pub fn begin(&self) {
        self.told.cancel();
    }

    /// Ends it in order and quickly, or hastens an end that has begun.
    pub fn hasten(&self) {
        self.quick.cancel();
        self.told.cancel();
    }

    /// Until it is told to end, in whatever way.
    pub async fn told(&self) {
        self.told.cancelled().await;
    }

    /// Cancelled when it is told to end, in whatever way.
    pub fn token(&self) -> &CancellationToken {
        &self.told
    }

    /// Waits for `work`, unless the end is to be quick: then it is given up at once.
    pub async fn unless_quick<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.quick.run_until_cancelled(work).await
    }

    /// Waits for the last `work` for at most `usual`, and not for long once the end is to be quick.
    pub async fn last<T>(&self, usual: Duration, work: impl Future<Output = T>) -> Option<T> {
        let quick = async {
            self.quick.cancelled().await;
            sleep(QUICK).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = sleep(usual) => None,
            () = quick => None,
        }
    }
}

/// The signals that a service handles.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
    user2: tokio::signal::unix::Signal,
    /// Whether somebody sees what it writes.
    terminal: bool,
}

enum Heard {
    End(&'static str),
    Quit,
    Reload,
    Nothing(&'static str),
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminal: io::stderr().is_terminal(),
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End("SIGTERM"),
            _ = self.interrupt.recv() => Heard::End("SIGINT"),
            _ = self.quit.recv() => Heard::Quit,
            // A terminal that has hung up is none any more.
            _ = self.hangup.recv() => match self.terminal && !io::stderr().is_terminal() {
                true => Heard::End("SIGHUP"),
                false => Heard::Reload,
            },
            _ = self.user1.recv() => Heard::Nothing("SIGUSR1"),
            _ = self.user2.recv() => Heard::Nothing("SIGUSR2"),
        }
    }
}

async fn handle(mut signals: Signals, shutdown: Shutdown) {
    loop {
        match signals.next().await {
            Heard::End(signal) if !shutdown.told.is_cancelled() => {
                tracing::info!(signal, "told to stop; finishing what is under way");
                supervisor::tell_stopping("draining");
                shutdown.begin();
            }
            Heard::Quit if !shutdown.quick.is_cancelled() => {
                tracing::info!(signal = "SIGQUIT", "told to stop quickly");
                supervisor::tell_stopping("ending quickly");
                shutdown.hasten();
            }
            Heard::End(_) | Heard::Quit => {
                tracing::warn!("told to stop again; ending at once");
                std::process::exit(1);
            }
            Heard::Reload => reload(&shutdown),
            Heard::Nothing(signal) => tracing::info!(signal, "it has no meaning here; ignored"),
        }
    }
}

/// Whoever asked waits for the answer: [`Shutdown::tell_reloaded`].
fn reload(shutdown: &Shutdown) {
    if shutdown.runs() {
        supervisor::tell_reloading();
    }
    shutdown.reload.notify_one();
}

/// Cancelled at the first SIGTERM or SIGINT; the second ends the process at once. For a command:
/// every other signal ends it as it ends any program.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn interruption() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let interrupted = CancellationToken::new();
    let told = interrupted.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            if told.is_cancelled() {
                std::process::exit(1);
            }
            told.cancel();
        }
    });
    Ok(interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_quick_end_gives_up_what_takes_long() {
        const LONG: Duration = Duration::from_secs(3_600);
        const SHORT: Duration = Duration::from_millis(20);
        let shutdown = Shutdown::new();
        shutdown.begin();
        shutdown.told().await;
        assert!(shutdown.unless_quick(sleep(SHORT)).await.is_some());
        assert!(shutdown.last(SHORT, sleep(LONG)).await.is_none());
        assert!(shutdown.last(LONG, sleep(SHORT)).await.is_some());

        let hastened = shutdown.clone();
        tokio::spawn(async move {
            sleep(SHORT).await;
            hastened.hasten();
        });
        assert!(shutdown.unless_quick(sleep(LONG)).await.is_none());
        assert!(shutdown.last(LONG, sleep(SHORT)).await.is_some());
        let began = tokio::time::Instant::now();
        assert!(shutdown.last(LONG, sleep(LONG)).await.is_none());
        assert!(began.elapsed() >= QUICK && began.elapsed() < 5 * QUICK);
    }

    #[test]
    fn a_quick_end_is_an_end() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.token().is_cancelled());
        shutdown.hasten();
        assert!(shutdown.token().is_cancelled());
    }
}
