//! Time of each function of Redis, with everything at its limit.

use super::*;
use crate::costs;

/// Redis does nothing else meanwhile, for anybody.
const MOST_MICROS: f64 = 1_000.0;

pub(super) async fn run() -> Result<Vec<Figure>> {
    progress("a user and a channel are filled to their limits");
    let costs = costs::measure().await?;
    let figure = |(function, micros): (&str, u64)| {
        let name = format!("{function}, everything at its limit");
        Figure::new(name, "µs", vec![micros as f64]).target(MOST_MICROS)
    };
    Ok(costs::worst(&costs).into_iter().map(figure).collect())
}
