//! From one Redis to another as docs/operations.md says: a replica, FAILOVER, and the name that the
//! services know points to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::deployment::Plan;
use carillon_tests::figures::Figures;
use carillon_tests::ledger::Ledger;
use carillon_tests::poll::eventually;
use carillon_tests::redis::{Options, Persistence, Standalone};
use carillon_tests::traffic::{Load, Traffic};
use carillon_tests::turn::turn;
use parking_lot::Mutex;
use redis::cmd;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::churn::{self, Kind, Manners};

const PATIENCE: Duration = Duration::from_secs(120);
const CLIENTS: usize = 50;
const SENDS: usize = 3_000;

/// A name in DNS: new connections go where it points, those that are there stay.
struct Name {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    serving: JoinHandle<()>,
}

impl Name {
    async fn of(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        let current = target.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = *current.lock();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await?;
                    near.set_nodelay(true)?;
                    far.set_nodelay(true)?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Ok(Self {
            address,
            target,
            serving,
        })
    }

    fn point(&self, target: SocketAddr) {
        *self.target.lock() = target;
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_redis_loses_nothing() -> Result<()> {
    let _turn = turn().await;
    let options = Options::default().persistence(Persistence::EverySecond);
    let old = Standalone::start(&options).await?;
    let new = Standalone::start(&options).await?;
    let name = Name::of(old.addr()).await?;
    let plan = Plan::over(format!("redis://{}", name.address));
    let deployment = plan.gateways(2).dispatchers(2).start().await?;
    let ledger = Ledger::default();
    let users = churn::users(CLIENTS);
    let kinds = [Kind::Device, Kind::Page];
    let mut clients = Vec::new();
    for (n, user) in users.iter().enumerate() {
        let (sockets, kind) = (deployment.sockets(), kinds[n % 2]);
        clients.push(churn::client(
            &deployment,
            sockets,
            &ledger,
            user,
            kind,
            &Manners::CALM,
        ));
    }
    churn::connected(&clients, PATIENCE).await?;
    let load = Load {
        users,
        sends: SENDS,
        broadcasts: 10,
        pause: Duration::from_millis(5),
    };
    let traffic = Traffic::start(deployment.api(), &ledger, &load);

    let to = new.addr();
    let (host, port) = (to.ip().to_string(), to.port());
    let from = old.addr();
    let replicate = cmd("REPLICAOF")
        .arg(from.ip().to_string())
        .arg(from.port())
        .to_owned();
    new.query::<()>(&replicate).await?;
    eventually("the new Redis follows", PATIENCE, async || {
        let status = new.info("master_link_status").await?;
        ensure!(status == "up", "its link is {status}");
        Ok(())
    })
    .await?;
    traffic.reaches(SENDS / 3, PATIENCE).await?;

    let started = Instant::now();
    let failover = cmd("FAILOVER")
        .arg("TO")
        .arg(&host)
        .arg(port)
        .arg("TIMEOUT")
        .arg(10_000)
        .to_owned();
    old.query::<()>(&failover).await?;
    eventually("the new Redis is the primary", PATIENCE, async || {
        ensure!(new.info("role").await? == "master", "it is a replica");
        Ok(())
    })
    .await?;
    let before = traffic.accepted();
    name.point(to);
    traffic.reaches(before + 1, PATIENCE).await?;
    let gap = started.elapsed();
    let notes = traffic.finish().await?;
    let verdict = ledger.settled(PATIENCE).await;
    deployment.online(CLIENTS, PATIENCE).await?;

    let mut figures = Figures::new(format!("moving: {CLIENTS} clients, to another Redis"));
    figures.row("FAILOVER until accepted again", format!("{gap:.1?}"));
    churn::describe(&mut figures, &clients, &notes);
    println!("{figures}{verdict}");
    ensure!(verdict.is_clean(), "the promise was broken\n{verdict}");
    let closes: usize = clients
        .iter()
        .map(|it| {
            it.seen()
                .read(|record| record.closes.values().sum::<usize>())
        })
        .sum();
    ensure!(closes == 0, "{closes} sockets were closed");
    ensure!(
        old.info("role").await? == "slave",
        "the old one is not its replica"
    );
    Ok(())
}
