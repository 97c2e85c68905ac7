use std::ops::RangeInclusive;
use std::time::Duration;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;

/// The longest duration that a configuration may have, in days.
pub(crate) const PERIOD_DAYS_MAX: u64 = 3_660;

const UNITS_MS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `500ms`, `10s`, `30m`, `12h`, `90d` or `2w`; `None` for anything else, or above [`PERIOD_DAYS_MAX`].
pub(crate) fn parse_period(text: &str) -> Option<Duration> {
    let ms = read_unit(text, &UNITS_MS)?;
    (ms <= PERIOD_DAYS_MAX * 86_400_000).then(|| Duration::from_millis(ms))
}

/// Reads a whole number and one of these units; `None` for anything else.
pub(crate) fn read_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// Writes a duration in the largest unit that divides it exactly, in the form of [`parse_period`].
pub(crate) fn format_period(period: Duration) -> String {
    let ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    let exact = UNITS_MS.iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms));
    exact.map_or_else(|| "0s".to_owned(), |(name, unit_ms)| format!("{}{name}", ms / unit_ms))
}

/// Reads a duration of the file, or its default.
pub(crate) fn read_period(
    key: &str,
    text: Option<&At<String>>,
    default: Duration,
) -> Result<Duration, Mistake> {
    let Some(text) = text else { return Ok(default) };
    parse_period(&text.value).ok_or_else(|| {
        if read_unit(&text.value, &UNITS_MS).is_some() {
            let why = format!("`{key}` must be at most {PERIOD_DAYS_MAX}d");
            return Mistake::new(Kind::BadPeriod, why).at(&text.span);
        }
        Mistake::new(Kind::BadPeriod, format!("`{key}` is not a length of time"))
            .at(&text.span)
            .help("write a whole number and a unit: 500ms, 10s, 30m, 12h, 90d, 2w")
    })
}

/// The same for a duration that has limits.
pub(crate) fn read_period_within(
    key: &str,
    text: Option<&At<String>>,
    default: Duration,
    limits: RangeInclusive<Duration>,
) -> Result<Duration, Mistake> {
    let read = read_period(key, text, default)?;
    let Some(text) = text.filter(|_| !limits.contains(&read)) else { return Ok(read) };
    let (least, most) = (format_period(*limits.start()), format_period(*limits.end()));
    Err(Mistake::new(Kind::BadPeriod, format!("`{key}` must be {least} to {most}")).at(&text.span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_round_trip() {
        for text in ["500ms", "10s", "30m", "12h", "90d", "2w"] {
            assert_eq!(parse_period(text).map(format_period).as_deref(), Some(text));
        }
        assert_eq!(parse_period("90m").map(format_period).as_deref(), Some("90m"));
        assert_eq!(parse_period("0s"), Some(Duration::ZERO));
        for bad in [
            "",
            "m",
            "10",
            "-1s",
            "1.5h",
            "1 h",
            "99999999999999999999s",
            "18446744073709551615w",
            "3661d",
            "é",
        ] {
            assert_eq!(parse_period(bad), None, "{bad}");
        }
    }
}
