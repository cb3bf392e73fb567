//! Carries out what sessions ask of the store, and posts the answers to their mailboxes.
//!
//! A session's question is repeated until it is answered or the connection has ended: a store that
//! is away for a while closes no socket.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{BackendError, Departure, Holder, Membership, Registration},
    ids::{ChannelName, UserId},
    telemetry::Rarely,
};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::{
    channels::Channels,
    hub::{Handle, Hub},
    mailbox::{Mail, Taken},
    metrics::Metrics,
    session::{Call, Closing, Event},
};

/// How long a connection that came late has to be taken back.
const CONTEST: Duration = Duration::from_secs(1);
/// How often it is said that devices were forgotten.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// For how long the last words about a connection are repeated.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// The way from sessions to the store.
#[derive(Clone)]
pub(crate) struct Calls {
    membership: Arc<dyn Membership>,
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    metrics: Metrics,
    tasks: TaskTracker,
    said: Arc<Rarely>,
}

impl Calls {
    /// Its tasks are awaited by whoever holds `tasks`.
    pub(crate) fn new(
        membership: Arc<dyn Membership>,
        hub: Arc<Hub>,
        channels: Arc<Channels>,
        metrics: Metrics,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            membership,
            hub,
            channels,
            metrics,
            tasks,
            said: Arc::new(Rarely::new(SAID_EVERY)),
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
            durable: (Holder::Device(handle.device.clone()), Vec::new()),
        };
        self.close(closing, handle.clone(), Vec::new());
    }

    async fn answer(&self, call: Call, handle: &Arc<Handle>) -> Option<Event> {
        let membership = &self.membership;
        let user = &handle.user;
        match call {
            Call::Register(registration) => {
                // A connection that has ended already must not take its session back from a newer.
                if handle.mailbox.is_closed() {
                    return None;
                }
                self.register(&registration, handle).await
            }
            Call::Contest(registration) => {
                tokio::time::sleep(CONTEST).await;
                self.register(&registration, handle).await
            }
            Call::Read(after) => {
                let page = repeat(handle, || membership.read(user, &handle.device, after)).await?;
                Some(page.map_or_else(|error| refused("read", &error), Event::Page))
            }
            Call::Ack(ack) => {
                let result = repeat(handle, || membership.ack(&ack)).await?;
                self.metrics.acked(result.is_ok());
                Some(Event::Acked)
            }
            Call::Join(channel) => {
                let result = self.channels.join(&channel, handle).await;
                if handle.mailbox.is_closed() {
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
                // After its departure it would be held by nobody, for ever.
                if handle.mailbox.is_closed() {
                    return None;
                }
                let keep = || membership.keep_subscription(user, &holder, &subscription, asked);
                match repeat(handle, keep).await? {
                    Err(BackendError::TooManyChannels) => {
                        Some(Event::NotKept(subscription.channel))
                    }
                    _ => None,
                }
            }
            Call::Forget(holder, channel) => {
                let forget = || membership.drop_subscription(user, &holder, &channel);
                repeat(handle, forget).await?.ok();
                None
            }
            Call::Claim(delay) => {
                tokio::time::sleep(delay).await;
                // A connection that has ended would take them away from the next one.
                if handle.mailbox.is_closed() {
                    return None;
                }
                let claim = || membership.claim_subscriptions(user, &handle.session);
                Some(Event::Claimed(repeat(handle, claim).await?.ok()?))
            }
        }
    }

    async fn register(&self, registration: &Registration, handle: &Handle) -> Option<Event> {
        match repeat(handle, || self.membership.register(registration)).await {
            Some(result) => {
                if let Ok(registered) = &result {
                    self.note_forgotten(registered.forgotten, handle);
                }
                Some(Event::Registered(result))
            }
            None => {
                // The last attempt may have been heard, and nobody knows its fence.
                tokio::time::sleep(CONTEST).await;
                drop(timeout(LAST_WORDS, insist(|| self.release_strays(&handle.user))).await);
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
        if let Some(unsaid) = self.said.allowed(Instant::now()) {
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
        after: carillon_common::ids::Cursor,
        handle: &Arc<Handle>,
    ) -> Option<Event> {
        let page = repeat(handle, || self.membership.history(&channel, after)).await?;
        Some(match page {
            Ok(page) => Event::History(channel, page),
            Err(error) => refused("history", &error),
        })
    }

    /// The last words about a connection: its ack, where its subscriptions stand, its departure.
    pub(crate) fn close(&self, closing: Closing, handle: Arc<Handle>, joined: Vec<ChannelName>) {
        for channel in &joined {
            self.channels.leave(channel, &handle);
        }
        let membership = self.membership.clone();
        self.tasks.spawn(async move {
            let last_words = async {
                if let Some(ack) = &closing.ack {
                    insist(|| membership.ack(ack)).await.ok();
                }
                let (holder, subscriptions) = &closing.durable;
                for kept in subscriptions {
                    let keep = || membership.keep_subscription(&handle.user, holder, kept, false);
                    insist(keep).await.ok();
                }
                if let Some(departure) = &closing.departure {
                    insist(|| membership.unregister(departure)).await.ok();
                }
            };
            // What is not said in time is found by the audit, or reaped with the generation.
            if timeout(LAST_WORDS, last_words).await.is_err() {
                tracing::debug!("a connection's end could not be told to the store");
            }
        });
    }
}

fn refused(what: &str, error: &BackendError) -> Event {
    tracing::warn!(what, %error, "the store gave a session no answer");
    Event::Close(carillon_common::protocol::CloseCode::Internal)
}

/// Repeats a call until it is answered; `None` when the connection has ended meanwhile.
async fn repeat<T, F>(
    handle: &Handle,
    mut call: impl FnMut() -> F,
) -> Option<Result<T, BackendError>>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let mut backoff = Duration::from_millis(50);
    loop {
        match call().await {
            Err(error) if error.is_retryable() => {
                // Full jitter, so that the sessions of a gateway do not come back together.
                tokio::time::sleep(backoff.mul_f64(rand::random())).await;
                backoff = (backoff * 2).min(Duration::from_secs(2));
                if handle.mailbox.is_closed() {
                    return None;
                }
            }
            result => return Some(result),
        }
    }
}

/// The same without a connection to answer to.
async fn insist<T, F>(mut call: impl FnMut() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let mut backoff = Duration::from_millis(50);
    loop {
        match call().await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(backoff.mul_f64(rand::random())).await;
                backoff = (backoff * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
}
