//! What comes over the bus, given to whom it concerns. Runs in the bus' own task and never waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use carillon_common::{
    backend::{BusEvent, BusSink, Control, Disconnection},
    ids::Cursor,
    notification::Frame,
    protocol::CloseCode,
};
use tokio::sync::{Notify, watch};

use super::{
    Mail,
    channels::Channels,
    hub::Hub,
    roll_calls::{Asked, RollCalls},
};
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
    /// Who is on which channel, is to be told.
    pub(crate) roll_calls: RollCalls,
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
            roll_calls: RollCalls::default(),
            isolated: AtomicBool::new(false),
        }
    }

    fn push(&self, prev: Cursor, frame: Frame) -> Arc<Push> {
        Push::traced(prev, frame, Way::Inbox, &self.metrics.spans)
    }

    /// Has the connections closed that are meant.
    fn disconnect(&self, which: &Disconnection) {
        let code = which.code.and_then(CloseCode::for_disconnect);
        let code = code.unwrap_or(CloseCode::Disconnected);
        self.hub.post(
            &which.user,
            |handle| which.concerns(&handle.device, &handle.session),
            || Event::Disconnect(code, which.reason.clone()),
        );
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
                let push = self.push(prev, frame);
                let full = self.hub.hint(&user, || Mail::Inbox(push.clone()));
                self.metrics.behind(full);
            }
            BusEvent::Ephemeral { user, frame } => {
                self.metrics.busiest.user(&user);
                let push = self.push(Cursor::ZERO, frame);
                self.hub.hint(&user, || Mail::Ephemeral(push.clone()));
            }
            BusEvent::Retracted { user, cursor, id } => {
                let full = self
                    .hub
                    .hint(&user, || Mail::Retracted(Box::new((cursor, id))));
                self.metrics.behind(full);
            }
            BusEvent::Read { user, change } => {
                let full = self.hub.hint(&user, || Mail::Read(Box::new(change)));
                self.metrics.behind(full);
            }
            BusEvent::Assigned { user, subscription } => {
                let told = || Event::Assigned(subscription.clone());
                self.hub.post(&user, |_| true, told);
            }
            BusEvent::Unassigned { user, channel } => {
                let told = || Event::Unassigned(channel.clone());
                self.hub.post(&user, |_| true, told);
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
            BusEvent::Control(Control::Disconnect(which)) => self.disconnect(&which),
            BusEvent::Control(Control::RollCall { answer_to, call }) => {
                // Whoever asked sees that this gateway has not answered.
                if !self.roll_calls.put(Asked { answer_to, call }) {
                    self.metrics.roll_call_passed_over();
                }
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
