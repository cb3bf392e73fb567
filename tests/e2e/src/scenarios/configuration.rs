//! Settings: who restarts because of one.

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;

use crate::stage::Stage;

pub(super) async fn of_one_service(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let pods = &deployment.pods;
    let (gateways, dispatchers) = (
        pods.identities("gateway").await?,
        pods.identities("dispatcher").await?,
    );

    deployment
        .upgrade(&["config.socket.ping_interval=21s"])
        .await?;
    ensure!(
        pods.identities("dispatcher").await? == dispatchers,
        "a socket's setting restarted dispatchers"
    );
    let moved = pods.identities("gateway").await?;
    ensure!(
        moved.keys().all(|name| !gateways.contains_key(name)),
        "gateways kept the old setting"
    );

    deployment
        .upgrade(&[
            "config.socket.ping_interval=21s",
            "config.dispatcher.body_bytes=70000",
        ])
        .await?;
    ensure!(
        pods.identities("gateway").await? == moved,
        "a dispatcher's setting restarted gateways"
    );
    let changed = pods.identities("dispatcher").await?;
    ensure!(
        changed.keys().all(|name| !dispatchers.contains_key(name)),
        "dispatchers kept the old setting"
    );

    // A Secret of keys is outside of every checksum.
    let patch = r#"{"stringData":{"other.toml":"[[api_keys]]\nname = \"other\"\nhash = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\nscopes = [\"read\"]\n"}}"#;
    deployment
        .kubectl(&["patch", "secret", "carillon-auth", "--patch", patch])
        .await?;
    deployment
        .upgrade(&[
            "config.socket.ping_interval=21s",
            "config.dispatcher.body_bytes=70000",
        ])
        .await?;
    let same = pods.identities("gateway").await? == moved
        && pods.identities("dispatcher").await? == changed;
    ensure!(same, "a new API key restarted pods");

    let mut figures = Figures::new("settings");
    figures.row("gateways replaced by a gateway's setting", moved.len());
    figures.row(
        "dispatchers replaced by a dispatcher's setting",
        changed.len(),
    );
    figures.row("pods replaced by a new API key", 0);
    Ok(figures)
}
