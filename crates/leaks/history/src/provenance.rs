//! The origins of objects: the commits that added them and the last that still had them.

pub(crate) mod commit_graph;
pub(crate) mod origins;
pub(crate) mod tree_contents;
