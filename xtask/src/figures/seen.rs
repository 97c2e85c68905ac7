//! What a benchmark printed.

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
