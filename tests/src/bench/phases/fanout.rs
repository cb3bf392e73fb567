//! Gateway CPU of a broadcast, per delivery.

use super::*;

/// Broadcasts that wait for one socket together.
const BURST: u64 = 10;

pub(super) async fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Values::default();
    let (rig, crowd) = online(scale, scale.receivers, Manners::default()).await?;
    let broadcast = rig.broadcast();
    let mut meter = Meter::start(&[rig.gateway().pid()], scale.idle_watch()).await?;
    burst_until_heard(&crowd, &rig.dispatcher, &broadcast, 1, scale.receivers).await?;
    for repetition in 1..=scale.repetitions {
        progress(&format!("fan-out {repetition} of {}", scale.repetitions));
        let floor = floor_cost(scale).await?;
        meter.again()?;
        for _ in 0..scale.broadcasts {
            burst_until_heard(&crowd, &rig.dispatcher, &broadcast, 1, scale.receivers).await?;
        }
        let deliveries = (scale.broadcasts * scale.receivers as u64) as f64;
        let single = meter.read()?[0] / deliveries;
        meter.again()?;
        let bursts = scale.broadcasts.div_ceil(BURST).max(2);
        for _ in 0..bursts {
            burst_until_heard(&crowd, &rig.dispatcher, &broadcast, BURST, scale.receivers).await?;
        }
        let burst = meter.read()?[0] / (bursts * BURST * scale.receivers as u64) as f64;
        figures.note(floor, single, burst);
    }
    Ok(figures.figures(scale))
}

#[derive(Default)]
struct Values {
    floor: Vec<f64>,
    single: Vec<f64>,
    burst: Vec<f64>,
    single_ratio: Vec<f64>,
    burst_ratio: Vec<f64>,
}

impl Values {
    fn note(&mut self, floor: FloorCost, single: f64, burst: f64) {
        self.floor.push(floor.send * 1e6);
        self.single.push(single * 1e6);
        self.burst.push(burst * 1e6);
        self.single_ratio.push(single / floor.send);
        self.burst_ratio.push(burst / floor.send);
    }

    fn figures(self, scale: &Scale) -> Vec<Figure> {
        let to = scale.receivers;
        vec![
            Figure::new(format!("floor, one send(2) to {to}"), "µs", self.floor),
            Figure::new(format!("fan-out to {to}, each delivery"), "µs", self.single),
            Figure::ratio(format!("fan-out to {to}"), self.single_ratio).target(1.15),
            Figure::new(
                format!("{BURST} broadcasts at once, each delivery"),
                "µs",
                self.burst,
            ),
            Figure::ratio(format!("{BURST} broadcasts at once"), self.burst_ratio).target(1.0),
        ]
    }
}
