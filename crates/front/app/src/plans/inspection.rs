use std::sync::Arc;

use keyroll_port::{Holder, PendingChange};
use keyroll_rotation::Plan;

use crate::problem::Problem;
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
    /// The hosts from which they are probed, beside this machine.
    pub asking: Vec<String>,
    /// The hosts, ready to apply the plan.
    pub(crate) host: Arc<dyn Machine>,
    pub(crate) holders: Vec<Holder>,
    /// What is not visible, and why.
    pub not_visible: Vec<String>,
    /// Sentences for the operator.
    pub notes: Vec<String>,
    /// What a rotation would fail at, though it was not looked for before a change.
    pub(crate) bar: Option<Problem>,
    /// The pending changes that restarts would make live.
    pub live: Vec<PendingChange>,
    /// Those of them that an adoption has accepted.
    pub granted: Vec<PendingChange>,
}

/// How many hosts a line of the plan names.
const HOSTS_NAMED_MAX: usize = 3;

impl Inspection {
    /// Where the new key is probed: `api.example.org:443, from this machine, web-1 and web-2`.
    pub(crate) fn probed(&self) -> String {
        self.endpoints.join(" and at ") + &from(&self.asking)
    }
}

/// From which machines; empty if from this one alone.
fn from(asking: &[String]) -> String {
    match asking {
        [] => String::new(),
        [first @ .., last] if first.len() < HOSTS_NAMED_MAX => {
            let named: Vec<&str> =
                std::iter::once("this machine").chain(first.iter().map(String::as_str)).collect();
            format!(", from {} and {last}", named.join(", "))
        }
        [..] => format!(", from this machine and {} hosts", asking.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_the_machines_that_ask_as_far_as_there_is_room() {
        let hosts: Vec<String> = (1..=4).map(|at| format!("web-{at}")).collect();
        assert_eq!(from(&hosts[..0]), "");
        assert_eq!(from(&hosts[..1]), ", from this machine and web-1");
        assert_eq!(from(&hosts[..3]), ", from this machine, web-1, web-2 and web-3");
        assert_eq!(from(&hosts), ", from this machine and 4 hosts");
    }
}
