//! Findings of `leaks`: what is scanned, which findings are accepted, and which values still work at their issuer.

mod baseline;
mod detector;
mod gitleaks_rules;
mod notes;
mod request;
mod scan;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod shown;
mod source;
mod stored;
mod verified;
mod verifiers;
mod verify;

pub use baseline::Acceptance;
pub use notes::notes;
pub use request::LeaksRequest;
pub use scan::{Leaks, scan};
pub use shown::{Identities, LeakShown, LeaksShown, PlaceShown};
pub use source::Source;
pub use verified::VerifiedShown;
