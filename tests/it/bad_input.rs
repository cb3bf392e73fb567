//! Bad input of every kind: the documented answer, the others unharmed, nothing written.

mod bytes;
mod frames;
mod handshakes;
mod http;
mod limits;
mod mistakes;
mod peers;
mod rest;
mod tokens;

use std::fmt::Write;

use anyhow::Result;

use crate::world::Stored;

/// The outcomes of a table of cases: all are tried before the test fails.
#[derive(Default)]
struct Verdicts {
    tried: usize,
    failed: String,
}

impl Verdicts {
    fn note(&mut self, case: &str, outcome: Result<()>) {
        self.tried += 1;
        if let Err(error) = outcome {
            writeln!(self.failed, "{case}: {error:#}").unwrap();
        }
    }

    /// The end of a table that harms nobody: what was stored before its cases and after them, and
    /// whether somebody who was there all along is still reached.
    #[track_caller]
    fn conclude_unharmed(
        mut self,
        at_least: usize,
        [before, after]: [Stored; 2],
        reached: Result<()>,
    ) {
        assert_eq!(after, before, "something was written");
        self.note("who was there all along", reached);
        self.conclude(at_least);
    }

    #[track_caller]
    fn conclude(self, at_least: usize) {
        assert!(self.failed.is_empty(), "\n{}", self.failed);
        assert!(self.tried >= at_least, "only {} cases", self.tried);
    }
}
