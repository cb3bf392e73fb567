//! The functions, each with what makes it expensive.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use carillon_common::{
    backend::{self, BackendError, Device, Holder, Look, PublishOrder, ReadMark, Subscription},
    ids::{ChannelName, Cursor, GatewayId, UserId},
};
use uuid::Uuid;

use super::{BODY, Deaf, EXPIRED, GATEWAYS, HOUR, Hall, ON_EACH, Who, idempotency, subscription};

impl Hall {
    pub(super) async fn sends(&mut self) -> Result<()> {
        let bob = self.with_devices_away("bob").await?;
        self.fill(&bob, |_| HOUR).await?;
        let pass_over = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.send(&bob, HOUR).await?;
            Ok(())
        };
        self.fastest(
            "send",
            "the devices that are away are passed over",
            pass_over,
        )
        .await?;

        let short = Duration::from_secs(3);
        for (name, what, stays) in [
            ("carol", "the oldest have expired", 0),
            ("dave", "some in the middle have expired", 2),
        ] {
            let user = self.with_devices_away(name).await?;
            let ttl = |number| if number < stays { HOUR } else { short };
            self.fill(&user, ttl).await?;
            tokio::time::sleep(short + short / 10).await;
            let make_room = async |hall: &Self, _| {
                hall.forget_times().await?;
                // As much room as one of these makes is used up by others.
                for _ in 0..65 {
                    hall.send(&user, HOUR).await?;
                }
                Ok(())
            };
            self.fastest("send", what, make_room).await?;
        }
        Ok(())
    }

    /// A user with as many connections as may be, and as much of all else.
    pub(super) async fn connections(&mut self) -> Result<()> {
        let alice = self.with_devices_away("alice").await?;
        for at in 0..self.gateways.len() {
            // Room for one more.
            for number in usize::from(at == 0)..ON_EACH {
                self.connect(at, &alice, &Who::of(at, number)).await?;
            }
        }
        let phone = Who::of(0, 2);
        let holder = Holder::Device(phone.device.clone());
        for number in 0..self.limits.kept as usize {
            let keep = subscription(number)?;
            self.gateways[0]
                .keep_subscription(&alice, &holder, &keep, true)
                .await?;
        }
        for number in 0..self.limits.assigned as usize {
            let channel = subscription(number)?.channel;
            self.backend.assign(&alice, &channel).await?;
        }
        self.fill(&alice, |_| HOUR).await?;
        let page = self.connect(0, &alice, &phone).await?;
        ensure!(page.subscriptions.len() == self.limits.kept as usize);
        let cursors: Vec<Cursor> = page.page.frames.iter().map(|frame| frame.cursor).collect();

        let refused = async |hall: &Self, _| {
            hall.forget_times().await?;
            let outcome = hall.send(&alice, HOUR).await;
            ensure!(
                matches!(outcome, Err(BackendError::InboxFull)),
                "{outcome:?}"
            );
            Ok(())
        };
        self.fastest("send", "a connected device is behind", refused)
            .await?;
        let known = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.connect(0, &alice, &phone).await?;
            Ok(())
        };
        self.fastest("connect", "a device that is known", known)
            .await?;
        let unknown = async |hall: &Self, turn| {
            let who = Who::named(1_000 + turn);
            hall.forget_times().await?;
            let registered = hall.connect(0, &alice, &who).await?;
            hall.end(0, &alice, &who, registered.fence, vec![]).await
        };
        self.fastest(
            "connect",
            "a new device, for which another is forgotten",
            unknown,
        )
        .await?;
        let read = async |hall: &Self, _| {
            hall.forget_times().await?;
            let gateway = &hall.gateways[0];
            gateway
                .read(&alice, &Device::Anonymous, Cursor::ZERO)
                .await?;
            Ok(())
        };
        self.fastest("read", "by the least of anonymous connections", read)
            .await?;
        let ack = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            hall.ack(&alice, &phone, cursors[turn + 2], EXPIRED).await
        };
        self.fastest("ack", "one of many devices", ack).await?;
        self.readings(&alice, &cursors).await?;

        let restorable: Vec<Subscription> = (0..self.settings.socket.channels)
            .map(subscription)
            .collect::<Result<_>>()?;
        let disconnect = async |hall: &Self, _| {
            let registered = hall.connect(0, &alice, &Who::of(0, 1)).await?;
            hall.forget_times().await?;
            hall.end(
                0,
                &alice,
                &Who::of(0, 1),
                registered.fence,
                restorable.clone(),
            )
            .await
        };
        self.fastest("disconnect", "one of many connections", disconnect)
            .await?;
        let reap = async |hall: &Self, _| {
            for number in 0..ON_EACH {
                hall.connect(1, &alice, &Who::of(1, number)).await?;
            }
            hall.forget_times().await?;
            let ended = hall.gateways[1].release(&alice, &[]).await?;
            ensure!(ended == ON_EACH as u64, "{ended}");
            Ok(())
        };
        self.fastest("reap", "all connections of a gateway", reap)
            .await
    }

    /// What services ask of a user who has all that may be.
    async fn readings(&mut self, alice: &UserId, cursors: &[Cursor]) -> Result<()> {
        let look = async |hall: &Self, _| {
            hall.forget_times().await?;
            let look = Look {
                after: None,
                backwards: true,
                limit: 200,
            };
            let sight = hall.backend.look(alice, &look).await?;
            ensure!(sight.is_some_and(|sight| sight.more));
            Ok(())
        };
        self.fastest("look", "a full inbox, the newest first", look)
            .await?;
        let receipt = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            let receipt = hall.backend.receipt(alice, cursors[turn + 2]).await?;
            ensure!(receipt.is_some_and(|it| !it.devices.is_empty()));
            Ok(())
        };
        self.fastest("receipt", "of many devices", receipt).await?;
        let unread = async |hall: &Self, _| {
            hall.forget_times().await?;
            let unread = hall.backend.unread(alice).await?;
            ensure!(unread > 128, "{unread}");
            Ok(())
        };
        self.fastest("unread", "a full inbox, in pieces", unread)
            .await?;
        let mark_read = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            let mark = ReadMark::One(cursors[turn + 2]);
            let marked = hall.backend.mark_read(alice, mark).await?;
            ensure!(marked == Some(true), "{marked:?}");
            Ok(())
        };
        self.fastest("mark_read", "told to many connections", mark_read)
            .await?;
        let retract = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            hall.backend.retract(alice, cursors[turn + 2]).await?;
            Ok(())
        };
        self.fastest("retract", "from many connections", retract)
            .await?;
        let erase = async |hall: &Self, turn: usize| {
            let gone: UserId = format!("gone-{turn}").parse()?;
            hall.fill(&gone, |_| HOUR).await?;
            hall.schedule_all(&gone, hall.limits.scheduled).await?;
            hall.forget_times().await?;
            ensure!(hall.backend.erase(&gone).await?);
            Ok(())
        };
        self.fastest("erase", "a full inbox, and as much that waits", erase)
            .await
    }

    pub(super) async fn whole_inbox(&mut self) -> Result<()> {
        let phone = Who::of(0, 2);
        let erin: UserId = "erin".parse()?;
        let all = async |hall: &Self, _| {
            hall.connect(0, &erin, &phone).await?;
            let sent = hall.fill(&erin, |_| HOUR).await?;
            hall.forget_times().await?;
            hall.ack(&erin, &phone, sent[sent.len() - 1], 0).await
        };
        self.fastest("ack", "a whole inbox at once", all).await
    }

    pub(super) async fn assignments(&mut self) -> Result<()> {
        let gina: UserId = "gina".parse()?;
        let phone = Who::of(0, 2);
        self.connect(0, &gina, &phone).await?;
        let others = self.limits.assigned as usize - 1;
        for number in 0..others {
            let channel = subscription(number)?.channel;
            self.backend.assign(&gina, &channel).await?;
        }
        let holder = Holder::Device(phone.device.clone());
        for number in 0..self.limits.kept as usize {
            let keep = subscription(number)?;
            self.gateways[0]
                .keep_subscription(&gina, &holder, &keep, true)
                .await?;
        }
        let assign = async |hall: &Self, turn| {
            let channel = subscription(others + turn)?.channel;
            hall.forget_times().await?;
            ensure!(hall.backend.assign(&gina, &channel).await?.is_new);
            hall.backend.unassign(&gina, &channel).await?;
            Ok(())
        };
        self.fastest("assign", "the last that may be", assign)
            .await?;
        let unassign = async |hall: &Self, turn| {
            let channel = subscription(others + turn)?.channel;
            hall.backend.assign(&gina, &channel).await?;
            hall.forget_times().await?;
            ensure!(hall.backend.unassign(&gina, &channel).await?);
            Ok(())
        };
        self.fastest("unassign", "among all that may be kept", unassign)
            .await
    }

    pub(super) async fn subscriptions(&mut self) -> Result<()> {
        let frank: UserId = "frank".parse()?;
        let all: Vec<Subscription> = (0..self.limits.kept as usize)
            .map(subscription)
            .collect::<Result<_>>()?;
        let mut last = Who::anonymous("first");
        let mut fence = self.connect(0, &frank, &last).await?.fence;
        for kept in &all {
            let holder = Holder::Session(last.session.parse()?);
            self.gateways[0]
                .keep_subscription(&frank, &holder, kept, true)
                .await?;
        }
        let keep = async |hall: &Self, _| {
            hall.forget_times().await?;
            let one_more = subscription(all.len())?;
            let holder = Holder::Device(Device::Anonymous);
            let gateway = &hall.gateways[0];
            let outcome = gateway
                .keep_subscription(&frank, &holder, &one_more, true)
                .await;
            ensure!(
                matches!(outcome, Err(BackendError::TooManyChannels)),
                "{outcome:?}"
            );
            Ok(())
        };
        self.fastest("keep", "one more than may be", keep).await?;
        let disconnect = async |hall: &Self, turn| {
            hall.forget_times().await?;
            hall.end(0, &frank, &last, fence, all.clone()).await?;
            last = Who::anonymous(&format!("next-{turn}"));
            fence = hall.connect(0, &frank, &last).await?.fence;
            let session = last.session.parse()?;
            let claimed = hall.gateways[0]
                .claim_subscriptions(&frank, &session)
                .await?;
            ensure!(claimed.subscriptions.len() == all.len(), "{claimed:?}");
            Ok(())
        };
        self.fastest("disconnect", "all subscriptions are left", disconnect)
            .await?;
        let claim = async |hall: &Self, turn| {
            hall.end(0, &frank, &last, fence, all.clone()).await?;
            last = Who::anonymous(&format!("claims-{turn}"));
            fence = hall.connect(0, &frank, &last).await?.fence;
            hall.forget_times().await?;
            let session = last.session.parse()?;
            hall.gateways[0]
                .claim_subscriptions(&frank, &session)
                .await?;
            Ok(())
        };
        self.fastest("claim", "all subscriptions of ended connections", claim)
            .await
    }

    pub(super) async fn channels(&mut self) -> Result<()> {
        let channel: ChannelName = "orders".parse()?;
        let history = self.settings.channels.history;
        let publish = async |hall: &Self, count: usize| -> Result<()> {
            for _ in 0..count {
                let id = Uuid::new_v4();
                let order = PublishOrder {
                    channel: channel.clone(),
                    id,
                    body: "x".repeat(BODY).into(),
                    ttl: HOUR,
                    history: u32::try_from(history)?,
                    retention: HOUR,
                    idempotency: idempotency(id),
                    trace: None,
                };
                hall.backend.publish(&order).await?;
            }
            Ok(())
        };
        publish(self, history).await?;
        let one = async |hall: &Self, _| {
            hall.forget_times().await?;
            publish(hall, 1).await
        };
        self.fastest("publish", "a full log", one).await?;
        let follow = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.gateways[0].follow(&channel).await?;
            Ok(())
        };
        self.fastest("follow", "a full log", follow).await?;
        let read = async |hall: &Self, _| {
            hall.forget_times().await?;
            let page = hall.gateways[0].history(&channel, Cursor::ZERO).await?;
            ensure!(page.more, "{} frames", page.frames.len());
            Ok(())
        };
        self.fastest("history", "a full log", read).await
    }

    pub(super) async fn leases(&mut self) -> Result<()> {
        let mut others = Vec::new();
        for at in 0..GATEWAYS {
            let name: GatewayId = format!("other-{at}").parse()?;
            others.push(self.backend.join(name, Arc::new(Deaf)).await?);
        }
        let settle = async |hall: &Self, _| {
            hall.forget_times().await?;
            let another = backend::connect(&hall.settings).await?;
            another.presence(&"alice".parse()?).await?;
            hall.waits_for("settle").await
        };
        self.fastest("settle", "each partition", settle).await?;
        let list = async |hall: &Self, _| {
            hall.forget_times().await?;
            let there = hall.backend.presence(&"alice".parse()?).await?;
            ensure!(!there.is_empty(), "alice is not connected");
            Ok(())
        };
        self.fastest("lease_list", "many gateways", list).await?;
        let renew = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.waits_for("lease_renew").await
        };
        self.fastest("lease_renew", "many gateways", renew).await?;
        let take = async |hall: &Self, turn| {
            hall.forget_times().await?;
            let name: GatewayId = format!("new-{turn}").parse()?;
            hall.backend.join(name, Arc::new(Deaf)).await?;
            Ok(())
        };
        self.fastest("lease_take", "many gateways", take).await?;
        let end = async |hall: &Self, turn| {
            let dead: GatewayId = format!("dead-{turn}").parse()?;
            hall.backend.join(dead.clone(), Arc::new(Deaf)).await?;
            hall.forget_times().await?;
            // Surely not before its lease: the store's time is only known to some milliseconds.
            let until = hall.backend.clock().now() + 60_000;
            ensure!(
                hall.backend.reap(&dead, until).await?,
                "{dead} is not there"
            );
            Ok(())
        };
        self.fastest("lease_end", "many gateways", end).await?;
        let leave = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            others[turn].leave().await?;
            Ok(())
        };
        self.fastest("lease_drop", "many gateways", leave).await
    }
}
