//! What the Carillon services share: the model, the socket protocol, the backends, settings,
//! authentication and telemetry. It knows neither service.

pub mod auth;
pub mod backend;
pub mod checks;
pub mod descriptors;
pub mod errors;
pub mod http;
pub mod ids;
pub mod json;
pub mod notification;
pub mod process;
pub mod protocol;
pub mod rate;
pub mod retry;
pub mod settings;
pub mod telemetry;
pub mod text;
pub mod tls;
