//! What waits, what overflows and what is said of it.

use bytes::Bytes;
use carillon_common::{
    backend::Page,
    ids::{ChannelName, Cursor, NotificationId},
    notification::Frame,
};
use futures_util::task::noop_waker;

use super::*;

fn push(seq: u64) -> Arc<Push> {
    let cursor = Cursor { seq, nonce: 1 };
    Push::new(
        Cursor {
            seq: seq - 1,
            nonce: 1,
        },
        Frame {
            cursor,
            id: NotificationId::nil(),
            stored_at: 0,
            expires_at: i64::MAX,
            tombstone: false,
            trace: None,
            body: Bytes::from(vec![b'x'; 840]),
        },
        None,
    )
}

fn channel(name: &str, seq: u64) -> Arc<ChannelPush> {
    Arc::new(ChannelPush {
        channel: ChannelName::new(name).unwrap(),
        push: push(seq),
    })
}

fn take(mailbox: &Mailbox) -> Taken {
    match mailbox.poll_take(&mut Context::from_waker(&noop_waker())) {
        Poll::Ready(taken) => taken,
        Poll::Pending => Taken::default(),
    }
}

fn seqs(taken: &Taken) -> Vec<u64> {
    let seq = |mail: &Mail| match mail {
        Mail::Inbox(push) | Mail::Ephemeral(push) => push.frame.cursor.seq,
        Mail::Channel(channel) => channel.push.frame.cursor.seq,
        Mail::Retracted(_) | Mail::Read(_) | Mail::Event(_) => 0,
    };
    taken.mails.iter().map(seq).collect()
}

#[test]
fn personal_hints_beyond_the_bound_leave_a_mark() {
    let mailbox = Mailbox::default();
    assert_eq!(mailbox.hint(Mail::Inbox(push(1)), 1_500), Put::Kept);
    assert_eq!(mailbox.hint(Mail::Inbox(push(2)), 1_500), Put::Overflow);
    let taken = take(&mailbox);
    assert_eq!(seqs(&taken), [1]);
    assert!(taken.behind);
    assert!(!take(&mailbox).behind, "it is told once");
    assert_eq!(mailbox.hint(Mail::Inbox(push(3)), 1_500), Put::Kept);
    assert!(!take(&mailbox).behind);
}

#[test]
fn what_is_being_written_leaves_less_room() {
    let mailbox = Mailbox::default();
    let inbox = |seq| Mail::Inbox(push(seq));
    assert_eq!(mailbox.hint(inbox(1), 1_500), Put::Kept);
    assert_eq!(seqs(&take(&mailbox)), [1]);
    assert_eq!(mailbox.waiting(), (0, 1_000));
    assert_eq!(mailbox.hint(inbox(2), 1_500), Put::Overflow);
    assert!(take(&mailbox).behind, "and is told though nothing waits");
    assert_eq!(mailbox.hint(inbox(3), 1_500), Put::Kept);
}

#[test]
fn one_fits_in_whatever_its_size_where_nothing_is_held() {
    let mailbox = Mailbox::default();
    assert_eq!(mailbox.hint(Mail::Inbox(push(1)), 10), Put::Kept);
    assert_eq!(mailbox.hint(Mail::Inbox(push(2)), 10), Put::Overflow);
}

#[test]
fn a_part_is_taken_at_once_and_overflow_is_told_after_the_last() {
    let mailbox = Mailbox::default();
    for seq in 1..=100 {
        mailbox.hint(Mail::Inbox(push(seq)), 99_000);
    }
    let first = take(&mailbox);
    assert_eq!(seqs(&first), Vec::from_iter(1..=49));
    assert!(!first.behind);
    assert_eq!(mailbox.waiting(), (50, 99_000));
    let second = take(&mailbox);
    assert_eq!(mailbox.waiting(), (1, 50_000));
    assert!(!second.behind);
    let last = take(&mailbox);
    assert_eq!(seqs(&last), [99]);
    assert!(last.behind);
    assert_eq!(mailbox.waiting(), (0, 1_000));
}

#[test]
fn a_page_leaves_less_room_and_is_never_refused() {
    let page = |frames| Page {
        start: Cursor::ZERO,
        frames: (1..=frames).map(|seq| push(seq).frame.clone()).collect(),
        end: Cursor::ZERO,
        more: false,
        gap: None,
    };
    let mailbox = Mailbox::default();
    mailbox.post(Event::Page(page(3)));
    assert_eq!(mailbox.hint(Mail::Inbox(push(4)), 3_500), Put::Overflow);
    mailbox.post(Event::Page(page(3)));
    assert_eq!(mailbox.waiting(), (2, 6_000));
}

#[test]
fn drop_oldest_says_how_far() {
    let mailbox = Mailbox::default();
    for seq in 1..=5 {
        mailbox.channel_hint(channel("a", seq), 3_000, OverflowPolicy::DropOldest);
    }
    let taken = take(&mailbox);
    assert_eq!(seqs(&taken), [3, 4, 5]);
    assert_eq!(taken.gaps.len(), 1);
    assert_eq!(taken.gaps[0].resume.seq, 2);
}

#[test]
fn latest_keeps_the_newest_of_each_channel() {
    let mailbox = Mailbox::default();
    for seq in 1..=4 {
        mailbox.channel_hint(channel("a", seq), 2_000, OverflowPolicy::Latest);
    }
    assert_eq!(seqs(&take(&mailbox)), [3, 4]);
}

#[test]
fn disconnect_closes() {
    let mailbox = Mailbox::default();
    for seq in 1..=3 {
        mailbox.channel_hint(channel("a", seq), 1_500, OverflowPolicy::Disconnect);
    }
    let taken = take(&mailbox);
    assert!(matches!(
        taken.mails.back(),
        Some(Mail::Event(event)) if matches!(**event, Event::Close(CloseCode::SlowConsumer))
    ));
}

#[test]
fn a_mail_is_a_pointer_and_what_it_points_to() {
    assert_eq!(size_of::<Mail>(), 2 * size_of::<usize>());
}
