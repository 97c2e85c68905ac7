//! What is shown of hosts that are away, and of those that are back; of consumers that were let go and run again; and which
//! command leads past a failure.

use keyroll_codes::Code;
use keyroll_port::FailureKind;
use keyroll_rotation::{Phase, State};

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

    /// Says which consumers that were let go run again: they have gone no more.
    pub(super) fn consumers_back(&mut self, state: &State) {
        let gone = state.gone_consumers();
        let before = std::mem::replace(&mut self.gone, gone);
        for consumer in before.into_iter().filter(|consumer| !state.has_gone(*consumer)) {
            let name = self.called.consumer(consumer);
            self.operator.note(format!(
                "{name} runs again: its waiver has ended, and it has to prove its key like the others"
            ));
        }
    }

    /// The command past a failure, beside what there is to mend: where it is another one than what goes on with the rotation.
    pub(super) fn way_past(&self, code: Code, kind: FailureKind, attempted: &str) -> String {
        let id = &self.rotation;
        if code == Code::RefusedUsesUnknown && self.phase == Some(Phase::Soak) {
            format!("; keyroll pause {id} switches the old key on again until keyroll resume {id}")
        } else if code == Code::OldKeyStillAlive && kind != FailureKind::StaysAlive {
            format!("; then: keyroll resume {id} --revoked-by-hand")
        } else {
            self.waiver_of_host(code, attempted)
        }
    }

    /// The way out where a host cannot be reached that nobody waived.
    fn waiver_of_host(&self, code: Code, attempted: &str) -> String {
        let Some((host, name)) = self.called.host_named_last(attempted) else { return String::new() };
        match code == Code::HostUnreachable && !self.left.contains(&host) {
            true => format!("; {}", gone(name)),
            false => String::new(),
        }
    }
}
