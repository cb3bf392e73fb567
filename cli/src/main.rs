//! `carillon`: gateway and dispatcher in one process, and the tools around them.

use std::process::ExitCode;

use carillon_common::process::runtime;

/// Connections are many small, long-lived allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::io::Result<ExitCode> {
    Ok(runtime()?.block_on(carillon::main()))
}
