//! What the kernel says of a process.

use std::fs;
use std::io;
use std::time::Duration;

/// User and system time that all its threads have used, to the nanosecond.
///
/// Threads that have ended are not in it: ours live as long as their process.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            total += first_number(&text)?;
        }
    }
    Ok(Duration::from_nanos(total))
}

/// Its proportional share of memory, in bytes.
///
/// # Errors
/// When there is no such process, or it is not ours to look at.
pub fn memory(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    Ok(first_number(pss.unwrap_or_default())? * 1024)
}

/// The machine, for the record: processor and kernel.
#[must_use]
pub fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel
        .split('-')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = model.unwrap_or_else(|| "unknown processor".to_owned());
    format!("{count} × {model}, Linux {kernel}")
}

fn first_number(text: &str) -> io::Result<u64> {
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_time_and_memory() {
        let own = std::process::id();
        let before = cpu(own).unwrap();
        let mut sum = 0_u64;
        while cpu(own).unwrap() < before + Duration::from_millis(20) {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(memory(own).unwrap() > 100_000, "{sum}");
    }
}
