//! The objects of a repository: their ids, kinds and contents, and where each is stored.

pub(crate) mod buffer;
pub(crate) mod commit;
pub(crate) mod id;
pub(crate) mod inflate;
pub(crate) mod kind;
pub(crate) mod loose;
pub(crate) mod reader;
pub(crate) mod store;
pub(crate) mod tree;
