//! Asks each primary. What may not be asked stays unknown; only the checks know what that means.

use std::{collections::HashMap, time::Duration};

use redis::{Cmd, Value, cmd};

use crate::{
    backend::{
        clock::local_now,
        redis::{
            keys::Keys,
            link::{Link, LinkError},
        },
        url::Address,
    },
    settings::Settings,
};

/// What a dispatcher alone does, and can do without.
pub(super) const LIST_CHANNELS: &str = "PUBSUB SHARDCHANNELS";

/// What is known about one primary.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// Its address.
    pub node: String,
    /// The fields of `INFO`.
    pub info: HashMap<String, String>,
    /// The libraries of our name; `None`: may not be listed.
    pub libraries: Option<Vec<String>>,
    /// `appendfsync`.
    pub fsync: Option<String>,
    /// `save`: when snapshots are taken; empty is never.
    pub snapshots: Option<String>,
    /// `client-output-buffer-limit`.
    pub buffer_limits: Option<String>,
    /// Its clock minus ours, in milliseconds, and how long the question took.
    pub clock: Option<(i64, Duration)>,
    /// Commands that a service needs and this user may not give, with the server's words.
    pub refused: Vec<(&'static str, String)>,
}

/// Asks one primary what a service may ask: no more than `INFO`.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn look(link: &Link, node: &Address) -> Result<NodeFacts, LinkError> {
    let info: String = link.at(node, &cmd("INFO")).await?;
    Ok(NodeFacts {
        node: node.to_string(),
        info: parse_info(&info),
        ..NodeFacts::default()
    })
}

/// Asks one primary everything.
///
/// # Errors
/// When it cannot be reached, or refuses `INFO`.
pub async fn gather(
    link: &Link,
    node: &Address,
    settings: &Settings,
    library: &str,
) -> Result<NodeFacts, LinkError> {
    let seen = look(link, node).await?;
    let mut list = cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(library);
    let libraries = link.at::<Value>(node, &list).await.ok();
    Ok(NodeFacts {
        libraries: libraries.map(|reply| texts_after("library_name", &reply)),
        fsync: config(link, node, "appendfsync").await,
        snapshots: config(link, node, "save").await,
        buffer_limits: config(link, node, "client-output-buffer-limit").await,
        clock: clock(link, node).await,
        refused: refused(link, node, settings).await,
        ..seen
    })
}

/// The number of partitions that the deployment was made with; `None`: nothing was stored yet.
///
/// # Errors
/// When Redis cannot be reached, or refuses.
pub async fn recorded_partitions(
    link: &Link,
    settings: &Settings,
) -> Result<Option<u16>, LinkError> {
    let mut get = cmd("GET");
    get.arg(keys(link, settings).partition_count());
    link.call(Keys::HOME, &get).await
}

fn keys(link: &Link, settings: &Settings) -> Keys {
    let tags = link.tags().iter().map(|(tag, _)| tag.clone()).collect();
    Keys::new(&settings.redis.prefix, tags)
}

/// `INFO` is `name:value` lines under `# headings`.
pub(super) fn parse_info(text: &str) -> HashMap<String, String> {
    let fields = text
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn config(link: &Link, node: &Address, name: &str) -> Option<String> {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg(name);
    let reply = link.at::<Value>(node, &get).await.ok()?;
    texts_after(name, &reply).pop()
}

async fn clock(link: &Link, node: &Address) -> Option<(i64, Duration)> {
    let asked = local_now();
    let (seconds, micros): (i64, i64) = link.at(node, &cmd("TIME")).await.ok()?;
    let answered = local_now();
    let ours = i64::midpoint(asked, answered);
    Some((
        seconds * 1000 + micros / 1000 - ours,
        Duration::from_millis(answered.abs_diff(asked)),
    ))
}

/// Tries, on a key that lives for seconds and belongs to nobody, what a service does.
async fn refused(link: &Link, node: &Address, settings: &Settings) -> Vec<(&'static str, String)> {
    let Some(partition) = link.topology().borrow().owned_by(node).first().copied() else {
        return Vec::new();
    };
    let base = keys(link, settings).online(partition);
    let key = format!("{base}:doctor:{:016x}", rand::random::<u64>());
    let mut refused = Vec::new();
    for (name, command) in trials(&key) {
        match link.at::<Value>(node, &command).await {
            Err(LinkError::Server { code, message }) if code == "NOPERM" => {
                refused.push((name, message));
            }
            // Any other answer shows that it was let through.
            _ => {}
        }
    }
    refused
}

/// Each kind of command that the services give; the last one cleans up.
fn trials(key: &str) -> Vec<(&'static str, Cmd)> {
    let with = |words: &[&str]| {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command
    };
    vec![
        ("SET", with(&["SET", key, "1", "EX", "10"])),
        ("GET", with(&["GET", key])),
        ("EXPIRE", with(&["EXPIRE", key, "10"])),
        ("FCALL", with(&["FCALL", "c3_no_such_function", "1", key])),
        ("SPUBLISH", with(&["SPUBLISH", key, "doctor"])),
        (LIST_CHANNELS, with(&["PUBSUB", "SHARDCHANNELS", key])),
        ("WAIT", with(&["WAIT", "0", "1"])),
        ("TIME", with(&["TIME"])),
        ("DEL", with(&["DEL", key])),
    ]
}

/// The texts that follow `name` anywhere in a reply: maps in RESP3, flat lists in RESP2.
fn texts_after(name: &str, reply: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match reply {
        Value::Map(pairs) => {
            for (key, value) in pairs {
                match (text(key), text(value)) {
                    (Some(key), Some(value)) if key == name => found.push(value),
                    _ => found.extend(texts_after(name, value)),
                }
            }
        }
        Value::Array(items) => {
            for pair in items.windows(2) {
                if text(&pair[0]).is_some_and(|key| key == name) {
                    found.extend(text(&pair[1]));
                }
            }
            found.extend(items.iter().flat_map(|item| texts_after(name, item)));
        }
        _ => {}
    }
    found
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn replies_are_read_in_both_protocols() {
        let flat = Value::Array(vec![bulk("appendfsync"), bulk("everysec")]);
        let map = Value::Map(vec![(bulk("appendfsync"), bulk("everysec"))]);
        for reply in [flat, map] {
            assert_eq!(texts_after("appendfsync", &reply), ["everysec"]);
        }
        let nested = Value::Array(vec![
            Value::Map(vec![(bulk("library_name"), bulk("a"))]),
            Value::Array(vec![
                bulk("library_name"),
                bulk("b"),
                bulk("engine"),
                bulk("LUA"),
            ]),
        ]);
        assert_eq!(texts_after("library_name", &nested), ["a", "b"]);
    }

    #[test]
    fn info_is_names_and_values() {
        let info = parse_info("# Server\r\nredis_version:7.0.15\r\nslave0:ip=h,port=1\r\n\r\n");
        assert_eq!(info["redis_version"], "7.0.15");
        assert_eq!(info["slave0"], "ip=h,port=1");
        assert_eq!(info.len(), 2);
    }
}
