//! Questions who is on a channel, waiting to be answered.

use std::collections::VecDeque;

use carillon_common::backend::RollCall;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many wait at once. Whoever asks waits for a second or so: those beyond are not answered in time anyway.
const MOST: usize = 64;

/// The questions, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct RollCalls {
    waiting: Mutex<VecDeque<Asked>>,
    some: Notify,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The question's name.
    pub answer_to: Box<str>,
    /// What is asked.
    pub call: RollCall,
}

impl RollCalls {
    /// Puts a question in; false when too many wait.
    pub(super) fn put(&self, asked: Asked) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST {
            return false;
        }
        waiting.push_back(asked);
        drop(waiting);
        self.some.notify_one();
        true
    }

    /// Takes the next one, once there is one.
    pub(crate) async fn next(&self) -> Asked {
        loop {
            if let Some(asked) = self.waiting.lock().pop_front() {
                return asked;
            }
            self.some.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_wait_in_their_order_and_not_too_many_of_them() {
        let calls = RollCalls::default();
        let asked = |number: usize| Asked {
            answer_to: number.to_string().into(),
            call: RollCall {
                channel: "orders".parse().unwrap(),
                after: None,
                most: 1,
            },
        };
        for number in 0..MOST {
            assert!(calls.put(asked(number)));
        }
        assert!(!calls.put(asked(MOST)));
        for number in 0..MOST {
            assert_eq!(*calls.next().await.answer_to, *number.to_string());
        }
        let late = tokio::join!(calls.next(), async { assert!(calls.put(asked(7))) });
        assert_eq!(&*late.0.answer_to, "7");
    }
}
