//! What comes over the bus, given to whom it concerns. Runs in the bus' own task and never waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use carillon_common::{
    backend::{BusEvent, BusSink, Control},
    ids::Cursor,
    notification::Frame,
    protocol::CloseCode,
};
use tokio::sync::{Notify, watch};

use super::{channels::Channels, hub::Hub};
use crate::{
    metrics::Counters,
    push::{Push, Way},
    session::Event,
};

/// Where a gateway's bus events go.
pub(crate) struct Bus {
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    metrics: Counters,
    /// Every connection is to be registered again and resumed.
    pub(crate) dirty: Notify,
    /// The gateway is asked to drain, or is cut off from its store.
    pub(crate) leave: Notify,
    /// How many users the gateway is to hold at most. Only the newest such message counts.
    pub(crate) most_users: watch::Sender<u64>,
    isolated: AtomicBool,
}

impl Bus {
    /// Events go to these.
    pub(crate) fn new(hub: Arc<Hub>, channels: Arc<Channels>, metrics: Counters) -> Self {
        let (dirty, leave) = (Notify::new(), Notify::new());
        Self {
            hub,
            channels,
            metrics,
            dirty,
            leave,
            most_users: watch::Sender::new(u64::MAX),
            isolated: AtomicBool::new(false),
        }
    }

    fn push(&self, prev: Cursor, frame: Frame) -> Arc<Push> {
        Push::traced(prev, frame, Way::Inbox, &self.metrics.spans)
    }

    /// Whether the gateway is asked to leave because it is cut off.
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }
}

impl BusSink for Bus {
    fn on_bus(&self, event: BusEvent) {
        self.metrics.bus_event(&event);
        match event {
            BusEvent::Inbox { user, prev, frame } => {
                self.metrics.busiest.user(&user);
                let full = self.hub.hint(&user, &self.push(prev, frame), false);
                self.metrics.behind(full);
            }
            BusEvent::Ephemeral { user, frame } => {
                self.metrics.busiest.user(&user);
                self.hub.hint(&user, &self.push(Cursor::ZERO, frame), true);
            }
            BusEvent::Channel {
                channel,
                prev,
                frame,
            } => {
                self.channels.on_push(channel, prev, frame);
            }
            BusEvent::Replaced {
                user,
                session,
                fence,
            } => self.hub.post(
                &user,
                |handle| handle.session == session && handle.fence().is_some_and(|own| own < fence),
                || Event::Contested,
            ),
            BusEvent::Dirty { reason } => {
                tracing::info!(
                    reason,
                    "hints may have been missed: resuming every connection"
                );
                self.isolated.store(false, Ordering::Relaxed);
                self.metrics.all.resumes.with_label_values(&["dirty"]).inc();
                self.dirty.notify_one();
            }
            BusEvent::Control(Control::Disconnect { user }) => {
                self.hub
                    .post(&user, |_| true, || Event::Close(CloseCode::Disconnected));
            }
            BusEvent::Control(Control::Drain) => self.leave.notify_one(),
            BusEvent::Control(Control::Rebalance { users }) => {
                self.most_users.send_replace(users);
            }
            BusEvent::Isolated => {
                self.isolated.store(true, Ordering::Relaxed);
                self.leave.notify_one();
            }
        }
    }
}
