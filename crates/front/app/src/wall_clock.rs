use jiff::{SignedDuration, Timestamp, Zoned};

/// The time of day, in this machine's time zone. A rotation gets its time from the port `Clock` instead.
#[expect(clippy::disallowed_methods, reason = "the one place of the fronts that reads the clock")]
pub fn now() -> Zoned {
    Zoned::now()
}

/// The time so many seconds from now, as RFC 3339 in UTC: `2026-11-26T21:40:00Z`.
pub fn in_seconds(seconds: u32) -> String {
    let then = now().timestamp().saturating_add(SignedDuration::from_secs(seconds.into()));
    then.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
