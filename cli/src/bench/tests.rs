//! The load generator against both services in this process, over the in-memory store.

use std::{net::SocketAddr, time::Duration};

use carillon_client::{Api, gateway_url};
use carillon_common::{http::listen, process::Shutdown, settings::Settings};

use super::{LoadPlan, run};
use crate::{commands::Services, dev::Dev};

/// Runs a plan that `adapt` makes, against services with the credentials of `--dev`.
async fn report(adapt: impl FnOnce(&mut LoadPlan)) -> super::report::Report {
    let mut settings = Settings::default();
    let dev = Dev::prepare(&mut settings);
    settings.gateway.handshake_rate = 100_000;
    settings.gateway.handshake_burst = 100_000;
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let (listener, admin_listener) = (listen(any).unwrap(), listen(any).unwrap());
    let address = listener.local_addr().unwrap();
    let services = Services::of(settings).await;
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(services.run(listener, admin_listener, shutdown.clone()));

    let mut plan = LoadPlan {
        name: "test",
        urls: vec![gateway_url(&format!("ws://{address}")).unwrap()],
        api: Api::new(
            &format!("http://{address}"),
            dev.key.clone(),
            Duration::from_secs(10),
        )
        .unwrap(),
        issuer: dev.issuer.clone(),
        users: 5,
        devices: 2,
        rate: 1000.0,
        sends: 100,
        fanout: false,
        broadcast_every: 10,
        stay: None,
        size: 10,
        settle: Duration::from_secs(30),
        progress: false,
    };
    adapt(&mut plan);
    let report = run(plan).await.unwrap();
    shutdown.begin();
    serving.await.unwrap().unwrap();
    report
}

#[tokio::test]
async fn a_ledger_over_the_real_services_is_whole() {
    let report = report(|_| {}).await;
    assert!(report.kept, "{}", report.json());
    // 90 sends to two devices each, 10 broadcasts to ten.
    assert_eq!(
        (report.verdict.accepted, report.verdict.expected),
        (100, 280)
    );
    assert_eq!(report.delivery.unwrap().count, 280);
}

#[tokio::test]
async fn a_ledger_under_churn_is_whole() {
    let stay = Duration::from_millis(5)..=Duration::from_millis(40);
    let report = report(|plan| plan.stay = Some(stay)).await;
    assert!(report.kept, "{}", report.json());
    assert!(report.reconnects > 0, "nothing was cut");
}

#[tokio::test]
async fn a_fanout_reaches_every_member() {
    let report = report(|plan| {
        plan.fanout = true;
        plan.broadcast_every = 0;
        plan.sends = 20;
    })
    .await;
    assert!(report.kept, "{}", report.json());
    assert_eq!(report.verdict.received, 200);
}
