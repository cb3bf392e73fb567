//! Which primary owns which partition.
//!
//! Keys live in partitions. A partition has a hash tag, so a slot, so one owning primary in every
//! kind of deployment; outside of Cluster there is only one primary and it owns them all.

use redis::Value;

use crate::backend::url::Address;

/// How many slots a Redis Cluster has.
const SLOTS: u16 = 16_384;

/// The hash slot of `tag` (CRC16 XMODEM modulo 16 384, as in the Redis Cluster specification).
fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % SLOTS
}

/// The hash tag and slot of each of `count` partitions.
///
/// Tag `i` is the smallest decimal number whose slot lies in the `i`-th of `count` equal ranges,
/// so partitions spread evenly over a cluster of any size, and the tags never change for a count.
pub fn partition_tags(count: u16) -> Vec<(String, u16)> {
    let count = count.clamp(1, SLOTS);
    let mut found: Vec<Option<(String, u16)>> = vec![None; usize::from(count)];
    let mut missing = found.len();
    for number in 0_u32.. {
        if missing == 0 {
            break;
        }
        let tag = number.to_string();
        let slot = slot(tag.as_bytes());
        let range = usize::from(slot) * found.len() / usize::from(SLOTS);
        if found[range].is_none() {
            found[range] = Some((tag, slot));
            missing -= 1;
        }
    }
    found.into_iter().flatten().collect()
}

/// A snapshot of the deployment: its primaries, and the owner of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    primaries: Vec<Address>,
    owners: Vec<Option<usize>>,
}

impl Topology {
    /// Nobody owns anything: before the first look.
    pub(crate) fn none(partitions: usize) -> Self {
        Self {
            primaries: Vec::new(),
            owners: vec![None; partitions],
        }
    }

    /// One primary that owns every partition.
    pub(crate) fn single(primary: Address, partitions: usize) -> Self {
        Self {
            primaries: vec![primary],
            owners: vec![Some(0); partitions],
        }
    }

    /// The owners of the partitions' slots according to a `CLUSTER SLOTS` reply of `asked`.
    /// `None` if the reply is not of that shape.
    pub(crate) fn from_cluster_slots(
        reply: &Value,
        asked: &Address,
        tags: &[(String, u16)],
    ) -> Option<Self> {
        let Value::Array(ranges) = reply else {
            return None;
        };
        let ranges: Vec<SlotRange> = ranges
            .iter()
            .map(|range| SlotRange::read(range, asked))
            .collect::<Option<_>>()?;
        let mut primaries: Vec<Address> =
            ranges.iter().map(|range| range.primary.clone()).collect();
        primaries.sort();
        primaries.dedup();
        let owners = tags
            .iter()
            .map(|(_, slot)| {
                let range = ranges
                    .iter()
                    .find(|range| (range.first..=range.last).contains(slot))?;
                primaries.binary_search(&range.primary).ok()
            })
            .collect();
        Some(Self { primaries, owners })
    }

    /// Every primary, whether it owns a partition or not.
    pub fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    /// The primary that owns `partition`; `None` while nobody does, or for an unknown partition.
    pub fn owner(&self, partition: u16) -> Option<&Address> {
        let owner = self.owners.get(usize::from(partition)).copied().flatten()?;
        self.primaries.get(owner)
    }

    /// The partitions that `primary` owns.
    pub fn owned_by(&self, primary: &Address) -> Vec<u16> {
        (0..)
            .take(self.owners.len())
            .filter(|at| self.owner(*at) == Some(primary))
            .collect()
    }

    /// Whether every partition has an owner.
    pub fn is_complete(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }
}

struct SlotRange {
    first: u16,
    last: u16,
    primary: Address,
}

impl SlotRange {
    fn read(value: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(fields) = value else {
            return None;
        };
        let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = fields.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = node.as_slice() else {
            return None;
        };
        let host = match host {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            Value::SimpleString(host) => host.clone(),
            Value::Nil => String::new(),
            _ => return None,
        };
        // An empty host means "where you asked"; `?` is a hostname the node does not know.
        let host = if host.is_empty() || host == "?" {
            asked.host.clone()
        } else {
            host
        };
        Some(Self {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            primary: Address {
                host,
                port: u16::try_from(*port).ok()?,
            },
        })
    }
}

/// The primary in a `SENTINEL GET-MASTER-ADDR-BY-NAME` reply; `None` if the name is unknown.
pub(crate) fn read_sentinel_primary(reply: &Value) -> Option<Address> {
    let (host, port): (String, u16) = redis::from_redis_value(reply.clone()).ok()?;
    Some(Address { host, port })
}

/// Whether a `ROLE` reply is that of a primary.
pub(crate) fn is_primary(role: &Value) -> bool {
    let Value::Array(fields) = role else {
        return false;
    };
    match fields.first() {
        Some(Value::BulkString(name)) => name == b"master",
        Some(Value::SimpleString(name)) => name == "master",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_the_specification() {
        // "123456789" is the check value of CRC16 XMODEM: 0x31C3.
        assert_eq!(slot(b"123456789"), 0x31C3);
        // As CLUSTER KEYSLOT answers.
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"somekey"), 11_058);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn tags_spread_evenly_and_are_minimal() {
        for count in [1_u16, 3, 64, 256] {
            let tags = partition_tags(count);
            assert_eq!(tags.len(), usize::from(count));
            for (range, (tag, at)) in tags.iter().enumerate() {
                assert_eq!(slot(tag.as_bytes()), *at);
                assert_eq!(usize::from(*at) * usize::from(count) / 16_384, range);
                let number: u32 = tag.parse().unwrap();
                let smaller = (0..number)
                    .map(|n| slot(n.to_string().as_bytes()))
                    .any(|at| usize::from(at) * usize::from(count) / 16_384 == range);
                assert!(
                    !smaller,
                    "a smaller tag than {tag} fits range {range} of {count}"
                );
            }
        }
        assert_eq!(partition_tags(64)[0].0, partition_tags(64)[0].0);
    }

    fn node(host: &str, port: i64) -> Value {
        Value::Array(vec![
            Value::BulkString(host.into()),
            Value::Int(port),
            Value::BulkString(b"id".into()),
        ])
    }

    #[test]
    fn cluster_slots_become_owners() {
        let tags = partition_tags(4);
        let asked = Address {
            host: "asked".into(),
            port: 1,
        };
        let range = |first, last, primary| {
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                primary,
                node("replica", 9),
            ])
        };
        let reply = Value::Array(vec![
            range(0, 8191, node("b", 7001)),
            range(8192, 12_287, node("", 7000)),
        ]);
        let topology = Topology::from_cluster_slots(&reply, &asked, &tags).unwrap();
        let owners: Vec<Option<String>> = (0..4)
            .map(|at| topology.owner(at).map(Address::to_string))
            .collect();
        let b = Some("b:7001".to_owned());
        assert_eq!(owners, [b.clone(), b, Some("asked:7000".into()), None]);
        assert!(!topology.is_complete());
        assert_eq!(
            topology.owned_by(&Address {
                host: "b".into(),
                port: 7001
            }),
            [0, 1]
        );
        assert_eq!(topology.owner(99), None);
        assert_eq!(
            Topology::from_cluster_slots(&Value::Okay, &asked, &tags),
            None
        );
    }

    #[test]
    fn roles() {
        let role = |name: &str| Value::Array(vec![Value::BulkString(name.into()), Value::Int(0)]);
        assert!(is_primary(&role("master")));
        assert!(!is_primary(&role("slave")));
        assert!(!is_primary(&Value::Okay));
    }
}
