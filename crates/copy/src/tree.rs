use crate::CopyError;
use crate::slot::Pointer;
use crate::spot::{Spot, ambiguous};

/// A file of nested tables and lists, whatever its syntax; flat, so that its depth costs no stack.
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

pub(crate) struct Node {
    /// Where it begins in the file.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// Names and what stands there, in the order of the file, as often as they stand there. A name that is no text
    /// leads nowhere.
    Table(Vec<(Option<String>, usize)>),
    List(Vec<usize>),
    Value(Spot),
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds a node. The first is the root.
    pub(crate) fn add(&mut self, at: usize, kind: Kind) -> usize {
        self.nodes.push(Node { at, kind });
        self.nodes.len() - 1
    }

    /// Gives a node its content, which was not known before its children were.
    pub(crate) fn fill(&mut self, index: usize, kind: Kind) -> usize {
        if let Some(node) = self.nodes.get_mut(index) {
            node.kind = kind;
        }
        index
    }

    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub(crate) fn node_mut(&mut self, index: usize) -> Option<&mut Node> {
        self.nodes.get_mut(index)
    }

    /// The value that a pointer leads to. Names that stand twice on the way are an error: readers take one or the
    /// other.
    pub(crate) fn find(mut self, file: &[u8], pointer: &Pointer) -> Result<Option<Spot>, CopyError> {
        let mut index = 0;
        for step in pointer.steps() {
            let Some(next) = self.step(file, index, step)? else { return Ok(None) };
            index = next;
        }
        match self.nodes.get_mut(index) {
            None => Ok(None),
            Some(Node { kind: Kind::Value(spot), at }) => {
                Ok(Some(std::mem::replace(spot, Spot::doubtful(*at..*at, "it was taken"))))
            }
            Some(node) => Err(ambiguous(file, node.at, "a table or a list in place of a text")),
        }
    }

    fn step(&self, file: &[u8], index: usize, step: &str) -> Result<Option<usize>, CopyError> {
        let Some(node) = self.nodes.get(index) else { return Ok(None) };
        let found: Vec<usize> = match &node.kind {
            Kind::Table(entries) => {
                let named = entries.iter().filter(|(name, _)| name.as_deref() == Some(step));
                named.map(|(_, index)| *index).collect()
            }
            Kind::List(all) => self.in_list(all, step),
            // A name that stands for something elsewhere, say.
            Kind::Value(Spot { value: Err(why), .. }) => return Err(ambiguous(file, node.at, why)),
            Kind::Value(_) => Vec::new(),
        };
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            [_, second, ..] => {
                let at = self.nodes.get(*second).map_or(node.at, |node| node.at);
                Err(ambiguous(file, at, "a name that stands there twice"))
            }
        }
    }

    /// A number from 0, `[name=value]` for the tables that say so, or in Compose the name of an item `NAME=value`.
    fn in_list(&self, all: &[usize], step: &str) -> Vec<usize> {
        if let Some((name, value)) =
            step.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.split_once('='))
        {
            return all.iter().copied().filter(|index| self.says(*index, name, value)).collect();
        }
        let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits && (step == "0" || !step.starts_with('0'));
        match step.parse::<usize>().ok().filter(|_| plain) {
            Some(number) => all.get(number).copied().into_iter().collect(),
            None => all.iter().copied().filter(|index| self.is_item(*index, step)).collect(),
        }
    }

    fn says(&self, index: usize, name: &str, wanted: &str) -> bool {
        let Some(Node { kind: Kind::Table(entries), .. }) = self.nodes.get(index) else { return false };
        entries.iter().filter(|(known, _)| known.as_deref() == Some(name)).any(|(_, index)| {
            let value = self.nodes.get(*index).map(|node| &node.kind);
            matches!(value, Some(Kind::Value(Spot { value: Ok(text), .. })) if text.expose() == wanted.as_bytes())
        })
    }

    fn is_item(&self, index: usize, name: &str) -> bool {
        let Some(Node { kind: Kind::Value(spot), .. }) = self.nodes.get(index) else { return false };
        spot.style.item().is_some_and(|item| item == name)
    }
}
