use std::collections::{BTreeMap, BTreeSet};

use keyroll_trace::{Found, Place, Standing, chains_of, rows};

use super::{Seen, verdict_word};
use crate::ui::{EdgeShown, GraphShown, NodeShown};

/// Who takes what from where: values, the copies that they stand in, the services that read them, their processes.
pub(crate) fn drawn<'f>(seen: &Seen, all: impl Iterator<Item = &'f Found>) -> GraphShown {
    let mut drawing = Drawing::default();
    for found in all {
        let values: BTreeMap<_, _> = found
            .values
            .iter()
            .map(|id| {
                let text = format!("{} {}", found.name, seen.label(found, *id));
                (*id, drawing.node("value", format!("value {id:?}"), text))
            })
            .collect();
        let mut copies: BTreeMap<&Place, String> = BTreeMap::new();
        for (place, sighting) in found.copies() {
            let copy = drawing.node("copy", format!("copy {place}"), place.to_string());
            if let Some(value) = values.get(&sighting.value) {
                drawing.edge(value.clone(), copy.clone(), "stands in");
            }
            copies.insert(place, copy);
        }
        for user in &found.users {
            let key = format!("service {:?} {}", user.keeper, user.name);
            let service = drawing.node("service", key, user.name.clone());
            for link in chains_of(&seen.survey, found, user).into_iter().flat_map(|chain| &chain.links) {
                let kind = match link.standing {
                    Standing::Wins => "wins",
                    Standing::Shadowed => "shadowed",
                    Standing::NotRead => "not read",
                    Standing::NotThere => "not there",
                    Standing::NotVisible(_) => "not visible",
                };
                let known = link.place.as_ref().and_then(|place| copies.get(place).cloned());
                let from = known.unwrap_or_else(|| {
                    drawing.node("copy", format!("copy {} {}", user.name, link.what), link.what.clone())
                });
                drawing.edge(from, service.clone(), kind);
            }
        }
        for row in rows(&seen.survey, found) {
            let key = format!("service {:?} {}", row.user.keeper, row.user.name);
            let service = drawing.node("service", key, row.user.name.clone());
            let label = format!("{} ({})", row.process.pid, verdict_word(row.verdict));
            let process = drawing.node("process", format!("process {}", row.process.pid), label);
            drawing.edge(service, process.clone(), "runs");
            let memory = match &row.held.memory {
                keyroll_trace::Memory::Whole(all) | keyroll_trace::Memory::InPart(all) => Some(all),
                keyroll_trace::Memory::NotSearched
                | keyroll_trace::Memory::Common
                | keyroll_trace::Memory::Closed => None,
            };
            let held: BTreeSet<_> = row.held.start.iter().chain(memory).flatten().collect();
            for value in held.into_iter().filter_map(|id| values.get(id)) {
                drawing.edge(process.clone(), value.clone(), "holds");
            }
        }
    }
    drawing.graph
}

#[derive(Default)]
struct Drawing {
    graph: GraphShown,
    ids: BTreeMap<String, String>,
    /// The edges that are there.
    drawn: BTreeSet<(String, String, &'static str)>,
}

impl Drawing {
    /// The node of this key, made where it is new.
    fn node(&mut self, kind: &'static str, key: String, label: String) -> String {
        if let Some(known) = self.ids.get(&key) {
            return known.clone();
        }
        let id = format!("n{}", self.ids.len() + 1);
        self.ids.insert(key, id.clone());
        self.graph.nodes.push(NodeShown { id: id.clone(), kind, label });
        id
    }

