//! Sentinel and Cluster under traffic: a primary is killed, a slot moves; what is accepted (by one
//! replica, too) arrives, and no socket closes.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_common::backend::redis::link::partition_tags;
use carillon_tests::{
    deployment::{Deployment, Plan},
    figures::Figures,
    ledger::Ledger,
    redis::{Cluster, Options, Sentinel},
    traffic::{Load, Notes, Traffic},
    turn::turn,
};

use crate::churn::{self, Client, Kind, Manners};

const USERS: usize = 100;
const SENDS: usize = 2_000;
/// For a failover on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connected users, and traffic to them.
struct Scene {
    deployment: Deployment,
    ledger: Ledger,
    clients: Vec<Client>,
    traffic: Traffic,
}

impl Scene {
    async fn over(url: String) -> Result<Self> {
        let deployment = Plan::over(url).gateways(2).start().await?;
        let ledger = Ledger::default();
        let users = churn::users(USERS);
        let kinds = [Kind::Device, Kind::Page];
        let client = |(n, user): (usize, &String)| {
            let kind = kinds[n % kinds.len()];
            churn::client(
                &deployment,
                deployment.sockets(),
                &ledger,
                user,
                kind,
                &Manners::CALM,
            )
        };
        let clients: Vec<Client> = users.iter().enumerate().map(client).collect();
        churn::connected(&clients, PATIENCE).await?;
        let pause = Duration::from_millis(200);
        let load = Load {
            users,
            sends: SENDS,
            broadcasts: 10,
            pause,
        };
        let traffic = Traffic::start(deployment.api(), &ledger, &load);
        traffic.reaches(SENDS / 4, PATIENCE).await?;
        Ok(Self {
            deployment,
            ledger,
            clients,
            traffic,
        })
    }

    /// Waits for the traffic's end, and checks that the promise was kept without closing a socket.
    async fn end(self, title: &str) -> Result<()> {
        let notes: Notes = self.traffic.finish().await?;
        let verdict = self.ledger.settled(PATIENCE).await;
        let mut figures = Figures::new(title);
        churn::describe(&mut figures, &self.clients, &notes);
        println!("{figures}{verdict}");
        self.deployment.all_run()?;
        ensure!(
            verdict.is_clean(),
            "{title}: the promise was broken\n{verdict}"
        );
        ensure!(
            verdict.personal == SENDS,
            "{} of {SENDS} were accepted",
            verdict.personal
        );
        let opened: usize = self
            .clients
            .iter()
            .map(|client| client.seen().read(|record| record.opens))
            .sum();
        ensure!(opened == USERS, "{} sockets were closed", opened - USERS);
        for client in self.clients {
            client.close().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_promotes_a_replica() -> Result<()> {
    let _turn = turn().await;
    let mut redis = Sentinel::start(2, 3, &Options::default()).await?;
    let scene = Scene::over(redis.url()).await?;
    let old = redis.kill_primary().await?;
    redis.wait_for_another_primary(old).await?;
    scene.end("failover: Sentinel, the primary killed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_promotes_a_replica_and_moves_a_slot() -> Result<()> {
    let _turn = turn().await;
    let mut redis = Cluster::start(3, 1, &Options::default()).await?;
    let scene = Scene::over(redis.url()).await?;
    let (_, slot) = partition_tags(64)[0];
    redis.move_slot(slot, 1).await?;
    scene.traffic.reaches(SENDS / 2, PATIENCE).await?;
    let old = redis.kill_primary(2).await?;
    redis.wait_for_another_primary(2, old).await?;
    // The replica that was promoted has none of its own, and nothing is accepted on one copy alone.
    redis.revive().await?;
    scene
        .end("failover: Cluster, a slot moved and a primary killed")
        .await
}
