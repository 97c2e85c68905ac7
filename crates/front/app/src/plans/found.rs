use keyroll_host::Local;
use keyroll_port::{Holder, Live};
use keyroll_rotation::Plan;

use crate::records::saved_plan::Saved;

/// What it found: the plan to be saved, the protocol's plan, this machine's setup, and what is not explained.
pub struct Found {
    /// The plan as it is saved.
    pub saved: Saved,
    /// The plan as the core takes it.
    pub plan: Plan,
    /// Where the new key is tried.
    pub endpoints: Vec<String>,
    /// This machine, ready to carry the plan out.
    pub host: Local,
    pub(crate) holders: Vec<Holder>,
    /// What could not be looked at, and why.
    pub not_visible: Vec<String>,
    /// Sentences for the operator.
    pub notes: Vec<String>,
    /// What restarts would make live beside the value.
    pub live: Vec<Live>,
    /// What of it an adoption has accepted.
    pub granted: Vec<Live>,
}
