//! Carillon behind the real nginx, with the very files of `examples/`.

mod compose;
mod limits;
mod nginx;
mod origin;
mod requests;
mod streams;
mod systemd;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::client::{Api, Handshake, Record, Socket, Targets, TokenIn};
use carillon_tests::deployment::{Deployment, Plan};
use carillon_tests::figures::Figures;
use carillon_tests::ledger::Ledger;
use carillon_tests::nginx::Nginx;
use carillon_tests::redis::{Options, Persistence, Standalone};
use carillon_tests::traffic::{Load, Notes, Traffic};
use carillon_tests::turn::turn;
use serde_json::Value;

use self::compose::Prepared;
use crate::churn::{self, Client, Kind, Manners};

const PATIENCE: Duration = Duration::from_secs(120);

/// Two gateways and two dispatchers with the secrets of the compose example, behind nginx.
struct Edge {
    nginx: Nginx,
    deployment: Deployment,
    /// A service that knows nginx alone.
    api: Api,
    key: String,
    _prepared: Prepared,
    _redis: Standalone,
}

impl Edge {
    async fn start() -> Result<Self> {
        let prepared = Prepared::new()?;
        let options = Options::default()
            .persistence(Persistence::EverySecond)
            .user(prepared.redis_user()?);
        let redis = Standalone::start(&options).await?;
        let plan = Plan::over(redis.url_as("carillon", &prepared.secret("redis.password")?))
            .gateways(2)
            .dispatchers(2)
            .short_leases()
            .set("auth.dir", prepared.auth()?.display());
        let deployment = plan.start().await?;
        let gateways: Vec<_> = deployment.gateways().iter().map(|it| it.public()).collect();
        let dispatchers: Vec<_> = deployment
            .dispatchers()
            .iter()
            .map(|it| it.public())
            .collect();
        let nginx = Nginx::start(&gateways, &dispatchers).await?;
        let key = prepared.secret("api.key")?;
        let api = Api::new(Targets::new([nginx.http()]), &*key)?;
        Ok(Self {
            nginx,
            deployment,
            api,
            key,
            _prepared: prepared,
            _redis: redis,
        })
    }

    /// A client of everything through nginx, for each user: devices and pages in turn.
    fn clients(&self, ledger: &Ledger, users: &[String]) -> Vec<Client> {
        let sockets = Targets::new([self.nginx.ws()]);
        let kinds = [Kind::Device, Kind::Page];
        users
            .iter()
            .enumerate()
            .map(|(n, user)| {
                let kind = kinds[n % 2];
                churn::client(
                    &self.deployment,
                    &sockets,
                    ledger,
                    user,
                    kind,
                    &Manners::CALM,
                )
            })
            .collect()
    }
}

fn load(users: &[String], sends: usize) -> Load {
    Load {
        users: users.to_vec(),
        sends,
        broadcasts: 5,
        pause: Duration::from_millis(5),
    }
}

fn sum(clients: &[Client], look: fn(&Record) -> usize) -> usize {
    clients.iter().map(|client| client.seen().read(look)).sum()
}

