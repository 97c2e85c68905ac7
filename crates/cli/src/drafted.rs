//! What was found on this machine as tables of keyroll.toml: never a value, and nothing that was not seen. What a person has
//! to say is named as such.

mod agent;
mod consumer;
mod copies;
mod copy;
mod draft;
mod issuer;
mod joined;
mod known;
mod process;

pub(crate) use draft::{Wanted, drafts};
pub(crate) use issuer::FILL_IN;
pub(crate) use joined::{Joined, join};
