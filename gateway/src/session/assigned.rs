//! The channels that services put the user on: the connection is on them whatever its client asks for.

use carillon_common::{
    backend::Subscription,
    ids::{ChannelName, Cursor},
    protocol::{CloseCode, ErrorCode, ServerFrame},
};

use super::{Out, Session, memberships::Answer};

impl Session {
    /// Goes on one, from where the store says that this device is; from now on where the device is new.
    pub(super) fn join_assigned(&mut self, assigned: Subscription, out: &mut Out) {
        let Subscription { channel, cursor } = assigned;
        if self.channels.get(&channel).is_none() {
            let since = Some(cursor).filter(|cursor| *cursor != Cursor::ZERO);
            let since = self.channel_came_with(&channel).or(since);
            // It is told that it is on it: it has not asked.
            let answer = Answer { reference: None };
            self.join(channel.clone(), since, false, Some(answer), out);
        }
        if let Some(member) = self.channels.get(&channel) {
            member.assigned = true;
        }
    }

    /// The store has said anew which these are.
    pub(super) fn follow_assigned(&mut self, assigned: Vec<Subscription>, out: &mut Out) {
        for channel in self.channels.names(true) {
            if !assigned.iter().any(|it| it.channel == channel) {
                self.taken_off(&channel, out);
            }
        }
        for it in assigned {
            self.join_assigned(it, out);
        }
    }

    /// A service has put the user on a channel.
    pub(super) fn on_assigned(&mut self, assigned: Subscription, out: &mut Out) {
        // The answer that is awaited may be older, or newer. One that is asked for now is not.
        if self.registering {
            self.register_once_more = true;
        } else {
            self.join_assigned(assigned, out);
        }
    }

    /// A service has taken the user off a channel.
    pub(super) fn on_unassigned(&mut self, channel: &ChannelName, out: &mut Out) {
        // The answer that is awaited may put it on the channel again; it comes back and asks anew.
        if self.registering {
            return out.close(CloseCode::Disconnected);
        }
        self.taken_off(channel, out);
    }

    fn taken_off(&mut self, channel: &ChannelName, out: &mut Out) {
        if self.channels.get(channel).is_none() {
            return;
        }
        self.leave(channel, out);
        if self.dialect().tells() {
            out.write(&ServerFrame::Unsubscribed {
                channel,
                reference: None,
                code: Some(ErrorCode::Removed),
            });
        }
    }
}
