use std::sync::Arc;

pub use crate::phase::{Debt, Hold, Phase, Reason};
use crate::plan::{Aim, Consumer, Plan};
pub use crate::progress::{Stage, Unit};
pub(crate) use crate::progress::{all_slots, pushes};
use crate::{
    ConsumerId, CredId, Difference, Emergency, Enumeration, FileId, Holds, Incarnation, Op, Proof, Seq,
    Stamp, Waived, Which,
};

/// What is believed of the old key's switch, from outcomes and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldKey {
    /// Valid.
    On,
    /// Switched off since the stamp's time.
    Off(Stamp),
    /// Ended, by us or by somebody else.
    Ended,
}

/// The version that replaces the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The intent that made it: its value is kept under this number.
    pub mint: Seq,
    /// The issuer's id.
    pub credential: CredId,
}

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

/// Answers in a row at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// How many.
    pub count: u8,
    /// Since the first of them.
    pub since: Option<Stamp>,
}

/// What the issuer said about the last use of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Since when it says the same.
    pub(crate) since: Stamp,
    /// When it last said so.
    pub(crate) last: Stamp,
    /// What it says.
    pub(crate) used: Option<u64>,
}

/// A complete look, and when it entered the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Stamp,
    /// Its place in the journal.
    pub seq: Seq,
    /// What was seen.
    pub seen: Arc<Enumeration>,
}

/// Everything that is known of one rotation; derived from its journal and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(crate) plan: Arc<Plan>,
    pub(crate) phase: Phase,
    pub(crate) entered: Seq,
    pub(crate) phase_since: Stamp,
    pub(crate) hold: Option<Hold>,
    /// Since when it stands still, under this driver.
    pub(crate) stood: (Seq, Stamp),
    pub(crate) seq: Seq,
    pub(crate) now: Stamp,
    pub(crate) preflight: Option<bool>,
    pub(crate) intents: Vec<Intent>,
    pub(crate) closed_mints: Vec<Seq>,
    pub(crate) chosen: Option<Seq>,
    pub(crate) new: Option<NewVersion>,
    pub(crate) abandoned: Vec<CredId>,
    pub(crate) staged: bool,
    pub(crate) checked: bool,
    pub(crate) promoted: bool,
    pub(crate) old: OldKey,
    /// Acceptances of the new version in a row.
    pub(crate) accepted_new: Vec<Streak>,
    /// Acceptances and refusals of the old one.
    pub(crate) alive: Vec<Streak>,
    pub(crate) dead: Vec<Streak>,
    pub(crate) files: Vec<Holds>,
    pub(crate) units: Vec<Unit>,
    pub(crate) proofs: Vec<(ConsumerId, Proof)>,
    pub(crate) look: Option<Look>,
    pub(crate) waived: Vec<Waived>,
    /// What a person accepted that restarts make live too.
    pub(crate) accepted: Vec<Difference>,
    /// What a restart was refused for since it last went on.
    pub(crate) refused: Vec<Difference>,
    pub(crate) idle: Option<Idle>,
    pub(crate) refusals_read: Option<Stamp>,
    pub(crate) consent: Option<(u64, Seq)>,
    pub(crate) decided: Option<(u64, Stamp)>,
    pub(crate) emergency: Option<Emergency>,
    pub(crate) sessions_ended: Option<Seq>,
    pub(crate) listed: Option<(Stamp, Seq)>,
    /// The last complete list shows the old key, and on.
    pub(crate) lists_old: bool,
    /// Since when the old key is missing although nothing of ours ended it.
    pub(crate) gone: Option<Stamp>,
    pub(crate) residues: Option<u32>,
    pub(crate) retired: bool,
    pub(crate) new_deleted: bool,
    pub(crate) debt: Option<Debt>,
    pub(crate) failures: u8,
    pub(crate) rerolls: u8,
    /// The last entry about an operation that moves files, instances or the store: a look before it is stale.
    pub(crate) stirred: Seq,
    /// The entry that asked, with everybody restored, for the old key to be seen alive once more.
    pub(crate) alive_asked: Seq,
    /// The entry that abandoned a new version: what was begun before it says nothing about the present one.
    pub(crate) abandoned_at: Seq,
    /// The choice that was given up with it: its mint may still turn out to have been carried out.
    pub(crate) given_up: Option<Seq>,
    /// A Disable was lost: the old key may be off although nobody saw it.
    pub(crate) off_in_doubt: bool,
    /// What became of a Promote was never told: the way back takes it back all the same.
    pub(crate) promote_in_doubt: bool,
    /// The entry at which a Revoke came to nothing: whoever started since is looked for before it is sent again.
    pub(crate) unrevoked: Seq,
    /// A Disable was sent while it was in question whether the one before it would still arrive.
    pub(crate) disabled_again: bool,
    /// The entry by which the old key was last switched on again.
    pub(crate) enabled: Seq,
    /// Switching it on again failed for good: a person looks first.
    pub(crate) enable_failed: bool,
    /// A refused use of the old key was read, and nobody has been told yet.
    pub(crate) refused_use: bool,
    /// The deletion of the new credential, or of what is sealed of it, was begun: neither is ever relied on again.
    pub(crate) deleting: bool,
    /// A mint that exchanges was lost: the next value is a person's.
    pub(crate) by_hand: bool,
}

