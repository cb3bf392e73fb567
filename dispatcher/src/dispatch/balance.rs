//! Which gateways have more than their share, and how many they are to hold. No IO, no clock.

use carillon_common::{backend::LiveGateway, ids::GatewayId};
use serde::Serialize;
use utoipa::ToSchema;

/// A gateway may hold so much more than the mean, in percent, before it is asked to move any:
/// clients come and go, and each that moves has to connect anew.
const TOLERATED: u64 = 10;

/// A gateway that has too many, and how many of them are to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Excess {
    /// Its name in the deployment.
    #[schema(value_type = crate::contract::GatewayName)]
    pub(crate) id: GatewayId,
    /// How many users have a connection there.
    pub(crate) users: u64,
    /// How many of them are above the mean, with all their connections there.
    pub(crate) to_move: u64,
}

impl Excess {
    /// How many users may stay.
    pub(crate) fn target(&self) -> u64 {
        self.users - self.to_move
    }
}

/// What each gateway above the tolerated number has more than the mean, rounded down. One that drains
/// takes no part, but its users do: they are about to be on the others.
pub(crate) fn excesses(live: &[LiveGateway]) -> Vec<Excess> {
    let total: u64 = live.iter().map(|gateway| gateway.users).sum();
    let stay = || live.iter().filter(|gateway| !gateway.draining);
    let count = stay().count() as u64;
    let is_tolerated = |users: u64| users * count * 100 <= total * (100 + TOLERATED);
    let excess = |gateway: &LiveGateway| Excess {
        id: gateway.name.clone(),
        users: gateway.users,
        to_move: gateway.users.saturating_sub(total.div_ceil(count)),
    };
    stay()
        .filter(|gateway| !is_tolerated(gateway.users))
        .map(excess)
        .filter(|excess| excess.to_move > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways with so many users.
    fn live(users: &[u64]) -> Vec<LiveGateway> {
        let live = |(at, users): (usize, &u64)| LiveGateway {
            name: format!("g{at}").parse().unwrap(),
            generation: 1,
            users: *users,
            draining: false,
            accepting: true,
            about: None,
        };
        users.iter().enumerate().map(live).collect()
    }

    /// What these gateways are to move, by their place.
    #[track_caller]
    fn check_live(live: &[LiveGateway], expected: &[(usize, u64)]) {
        let expected: Vec<Excess> = expected
            .iter()
            .map(|(at, to_move)| Excess {
                id: live[*at].name.clone(),
                users: live[*at].users,
                to_move: *to_move,
            })
            .collect();
        assert_eq!(excesses(live), expected, "{live:?}");
    }

    #[track_caller]
    fn check(users: &[u64], expected: &[(usize, u64)]) {
        check_live(&live(users), expected);
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
        // Half a user is none.
        check(&[1, 0], &[]);
        check(&[3, 2], &[]);
    }

    #[test]
    fn what_may_stay_is_the_mean_rounded_up() {
        for (users, mean) in [
            (&[40, 0][..], 20),
            (&[10, 0, 0], 4),
            (&[900, 310, 0, 0], 303),
        ] {
            assert_eq!(excesses(&live(users))[0].target(), mean);
        }
    }

    #[test]
    fn one_that_drains_gives_what_it_has_and_takes_nothing() {
        let mut all = live(&[40, 0, 20]);
        check_live(&all, &[(0, 20)]);
        all[2].draining = true;
        check_live(&all, &[(0, 10)]);
        all[1].draining = true;
        check_live(&all, &[]);
        all[0].draining = true;
        check_live(&all, &[]);
        let mut all = live(&[40, 0, 0]);
        all[2].draining = true;
        check_live(&all, &[(0, 20)]);
    }
}
