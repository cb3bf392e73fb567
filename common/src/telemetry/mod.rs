//! What the services tell about themselves: log lines and metrics.

pub mod logging;
pub mod metrics;
mod redact;

pub use self::logging::LogLevel;
pub use self::metrics::{
    Collector, DispatcherMetrics, GatewayMetrics, MemoryMetrics, Metrics, ProcessMetrics,
    RedisMetrics, ReloadMetrics,
};
pub use self::redact::redact_query;
