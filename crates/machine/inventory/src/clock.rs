/// A wall-clock time as it is shown.
pub fn clock(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

/// When a process of this machine started, by the boot's time in /proc/stat and the ticks since then (proc(5)).
pub fn started(ticks: u64) -> Option<String> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let unix_ms = boot.saturating_add(ticks / a_second).saturating_mul(1000);
    Some(clock(unix_ms))
}
