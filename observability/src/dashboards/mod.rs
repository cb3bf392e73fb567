//! The dashboards, one file each.
#![expect(clippy::too_many_lines, reason = "a dashboard is one long table")]

mod capacity;
mod connections;
mod delivery;
mod dispatchers;
mod overview;
mod redis;
mod rollout;
mod runtime;

use crate::dashboard::Dashboard;

/// Each, by the name of its file.
pub(crate) fn all() -> Vec<(&'static str, Dashboard)> {
    let all = [
        overview::dashboard(),
        connections::dashboard(),
        delivery::dashboard(),
        dispatchers::dashboard(),
        redis::dashboard(),
        rollout::dashboard(),
        capacity::dashboard(),
        runtime::dashboard(),
    ];
    all.into_iter().map(|it| (it.name, it)).collect()
}
