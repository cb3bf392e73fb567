//! Which gateways have more than their share, and what they are to move. No IO, no clock.

use carillon_common::{backend::LiveGateway, ids::GatewayId};
use serde::Serialize;

/// A gateway may hold so much more than the mean, in percent, before it is asked to move any:
/// clients come and go, and each that moves has to connect anew.
const TOLERATED: u64 = 10;

/// A gateway that has too many, and what it is to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Excess {
    /// Its name in the deployment.
    pub(crate) id: GatewayId,
    /// How many users have a connection there.
    pub(crate) users: u64,
    /// How many connections are to move: one for each user above the mean.
    pub(crate) connections: u64,
}

/// What each gateway above the tolerated number has more than the mean, rounded down.
pub(crate) fn excesses(live: &[LiveGateway]) -> Vec<Excess> {
    let count = live.len() as u64;
    let total: u64 = live.iter().map(|gateway| gateway.users).sum();
    let is_tolerated = |users: u64| users * count * 100 <= total * (100 + TOLERATED);
    let excess = |gateway: &LiveGateway| Excess {
        id: gateway.name.clone(),
        users: gateway.users,
        connections: gateway.users.saturating_sub(total.div_ceil(count)),
    };
    live.iter()
        .filter(|gateway| !is_tolerated(gateway.users))
        .map(excess)
        .filter(|excess| excess.connections > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gateways with so many users are to move, by their place.
    #[track_caller]
    fn check(users: &[u64], expected: &[(usize, u64)]) {
        let live: Vec<LiveGateway> = users
            .iter()
            .enumerate()
            .map(|(at, users)| LiveGateway {
                name: format!("g{at}").parse().unwrap(),
                generation: 1,
                users: *users,
            })
            .collect();
        let expected: Vec<Excess> = expected
            .iter()
            .map(|(at, connections)| Excess {
                id: live[*at].name.clone(),
                users: users[*at],
                connections: *connections,
            })
            .collect();
        assert_eq!(excesses(&live), expected, "{users:?}");
    }

    #[test]
    fn nothing_moves_where_there_is_nowhere_to_go() {
        check(&[], &[]);
        check(&[0], &[]);
        check(&[20_000], &[]);
        check(&[0, 0, 0], &[]);
    }

    #[test]
    fn nothing_moves_between_equals_or_near_equals() {
        check(&[500, 500, 500], &[]);
        // The mean is 100: 110 is tolerated, 111 is not.
        check(&[110, 90], &[]);
        check(&[111, 89], &[(0, 11)]);
    }

    #[test]
    fn a_new_gateway_gets_its_share_from_all() {
        check(&[40, 0], &[(0, 20)]);
        check(&[400, 400, 400, 0], &[(0, 100), (1, 100), (2, 100)]);
        check(&[900, 310, 0, 0], &[(0, 597)]);
    }

    #[test]
    fn what_is_above_the_mean_is_rounded_down() {
        // A mean of 3⅓: 6⅔ and 1⅔ above it.
        check(&[10, 0, 0], &[(0, 6)]);
        check(&[5, 5, 0], &[(0, 1), (1, 1)]);
        // Half a connection is none.
        check(&[1, 0], &[]);
        check(&[3, 2], &[]);
    }
}