impl State {
    /// A rotation that was just opened. `at` is its first driver's stamp.
    pub fn open(plan: Plan, at: Stamp) -> Result<Self, crate::PlanDefect> {
        plan.check()?;
        // Whoever shared a key that is only ended has one of their own: nobody is moved.
        let stage = if plan.aim.makes_new() { Stage::Waiting } else { Stage::Settled };
        let units = vec![Unit { stage, ..Unit::waiting(at) }; plan.consumers.len()];
        let streaks = vec![Streak::default(); plan.endpoints.len()];
        let files = vec![plan.aim.begins_on(); plan.files.len()];
        let old = if plan.recovery { OldKey::Ended } else { OldKey::On };
        Ok(Self {
            plan: Arc::new(plan),
            phase: Phase::Preflight,
            entered: 0,
            phase_since: at,
            hold: None,
            stood: (0, at),
            seq: 0,
            now: at,
            preflight: None,
            intents: Vec::new(),
            closed_mints: Vec::new(),
            chosen: None,
            new: None,
            abandoned: Vec::new(),
            staged: false,
            checked: false,
            promoted: false,
            old,
            accepted_new: streaks.clone(),
            alive: streaks.clone(),
            dead: streaks,
            files,
            units,
            proofs: Vec::new(),
            look: None,
            waived: Vec::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
            idle: None,
            refusals_read: None,
            consent: None,
            decided: None,
            emergency: None,
            sessions_ended: None,
            listed: None,
            lists_old: false,
            gone: None,
            residues: None,
            retired: false,
            new_deleted: false,
            debt: None,
            failures: 0,
            rerolls: 0,
            stirred: 0,
            alive_asked: 0,
            abandoned_at: 0,
            given_up: None,
            off_in_doubt: false,
            promote_in_doubt: false,
            unrevoked: 0,
            disabled_again: false,
            enabled: 0,
            enable_failed: false,
            refused_use: false,
            deleting: false,
            by_hand: false,
        })
    }

    /// The plan, with what was adopted since.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A Disable was lost: the old key may be off although nobody saw it.
    pub fn off_in_doubt(&self) -> bool {
        self.off_in_doubt
    }

