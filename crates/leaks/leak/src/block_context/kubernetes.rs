use std::ops::Range;

use crate::block_context::json_object::{inner, members, opened};
use crate::block_context::lines::{FAR_BYTES_MAX, line_before, line_from, setting, word};
use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::base64_login::decoded;
use crate::{is_distinct, no_secret};

/// The marks of a Secret: in hand-written YAML, and in YAML and JSON of kubectl.
pub(crate) const KINDS: [&str; 5] =
    ["kind: Secret", "kind: \"Secret\"", "kind: 'Secret'", IN_JSON, IN_DENSE_JSON];
const IN_JSON: &str = "\"kind\": \"Secret\"";
const IN_DENSE_JSON: &str = "\"kind\":\"Secret\"";

/// The key of its entries, at the same depth.
const DATA: [&[u8]; 3] = [b"data:", b"\"data\": {", b"\"data\":{"];

/// The most lines of a Secret that are read before and after its mark.
const SECRET_LINES_MAX: usize = 64;

/// The entries of a Kubernetes Secret, below `data:`, in base64. Decoded, they have no format.
pub(crate) fn in_secret(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    if places(raw, b"Secret").next().is_none() {
        return;
    }
    // Malformed JSON, such as a template, is read line by line too.
    in_objects(text, line, found);
    if !is_kind(raw) {
        return;
    }
    let depth = depth(raw);
    let (mut at, mut within, mut behind) = (first(text, line.start, depth), false, 0);
    while behind < SECRET_LINES_MAX {
        let Some(next) = line_from(text, at) else { return };
        at = next.end;
        let raw = text.get(next.clone()).unwrap_or_default();
        if next.start > line.start {
            behind += 1;
            if ends(raw, depth) || begins(raw, depth) {
                return;
            }
        }
        if is_data(raw, depth) {
            within = true;
        } else if says(raw) && self::depth(raw) <= depth {
            within = false;
        }
        if let Some((name, value)) = setting(text, &next).filter(|_| within && self::depth(raw) > depth)
            && is_written_secret(text.get(value.clone()).unwrap_or_default())
            && !found.iter().any(|(_, known, _)| *known == value)
        {
            found.push((word(text, &name), value, CandidateSource::Place));
        }
    }
}

/// The same in JSON of any layout, also on one line. Looks only at nearby text.
pub(crate) fn in_objects(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let raw = text.get(line.clone()).unwrap_or_default();
    let says = |at: &usize| {
        let rest = raw.get(*at..).unwrap_or_default();
        [IN_JSON, IN_DENSE_JSON].iter().any(|kind| rest.starts_with(kind.as_bytes()))
    };
    let mut earlier = None;
    for at in memchr::memmem::find_iter(raw, b"\"kind\"").filter(says).map(|at| line.start + at) {
        let near = text.get(..text.len().min(at.saturating_add(FAR_BYTES_MAX))).unwrap_or(text);
        let object = opened(near, at.saturating_sub(FAR_BYTES_MAX), at, earlier.replace(at));
        for (name, data) in object.map(|open| members(near, open)).unwrap_or_default() {
            if near.get(name) == Some(b"data") && near.get(data.start) == Some(&b'{') {
                let entries = members(near, data.start).into_iter();
                let texts =
                    entries.filter_map(|(name, value)| Some((word(near, &name), inner(near, &value)?)));
                let written =
                    texts.filter(|(_, value)| near.get(value.clone()).is_some_and(is_written_secret));
                found.extend(written.map(|(name, value)| (name, value, CandidateSource::Place)));
            }
        }
    }
}

/// The start of the object around a line, if it is near.
fn first(text: &[u8], at: usize, depth: usize) -> usize {
    let mut start = at;
    // The line may be the first one of a list item.
    if line_from(text, at).and_then(|line| text.get(line)).is_some_and(|raw| begins(raw, depth)) {
        return start;
    }
    for _ in 0..SECRET_LINES_MAX {
        let Some(line) = line_before(text, start) else { break };
        let raw = text.get(line.clone()).unwrap_or_default();
        if ends(raw, depth) {
            break;
        }
        start = line.start;
        if begins(raw, depth) {
            break;
        }
    }
    start
}

/// Whether a line belongs to another object: after a document separator, less indented, or with its own kind.
fn ends(raw: &[u8], depth: usize) -> bool {
    raw.starts_with(b"---")
        || says(raw) && self::depth(raw) < depth
        || is_kind(raw) && self::depth(raw) == depth
}

/// Whether a list item begins with a line.
fn begins(raw: &[u8], depth: usize) -> bool {
    depth > 0 && self::depth(raw) == depth && raw.trim_ascii_start().starts_with(b"- ")
}

/// The indentation of a line, with a list's dash.
fn depth(raw: &[u8]) -> usize {
    let blanks = raw.iter().take_while(|byte| **byte == b' ').count();
    blanks + if raw.get(blanks..).is_some_and(|rest| rest.starts_with(b"- ")) { 2 } else { 0 }
}

/// Whether a line is neither empty nor a comment.
fn says(raw: &[u8]) -> bool {
    raw.trim_ascii_start().first().is_some_and(|first| *first != b'#')
}

/// The content of a line, without a dash, a comma and a comment.
fn said(raw: &[u8]) -> &[u8] {
    let raw = raw.trim_ascii();
    let raw = raw.strip_prefix(b"- ").unwrap_or(raw);
    let end = places(raw, b" #").next().unwrap_or(raw.len());
    let raw = raw.get(..end).unwrap_or(raw).trim_ascii();
    raw.strip_suffix(b",").unwrap_or(raw)
}

fn is_kind(raw: &[u8]) -> bool {
    KINDS.iter().any(|kind| kind.as_bytes() == said(raw))
}

