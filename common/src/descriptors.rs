//! Open files, which bound connections.

/// Raises the soft limit of open files to the hard one, and answers it.
///
/// Container runtimes hand out a soft limit of 1024 that is meant for programs using select(2).
pub fn raise_descriptors() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files could not be raised");
        1_024
    })
}
