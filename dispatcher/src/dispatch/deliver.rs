//! Gives an order to the store until it answers, or the caller's time is over.

use std::{future::Future, ops::ControlFlow, time::Duration};

use carillon_common::{
    backend::BackendError,
    retry::{self, pauses},
};
use tokio::time::Instant;

/// Between two tries, at most; the pauses double up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(640);

/// The store's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivered<T> {
    pub(crate) answer: T,
    /// Whether an earlier attempt of ours may have been the one that was accepted.
    pub(crate) after_doubt: bool,
}

/// Calls until the answer is definite. Every call gives the same order, so none is doubled.
///
/// # Errors
/// The store's refusal; once any attempt's outcome is unknown, so is that of all together.
pub(crate) async fn deliver<T, F>(
    deadline: Instant,
    call: impl FnMut() -> F,
) -> Result<Delivered<T>, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let mut doubt = None;
    let pauses = pauses(FIRST_PAUSE, LAST_PAUSE);
    let tried = retry::until(deadline, pauses, call, |tried| {
        let failure = match tried {
            Ok(Err(failure)) if failure.may_pass() => failure,
            Ok(definite) => return ControlFlow::Break(definite),
            Err(_) => BackendError::Unknown("no answer before the request's deadline".to_owned()),
        };
        if matches!(failure, BackendError::Unknown(_)) {
            doubt = Some(failure.clone());
        }
        ControlFlow::Continue(failure)
    })
    .await;
    match tried {
        Ok(definite) => Ok(Delivered {
            answer: definite?,
            after_doubt: doubt.is_some(),
        }),
        Err(failure) => Err(doubt.unwrap_or(failure)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Runs against a store that answers with `answers`, then with `Unavailable` for ever.
    async fn run(
        answers: impl IntoIterator<Item = Result<u8, BackendError>>,
    ) -> (Result<Delivered<u8>, BackendError>, u32) {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        let mut calls = 0;
        let start = Instant::now();
        let result = deliver(start + Duration::from_millis(500), || {
            calls += 1;
            std::future::ready(answers.pop_front().unwrap_or_else(|| Err(unavailable())))
        })
        .await;
        (result, calls)
    }

    fn unavailable() -> BackendError {
        BackendError::Unavailable("down".to_owned())
    }

    fn unknown() -> BackendError {
        BackendError::Unknown("lost".to_owned())
    }

    #[tokio::test]
    async fn a_failing_store_is_asked_again_until_it_answers() {
        let (result, calls) = run([Err(unavailable()), Err(unavailable()), Ok(7)]).await;
        let expected = Delivered {
            answer: 7,
            after_doubt: false,
        };
        assert_eq!((result.unwrap(), calls), (expected, 3));
    }

    #[tokio::test]
    async fn an_answer_after_an_unknown_outcome_says_so() {
        let (result, ..) = run([Err(unknown()), Err(unavailable()), Ok(7)]).await;
        assert!(result.unwrap().after_doubt);
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let (result, calls) = run([Err(BackendError::InboxFull), Ok(1)]).await;
        assert!(matches!(result, Err(BackendError::InboxFull)) && calls == 1);
    }

    #[tokio::test]
    async fn attempts_are_bounded_by_the_deadline_and_their_pauses() {
        let (result, calls) = run([]).await;
        assert!(matches!(result, Err(BackendError::Unavailable(_))));
        assert!((2..40).contains(&calls), "{calls}");
    }

    #[tokio::test]
    async fn one_unknown_outcome_makes_the_whole_unknown() {
        let (result, ..) = run([Err(unavailable()), Err(unknown())]).await;
        assert!(matches!(result, Err(BackendError::Unknown(_))));
    }

    #[tokio::test]
    async fn a_store_that_never_answers_is_given_up_at_the_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_millis(50);
        let result = deliver(deadline, std::future::pending::<Result<u8, _>>).await;
        assert!(matches!(result, Err(BackendError::Unknown(_))));
        assert!(Instant::now() >= deadline);
    }
}
