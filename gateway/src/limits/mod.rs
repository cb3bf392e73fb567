//! How much strangers and users may ask for, and how fast.

mod admission;
mod rate;
mod refused_tokens;

pub(crate) use admission::{Admission, Reason, Refused};
pub(crate) use rate::{Bucket, Rate};
pub(crate) use refused_tokens::RefusedTokens;
