//! A look that saw everything.

use keyroll_rotation::Seq;

use crate::issuer::Value;
use crate::scene::HOSTS_MAX;

/// A complete look: which driver heard it, and when it was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WholeLook {
    pub(crate) epoch: u64,
    pub(crate) at: u64,
    /// Its entry, once that is written.
    pub(crate) entry: Seq,
    /// When the sessions were read: before the processes.
    pub(crate) sessions_at: u64,
    /// What the source of truth gave out at that look, if it was read.
    pub(crate) truth: Option<Value>,
    /// The hosts that did not answer, by their numbers. Only a look without waived hosts alone counts.
    pub(crate) absent: [bool; HOSTS_MAX],
}
