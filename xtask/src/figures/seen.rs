//! What a benchmark or a test printed.

use serde_json::Value;

/// Its last line of JSON.
pub(super) fn last_json(text: &str) -> Result<Value, String> {
    let line = text.lines().rev().find(|line| line.trim_start().starts_with('{')).ok_or("no line of JSON")?;
    serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))
}

/// One of its numbers; not a number where it is not there.
pub(super) fn number(value: &Value, key: &str) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// The last figure of this name: a line `figure NAME: VALUE`, as `keyroll_testkit::figure` prints it.
pub(super) fn printed(text: &str, name: &str) -> Result<String, String> {
    let value =
        |line: &str| Some(line.strip_prefix("figure ")?.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
    text.lines().rev().find_map(value).ok_or_else(|| {
        let left_out = text.lines().find(|line| line.starts_with("left out"));
        left_out.map_or_else(|| format!("`figure {name}: …` was not printed"), str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red: the figure of another name is taken, or of several runs the first; or what a test left out has a figure.
    #[test]
    fn a_figure_is_found_by_its_name_and_what_was_left_out_has_none() {
        let text = "running 1 test\n---- a stdout ----\nfigure one: 1 s\nfigure one-more: 2 s\nfigure one: 3 s for 2 pods\n";
        assert_eq!(printed(text, "one"), Ok("3 s for 2 pods".to_owned()));
        assert_eq!(printed(text, "one-more"), Ok("2 s".to_owned()));
        assert_eq!(printed(text, "on"), Err("`figure on: …` was not printed".to_owned()));
        let text = "left out: a rotation (pods need root)\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(printed(text, "one"), Err("left out: a rotation (pods need root)".to_owned()));
        let text = "left out, because a namespace of processes cannot be made: a rotation";
        assert_eq!(printed(text, "one"), Err(text.to_owned()));
    }
}
