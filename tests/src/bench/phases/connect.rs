//! Gateway CPU of a connection's start: token, presence, an empty inbox.

use super::*;

pub(super) async fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let rig = Rig::start(1, scale.keeps).await?;
    let gateway = rig.gateway();
    let mut meter = Meter::start(&[gateway.pid(), rig.redis_pid], scale.idle_watch()).await?;
    let (mut costs, mut redis) = (Vec::new(), Vec::new());
    let (mut ratios, mut accepts) = (Vec::new(), Vec::new());
    let mut crowds = Vec::new();
    for repetition in 0..scale.repetitions {
        progress(&format!(
            "connect {} of {}",
            repetition + 1,
            scale.repetitions
        ));
        let floor = floor_cost(scale).await?;
        let crowd = Crowd::start(Manners::default())?;
        let users = repetition * scale.connects..(repetition + 1) * scale.connects;
        let clients = seats(users, true);
        meter.again()?;
        crowd.join(clients, gateway.public());
        crowd
            .tally()
            .until(WELCOMED, scale.connects as u64, SOON)
            .await?;
        let used = meter.read()?;
        let each = used[0] / scale.connects as f64;
        costs.push(each * 1e6);
        redis.push(used[1] / scale.connects as f64 * 1e6);
        ratios.push(each / floor.send);
        accepts.push(floor.accept * 1e6);
        // They stay, so that nobody's leaving is measured with the next ones' coming.
        crowds.push(crowd);
    }
    Ok(vec![
        Figure::new("floor, one accept and 101", "µs", accepts),
        Figure::new("connect, gateway", "µs", costs),
        Figure::new("connect, Redis", "µs", redis),
        Figure::ratio("connect, gateway", ratios).target(15.0),
    ])
}
