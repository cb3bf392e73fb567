//! What both services say over HTTP: problems, a page for people, the admin port, and how to serve.

mod accept;
pub mod admin;
mod crowd;
pub mod files;
mod front;
mod health;
mod listen;
mod media_range;
pub mod origin;
mod problem;
mod refused_origins;
mod serve;

pub use self::accept::{Accepted, Acceptor, Arrival};
pub use self::crowd::{Crowd, Place};
pub use self::front::{Front, Page, import_map};
pub use self::health::Health;
pub use self::listen::{IN_KERNEL, listen};
pub use self::problem::{ERRORS_PAGE, FieldProblem, PROBLEM_JSON, Problem};
pub use self::refused_origins::RefusedOrigins;
pub use self::serve::{Taken, serve, serve_connection, serve_until_taken};
