//! Carries out what sessions ask of the store, and posts the answers to their mailboxes.
//!
//! A session's question is asked again until it is answered or the connection has ended: a store that
//! is away for a while closes no socket.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{BackendError, Departure, Membership, Registration},
    ids::{ChannelName, Cursor, UserId},
    protocol::CloseCode,
    telemetry::Rarely,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::retry::retry;
use crate::{
    metrics::Counters,
    routing::{Channels, Handle, Hub, Mail, Taken},
    session::{Call, Closing, Event},
};

/// How long after another connection took a session it is asked for again: the other may be an older one
/// that came late.
const CONTEST: Duration = Duration::from_secs(1);
/// How often it is logged, at most, that devices were forgotten.
const LOGGED_EVERY: Duration = Duration::from_secs(60);
/// For how long the report of a connection's end is tried.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Carries out the questions of sessions.
#[derive(Clone)]
pub(crate) struct Calls {
    membership: Arc<dyn Membership>,
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    metrics: Counters,
    tasks: TaskTracker,
    /// Of devices that were forgotten.
    forgotten_logged: Arc<Rarely>,
}

impl Calls {
    /// Its tasks are awaited by whoever holds `tasks`.
    pub(crate) fn new(
        membership: Arc<dyn Membership>,
        hub: Arc<Hub>,
        channels: Arc<Channels>,
        metrics: Counters,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            membership,
            hub,
            channels,
            metrics,
            tasks,
            forgotten_logged: Arc::new(Rarely::new(LOGGED_EVERY)),
        }
    }

    /// Starts a call; its answer is posted.
    pub(crate) fn start(&self, call: Call, handle: &Arc<Handle>) {
        if let Call::Leave(channel) = &call {
            return self.channels.leave(channel, handle);
        }
        let calls = self.clone();
        let handle = handle.clone();
        self.tasks.spawn(async move {
            if let Some(event) = calls.answer(call, &handle).await
                && let Some(untaken) = handle.mailbox.offer(event)
            {
                calls.end_registration(&untaken, &handle);
            }
        });
    }

    /// Events that the connection did not live to take.
    pub(crate) fn give_back(&self, untaken: Taken, handle: &Arc<Handle>) {
        for mail in untaken.mails {
            if let Mail::Event(event) = mail {
                self.end_registration(&event, handle);
            }
        }
    }

    /// Ends a registration that was answered after its connection had ended: the session does not
    /// know of it, and its user would be shown as connected for ever.
    fn end_registration(&self, untaken: &Event, handle: &Arc<Handle>) {
        let Event::Registered(Ok(registered)) = untaken else {
            return;
        };
        let closing = Closing {
            ack: None,
            departure: Some(Departure {
                user: handle.user.clone(),
                device: handle.device.clone(),
                session: handle.session.clone(),
                fence: registered.fence,
                broadcast: None,
                restorable: Vec::new(),
            }),
            kept: Vec::new(),
        };
        self.close(closing, handle.clone(), Vec::new());
    }

    async fn answer(&self, call: Call, handle: &Arc<Handle>) -> Option<Event> {
        let membership = &self.membership;
        let user = &handle.user;
        let ended = || handle.mailbox.is_closed();
        match call {
            Call::Register(registration) => {
                // A connection that has ended already must not take its session back from a newer.
                if ended() {
                    return None;
                }
                self.register(&registration, handle).await
            }
            Call::Contest(registration) => {
                sleep(CONTEST).await;
                self.register(&registration, handle).await
            }
            Call::Read(after) => {
                let ended = || handle.mailbox.is_closed();
                let page = retry(ended, || membership.read(user, &handle.device, after)).await?;
                Some(page.map_or_else(|error| no_answer("read", &error), Event::Page))
            }
            Call::Ack(ack) => {
                let result = retry(ended, || membership.ack(&ack)).await?;
                self.metrics.acked(result.is_ok());
                Some(Event::Acked)
            }
            Call::Join(channel) => {
                let result = self.channels.join(&channel, handle).await;
                if ended() {
                    self.channels.leave(&channel, handle);
                }
                Some(Event::Joined(channel, result))
            }
            Call::Leave(_) => None,
            Call::History(channel, after) => self.history(channel, after, handle).await,
            Call::Keep {
                holder,
                subscription,
                asked,
            } => {
                // Kept after its departure, it would be held by nobody for ever.
                if ended() {
                    return None;
                }
                let keep = || membership.keep_subscription(user, &holder, &subscription, asked);
                match retry(ended, keep).await? {
                    Err(BackendError::TooManyChannels) => {
                        Some(Event::NotKept(subscription.channel))
                    }
                    _ => None,
                }
            }
            Call::Forget(holder, channel) => {
                let forget = || membership.drop_subscription(user, &holder, &channel);
                retry(ended, forget).await?.ok();
                None
            }
            Call::Claim(delay) => {
                sleep(delay).await;
                // A connection that has ended would take them away from the next one.
                if ended() {
                    return None;
                }
                let claim = || membership.claim_subscriptions(user, &handle.session);
                Some(Event::Claimed(retry(ended, claim).await?.ok()?))
            }
        }
    }

    async fn register(&self, registration: &Registration, handle: &Handle) -> Option<Event> {
        let ended = || handle.mailbox.is_closed();
        match retry(ended, || self.membership.register(registration)).await {
            Some(result) => {
                if let Ok(registered) = &result {
                    self.note_forgotten(registered.forgotten, handle);
                }
                Some(Event::Registered(result))
            }
            None => {
                // The last attempt may have succeeded, and nobody knows its fence.
                sleep(CONTEST).await;
                let release = retry(never, || self.release_strays(&handle.user));
                drop(timeout(END_WITHIN, release).await);
                None
            }
        }
    }

    /// Devices were forgotten to make room for this one.
    fn note_forgotten(&self, count: u64, handle: &Handle) {
        if count == 0 {
            return;
        }
        self.metrics.all.devices_forgotten.inc_by(count);
        if let Some(unsaid) = self.forgotten_logged.allowed(Instant::now()) {
            tracing::warn!(
                user.id = ?handle.user,
                count,
                unsaid,
                "a user has more devices than are remembered (inbox.devices); those not seen for \
                 the longest are forgotten"
            );
        }
    }

    /// Ends the user's registrations that no connection here holds. One that is being registered
    /// right now has no fence to go by: then the next audit looks again.
    pub(crate) async fn release_strays(&self, user: &UserId) -> Result<(), BackendError> {
        let handles = self.hub.of(user);
        let fences: Option<Vec<u64>> = handles.iter().map(|handle| handle.fence()).collect();
        let Some(held) = fences else {
            return Ok(());
        };
        let released = self.membership.release(user, &held).await?;
        if released > 0 {
            self.metrics.all.strays.inc_by(released);
            tracing::info!(released, "ended registrations that no connection holds");
            // One that came meanwhile may have been among them.
            let came = |handle: &Handle| handle.fence().is_some_and(|own| !held.contains(&own));
            self.hub.post(user, came, || Event::Dirty);
        }
        Ok(())
    }

    async fn history(
        &self,
        channel: ChannelName,
        after: Cursor,
        handle: &Arc<Handle>,
    ) -> Option<Event> {
        let ended = || handle.mailbox.is_closed();
        let page = retry(ended, || self.membership.history(&channel, after)).await?;
        Some(match page {
            Ok(page) => Event::History(channel, page),
            Err(error) => no_answer("history", &error),
        })
    }

    /// Reports the end of a connection: its ack, where its subscriptions stand, its departure.
    pub(crate) fn close(&self, closing: Closing, handle: Arc<Handle>, joined: Vec<ChannelName>) {
        for channel in &joined {
            self.channels.leave(channel, &handle);
        }
        let membership = self.membership.clone();
        self.tasks.spawn(async move {
            let report = async {
                if let Some(ack) = &closing.ack {
                    retry(never, || membership.ack(ack)).await;
                }
                for (holder, kept) in &closing.kept {
                    let keep = || membership.keep_subscription(&handle.user, holder, kept, false);
                    retry(never, keep).await;
                }
                if let Some(departure) = &closing.departure {
                    retry(never, || membership.unregister(departure)).await;
                }
            };
            // What is not reported in time is found by the audit, or reaped with the generation.
            if timeout(END_WITHIN, report).await.is_err() {
                tracing::debug!("a connection's end could not be told to the store");
            }
        });
    }
}

/// For calls that no connection waits for.
fn never() -> bool {
    false
}

/// Trying again would not help.
fn no_answer(what: &str, error: &BackendError) -> Event {
    tracing::warn!(what, %error, "the store gave a session no answer");
    Event::Close(CloseCode::Internal)
}
