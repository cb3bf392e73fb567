//! The decisions of a follower: whether and when to come back, and what it has seen before.

use std::collections::{HashSet, VecDeque};

/// Ids that are remembered.
const REMEMBERED: usize = 10_000;

/// Whether and when to come back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Return {
    Never,
    Later,
    Now,
}

/// By the close code: 40xx stop, 41xx back off, 42xx now, and what RFC 6455 says of the others. 4008
/// is for who was not heard of; whoever hears it is there again.
/// `by_itself`: if another connection took the session over, that was one of our own.
pub(super) fn after_end(code: u16, by_itself: bool) -> Return {
    match code {
        4008 => Return::Later,
        4009 if by_itself => Return::Now,
        4000..=4099 | 1002 | 1003 | 1007 | 1009 => Return::Never,
        4200..=4299 | 1012 => Return::Now,
        _ => Return::Later,
    }
}

/// The newest ids.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_close_code_says_whether_to_come_back() {
        for (code, next) in [
            (1000, Return::Later),
            (1006, Return::Later),
            (1009, Return::Never),
            (1012, Return::Now),
            (4001, Return::Never),
            (4008, Return::Later),
            (4009, Return::Never),
            (4100, Return::Later),
            (4102, Return::Later),
            (4200, Return::Now),
            (4300, Return::Later),
        ] {
            assert_eq!(after_end(code, false), next, "{code}");
        }
        assert_eq!(after_end(4001, true), Return::Never);
        assert_eq!(after_end(4009, true), Return::Now);
    }

    #[test]
    fn an_id_is_new_once_while_it_is_remembered() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a"));
        assert!(!seen.is_new("a"));
        for n in 0..REMEMBERED {
            assert!(seen.is_new(&n.to_string()));
        }
        assert!(seen.is_new("a"));
        assert_eq!(seen.known.len(), REMEMBERED);
    }
}
