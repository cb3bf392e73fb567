//! A client of Carillon, for Rust.
//!
//! - [`Follower`] is a user's device: it follows the user's notifications over as many connections as it
//!   takes, gives each to the application once, and acknowledges what the application has handled.
//! - [`Api`] is a service: it has notifications accepted, each once however often it is tried, and asks
//!   for what the deployment is doing.
//! - [`Socket`] is one connection of a device, for those who want to see what a [`Follower`] hides.
//!
//! Everything fails with the one [`Error`]. Nothing is printed, no process is ended, and no task is
//! started: what is dropped is over. The runtime is tokio's.

mod address;
mod api;
mod error;
mod follow;
mod frame;
mod socket;
pub mod tls;
mod token;

pub use carillon_common::{
    auth::Secret,
    http::{FieldProblem, Problem},
};
pub use rustls::ClientConfig;

pub use address::{AddressError, api_url, gateway_url, is_local};
pub use api::{
    Accepted, Api, Assigned, Cancelled, ChannelPage, ChannelPresence, ChannelUser, DeviceReceipt,
    Disconnect, Erased, GatewayState, GatewaysAsked, History, InboxPage, InboxQuery, Keyed,
    Message, MovingGateway, Outcome, Receipt, Retracted, Revocation, Revoke, SchedulePage,
    UserConnection,
};
pub use error::Error;
pub use follow::{Event, Follower};
pub use frame::{Control, Notification};
pub use socket::{Incoming, Socket, Target};
pub use token::TokenSource;
