//! Finds the commands of keyroll in what is shown.

/// The commands that work on an installation.
const COMMANDS: [&str; 19] = [
    "abort",
    "apply",
    "audit",
    "consumer",
    "doctor",
    "due",
    "emergency",
    "history",
    "hosts",
    "incident",
    "pause",
    "plan",
    "resume",
    "retry",
    "revoke",
    "secret",
    "split",
    "status",
    "verify",
];

/// Whether a text names such a command: `keyroll resume 01a2`.
pub(super) fn names_command(text: &str) -> bool {
    text.match_indices("keyroll ").any(|(at, begin)| {
        let rest = text.get(at + begin.len()..).unwrap_or_default();
        let end = rest.find(|it: char| !it.is_ascii_lowercase()).unwrap_or(rest.len());
        rest.get(..end).is_some_and(|word| COMMANDS.contains(&word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_about_an_installation_are_found_in_a_text() {
        for text in [
            "to continue: keyroll resume 01a2",
            "keyroll status",
            "run `keyroll doctor`, then go on",
            "keyroll's own: keyroll secret add x",
        ] {
            assert!(names_command(text), "{text}");
        }
        for text in
            ["keyroll explain K0001", "keyroll plans nothing", "keyroll ", "keyroll resumed it", "resume"]
        {
            assert!(!names_command(text), "{text}");
        }
    }
}
