use std::time::{Duration, Instant};

use keyroll_engine::{Command, ObserverReply};
use keyroll_rotation::{Fact, InstanceIdentity, OldKey, State, unsearched};

use super::Watch;
use crate::operator::{Confirmation, Event, duration};
use crate::quantity::quantity;
use crate::records::plan_names::Called;
use crate::records::{blockers, waived};

impl Watch<'_> {
    /// Shows what the operator consents to: the key that is revoked, the instances on the new key, the waivers, and how
    /// long the old key has been disabled. Returns the number of instances.
    fn told_before_consent(&mut self, state: &State) -> usize {
        let seen = state.look().map(|look| look.seen.instances.clone()).unwrap_or_default();
        let instances = seen.iter().filter_map(|seen| {
            let name = self.consumer(seen.consumer?.index());
            Some(match seen.who.life {
                InstanceIdentity::Process { pid, .. } => format!("{name}, process {pid}"),
                InstanceIdentity::AtRest(_) => format!("{name}, at rest"),
                InstanceIdentity::Container { .. } => {
                    format!("{name}, {}", self.called.container(seen.who, None).unwrap_or_default())
                }
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
        let waivers = waived::waived(&self.called, &self.waivers, state);
        let unsearched = not_searched(&self.called, state);
        let shared = !state.plan().aim.makes_new();
        let (key, name) = (if shared { "shared" } else { "old" }, &self.secret);
        let ends = match by_person(state) {
            true => format!(
                "after this keyroll cannot roll back; the {key} key of {name} works until you revoke it at \
                 the issuer's console"
            ),
            false => format!(
                "IRREVERSIBLE: keyroll revokes the {key} key of {name} at its issuer, and it cannot be restored"
            ),
        };
        self.operator.event(Event::Consent { ends, shared, instances, waivers, unsearched, off_s });
        count
    }

    /// When no answer is a no. Another question of the same phase has no more time.
    fn answered_until(&mut self, state: &State) -> Option<Instant> {
        let until = may_wait(state).and_then(|limit| Instant::now().checked_add(limit))?;
        Some(*self.answer_until.get_or_insert(until))
    }

    /// Asks once for each consent; the driver continues to inspect meanwhile.
    pub(crate) fn consent(&mut self, digest: u64, state: &State) -> ObserverReply {
        let consented = Command::Tell(Fact::Consented(digest));
        if self.confirmed {
            return ObserverReply::Say(consented);
        }
        if self.asking.as_ref().is_some_and(|(asked, _)| *asked == digest) {
            return ObserverReply::Awaited;
        }
        let instances = self.told_before_consent(state);
        let until = self.answered_until(state);
        let question = question(state, instances, until);
        let tell = self.tell.clone();
        let name = self.secret.clone();
        // An open question about an outdated state is withdrawn.
        self.asking = None;
        let asked = self.operator.begin_ask_name(
            &question,
            &name,
            until,
            Box::new(move |answer| {
                let word = match answer {
                    Confirmation::Yes => consented,
                    Confirmation::No | Confirmation::Nobody | Confirmation::Stopped => Command::Unanswered,
                };
                // A driver that has ended needs no answer.
                let _ = tell.blocking_send(word);
            }),
        );
        let Some(asked) = asked else { return ObserverReply::Nobody };
        self.asking = Some((digest, asked));
        ObserverReply::Awaited
    }
}

/// What is asked, and how long an answer is waited for.
fn question(state: &State, instances: usize, until: Option<Instant>) -> String {
    let inspected = match instances {
        1 => "1 instance was inspected".to_owned(),
        _ => format!("{instances} instances were inspected"),
    };
    let asked = match state.new_version() {
        None if !state.plan().aim.makes_new() => {
            format!("{inspected}, each with its own key: nothing needs the shared key. Revoke it for good?")
        }
        Some(_) if by_person(state) => {
            format!("{inspected}: nothing needs the old key. Continue, so that you can revoke it?")
        }
        Some(_) => format!("{inspected}: nothing needs the old key. Revoke it for good?"),
        // The issuer has one value at a time, so there are no instances on the new key yet.
        None => format!(
            "Making the new key revokes the old one at once; in use by {}. Continue?",
            quantity(instances, "instance")
        ),
    };
    let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000));
    match left.and_then(|left| u64::try_from(left).ok()) {
        Some(left) => {
            format!("{asked} Without an answer for {} keyroll enables the key again.", duration(left))
        }
        None => asked,
    }
}

/// How long a question may wait: with the old key disabled, no longer than a phase. An unanswered one enables the key.
fn may_wait(state: &State) -> Option<Duration> {
    let off = matches!(state.old_key(), OldKey::Off(_));
    off.then(|| Duration::from_millis(state.plan().policy.phase_ms_max))
}

/// The undeclared processes that the consent is about because their memory was not searched.
fn not_searched(called: &Called, state: &State) -> Vec<String> {
    let counted = state.look().map(|look| unsearched(state, look)).unwrap_or_default();
    let each = counted.into_iter().filter_map(|(who, limit)| {
        let here = || {
            let pid = who.pid()?;
            Some(blockers::described(pid).unwrap_or_else(|| format!("process {pid}, which has ended")))
        };
        let shown = called.running_elsewhere(who).or_else(here)?;
        Some(format!("{shown}: {}", blockers::not_searched(limit)))
    });
    each.collect()
}

/// True if the old key works until the operator revokes it.
fn by_person(state: &State) -> bool {
    !state.plan().bound && !state.plan().capabilities.exchanges()
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Phase, Want, wants};

    use super::*;
    use crate::records::walk::Walk;

    /// Red: a question was open for as long as nobody answered, and every use of the old key was refused meanwhile.
    #[test]
    fn a_question_with_the_old_key_disabled_says_until_when_it_waits() {
        let mut walk = Walk::to(Phase::Decide);
        walk.until(|state| wants(state).iter().any(|want| matches!(want, Want::Person(_))));
        let ms = walk.state.plan().policy.phase_ms_max;
        assert_eq!(may_wait(&walk.state), Some(Duration::from_millis(ms)), "{:?}", walk.state.old_key());
        let until = Instant::now().checked_add(Duration::from_secs(3_600));
        let said = question(&walk.state, 1, until);
        assert!(said.ends_with("Without an answer for 60 min keyroll enables the key again."), "{said}");
        let without = question(&walk.state, 1, None);
        assert!(without.ends_with('?') && said.starts_with(&without), "{without}");
        let before = Walk::to(Phase::Quiesce);
        assert_eq!(may_wait(&before.state), None, "the old key is on: the question may wait");
    }
}
