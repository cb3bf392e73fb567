//! Keys that an issuer publishes at a URL (RFC 7517): fetched beside everything else, never waited for.
//!
//! Tokens are verified with the set that is in force, whatever its host does meanwhile. `schedule.rs` says
//! when to fetch (pure), `fetch.rs` does it, `set.rs` reads what came, `source.rs` holds it, and
//! `follow.rs` keeps it up to date.

mod fetch;
mod follow;
mod place;
mod schedule;
mod set;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use self::fetch::OverHttp;
pub(crate) use self::follow::Followers;
pub(super) use self::place::Place;
pub(crate) use self::schedule::Pace;
pub(super) use self::schedule::Sought;
pub(super) use self::set::{KeySet, PublicKey};
pub(crate) use self::source::{Source, Sources};
