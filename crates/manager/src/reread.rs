use crate::{Applied, Find};

/// A process that reads its file again by itself, on every use or when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The instances' names; empty for a single one.
    pub instances: Vec<String>,
    /// How its processes are found.
    pub find: Find,
}

impl Reread {
    pub(crate) fn apply(&self) -> Applied {
        Applied::without_output("nothing to do: it reads its file again by itself")
    }
}