    fn edge(&mut self, from: String, to: String, kind: &'static str) {
        if self.drawn.insert((from.clone(), to.clone(), kind)) {
            self.graph.edges.push(EdgeShown { from, to, kind });
        }
    }
}

/// How an edge is drawn: what wins is a full line, the rest is not.
fn full(kind: &str) -> bool {
    matches!(kind, "wins" | "runs" | "stands in")
}

/// For Graphviz.
pub(crate) fn dot(graph: &GraphShown) -> String {
    let mut text = "digraph keyroll {\n  rankdir=LR;\n".to_owned();
    for node in &graph.nodes {
        let shape = match node.kind {
            "value" => "hexagon",
            "copy" => "note",
            "service" => "box",
            _ => "ellipse",
        };
        text.push_str(&format!("  {} [shape={shape}, label=\"{}\"];\n", node.id, quoted(&node.label)));
    }
    for edge in &graph.edges {
        let style = if full(edge.kind) { "solid" } else { "dashed" };
        let (from, to, kind) = (&edge.from, &edge.to, edge.kind);
        text.push_str(&format!("  {from} -> {to} [label=\"{kind}\", style={style}];\n"));
    }
    text.push_str("}\n");
    text
}

/// Inside a quoted string of DOT.
fn quoted(label: &str) -> String {
    plain(label).replace('\\', "\\\\").replace('"', "\\\"")
}

/// For Markdown.
pub(crate) fn mermaid(graph: &GraphShown) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for node in &graph.nodes {
        let (open, close) = match node.kind {
            "value" => ("{{", "}}"),
            "copy" => ("[/", "/]"),
            "service" => ("[", "]"),
            _ => ("(", ")"),
        };
        text.push_str(&format!("  {}{open}\"{}\"{close}\n", node.id, coded(&node.label)));
    }
    for edge in &graph.edges {
        let line = if full(edge.kind) { "-->" } else { "-.->" };
        text.push_str(&format!("  {} {line}|{}| {}\n", edge.from, edge.kind, edge.to));
    }
    text
}

/// Everything that mermaid or its HTML could read as more than text, by its number.
fn coded(label: &str) -> String {
    let code = |letter: char| match letter {
        '"' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' | '{' | '}' | '|' | '*' => {
            format!("#{};", u32::from(letter))
        }
        other => other.to_string(),
    };
    plain(label).chars().map(code).collect()
}

/// Without what could write to a terminal.
pub(crate) fn plain(label: &str) -> String {
    crate::ui::clean(label).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::redact;

    fn hostile() -> GraphShown {
        let mut drawing = Drawing::default();
        let copy = drawing.node("copy", "a".to_owned(), "/srv/\"];x[\u{1b}[2J<b>&\\.env:1".to_owned());
        let service = drawing.node("service", "b".to_owned(), "api".to_owned());
        drawing.edge(copy, service, "wins");
        drawing.graph
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(
            dot(&hostile()),
            "digraph keyroll {\n  rankdir=LR;\n  n1 [shape=note, label=\"/srv/\\\"];x[\u{fffd}[2J<b>&\\\\.env:1\"];\n  \
             n2 [shape=box, label=\"api\"];\n  n1 -> n2 [label=\"wins\", style=solid];\n}\n"
        );
        assert_eq!(
            mermaid(&hostile()),
            "flowchart LR\n  n1[/\"/srv/#34;]#59;x[\u{fffd}[2J#60;b#62;#38;#92;.env:1\"/]\n  n2[\"api\"]\n  n1 -->|wins| n2\n"
        );
        let svg = super::super::svg(&hostile());
        assert!(svg.contains("/srv/&quot;];x[\u{fffd}[2J&lt;b&gt;&amp;\\.env:1"), "{svg}");
    }

    #[test]
    fn a_value_is_cut_out_before_a_label_is_shortened_or_coded() {
        let (name, coded) = (alphanumeric(40), format!("{}#;<&>{}", alphanumeric(20), alphanumeric(20)));
        let mut drawing = Drawing::default();
        for value in [&name, &coded] {
            redact::remember(&SecretBytes::from(value.clone()));
            drawing.node("copy", value.clone(), format!("/srv/{value}/a-folder-of-a-tenant/.env:1"));
        }
        for text in [dot(&drawing.graph), mermaid(&drawing.graph), super::super::svg(&drawing.graph)] {
            let shown = redact::pass(&text);
            assert!(shown.contains("a-folder-of-a-tenant"), "{shown}");
            for piece in [&name[..10], &name[30..], &coded[..10], &coded[35..]] {
                assert!(!shown.contains(piece), "{shown}");
            }
        }
    }
}
