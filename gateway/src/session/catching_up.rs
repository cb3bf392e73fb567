//! How a member of a channel, or of the broadcasts, is given what it missed.

use carillon_common::{
    backend::{Gap, Page},
    ids::{ChannelName, Cursor},
    notification::Frame,
    telemetry::spans::Destination,
};

use super::{Call, Now, Out, Session, feed::Feed, streaming::At, traced::Traced};
use crate::push::{ChannelGap, encode};

impl Session {
    /// Where it stands in a channel's log, if it is on that channel.
    pub(super) fn feed(&mut self, channel: &ChannelName) -> Option<&mut Feed> {
        if channel.is_broadcast() {
            Some(&mut self.broadcast)
        } else {
            self.channels.feed(channel)
        }
    }

    /// Starts the broadcasts from the device's position; answers that, if something was missed since.
    pub(super) fn start_broadcasts(&mut self, from: Cursor) -> Option<Cursor> {
        let here = self.broadcast.position();
        self.broadcast.start(from);
        Some(from).filter(|_| from != here)
    }

    /// Reads what was missed of the broadcasts; where nothing was, they go on at once.
    pub(super) fn catch_up_broadcasts(&mut self, missed: Option<Cursor>, now: Now, out: &mut Out) {
        match missed {
            None => self.finish_catch_up(&ChannelName::broadcast(), now, out),
            Some(from) => out.ask(Call::History(ChannelName::broadcast(), from)),
        }
    }

    pub(super) fn finish_catch_up(&mut self, channel: &ChannelName, now: Now, out: &mut Out) {
        let Some(feed) = self.feed(channel) else {
            return;
        };
        for push in feed.finish() {
            self.write_channel_push(channel, &push, now, out);
        }
    }

    /// A page of a channel's log.
    pub(super) fn on_history(&mut self, channel: ChannelName, page: Page, now: Now, out: &mut Out) {
        let loss = page.frames.iter().any(Frame::is_loss);
        let (gap, start) = (page.gap.or(loss.then_some(Gap::Rewound)), page.start);
        let Some(feed) = self.feed(&channel) else {
            return;
        };
        let caught = feed.on_page(page, now.wall);
        if !channel.is_broadcast() {
            self.answer_joined(&channel, start, gap, out);
        }
        if let Some(gap) = gap {
            self.tell_gap(Some(&channel), gap, start, out);
        }
        let dialect = self.dialect();
        for frame in &caught.frames {
            let traced = Traced::replayed(frame, Destination::Channel, dialect);
            self.mark(At::Log(&channel, frame.cursor), out);
            out.deliver(encode(frame, dialect, dialect.tells()), traced);
            self.note_written(true, frame.stored_at, out);
            self.wrote_to_channel(&channel, frame.cursor, now);
        }
        if !caught.frames.is_empty() {
            self.caught_up(&channel, now);
        }
        for push in &caught.buffered {
            self.write_channel_push(&channel, push, now, out);
        }
        if let Some(after) = caught.next {
            out.ask(Call::History(channel, after));
        }
    }

    pub(super) fn on_channel_gap(&mut self, gap: &ChannelGap, out: &mut Out) {
        let Some(feed) = self.feed(&gap.channel) else {
            return;
        };
        feed.jump(gap.resume);
        self.tell_gap(Some(&gap.channel), gap.reason, gap.resume, out);
    }
}
