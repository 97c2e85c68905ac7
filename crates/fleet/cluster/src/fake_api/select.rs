//! Label selectors: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>.

use serde_json::Value;

/// Whether an object has the labels that a selector wants; an empty one wants none.
pub(super) fn fits(object: &Value, selector: &str) -> bool {
    parts(selector).iter().all(|part| fits_part(object, part))
}

/// The parts, which commas separate, but not those between parentheses.
fn parts(selector: &str) -> Vec<&str> {
    let (mut all, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, one) in selector.char_indices() {
        match one {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(selector[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.push(selector[begin..].trim());
    all.retain(|part| !part.is_empty());
    all
}

fn fits_part(object: &Value, part: &str) -> bool {
    let label = |name: &str| object["metadata"]["labels"].get(name.trim()).and_then(Value::as_str);
    let among = |name: &str, list: &str| {
        let list = list.trim().trim_start_matches('(').trim_end_matches(')');
        label(name).is_some_and(|value| list.split(',').any(|one| one.trim() == value))
    };
    if let Some((name, list)) = part.split_once(" notin ") {
        return !among(name, list);
    }
    if let Some((name, list)) = part.split_once(" in ") {
        return among(name, list);
    }
    if let Some((name, value)) = part.split_once("!=") {
        return label(name) != Some(value.trim());
    }
    if let Some((name, value)) = part.split_once('=') {
        return label(name) == Some(value.trim_start_matches('=').trim());
    }
    match part.strip_prefix('!') {
        Some(name) => label(name).is_none(),
        None => label(part).is_some(),
    }
}
