//! The cost of a command, for the benchmark, which cannot separate this process's time from its children's.

use std::fs;
use std::time::Duration;

use keyroll_observe::memory_search_time;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Writes one line of JSON on stderr: `cpu_ms`, the processor time of all of this process's threads without its
/// children; `memory_search_ms`, the part of it that searched other processes' memory; `peak_kib`, the most memory
/// that was resident (`VmHWM` of proc(5); null where it is not shown).
pub(crate) fn show_cost() {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let spent = Duration::try_from(spent).unwrap_or_default();
    let line = json!({
        "cpu_ms": millis(spent),
        "memory_search_ms": millis(memory_search_time()),
        "peak_kib": peak_kib(),
    });
    eprintln!("{line}");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
