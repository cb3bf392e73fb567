//! Memory of idle connections.

use super::*;
use crate::bench::proc;

pub(super) async fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let rig = Rig::start(1, scale.keeps).await?;
    let gateway = rig.gateway().pid();
    let crowd = Crowd::start(Manners::default())?;
    let before = proc::memory(gateway)?;
    let each = || -> Result<f64> {
        let grown = proc::memory(gateway)?.saturating_sub(before);
        Ok(grown as f64 / 1024.0 / scale.idle as f64)
    };
    progress(&format!("{} clients connect", scale.idle));
    crowd.join(seats(0..scale.idle, true), rig.gateway().public());
    crowd
        .tally()
        .until(WELCOMED, scale.idle as u64, SOON)
        .await?;
    let connected = each()?;
    progress(&format!("they rest for {:?}", scale.rest));
    tokio::time::sleep(scale.rest).await;
    let rested = each()?;
    burst_until_heard(&crowd, &rig.dispatcher, &rig.broadcast(), 1, scale.idle).await?;
    let told = each()?;
    let closed = crowd.tally().closed.load(Ordering::Relaxed);
    ensure!(
        closed == 0,
        "{closed} idle connections ended; {}",
        state(crowd.tally())
    );
    let figure = |what, value| {
        Figure::new(
            format!("memory per idle connection, {what}"),
            "KiB",
            vec![value],
        )
    };
    Ok(vec![
        figure("just connected", connected).target(4.0),
        figure("rested", rested).target(4.0),
        figure("after a broadcast", told).target(4.0),
    ])
}
