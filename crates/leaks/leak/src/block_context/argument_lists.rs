use std::ops::Range;

use crate::block_context::lines::{FAR_BYTES_MAX, bare, line_from, unmarked};
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::commands::is_program;
use crate::inline_context::list_items::{ITEMS_MAX, in_items, option_name};

/// The longest option or program that is read, bytes.
const ITEM_BYTES_MAX: usize = 128;

/// An option and its value on two lines, each an item of a list or a part of a long command; and all items after the
/// name of a program: `- redis-cli`, `- -a`, `- value`.
pub(crate) fn in_arguments(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    let first = item(text, line);
    let raw = text.get(first.clone()).unwrap_or_default();
    // Most lines are sentences and statements.
    if raw.len() > ITEM_BYTES_MAX || raw.contains(&b' ') {
        return;
    }
    if let Some(name) = option_name(raw) {
        let next = line_from(text, line.end).map(|next| item(text, &next));
        let value = next.filter(|next| text.get(next.clone()).is_some_and(is_value));
        found.extend(value.map(|value| (name, value, CandidateSource::Place)));
    } else if is_program(raw) {
        in_items(text, &items(text, line, first), found);
    }
}

/// The item on a line and those on the lines after it that look the same.
fn items(text: &[u8], line: &Range<usize>, first: Range<usize>) -> Vec<Range<usize>> {
    let lead = first.start - line.start;
    let mut all = vec![first];
    let mut next = line_from(text, line.end);
    while let Some(line) = next.filter(|line| line.end <= FAR_BYTES_MAX.saturating_add(line.start))
        && all.len() < ITEMS_MAX
    {
        let item = item(text, &line);
        // The next program has its own arguments.
        if item.is_empty()
            || item.start - line.start != lead
            || text.get(item.clone()).is_some_and(is_program)
        {
            break;
        }
        next = line_from(text, line.end);
        all.push(item);
    }
    all
}

/// The content of a line with one item: without indentation, a list's dash, quotes, a comma, the backslash of a long
/// command, and the element of a property list.
fn item(text: &[u8], line: &Range<usize>) -> Range<usize> {
    let mut span = bare(text, unmarked(text, line));
    let raw = text.get(span.clone()).unwrap_or_default();
    if let Some(inner) = raw.strip_prefix(b"<string>").and_then(|rest| rest.strip_suffix(b"</string>")) {
        let start = span.start + b"<string>".len();
        return start..start + inner.len();
    }
    if let Some(before) = raw.strip_suffix(b"\\") {
        span = bare(text, span.start..span.start + before.len());
    }
    span
}

/// Whether an item is one word, and no option.
fn is_value(item: &[u8]) -> bool {
    !item.is_empty() && !item.starts_with(b"-") && item.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_context::tests::by_line;

    fn shown(text: &str) -> Vec<(String, &str)> {
        by_line(text, in_arguments)
    }

    #[test]
    fn an_option_and_its_value_are_on_two_lines() {
        for text in [
            "command:\n  - app\n  - --api-key\n  - kD93hfQ0plm4\n  - --port\n",
            "args:\n- \"--api-key\"\n- 'kD93hfQ0plm4'\n",
            "\"args\": [\n  \"--api-key\",\n  \"kD93hfQ0plm4\"\n]\n",
            "app \\\n  --api-key \\\n  kD93hfQ0plm4 \\\n  --port 80\n",
            "  <string>--api-key</string>\n  <string>kD93hfQ0plm4</string>\n",
            "+  - --api-key\n+  - kD93hfQ0plm4\n",
        ] {
            assert_eq!(shown(text), [("api-key".to_owned(), "kD93hfQ0plm4")], "{text}");
        }
        for text in [
            "- --api-key\n- --port\n",
            "- --api-key-file\n- kD93hfQ0plm4\n",
            "- --token\n- two words\n",
            "- --token\n",
            "- app --token\n- kD93hfQ0plm4\n",
        ] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_items_after_a_program_are_its_arguments() {
        for text in [
            "test:\n  - CMD\n  - redis-cli\n  - -a\n  - kD93hfQ0plm4\n  - ping\n",
            "  - mysqladmin\n  - -u\n  - root\n  - -pkD93hfQ0plm4\n",
            "run([\n    \"curl\",\n    \"-u\",\n    \"app:kD93hfQ0plm4\",\n    url,\n])\n",
            "    <string>/usr/bin/redis-cli</string>\n    <string>-a</string>\n    <string>kD93hfQ0plm4</string>\n",
        ] {
            assert_eq!(shown(text), [("password".to_owned(), "kD93hfQ0plm4")], "{text}");
        }
        for text in ["- redis-cli\n- ping\nx:\n  - -a\n  - kD93hfQ0plm4\n", "- cp\n- -a\n- kD93hfQ0plm4\n"] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }
}
