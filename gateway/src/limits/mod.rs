//! How much strangers and users may ask for, and how fast.

mod admission;
mod refused_tokens;

pub(crate) use admission::{Admission, Reason, Refused};
pub(crate) use refused_tokens::RefusedTokens;
