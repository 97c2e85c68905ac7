//! OpenClaw. The behaviour described here was seen with release 2026.9.6 unless the text says otherwise.

mod error;
mod home;
mod key;
mod reply;
mod settings;
mod state;

pub use error::OpenClawError;
pub use home::OpenClawHome;
pub use key::{Bound, KeySource, NEW_PROCESS, Started, Takes};
pub use reply::Reloaded;
pub use settings::{OpenClawSettings, ReferencedFile};
pub use state::{CoolDown, KeyRow, Profiles, SecretText};
