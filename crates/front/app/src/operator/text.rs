use crate::operator::EmergencyShown;
use crate::quantity::quantity;
use crate::redact;

/// The steps of an emergency, beside the minutes after the alert within which they should be done, the consumers without a proof,
/// and what was not visible.
pub fn clock(shown: &EmergencyShown) -> String {
    let (proved, unproved) = proved(shown);
    let steps = [
        ("new key made", shown.alert_to_minted_s, "not yet", 3),
        ("written to every copy", shown.alert_to_stored_s, "not yet", 5),
        (proved.as_str(), shown.alert_to_moved_s, unproved, 6),
        ("old key dead", shown.alert_to_dead_s, "not yet", 8),
    ];
    let row = |(what, at, none, goal): (&str, Option<f64>, &str, u32)| {
        let at = at.map_or_else(|| none.to_owned(), |at| format!("after {}", spent(at)));
        format!("\n  {what:<22} {at:<18} (keyroll's goal: {goal} min)")
    };
    let missing = shown.not_proved.iter().map(|one| format!("\n  not proved: {one}"));
    let unseen = shown.not_visible.iter().map(|one| format!("\n  not visible: {one}"));
    let left: String = missing.chain(unseen).collect();
    format!("since the alert at {}{}{left}", shown.alerted, steps.map(row).concat())
}

/// By how many consumers the new key was proved, and what stands for the time if there is none: keyroll may wait for no proof any
/// more. Of a consumer with processes that are not visible, only the others proved it.
fn proved(shown: &EmergencyShown) -> (String, &'static str) {
    match shown.not_proved.len() {
        0 if shown.not_visible.is_empty() => ("proved by every consumer".to_owned(), "not yet"),
        0 => ("proved by all visible".to_owned(), "not yet"),
        missing => {
            let proved = shown.consumers.saturating_sub(missing);
            let all = quantity(shown.consumers, "consumer");
            (format!("proved by {proved} of {all}"), "not seen")
        }
    }
}

/// A measured time, to the second; with one decimal if it is short.
pub fn spent(seconds: f64) -> String {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match (whole, whole % 60) {
        (0..=9, _) => format!("{seconds:.1} s"),
        (0..=119 | 7_200.., _) | (_, 0) => duration(whole),
        (_, rest) => format!("{} min {rest} s", whole / 60),
    }
}

/// A duration in at most two units: `90 s`, `12 min`, `3 h 20 min`.
pub fn duration(seconds: u64) -> String {
    match (seconds, seconds / 60, seconds / 3_600) {
        (0..=119, _, _) => format!("{seconds} s"),
        (_, minutes @ 0..=119, _) => format!("{minutes} min"),
        (_, minutes, hours) => match minutes % 60 {
            0 => format!("{hours} h"),
            rest => format!("{hours} h {rest} min"),
        },
    }
}

/// The text without control characters, so that a name from elsewhere cannot write to the terminal. Line ends stay.
/// Known values are redacted first: afterwards they may be cut, wrapped or escaped, and the final redaction would not
/// find them.
pub fn clean(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    redact::pass(text).chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// The same on one line.
pub fn plain(label: &str) -> String {
    clean(label).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_time_is_shown_to_the_second() {
        let all =
            [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (119.9, "119 s"), (134.2, "2 min 14 s")];
        for (seconds, text) in all.into_iter().chain([(180.0, "3 min"), (7_300.0, "2 h 1 min")]) {
            assert_eq!(spent(seconds), text);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let shown: Vec<String> = [0, 119, 120, 7_199, 7_200, 12_000].map(duration).to_vec();
        assert_eq!(shown, ["0 s", "119 s", "2 min", "119 min", "2 h", "3 h 20 min"]);
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n");
    }
}
