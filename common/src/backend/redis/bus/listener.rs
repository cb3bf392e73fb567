//! The subscriber connection to one primary, for as long as that is a primary.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::pushes::Pushes;
use super::wanted::Channel;
use super::{BusMessage, DirtyReason, State};
use crate::backend::redis::link::{Failures, LinkError};
use crate::backend::url::Address;

/// Channels subscribed or unsubscribed in one round trip, one per command: several slots in one
/// command are refused in Cluster.
const CHUNK: usize = 128;

/// Keeps a subscriber connection to one primary until stopped.
pub(super) struct Listener {
    pub(super) address: Address,
    pub(super) state: Arc<State>,
    pub(super) stop: CancellationToken,
}

/// One connection's life.
struct Subscriber {
    id: u64,
    connection: MultiplexedConnection,
    pushes: Arc<Pushes>,
    owned: BTreeSet<u16>,
    /// Refused for now; tried again at the next ping and when the topology changes.
    later: Vec<Channel>,
    /// Partitions that may have missed messages.
    dirty: BTreeSet<u16>,
    /// The partition whose probe channel is subscribed.
    probed: Option<u16>,
    probes: u64,
}

/// The connection is given up.
struct Broken;

impl Listener {
    /// Connects again and again until stopped.
    pub(super) async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.keep_connected() => match never {},
        }
    }

    async fn keep_connected(&self) -> std::convert::Infallible {
        let mut failures = Failures::default();
        let mut reason = DirtyReason::Moved;
        loop {
            match self.connect().await {
                Ok(subscriber) => {
                    let pushes = subscriber.pushes.clone();
                    self.live(subscriber, &mut failures, reason).await;
                    reason = pushes.reason();
                    self.state.link.stats().rebuilds.inc();
                    tracing::warn!(redis.node = %self.address, ?reason, "bus connection lost");
                }
                Err(error) if failures.none() => {
                    tracing::warn!(redis.node = %self.address, %error, "bus cannot connect");
                }
                Err(_) => {}
            }
            self.state.link.suspect_topology();
            sleep(failures.pause(self.state.link.settings())).await;
        }
    }

    async fn connect(&self) -> Result<Subscriber, LinkError> {
        let pushes = Arc::new(Pushes::new(self.state.on_event.clone()));
        let (receiver, state) = (pushes.clone(), self.state.clone());
        let on_push = Arc::new(move |info| receiver.receive(info, state.link.stats()));
        let connection = self
            .state
            .link
            .inner()
            .dialer
            .open(&self.address, on_push)
            .await?;
        Ok(Subscriber {
            id: self.state.subscribers.fetch_add(1, Ordering::Relaxed),
            connection,
            pushes,
            owned: self.state.owned_by(&self.address),
            later: Vec::new(),
            dirty: BTreeSet::new(),
            probed: None,
            probes: 0,
        })
    }

    /// Serves one connection until it breaks; whatever happens, its channels are released.
    async fn live(&self, subscriber: Subscriber, failures: &mut Failures, reason: DirtyReason) {
        let _released = Released {
            state: &self.state,
            address: &self.address,
            id: subscriber.id,
        };
        let Err(Broken) = self.serve(subscriber, failures, reason).await;
    }

    /// Waits for: work (channels to subscribe or leave), lost channels, another topology, the
    /// time to ping, the time to probe, and the end of the connection.
    async fn serve(
        &self,
        mut subscriber: Subscriber,
        failures: &mut Failures,
        reason: DirtyReason,
    ) -> Result<std::convert::Infallible, Broken> {
        let settings = &self.state.settings;
        let mut work = self.state.work.subscribe();
        let mut topology = self.state.link.topology();
        let mut ping = interval(settings.ping_interval);
        let mut probe = interval(settings.probe_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pushes = subscriber.pushes.clone();
        subscriber.adopt(self.state.owned_by(&self.address), &self.state);
        loop {
            subscriber.work(&self.state).await?;
            subscriber.tell(&self.state, &self.address, reason);
            self.state.set_live(&self.address, true);
            tokio::select! {
                () = pushes.broken.cancelled() => return Err(Broken),
                _ = work.changed() => {}
                () = pushes.some_lost.notified() => subscriber.give_up_lost(&self.state),
                _ = topology.changed() => {
                    subscriber.adopt(self.state.owned_by(&self.address), &self.state);
                }
                _ = ping.tick() => subscriber.ping(&self.state).await?,
                _ = probe.tick() => {
                    subscriber.probe(&self.state).await?;
                    *failures = Failures::default();
                }
            }
        }
    }
}

/// Gives a subscriber's channels back when it ends, also by cancellation.
struct Released<'a> {
    state: &'a State,
    address: &'a Address,
    id: u64,
}

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.state.wanted.lock().ended(self.id);
        self.state.set_live(self.address, false);
        self.state.announce_work();
    }
}

impl Subscriber {
    /// Unsubscribes what is leaving, subscribes what is pending, until nothing is left to do.
    async fn work(&mut self, state: &State) -> Result<(), Broken> {
        loop {
            let leaving = state.wanted.lock().take_leaving(&self.owned, CHUNK);
            if !leaving.is_empty() {
                self.each("SUNSUBSCRIBE", &leaving, true).await?;
                continue;
            }
            let pending = state.wanted.lock().take_pending(&self.owned, CHUNK);
            if pending.is_empty() {
                return Ok(());
            }
            let answers = match self.each("SSUBSCRIBE", &pending, false).await {
                Ok(answers) => answers,
                Err(Broken) => {
                    state.wanted.lock().put_back(pending);
                    return Err(Broken);
                }
            };
            for (channel, answer) in pending.into_iter().zip(answers) {
                self.subscribed(state, channel, &answer);
            }
        }
    }

