//! Other machines: which ones a command is about, whether they are the machines that were accepted, and what keyroll-host
//! answers there.
//!
//! No value goes to a host or comes from one: a host answers with keyed fingerprints, and is told names and versions of
//! those alone. Of a cluster the values are read and compared here; nothing of a value is sent there.

mod accept;
mod at_once;
mod check;
mod chosen;
mod cluster;
mod dial;
mod here;
mod import;
mod known;
mod leaks;
mod list;
mod look;
mod meant;
#[cfg(test)]
pub(crate) mod nobody;
mod pins;
mod reach;
mod seen;
mod session;
mod shared;
mod shown;
mod unreached;

pub use accept::accept;
pub use check::{HostChecked, check};
pub use chosen::{Chosen, chosen};
pub(crate) use dial::{Ways, dial, dialer};
pub use import::{Imported, import, save};
pub(crate) use leaks::{LeaksThere, leaks_there, refuse_unsendable};
pub use list::list;
pub use look::look_at;
pub use seen::{DraftReport, HostCall, HostReport, HostSeen};
pub use shared::shared;
pub use shown::{HostShown, SharedShown};
