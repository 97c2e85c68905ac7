//! What an endpoint or a session at the issuer does that the rest of it does not.

use keyroll_port::Probe;

/// An answer that one endpoint gives instead of its own, until a time.
#[derive(Debug, Clone)]
pub(crate) struct Instead {
    pub(crate) endpoint: usize,
    pub(crate) answer: Probe,
    pub(crate) until: u64,
}

/// A session whose process nobody finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LooseSession {
    pub(crate) handle: u32,
    pub(crate) since: u64,
    pub(crate) until: u64,
}
