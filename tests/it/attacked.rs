//! Whatever one does, others are served: every attack of `make attack`, in short.

use std::time::Duration;

use anyhow::{Context, Result};
use carillon_tests::attack::{self, ATTACKS};
use carillon_tests::bench::rig::Rig;
use carillon_tests::turn::turn;

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_meanwhile() -> Result<()> {
    let _turn = turn().await;
    for attack in &ATTACKS {
        let rig = Rig::as_deployed().await?;
        let outcome = attack::run(&rig, Some(attack), Duration::from_secs(2)).await?;
        outcome.check().context(attack.name)?;
    }
    Ok(())
}
