use std::collections::BTreeMap;

use crate::CopyError;
use crate::slot::Pointer;
use crate::spot::{Spot, ambiguous};

/// The most bytes for all pointers of a file together. A file with long names above many values, or with very deep
/// tables, is not a settings file.
const POINTERS_BYTES_MAX: usize = 8 << 20;

const TWICE: &str = "a name that stands there twice";

/// A file of nested tables and lists, whatever its syntax; flat, so that its depth costs no stack.
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

pub(crate) struct Node {
    /// Where it begins in the file.
    pub(crate) at: usize,
    pub(crate) kind: NodeContent,
}

pub(crate) enum NodeContent {
    /// Names with their nodes, in the order of the file, including repeated names. No pointer leads to a node whose
    /// name is not a text.
    Table(Vec<(Option<String>, usize)>),
    List(Vec<usize>),
    Value(Spot),
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds a node. The first is the root.
    pub(crate) fn add(&mut self, at: usize, kind: NodeContent) -> usize {
        self.nodes.push(Node { at, kind });
        self.nodes.len() - 1
    }

    /// Gives a node its content, which is known only after its children are read.
    pub(crate) fn fill(&mut self, index: usize, kind: NodeContent) -> usize {
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

    /// The value that a pointer leads to. A name that occurs twice on the way is an error: readers choose different
    /// ones.
    pub(crate) fn find(mut self, file: &[u8], pointer: &Pointer) -> Result<Option<Spot>, CopyError> {
        let mut index = 0;
        for step in pointer.steps() {
            let Some(next) = self.step(file, index, step)? else { return Ok(None) };
            index = next;
        }
        match self.nodes.get_mut(index) {
            None => Ok(None),
            Some(Node { kind: NodeContent::Value(spot), at }) => {
                Ok(Some(std::mem::replace(spot, Spot::doubtful(*at..*at, "it was taken"))))
            }
            Some(node) => Err(ambiguous(file, node.at, "a table or a list in place of a text")),
        }
    }

    fn step(&self, file: &[u8], index: usize, step: &str) -> Result<Option<usize>, CopyError> {
        let Some(node) = self.nodes.get(index) else { return Ok(None) };
        let found: Vec<usize> = match &node.kind {
            NodeContent::Table(entries) => {
                let named = entries.iter().filter(|(name, _)| name.as_deref() == Some(step));
                named.map(|(_, index)| *index).collect()
            }
            NodeContent::List(all) => self.in_list(all, step),
            // For example a YAML alias, which stands for another node.
            NodeContent::Value(Spot { value: Err(why), .. }) => return Err(ambiguous(file, node.at, why)),
            NodeContent::Value(_) => Vec::new(),
        };
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            [_, second, ..] => {
                let at = self.nodes.get(*second).map_or(node.at, |node| node.at);
                Err(ambiguous(file, at, TWICE))
            }
        }
    }

    /// Every value with its pointer.
    pub(crate) fn each(self) -> Result<Vec<(Pointer, Spot)>, CopyError> {
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut open = vec![(0, String::new(), false)];
        while let Some((index, way, twice)) = open.pop() {
            let steps: Vec<(String, usize)> = match nodes.get_mut(index).and_then(Option::take) {
                None => continue,
                Some(Node { kind: NodeContent::Value(mut spot), .. }) => {
                    if twice {
                        spot.value = Err(TWICE);
                    }
                    // The root itself has no pointer.
                    found.extend(Pointer::parse(&way).ok().map(|pointer| (pointer, spot)));
                    continue;
                }
                Some(Node { kind: NodeContent::Table(entries), .. }) => {
                    entries.into_iter().filter_map(|(name, child)| Some((name?, child))).collect()
                }
                Some(Node { kind: NodeContent::List(all), .. }) => {
                    let named = |(number, child): (usize, usize)| (item(&nodes, number, child), child);
                    all.into_iter().enumerate().map(named).collect()
                }
            };
            let mut times: BTreeMap<&str, usize> = BTreeMap::new();
            for (step, _) in &steps {
                *times.entry(step).or_default() += 1;
            }
            for (step, child) in &steps {
                let again = times.get(step.as_str()).is_some_and(|times| *times > 1);
                let below = Pointer::behind(&way, step);
                bytes += below.len();
                if bytes > POINTERS_BYTES_MAX {
                    return Err(CopyError::TooLarge { bytes, max: POINTERS_BYTES_MAX });
                }
                open.push((*child, below, twice || again));
            }
        }
        Ok(found)
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
        let Some(Node { kind: NodeContent::Table(entries), .. }) = self.nodes.get(index) else {
            return false;
        };
        entries.iter().filter(|(known, _)| known.as_deref() == Some(name)).any(|(_, index)| {
            let value = self.nodes.get(*index).map(|node| &node.kind);
            matches!(value, Some(NodeContent::Value(Spot { value: Ok(text), .. })) if text.expose() == wanted.as_bytes())
        })
    }

    fn is_item(&self, index: usize, name: &str) -> bool {
        let Some(Node { kind: NodeContent::Value(spot), .. }) = self.nodes.get(index) else { return false };
        spot.spelling.item().is_some_and(|item| item == name)
    }
}

/// The step to an item of a list: in Compose the name of an item `NAME=value`, unless the name would read as another
/// step; otherwise the item's number.
fn item(nodes: &[Option<Node>], number: usize, child: usize) -> String {
    let node = nodes.get(child).and_then(Option::as_ref);
    let name = match node.map(|node| &node.kind) {
        Some(NodeContent::Value(spot)) => spot.spelling.item(),
        Some(NodeContent::Table(_) | NodeContent::List(_)) | None => None,
    };
    let own = |name: &&str| !name.starts_with('[') && !name.bytes().all(|byte| byte.is_ascii_digit());
    name.filter(own).map_or_else(|| number.to_string(), str::to_owned)
}