    /// Why it stands still, if it does.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
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
        self.decided.is_some()
    }

    /// Finished: nothing more will be done, but for a debt.
    pub fn ended(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::RolledBack)
    }

    /// What is owed.
    pub fn debt(&self) -> Option<Debt> {
        self.debt
    }

    /// The new version, once it is made and not yet deleted again.
    pub fn new_version(&self) -> Option<&NewVersion> {
        self.new.as_ref().filter(|_| !self.new_deleted)
    }

    /// The mint of the new version, even if it was deleted again.
    pub fn minted(&self) -> Option<Seq> {
        self.new.as_ref().map(|new| new.mint)
    }

    /// The intent under which the value that we chose is kept.
    pub fn chosen(&self) -> Option<Seq> {
        self.chosen
    }

    /// The same for one mint, which may be of a version that was given up since.
    pub fn chosen_for(&self, mint: Seq) -> Option<Seq> {
        if mint < self.abandoned_at { self.given_up } else { self.chosen }
    }

    /// What is believed of the old key.
    pub fn old_key(&self) -> OldKey {
        self.old
    }

    /// The new version is current in the store.
    pub fn promoted(&self) -> bool {
        self.promoted
    }

    /// Intents without outcome.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Mints that were closed as never made; a label of one of them re-opens it.
    pub fn closed_mints(&self) -> &[Seq] {
        &self.closed_mints
    }

    /// Versions that were abandoned and still have to be deleted.
    pub fn abandoned(&self) -> &[CredId] {
        &self.abandoned
    }

    /// The units in the plan's order.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What each file is known to hold.
    pub fn files(&self) -> &[Holds] {
        &self.files
    }

    /// The last complete look.
    pub fn look(&self) -> Option<&Look> {
        self.look.as_ref()
    }

    /// What is known of one incarnation.
    pub fn proof(&self, who: Incarnation) -> Option<&Proof> {
        self.proofs.iter().map(|(_, proof)| proof).find(|proof| proof.who == who)
    }

    /// What was explained away.
    pub fn waived(&self) -> &[Waived] {
        &self.waived
    }

    /// What a person accepted that restarts make live beside the value.
    pub fn accepted(&self) -> &[Difference] {
        &self.accepted
    }

    /// What restarts were refused for since it last went on.
    pub fn refused(&self) -> &[Difference] {
        &self.refused
    }

    /// Whether a restart for this version may make nothing live that nobody accepted: on the way forward, as long as
    /// there is a way back. On the way back, after the point of no return and in an emergency nothing is held up.
    pub fn asks_acceptance(&self, which: Which) -> bool {
        which == Which::New && self.phase != Phase::RollingBack && !self.forward_only()
    }

    /// The emergency, if one was declared.
    pub fn emergency(&self) -> Option<Emergency> {
        self.emergency
    }

    /// What the last search could not clean.
    pub fn residues(&self) -> Option<u32> {
        self.residues
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

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.entered = self.seq;
        self.phase_since = self.now;
        self.failures = 0;
        self.enable_failed = false;
        if phase == Phase::Probe {
            self.accepted_new.fill(Streak::default());
        }
        if matches!(phase, Phase::RollingBack | Phase::ConfirmDead) {
            self.alive.fill(Streak::default());
            self.dead.fill(Streak::default());
        }
        if phase == Phase::Quiesce {
            self.idle = None;
        }
    }

    /// The old key ended. What nothing of ours did may turn out not to be so.
    pub(crate) fn end_old(&mut self, by_us: bool) {
        self.old = OldKey::Ended;
        self.gone = if by_us { None } else { self.gone.or(Some(self.now)) };
    }

    /// It stands still, unless it does so for a stronger reason, or has ended.
    pub(crate) fn stand(&mut self, hold: Hold) {
        if self.ended() || self.hold.is_some_and(|held| held.rank() >= hold.rank()) {
            return;
        }
        if self.hold.is_none() {
            self.stood = (self.seq, self.now);
            self.failures = 0;
        }
        self.hold = Some(hold);
    }

    /// It has stood still for as long as a phase may last.
    pub(crate) fn overdue_standing(&self) -> bool {
        self.now.at_least(self.plan.policy.phase_ms_max, self.stood.1)
    }

    /// The old key was switched on again since it stands still.
    pub(crate) fn enabled_meanwhile(&self) -> bool {
        self.hold.is_some() && self.enabled > self.stood.0
    }

    /// A deadline in monotonic time of this driver passed since this phase began.
    pub(crate) fn overdue(&self, ms: u64) -> bool {
        self.now.at_least(ms, self.phase_since)
    }

    /// A complete look from this phase, this boot and this driver, after everything that was moved. While something
    /// is still being moved there is none: what it moves may change behind the look.
    pub(crate) fn fresh_look(&self, after: Seq) -> Option<&Look> {
        if self.intents.iter().any(|open| open.op.moves()) {
            return None;
        }
        self.phase_look(after.max(self.stirred))
    }

    /// The same, perhaps from before something was moved in this phase.
    pub(crate) fn phase_look(&self, after: Seq) -> Option<&Look> {
        self.look.as_ref().filter(|look| {
            look.seq > after
                && look.at.epoch == self.now.epoch
                && look.at.boot == self.now.boot
                && look.seen.complete
        })
    }

    /// The slot that an instance of the last look runs in.
    pub(crate) fn slot_of(&self, who: Incarnation) -> u8 {
        let seen = self.look.iter().flat_map(|look| &look.seen.instances).find(|it| it.who == who);
        seen.map_or(0, |seen| seen.slot)
    }

    /// The old key is off, or may be, and nothing allows that any more.
    pub fn must_enable(&self) -> bool {
        let off = matches!(self.old, OldKey::Off(_)) || (self.off_in_doubt && self.old == OldKey::On);
        off && self.decided.is_none()
    }

    pub(crate) fn running(&self, op: &Op) -> bool {
        self.intents.iter().any(|intent| intent.op == *op && intent.status == IntentStatus::Running)
    }

    pub(crate) fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.plan.consumers.get(id.index())
    }

    pub(crate) fn file(&self, id: FileId) -> Holds {
        self.files.get(id.index()).copied().unwrap_or(Holds::Unreadable)
    }

    pub(crate) fn is_waived(&self, what: &Waived) -> bool {
        self.waived.contains(what)
    }

    /// Nothing that this rotation did can be taken back: decided, or overlap none after its mint.
    pub(crate) fn forward_only(&self) -> bool {
        self.decided.is_some() || self.old == OldKey::Ended || self.emergency.is_some()
    }
}
