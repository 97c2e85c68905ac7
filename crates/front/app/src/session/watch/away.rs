//! What is shown of hosts that are away, and of those that are back.

use keyroll_codes::Code;
use keyroll_rotation::State;

use super::Watch;
use crate::records::next_words::gone;

impl Watch<'_> {
    /// Says which hosts answered again: their waivers have ended.
    pub(super) fn hosts_back(&mut self, state: &State) {
        let left = state.left_hosts();
        let before = std::mem::replace(&mut self.left, left);
        for host in before.into_iter().filter(|host| !state.has_left(*host)) {
            if let Some(name) = self.called.host(host) {
                let has_consumer = state.plan().consumers.iter().any(|consumer| consumer.host == host);
                let then = if has_consumer { "its consumers are moved" } else { "it is searched again" };
                self.operator.note(format!("{name} is back: its waiver has ended, and {then}"));
            }
        }
    }

    /// The way out where a host cannot be reached that nobody waived.
    pub(super) fn waiver_of_host(&self, code: Code, attempted: &str) -> String {
        let Some((host, name)) = self.called.host_named_last(attempted) else { return String::new() };
        match code == Code::HostUnreachable && !self.left.contains(&host) {
            true => format!("; {}", gone(name)),
            false => String::new(),
        }
    }
}
