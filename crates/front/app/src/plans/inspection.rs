use std::sync::Arc;

use keyroll_port::{Holder, PendingChange};
use keyroll_rotation::Plan;

use crate::records::saved_plan::Saved;
use crate::wiring::hosts::Machine;

/// The result of an inspection: the plan to save, the protocol's plan, the hosts, and what is undeclared or not
/// visible.
pub struct Inspection {
    /// The plan as it is saved.
    pub saved: Saved,
    /// The plan as the core takes it.
    pub plan: Plan,
    /// The endpoints at which the new key is probed.
    pub endpoints: Vec<String>,
    /// The hosts, ready to apply the plan.
    pub(crate) host: Arc<dyn Machine>,
    pub(crate) holders: Vec<Holder>,
    /// What is not visible, and why.
    pub not_visible: Vec<String>,
    /// Sentences for the operator.
    pub notes: Vec<String>,
    /// The pending changes that restarts would make live.
    pub live: Vec<PendingChange>,
    /// Those of them that an adoption has accepted.
    pub granted: Vec<PendingChange>,
}
