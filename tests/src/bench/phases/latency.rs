//! From REST to the socket, at half of the saturation rate.

use super::send::CALLERS;
use super::*;
use crate::bench::figures::percentile;

/// Of whom nobody measured the saturation.
const RATE_UNKNOWN: f64 = 1_000.0;

pub(super) async fn run(scale: &Scale, saturation: Option<f64>) -> Result<Vec<Figure>> {
    let rate = (saturation.unwrap_or(RATE_UNKNOWN) / 2.0).max(50.0);
    let start = Instant::now();
    let manners = Manners {
        acks: true,
        times: Some(start),
        ..Manners::default()
    };
    let (rig, crowd) = online(scale, scale.users, manners).await?;
    let floor = rig::floor(Some(rig.redis.addr())).await?;
    let subscribers = Crowd::start(Manners {
        times: Some(start),
        ..Manners::default()
    })?;
    subscribers.join(seats(0..scale.users, false), floor.public());
    subscribers
        .tally()
        .until(WELCOMED, scale.users as u64, SOON)
        .await?;
    let rig = std::sync::Arc::new(rig);

    let mut values = [const { Vec::new() }; 5];
    for repetition in 1..=scale.repetitions {
        progress(&format!(
            "latency {repetition} of {} at {rate:.0} sends/s",
            scale.repetitions
        ));
        let mut base = watch(&rig, &subscribers, &floor, scale, rate, start).await?;
        let mut ours = watch(&rig, &crowd, &rig.dispatcher, scale, rate, start).await?;
        let floor_p99 = percentile(&mut base, 0.99);
        let p99 = percentile(&mut ours, 0.99);
        let all = [
            percentile(&mut base, 0.5),
            floor_p99,
            percentile(&mut ours, 0.5),
            p99,
            p99 / floor_p99,
        ];
        values
            .iter_mut()
            .zip(all)
            .for_each(|(values, value)| values.push(value));
    }
    let [floor_p50, floor_p99, p50, p99, ratio] = values;
    Ok(vec![
        Figure::new("floor, REST to socket, p50", "ms", floor_p50),
        Figure::new("floor, REST to socket, p99", "ms", floor_p99),
        Figure::new("REST to socket, p50", "ms", p50),
        Figure::new("REST to socket, p99", "ms", p99),
        Figure::ratio("REST to socket, p99", ratio).target(10.0),
    ])
}

/// The time from when each request was due to its notification's arrival.
async fn watch(
    rig: &std::sync::Arc<Rig>,
    crowd: &Crowd,
    server: &Process,
    scale: &Scale,
    rate: f64,
    start: Instant,
) -> Result<Vec<Duration>> {
    let heard = crowd.tally().notifications.load(Ordering::Relaxed);
    drop(crowd.tally().take_latencies());
    let users = scale.users;
    let maker = rig.clone();
    let request = move |number: u64, when: Duration| {
        maker.send(
            &rig::name(number as usize % users),
            &when.as_nanos().to_string(),
        )
    };
    let pace = Pace::Open {
        rate,
        lasting: scale.watch,
    };
    let outcome = load(server, CALLERS, pace, start, request).await?;
    ensure!(outcome.refused == 0, "sends were refused: {outcome:?}");
    crowd
        .tally()
        .until(NOTIFICATIONS, heard + outcome.accepted, SOON)
        .await?;
    Ok(crowd.tally().take_latencies())
}
