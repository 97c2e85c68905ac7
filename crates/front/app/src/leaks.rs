//! Findings of `leaks`: what is scanned, which findings are accepted, and which values still work at their issuer.

mod baseline;
mod detector;
mod gitleaks_rules;
mod here;
mod notes;
mod on_hosts;
mod request;
mod scan;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod shown;
mod stored;
mod verified;
mod verifiers;
mod verify;

pub use baseline::Acceptance;
pub use keyroll_inventory::LeakSource as Source;
pub use notes::notes;
pub use request::LeaksRequest;
pub use scan::{Leaks, scan};
pub use shown::{Identities, LeakShown, LeaksShown, PlaceShown};
pub use verified::VerifiedShown;
