//! Looks through logs, and for what nobody knows whose it is.

use redis::cmd;

use super::{LogTrace, PIECE, Sought, Tracer, milliseconds};
use crate::{
    backend::redis::{keys::Holds, link::LinkError, wire},
    ids::{ChannelName, Millis, NotificationId, UserId},
    notification::Frame,
};

/// Keys that one step of a search asks for.
const STEP: usize = 512;
/// How far the clock of who made an identity may be from Redis'.
const CLOCKS: Millis = 60_000;

impl Tracer<'_> {
    /// A notification of a channel; none where its log does not hold it.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses.
    pub async fn in_log(
        &self,
        channel: &ChannelName,
        sought: Sought,
    ) -> Result<Option<LogTrace>, LinkError> {
        let partition = self.keys.partition(channel.as_str());
        let key = self.keys.log(channel);
        let mut from = "-".to_owned();
        let mut found = None;
        let mut after = 0;
        loop {
            let mut page = cmd("XRANGE");
            page.arg(&key).arg(&from).arg("+").arg("COUNT").arg(PIECE);
            type Entry = (String, Vec<Vec<u8>>);
            let entries: Vec<Entry> = self.link.call(partition, &page).await?;
            for (_, fields) in &entries {
                // p <the position before> f <the frame>
                let frame = fields
                    .get(3)
                    .and_then(|text| wire::frame(&text.clone().into()));
                match (&found, frame) {
                    (Some(_), _) => after += 1,
                    (None, Some(frame)) if is_sought(&frame, sought) => found = Some(frame),
                    (None, _) => {}
                }
            }
            match entries.last() {
                Some((last, _)) if entries.len() == PIECE => from = format!("({last}"),
                _ => break,
            }
        }
        let Some(frame) = found else { return Ok(None) };
        let time = self.link.call(partition, &cmd("TIME")).await?;
        Ok(Some(LogTrace {
            channel: channel.clone(),
            frame,
            after,
            now: milliseconds(time),
        }))
    }

    /// Looks for an identity through every inbox and log; `tell` hears how many were looked at.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses.
    pub async fn search(
        &self,
        id: NotificationId,
        mut tell: impl FnMut(u64),
    ) -> Result<Option<Holds>, LinkError> {
        let mut looked = 0;
        for primary in self.link.primaries() {
            let mut at = "0".to_owned();
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(&at).arg("MATCH").arg(self.keys.all());
                scan.arg("COUNT").arg(STEP);
                let (next, keys): (String, Vec<String>) = self.link.at(&primary, &scan).await?;
                let holding = keys.iter().filter_map(|key| self.keys.holds(key));
                let (mut inboxes, mut logs) = (Vec::new(), Vec::new());
                for holds in holding {
                    match holds {
                        Holds::Inbox(user) => inboxes.push(user),
                        Holds::Log(channel) => logs.push(channel),
                    }
                }
                looked += (inboxes.len() + logs.len()) as u64;
                for user in self.of_that_time(&inboxes, id).await? {
                    let keys = self.keys.user(&user);
                    if self.by_id(&keys.inbox, keys.partition, id).await?.is_some() {
                        return Ok(Some(Holds::Inbox(user)));
                    }
                }
                for channel in logs {
                    if self.in_log(&channel, Sought::Id(id)).await?.is_some() {
                        return Ok(Some(Holds::Log(channel)));
                    }
                }
                tell(looked);
                at = next;
                if at == "0" {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Those of one primary whose inbox reaches over the time that an identity tells; one that a key gave
    /// tells none, and then it is all of them.
    async fn of_that_time(
        &self,
        users: &[UserId],
        id: NotificationId,
    ) -> Result<Vec<UserId>, LinkError> {
        let (Some(first), Some(time)) = (users.first(), time_of(id)) else {
            return Ok(users.to_vec());
        };
        let mut pipeline = redis::pipe();
        for user in users {
            let inbox = self.keys.user(user).inbox;
            pipeline.cmd("LINDEX").arg(&inbox).arg(0);
            pipeline.cmd("LINDEX").arg(&inbox).arg(-1);
        }
        let partition = self.keys.partition(first.as_str());
        let ends: Vec<Option<Vec<u8>>> = self.ask(partition, &pipeline).await?;
        let stored = |end: &Option<Vec<u8>>| {
            let frame = wire::frame(&end.clone()?.into())?;
            Some(frame.stored_at)
        };
        let reaches = |ends: &[Option<Vec<u8>>]| match (stored(&ends[0]), stored(&ends[1])) {
            (Some(oldest), Some(newest)) => oldest - CLOCKS <= time && time <= newest + CLOCKS,
            // What cannot be read is looked at.
            _ => true,
        };
        let pairs = users.iter().zip(ends.chunks_exact(2));
        Ok(pairs
            .filter(|(_, ends)| reaches(ends))
            .map(|(user, _)| user.clone())
            .collect())
    }
}

fn is_sought(frame: &Frame, sought: Sought) -> bool {
    match sought {
        Sought::Id(id) => frame.id == id,
        Sought::Cursor(cursor) => frame.cursor == cursor,
    }
}

/// When an identity was made, if it tells (UUIDv7).
fn time_of(id: NotificationId) -> Option<Millis> {
    let (seconds, nanoseconds) = (id.get_version_num() == 7)
        .then(|| id.get_timestamp())??
        .to_unix();
    Some(i64::try_from(seconds).ok()? * 1_000 + i64::from(nanoseconds / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_tells_its_time_or_none() {
        let made: NotificationId = "0199a1b2-c3d4-7000-8000-000000000001".parse().unwrap();
        assert_eq!(time_of(made), Some(0x0199_a1b2_c3d4));
        let from_a_key = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, b"alice");
        assert_eq!(time_of(from_a_key), None);
    }
}
