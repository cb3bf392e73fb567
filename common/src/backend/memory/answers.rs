//! What gateways of this process answer to a question, for as long as somebody waits for it.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::backend::Roll;

/// The answers to the questions that are open. What nobody waits for is thrown away.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<String, Vec<Roll>>>);

/// A question that is open until this is dropped.
pub(super) struct Open<'a> {
    answers: &'a Answers,
    pub(super) name: String,
}

impl Answers {
    /// Opens a question.
    pub(super) fn open(&self) -> Open<'_> {
        let name = format!("{:032x}", rand::random::<u128>());
        self.0.lock().insert(name.clone(), Vec::new());
        Open {
            answers: self,
            name,
        }
    }

    /// Adds an answer to a question, if it is still open.
    pub(super) fn add(&self, to: &str, answer: Roll) {
        if let Some(answers) = self.0.lock().get_mut(to) {
            answers.push(answer);
        }
    }
}

impl Open<'_> {
    /// What was answered so far.
    pub(super) fn so_far(&self) -> Vec<Roll> {
        let open = self.answers.0.lock();
        open.get(&self.name).cloned().unwrap_or_default()
    }

    /// How many answers there are.
    pub(super) fn count(&self) -> usize {
        self.answers.0.lock().get(&self.name).map_or(0, Vec::len)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.answers.0.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_while_somebody_waits() {
        let answers = Answers::default();
        let roll = |gateway: &str| Roll {
            gateway: gateway.parse().unwrap(),
            connections: 0,
            members: Vec::new(),
            more: false,
        };
        let (open, other) = (answers.open(), answers.open());
        answers.add(&open.name, roll("a"));
        answers.add("nobody's", roll("b"));
        assert_eq!((open.count(), other.count()), (1, 0));
        assert_eq!(open.so_far(), [roll("a")]);
        let name = open.name.clone();
        drop(open);
        answers.add(&name, roll("c"));
        drop(other);
        assert!(answers.0.lock().is_empty());
    }
}
