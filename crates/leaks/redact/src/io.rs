//! Redacts readers, writers and log lines.

pub(crate) mod reader;
pub(crate) mod writer;
