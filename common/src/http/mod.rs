//! What both services say over HTTP: problems, the admin port, and how to serve.

pub mod admin;
mod failures;
mod health;
mod problem;
mod serve;

pub use self::failures::AcceptFailures;
pub use self::health::Health;
pub use self::problem::{FieldProblem, PROBLEM_JSON, Problem};
pub use self::serve::{listen, serve};
