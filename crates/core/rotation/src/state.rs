//! The state of one rotation. Each part has its own file and its own rules, and only that file writes its fields. A
//! change of several parts at once is a transition of [`State`].

mod abandoned;
mod answers;
mod attempts;
mod decisions;
mod ending;
mod exceptions;
mod files;
mod holding;
mod looks;
mod minting;
mod new_key;
mod old_switch;
mod old_uses;
mod open_intents;
mod pacing;
mod position;
mod proofs;
mod switching;
mod units;

use std::sync::Arc;

use self::abandoned::Abandoned;
use self::answers::Answers;
pub use self::answers::Streak;
pub(crate) use self::attempts::ATTEMPTS_MAX;
use self::attempts::Attempts;
use self::decisions::Decisions;
use self::ending::Ending;
use self::exceptions::Exceptions;
use self::files::Files;
use self::holding::Holding;
pub use self::looks::Look;
use self::looks::Looks;
use self::minting::Minting;
use self::new_key::NewKey;
pub use self::new_key::NewVersion;
pub(crate) use self::old_switch::List;
pub use self::old_switch::OldKey;
use self::old_switch::OldSwitch;
use self::old_uses::OldUses;
use self::open_intents::OpenIntents;
pub use self::open_intents::{Intent, IntentStatus};
use self::position::Position;
use self::proofs::Proofs;
use self::switching::Switching;
use self::units::Units;
pub use self::units::{Unit, UnitStep};
pub(crate) use self::units::{bit, next_slot};
pub use crate::phase::{Debt, Hold, Phase, Reason};
use crate::plan::{Aim, Consumer, Plan};
use crate::{
    ConsumerId, CredId, Difference, Emergency, Holds, HostId, Incarnation, Op, Proof, Seq, SharedList, Stamp,
    Waived, Which,
};

/// Everything that is known about one rotation, derived from its journal alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    plan: Arc<Plan>,
    seq: Seq,
    now: Stamp,
    pub(crate) position: Position,
    pub(crate) attempts: Attempts,
    pub(crate) holding: Holding,
    pub(crate) intents: OpenIntents,
    pub(crate) minting: Minting,
    pub(crate) new: NewKey,
    pub(crate) abandoned: Abandoned,
    pub(crate) old: OldSwitch,
    pub(crate) switching: Switching,
    pub(crate) ending: Ending,
    pub(crate) units: Units,
    pub(crate) answers: Answers,
    pub(crate) proofs: Proofs,
    pub(crate) files: Files,
    pub(crate) looks: Looks,
    pub(crate) uses: OldUses,
    pub(crate) decisions: Decisions,
    pub(crate) exceptions: Exceptions,
}

impl State {
    /// A rotation that was just opened. `at` is its first driver's stamp.
    pub fn open(plan: Plan, at: Stamp) -> Result<Self, crate::PlanDefect> {
        plan.check()?;
        // A shared key is ended without a new one: each consumer has a key of its own, and none is moved.
        let stage = if plan.aim.makes_new() { UnitStep::Waiting } else { UnitStep::Settled };
        Ok(Self {
            seq: 0,
            now: at,
            position: Position::open(at),
            attempts: Attempts::default(),
            holding: Holding::default(),
            intents: OpenIntents::default(),
            minting: Minting::default(),
            new: NewKey::default(),
            abandoned: Abandoned::default(),
            old: OldSwitch::open(if plan.recovery { OldKey::Ended } else { OldKey::On }),
            switching: Switching::default(),
            ending: Ending::default(),
            units: Units::open(&plan, stage, at),
            answers: Answers::open(plan.endpoints.len()),
            proofs: Proofs::default(),
            files: Files::open(vec![plan.aim.begins_on(); plan.files.len()]),
            looks: Looks::default(),
            uses: OldUses::default(),
            decisions: Decisions::default(),
            exceptions: Exceptions::default(),
            plan: Arc::new(plan),
        })
    }

