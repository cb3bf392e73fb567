use std::time::Duration;

use super::*;
use crate::backend::memory::chain::tests::chain;

const NOW: Millis = 1_000_000;

fn limits() -> Limits {
    Limits {
        inbox_ttl: Duration::from_secs(3_600),
        inbox_max: 3,
        scheduled: 3,
        inbox_keep: 2,
        page: 256,
        devices: 2,
        device_ttl: Duration::from_secs(10),
        connections: 100,
        kept: 100,
        assigned: 100,
        restore: Duration::from_secs(10),
        lease_ttl: Duration::from_secs(15),
        lease_renew: Duration::from_secs(5),
        isolation_deadline: Duration::ZERO,
    }
}

fn at(seq: u64) -> Cursor {
    Cursor {
        seq,
        nonce: u32::try_from(seq).unwrap(),
    }
}

fn record(seq: u64) -> Record {
    Record {
        cursor: at(seq),
        broadcast: Cursor::ZERO,
        seen: NOW,
        has_acked: true,
        passed_over: false,
    }
}

fn standing(name: &str, connected: bool, record: Record) -> Standing {
    Standing {
        reader: Reader::Named(DeviceId::new(name).unwrap()),
        record,
        connected,
    }
}

#[track_caller]
fn resumes(own: u64, passed_over: bool, since: Option<Cursor>, start: u64, gap: Option<Gap>) {
    let chain = chain(10, &[0, 0, 0]); // keeps 11, 12, 13
    let record = Record {
        passed_over,
        ..record(own)
    };
    let resumed = resume(&chain, &record, since);
    assert_eq!(resumed.start, at(start));
    assert_eq!(resumed.index, usize::try_from(start - 10).unwrap());
    assert_eq!(resumed.gap, gap);
}

#[test]
fn a_reader_goes_on_where_it_stands() {
    let (kept, other) = (Some(at(12)), |seq| Some(Cursor { seq, nonce: 99 }));
    let old = Some(at(5));
    // own, passed over, since → start, gap
    resumes(11, false, None, 11, None);
    resumes(13, false, None, 13, None);
    resumes(10, false, None, 10, None);
    resumes(5, false, None, 10, Some(Gap::Expired));
    resumes(12, true, None, 12, Some(Gap::TooMany));

    resumes(10, false, kept, 12, None);
    resumes(10, false, Some(at(13)), 13, None);
    resumes(5, false, Some(at(10)), 10, None);
    resumes(12, true, kept, 12, None);
    resumes(13, false, Some(Cursor::ZERO), 10, None);

    resumes(10, false, old, 10, None);
    resumes(12, false, old, 12, None);
    resumes(5, false, old, 10, Some(Gap::Expired));
    resumes(12, true, old, 12, Some(Gap::TooMany));

    resumes(11, false, other(12), 11, Some(Gap::Rewound));
    resumes(11, false, Some(at(14)), 11, Some(Gap::Rewound));
    resumes(5, false, other(13), 10, Some(Gap::Rewound));
}

#[test]
fn where_a_reader_merely_started_does_not_cover_what_its_client_missed() {
    let chain = chain(10, &[0, 0, 0]);
    let new = Record::starting(at(12), Cursor::ZERO);
    assert_eq!(resume(&chain, &new, None).gap, None);
    let resumed = resume(&chain, &new, Some(at(5)));
    assert_eq!((resumed.start, resumed.gap), (at(12), Some(Gap::Expired)));
}

#[test]
fn without_history_only_a_position_is_lost() {
    let empty = Chain::default();
    for (since, gap) in [
        (None, None),
        (Some(Cursor::ZERO), None),
        (Some(at(5)), Some(Gap::Expired)),
    ] {
        let new = Record::starting(Cursor::ZERO, Cursor::ZERO);
        let resumed = resume(&empty, &new, since);
        assert_eq!((resumed.start, resumed.gap), (Cursor::ZERO, gap));
        assert_eq!(resume_log(&empty, since.unwrap_or_default()).gap, gap);
    }
}

#[test]
fn a_log_is_read_from_a_position_or_from_the_oldest() {
    let chain = chain(10, &[0, 0]);
    for (after, start, gap) in [
        (Cursor::ZERO, 10, None),
        (at(10), 10, None),
        (at(11), 11, None),
        (at(12), 12, None),
        (at(9), 10, Some(Gap::Expired)),
        (at(13), 10, Some(Gap::Rewound)),
        (Cursor { seq: 11, nonce: 1 }, 10, Some(Gap::Rewound)),
    ] {
        let resumed = resume_log(&chain, after);
        assert_eq!((resumed.start, resumed.gap), (at(start), gap), "{after}");
    }
}

#[test]
fn the_connected_and_the_most_recently_seen_count() {
    let seen = |ago| Record {
        seen: NOW - ago,
        ..record(10)
    };
    let names = |standings: &[Standing]| {
        counting(standings, &limits(), NOW)
            .into_iter()
            .map(|s| match s.reader {
                Reader::Named(name) => name.to_string(),
                _ => unreachable!("all are named"),
            })
            .collect::<Vec<_>>()
    };
    let old = standing("old", false, seen(10_001));
    let idle = standing("idle", true, seen(60_000));
    let (one, two) = (
        standing("one", false, seen(10_000)),
        standing("two", false, seen(5)),
    );
    assert_eq!(names(&[old.clone(), one.clone()]), ["one"]);
    assert_eq!(names(&[one.clone(), two.clone()]), ["two", "one"]);
    assert_eq!(names(&[old, one, two, idle]), ["idle", "two"]);
}

