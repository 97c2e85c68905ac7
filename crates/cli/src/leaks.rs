//! Findings of `leaks`, as they are written.

mod github;
mod json;
mod sarif;
mod shown;
mod source;
mod table;

pub(crate) use github::annotations;
pub(crate) use json::{document, lines};
pub(crate) use sarif::sarif;
pub(crate) use shown::{LeakShown, LeaksShown, PlaceShown};
pub(crate) use source::Source;
pub(crate) use table::table;
