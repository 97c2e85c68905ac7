//! JSON patches: <https://datatracker.ietf.org/doc/html/rfc6902>.

use serde_json::Value;

/// Makes the changes in their order. Which one is not possible; what was changed before it then counts for nothing.
pub(super) fn apply(object: &mut Value, patch: &[Value]) -> Result<(), String> {
    patch.iter().try_for_each(|one| step(object, one).ok_or_else(|| format!("not possible: {one}")))
}

fn step(object: &mut Value, one: &Value) -> Option<()> {
    let (op, path) = (one["op"].as_str()?, one["path"].as_str()?);
    let (parent, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    if op == "test" {
        // One that is not there is equal to nothing but `null`.
        return (object.pointer(path).unwrap_or(&Value::Null) == &one["value"]).then_some(());
    }
    match (object.pointer_mut(parent)?, op) {
        (Value::Object(map), "add") => _ = map.insert(last, one["value"].clone()),
        (Value::Object(map), "replace") => *map.get_mut(&last)? = one["value"].clone(),
        (Value::Object(map), "remove") => _ = map.remove(&last)?,
        (Value::Array(list), "add") => {
            let at = if last == "-" { list.len() } else { last.parse().ok()? };
            if at > list.len() {
                return None;
            }
            list.insert(at, one["value"].clone());
        }
        (Value::Array(list), "replace") => *list.get_mut(last.parse::<usize>().ok()?)? = one["value"].clone(),
        (Value::Array(list), "remove") => {
            let at = last.parse::<usize>().ok().filter(|at| *at < list.len())?;
            list.remove(at);
        }
        _ => return None,
    }
    Some(())
}