#[test]
fn those_not_seen_for_the_longest_are_forgotten_and_never_the_connected() {
    let seen = |name: &str, connected, ago| {
        let record = Record {
            seen: NOW - ago,
            ..record(10)
        };
        standing(name, connected, record)
    };
    let folded = Standing {
        reader: Reader::Folded,
        ..seen("folded", false, 9_000)
    };
    // Two hold trimming back, so four are remembered.
    let mut standings = vec![
        seen("connected", true, 8_000),
        folded,
        seen("a", false, 1_000),
        seen("b", false, 7_000),
        seen("c", false, 2_000),
    ];
    assert!(to_forget(standings.clone(), &limits()).is_empty());
    standings.extend([seen("d", false, 6_000), seen("e", false, 5)]);
    let gone = to_forget(standings, &limits());
    let named = |name| Reader::Named(DeviceId::new(name).unwrap());
    assert_eq!(gone, [named("b"), named("d")]);
}

#[test]
fn trimming_leaves_the_newest_acked_and_the_anchor() {
    let chain = chain(10, &[0; 6]); // 11 … 16
    for (floor, keep, count) in [
        (None, 2, 0),
        (Some(Cursor::ZERO), 2, 0),
        (Some(at(10)), 2, 0),
        (Some(at(12)), 2, 0),
        (Some(at(15)), 2, 3),
        (Some(at(16)), 2, 4),
        (Some(at(16)), 0, 5),
        (Some(at(5)), 0, 0),
    ] {
        assert_eq!(trimmable(&chain, floor, keep), count, "{floor:?} {keep}");
    }
}

#[test]
fn unread_frames_are_bounded_and_tombstones_twice_as_far() {
    let mut chain = chain(10, &[0; 3]);
    assert!(!fits(&chain, None, 3));
    assert!(!fits(&chain, Some(at(10)), 3));
    assert!(fits(&chain, Some(at(11)), 3));
    chain.bury(1);
    assert!(fits(&chain, None, 3));
    let mut buried = self::chain(10, &[0; 6]);
    (0..6).for_each(|index| drop(buried.bury(index)));
    assert!(!fits(&buried, None, 3));
    assert!(fits(&buried, Some(at(11)), 3));
}

#[test]
fn a_full_inbox_passes_over_whom_it_may() {
    let chain = chain(10, &[0; 3]); // the bound is 3; room begins after 11
    let room = |standings: &[Standing]| make_room(&chain, standings, &limits(), NOW);
    let passed = |names: &[&str]| Room::PassOver {
        place: at(11),
        readers: names
            .iter()
            .map(|name| Reader::Named(DeviceId::new(name).unwrap()))
            .collect(),
    };
    let never = |seq| Record {
        has_acked: false,
        ..record(seq)
    };
    let stale = Record {
        seen: 0,
        ..record(10)
    };
    let behind = standing("behind", false, record(10));
    let connected = standing("connected", true, record(10));
    let reads = standing("reads", true, record(12));

    assert_eq!(room(&[]), Room::Full);
    assert_eq!(room(&[standing("new", false, never(10))]), Room::Full);
    assert_eq!(room(std::slice::from_ref(&reads)), Room::Enough);
    assert_eq!(room(&[behind.clone(), reads.clone()]), passed(&["behind"]));
    assert_eq!(
        room(&[standing("new", false, never(10)), reads.clone()]),
        passed(&["new"])
    );
    assert_eq!(room(&[connected.clone(), reads]), Room::Full);
    assert_eq!(room(&[behind, connected]), Room::Full, "nobody for nothing");
    assert_eq!(room(&[standing("stale", false, stale)]), passed(&[]));
}

#[test]
fn only_what_was_seen_in_this_history_is_acked() {
    let chain = chain(10, &[0; 3]);
    assert!(may_ack(&chain, at(12), at(11)));
    assert!(may_ack(&chain, at(8), at(5)), "no longer kept: harmless");
    assert!(!may_ack(&chain, at(11), at(11)));
    assert!(!may_ack(&chain, at(14), at(11)));
    assert!(!may_ack(&chain, Cursor { seq: 12, nonce: 1 }, at(11)));
}

#[test]
fn a_new_device_starts_after_what_any_has_acked() {
    let chain = chain(10, &[0; 3]);
    let never = Record {
        has_acked: false,
        ..record(13)
    };
    assert_eq!(start([].into_iter(), &chain), at(10));
    assert_eq!(start([&never].into_iter(), &chain), at(10));
    let records = [record(11), never, record(12)];
    assert_eq!(start(records.iter(), &chain), at(12));
}

#[test]
fn folding_keeps_what_either_still_needs() {
    let other = Record {
        has_acked: false,
        broadcast: at(3),
        seen: 5,
        ..record(9)
    };
    for folded in [fold(record(12), other), fold(other, record(12))] {
        let expected = Record {
            cursor: at(9),
            broadcast: Cursor::ZERO,
            seen: NOW,
            has_acked: true,
            passed_over: false,
        };
        assert_eq!(folded, expected);
    }
}

#[test]
fn fences_rise_even_within_a_millisecond() {
    assert_eq!(next_fence(NOW, 5), u64::try_from(NOW).unwrap());
    assert_eq!(next_fence(5, 9), 10);
}