fn is_data(raw: &[u8], depth: usize) -> bool {
    self::depth(raw) == depth && DATA.contains(&said(raw))
}

/// Whether base64 decodes to a likely secret.
fn is_written_secret(value: &[u8]) -> bool {
    decoded(value).is_some_and(|plain| no_secret(&plain).is_none() && is_distinct(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_context::tests::by_line;

    fn shown(text: &str) -> Vec<(String, &str)> {
        by_line(text, in_secret)
    }

    #[test]
    fn a_secret_of_kubernetes_has_values_in_base64() {
        let value = "a0Q5M2hmUTBwbG00";
        let name = || "ca-key".to_owned();
        let text = format!(
            "kind: Secret\ndata:\n  ca-key: {value}\n  note: aGVsbG8gd29ybGQ=\n  mode: {{}}\n---\ndata:\n  b: {value}\n"
        );
        assert_eq!(shown(&text), [(name(), value)]);
        let text = format!(
            "data:\n  b: {value}\n---\ndata:\n  ca-key: {value}\nkind: Secret\nspec:\n  x: {value}\n"
        );
        assert_eq!(shown(&text), [(name(), value)]);
        assert!(shown(&format!("kind: ConfigMap\ndata:\n  ca-key: {value}\n")).is_empty());
    }

    #[test]
    fn a_secret_is_one_as_kubectl_writes_it() {
        let value = "a0Q5M2hmUTBwbG00";
        for text in [
            format!("kind: \"Secret\"\ndata:\n  ca-key: {value}\n"),
            format!("kind: 'Secret' # of the web\ndata: # all\n    ca-key: {value}\n"),
            format!(
                "{{\n    \"data\": {{\n        \"ca-key\": \"{value}\"\n    }},\n    \"kind\": \"Secret\"\n}}\n"
            ),
            format!(
                "{{\n  \"kind\": \"Secret\",\n  {{{{- if .x }}}}\n  # of a template\n  \"data\": {{\n    \"ca-key\": \"{value}\"\n  }}\n}}\n"
            ),
            format!(
                "items:\n- apiVersion: v1\n  data:\n    ca-key: {value}\n  kind: Secret\n  metadata:\n    x: {value}\n"
            ),
            format!(
                "items:\n- kind: Secret\n  data:\n    ca-key: {value}\n- kind: ConfigMap\n  data:\n    x: {value}\n"
            ),
            format!(
                "items:\n- data:\n    x: {value}\n  kind: ConfigMap\n- data:\n    ca-key: {value}\n  kind: Secret\n"
            ),
            format!(
                "\"items\": [\n  {{\n    \"data\": {{\n      \"x\": \"{value}\"\n    }}\n  }},\n  {{\n    \"data\": {{\n      \"ca-key\": \"{value}\"\n    }},\n    \"kind\": \"Secret\",\n    \"y\": \"{value}\"\n  }}\n]\n"
            ),
        ] {
            assert_eq!(shown(&text), [("ca-key".to_owned(), value)], "{text}");
            let said = text.lines().find(|line| line.contains("Secret")).unwrap();
            assert!(crate::reaches_far(said.as_bytes()), "{said}");
        }
        assert!(shown(&format!("  kind: Secret\ndata:\n  ca-key: {value}\n")).is_empty());
    }

    #[test]
    fn of_many_secrets_each_is_read_for_itself() {
        let text = "data:\n k: a0Q5M2hmUTBwbG00\nkind: Secret\n".repeat(1_000);
        assert!(shown(&text).len() <= 2_000);
    }

    #[test]
    fn a_secret_in_one_line_of_json_has_values_in_base64() {
        let value = "a0Q5M2hmUTBwbG00";
        let secret = format!(
            r#"{{"apiVersion":"v1","data":{{"ca-key":"{value}","mode":"cmVhZA=="}},"kind":"Secret","metadata":{{"annotations":{{"x":"{{\"data\":{{"}},"data":{{"y":"{value}"}}}}}}"#
        );
        let map = format!(r#"{{"data":{{"x":"{value}"}},"kind":"ConfigMap"}}"#);
        let first = format!(r#"{{"kind": "Secret", "metadata": {{}}, "data": {{ "ca-key": "{value}" }}}}"#);
        let name = || "ca-key".to_owned();
        for text in [
            secret.clone(),
            first,
            format!("{secret}\n{map}\n"),
            format!(r#"{{"items":[{map},{secret},{map}],"kind":"List"}}"#),
            // The rest is cut off.
            secret.replace(r#","metadata""#, "\n"),
        ] {
            assert_eq!(shown(&text), [(name(), value)], "{text}");
        }
        assert_eq!(shown(&format!("[{secret},{secret}]")).len(), 2);
        for text in [map.as_str(), &secret.replace("Secret", "Secrets"), &secret.replace("\"data\"", "\"x\"")]
        {
            assert!(shown(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_long_line_of_secrets_is_read_no_more_than_some_times() {
        let value = "a0Q5M2hmUTBwbG00";
        let secret = format!(r#"{{"data":{{"ca-key":"{value}"}},"kind":"Secret"}}"#);
        let text = format!("[{}]", vec![secret; 20_000].join(","));
        let mut found = Vec::new();
        in_objects(text.as_bytes(), &(0..text.len()), &mut found);
        assert_eq!(found.len(), 20_000);
        // Reading 16 KiB around each of these would take minutes.
        for part in
            [r#""kind":"Secret""#, r#""kind":"Secret"}"#, r#"{"kind":"Secret""#, r#"{"kind":"Secret",""#]
        {
            let text = part.repeat(100_000);
            in_objects(text.as_bytes(), &(0..text.len()), &mut found);
        }
        assert_eq!(found.len(), 20_000, "none of these is an object with a value");
    }
}
