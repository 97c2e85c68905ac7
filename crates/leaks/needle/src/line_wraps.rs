//! Finds values with interruptions: line ends, indentation, escapes of these, terminal codes.

pub(crate) mod join;
pub(crate) mod search;
