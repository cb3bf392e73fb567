//! What every Carillon process does at its start and end.

mod addresses;
mod condition;
mod reload;
mod runtime;
mod service;
mod signals;
mod start;
mod supervisor;

pub use addresses::{Addresses, write_addresses};
pub use condition::show_condition;
pub use runtime::runtime;
pub use service::{ServiceArguments, bind, exit_code};
pub use signals::{Shutdown, interruption};
pub use start::Process;

/// The exit code for a configuration that cannot be used (EX_USAGE of sysexits.h).
pub const BAD_SETTINGS: u8 = 64;
