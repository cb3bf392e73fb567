//! Several notifications in one request: each is accepted or not by itself.
//!
//! Those of different users are given to the store at once, where they share round trips; those of one user one after
//! the other, so that they stay in order.

use std::collections::HashMap;

use carillon_common::{
    backend::{BackendError, SendOrder},
    errors::ProblemKind,
    http::Problem,
    ids::UserId,
    protocol::schema::names,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

use super::{
    post::Posted,
    send::{Accepted, Outcome, SendAnswer, accept_one},
};
use crate::{
    app::App,
    contract::{self, described, refer},
    error::ApiError,
};

/// Of one request, how many the store is given at once.
pub(super) const AT_ONCE: usize = 64;

/// What became of one of several, and which it was.
pub(super) type Answered = (usize, Result<Accepted, ApiError>);

/// Which of several are for the same user, in order: `users` tells of each for whom it is.
pub(super) fn by_user<'u>(users: impl Iterator<Item = (usize, &'u UserId)>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: HashMap<&UserId, usize> = HashMap::new();
    for (at, user) in users {
        let group = *group_of.entry(user).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(at);
    }
    groups
}

/// Has several accepted, within the request's time for the store. `groups` has those of each user, in order; `plan` makes
/// the order of each when it is its turn, so that not all of them are held at once.
pub(super) async fn accept_each<P>(
    app: &App,
    posted: &Posted<'_>,
    groups: Vec<Vec<usize>>,
    plan: &P,
) -> Vec<Answered>
where
    P: Fn(usize) -> Result<SendOrder, ApiError> + Sync,
{
    let until = app.store_deadline(posted.deadline);
    let groups = stream::iter(groups);
    let turns = groups.map(|group| in_turn(app, posted, until, group, plan));
    let answered: Vec<Vec<Answered>> = turns.buffer_unordered(AT_ONCE).collect().await;
    answered.into_iter().flatten().collect()
}

/// Has those of one user accepted. After one of which it is not known, or that may be accepted later, the others are not
/// tried: whoever tries again is to find them in order.
async fn in_turn<P>(
    app: &App,
    posted: &Posted<'_>,
    until: Instant,
    group: Vec<usize>,
    plan: &P,
) -> Vec<Answered>
where
    P: Fn(usize) -> Result<SendOrder, ApiError> + Sync,
{
    let mut answered = Vec::with_capacity(group.len());
    let mut stopped = false;
    for at in group {
        let answer = match (stopped, plan(at)) {
            (_, Err(error)) => Err(error),
            (true, Ok(_)) => Err(not_tried()),
            (false, Ok(order)) => accept_in_time(app, posted, until, &order).await,
        };
        stopped |= answer.as_ref().is_err_and(is_open);
        answered.push((at, answer));
    }
    answered
}

async fn accept_in_time(
    app: &App,
    posted: &Posted<'_>,
    until: Instant,
    order: &SendOrder,
) -> Result<Accepted, ApiError> {
    let _place = place(app, until).await?;
    // A call that begins now would be given up at once, and nobody would know what came of it.
    if Instant::now() >= until {
        return Err(not_tried());
    }
    app.allowance.take(posted.service, 1, &[&order.user])?;
    accept_one(app, posted.caller, until, order).await
}

/// A place among what the store is given at once, all requests' together.
pub(super) async fn place(app: &App, until: Instant) -> Result<SemaphorePermit<'_>, ApiError> {
    let place = timeout_at(until, app.several.acquire()).await;
    place.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)
}

fn not_tried() -> ApiError {
    let why = "another notification of this request was not answered in time";
    ApiError::Backend(BackendError::Unavailable(why.to_owned()))
}

/// Whether the same may still be accepted, or has been.
fn is_open(error: &ApiError) -> bool {
    match error {
        ApiError::Backend(error) => error.is_retryable(),
        error => matches!(error, ApiError::Overloaded | ApiError::RateLimited(_)),
    }
}

/// What became of several notifications; in itself it is accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeveralAnswer {
    /// For people.
    message: String,
    /// How many were accepted.
    accepted: usize,
    /// How many were not.
    failed: usize,
    /// Of how many it is not known. Sent again under the same keys, none is doubled.
    unknown: usize,
    /// What became of each, in the order of the request.
    #[schema(value_type = Vec<SendResult>)]
    results: Vec<Became>,
}

