//! Which connections are on a channel, for those who ask.

use std::{collections::BTreeMap, sync::Arc};

use carillon_common::{
    backend::{Device, Member, RollCall},
    ids::UserId,
};

use super::{Channels, Handle};

/// Connections that are told at once, by whole users: as many as a user may have are told beyond it.
const MEMBERS: usize = 1_000;

/// What a gateway tells of a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// Connections on the channel.
    pub connections: u64,
    /// Those of the first users that were asked for.
    pub members: Vec<Member>,
    /// Whether there are users after these.
    pub more: bool,
}

impl Channels {
    /// Who is on a channel here.
    pub(crate) fn present(&self, call: &RollCall) -> Present {
        // Looked at apart, so that nothing waits meanwhile.
        let members = {
            let logs = self.logs.lock();
            let log = logs.get(&call.channel);
            log.map_or(Vec::new(), |log| log.members.clone())
        };
        present(&members, call)
    }
}

fn present(members: &[Arc<Handle>], call: &RollCall) -> Present {
    let most = usize::try_from(call.most).unwrap_or(usize::MAX).max(1);
    let counted = || members.iter().filter(|handle| !handle.user.is_canary());
    let mut first: BTreeMap<&UserId, Vec<&Arc<Handle>>> = BTreeMap::new();
    let mut more = false;
    for handle in counted() {
        let user = &handle.user;
        if call.after.as_ref().is_some_and(|after| user <= after) {
            continue;
        }
        let is_last = |(last, _): (&&UserId, _)| user > *last;
        if first.len() == most && first.last_key_value().is_some_and(is_last) {
            more = true;
            continue;
        }
        first.entry(user).or_default().push(handle);
        if first.len() > most {
            first.pop_last();
            more = true;
        }
    }
    let mut told = Vec::new();
    for (user, mut handles) in first {
        if told.len() >= MEMBERS {
            more = true;
            break;
        }
        handles.sort_unstable_by(|one, other| one.session.cmp(&other.session));
        told.extend(handles.into_iter().map(|handle| Member {
            user: user.clone(),
            session: handle.session.clone(),
            device: match &handle.device {
                Device::Named(name) => Some(name.clone()),
                Device::Anonymous => None,
            },
        }));
    }
    Present {
        connections: counted().count() as u64,
        members: told,
        more,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use carillon_common::protocol::Dialect;

    use super::*;
    use crate::routing::Origin;

    fn handle(user: &str, session: &str) -> Arc<Handle> {
        let device = match session.strip_prefix("of-") {
            Some(device) => Device::Named(device.parse().unwrap()),
            None => Device::Anonymous,
        };
        let origin = Origin {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            dialect: Dialect::V1,
        };
        let (user, session) = (user.parse().unwrap(), session.parse().unwrap());
        Handle::new(user, device, session, origin)
    }

    fn call(after: Option<&str>, most: u32) -> RollCall {
        RollCall {
            channel: "orders".parse().unwrap(),
            after: after.map(|after| after.parse().unwrap()),
            most,
        }
    }

    /// `user/session` of those that are told, and whether there are more.
    fn told(members: &[Arc<Handle>], call: &RollCall) -> (Vec<String>, bool) {
        let present = present(members, call);
        let name = |member: &Member| format!("{}/{}", member.user, member.session);
        (present.members.iter().map(name).collect(), present.more)
    }

    #[test]
    fn users_are_told_in_order_each_with_all_its_connections() {
        let members = [
            ("carol", "c1"),
            ("bob", "of-phone"),
            ("alice", "a2"),
            (UserId::CANARY, "s"),
            ("bob", "b1"),
            ("alice", "a1"),
        ]
        .map(|(user, session)| handle(user, session));
        for (after, most, expected, more) in [
            (None, 9, 0..5, false),
            (None, 1, 0..2, true),
            (None, 2, 0..4, true),
            (Some("alice"), 1, 2..4, true),
            (Some("b"), 2, 2..5, false),
            (Some("carol"), 2, 5..5, false),
        ] {
            let all = ["alice/a1", "alice/a2", "bob/b1", "bob/of-phone", "carol/c1"];
            let (told, there_are) = told(&members, &call(after, most));
            assert_eq!(
                (&told[..], there_are),
                (&all.map(str::to_owned)[expected], more)
            );
        }
        let all = present(&members, &call(None, 9));
        assert_eq!(all.connections, 5);
        let devices: Vec<_> = all.members.iter().map(|it| it.device.is_some()).collect();
        assert_eq!(devices, [false, false, false, true, false]);
    }

    #[test]
    fn an_answer_is_bounded_by_whole_users() {
        let members: Vec<_> = (0..600)
            .flat_map(|user| ["a", "b"].map(|session| handle(&format!("u{user:03}"), session)))
            .collect();
        let (told, more) = told(&members, &call(None, 1_000));
        assert_eq!((told.len(), more), (MEMBERS, true));
        assert_eq!(told[MEMBERS - 1], "u499/b");
    }
}
