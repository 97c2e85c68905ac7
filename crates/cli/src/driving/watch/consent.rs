use keyroll_engine::{Command, Word};
use keyroll_rotation::{Fact, Life, OldKey, Overlap, State};

use super::Watch;
use crate::records::blocked;
use crate::ui::{Answer, Event};

impl Watch<'_> {
    /// What is consented to: what ends, who was seen on the new key, what was waived, and how long the old key is off.
    /// Returns how many instances of consumers were seen.
    fn told_before_consent(&mut self, state: &State) -> usize {
        let seen = state.look().map(|look| look.seen.instances.clone()).unwrap_or_default();
        let instances = seen.iter().filter_map(|seen| {
            let name = self.consumer(seen.consumer?.index());
            Some(match seen.who.life {
                Life::Process { pid, .. } => format!("{name}, process {pid}"),
                Life::AtRest(_) => format!("{name}, at rest"),
            })
        });
        let all: Vec<String> = instances.collect();
        let count = all.len();
        let shown = state.new_version().is_some() || !state.plan().aim.makes_new();
        let instances = if shown { all } else { Vec::new() };
        let off_s = match state.old_key() {
            OldKey::Off(since) if since.boot == state.now().boot => {
                Some(state.now().ms.saturating_sub(since.ms) / 1000)
            }
            OldKey::Off(_) | OldKey::On | OldKey::Ended => None,
        };
        let waivers = blocked::waived(&self.called, &self.waivers, state);
        let shared = !state.plan().aim.makes_new();
        let (key, name) = (if shared { "shared" } else { "old" }, &self.secret);
        let ends = match by_person(state) {
            true => format!(
                "keyroll does not go back after this; the {key} key of {name} works until you end it at its console"
            ),
            false => format!(
                "IRREVERSIBLE: the {key} key of {name} is ended at its issuer, and cannot be brought back"
            ),
        };
        self.ui.event(Event::Consent { ends, shared, instances, waivers, off_s });
        count
    }

    /// Asks once for each thing that is to be consented to; the driver goes on looking meanwhile.
    pub(super) fn consent(&mut self, digest: u64, state: &State) -> Word {
        let consented = Command::Tell(Fact::Consented(digest));
        if self.confirmed {
            return Word::Say(consented);
        }
        if self.asking.as_ref().is_some_and(|(asked, _)| *asked == digest) {
            return Word::Awaited;
        }
        let instances = self.told_before_consent(state);
        let question = match state.new_version() {
            None if !state.plan().aim.makes_new() => format!(
                "{instances} instances were looked at, each on a key of its own: nothing needs the shared key. End it for good?"
            ),
            Some(_) if by_person(state) => format!(
                "{instances} instances were looked at: nothing needs the old key. Go on to its end, which is yours?"
            ),
            Some(_) => {
                format!("{instances} instances were looked at: nothing needs the old key. End it for good?")
            }
            // The issuer has one value at a time: there is nothing to show before the old one ends.
            None => format!(
                "Making the new key ends the old one at once, and {instances} instances use it. Go on?"
            ),
        };
        let tell = self.tell.clone();
        let name = self.secret.clone();
        // Whoever is still asked about what is not true any more gives no answer to this.
        self.asking = None;
        let asked = self.ui.begin_ask_name(&question, &name, move |answer| {
            let word = match answer {
                Answer::Yes => consented,
                Answer::No | Answer::Nobody | Answer::Stopped => Command::Unanswered,
            };
            // A driver that has ended meanwhile needs no answer.
            let _ = tell.blocking_send(word);
        });
        let Some(asked) = asked else { return Word::Nobody };
        self.asking = Some((digest, asked));
        Word::Awaited
    }
}

/// Whether the old key works until a person ends it.
fn by_person(state: &State) -> bool {
    let ends_itself = matches!(state.plan().capabilities.overlap, Overlap::None | Overlap::Grace { .. });
    !state.plan().bound && !ends_itself
}
