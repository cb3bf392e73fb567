//! Users who come and go all the time, and what reaches them.

use std::time::Duration;

use anyhow::Result;
use carillon_tests::client::{
    Acks, Journal, SimpleClient, SimpleOptions, Targets, V1Client, V1Options,
};
use carillon_tests::deployment::Deployment;
use carillon_tests::figures::Figures;
use carillon_tests::ledger::{Delivery, Ledger};
use carillon_tests::traffic::Notes;

/// How long each connection lasts before its client goes elsewhere.
pub(crate) const HOPS: std::ops::Range<Duration> =
    Duration::from_millis(5)..Duration::from_millis(200);

/// Pauses of clients whose gateway is gone, compared with a browser's.
pub(crate) const PAUSES: f64 = 0.1;

/// A client of either protocol.
pub(crate) enum Client {
    V1(V1Client),
    Simple(SimpleClient),
}

impl Client {
    pub(crate) fn seen(&self) -> &Journal {
        match self {
            Self::V1(client) => client.seen(),
            Self::Simple(client) => client.seen(),
        }
    }

    /// Ends the hopping.
    pub(crate) async fn stay(&self) -> Result<()> {
        match self {
            Self::V1(client) => client.stay().await,
            Self::Simple(client) => client.stay().await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::V1(client) => client.close().await,
            Self::Simple(client) => client.close().await,
        }
    }
}

/// What a user's client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// carillon.v1 with a device, which acks.
    Device,
    /// carillon.v1 with a device, which never acks.
    Silent,
    /// The simple protocol, without a device.
    Page,
}

/// How clients connect.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) hops: Option<std::ops::Range<Duration>>,
    pub(crate) pauses: f64,
}

impl Manners {
    pub(crate) const RESTLESS: Self = Self {
        hops: Some(HOPS),
        pauses: PAUSES,
    };

    pub(crate) const CALM: Self = Self {
        hops: None,
        pauses: PAUSES,
    };
}

/// `user-0`, `user-1` …
pub(crate) fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user-{n}")).collect()
}

/// Starts a client for a user, and enters it in the ledger.
pub(crate) fn client(
    deployment: &Deployment,
    sockets: &Targets,
    ledger: &Ledger,
    user: &str,
    kind: Kind,
    manners: &Manners,
) -> Client {
    let token = deployment.token(user);
    let (name, delivery, client) = match kind {
        Kind::Device | Kind::Silent => {
            let device = if kind == Kind::Device {
                "phone"
            } else {
                "silent"
            };
            let mut options = V1Options::new(token, device);
            options.hops = manners.hops.clone();
            options.time_factor = manners.pauses;
            if kind == Kind::Silent {
                options.acks = Acks::Never;
            }
            let client = Client::V1(V1Client::start(sockets, options));
            (device, Delivery::Once, client)
        }
        Kind::Page => {
            let mut options = SimpleOptions::new(token);
            options.hops = manners.hops.clone();
            options.backoff_factor = manners.pauses;
            let client = Client::Simple(SimpleClient::start(sockets, options));
            ("page", Delivery::AtLeastOnce, client)
        }
    };
    ledger.follow(&format!("{user}/{name}"), user, delivery, client.seen());
    client
}

/// Waits until every client has been connected once.
pub(crate) async fn connected(clients: &[Client], within: Duration) -> Result<()> {
    for client in clients {
        client
            .seen()
            .until("connected", within, |record| record.opens > 0)
            .await?;
    }
    Ok(())
}

/// What clients and callers have seen, in figures.
pub(crate) fn describe(figures: &mut Figures, clients: &[Client], notes: &Notes) {
    let sum = |look: fn(&carillon_tests::client::Record) -> usize| -> usize {
        clients.iter().map(|client| client.seen().read(look)).sum()
    };
    let mut closes = std::collections::BTreeMap::<u16, usize>::new();
    for client in clients {
        client.seen().read(|record| {
            for (code, count) in &record.closes {
                *closes.entry(*code).or_default() += count;
            }
        });
    }
    figures.row("sends accepted", notes.answers.len());
    figures.row("refused and repeated", format!("{:?}", notes.refusals));
    figures.row(
        "received, first time",
        sum(|record| record.ids().collect::<std::collections::HashSet<_>>().len()),
    );
    figures.row("wire duplicates", sum(|record| record.duplicates));
    figures.row("connections opened", sum(|record| record.opens));
    figures.row("attempts refused", sum(|record| record.refused));
    figures.row("closes by the server", format!("{closes:?}"));
    figures.row("gaps told", sum(|record| record.control_of("gap").count()));
    figures.row(
        "errors told",
        sum(|record| record.control_of("error").count()),
    );
    figures.times("REST answer", notes.answers.clone());
    let journals = clients.iter().map(Client::seen);
    figures.times("REST to client", notes.latencies(journals));
}
