//! What the services tell about themselves: log lines, metrics and traces.

pub mod logging;
pub mod metrics;
mod rarely;
mod redact;
pub mod spans;
mod usage;

pub use self::logging::LogLevel;
pub use self::metrics::{
    CanaryMetrics, Collector, DispatcherMetrics, GatewayMetrics, JwksMetrics, MemoryMetrics,
    Metrics, ProcessMetrics, RedisMetrics, ReloadMetrics, TracingMetrics,
};
pub use self::rarely::Rarely;
pub use self::redact::redact_query;
pub use self::spans::Spans;
