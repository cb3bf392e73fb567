//! How many may come in, and how fast.
//!
//! Clients with a good token and those without are counted apart, so that the latter keep nobody out.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use carillon_common::{
    ids::UserId,
    rate::{Rate, Rates},
    settings::GatewaySettings,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Admits connections up to a number, and handshakes up to a rate.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: u32,
    places: Arc<Semaphore>,
    admitted: Rates<()>,
    by_user: Rates<UserId>,
    refused: Rates<IpAddr>,
    closed: AtomicBool,
}

/// Why a handshake is refused for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// At the limit of connections.
    Connections,
    /// At the limit of handshakes per second.
    Rate,
    /// At the limit of one user's handshakes per second.
    User,
    /// At the limit of refusals that are explained to one address.
    Address,
    /// At the limit of sockets that are not connections yet.
    Arrivals,
    /// The client has closed its side.
    Gone,
    /// Nobody is let in any more.
    Draining,
    /// The store does not answer.
    Store,
}

impl Reason {
    /// As it is counted.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rate => "rate",
            Self::User => "user",
            Self::Address => "address",
            Self::Arrivals => "arrivals",
            Self::Gone => "gone",
            Self::Draining => "draining",
            Self::Store => "store",
        }
    }
}

/// Why a handshake is refused, and when to try again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Why.
    pub reason: Reason,
    /// For `Retry-After`.
    pub retry_after: Duration,
}

impl Refused {
    /// For some seconds: spread, so that the refused do not come back together.
    pub(crate) fn later(reason: Reason) -> Self {
        let retry_after = Duration::from_secs(1 + u64::from(rand::random::<u8>() % 5));
        Self {
            reason,
            retry_after,
        }
    }
}

impl Admission {
    /// At most `limit` connections, at the rates of the settings.
    pub(crate) fn new(limit: u32, settings: &GatewaySettings) -> Self {
        let [admitted, by_user, refused] = rates(settings);
        Self {
            limit,
            places: Arc::new(Semaphore::new(limit as usize)),
            admitted: Rates::new(admitted),
            by_user: Rates::new(by_user),
            refused: Rates::new(refused),
            closed: AtomicBool::new(false),
        }
    }

    /// At the rates of these settings from now on.
    pub(crate) fn renew(&self, settings: &GatewaySettings) {
        let [admitted, by_user, refused] = rates(settings);
        self.admitted.set(admitted);
        self.by_user.set(by_user);
        self.refused.set(refused);
    }

    /// Admits nobody any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether it admits nobody any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether a token is worth looking at.
    ///
    /// # Errors
    /// It admits nobody any more.
    pub(crate) fn is_open(&self) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::later(Reason::Draining));
        }
        Ok(())
    }

    /// A place for a connection of a user whose token is good; it is free again when the permit is dropped.
    ///
    /// # Errors
    /// Closed, at the limit, or faster than the rate.
    pub(crate) fn admit(
        &self,
        user: &UserId,
        now: Instant,
    ) -> Result<OwnedSemaphorePermit, Refused> {
        self.is_open()?;
        if !self.by_user.take(user, now) {
            return Err(Refused::later(Reason::User));
        }
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Refused::later(Reason::Connections))?;
        if !self.admitted.take(&(), now) {
            return Err(Refused::later(Reason::Rate));
        }
        Ok(place)
    }

    /// Whether a client whose token is bad is told so with a 101 and a close: so often for each address.
    ///
    /// # Errors
    /// Its address was told often enough; it is refused at less cost.
    pub(crate) fn may_be_told(&self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        if !self.refused.take(&of_one(address), now) {
            return Err(Refused::later(Reason::Address));
        }
        Ok(())
    }

    /// A place for a refused client that is held before its close, while more than half are free.
    pub(crate) fn spare(&self) -> Option<OwnedSemaphorePermit> {
        let free = self.places.available_permits();
        let spare = free.saturating_mul(2) > self.limit as usize;
        spare.then(|| self.places.clone().try_acquire_owned().ok())?
    }
}

/// Of all who are let in, of one user, and of the refusals of one address.
fn rates(settings: &GatewaySettings) -> [Rate; 3] {
    let rate = settings.handshake_rate;
    let of_user = settings.per_user_handshake_rate;
    let of_address = settings.refusal_rate;
    // All connections of a user may have to move at once.
    let moving = u32::try_from(settings.per_user_connections).unwrap_or(u32::MAX);
    [
        Rate::new(rate, rate.saturating_add(settings.handshake_burst)),
        Rate::new(of_user, of_user.saturating_add(moving)),
        Rate::new(of_address, of_address.saturating_mul(2)),
    ]
}

/// All addresses of IPv6 with the same first 64 bits count as one: who has one has all (RFC 6177).
fn of_one(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::settings::Settings;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn settings(rate: u32, of_user: u32) -> GatewaySettings {
        GatewaySettings {
            handshake_rate: rate,
            handshake_burst: 1,
            per_user_handshake_rate: of_user,
            per_user_connections: 2,
            refusal_rate: 2,
            ..Settings::default().gateway
        }
    }

    #[test]
    fn the_rate_refills_and_the_limit_stands() {
        let mut now = Instant::now();
        let admission = Admission::new(5, &settings(2, 100));
        let alice = user("alice");
        let mut places: Vec<_> = (0..3)
            .map(|_| admission.admit(&alice, now).unwrap())
            .collect();
        assert_eq!(
            admission.admit(&alice, now).unwrap_err().reason,
            Reason::Rate
        );
        now += Duration::from_secs(1);
        places.push(admission.admit(&alice, now).unwrap());
        places.push(admission.admit(&alice, now).unwrap());
        now += Duration::from_secs(1);
        assert_eq!(
            admission.admit(&alice, now).unwrap_err().reason,
            Reason::Connections
        );
        places.pop();
        assert!(admission.admit(&alice, now).is_ok());
        admission.close();
        now += Duration::from_secs(1);
        assert_eq!(
            admission.admit(&alice, now).unwrap_err().reason,
            Reason::Draining
        );
    }

    #[test]
    fn one_user_takes_no_more_than_a_share() {
        let now = Instant::now();
        let admission = Admission::new(1_000, &settings(100, 1));
        let places: Vec<_> = (0..50)
            .filter_map(|_| admission.admit(&user("eager"), now).ok())
            .collect();
        assert_eq!(places.len(), 3);
        assert!(admission.admit(&user("alice"), now).is_ok());
    }

    #[test]
    fn an_address_is_told_so_often_and_keeps_nobody_out() {
        let now = Instant::now();
        let admission = Admission::new(5, &settings(2, 100));
        let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let told = |address, now| admission.may_be_told(address, now).is_ok();
        assert_eq!((0..99).filter(|_| told(here, now)).count(), 4);
        assert!(told(there, now));
        assert!(told(here, now + Duration::from_secs(1)));
        assert!(admission.admit(&user("alice"), now).is_ok());
    }

    #[test]
    fn neighbours_of_ipv6_are_one() {
        let of = |text: &str| of_one(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
