//! The contract: what the REST API takes and answers, and what the socket says, made of the code.
//!
//! A route's description stands beside its handler; `router.rs` mounts both at once. What is common to routes is
//! here: values, headers, refusals, the documents, and the pages that show them.

mod documents;
mod headers;
mod page;
mod refusals;
mod schema;
mod served;
mod values;

pub(crate) use documents::base;
pub use documents::{files, openapi};
pub(crate) use headers::{
    Asking, MOST_OF_A_PAGE, OfAssignment, OfChannel, OfGateway, OfNotification, OfRevocation,
    OfScheduled, OfUser, Paged, Posting, PostingSeveral,
};
pub(crate) use refusals::{
    OfAssignments, OfBatches, OfBroadcasts, OfCancels, OfChannels, OfDisconnects, OfDrains,
    OfInboxes, OfLists, OfMyChannels, OfMyInbox, OfMyReading, OfMyUnread, OfNotifications,
    OfOperators, OfReads, OfRevoking, OfSchedules, OfSends, OfSubscribers, OfTakingBack, OfTickets,
    OfUsers,
};
pub(crate) use schema::{Field, described, fields, optional, query, raw, refer, required};
pub(crate) use served::served;
pub(crate) use values::{
    BroadcastTtl, Channel, CollapseKey, Cursor, Data, DeliverAt, DeviceName, GatewayName, Id, Ok,
    ScheduledNotification, SendTtl, Session, StoredNotification, TicketSession, Time, User, limit,
    moment,
};
