//! What a caller is told when the store refuses or fails: never its address or its own words.

use std::time::Duration;

use carillon_common::{
    backend::{BackendError, Fault, FaultKind},
    errors::ProblemKind,
};

/// Its row in the table of all problems.
pub(super) fn kind_of(error: &BackendError) -> ProblemKind {
    match error {
        BackendError::InboxFull => ProblemKind::InboxFull,
        BackendError::TooManyScheduled => ProblemKind::TooManyScheduled,
        BackendError::NotThen => ProblemKind::NotThen,
        BackendError::IdempotencyMismatch => ProblemKind::IdempotencyMismatch,
        BackendError::TooManyRevocations => ProblemKind::TooManyRevocations,
        BackendError::TooManyTickets(_) => ProblemKind::TooManyTickets,
        BackendError::TooManyChannels => ProblemKind::TooManyChannels,
        BackendError::StoreFull(_) => ProblemKind::StoreFull,
        BackendError::Unavailable(_) => ProblemKind::Unavailable,
        BackendError::Refused(_) => ProblemKind::StoreRefuses,
        BackendError::Unknown(_) => ProblemKind::OutcomeUnknown,
        BackendError::Partly(_) => ProblemKind::StoredInPart,
        BackendError::Replaced | BackendError::TooManyConnections | BackendError::Unexpected(_) => {
            ProblemKind::Internal
        }
    }
}

/// When to try again, where that is sooner than for others of its kind: what passes by itself is over soon.
pub(super) fn sooner(error: &BackendError) -> Option<Duration> {
    match error {
        BackendError::Refused(fault) if fault.kind.passes() => Some(Duration::from_secs(1)),
        BackendError::TooManyTickets(lapse) => Some(*lapse),
        _ => None,
    }
}

/// What went wrong, and what to do about it.
pub(super) fn detail(error: &BackendError) -> &'static str {
    match error {
        BackendError::InboxFull => {
            "this user's inbox holds its limit of unread notifications and none of the user's \
             devices can be passed over; it takes more once a device has read some or they expire"
        }
        BackendError::TooManyScheduled => {
            "as many notifications as inbox.scheduled wait for their time for this user: cancel some, or send this one \
             when others were delivered"
        }
        BackendError::NotThen => {
            "deliver_at may be at most 30 days ahead, and not in the past: leave it out to send now"
        }
        BackendError::IdempotencyMismatch => {
            "this Idempotency-Key was used before with another request; take a new key for a new \
             notification, and repeat a request byte for byte"
        }
        BackendError::TooManyRevocations => {
            "as many revocations as auth.max_revocations are in force: take some back, raise the \
             setting, or replace the key that signed the tokens"
        }
        BackendError::TooManyTickets(_) => {
            "the user has auth.tickets_per_user tickets that are not used yet; each lapses after \
             auth.ticket_ttl"
        }
        BackendError::TooManyChannels => {
            "services have put the user on socket.channels channels; take the user off one first"
        }
        BackendError::StoreFull(_) => "the store's bound is reached; nothing was accepted",
        BackendError::Unavailable(_) => {
            "the store cannot be reached; nothing was accepted, try again"
        }
        BackendError::Refused(fault) => detail_of(fault),
        BackendError::Unknown(_) => {
            "the store did not confirm in time, so the notification may or may not have been \
             accepted; retry with the same Idempotency-Key and it is not doubled"
        }
        BackendError::Partly(_) => {
            "the store does not allow this service all that it needs, so the notification is stored and \
             may reach connected devices late or not at all; correct the rights (`carillon doctor` names \
             them), then retry with the same Idempotency-Key"
        }
        BackendError::Replaced | BackendError::TooManyConnections | BackendError::Unexpected(_) => {
            "the service failed; its log has the reason under this request's id"
        }
    }
}

/// The same of a store that is there: what an operator of it has to look at.
fn detail_of(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::OutOfMemory => {
            "the store's memory is full; nothing was accepted, and nothing will be until somebody makes \
             room there"
        }
        FaultKind::Disk => {
            "the store cannot write to its disk; nothing was accepted, and nothing will be until \
             somebody looks at it"
        }
        FaultKind::Auth => {
            "the store refuses this service's log-in; nothing was accepted, and nothing will be until \
             its user and password are corrected"
        }
        FaultKind::Permission => {
            "the store does not allow this service what it needs; nothing was accepted, and nothing \
             will be until its rights are corrected"
        }
        FaultKind::Tls => {
            "no encrypted connection to the store comes about; nothing was accepted, and nothing will \
             be until its configuration is corrected"
        }
        FaultKind::Replica => {
            "the store is a replica, which takes no writes; nothing was accepted, try again: a failover \
             is over soon"
        }
        FaultKind::MaxClients => "the store takes no more clients; nothing was accepted, try again",
        FaultKind::TooFewReplicas => {
            "the store has fewer replicas than it asks for itself; nothing was accepted, try again"
        }
        FaultKind::WrongServer
        | FaultKind::Misconfigured
        | FaultKind::Unreachable
        | FaultKind::Unanswered
        | FaultKind::NotReady
        | FaultKind::Unexpected => {
            "the store refuses what this service is configured with; nothing was accepted, and nothing \
             will be until that is corrected"
        }
    }
}