/// Whether all that was refused was late alone. On a busy machine Redis may answer later than a send is tried
/// (3 s); its caller repeats it then, under the same key.
fn only_late(notes: &Notes) -> bool {
    let late = ["503 outcome_unknown", "503 unavailable", "no answer"];
    notes.refusals.keys().all(|kind| late.contains(&&**kind))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_passes_and_no_token_is_logged() -> Result<()> {
    let edge = Edge::start().await?;
    let ledger = Ledger::default();
    let users = churn::users(20);
    let clients = edge.clients(&ledger, &users);
    churn::connected(&clients, PATIENCE).await?;
    edge.deployment.online(users.len(), PATIENCE).await?;
    let traffic = Traffic::start(&edge.api, &ledger, &load(&users, 200));
    let notes = traffic.finish().await?;
    let verdict = ledger.settled(PATIENCE).await;
    ensure!(verdict.is_clean(), "the promise was broken\n{verdict}");
    ensure!(only_late(&notes), "refused: {:?}", notes.refusals);
    ensure!(sum(&clients, |it| it.closes.values().sum()) == 0, "closed");

    // The other places of a token, and queries that try to get one past the redaction.
    let token = edge.deployment.token("alice");
    for place in [TokenIn::Header, TokenIn::Subprotocol] {
        let handshake = Handshake::to(&edge.nginx.ws())
            .protocol("carillon.v1")
            .query("device", "tablet")
            .token(place, &token);
        let mut socket = Socket::connect(&handshake).await?;
        ensure!(socket.frame(PATIENCE).await?["type"] == "welcome");
        socket.close().await;
    }
    let path = "/ws/notifications";
    let tricks = [
        format!("{path}?token={token}"),
        format!("{path}?device=a&token={token}&since=0-0"),
        format!("{path}?ticket={token}&device=a"),
        format!("{path}?token={token}&token={token}"),
        format!("{path}?device=a&ticket={token}&token={token}"),
        format!("{path}?%74oken={token}"),
        format!("{path}?TOKEN={token}"),
        format!("{path}?x=1&token={token}"),
        format!("{path}?device={token}%26&token=x;{token}"),
        format!("{path}%3Ftoken={token}"),
        format!("{path};token={token}"),
        format!("/?token={token}"),
        format!("/other/notifications?token={token}"),
        format!("/api/notifications/online-count?ticket={token}"),
    ];
    for target in &tricks {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Referer: https://app.example/inbox?token={token}#{token}\r\n\r\n"
        );
        edge.nginx.ask(request.as_bytes()).await?;
    }
    for client in clients {
        client.close().await;
    }
    let logged = edge.nginx.stop().await?;
    let lines: Vec<Value> = logged
        .access
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
    for text in [&logged.access, &logged.error] {
        // Every token here has the same header, and each a signature of its own.
        for part in [&*signature, "eyJ", &*edge.key] {
            ensure!(!text.contains(part), "{part} is in a log:\n{text}");
        }
    }
    let queries: BTreeSet<_> = lines.iter().filter_map(|it| it["query"].as_str()).collect();
    for expected in [
        "",
        "?[redacted]",
        "?token=[redacted]",
        "?device=tablet",
        "?token=[redacted]&device=phone",
        "?device=a&token=[redacted]&since=0-0",
        "?ticket=[redacted]&device=a",
    ] {
        ensure!(
            queries.contains(expected),
            "{expected} is not in {queries:?}"
        );
    }
    let paths: BTreeSet<_> = lines.iter().filter_map(|it| it["path"].as_str()).collect();
    ensure!(paths.contains("/api/notifications/send"), "{paths:?}");
    ensure!(paths.contains("[redacted]"), "{paths:?}");
    let from_a_page = |it: &&Value| it["referer"] == "https://app.example/inbox";
    ensure!(lines.iter().filter(from_a_page).count() == tricks.len());
    // Whatever a caller was refused, a dispatcher refused it; 499 is a caller who went.
    let own = |it: &&Value| {
        let said = |field: &str| it[field].as_str().unwrap_or_default();
        said("path").starts_with("/api/")
            && said("status") != "499"
            && !said("upstream_status").ends_with(said("status"))
    };
    let own: Vec<_> = lines.iter().filter(own).collect();
    ensure!(own.is_empty(), "nginx answered by itself: {own:?}");
    let named = |it: &&Value| it["request_id"].as_str().is_some_and(|id| !id.is_empty());
    ensure!(
        lines.iter().filter(named).count() >= 200,
        "sends without a request id"
    );
    println!("edge: {} lines of access log, no token", lines.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_and_a_dispatcher_are_killed() -> Result<()> {
    let _turn = turn().await;
    let edge = Edge::start().await?;
    let ledger = Ledger::default();
    let users = churn::users(100);
    let clients = edge.clients(&ledger, &users);
    churn::connected(&clients, PATIENCE).await?;
    edge.deployment.online(users.len(), PATIENCE).await?;
    let traffic = Traffic::start(&edge.api, &ledger, &load(&users, 2_000));
    traffic.reaches(500, PATIENCE).await?;
    edge.deployment.gateways()[0].kill().await?;
    let killed = Instant::now();
    traffic.reaches(1_000, PATIENCE).await?;
    edge.deployment.dispatchers()[0].kill().await?;
    let notes = traffic.finish().await?;
    let verdict = ledger.settled(PATIENCE).await;
    edge.deployment.online(users.len(), PATIENCE).await?;

    let moved = sum(&clients, |it| it.closed_with(1006));
    let mut figures = Figures::new(format!(
        "edge: {} clients behind nginx, a gateway and a dispatcher killed",
        users.len()
    ));
    figures.row("connections that broke", moved);
    figures.row(
        "everything settled after",
        format!("{:.1?}", killed.elapsed()),
    );
    churn::describe(&mut figures, &clients, &notes);
    println!("{figures}{verdict}");
    ensure!(verdict.is_clean(), "the promise was broken\n{verdict}");
    // `least_conn` had spread them.
    ensure!(
        (40..=60).contains(&moved),
        "{moved} of 100 were on one gateway"
    );
    ensure!(
        sum(&clients, |it| it.opens) == users.len() + moved,
        "more reconnects than breaks"
    );
    // What was under way when the dispatcher died is all that callers may have to repeat.
    let refused: usize = notes.refusals.values().sum();
    ensure!(refused <= 16, "{:?}", notes.refusals);
    ensure!(only_late(&notes), "{:?}", notes.refusals);
    Ok(())
}

/// The command line, beside this test.
pub(crate) fn carillon() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("carillon")
}
