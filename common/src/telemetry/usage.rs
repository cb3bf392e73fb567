//! What the process uses, and what it may: read from the kernel and the runtime for each scrape.
//!
//! Where the kernel does not tell (another system than Linux), the metrics stay 0.

use std::{fs, path::Path};

use prometheus::Counter;
use rlimit::Resource;
use tokio::runtime::Handle;

use super::ProcessMetrics;

/// Ticks of a second in /proc, on every architecture.
const TICKS: f64 = 100.0;

/// Brings the metrics up to date.
pub(super) fn measure(metrics: &ProcessMetrics) {
    if let Some(usage) = Usage::read() {
        usage.show(metrics);
    }
    metrics.open_fds.set(open_files());
    if let Ok((soft, _)) = Resource::NOFILE.get() {
        metrics.max_fds.set(i64::try_from(soft).unwrap_or(i64::MAX));
    }
    metrics.memory_limit.set(memory_limit().unwrap_or(0));
    if let Ok(runtime) = Handle::try_current() {
        let runtime = runtime.metrics();
        let workers = runtime.num_workers();
        metrics.runtime_workers.set(workers as i64);
        metrics.runtime_tasks.set(runtime.num_alive_tasks() as i64);
        metrics
            .runtime_queue
            .set(runtime.global_queue_depth() as i64);
        let busy = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker));
        let busy = busy.map(|busy| busy.as_secs_f64()).sum::<f64>();
        metrics
            .runtime_busy
            .inc_by(since(&metrics.runtime_busy, busy));
    }
}

/// How far a counter is behind what was counted elsewhere.
fn since(counter: &Counter, now: f64) -> f64 {
    (now - counter.get()).max(0.0)
}

/// What /proc tells.
#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident: i64,
    virtual_memory: i64,
    threads: i64,
    /// Unix time.
    started: f64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        Self::parse(&stat, &status, &boot)
    }

    /// Of the texts of /proc/self/stat, /proc/self/status and /proc/stat.
    fn parse(stat: &str, status: &str, boot: &str) -> Option<Self> {
        // The second field is the program's name, which may hold anything; the third follows its end.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let number = |text: &str, name: &str| -> Option<i64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
            resident: number(status, "VmRSS:")? * 1_024,
            virtual_memory: number(status, "VmSize:")? * 1_024,
            threads: number(status, "Threads:")?,
            started: number(boot, "btime")? as f64 + ticks(22)? / TICKS,
        })
    }

    fn show(&self, metrics: &ProcessMetrics) {
        metrics.cpu.inc_by(since(&metrics.cpu, self.cpu_seconds));
        metrics.resident.set(self.resident);
        metrics.virtual_memory.set(self.virtual_memory);
        metrics.threads.set(self.threads);
        metrics.start_time.set(self.started);
    }
}

fn open_files() -> i64 {
    let folder = Path::new("/proc/self/fd");
    // A kernel from 6.2 on gives their number as the folder's size; to list them takes long.
    let told = folder.metadata().map_or(0, |it| it.len());
    if told > 0 {
        return i64::try_from(told).unwrap_or(i64::MAX);
    }
    // Less the one that lists them.
    fs::read_dir(folder).map_or(0, |files| files.count() as i64 - 1)
}

/// The control group's, in either version of their interface.
fn memory_limit() -> Option<i64> {
    let files = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let text = files
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())?;
    bytes(&text)
}

/// `max`, or more than any machine has, is no limit.
fn bytes(text: &str) -> Option<i64> {
    let limit: i64 = text.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 9 0 4200 1 2 3";
        let status = "Name:\ta ) b\nVmSize:\t  4096 kB\nVmRSS:\t  1024 kB\nThreads:\t9\n";
        let boot = "cpu  1 2 3\nbtime 1700000000\n";
        let usage = Usage::parse(stat, status, boot).unwrap();
        let expected = Usage {
            cpu_seconds: 2.0,
            resident: 1 << 20,
            virtual_memory: 4 << 20,
            threads: 9,
            started: 1_700_000_042.0,
        };
        assert_eq!(usage, expected);
        assert_eq!(Usage::parse("7 (x) S 1", status, boot), None);
    }

    #[test]
    fn no_limit_of_memory_is_none() {
        assert_eq!(bytes("max\n"), None);
        assert_eq!(bytes("9223372036854771712\n"), None);
        assert_eq!(bytes("536870912\n"), Some(536_870_912));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_shows_what_it_uses() {
        let metrics = ProcessMetrics::new();
        measure(&metrics);
        let files: Vec<_> = (0..10)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        measure(&metrics);
        assert!(metrics.open_fds.get() > files.len() as i64);
        assert!(metrics.max_fds.get() >= metrics.open_fds.get());
        assert!(metrics.resident.get() > 1 << 20);
        assert!(metrics.threads.get() >= 1 && metrics.runtime_workers.get() >= 1);
        assert!(metrics.start_time.get() > 1_700_000_000.0);
    }
}
