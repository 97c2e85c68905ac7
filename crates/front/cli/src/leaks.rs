//! The formats in which `leaks` writes its findings.

mod github;
mod json;
mod next;
mod sarif;
mod source;
mod table;

pub(crate) use github::annotations;
pub(crate) use json::{document, lines};
pub(crate) use next::next;
pub(crate) use sarif::sarif;
pub(crate) use source::source;
pub(crate) use table::table;
