//! Findings of `leaks`, as they are written.

mod askers;
mod asking;
mod github;
mod json;
mod sarif;
mod shown;
mod source;
mod table;
mod theirs;
mod verified;

pub(crate) use askers::Askers;
pub(crate) use asking::ask;
pub(crate) use github::annotations;
pub(crate) use json::{document, lines};
pub(crate) use sarif::sarif;
pub(crate) use shown::{LeakShown, LeaksShown, PlaceShown};
pub(crate) use source::Source;
pub(crate) use table::table;
pub(crate) use theirs::{ignored, theirs};
pub(crate) use verified::{VerifiedShown, notes};
