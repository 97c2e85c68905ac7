//! The state of one rotation. Each part has its own file, and is changed only through its own transitions.

mod decisions;
mod new_key;
mod observations;
mod old_switch;
mod position;

use std::sync::Arc;

use self::decisions::Decisions;
use self::new_key::NewKey;
pub use self::new_key::NewVersion;
use self::observations::Observations;
pub use self::observations::{Look, Streak};
pub(crate) use self::old_switch::List;
pub use self::old_switch::OldKey;
use self::old_switch::OldSwitch;
use self::position::Position;
pub use crate::phase::{Debt, Hold, Phase, Reason};
use crate::plan::{Aim, Consumer, Plan};
pub use crate::progress::{Stage, Unit};
pub(crate) use crate::progress::{all_slots, pushes};
use crate::{
    ConsumerId, CredId, Difference, Emergency, FileId, Holds, Incarnation, Op, Proof, Seq, Stamp, Waived,
    Which,
};

/// What is known of an intent that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentStatus {
    /// It is being carried out.
    Running,
    /// Its outcome is unknown since then; so many complete lists did not show it.
    Unknown {
        /// Since when this driver has been looking.
        since: Stamp,
        /// Complete looks that did not find it.
        absent: u8,
    },
    /// A mint whose value is lost: the credential must go.
    Orphan(CredId),
}

/// An intent that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its place in the journal.
    pub seq: Seq,
    /// What it is.
    pub op: Op,
    /// What is known of it.
    pub status: IntentStatus,
}

/// Everything that is known of one rotation; derived from its journal and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(crate) plan: Arc<Plan>,
    pub(crate) seq: Seq,
    pub(crate) now: Stamp,
    pub(crate) position: Position,
    pub(crate) intents: Vec<Intent>,
    pub(crate) new: NewKey,
    pub(crate) old: OldSwitch,
    pub(crate) units: Vec<Unit>,
    pub(crate) seen: Observations,
    pub(crate) decisions: Decisions,
}

impl State {
    /// A rotation that was just opened. `at` is its first driver's stamp.
    pub fn open(plan: Plan, at: Stamp) -> Result<Self, crate::PlanDefect> {
        plan.check()?;
        // Consumers of a shared key that is only ended have a key of their own: none of them is moved.
        let stage = if plan.aim.makes_new() { Stage::Waiting } else { Stage::Settled };
        let units = vec![Unit { stage, ..Unit::waiting(at) }; plan.consumers.len()];
        let files = vec![plan.aim.begins_on(); plan.files.len()];
        Ok(Self {
            seq: 0,
            now: at,
            position: Position::open(at),
            intents: Vec::new(),
            new: NewKey::default(),
            old: OldSwitch::open(if plan.recovery { OldKey::Ended } else { OldKey::On }),
            units,
            seen: Observations::open(plan.endpoints.len(), files),
            decisions: Decisions::default(),
            plan: Arc::new(plan),
        })
    }

