//! Times for people: events carry UTC, a terminal shows this machine's zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The length of `2026-11-20 16:02:11Z`, bytes.
const LENGTH: usize = 20;

/// The text with each UTC time in local time with its offset, `2026-11-20 18:02:11+02:00`; unchanged where they are equal.
pub(crate) fn local_times(text: &str) -> String {
    in_zone(text, &TimeZone::system())
}

fn in_zone(text: &str, zone: &TimeZone) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find('Z') {
        let (before, after) = rest.split_at(end + 1);
        let start = before.len().checked_sub(LENGTH).filter(|start| before.is_char_boundary(*start));
        let local = start.and_then(|start| Some((start, local(before.get(start..)?, zone)?)));
        match local {
            Some((start, local)) => {
                shown.push_str(before.get(..start).unwrap_or_default());
                shown.push_str(&local);
            }
            None => shown.push_str(before),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A UTC time as the zone's clock shows it; `None` for any other text, and where the zone is UTC.
fn local(utc: &str, zone: &TimeZone) -> Option<String> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || b"-: Z".contains(&byte));
    let at = utc.parse::<Timestamp>().ok().filter(|_| digits(utc))?.to_zoned(zone.clone());
    (!at.offset().is_zero()).then(|| at.strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::in_zone;

    #[test]
    fn times_are_shown_in_the_zone_of_the_machine() {
        let text = "off since 2026-11-20 23:02:11Z; Zoe, 2026-11-20 23:02Z; ends 2026-12-01 00:00:00Z.";
        let shown = in_zone(text, &TimeZone::fixed(offset(2)));
        assert_eq!(
            shown,
            "off since 2026-11-21 01:02:11+02:00; Zoe, 2026-11-20 23:02Z; ends 2026-12-01 02:00:00+02:00."
        );
        assert_eq!(in_zone(text, &TimeZone::UTC), text);
    }
}
