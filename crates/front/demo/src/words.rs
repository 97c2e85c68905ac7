use serde_json::Value;

/// The longest line of an event that is shown to a person, in characters.
const SHOWN_CHARS_MAX: usize = 600;

/// An event in words for the operator; `None` if it is not shown.
pub(crate) fn words(event: &Value) -> Option<String> {
    let text = |key: &str| match event.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let holder = |key: &str| event.pointer(&format!("/holder/{key}")).map(plain).unwrap_or_default();
    let line = match event.get("type").and_then(Value::as_str)? {
        "start" | "summary" | "error" | "rotation" => return None,
        "phase" => format!("── {}", text("phase").replace('_', " ")),
        "note" => text("text"),
        "plan" => format!("plan {} saved; {} steps", text("id"), count(event, "steps")),
        "host_step" => format!("{} {}: {} {}", text("host"), who(event), text("step"), text("state")),
        // The kinds that open a gate; `--json` has them all.
        "evidence" if !["exercised", "checked"].contains(&text("grade").as_str()) => return None,
        "evidence" => {
            format!("{}: {}{}, observed by {}", who(event), text("grade"), on_path(event), text("observer"))
        }
        "blocked" => format!(
            "{} is blocked by {} (found by {}); to move it: {}",
            text("gate"),
            holder("name"),
            holder("found_by"),
            holder("how_to_move")
        ),
        "waiting" => format!("waiting for {}", text("what")),
        "not_visible" => format!("not visible: {} ({})", text("what"), text("why")),
        "paused" => format!("paused: {}; to continue: {}", text("reason"), text("resume_with")),
        "decided" => format!("decided by {}: {} instances", text("by"), text("instances")),
        "undo" => format!("{}; to undo: {}", text("what"), text("with")),
        "done" => format!("ended: {}", text("outcome").replace('_', " ")),
        _ => parts(event),
    };
    // A control character in a message must not reach the terminal.
    Some(line.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect())
}

/// A line without its numbers, which is the same for many processes.
pub(crate) fn without_numbers(line: &str) -> String {
    let mut kind = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            true if kind.ends_with('…') => {}
            true => kind.push('…'),
            false => kind.push(c),
        }
    }
    kind
}

/// The consumer and its instance.
fn who(event: &Value) -> String {
    let consumer = event.get("consumer").map(plain).unwrap_or_default();
    match event.get("instance").and_then(Value::as_str) {
        Some(instance) => format!("{consumer}/{instance}"),
        None => consumer,
    }
}

fn on_path(event: &Value) -> String {
    event.get("path").and_then(Value::as_str).map(|path| format!(" on {path}")).unwrap_or_default()
}

fn count(event: &Value, key: &str) -> usize {
    event.get(key).and_then(Value::as_array).map_or(0, Vec::len)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An event of a type that the demo does not know, by its parts.
fn parts(event: &Value) -> String {
    let kind = event.get("type").map(plain).unwrap_or_default();
    let entries = event.as_object().into_iter().flatten();
    let others = entries.filter(|(key, value)| !["type", "at"].contains(&key.as_str()) && !value.is_null());
    others.fold(kind, |line, (key, value)| format!("{line} {key}={}", plain(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_left_out() {
        assert_eq!(without_numbers("memory of process 12345: no"), "memory of process …: no");
    }

    #[test]
    fn an_event_is_shown_by_its_words_or_its_parts() {
        let shown = |event: Value| words(&event).unwrap_or_default();
        assert_eq!(shown(json!({ "type": "note", "text": "api 1 restarted" })), "api 1 restarted");
        assert_eq!(
            shown(json!({ "type": "x", "at": "T", "host": "local", "n": 2, "why": null })),
            "x host=local n=2"
        );
        assert_eq!(shown(json!({ "type": "note", "text": "a\u{1b}[31mb" })), "a[31mb");
        let step = json!({ "type": "host_step", "host": "local", "consumer": "api", "instance": "1",
            "step": "delivered", "state": "done", "detail": null });
        assert_eq!(shown(step), "local api/1: delivered done");
        assert_eq!(words(&json!({ "type": "start", "version": 1 })), None);
        assert_eq!(words(&Value::Null), None);
    }
}
