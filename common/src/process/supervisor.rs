//! What the service manager is told (sd_notify(3)): systemd with `Type=notify`, or whatever else has set
//! NOTIFY_SOCKET. Without it nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The start is over: it listens.
pub(super) fn tell_ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// It will end by itself.
pub(super) fn tell_stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// A line for `systemctl status`.
pub(super) fn tell_status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The configuration is being read again; [`tell_ready`] says that this is over.
pub(super) fn tell_reloading() {
    // Since systemd 253 the time tells this reload from an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// Says again and again that the event loop runs, as often as the service manager asked to hear it
/// (`WatchdogSec=`): a process that stands still is killed and started again. Never ends.
pub(super) async fn keep_watchdog() {
    let Some(within) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    // Two may be late before the third is too late.
    let mut tick = interval((within / 3).max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(%error, ?what, "the service manager does not hear");
    }
}
