//! Findings of `leaks`: what is scanned, which findings are accepted, and which values still work at their issuer.

mod baseline;
mod gitleaks_rules;
mod notes;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod shown;
mod source;
mod stored;
mod verified;
mod verifiers;
mod verify;

pub use baseline::{Acceptance, BaselineFile, no_identities, only};
pub use gitleaks_rules::{ignored, is_ignored, theirs, unread_lines};
pub use notes::notes;
pub use shown::{Identities, LeakShown, LeaksShown, PlaceShown};
pub use source::Source;
pub use stored::{OfStore, of_store};
pub use verified::VerifiedShown;
pub use verifiers::Askers;
pub use verify::ask;
