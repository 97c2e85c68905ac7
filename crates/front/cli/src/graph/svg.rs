use std::collections::BTreeMap;

use keyroll_app::operator::{GraphShown, NodeShown};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::plain;

/// The columns from left to right, by kind.
const COLUMNS: [&str; 4] = ["value", "copy", "service", "process"];

/// Sizes in pixels: of a row, of a box, of a narrow letter, between columns.
const ROW: usize = 36;
const BOX: usize = 26;
const LETTER: usize = 7;
const GAP: usize = 120;

/// The widest label that is drawn completely, in narrow letters; the whole text is in its title.
const LABEL_MAX: usize = 48;

/// A drawing in four columns: values, copies, services, processes.
pub(crate) fn svg(graph: &GraphShown) -> String {
    let mut places: BTreeMap<&str, Rectangle> = BTreeMap::new();
    let (mut left, mut boxes, mut height) = (GAP / 4, String::new(), 0);
    for kind in COLUMNS {
        let column: Vec<&NodeShown> = graph.nodes.iter().filter(|node| node.kind == kind).collect();
        let longest = column.iter().map(|node| short(&node.label).width()).max();
        let Some(width) = longest.map(|longest| longest * LETTER + 2 * LETTER) else { continue };
        for (at, node) in column.iter().enumerate() {
            let top = ROW / 2 + at * ROW;
            let place = Rectangle { left, top, width };
            boxes.push_str(&one_box(node, &place));
            places.insert(&node.id, place);
            height = height.max(top + ROW);
        }
        left += width + GAP;
    }
    let mut lines = String::new();
    for edge in &graph.edges {
        let ends = (places.get(edge.from.as_str()), places.get(edge.to.as_str()));
        let (Some(from), Some(to)) = ends else { continue };
        // An edge that leads left starts at the left side and ends at the right side.
        let (x1, x2) = if from.left < to.left { (from.right(), to.left) } else { (from.left, to.right()) };
        let (y1, y2) = (from.middle(), to.middle());
        let dashed =
            if matches!(edge.kind, "wins" | "runs" | "is in") { "" } else { " stroke-dasharray=\"4 3\"" };
        lines.push_str(&format!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{}\"{dashed}><title>{}</title></line>\n",
            colour(edge.kind),
            edge.kind
        ));
    }
    let width = left.saturating_sub(GAP) + GAP / 4;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{lines}{boxes}</svg>\n"
    )
}

/// The box of one node, in pixels; its height is `BOX`.
struct Rectangle {
    left: usize,
    top: usize,
    width: usize,
}

impl Rectangle {
    fn right(&self) -> usize {
        self.left + self.width
    }

    fn middle(&self) -> usize {
        self.top + BOX / 2
    }
}

fn one_box(node: &NodeShown, place: &Rectangle) -> String {
    let Rectangle { left, top, width } = place;
    let (middle, text) = (top + BOX * 2 / 3, left + LETTER);
    format!(
        "<g><title>{}</title><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{BOX}\" rx=\"4\" fill=\"{}\" \
         stroke=\"#444\"/><text x=\"{text}\" y=\"{middle}\">{}</text></g>\n",
        escaped(&node.label),
        fill(node.kind),
        escaped(&short(&node.label)),
    )
}

fn fill(kind: &str) -> &'static str {
    match kind {
        "value" => "#fff3cd",
        "copy" => "#e7f1ff",
        "service" => "#e6f4ea",
        _ => "#f4f4f4",
    }
}

fn colour(kind: &str) -> &'static str {
    match kind {
        "wins" => "#137333",
        "not read" | "shadowed" | "not visible" => "#999",
        _ => "#444",
    }
}

/// Shortens a label at its start, because its end says more.
fn short(label: &str) -> String {
    let label = plain(label);
    if label.width() <= LABEL_MAX {
        return label;
    }
    let mut room = LABEL_MAX - '…'.width().unwrap_or(1);
    let fits = |letter: &char| {
        let left = room.checked_sub(letter.width().unwrap_or(0));
        room = left.unwrap_or(0);
        left.is_some()
    };
    let end: Vec<char> = label.chars().rev().take_while(fits).collect();
    std::iter::once('…').chain(end.into_iter().rev()).collect()
}

fn escaped(label: &str) -> String {
    let label = plain(label).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    label.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_as_wide_as_its_letters_are_drawn() {
        let fits = "鍵".repeat(LABEL_MAX / 2);
        assert_eq!(short(&fits), fits);
        let shortened = short(&format!("{fits}a"));
        assert_eq!((shortened.width(), shortened.chars().last()), (LABEL_MAX, Some('a')));
        let narrow = short(&"b".repeat(LABEL_MAX + 1));
        assert_eq!((narrow.width(), narrow.chars().next()), (LABEL_MAX, Some('…')));
        // A combining mark takes no room.
        let marked = "e\u{301}".repeat(LABEL_MAX);
        assert_eq!(short(&marked), marked);
    }
}
