//! Draws a graph of secrets, copies, services and processes as DOT, mermaid or SVG.

mod svg;

use keyroll_app::operator::{GraphShown, plain};

pub(crate) use svg::svg;

/// Whether an edge is drawn as a full line; others are dashed.
fn full(kind: &str) -> bool {
    matches!(kind, "wins" | "runs" | "is in")
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

/// Escapes by number every character that mermaid or its HTML could interpret.
fn coded(label: &str) -> String {
    let code = |letter: char| match letter {
        '"' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' | '{' | '}' | '|' | '*' => {
            format!("#{};", u32::from(letter))
        }
        other => other.to_string(),
    };
    plain(label).chars().map(code).collect()
}

#[cfg(test)]
mod tests {
    use keyroll_app::operator::{EdgeShown, NodeShown};
    use keyroll_app::redact;
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use super::*;

    fn node(id: &str, kind: &'static str, label: String) -> NodeShown {
        NodeShown { id: id.to_owned(), kind, label }
    }

    fn hostile() -> GraphShown {
        let copy = node("n1", "copy", "/srv/\"];x[\u{1b}[2J<b>&\\.env:1".to_owned());
        let service = node("n2", "service", "api".to_owned());
        let edge = EdgeShown { from: "n1".to_owned(), to: "n2".to_owned(), kind: "wins" };
        GraphShown { nodes: vec![copy, service], edges: vec![edge] }
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
        let svg = svg(&hostile());
        assert!(svg.contains("/srv/&quot;];x[\u{fffd}[2J&lt;b&gt;&amp;\\.env:1"), "{svg}");
    }

    #[test]
    fn a_value_is_cut_out_before_a_label_is_shortened_or_coded() {
        let (name, coded) = (alphanumeric(40), format!("{}#;<&>{}", alphanumeric(20), alphanumeric(20)));
        let mut graph = GraphShown { nodes: Vec::new(), edges: Vec::new() };
        for value in [&name, &coded] {
            redact::remember(&SecretBytes::from(value.clone()));
            graph.nodes.push(node("n1", "copy", format!("/srv/{value}/a-folder-of-a-tenant/.env:1")));
        }
        for text in [dot(&graph), mermaid(&graph), svg(&graph)] {
            let shown = redact::pass(&text);
            assert!(shown.contains("a-folder-of-a-tenant"), "{shown}");
            for piece in [&name[..10], &name[30..], &coded[..10], &coded[35..]] {
                assert!(!shown.contains(piece), "{shown}");
            }
        }
    }
}
