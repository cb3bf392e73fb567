//! The gateway's side of the cases: what it asks a store for, and what it hears.

use std::{ops::Deref, sync::Arc};

use anyhow::Result;
use carillon_common::{
    backend::{
        Ack, AuditAnswer, AuditQuestion, Backend, Claimed, Clock, Departure, Holder, Membership,
        Page, Registered, Registration, Subscription,
    },
    ids::{Cursor, GatewayId, UserId},
    notification::Frame,
};

use super::{Recorder, world};

/// A gateway: its membership and what it heard.
pub(super) struct Gateway {
    /// Its place in the deployment.
    pub(super) membership: Arc<dyn Membership>,
    /// What it heard.
    pub(super) heard: Arc<Recorder>,
    /// Its name.
    pub(super) name: GatewayId,
    clock: Clock,
}

impl Deref for Gateway {
    type Target = dyn Membership;

    fn deref(&self) -> &Self::Target {
        &*self.membership
    }
}

impl Gateway {
    pub(super) async fn join(backend: &Arc<dyn Backend>, name: &str) -> Result<Self> {
        let name: GatewayId = name.parse()?;
        let heard = Arc::new(Recorder::default());
        let sink = Arc::clone(&heard);
        Ok(Self {
            membership: backend.join(name.clone(), sink).await?,
            heard,
            name,
            clock: backend.clock(),
        })
    }

    /// A connection of a device's, in a session of the device's name.
    pub(super) async fn connect(&self, user: &str, device: &str) -> Result<Connection> {
        self.connect_since(user, device, None).await
    }

    /// A connection of a client that knows its own position.
    pub(super) async fn connect_since(
        &self,
        user: &str,
        device: &str,
        since: Option<Cursor>,
    ) -> Result<Connection> {
        self.register(registration(user, device, since)?).await
    }

    /// A connection, opened now unless it says otherwise.
    pub(super) async fn register(&self, mut registration: Registration) -> Result<Connection> {
        if registration.opened == 0 {
            registration.opened = self.clock.now();
        }
        let registered = self.membership.register(&registration).await?;
        Ok(Connection {
            gateway: Arc::clone(&self.membership),
            registration,
            registered,
        })
    }

    /// The page a device would read after a position.
    pub(super) async fn page(&self, user: &str, device: &str, after: Cursor) -> Result<Page> {
        let (user, device) = (user.parse()?, world::device(device)?);
        Ok(self.membership.read(&user, &device, after).await?)
    }

    /// All that is kept of a user's inbox.
    pub(super) async fn kept(&self, user: &str) -> Result<Vec<Frame>> {
        let mut page = self.page(user, "anyone", Cursor::ZERO).await?;
        let mut frames = std::mem::take(&mut page.frames);
        while page.more {
            page = self.page(user, "anyone", page.end).await?;
            frames.append(&mut page.frames);
        }
        Ok(frames)
    }

    /// A page of a channel's log.
    pub(super) async fn log(&self, channel: &str, after: Cursor) -> Result<Page> {
        let channel = world::channel(channel)?;
        Ok(self.membership.history(&channel, after).await?)
    }

    /// Claims what ended sessions left.
    pub(super) async fn claim(&self, user: &str, session: &str) -> Result<Claimed> {
        let (user, session): (UserId, _) = (user.parse()?, session.parse()?);
        Ok(self.membership.claim_subscriptions(&user, &session).await?)
    }
}

/// A registration as a new client makes it.
pub(super) fn registration(
    user: &str,
    device: &str,
    since: Option<Cursor>,
) -> Result<Registration> {
    Ok(Registration {
        user: user.parse()?,
        device: world::device(device)?,
        session: device.trim_start_matches('~').parse()?,
        opened: 0,
        fence: None,
        since,
        broadcast: Cursor::ZERO,
    })
}

/// A registered connection.
pub(super) struct Connection {
    pub(super) gateway: Arc<dyn Membership>,
    /// How it registered.
    pub(super) registration: Registration,
    /// What it was told.
    pub(super) registered: Registered,
}

impl Connection {
    /// The first page.
    pub(super) fn page(&self) -> &Page {
        &self.registered.page
    }

    /// The cursors of the first page.
    pub(super) fn cursors(&self) -> Vec<Cursor> {
        world::cursors(&self.page().frames)
    }

    /// Acks everything up to a cursor.
    pub(super) async fn ack(&self, cursor: Cursor) -> Result<()> {
        self.ack_with(cursor, None, vec![]).await
    }

    /// Acks, the broadcast log and expired ones included.
    pub(super) async fn ack_with(
        &self,
        cursor: Cursor,
        broadcast: Option<Cursor>,
        expired: Vec<Cursor>,
    ) -> Result<()> {
        let ack = Ack {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
            cursor,
            broadcast,
            expired,
        };
        Ok(self.gateway.ack(&ack).await?)
    }

    /// Keeps a simple client's subscription.
    pub(super) async fn keep(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Session(self.registration.session.clone());
        self.keep_as(&holder, channel, cursor, true).await
    }

    /// Publishes the position of a simple client's subscription.
    pub(super) async fn publish_position(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Session(self.registration.session.clone());
        self.keep_as(&holder, channel, cursor, false).await
    }

    /// Keeps a durable subscription.
    pub(super) async fn keep_durably(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Device(self.registration.device.clone());
        self.keep_as(&holder, channel, cursor, true).await
    }

    /// Keeps where the device is on a channel that a service has put the user on.
    pub(super) async fn keep_place(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Assigned(self.registration.device.clone());
        self.keep_as(&holder, channel, cursor, false).await
    }

    async fn keep_as(
        &self,
        holder: &Holder,
        channel: &str,
        cursor: Cursor,
        asked: bool,
    ) -> Result<()> {
        let user = &self.registration.user;
        let kept = subscription(channel, cursor)?;
        let keeping = self.gateway.keep_subscription(user, holder, &kept, asked);
        Ok(keeping.await?)
    }

    /// Forgets a kept subscription.
    pub(super) async fn forget(&self, holder: &Holder, channel: &str) -> Result<()> {
        let (user, channel) = (&self.registration.user, world::channel(channel)?);
        let forgetting = self.gateway.drop_subscription(user, holder, &channel);
        Ok(forgetting.await?)
    }

    /// Ends cleanly.
    pub(super) async fn end(&self) -> Result<()> {
        self.end_with(None, vec![]).await
    }

    /// Ends, leaving subscriptions for the user's next connection.
    pub(super) async fn end_with(
        &self,
        broadcast: Option<Cursor>,
        restorable: Vec<Subscription>,
    ) -> Result<()> {
        let departure = Departure {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
            fence: self.registered.fence,
            broadcast,
            restorable,
        };
        Ok(self.gateway.unregister(&departure).await?)
    }

    /// Registers again, as after a lost lease, on this gateway or another.
    pub(super) async fn again(&self, gateway: &Gateway) -> Result<Connection> {
        let again = Registration {
            fence: Some(self.registered.fence),
            ..self.registration.clone()
        };
        gateway.register(again).await
    }

    /// How it stands in the eyes of a gateway.
    pub(super) async fn audit(&self, gateway: &Gateway) -> Result<AuditAnswer> {
        let question = AuditQuestion {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
        };
        let answers = gateway.membership.audit(&[question]).await?;
        anyhow::ensure!(
            answers.len() == 1,
            "{} answers to one question",
            answers.len()
        );
        Ok(answers[0])
    }
}

/// A subscription.
pub(super) fn subscription(channel: &str, cursor: Cursor) -> Result<Subscription> {
    Ok(Subscription {
        channel: world::channel(channel)?,
        cursor,
    })
}
