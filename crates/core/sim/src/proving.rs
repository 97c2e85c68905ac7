//! The evidence about instances that a host gives.

use keyroll_rotation::{ConsumerId, Kinds, PATHS_MAX, Proof, Visibility, Which};

use crate::calls::{CallResult, Lens};
use crate::issuer::{FOREIGN, Value};
use crate::mutant::Mutation;
use crate::quirks::{Quirk, Quirks};
use crate::rng::Rng;
use crate::served::Showing;
use crate::world::World;

impl World {
    pub(crate) fn prove(
        &mut self,
        (consumer, watched): (ConsumerId, bool),
        slot: Option<u8>,
        which: Which,
        value: Option<Value>,
        others: Option<&[u32]>,
        lens: Lens,
    ) -> CallResult {
        let (now, boot) = (self.now, self.boot);
        let plan = self.plan.consumers.get(consumer.index());
        let (paths, attributable) = plan.map_or((1, false), |it| (it.paths, it.attributable));
        let trusted = plan.is_some_and(|it| it.own_word);
        let require = self.plan.policy.require;
        let mut proofs = Vec::new();
        for proc in &mut self.procs {
            let asked = proc.consumer == Some(consumer) && slot.is_none_or(|slot| proc.slot == slot);
            if !asked || now < proc.hidden_until {
                continue;
            }
            // It was told to take the other version, and has not yet.
            let late = proc.renews_at.is_some() && Some(proc.loaded) != value;
            let right = Some(proc.loaded) == value && self.issuer.accepts(proc.loaded, now);
            let right = right || (late && self.mutation == Mutation::GenerationUnseen);
            // A check beside the process succeeds with what its files hold, and the process says that it is ready.
            let ready =
                if late { Kinds::DELIVERED.and(Kinds::CHECKED).and(Kinds::REPORTED) } else { Kinds::NONE };
            let mut kinds = [Kinds::NONE; PATHS_MAX];
            for (path, kind) in kinds.iter_mut().enumerate().take(usize::from(paths)) {
                let idle = (path > 0 && self.rng.one_in(self.quiet)) || self.lasting.idle == Some(consumer);
                let idle = idle || proc.also.is_some_and(|(other, _)| usize::from(other) == path);
                *kind = ready;
                if lens == Lens::Partial {
                    continue;
                }
                let works = right && !idle;
                let seen =
                    Showing { value: value.unwrap_or(FOREIGN), path, works, trusted, attributable, now };
                if let Some((whole, claimed)) = proc.served_evidence(&mut self.quirk_rng, &seen) {
                    let whole = if works { whole.and(require) } else { whole };
                    let shows = evidence(self.scene.quirks, &mut self.quirk_rng, whole);
                    if let Some(shown) = proc.shown.get_mut(path).filter(|_| Some(proc.loaded) == value) {
                        *shown = shown.and(shows);
                    }
                    *kind = shows.and(claimed);
                    continue;
                }
                if !works {
                    continue;
                }
                let whole = whole(proc.at_rest, attributable);
                *kind = evidence(self.scene.quirks, &mut self.quirk_rng, whole.and(require));
                if let Some(shown) = proc.shown.get_mut(path) {
                    *shown = shown.and(*kind);
                }
            }
            // A host keeps what it has seen of a process, and takes away only what a check shows to be wrong by now.
            let kept = kinds.iter_mut().zip(&proc.shown).filter(|_| watched && right);
            kept.for_each(|(kind, shown)| *kind = kind.and(*shown));
            let other_session = match others {
                None => Visibility::NotVisible,
                Some(others) if others.contains(&proc.pid) => Visibility::Yes,
                Some(_) => Visibility::No,
            };
            let who = proc.who(boot, self.scene.quirks);
            proofs.push(Proof { who, slot: proc.slot, version: which, paths: kinds, other_session });
        }
        let trouble = self.trouble.0 == consumer.index() && now < self.trouble.1;
        CallResult::Proved(proofs, trouble)
    }
}

/// All the evidence that there is of a consumer that is not served.
fn whole(at_rest: bool, attributable: bool) -> Kinds {
    match (at_rest, attributable) {
        (true, _) => Kinds::DELIVERED.and(Kinds::CHECKED),
        (false, true) => Kinds::DELIVERED.and(Kinds::EXERCISED),
        (false, false) => Kinds::DELIVERED.and(Kinds::LOADED).and(Kinds::CHECKED),
    }
}

/// What one look shows of the evidence that there is: all of it, or each kind only now and then.
fn evidence(quirks: Quirks, rng: &mut Rng, whole: Kinds) -> Kinds {
    if !quirks.has(Quirk::PartialEvidence) {
        return whole;
    }
    let seen = Kinds::ALL.into_iter().map(|(kind, _)| kind).filter(|kind| whole.has(*kind));
    seen.filter(|_| rng.one_in(2)).fold(Kinds::NONE, Kinds::and)
}
