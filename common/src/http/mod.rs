//! What both services say over HTTP: problems, a page for people, the admin port, and how to serve.

mod accept;
pub mod admin;
mod failures;
mod front;
mod health;
mod problem;
mod serve;

pub use self::failures::AcceptFailures;
pub use self::front::Front;
pub use self::health::Health;
pub use self::problem::{FieldProblem, PROBLEM_JSON, Problem};
pub use self::serve::{listen, serve};
