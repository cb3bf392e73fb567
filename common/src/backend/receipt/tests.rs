use super::*;
use crate::ids::NotificationId;

const PHONE: &str = "phone";

fn phone() -> Reader {
    Reader::Named(DeviceId::new(PHONE).unwrap())
}

fn at(seq: u64) -> Cursor {
    Cursor { seq, nonce: 1 }
}

fn frame(expires_at: Millis) -> Standing {
    Standing::Kept(Box::new(Frame {
        cursor: at(100),
        id: NotificationId::nil(),
        stored_at: 1_000,
        expires_at,
        tombstone: false,
        trace: None,
        body: bytes::Bytes::new(),
    }))
}

fn known(position: u64, begin: Option<u64>, noted: &[(u64, Millis)]) -> Known {
    Known {
        reader: phone(),
        position: at(position),
        has_acked: !noted.is_empty(),
        marks: Marks {
            begin,
            cut: false,
            noted: noted.to_vec(),
        },
    }
}

fn note(reader: Option<Reader>, reason: LeftReason, at: Millis) -> Note {
    Note { reader, reason, at }
}

/// Of position 100, at 5 000.
fn facts(known: Known, notes: &[Note]) -> Facts {
    Facts {
        cursor: at(100),
        standing: frame(9_000),
        known: vec![known],
        notes: notes.to_vec(),
        oldest_note: None,
        now: 5_000,
    }
}

fn fate(facts: Facts) -> Fate {
    facts.judged().devices[0].fate
}

#[test]
fn what_is_acked_was_delivered_and_what_is_not_waits() {
    assert_eq!(
        fate(facts(known(99, Some(0), &[(99, 1)]), &[])),
        Fate::Queued
    );
    let acked = known(101, Some(0), &[(99, 1_500), (101, 2_000), (120, 3_000)]);
    assert_eq!(fate(facts(acked, &[])), Fate::Delivered(Some(2_000)));
    // By a version that kept no times.
    let former = Known {
        has_acked: true,
        ..known(101, None, &[])
    };
    assert_eq!(fate(facts(former, &[])), Fate::Delivered(None));
}

#[test]
fn what_came_before_a_device_is_not_for_it() {
    for begin in [100, 200] {
        let later = known(300, Some(begin), &[(300, 4_000)]);
        assert_eq!(fate(facts(later, &[])), Fate::NotAddressed, "{begin}");
    }
    let earlier = known(99, Some(99), &[]);
    assert_eq!(fate(facts(earlier, &[])), Fate::Queued);
}

#[test]
fn what_left_was_delivered_only_where_it_was_acked_before() {
    use LeftReason::Retracted;
    let all = [note(None, Retracted, 3_000)];
    let before = known(101, Some(0), &[(101, 2_999)]);
    assert_eq!(fate(facts(before, &all)), Fate::Delivered(Some(2_999)));
    for after in [3_000, 4_000] {
        let after = known(101, Some(0), &[(99, 10), (101, after)]);
        assert_eq!(fate(facts(after, &all)), Fate::Left(Retracted, 3_000));
    }
    let waiting = known(99, Some(0), &[]);
    assert_eq!(fate(facts(waiting, &all)), Fate::Left(Retracted, 3_000));
    // The first of those that are left covers it: one before may have, too.
    let mut cut = known(101, Some(0), &[(101, 4_000)]);
    cut.marks.cut = true;
    assert_eq!(fate(facts(cut, &all)), Fate::Unknown);
}

#[test]
fn a_note_of_the_device_itself_comes_before_one_of_all() {
    let notes = [
        note(None, LeftReason::Expired, 4_000),
        note(Some(phone()), LeftReason::Dropped, 3_000),
        note(Some(Reader::Anonymous), LeftReason::Expired, 1),
    ];
    let moved = known(150, Some(0), &[(99, 2_000)]);
    assert_eq!(
        fate(facts(moved, &notes)),
        Fate::Left(LeftReason::Dropped, 3_000)
    );
}

#[test]
fn what_has_expired_is_never_said_to_wait() {
    let mut expired = facts(known(99, Some(0), &[]), &[]);
    expired.standing = frame(5_000);
    let receipt = expired.judged();
    assert_eq!(
        receipt.devices[0].fate,
        Fate::Left(LeftReason::Expired, 5_000)
    );
    assert_eq!(receipt.left, Some((LeftReason::Expired, 5_000)));
}

#[test]
fn where_a_note_may_be_gone_nothing_is_claimed() {
    let acked = || known(101, Some(0), &[(101, 2_000)]);
    let mut kept = facts(acked(), &[]);
    kept.oldest_note = Some(1_000);
    assert_eq!(fate(kept), Fate::Unknown);
    let mut later = facts(acked(), &[]);
    later.oldest_note = Some(999);
    assert_eq!(fate(later), Fate::Delivered(Some(2_000)));
    let mut trimmed = facts(acked(), &[]);
    (trimmed.standing, trimmed.oldest_note) = (Standing::Trimmed, Some(100));
    assert_eq!(fate(trimmed), Fate::Unknown);
    // Moved on, nobody knows why.
    let moved = known(150, Some(0), &[]);
    assert_eq!(fate(facts(moved, &[])), Fate::Unknown);
}

#[test]
fn anonymous_connections_are_one_device_and_the_furthest_counts() {
    let anonymous = |position| Known {
        reader: Reader::Anonymous,
        ..known(position, Some(0), &[])
    };
    let mut facts = facts(known(99, Some(0), &[]), &[]);
    facts.known.extend([anonymous(5), anonymous(99)]);
    facts.known[2].marks.noted = vec![(99, 1_500)];
    let receipt = facts.judged();
    let of = |at: usize| {
        (
            receipt.devices[at].device.as_ref(),
            receipt.devices[at].fate,
        )
    };
    assert_eq!(of(0), (None, Fate::Queued));
    assert_eq!(of(1).0.map(DeviceId::as_str), Some(PHONE));
    assert_eq!(receipt.devices.len(), 2);
}

#[test]
fn of_a_lost_history_nothing_else_is_said() {
    let mut lost = facts(known(300, Some(0), &[(300, 2_000)]), &[]);
    lost.standing = Standing::Lost;
    assert_eq!(fate(lost), Fate::Lost);
}

#[test]
fn reasons_are_read_as_they_are_written() {
    use LeftReason::{Dropped, Expired, Replaced, Retracted};
    for reason in [Expired, Dropped, Retracted, Replaced] {
        assert_eq!(LeftReason::of_word(reason.as_str()), Some(reason));
    }
    assert_eq!(LeftReason::of_word("eaten"), None);
}