/// What became of one of several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Became {
    Accepted {
        #[serde(skip_serializing_if = "Option::is_none")]
        target_user: Option<UserId>,
        #[serde(flatten)]
        answer: SendAnswer,
        idempotent_replayed: bool,
    },
    NotAccepted {
        #[serde(skip_serializing_if = "Option::is_none")]
        target_user: Option<UserId>,
        status: &'static str,
        problem: Box<Problem>,
    },
}

described! {
    /// What became of one of several; [`Became`] writes it.
    SendResult: json!({
        "type": "object",
        "description": "What became of one notification of several",
        "required": ["status"],
        "properties": {
            "status": { "enum": ["ok", "failed", "unknown"], "description":
                "`ok`: accepted; all but `problem` is there, as a send answers it. `failed`: not accepted. `unknown`: the \
                 store did not say; send it again under the same key. Of the last two `problem` tells more" },
            "target_user": names::user(),
            "message": { "type": "string", "description": "For people" },
            "id": refer::<contract::Id>(),
            "cursor": { "anyOf": [refer::<contract::Cursor>(), { "type": "null" }] },
            "outcome": refer::<Outcome>(),
            "devices": { "type": "integer", "minimum": 0 },
            "user_seen": { "type": "boolean" },
            "deliver_at": refer::<contract::Time>(),
            "idempotent_replayed": { "type": "boolean", "description":
                "Whether an earlier request was repeated: nothing was sent again" },
            "problem": { "$ref": "#/components/schemas/Problem" },
        },
    });
}

/// Tells what became of each: of those of `answered`, and in the order of `users`, which has of each for whom it is where
/// that could be read. `place`: where in the request a pointer of one of them leads.
pub(super) fn tell(
    app: &App,
    posted: &Posted<'_>,
    users: Vec<Option<UserId>>,
    answered: Vec<Answered>,
    place: impl Fn(usize, &str) -> String,
) -> SeveralAnswer {
    let mut results: Vec<Option<Became>> = users.iter().map(|_| None).collect();
    let (mut accepted, mut unknown) = (0, 0);
    for (at, answer) in answered {
        let target_user = users.get(at).cloned().flatten();
        let became = match answer {
            Ok(Accepted { answer, replayed }) => {
                accepted += 1;
                Became::Accepted {
                    target_user,
                    answer,
                    idempotent_replayed: replayed,
                }
            }
            Err(error) => {
                let is_unknown = is_unknown(&error);
                unknown += usize::from(is_unknown);
                app.failures.log(&error, posted.arrival.id());
                app.counters.refusal(&error);
                let mut problem = error.problem(posted.arrival.id());
                for wrong in &mut problem.errors {
                    wrong.pointer = place(at, &wrong.pointer);
                }
                Became::NotAccepted {
                    target_user,
                    status: if is_unknown { "unknown" } else { "failed" },
                    problem: Box::new(problem),
                }
            }
        };
        if let Some(result) = results.get_mut(at) {
            *result = Some(became);
        }
    }
    let results: Vec<_> = results.into_iter().flatten().collect();
    let failed = results.len() - accepted - unknown;
    SeveralAnswer {
        message: format!("accepted: {accepted}, failed: {failed}, unknown: {unknown}"),
        accepted,
        failed,
        unknown,
        results,
    }
}

/// Whether it is not known what came of it.
pub(super) fn is_unknown(error: &ApiError) -> bool {
    matches!(
        error.kind(),
        ProblemKind::OutcomeUnknown | ProblemKind::StoredInPart
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_one_user_stay_together_and_in_order() {
        let users = ["a", "b", "a", "c", "b", "a"].map(|user| user.parse::<UserId>().unwrap());
        let grouped = by_user(users.iter().enumerate());
        assert_eq!(grouped, [vec![0, 2, 5], vec![1, 4], vec![3]]);
    }

    #[test]
    fn what_may_yet_be_accepted_keeps_the_next_ones_waiting() {
        for (error, open) in [
            (BackendError::InboxFull, false),
            (BackendError::IdempotencyMismatch, false),
            (BackendError::Unavailable(String::new()), true),
            (BackendError::Unknown(String::new()), true),
            (BackendError::StoreFull(""), true),
        ] {
            assert_eq!(is_open(&ApiError::Backend(error.clone())), open, "{error}");
        }
        assert!(is_open(&ApiError::Overloaded) && !is_open(&ApiError::NotFound));
    }
}
