//! What gateways answer about a channel, put together: pure.

use std::collections::BTreeMap;

use carillon_common::{
    backend::Roll,
    ids::{DeviceId, GatewayId, SessionId, UserId},
};

/// Who is on a channel, on all gateways that have answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Connections on the channel, all of them.
    pub(crate) connections: u64,
    /// The first users, and where they are.
    pub(crate) users: Vec<(UserId, Vec<Place>)>,
    /// After whom there are more.
    pub(crate) next: Option<UserId>,
}

/// One connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) session: SessionId,
    pub(crate) device: Option<DeviceId>,
    pub(crate) gateway: GatewayId,
}

/// The first `most` users of all answers. Of a gateway that has more to tell nothing is known after the last user that
/// it told, so what the others tell beyond is left for the next question.
pub(crate) fn merged(rolls: Vec<Roll>, most: usize) -> Merged {
    let connections = rolls.iter().map(|roll| roll.connections).sum();
    let last = |roll: &Roll| roll.members.last().map(|member| member.user.clone());
    let unfinished = rolls.iter().filter(|roll| roll.more);
    let known_up_to = unfinished.filter_map(last).min();
    let mut more = rolls.iter().any(|roll| roll.more);
    let mut by_user: BTreeMap<UserId, Vec<Place>> = BTreeMap::new();
    for roll in rolls {
        for member in roll.members {
            if known_up_to
                .as_ref()
                .is_some_and(|known| member.user > *known)
            {
                continue;
            }
            by_user.entry(member.user).or_default().push(Place {
                session: member.session,
                device: member.device,
                gateway: roll.gateway.clone(),
            });
        }
    }
    more |= by_user.len() > most;
    let users: Vec<_> = by_user.into_iter().take(most).collect();
    let next = users.last().filter(|_| more).map(|(user, _)| user.clone());
    Merged {
        connections,
        users,
        next,
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::backend::Member;

    use super::*;

    fn roll(gateway: &str, users: &[&str], more: bool) -> Roll {
        let member = |user: &&str| Member {
            user: user.parse().unwrap(),
            session: format!("of-{user}").parse().unwrap(),
            device: None,
        };
        Roll {
            gateway: gateway.parse().unwrap(),
            connections: users.len() as u64 + u64::from(more) * 10,
            members: users.iter().map(member).collect(),
            more,
        }
    }

    /// The users, the gateways of each, and after whom there are more.
    fn put_together(rolls: Vec<Roll>, most: usize) -> (String, Option<String>) {
        let merged = merged(rolls, most);
        let told = merged.users.iter().map(|(user, places)| {
            let gateways: Vec<_> = places.iter().map(|it| it.gateway.as_str()).collect();
            format!("{user}@{}", gateways.join("+"))
        });
        let told = told.collect::<Vec<_>>().join(" ");
        (told, merged.next.map(|next| next.to_string()))
    }

    #[test]
    fn users_of_several_gateways_are_put_together() {
        let rolls = || {
            vec![
                roll("g1", &["alice", "carol"], false),
                roll("g2", &["bob", "carol"], false),
                roll("g3", &[], false),
            ]
        };
        for (most, expected, next) in [
            (9, "alice@g1 bob@g2 carol@g1+g2", None),
            (3, "alice@g1 bob@g2 carol@g1+g2", None),
            (2, "alice@g1 bob@g2", Some("bob")),
        ] {
            let (told, after) = put_together(rolls(), most);
            assert_eq!((&*told, after.as_deref()), (expected, next));
        }
        assert_eq!(merged(rolls(), 1).connections, 4);
        assert_eq!(put_together(Vec::new(), 9), (String::new(), None));
    }

    #[test]
    fn beyond_what_a_gateway_has_told_nothing_is_known() {
        let rolls = vec![
            roll("g1", &["alice", "bob"], true),
            roll("g2", &["anna", "carol", "dave"], true),
            roll("g3", &["zoe"], false),
        ];
        let connections = merged(rolls.clone(), 9).connections;
        assert_eq!(connections, 12 + 13 + 1);
        let expected = "alice@g1 anna@g2 bob@g1".to_owned();
        assert_eq!(put_together(rolls, 9), (expected, Some("bob".to_owned())));
    }
}