    /// The plan, with everything that was adopted since.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.position.phase()
    }

    /// The answer to a Disable was lost: the old key may be disabled although nobody saw it.
    pub fn off_in_doubt(&self) -> bool {
        self.switching.off_in_doubt()
    }

    /// Why the rotation is held, if it is.
    pub fn hold(&self) -> Option<Hold> {
        self.holding.hold()
    }

    /// The number of the last event.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The last stamp.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// The rotation has passed the point of no return.
    pub fn decided(&self) -> bool {
        self.decisions.decided_at().is_some()
    }

    /// The rotation has ended: only a debt may still be paid.
    pub fn ended(&self) -> bool {
        self.position.ended()
    }

    /// The debt, if there is one.
    pub fn debt(&self) -> Option<Debt> {
        self.ending.debt()
    }

    /// The new version, once it is made and not yet deleted again.
    pub fn new_version(&self) -> Option<&NewVersion> {
        self.new.living()
    }

    /// The mint of the new version, even if it was deleted again.
    pub fn minted(&self) -> Option<Seq> {
        self.new.version().map(|new| new.mint)
    }

    /// The intent under which the value that we chose is sealed.
    pub fn chosen(&self) -> Option<Seq> {
        self.minting.chosen()
    }

    /// The intent under which the value of this mint is sealed. The mint may be that of an abandoned version.
    pub fn chosen_for(&self, mint: Seq) -> Option<Seq> {
        if self.abandoned.covers(mint) { self.abandoned.choice() } else { self.chosen() }
    }

    /// What is known about the old key.
    pub fn old_key(&self) -> OldKey {
        self.old.key()
    }

    /// The new version is current in the store.
    pub fn promoted(&self) -> bool {
        self.new.is_promoted()
    }

    /// The store must give out the new version: it was promoted, and no operation is changing that.
    pub fn gives_out_new(&self) -> bool {
        self.promoted() && !self.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote))
    }

    /// Intents without outcome.
    pub fn intents(&self) -> &[Intent] {
        self.intents.all()
    }

    /// Mints that were closed as never made; a listed label of one of them re-opens its intent.
    pub fn closed_mints(&self) -> &[Seq] {
        self.minting.closed()
    }

    /// Versions that were abandoned and still have to be deleted.
    pub fn abandoned(&self) -> &[CredId] {
        self.abandoned.credentials()
    }

    /// A new version was abandoned in this rotation.
    pub fn has_abandoned(&self) -> bool {
        self.abandoned.any()
    }

    /// The units in the plan's order.
    pub fn units(&self) -> &SharedList<Unit> {
        self.units.all()
    }

    /// What each file is known to hold.
    pub fn files(&self) -> &[Holds] {
        self.files.all()
    }

    /// The last complete look.
    pub fn look(&self) -> Option<&Look> {
        self.looks.last()
    }

    /// The evidence about one incarnation.
    pub fn proof(&self, who: Incarnation) -> Option<&Proof> {
        self.proofs.of(who)
    }

    /// The waivers, by name.
    pub fn waived(&self) -> &[Waived] {
        self.exceptions.waived()
    }

    /// The pending changes that the operator accepted.
    pub fn accepted(&self) -> &[Difference] {
        self.exceptions.accepted()
    }

    /// The pending changes because of which a restart was refused since the rotation was last resumed.
    pub fn refused(&self) -> &[Difference] {
        self.exceptions.refused()
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

    /// How many copies the last search could not remove.
    pub fn residues(&self) -> Option<u32> {
        self.ending.residues()
    }

    /// Whether the two states differ only in the number and the time of the last event.
    pub fn same_but_time(&self, before: &Self) -> bool {
        let mut after = self.clone();
        (after.seq, after.now) = (before.seq, before.now);
        after == *before
    }

    /// What the rotation is for.
    pub(crate) fn aim(&self) -> Aim {
        self.plan.aim
    }

    /// Moves on to the next event.
    pub(crate) fn advance(&mut self, at: Stamp) {
        self.seq += 1;
        self.now = at;
    }

    /// Begins a phase, and forgets the answers that the phase asks for anew.
    pub(crate) fn enter(&mut self, phase: Phase) {
        let other_key = self.is_since(17) && [self.phase(), phase].contains(&Phase::RollingBack);
        self.uses.enter(phase, other_key);
        self.new.enter(other_key);
        self.exceptions.enter(other_key);
        self.position.enter(phase, self.seq, self.now);
        self.attempts.begin();
        self.switching.retry_enable();
        if phase == Phase::Probe {
            self.answers.forget_new();
        }
        if matches!(phase, Phase::RollingBack | Phase::ConfirmDead) {
            self.answers.forget_old();
        }
    }

    /// Begins a phase again, and drops the consent: it was for another state of things.
    pub(crate) fn return_to(&mut self, phase: Phase) {
        self.decisions.drop_consent();
        self.enter(phase);
    }

    /// Goes on to the last search with a debt: the old key's end was not seen.
    pub(crate) fn sweep_owing(&mut self, debt: Debt) {
        self.ending.owe(debt);
        self.enter(Phase::Sweep);
    }

    /// Gives the phase the time and the attempts that it had at its beginning.
    pub(crate) fn restart_window(&mut self) {
        self.position.restart_window(self.now);
        self.attempts.begin();
    }

    /// The operator resumed: all counts and windows of the rotation begin anew.
    pub(crate) fn resume(&mut self) {
        self.exceptions.resume();
        self.switching.retry_enable();
        self.attempts.resume();
        self.position.restart_window(self.now);
    }

    /// A new driver cannot measure durations from before its start, and counts its own answers and windows.
    pub(crate) fn driver_started(&mut self) {
        self.position.restart_window(self.now);
        self.holding.driver_started(self.now);
        self.uses = OldUses::default();
        self.answers.forget_new();
        self.answers.forget_old();
        self.old.driver_started(self.now);
        self.switching.retry_enable();
        self.units.driver_started(self.now);
    }

    /// Adds a consumer with files of its own.
    pub(crate) fn adopt(&mut self, consumer: &Consumer, files: &[HostId]) -> Result<(), crate::PlanDefect> {
        let plan = Arc::make_mut(&mut self.plan);
        plan.files.extend_from_slice(files);
        plan.check_consumer(consumer)?;
        plan.consumers.push(consumer.clone());
        self.files.adopt(files.len());
        self.units.adopt(&self.plan, consumer.all_slots(), self.now);
        self.decisions.drop_consent();
        self.looks.forget();
        Ok(())
    }

    /// Records the new version. With two slots it may have the id of an abandoned credential, which is then not
    /// deleted. Where minting exchanges, the mint ends the old version.
    pub(crate) fn make(&mut self, mint: Seq, credential: &CredId) {
        self.abandoned.forget(credential);
        self.new.make(mint, credential);
        if self.exchanges() {
            self.end_old(true);
        }
    }

    /// Records what a mint of ours made. A credential of an abandoned version, or a second one, is only deleted.
    pub(crate) fn made(&mut self, mint: Seq, credential: &CredId) {
        if self.abandoned.covers(mint) || self.new.living().is_some() {
            self.abandoned.add(credential);
        } else {
            self.make(mint, credential);
        }
    }

    /// Abandons the new version. Another one is made, and every unit is moved to that one.
    pub(crate) fn abandon(&mut self) {
        self.abandoned.abandon(self.seq, self.new.abandon(), self.minting.abandon());
        self.proofs.abandon();
        self.files.abandon();
        self.units.send_all(self.now);
    }

    /// The old key was disabled. Refused uses are read from here on.
    pub(crate) fn disable_old(&mut self) {
        // A key that ended while the Disable was under way stays ended. Journals of protocol 3 and before took it for
        // disabled.
        if self.old_key() != OldKey::Ended || !self.bounds_looks() {
            self.old.disable(self.now);
        }
        self.switching.disable();
        self.uses.forget_refusals();
    }

    /// The old key was enabled. Earlier answers about it do not count any more.
    pub(crate) fn enable_old(&mut self) {
        self.old.enable(self.goes_on_from_end());
        self.switching.enable(self.seq);
        self.answers.forget_old();
    }

    /// The old key ended. If we did not end it, the end is doubted.
    pub(crate) fn end_old(&mut self, by_us: bool) {
        self.old.end(by_us, self.now);
    }

    /// Holds the rotation, unless it has ended or a stronger hold exists.
    pub(crate) fn stand(&mut self, hold: Hold) {
        if !self.ended() && self.holding.begin(hold, self.seq, self.now) {
            self.attempts.begin();
        }
    }

    /// The rotation has been held for as long as a phase may last.
    pub(crate) fn overdue_standing(&self) -> bool {
        self.holding.since().is_some_and(|since| self.now.at_least(self.plan.policy.phase_ms_max, since))
    }

    /// The old key was enabled after the hold began.
    pub(crate) fn enabled_meanwhile(&self) -> bool {
        self.holding.began_before(self.switching.enabled())
    }

    /// Minting ends the old value.
    pub(crate) fn exchanges(&self) -> bool {
        self.plan.capabilities.exchanges()
    }

    /// When so many milliseconds have passed since then, by the monotonic time of this driver. What it has not measured
    /// itself begins now.
    pub(crate) fn until_ms(&self, since: Stamp, ms: u64) -> u64 {
        let passed = self.now.since(since).unwrap_or(0);
        self.now.ms.saturating_sub(passed).saturating_add(ms)
    }

    /// At least `ms` have passed since this phase began, by the monotonic time of this driver.
    pub(crate) fn overdue(&self, ms: u64) -> bool {
        self.now.at_least(ms, self.position.since())
    }

    /// A complete look after this entry, of this boot and this driver, begun after the last operation that moved
    /// something. There is none while an operation is moving something: its change may come after the look.
    pub(crate) fn fresh_look(&self, after: Seq) -> Option<&Look> {
        let moving = self.intents().iter().any(|open| open.op.moves());
        self.looks.fresh_since(after, self.now).filter(|_| !moving)
    }

    /// A fresh look that is also young: what ends a key may rest on it.
    pub(crate) fn young_look(&self, after: Seq) -> Option<&Look> {
        self.fresh_look(after).filter(|_| self.young_until().is_some_and(|until| self.now.ms <= until))
    }

    /// Whether what ends a key must rest on a young look.
    pub(crate) fn bounds_looks(&self) -> bool {
        self.plan.policy.look_age_ms_max != u64::MAX
    }

    /// A young look is required, and there is none. Asked at each entry: the state before may be much older than it.
    pub(crate) fn lacks_young_look(&self) -> bool {
        self.bounds_looks() && self.young_look(0).is_none()
    }

    /// Until when the last look is young, by the monotonic time of this driver.
    pub(crate) fn young_until(&self) -> Option<u64> {
        self.looks.young_until(self.plan.policy.look_age_ms_max)
    }

    /// A complete look after this entry, of this boot and this driver, which may be older than an operation that moved
    /// something.
    pub(crate) fn phase_look(&self, after: Seq) -> Option<&Look> {
        self.looks.complete_since(after, self.now)
    }

    /// The old key is disabled, or may be, and must be enabled.
    pub fn must_enable(&self) -> bool {
        let off = match self.old_key() {
            OldKey::Off(_) => true,
            OldKey::On => self.off_in_doubt(),
            OldKey::Ended => false,
        };
        off && !self.decided()
    }

    pub(crate) fn running(&self, op: &Op) -> bool {
        self.intents().iter().any(|intent| intent.op == *op && intent.status == IntentStatus::Running)
    }

    pub(crate) fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.plan.consumers.get(id.index())
    }

    pub(crate) fn is_waived(&self, what: &Waived) -> bool {
        self.waived().iter().any(|waived| match (waived, what) {
            (Waived::Holder(one), Waived::Holder(other)) => one.may_be(*other),
            (one, other) => one == other,
        })
    }

    /// Nothing can be rolled back: decided, the old key ended, or an emergency.
    pub(crate) fn forward_only(&self) -> bool {
        self.decided() || self.old_key() == OldKey::Ended || self.emergency().is_some()
    }
}
