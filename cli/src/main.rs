//! `carillon`: gateway and dispatcher in one process, and the tools around them.

use std::process::ExitCode;

/// Connections are many small, long-lived allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    carillon::main().await
}
