//! Findings of `leaks`, as they are written.

mod askers;
mod asking;
mod baseline;
mod github;
mod json;
mod known;
mod next;
mod sarif;
mod shown;
mod source;
mod table;
mod theirs;
mod verified;

pub(crate) use askers::Askers;
pub(crate) use asking::ask;
pub(crate) use baseline::{BaselineFile, no_identities, only};
pub(crate) use github::annotations;
pub(crate) use json::{document, lines};
pub(crate) use known::{OfStore, of_store};
pub(crate) use next::next;
pub(crate) use sarif::sarif;
pub(crate) use shown::{Identities, LeakShown, LeaksShown, PlaceShown};
pub(crate) use source::Source;
pub(crate) use table::table;
pub(crate) use theirs::{ignored, is_ignored, theirs, unread_lines};
pub(crate) use verified::{VerifiedShown, notes};
