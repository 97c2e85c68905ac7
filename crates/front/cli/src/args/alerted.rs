use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use keyroll_app::wall_clock;

/// Reads the time of an alert in the forms that an operator types: `03:05` of this machine's clock, today or else
/// yesterday; `5m` or `5 minutes ago`; a date with a time; RFC 3339.
pub(crate) fn alerted(text: &str) -> Result<Timestamp, String> {
    read(text.trim(), &wall_clock::now()).ok_or_else(|| {
        "write 03:05 (this machine's time, today or yesterday), 5m (ago), \
         '2026-11-20 03:05' or 2026-11-20T03:05:00Z"
            .to_owned()
    })
}

fn read(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let zone = now.time_zone();
    // Try a time of day first: some parsers also accept it as a duration.
    if let Ok(time) = Time::strptime("%H:%M:%S", text).or_else(|_| Time::strptime("%H:%M", text)) {
        let on = |day: DateTime| local(day, zone);
        let today = on(now.date().to_datetime(time))?;
        return if today <= now.timestamp() {
            Some(today)
        } else {
            on(now.date().yesterday().ok()?.to_datetime(time))
        };
    }
    if let Ok(day) = text.parse::<DateTime>().or_else(|_| DateTime::strptime("%Y-%m-%d %H:%M", text)) {
        return local(day, zone);
    }
    let ago = text.parse::<Span>().ok()?.abs();
    now.checked_sub(ago).ok().map(|at| at.timestamp())
}

fn local(day: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(day).ok()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn an_alerts_time_is_read_as_people_write_it() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        let now = "2026-11-20T01:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(zone);
        for (text, at) in [
            ("02:55", "2026-11-20T00:55:00Z"),
            ("02:55:30", "2026-11-20T00:55:30Z"),
            // A time of day that is later than now was yesterday.
            ("23:50", "2026-11-19T21:50:00Z"),
            ("5m", "2026-11-20T00:55:00Z"),
            ("1h30m", "2026-11-19T23:30:00Z"),
            ("5 minutes ago", "2026-11-20T00:55:00Z"),
            ("2026-11-19 03:05", "2026-11-19T01:05:00Z"),
            ("2026-11-20T00:12:00Z", "2026-11-20T00:12:00Z"),
        ] {
            assert_eq!(read(text, &now).map(|at| at.to_string()).as_deref(), Some(at), "{text}");
        }
        for text in ["", "yesterday", "25:00", "5", "3:5x", "soon"] {
            assert_eq!(read(text, &now), None, "{text}");
        }
    }
}