    fn subscribed(&mut self, state: &State, channel: Channel, answer: &Value) {
        let Value::ServerError(error) = answer else {
            if state.wanted.lock().confirmed(&channel, self.id) {
                self.dirty.insert(channel.0);
            }
            return;
        };
        state.link.stats().refused.inc();
        let error = LinkError::from(error);
        if error.retryable() {
            state.link.suspect_topology();
            self.later.push(channel);
        } else {
            tracing::error!(%error, "Redis refuses a subscription");
            state.wanted.lock().refused(&channel, &error);
        }
    }

    /// Tells the listener of the bus about partitions that may have missed messages.
    fn tell(&mut self, state: &State, primary: &Address, reason: DirtyReason) {
        let partitions: Vec<u16> = std::mem::take(&mut self.dirty).into_iter().collect();
        if !partitions.is_empty() {
            state.link.stats().dirty.inc();
            (state.on_event)(BusMessage::Dirty {
                primary: primary.clone(),
                partitions,
                reason,
            });
        }
    }

    /// The server took channels away: their slot has moved. Whoever owns it now subscribes them.
    fn give_up_lost(&mut self, state: &State) {
        let mut wanted = state.wanted.lock();
        let lost = self.pushes.take_lost();
        self.later.extend(
            lost.iter()
                .filter_map(|channel| wanted.lost(channel, self.id)),
        );
        drop(wanted);
        state.link.suspect_topology();
    }

    fn adopt(&mut self, owned: BTreeSet<u16>, state: &State) {
        let mut wanted = state.wanted.lock();
        let mut released = !self.later.is_empty();
        wanted.put_back(self.later.drain(..));
        released |= wanted.keep(self.id, &owned);
        drop(wanted);
        self.owned = owned;
        if released {
            state.announce_work();
        }
    }

    /// Finds out whether the connection answers, and tries again what was refused for now.
    async fn ping(&mut self, state: &State) -> Result<(), Broken> {
        state.wanted.lock().put_back(self.later.drain(..));
        let mut ping = redis::pipe();
        ping.cmd("PING");
        self.ask(&ping, Vec::new(), DirtyReason::PingFailed)
            .await
            .map(drop)
    }

    /// Sends a message the way all others go and expects it back.
    async fn probe(&mut self, state: &State) -> Result<(), Broken> {
        let Some(partition) = self
            .probed
            .filter(|at| self.owned.contains(at))
            .or(self.owned.first().copied())
        else {
            return Ok(());
        };
        let Some((tag, _)) = state.link.tags().get(usize::from(partition)) else {
            return Ok(());
        };
        let name = format!(
            "{}{{{tag}}}:probe:{}",
            state.settings.prefix, self.pushes.probe_id
        );
        if self.probed != Some(partition) {
            let answers = self
                .each("SSUBSCRIBE", &[(partition, name.clone().into())], false)
                .await?;
            if answers
                .iter()
                .any(|answer| matches!(answer, Value::ServerError(_)))
            {
                state.link.suspect_topology();
                return Ok(());
            }
            self.probed = Some(partition);
        }
        self.probes += 1;
        let mut seen = self.pushes.probe_seen.subscribe();
        let mut publish: Cmd = redis::cmd("SPUBLISH");
        publish.arg(&name).arg(self.probes);
        let start = Instant::now();
        // A probe that was not sent says nothing about this connection.
        let Ok(receivers) = state.link.call::<u64>(partition, &publish).await else {
            return Ok(());
        };
        state.link.stats().probes.inc();
        let number = self.probes;
        let back = async { receivers > 0 && seen.wait_for(|seen| *seen >= number).await.is_ok() };
        match timeout(state.settings.probe_deadline, back).await {
            Ok(true) => {
                let lag = start.elapsed().as_secs_f64();
                state.link.stats().bus_lag.observe(lag);
                Ok(())
            }
            _ => {
                state.link.stats().probes_lost.inc();
                self.pushes.break_off(DirtyReason::ProbeLost);
                Err(Broken)
            }
        }
    }

    /// Sends `command` once per channel.
    async fn each(
        &mut self,
        command: &str,
        channels: &[Channel],
        leaving: bool,
    ) -> Result<Vec<Value>, Broken> {
        let mut pipeline = Pipeline::with_capacity(channels.len());
        for (_, channel) in channels {
            pipeline.cmd(command).arg(channel.as_ref());
        }
        let names = channels
            .iter()
            .filter(|_| leaving)
            .map(|(_, channel)| channel.clone());
        self.ask(&pipeline, names.collect(), DirtyReason::Disconnected)
            .await
    }

    async fn ask(
        &mut self,
        pipeline: &Pipeline,
        leaving: Vec<bytes::Bytes>,
        failure: DirtyReason,
    ) -> Result<Vec<Value>, Broken> {
        self.pushes.expect(leaving);
        let answered = self
            .connection
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await;
        self.pushes.expect_nothing();
        match answered {
            Ok(answers) if !self.pushes.broken.is_cancelled() => Ok(answers),
            _ => {
                self.pushes.break_off(failure);
                Err(Broken)
            }
        }
    }
}