    /// The plan, with what was adopted since.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.position.phase()
    }

    /// A Disable was lost: the old key may be off, unseen.
    pub fn off_in_doubt(&self) -> bool {
        self.old.off_in_doubt()
    }

    /// Why it is held, if it is.
    pub fn hold(&self) -> Option<Hold> {
        self.position.hold()
    }

    /// The number of the last event.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The last stamp.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// The point of no return lies behind.
    pub fn decided(&self) -> bool {
        self.decisions.decided_at().is_some()
    }

    /// Finished: nothing more will be done, but for a debt.
    pub fn ended(&self) -> bool {
        self.position.ended()
    }

    /// What is owed.
    pub fn debt(&self) -> Option<Debt> {
        self.position.debt()
    }

    /// The new version, once it is made and not yet deleted again.
    pub fn new_version(&self) -> Option<&NewVersion> {
        self.new.living()
    }

    /// The mint of the new version, even if it was deleted again.
    pub fn minted(&self) -> Option<Seq> {
        self.new.version().map(|new| new.mint)
    }

    /// The intent under which the value that we chose is kept.
    pub fn chosen(&self) -> Option<Seq> {
        self.new.chosen()
    }

    /// The same for one mint, which may be of a version that was given up since.
    pub fn chosen_for(&self, mint: Seq) -> Option<Seq> {
        self.new.chosen_for(mint)
    }

    /// What is believed of the old key.
    pub fn old_key(&self) -> OldKey {
        self.old.key()
    }

    /// The new version is current in the store.
    pub fn promoted(&self) -> bool {
        self.new.is_promoted()
    }

    /// The store must give out the new version by now: it was promoted, and nothing moves it.
    pub fn gives_out_new(&self) -> bool {
        self.promoted() && !self.intents.iter().any(|open| matches!(open.op, Op::Promote | Op::Demote))
    }

    /// Intents without outcome.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Mints that were closed as never made; a label of one of them re-opens it.
    pub fn closed_mints(&self) -> &[Seq] {
        self.new.closed_mints()
    }

    /// Versions that were abandoned and still have to be deleted.
    pub fn abandoned(&self) -> &[CredId] {
        self.new.abandoned()
    }

    /// The units in the plan's order.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What each file is known to hold.
    pub fn files(&self) -> &[Holds] {
        self.seen.files()
    }

    /// The last complete look.
    pub fn look(&self) -> Option<&Look> {
        self.seen.look()
    }

    /// What is known of one incarnation.
    pub fn proof(&self, who: Incarnation) -> Option<&Proof> {
        self.seen.proof(who)
    }

    /// The waivers, by name.
    pub fn waived(&self) -> &[Waived] {
        self.decisions.waived()
    }

    /// The pending changes that the operator accepted.
    pub fn accepted(&self) -> &[Difference] {
        self.decisions.accepted()
    }

    /// The pending changes that restarts were refused for since the rotation was last resumed.
    pub fn refused(&self) -> &[Difference] {
        self.decisions.refused()
    }

    /// True while a restart must not activate unaccepted changes: rolling forward, before the point of no return, and
    /// not in an emergency.
    pub fn asks_acceptance(&self, which: Which) -> bool {
        which == Which::New && self.phase() != Phase::RollingBack && !self.forward_only()
    }

    /// The emergency, if one was declared.
    pub fn emergency(&self) -> Option<Emergency> {
        self.decisions.emergency()
    }

    /// What the last search could not clean.
    pub fn residues(&self) -> Option<u32> {
        self.seen.residues()
    }

    /// Whether nothing but the number and the time of the last event differ.
    pub fn same_but_time(&self, before: &Self) -> bool {
        let mut after = self.clone();
        (after.seq, after.now) = (before.seq, before.now);
        after == *before
    }

    /// What becomes of the old key.
    pub(crate) fn aim(&self) -> Aim {
        self.plan.aim
    }

    /// Begins a phase. What it asks for anew is forgotten.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.position.enter(phase, self.seq, self.now);
        self.old.retry_enable();
        if phase == Phase::Probe {
            self.seen.forget_new_answers();
        }
        if matches!(phase, Phase::RollingBack | Phase::ConfirmDead) {
            self.seen.forget_old_answers();
        }
        if phase == Phase::Quiesce {
            self.seen.forget_idle();
        }
    }

    /// The old key ended. Where nothing of ours did that, the end is doubted.
    pub(crate) fn end_old(&mut self, by_us: bool) {
        self.old.end(by_us, self.now);
    }

    /// Holds the rotation, unless a stronger reason does, or it has ended.
    pub(crate) fn stand(&mut self, hold: Hold) {
        self.position.hold_for(hold, self.seq, self.now);
    }

    /// It was held for as long as a phase may last.
    pub(crate) fn overdue_standing(&self) -> bool {
        self.now.at_least(self.plan.policy.phase_ms_max, self.position.held_at())
    }

    /// The old key was enabled since the rotation is held.
    pub(crate) fn enabled_meanwhile(&self) -> bool {
        self.hold().is_some() && self.old.enabled() > self.position.held_from()
    }

    /// A deadline in monotonic time of this driver passed since this phase began.
    pub(crate) fn overdue(&self, ms: u64) -> bool {
        self.now.at_least(ms, self.position.since())
    }

    /// A complete look from this phase, this boot and this driver, after everything that was moved. While something
    /// is still being moved there is none: what it moves may change behind the look.
    pub(crate) fn fresh_look(&self, after: Seq) -> Option<&Look> {
        if self.intents.iter().any(|open| open.op.moves()) {
            return None;
        }
        self.phase_look(after.max(self.seen.last_mutation()))
    }

    /// The same, perhaps from before something was moved in this phase.
    pub(crate) fn phase_look(&self, after: Seq) -> Option<&Look> {
        self.look().filter(|look| {
            look.seq > after
                && look.at.epoch == self.now.epoch
                && look.at.boot == self.now.boot
                && look.seen.complete
        })
    }

    /// The slot that an instance of the last look runs in.
    pub(crate) fn slot_of(&self, who: Incarnation) -> u8 {
        self.seen.slot_of(who)
    }

    /// The old key is off, or may be, and nothing allows that any more.
    pub fn must_enable(&self) -> bool {
        let off = match self.old_key() {
            OldKey::Off(_) => true,
            OldKey::On => self.off_in_doubt(),
            OldKey::Ended => false,
        };
        off && !self.decided()
    }

    pub(crate) fn running(&self, op: &Op) -> bool {
        self.intents.iter().any(|intent| intent.op == *op && intent.status == IntentStatus::Running)
    }

    pub(crate) fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.plan.consumers.get(id.index())
    }

    pub(crate) fn file(&self, id: FileId) -> Holds {
        self.seen.file(id)
    }

    pub(crate) fn is_waived(&self, what: &Waived) -> bool {
        self.waived().contains(what)
    }

    /// Nothing can be rolled back: decided, the old key ended, or an emergency.
    pub(crate) fn forward_only(&self) -> bool {
        self.decided() || self.old_key() == OldKey::Ended || self.emergency().is_some()
    }
}
