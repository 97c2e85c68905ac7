use std::ops::Range;
use std::path::Path;

use keyroll_leak::{FAR_BYTES_MAX, TextKind, text_kind};

/// The lines of a diff before the changes of a file, with its name after them: of diff and git; of a merge in git.
const HEADS: [&[u8]; 4] = [b"+++ ", b"--- ", b"diff --cc ", b"diff --combined "];

/// The name of a file that does not exist before or after a change.
const NO_FILE: &str = "/dev/null";

/// Whether a text has the changes of a diff.
pub(crate) fn has_hunks(text: &[u8]) -> bool {
    text.starts_with(b"@@") || memchr::memmem::find(text, b"\n@@").is_some()
}

/// Whether a value is in a line of a diff of a settings file. Then the text after a name is its value.
///
/// Looks only at nearby text, so a part of a text gives the same results as the whole.
pub(crate) fn is_in_settings_diff(text: &[u8], span: &Range<usize>) -> bool {
    let from = span.start.saturating_sub(FAR_BYTES_MAX);
    let before = text.get(from..span.start).unwrap_or_default();
    let mut lines = before.rsplit(|byte| *byte == b'\n');
    let is_of_hunk = lines.next().is_some_and(|line| matches!(line.first(), Some(b'+' | b'-' | b' ')));
    is_of_hunk && lines.find_map(head).is_some_and(|path| text_kind(Path::new(path)) == TextKind::Settings)
}

/// The name of the changed file.
fn head(line: &[u8]) -> Option<&str> {
    let path = HEADS.iter().find_map(|head| line.strip_prefix(*head))?;
    // A time may follow the name.
    let path = path.split(|byte| matches!(byte, b'\t' | b'\r')).next()?;
    str::from_utf8(path).ok().map(str::trim).filter(|path| !path.is_empty() && *path != NO_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "kD93hfQ0plm4";

    fn is_in(text: &str) -> bool {
        let start = text.find(VALUE).unwrap();
        is_in_settings_diff(text.as_bytes(), &(start..start + VALUE.len()))
    }

    #[test]
    fn the_name_of_the_changed_file_decides() {
        for head in [
            "--- a/deploy/values.yaml\n+++ b/deploy/values.yaml\n@@ -1,2 +1,2 @@\n",
            "--- app.env\t2026-11-25 10:00:00\n+++ app.env\t2026-11-25 10:01:00\n@@ -1 +1 @@\n",
            "--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n",
            "--- a/.env\n+++ /dev/null\n@@ -1 +0,0 @@\n",
            "diff --cc deploy/values.yaml\n@@@ -3,2 -3,2 +3,3 @@@\n",
        ] {
            for line in
                [format!("+password: {VALUE}\n"), format!("-  password: {VALUE}\n"), format!(" x: {VALUE}\n")]
            {
                assert!(is_in(&format!("{head} a\n{line}")), "{head}{line}");
            }
        }
        for text in [
            format!("--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n+password: {VALUE}\n"),
            format!("+++ b/.env\n@@ -1 +1 @@\n+a\n--- a/x.rs\n+++ b/x.rs\n+password: {VALUE}\n"),
            format!("+++ b/.env\npassword: {VALUE}\n"),
            format!("+password: {VALUE}\n"),
        ] {
            assert!(!is_in(&text), "{text}");
        }
    }
}
