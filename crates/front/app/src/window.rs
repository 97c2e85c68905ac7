//! When a window of the schedule is open, and when it opens next.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use keyroll_codes::Code;
use keyroll_config::{DAY_MIN, Window};

use crate::problem::Problem;
use crate::wall_clock;

/// How many days ahead an opening is looked for: every window opens at least once a week.
const DAYS_MAX: i64 = 8;

/// When a rotation may begin without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Now.
    Now,
    /// Not before this time, Unix seconds.
    At(u64),
}

/// Whether one of the windows is open; without any window it is always so.
///
/// # Errors
/// A window has a time zone that this machine does not know: it is never open.
pub fn opening(windows: &[Window]) -> Result<Opening, Problem> {
    opening_at(windows, wall_clock::now().timestamp())
}

fn opening_at(windows: &[Window], now: Timestamp) -> Result<Opening, Problem> {
    if windows.is_empty() {
        return Ok(Opening::Now);
    }
    let mut next: Option<Timestamp> = None;
    for window in windows {
        let zone = zone(window)?;
        // One that was opened yesterday may be open until this day's morning.
        let today = now.to_zoned(zone.clone()).date();
        for ahead in -1..=DAYS_MAX {
            let Some((opens, closes)) = on(window, today, ahead, &zone) else { continue };
            if opens <= now && now < closes {
                return Ok(Opening::Now);
            }
            if opens > now {
                next = Some(next.map_or(opens, |next| next.min(opens)));
            }
        }
    }
    let seconds = next.map_or(u64::MAX, |next| u64::try_from(next.as_second()).unwrap_or_default());
    Ok(Opening::At(seconds))
}

/// When the window opens on that day, and closes after that.
fn on(window: &Window, today: Date, ahead: i64, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let day = today.checked_add(ahead.days()).ok()?;
    let of_week = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
    if !window.days.get(of_week).is_some_and(|opens| *opens) {
        return None;
    }
    // A time that the change of the clock leaves out is the one after the gap.
    let at = |day: Date, minutes: u16| {
        let (day, minutes) = if minutes == DAY_MIN { (day.tomorrow().ok()?, 0) } else { (day, minutes) };
        let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
        Some(day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?.timestamp())
    };
    let closing = if window.to_min <= window.from_min { day.tomorrow().ok()? } else { day };
    Some((at(day, window.from_min)?, at(closing, window.to_min)?))
}

fn zone(window: &Window) -> Result<TimeZone, Problem> {
    let Some(name) = &window.zone else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|_| {
        Problem::new(Code::DueNotRotated, "see whether a window of the schedule is open")
            .because(format!("this machine does not know the time zone {name}"))
            .help("install the time zones (tzdata), or write a name that `ls /usr/share/zoneinfo` has")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Vec<Window> {
        let text = format!("version = 1\n[schedule]\nwindow = \"{text}\"\n");
        keyroll_config::Config::parse(&text, "/x/keyroll.toml").unwrap().schedule.windows
    }

    fn seen(windows: &str, now: &str) -> String {
        match opening_at(&window(windows), now.parse().unwrap()).unwrap() {
            Opening::Now => "now".to_owned(),
            Opening::At(seconds) => {
                Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string()
            }
        }
    }

    #[test]
    fn a_window_opens_on_its_days_in_its_zone() {
        // 2026-11-26 is a Thursday; Berlin is one hour ahead of UTC.
        let office = "Mon..Fri 09:00-16:00 Europe/Berlin";
        assert_eq!(seen(office, "2026-11-26T08:00:00Z"), "now");
        assert_eq!(seen(office, "2026-11-26T14:59:59Z"), "now");
        assert_eq!(seen(office, "2026-11-26T07:59:59Z"), "2026-11-26T08:00:00Z");
        assert_eq!(seen(office, "2026-11-26T15:00:00Z"), "2026-11-27T08:00:00Z");
        assert_eq!(seen(office, "2026-11-27T15:00:00Z"), "2026-11-30T08:00:00Z");
        assert_eq!(seen("any", "2026-11-27T15:00:00Z"), "now");
        // A day that is over elsewhere.
        assert_eq!(seen("Fri 00:00-01:00 Pacific/Auckland", "2026-11-26T11:30:00Z"), "now");
    }

    #[test]
    fn a_window_goes_over_midnight_and_over_the_change_of_the_clock() {
        let night = "Sat 22:00-04:00 Europe/Berlin";
        assert_eq!(seen(night, "2026-11-28T21:00:00Z"), "now");
        assert_eq!(seen(night, "2026-11-29T02:59:59Z"), "now");
        assert_eq!(seen(night, "2026-11-29T03:00:00Z"), "2026-12-05T21:00:00Z");
        assert_eq!(seen("Sat 22:00-24:00 UTC", "2026-11-28T23:59:59Z"), "now");
        assert_eq!(seen("Sat 22:00-24:00 UTC", "2026-11-29T00:00:00Z"), "2026-12-05T22:00:00Z");
        // 02:30 does not exist on 2026-03-29 in Berlin.
        assert_eq!(seen("02:30-05:00 Europe/Berlin", "2026-03-29T00:00:00Z"), "2026-03-29T01:30:00Z");
    }

    #[test]
    fn an_unknown_zone_is_never_open() {
        let problem = opening_at(&window("01:00-02:00 Europe/Nowhere"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(problem.sentence().contains("Europe/Nowhere"), "{}", problem.sentence());
    }
}
