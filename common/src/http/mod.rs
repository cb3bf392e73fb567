//! What both services say over HTTP: problems, and the admin port.

pub mod admin;
mod health;
mod problem;

pub use self::health::Health;
pub use self::problem::{FieldProblem, PROBLEM_JSON, Problem};
