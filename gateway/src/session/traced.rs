//! Traced notifications among what is being written to a socket.

use std::sync::Arc;

use carillon_common::{
    notification::Frame,
    protocol::Dialect,
    telemetry::spans::{Destination, Spans},
};

use crate::push::Push;

/// A traced notification, whose span ends when it has been written.
#[derive(Debug)]
pub(crate) struct Traced {
    what: What,
    dialect: Dialect,
}

#[derive(Debug)]
enum What {
    /// As the bus brought it: all sockets share its span.
    Live(Arc<Push>),
    /// Read from an inbox or a log for this socket alone.
    Replayed(Frame, Destination),
}

impl Traced {
    /// A live one, if it is traced.
    pub(crate) fn live(push: &Arc<Push>, dialect: Dialect) -> Option<Box<Self>> {
        push.trace.is_some().then(|| {
            let what = What::Live(push.clone());
            Box::new(Self { what, dialect })
        })
    }

    /// A replayed one, if it is traced.
    pub(crate) fn replayed(
        frame: &Frame,
        destination: Destination,
        dialect: Dialect,
    ) -> Option<Box<Self>> {
        frame.trace.is_some().then(|| {
            let what = What::Replayed(frame.clone(), destination);
            Box::new(Self { what, dialect })
        })
    }
}

/// The traced notifications of one wake-up. While there is none this is one null pointer.
#[derive(Debug, Default)]
pub(crate) struct Marks(Option<Box<Those>>);

#[derive(Debug, Default)]
struct Those(Vec<Traced>);

impl Marks {
    /// One more is to be written.
    pub(crate) fn add(&mut self, traced: Traced) {
        self.0.get_or_insert_default().0.push(traced);
    }

    /// They have been written.
    pub(crate) fn written(self, spans: &Spans) {
        for Traced { what, dialect } in self.0.into_iter().flat_map(|those| those.0) {
            let dialect = dialect.name();
            match what {
                What::Live(push) => {
                    if let Some(delivery) = &push.trace {
                        delivery.written(dialect);
                    }
                }
                What::Replayed(frame, destination) => {
                    let parent = frame.trace.as_deref();
                    if let Some(delivery) = spans.delivery(parent, frame.id, destination, true) {
                        delivery.written(dialect);
                    }
                }
            }
        }
    }
}
