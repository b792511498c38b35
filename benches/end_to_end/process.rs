//! The kernel's figures about a process.

use std::time::{Duration, Instant};

/// The kernel's unit of CPU time in `/proc`, the same on every current Linux.
const TICK_US: u64 = 10_000;

/// Returns the CPU time of a process in user and system mode, including threads that have ended.
pub(crate) fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in parentheses may contain any characters. The fields behind it have no spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    ticks * TICK_US
}

/// Returns the CPU time per thread name, the largest first, without threads that have ended.
pub(crate) fn threads_cpu_us(pid: u32) -> Vec<(String, u64)> {
    let mut threads = std::collections::BTreeMap::<String, u64>::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs") {
        let dir = entry.expect("a thread").path();
        // A thread may end after it was listed.
        let Ok(name) = std::fs::read_to_string(dir.join("comm")) else { continue };
        let Ok(spent) = std::fs::read_to_string(dir.join("schedstat")) else { continue };
        let ns: u64 = spent.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        *threads.entry(name.trim().to_owned()).or_default() += ns / 1000;
    }
    let mut threads: Vec<(String, u64)> = threads.into_iter().collect();
    threads.sort_by_key(|(_, us)| std::cmp::Reverse(*us));
    threads
}

/// Returns the resident memory in KiB: `VmHWM` is its peak, `VmRSS` its present size.
pub(crate) fn memory_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a known field");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// Waits until the process uses less than a tenth of a core, or until `timeout` has passed.
pub(crate) fn settle(pid: u32, timeout: Duration) {
    const LOOK: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + timeout;
    let mut before = cpu_us(pid);
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        let now = cpu_us(pid);
        if now - before < 100_000 {
            return;
        }
        before = now;
    }
}
