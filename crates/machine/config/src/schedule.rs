use std::time::Duration;

use crate::Kind;
use crate::at::{At, Texts};
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::period::{PERIOD_DAYS_MAX, read_period_within};
use crate::shape::ScheduleShape;

/// How long before it is due a secret is told of, if nothing else is written.
const WARN_BEFORE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// After how long a due secret is overdue, if nothing else is written.
const OVERDUE_AFTER_DEFAULT: Duration = Duration::from_secs(3 * 86_400);
/// The most windows of one secret.
const WINDOWS_MAX: usize = 16;
/// The longest name of a time zone, bytes.
const ZONE_BYTES_MAX: usize = 64;
/// The days, from Monday.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The minutes of a day.
pub const DAY_MIN: u16 = 1_440;
/// The next step where a window is not one.
pub(crate) const WINDOW_HELP: &str = "write days, times and, if it is not this machine's, a time zone: \
                    \"Mon..Fri 09:00-16:00 Europe/Berlin\", \"Sat,Sun 22:00-04:00\", \"01:00-05:00\"; or \"any\"";

/// When rotations are begun without an operator, and when somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When a rotation may begin; empty = at any time.
    pub windows: Vec<Window>,
    /// How long before it is due a secret is told of.
    pub warn_before: Duration,
    /// After how long a due secret is overdue.
    pub overdue_after: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { windows: Vec::new(), warn_before: WARN_BEFORE_DEFAULT, overdue_after: OVERDUE_AFTER_DEFAULT }
    }
}

/// A time of the week in which a rotation may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens, from Monday.
    pub days: [bool; 7],
    /// When it opens, minutes since midnight.
    pub from_min: u16,
    /// When it closes, minutes since midnight; not after `from_min` = on the next day.
    pub to_min: u16,
    /// The name of its time zone; none = this machine's.
    pub zone: Option<String>,
}

impl Schedule {
    pub(crate) fn build(shape: &ScheduleShape, all: &mut Mistakes) -> Read<Self> {
        let most = Duration::from_secs(PERIOD_DAYS_MAX * 86_400);
        let period = |key, text: &Option<At<String>>, default| {
            read_period_within(key, text.as_ref(), default, Duration::ZERO..=most)
        };
        let windows = all.note(read_windows("schedule.window", shape.window.as_ref()));
        let warn_before = period("schedule.warn_before", &shape.warn_before, WARN_BEFORE_DEFAULT);
        let warn_before = all.note(warn_before);
        let overdue_after = period("schedule.overdue_after", &shape.overdue_after, OVERDUE_AFTER_DEFAULT);
        let overdue_after = all.note(overdue_after);
        Some(Self {
            windows: windows?.unwrap_or_default(),
            warn_before: warn_before?,
            overdue_after: overdue_after?,
        })
    }
}

/// Reads the windows; none if nothing is written. `any` is no window.
pub(crate) fn read_windows(key: &str, written: Option<&At<Texts>>) -> Result<Option<Vec<Window>>, Mistake> {
    let Some(written) = written else { return Ok(None) };
    let texts = written.value.0.as_slice();
    if texts.is_empty() || texts.len() > WINDOWS_MAX {
        let why = format!("`{key}` has 1 to {WINDOWS_MAX} windows");
        return Err(Mistake::new(Kind::WrongForm, why).at(&written.span).help(WINDOW_HELP));
    }
    if let [only] = texts
        && only == "any"
    {
        return Ok(Some(Vec::new()));
    }
    let read = |text: &String| {
        Window::read(text).map_err(|why| {
            Mistake::new(Kind::WrongForm, format!("`{key}` {why}")).at(&written.span).help(WINDOW_HELP)
        })
    };
    texts.iter().map(read).collect::<Result<_, _>>().map(Some)
}

impl Window {
    fn read(text: &str) -> Result<Self, &'static str> {
        let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
        let is_time = |word: &&str| word.as_bytes().first().is_some_and(u8::is_ascii_digit);
        let at = words.iter().position(is_time).ok_or("has no times")?;
        let rest = words.split_off(at);
        let days = match words.as_slice() {
            [] => [true; 7],
            [days] => read_days(days)?,
            [_, _, ..] => return Err("has more than one word before its times"),
        };
        let (times, zone) = match rest.as_slice() {
            [times] => (*times, None),
            [times, zone] => (*times, Some(read_zone(zone)?)),
            [] | [_, _, _, ..] => return Err("has more than a time zone after its times"),
        };
        let (from, to) = times.split_once('-').ok_or("has no end: write 09:00-16:00")?;
        let (from_min, to_min) = (read_time(from)?, read_time(to)?);
        if from_min == DAY_MIN || from_min == to_min {
            return Err("opens and closes at the same time, or opens at 24:00");
        }
        Ok(Self { days, from_min, to_min, zone })
    }
}

fn read_days(text: &str) -> Result<[bool; 7], &'static str> {
    const UNKNOWN: &str = "has an unknown day; the days are Mon Tue Wed Thu Fri Sat Sun";
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name)).ok_or(UNKNOWN);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Fri..Mon goes over the end of the week.
        let many = (last + 7 - first) % 7;
        for at in (0..=many).map(|more| (first + more) % 7) {
            if let Some(day) = days.get_mut(at) {
                *day = true;
            }
        }
    }
    Ok(days)
}

fn read_time(text: &str) -> Result<u16, &'static str> {
    const WRONG: &str = "has a time that is not 00:00 to 24:00";
    let (hours, minutes) = text.split_once(':').ok_or(WRONG)?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits).ok_or(WRONG)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    if minutes > 59 || all > DAY_MIN {
        return Err(WRONG);
    }
    Ok(all)
}

/// Whether this machine knows the zone is seen when it is needed.
fn read_zone(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
    if text.len() > ZONE_BYTES_MAX || !text.bytes().all(plain) {
        return Err("has a time zone that is not a name such as Europe/Berlin");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_days_times_and_a_zone() {
        let window = Window::read("Mon..Fri 09:00-16:30 Europe/Berlin").unwrap();
        assert_eq!(window.days, [true, true, true, true, true, false, false]);
        assert_eq!((window.from_min, window.to_min), (540, 990));
        assert_eq!(window.zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(Window::read("01:00-05:00").unwrap().days, [true; 7]);
        let weekend = Window::read("fri..mon,Wed 22:00-24:00").unwrap();
        assert_eq!(weekend.days, [true, false, true, false, true, true, true]);
        assert_eq!((weekend.to_min, weekend.zone), (DAY_MIN, None));
        for bad in [
            "",
            "any",
            "Mon",
            "Mon 9:00-16:00",
            "Mon 09:00",
            "Mon 09:00-09:00",
            "Mon 24:00-01:00",
            "Mon 09:00-24:01",
            "Mon 09:60-10:00",
            "Mon 09:00-+1:00",
            "Mo 09:00-10:00",
            "Mon Tue 09:00-10:00",
            "Mon, 09:00-10:00",
            "Mon.. 09:00-10:00",
            "09:00-10:00 Europe/Berlin x",
            "09:00-10:00 ../../etc/passwd",
        ] {
            assert!(Window::read(bad).is_err(), "{bad}");
        }
    }
}
