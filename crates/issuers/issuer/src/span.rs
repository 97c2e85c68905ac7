use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// A duration: a whole number and a unit, `500ms`, `10s`, `5m`, `2h` or `1d`; at most `366d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Span(u64);

/// The longest duration that a spec may have: 366 days.
const SPAN_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;

impl Span {
    /// This many milliseconds.
    pub(crate) const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The length in milliseconds.
    pub(crate) fn ms(self) -> u64 {
        self.0
    }

    /// The length as the standard library's type.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// The duration in the largest unit that divides it: `90s`, `2m`.
    pub(crate) fn words(self) -> String {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let unit = units.iter().find(|(ms, _)| self.0 >= *ms && self.0.is_multiple_of(*ms));
        unit.map_or_else(|| format!("{}ms", self.0), |(ms, name)| format!("{}{name}", self.0 / ms))
    }
}

impl TryFrom<String> for Span {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FORM: &str =
            "a time is a whole number and a unit, such as 500ms, 10s, 5m, 2h or 1d, up to 366d";
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(FORM)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(FORM),
        };
        number.checked_mul(ms).filter(|ms| *ms <= SPAN_MS_MAX).map(Self).ok_or(FORM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_limits() {
        let ms = |text: &str| Span::try_from(text.to_owned()).map(Span::ms);
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("10m"), Ok(600_000));
        for wrong in ["", "5", "s", "-1s", "1.5s", "5 s", "5w", "99999999999999999999s", "367d", "5S"] {
            assert!(ms(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Span::from_ms(90_000).words(), "90s");
        assert_eq!(Span::from_ms(120_000).words(), "2m");
    }
}
