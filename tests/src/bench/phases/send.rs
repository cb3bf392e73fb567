//! What a send to an online user takes: Redis calls, and CPU of each process.

use super::*;

/// The figure that tells the saturation rate.
pub(super) const RATE: &str = "send, 32 callers";
/// Keep-alive connections.
pub(super) const CALLERS: usize = 32;

pub(super) async fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = calls(scale).await?;
    let manners = Manners {
        acks: true,
        ..Manners::default()
    };
    let (rig, crowd) = online(scale, scale.users, manners).await?;
    let pids = [rig.dispatcher.pid(), rig.redis_pid, rig.gateway().pid()];
    let mut meter = Meter::start(&pids, scale.idle_watch()).await?;
    send(&rig, &crowd, scale, scale.sends / 4).await?;
    let mut values = [const { Vec::new() }; 4];
    let mut ratios = [const { Vec::new() }; 4];
    let mut rates = Vec::new();
    for repetition in 1..=scale.repetitions {
        progress(&format!("send {repetition} of {}", scale.repetitions));
        let floor = floor_cost(scale).await?;
        meter.again()?;
        let outcome = send(&rig, &crowd, scale, scale.sends).await?;
        let used = meter.read()?;
        rates.push(outcome.rate());
        let all = used.iter().sum();
        for (at, seconds) in used.into_iter().chain([all]).enumerate() {
            let each = seconds / scale.sends as f64;
            values[at].push(each * 1e6);
            ratios[at].push(each / floor.send);
        }
    }
    let names = ["dispatcher", "Redis", "gateway", "all three"];
    let targets = [Some(6.0), None, None, Some(10.0)];
    figures.push(Figure::new(RATE, "sends/s", rates));
    for (name, values) in names.iter().zip(values) {
        figures.push(Figure::new(format!("send, {name}"), "µs", values));
    }
    for ((name, ratios), target) in names.iter().zip(ratios).zip(targets) {
        let mut figure = Figure::ratio(format!("send, {name}"), ratios);
        figure.target = target;
        figures.push(figure);
    }
    Ok(figures)
}

/// Sends to each user in turn and waits until all have arrived.
async fn send(rig: &Rig, crowd: &Crowd, scale: &Scale, count: u64) -> Result<Outcome> {
    let heard = crowd.tally().notifications.load(Ordering::Relaxed);
    let requests: Vec<_> = (0..scale.users)
        .map(|user| rig.send(&rig::name(user), "on its way"))
        .collect();
    let request = move |number: u64, _| requests[number as usize % requests.len()].clone();
    let pace = Pace::Closed { requests: count };
    let outcome = load(&rig.dispatcher, CALLERS, pace, Instant::now(), request).await?;
    ensure!(outcome.refused == 0, "sends were refused: {outcome:?}");
    crowd
        .tally()
        .until(NOTIFICATIONS, heard + count, SOON)
        .await?;
    Ok(outcome)
}

/// Redis' own count, while nobody acks.
async fn calls(scale: &Scale) -> Result<Vec<Figure>> {
    progress("Redis' calls");
    let (rig, crowd) = online(scale, scale.users, Manners::default()).await?;
    let count = |commands: &[(String, u64)]| {
        let called = |(name, calls): &(String, u64)| (name == "fcall").then_some(*calls);
        let round_trips: u64 = commands.iter().filter_map(called).sum();
        let all: u64 = commands.iter().map(|(_, calls)| calls).sum();
        (round_trips as f64, all as f64)
    };
    let before = count(&rig.commands().await?);
    send(&rig, &crowd, scale, scale.sends / 4).await?;
    let after = count(&rig.commands().await?);
    let sends = (scale.sends / 4) as f64;
    let round_trips = (after.0 - before.0) / sends;
    let all = (after.1 - before.1) / sends;
    Ok(vec![
        Figure::new("send, calls of Redis", "calls", vec![round_trips]).target(1.1),
        Figure::new(
            "send, commands inside of the call",
            "commands",
            vec![all - round_trips],
        ),
    ])
}
