//! Gateway pods on Kubernetes: a gateway that is seen to be dead is reaped at once, and not when its
//! lease ends.
//!
//! Only an optimization, and for every dispatcher alike: without access to the API server leases
//! decide as everywhere else, a gateway that is reaped by mistake registers its connections again, and
//! of several dispatchers that see the same death the store lets one do the work.

mod deaths;
mod names;
mod sighting;
mod watch;

pub(crate) use names::Names;
pub(crate) use watch::{Cluster, Watch};
