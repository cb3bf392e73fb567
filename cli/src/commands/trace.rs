//! `carillon trace`

use std::process::ExitCode;

use carillon_common::{
    backend::{
        Device, Presence,
        redis::{
            keys::Holds,
            link::LinkError,
            trace::{
                DeviceTrace, Fate, InboxTrace, LogTrace, RecordName, Sought, Standing, Tracer,
            },
        },
    },
    ids::{ChannelName, Cursor, NotificationId, UserId},
    notification::{Frame, rfc3339},
};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    input::text,
    store::{StoreArgs, link, link_failure},
    terminal::{Progress, Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon trace 0199a1b2-c3d4-7000-8000-000000000001 --user alice --backend redis://redis:6379
  carillon trace 1767225600123-829 --user alice --config carillon.toml
  carillon trace 0199a1b2-c3d4-7000-8000-000000000001 --channel orders --json
  carillon trace 0199a1b2-c3d4-7000-8000-000000000001

Says where a notification is, from what Redis holds, and changes nothing. Without --user and --channel it
looks through every inbox and log: that reads the whole key space, a piece at a time.

Redis keeps a position for each device, not a history: that a device's acks have passed a notification is
known, and when is not. What a gateway wrote to a socket, and whether an application showed it, is in no
store. An id that every device has acked is forgotten after inbox.keep newer ones, and a broadcast after
channels.broadcast_ttl; then the cursor of the answer to the send still tells what became of it.

Exit code 1 when it is not found.";

/// Say where a notification is: stored, acknowledged, passed over or expired
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Trace {
    /// Its id, or its cursor, as the answer to the send has them
    #[arg(value_name = "ID", value_parser = sought)]
    sought: Sought,
    /// For whom it was; needed with a cursor
    #[arg(long, value_name = "USER", allow_hyphen_values = true)]
    user: Option<UserId>,
    /// The channel that it was published to; `*` for broadcasts
    #[arg(long, value_name = "CHANNEL", conflicts_with = "user", value_parser = channel, allow_hyphen_values = true)]
    channel: Option<ChannelName>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn sought(given: &str) -> Result<Sought, String> {
    if let Ok(id) = given.parse::<NotificationId>() {
        return Ok(Sought::Id(id));
    }
    let cursor = given.parse::<Cursor>().map(Sought::Cursor);
    cursor.map_err(|_| {
        "is neither an id (0199a1b2-c3d4-7000-8000-000000000001) nor a cursor (1767225600123-829)"
            .to_owned()
    })
}

fn channel(given: &str) -> Result<ChannelName, String> {
    ChannelName::new(&text(given)?).map_err(|error| error.to_string())
}

/// What was found.
enum Found {
    Inbox(InboxTrace),
    Log(LogTrace),
}

impl Trace {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let nowhere = self.user.is_none() && self.channel.is_none();
        if matches!(self.sought, Sought::Cursor(_)) && nowhere {
            return Err(Failure::Usage(
                "a cursor is a position of one user or channel: name it with --user or --channel"
                    .to_owned(),
            ));
        }
        let (link, options) = link(&self.store.settings()?).await?;
        let tracer = Tracer::new(&link, &options.prefix);
        let found = self.find(&tracer).await.map_err(link_failure)?;
        match &found {
            Some(Found::Inbox(trace)) if self.json => say(&inbox_object(trace).to_string())?,
            Some(Found::Log(trace)) if self.json => say(&log_object(trace).to_string())?,
            Some(Found::Inbox(trace)) => say(&inbox_lines(trace, Style::stdout()).join("\n"))?,
            Some(Found::Log(trace)) => say(&log_lines(trace, Style::stdout()).join("\n"))?,
            None if self.json => say(&json!({"found": false}).to_string())?,
            None => say(&not_found(self.user.as_ref(), self.channel.as_ref()))?,
        }
        Ok(ExitCode::from(u8::from(found.is_none())))
    }

    async fn find(&self, tracer: &Tracer<'_>) -> Result<Option<Found>, LinkError> {
        let holds = match (&self.user, &self.channel, self.sought) {
            (Some(user), _, _) => Some(Holds::Inbox(user.clone())),
            (_, Some(channel), _) => Some(Holds::Log(channel.clone())),
            (None, None, Sought::Id(id)) => {
                let progress = Progress::new(true);
                let told = |looked| progress.show(&format!("{looked} inboxes and logs"));
                tracer.search(id, told).await?
            }
            (None, None, Sought::Cursor(_)) => None,
        };
        Ok(match holds {
            Some(Holds::Inbox(user)) => {
                let found = tracer.in_inbox(&user, self.sought).await?;
                found.map(Found::Inbox)
            }
            Some(Holds::Log(channel)) => {
                tracer.in_log(&channel, self.sought).await?.map(Found::Log)
            }
            None => None,
        })
    }
}

fn not_found(user: Option<&UserId>, channel: Option<&ChannelName>) -> String {
    let place = match (user, channel) {
        (Some(user), _) => format!("the inbox of {}", shown(user.as_str())),
        (_, Some(channel)) => format!("the log of {channel}"),
        (None, None) => "any inbox or log".to_owned(),
    };
    format!(
        "not in {place}: it was never accepted here, was sent with ttl 0, or is forgotten since every device \
         has it; with its cursor (`carillon trace CURSOR --user USER`) more may be known"
    )
}

fn inbox_lines(trace: &InboxTrace, style: Style) -> Vec<String> {
    let user = style.bold(&shown(trace.user.as_str()));
    let mut lines = vec![format!("{} of {user}", trace.cursor)];
    match &trace.standing {
        Standing::Kept(frame, after) => {
            lines.push(stored(frame, trace.now));
            let newer = match after {
                0 => "the newest of the inbox".to_owned(),
                1 => "1 newer one after it".to_owned(),
                count => format!("{count} newer ones after it"),
            };
            lines.push(format!("  {:<10} {newer}", "inbox"));
        }
        standing => lines.push(format!("  {:<10} {}", "inbox", gone(standing))),
    }
    if let Some(note) = &trace.left {
        lines.push(format!(
            "  {:<10} {}, for whoever had not read it",
            left(&note.reason),
            rfc3339(note.at)
        ));
    }
    if trace.devices.is_empty() {
        lines.push("  no device of the user is known: nobody has ever connected".to_owned());
    }
    for device in &trace.devices {
        lines.push(device_line(device, style));
    }
    if trace.notes_are_full {
        lines.push(style.dim(
            "  only the newest 256 positions that expired or were passed over are noted; of older ones a \
             device that has acked since looks as if it had this one",
        ));
    }
    lines
}

/// `  stored     2026-01-01T00:00:00.000Z, 123 bytes; expires …`
fn stored(frame: &Frame, now: i64) -> String {
    let body = match (frame.tombstone, frame.is_loss()) {
        (_, true) => "a mark: Redis lost what stood here".to_owned(),
        (true, false) => "its content is gone".to_owned(),
        (false, false) => format!("{} bytes, id {}", frame.body.len(), frame.id),
    };
    let expiry = match (frame.tombstone, frame.expires_at <= now) {
        (true, _) => String::new(),
        (false, true) => format!("; expired {}", rfc3339(frame.expires_at)),
        (false, false) => format!("; expires {}", rfc3339(frame.expires_at)),
    };
    format!(
        "  {:<10} {}, {body}{expiry}",
        "stored",
        rfc3339(frame.stored_at)
    )
}

fn gone(standing: &Standing) -> String {
    match standing {
        Standing::Kept(..) => String::new(),
        Standing::Trimmed => {
            "no longer kept: every device that counts is past it, or it expired".to_owned()
        }
        Standing::Replaced(there) => format!(
            "another one, {there}, stands at its number: Redis lost the history that it belonged to"
        ),
        Standing::Beyond => "ends before it: it was never stored here, or Redis lost it".to_owned(),
    }
}

/// `dropped` is the store's word for a full inbox.
fn left(reason: &str) -> String {
    match reason {
        "dropped" => "passed over".to_owned(),
        reason => shown(reason),
    }
}

fn device_line(device: &DeviceTrace, style: Style) -> String {
    let name = match &device.record.name {
        RecordName::Device(device) => style.bold(device.as_str()),
        RecordName::Session(session) => format!("(no device) {session}"),
        RecordName::Ended => "(ended connections without a device)".to_owned(),
    };
    let fate = match &device.fate {
        Fate::Acked => format!("{}: its acks have passed it", style.green("acked")),
        Fate::Left(reason, at) if reason == "dropped" => {
            let word = style.yellow("passed over");
            format!("{word} {}: the inbox was full", rfc3339(*at))
        }
        Fate::Left(reason, at) => format!("{} {}", style.yellow(&left(reason)), rfc3339(*at)),
        Fate::Expired(at) => format!("{} {}", style.yellow("expired"), rfc3339(*at)),
        Fate::Before => "began after it, and has acked nothing yet".to_owned(),
        Fate::Passed => format!(
            "{}: its position is after it, by an ack or because it was moved on",
            style.yellow("past it")
        ),
        Fate::Waits => format!("{} for an ack", style.yellow("waits")),
    };
    let connected = match device.connections.first() {
        Some(Presence { gateway, since, .. }) => {
            format!("connected to {gateway} since {}", rfc3339(*since))
        }
        None => format!("last seen {}", rfc3339(device.record.seen)),
    };
    format!("  {name} {fate}; {}", style.dim(&connected))
}

fn log_lines(trace: &LogTrace, style: Style) -> Vec<String> {
    let channel = match trace.channel.is_broadcast() {
        true => "the broadcasts".to_owned(),
        false => format!("channel {}", style.bold(trace.channel.as_str())),
    };
    vec![
        format!("{} of {channel}", trace.frame.cursor),
        stored(&trace.frame, trace.now),
        format!("  {:<10} {} newer ones after it", "log", trace.after),
        style.dim("  who has read it is not kept: a channel has a log, and its members positions of their own"),
    ]
}

fn inbox_object(trace: &InboxTrace) -> Value {
    let (standing, frame) = match &trace.standing {
        Standing::Kept(frame, _) => ("kept", Some(&**frame)),
        Standing::Trimmed => ("trimmed", None),
        Standing::Replaced(_) => ("replaced", None),
        Standing::Beyond => ("beyond", None),
    };
    let left = trace.left.as_ref();
    json!({
        "found": true,
        "user": trace.user,
        "cursor": trace.cursor,
        "standing": standing,
        "notification": frame.map(frame_object),
        "left": left.map(|note| json!({"reason": note.reason, "at": rfc3339(note.at)})),
        "devices": trace.devices.iter().map(device_object).collect::<Vec<_>>(),
        "notes_are_full": trace.notes_are_full,
        "at": rfc3339(trace.now),
    })
}

fn frame_object(frame: &Frame) -> Value {
    json!({
        "id": frame.id,
        "stored_at": rfc3339(frame.stored_at),
        "expires_at": rfc3339(frame.expires_at),
        "bytes": frame.body.len(),
        "tombstone": frame.tombstone,
    })
}

fn device_object(device: &DeviceTrace) -> Value {
    let (name, session) = match &device.record.name {
        RecordName::Device(name) => (Some(name.as_str()), None),
        RecordName::Session(session) => (None, Some(session.as_str())),
        RecordName::Ended => (None, None),
    };
    let (fate, at) = match &device.fate {
        Fate::Acked => ("acked", None),
        Fate::Left(reason, at) => (reason.as_str(), Some(*at)),
        Fate::Expired(at) => ("expired", Some(*at)),
        Fate::Before => ("began_after", None),
        Fate::Passed => ("past", None),
        Fate::Waits => ("waits", None),
    };
    let connections = device.connections.iter().map(|it| {
        json!({
            "gateway": it.gateway,
            "session": it.session,
            "since": rfc3339(it.since),
            "anonymous": it.device == Device::Anonymous,
        })
    });
    json!({
        "device": name,
        "session": session,
        "fate": fate,
        "at": at.map(rfc3339),
        "acked": device.record.acked,
        "seen": rfc3339(device.record.seen),
        "connections": connections.collect::<Vec<_>>(),
    })
}

fn log_object(trace: &LogTrace) -> Value {
    json!({
        "found": true,
        "channel": trace.channel,
        "cursor": trace.frame.cursor,
        "standing": "kept",
        "notification": frame_object(&trace.frame),
        "after": trace.after,
        "at": rfc3339(trace.now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_a_cursor_are_told_apart() {
        let id = "0199a1b2-c3d4-7000-8000-000000000001";
        assert_eq!(sought(id), Ok(Sought::Id(id.parse().unwrap())));
        let cursor = Cursor { seq: 12, nonce: 7 };
        assert_eq!(sought("12-7"), Ok(Sought::Cursor(cursor)));
        for wrong in ["", "12", "12-", "0199a1b2", "latest"] {
            let told = sought(wrong).unwrap_err();
            assert!(told.contains("neither an id"), "{wrong}: {told}");
        }
    }

    #[test]
    fn broadcasts_are_a_channel_too() {
        assert!(channel("*").unwrap().is_broadcast());
        assert!(channel("a b").is_err());
    }
}
