//! What both services say over HTTP: problems, a page for people, the admin port, and how to serve.

mod accept;
pub mod admin;
mod crowd;
mod front;
mod health;
mod listen;
mod media_range;
mod problem;
mod serve;

pub use self::accept::Acceptor;
pub use self::crowd::{Crowd, Place};
pub use self::front::{Front, Page};
pub use self::health::Health;
pub use self::listen::{IN_KERNEL, listen};
pub use self::problem::{ERRORS_PAGE, FieldProblem, PROBLEM_JSON, Problem};
pub use self::serve::{Taken, serve, serve_connection, serve_until_taken};
