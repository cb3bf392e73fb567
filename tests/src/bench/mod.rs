//! What `make bench` is made of: a floor to compare with, a load client, measured phases, a report.
//!
//! Every figure that depends on the machine is a ratio against the floor, measured in the same run
//! with the same load client: one epoll thread that does one `send(2)` of a pre-encoded frame for
//! each delivery. Floor, services and Redis are processes of their own, so that the kernel counts
//! the CPU time of each alone.

pub mod callers;
pub mod crowd;
pub mod figures;
pub mod floor;
pub mod phases;
pub mod proc;
pub mod record;
pub mod rig;
pub mod wire;
