//! Every wait of a rotation as a row, and how a walk comes to it.

use keyroll_rotation::{
    Aim, Awaited, Blocker, Canary, Consumer, ConsumerId, Debt, Fact, FileId, Hold, Holds, HostId, Look,
    MintedBy, Next, OnFailure, Op, Outcome, Overlap, Person, Phase, Plan, Query, Reason, ReloadMode,
    RollPolicy, SearchLimit, State, TruthValue, UnitStep, Want, Which, blockers, still_used, waiting, wants,
};

use super::world::{COPY, POD, STRAY, Trouble};
use super::{Walk, plan, plan_that_shows_use};

/// The first consumer of the plan, which is restarted, and its file.
const FIRST: ConsumerId = ConsumerId(0);
const FILE: FileId = FileId(0);
/// The second one reads its file again by itself.
const SECOND: ConsumerId = ConsumerId(1);
/// A host that does not answer.
const FAR: HostId = HostId(2);

/// As long as a phase may last, with everything that may be added to it.
const PHASE_MS: u64 = 61_000;
const BACK_MS: u64 = 71_000;

/// How often a hold asks for something before it is at rest.
const REST_MAX: usize = 20;

/// How often everything is answered before a walk is going round in circles.
const PASSES_MAX: usize = 1_000;

/// The pace of a roll that waits for nothing.
const PACE: RollPolicy =
    RollPolicy { canary: Canary::Consumer, bake_ms: 0, ask: false, pause_ms: 0, hosts_max: 1 };

/// The rows, and all of them in their order.
macro_rules! rows {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A wait with its own ways. `Ahead`: nothing can be rolled back any more. `Back`: the rotation rolls back.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Row {
            $($(#[$doc])+ $name,)+
        }

        impl Row {
            /// Every row.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

rows! {
    /// The operator paused the rotation.
    Asked,
    /// The same.
    AskedAhead,
    /// The same.
    AskedBack,
    /// The operator paused it where the next step is theirs: a new key that is made by hand.
    AskedMint,
    /// An undeclared process.
    Holder,
    /// The same.
    HolderAhead,
    /// The same.
    HolderBack,
    /// An undeclared container.
    HolderPod,
    /// An undeclared copy.
    Stranger,
    /// The same.
    StrangerAhead,
    /// The same.
    StrangerBack,
    /// The memory of an instance was not searched.
    Unsearched,
    /// The same.
    UnsearchedAhead,
    /// The same.
    UnsearchedBack,
    /// The memory of an undeclared process, which held the value before, was not searched.
    UnsearchedHolder,
    /// A file with another party's edit.
    Foreign,
    /// The same.
    ForeignAhead,
    /// The same.
    ForeignBack,
    /// A file that cannot be read.
    Unreadable,
    /// The same.
    UnreadableAhead,
    /// The source of truth gives out another value.
    ChangedElsewhere,
    /// The same.
    ChangedElsewhereAhead,
    /// The same.
    ChangedElsewhereBack,
    /// The old key was used while it was disabled.
    RefusedUse,
    /// The issuer refuses the new key.
    NewKeyRefused,
    /// The same.
    NewKeyRefusedAhead,
    /// The same, after the old key was revoked.
    NewKeyRefusedAfter,
    /// Nobody was there to consent.
    ConsentPaused,
    /// A consumer did not take the new value, and has the old one again.
    Unit,
    /// A consumer did not take the new value.
    UnitAhead,
    /// A consumer took neither value.
    UnitAlone,
    /// A consumer did not take the old value.
    UnitBack,
    /// A rollback cannot read a file of a consumer.
    UnitUnread,
    /// A consumer uses a shared key again that is to be ended.
    UnitShared,
    /// The operator is asked after the canary.
    Canary,
    /// A restart would activate edits.
    Unaccepted,
    /// An operation failed for good.
    Failed,
    /// Disabling the old key failed for good.
    FailedSwitch,
    /// Enabling the old key failed for good.
    FailedEnable,
    /// An operation failed for good.
    FailedAhead,
    /// An operation of a rollback failed for good.
    FailedBack,
    /// Dropping what is sealed failed for good.
    FailedDrop,
    /// A phase did not end in time.
    Overdue,
    /// The new key was not accepted in time.
    OverdueProbe,
    /// Something blocks the end of the old key for too long.
    OverdueQuiesce,
    /// The issuer shows that the old key is used, for too long.
    OverdueUsed,
    /// The same, of the new key.
    OverdueUsedBack,
    /// A phase in which the old key may be disabled did not end in time.
    OverdueSwitch,
    /// A phase did not end in time.
    OverdueAhead,
    /// The last search did not end in time.
    OverdueSweep,
    /// The rollback did not end in time.
    OverdueBack,
    /// A rollback waits only for a complete list.
    OverdueList,
    /// The issuer does not show when the old key was used.
    LastUseNotShown,
    /// The same, of the new key.
    LastUseNotShownBack,
    /// Copies return to the old value.
    Drifting,
    /// The same.
    DriftingAhead,
    /// A key of another keyroll.
    UnknownLabel,
    /// The same.
    UnknownLabelAhead,
    /// The same.
    UnknownLabelBack,
    /// The outcome of an operation stays unknown.
    Unclear,
    /// The same.
    UnclearAhead,
    /// The same.
    UnclearBack,
    /// It stays unknown whether the old value was dropped.
    UnclearDrop,
    /// The operator is asked for consent.
    Consent,
    /// The operator makes the new key.
    MintByHand,
    /// The same, where making it ends the old one.
    MintByHandAhead,
    /// The operator ends the old key.
    RevokeByHand,
    /// The issuer did not end the old key.
    NotRevoked,
    /// The old key was not seen dead.
    NotDead,
    /// No complete list came.
    NotListed,
    /// It is not known yet whether an operation was carried out.
    Outcome,
    /// The same.
    OutcomeAhead,
    /// The same.
    OutcomeBack,
    /// An operation runs.
    Operation,
    /// The same.
    OperationAhead,
    /// The same.
    OperationBack,
    /// An operation begins.
    Begin,
    /// The same.
    BeginAhead,
    /// The same.
    BeginBack,
    /// A consumer is being moved.
    Moving,
    /// The same.
    MovingAhead,
    /// The same.
    MovingBack,
    /// The canary is watched.
    Watch,
    /// Nobody begins for a while.
    Pause,
    /// A phase has its time.
    Phase,
    /// The same.
    PhaseAhead,
    /// The same.
    PhaseBack,
    /// A phase gets an answer.
    Answer,
    /// The same.
    AnswerAhead,
    /// The same.
    AnswerBack,
    /// The issuer gives no complete list before the old key is disabled.
    Unlisted,
    /// An instance has not shown the version that stays.
    Unproven,
    /// The same.
    UnprovenAhead,
    /// The same.
    UnprovenBack,
    /// Nothing runs of a consumer.
    Absent,
    /// The same.
    AbsentAhead,
    /// The same.
    AbsentBack,
    /// A process has a session on the version that goes.
    Session,
    /// The same.
    SessionAhead,
    /// The same.
    SessionBack,
    /// Somebody who was not found has such a session.
    SessionUnknown,
    /// The same.
    SessionUnknownAhead,
    /// The same.
    SessionUnknownBack,
    /// A host does not answer.
    Away,
    /// The same.
    AwayAhead,
    /// The same.
    AwayBack,
}

/// The row of a state; `None` once nothing is waited for.
pub(crate) fn row_of(state: &State) -> Option<Row> {
    let of = |open, ahead, back| of_course(state, [open, ahead, back]);
    Some(match waiting(state)?.what {
        Awaited::Hold(hold) => of_hold(state, hold),
        Awaited::Person(Person::Consent(_)) => Row::Consent,
        Awaited::Person(Person::MintByHand) => of(Row::MintByHand, Row::MintByHandAhead, Row::MintByHand),
        Awaited::Person(Person::RevokeByHand) => Row::RevokeByHand,
        Awaited::Debt(Debt::NotRevoked) => Row::NotRevoked,
        Awaited::Debt(Debt::NotDead) => Row::NotDead,
        Awaited::Debt(Debt::NotListed) => Row::NotListed,
        Awaited::Outcome(_) => of(Row::Outcome, Row::OutcomeAhead, Row::OutcomeBack),
        Awaited::Operation(_) => of(Row::Operation, Row::OperationAhead, Row::OperationBack),
        Awaited::Begin(_) => of(Row::Begin, Row::BeginAhead, Row::BeginBack),
        Awaited::Unit(..) => of(Row::Moving, Row::MovingAhead, Row::MovingBack),
        Awaited::Watch(_) => Row::Watch,
        Awaited::Pause => Row::Pause,
        Awaited::Phase(_) => of_phase(state).unwrap_or(of(Row::Phase, Row::PhaseAhead, Row::PhaseBack)),
        Awaited::Answer(Query::List) if state.phase() == Phase::Disable => Row::Unlisted,
        Awaited::Answer(_) => {
            let away =
                of_phase(state).filter(|row| matches!(row, Row::Away | Row::AwayAhead | Row::AwayBack));
            away.unwrap_or(of(Row::Answer, Row::AnswerAhead, Row::AnswerBack))
        }
    })
}

/// The row of three in whose course the rotation is: it can be rolled back; it cannot; it is being rolled back.
fn of_course(state: &State, [open, ahead, back]: [Row; 3]) -> Row {
    if state.phase() == Phase::RollingBack {
        back
    } else if Next::Abort.is_possible(state) {
        open
    } else {
        ahead
    }
}

fn of_hold(state: &State, hold: Hold) -> Row {
    let of = |open, ahead, back| of_course(state, [open, ahead, back]);
    match hold.reason() {
        Reason::Asked if Next::HandMint.is_possible(state) => Row::AskedMint,
        Reason::Asked => of(Row::Asked, Row::AskedAhead, Row::AskedBack),
        Reason::Holder(who) if who.life.is_container() => Row::HolderPod,
        Reason::Holder(_) => of(Row::Holder, Row::HolderAhead, Row::HolderBack),
        Reason::Stranger(_) => of(Row::Stranger, Row::StrangerAhead, Row::StrangerBack),
        Reason::Unsearched(who) => match state.look().and_then(|look| look.seen.consumer_of(who)) {
            Some(_) => of(Row::Unsearched, Row::UnsearchedAhead, Row::UnsearchedBack),
            None => Row::UnsearchedHolder,
        },
        Reason::Foreign(_) => of(Row::Foreign, Row::ForeignAhead, Row::ForeignBack),
        Reason::Unreadable(_) => of(Row::Unreadable, Row::UnreadableAhead, Row::UnreadableAhead),
        Reason::ChangedElsewhere => {
            of(Row::ChangedElsewhere, Row::ChangedElsewhereAhead, Row::ChangedElsewhereBack)
        }
        Reason::RefusedUse => Row::RefusedUse,
        Reason::NewKeyRefused if state.phase() == Phase::ConfirmDead => Row::NewKeyRefusedAfter,
        Reason::NewKeyRefused => of(Row::NewKeyRefused, Row::NewKeyRefusedAhead, Row::NewKeyRefusedAhead),
        Reason::Consent => Row::ConsentPaused,
        Reason::Unit(_) if !state.plan().aim.makes_new() => Row::UnitShared,
        Reason::Unit(_) if cannot_read(state) => Row::UnitUnread,
        Reason::Unit(_) => match hold {
            Hold::Paused(_) => of(Row::Unit, Row::UnitAhead, Row::UnitBack),
            Hold::Stuck(_) => of(Row::UnitAlone, Row::UnitAlone, Row::UnitBack),
        },
        Reason::Canary(_) => Row::Canary,
        Reason::Unaccepted(_) => Row::Unaccepted,
        Reason::Failed(_) => of_failure(state, hold),
        Reason::Overdue(phase) => of_overdue(state, phase),
        Reason::LastUseNotShown => of(Row::LastUseNotShown, Row::LastUseNotShown, Row::LastUseNotShownBack),
        Reason::Drifting => of(Row::Drifting, Row::DriftingAhead, Row::DriftingAhead),
        Reason::UnknownLabel(_) => of(Row::UnknownLabel, Row::UnknownLabelAhead, Row::UnknownLabelBack),
        Reason::Unclear(seq) => {
            let drops = Op::Retire(Which::Old);
            match state.intents().iter().any(|open| open.seq == seq && open.op == drops) {
                true => Row::UnclearDrop,
                false => of(Row::Unclear, Row::UnclearAhead, Row::UnclearBack),
            }
        }
    }
}

/// A rollback whose last look could not read a file.
fn cannot_read(state: &State) -> bool {
    let unread = |look: &Look| look.seen.files.iter().any(|(_, holds)| *holds == Holds::Unreadable);
    state.phase() == Phase::RollingBack && state.look().is_some_and(unread)
}

fn of_failure(state: &State, hold: Hold) -> Row {
    let switches = matches!(state.phase(), Phase::Disable | Phase::Soak | Phase::Decide);
    match hold {
        Hold::Paused(_) => {
            let open = if switches { Row::FailedSwitch } else { Row::Failed };
            of_course(state, [open, Row::FailedAhead, Row::FailedDrop])
        }
        Hold::Stuck(_) => of_course(state, [Row::FailedEnable, Row::FailedEnable, Row::FailedBack]),
    }
}

fn of_overdue(state: &State, phase: Phase) -> Row {
    match phase {
        Phase::Quiesce => match state.look().map(|look| blockers(state, look, Which::New).is_empty()) {
            Some(true) => Row::OverdueUsed,
            Some(false) | None => Row::OverdueQuiesce,
        },
        Phase::Probe => of_course(state, [Row::OverdueProbe, Row::OverdueAhead, Row::OverdueBack]),
        Phase::Disable | Phase::Soak | Phase::Decide => Row::OverdueSwitch,
        Phase::Sweep => Row::OverdueSweep,
        Phase::RollingBack if state.new_version().is_none() => Row::OverdueList,
        Phase::RollingBack if still_used(state).is_some() => Row::OverdueUsedBack,
        Phase::RollingBack => Row::OverdueBack,
        Phase::Preflight
        | Phase::Mint
        | Phase::Stage
        | Phase::Roll
        | Phase::Revoke
        | Phase::ConfirmDead
        | Phase::Done
        | Phase::RolledBack => of_course(state, [Row::Overdue, Row::OverdueAhead, Row::OverdueBack]),
    }
}

/// What holds a phase up that waits for a look, by the last one.
fn of_phase(state: &State) -> Option<Row> {
    let of = |open, ahead, back| Some(of_course(state, [open, ahead, back]));
    let stays = match state.phase() {
        Phase::RollingBack => Which::Old,
        Phase::Quiesce | Phase::Decide | Phase::Revoke | Phase::Sweep => Which::New,
        Phase::Preflight
        | Phase::Mint
        | Phase::Stage
        | Phase::Probe
        | Phase::Roll
        | Phase::Disable
        | Phase::Soak
        | Phase::ConfirmDead
        | Phase::Done
        | Phase::RolledBack => return None,
    };
    let look = state.look()?;
    if look.seen.absent.iter().any(|host| !state.has_left(*host)) {
        return of(Row::Away, Row::AwayAhead, Row::AwayBack);
    }
    blockers(state, look, stays).into_iter().find_map(|blocker| match blocker {
        Blocker::Unproven(..) => of(Row::Unproven, Row::UnprovenAhead, Row::UnprovenBack),
        Blocker::Absent(_) => of(Row::Absent, Row::AbsentAhead, Row::AbsentBack),
        Blocker::Session(Some(_)) => of(Row::Session, Row::SessionAhead, Row::SessionBack),
        Blocker::Session(None) => of(Row::SessionUnknown, Row::SessionUnknownAhead, Row::SessionUnknownBack),
        // Each of these holds the rotation, or sends a consumer again.
        Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::File(..)
        | Blocker::Stale(..)
        | Blocker::Unsearched(..) => None,
    })
}

/// In which phases a row occurs.
pub(crate) fn phases(row: Row) -> &'static [Phase] {
    use Phase::{
        ConfirmDead, Decide, Disable, Done, Mint, Preflight, Probe, Quiesce, Revoke, Roll, RollingBack, Soak,
        Stage, Sweep,
    };
    const OPEN: &[Phase] = &[Preflight, Mint, Stage, Probe, Roll, Quiesce, Disable, Soak, Decide];
    const LISTED: &[Phase] = &[Mint, Stage, Probe, Roll, Quiesce, Disable, Soak, Decide];
    const AHEAD: &[Phase] = &[Mint, Stage, Probe, Roll, Quiesce, Revoke, ConfirmDead, Sweep];
    match row {
        Row::AskedBack
        | Row::HolderBack
        | Row::StrangerBack
        | Row::UnsearchedBack
        | Row::ForeignBack
        | Row::ChangedElsewhereBack
        | Row::UnitBack
        | Row::UnitUnread
        | Row::FailedBack
        | Row::FailedDrop
        | Row::OverdueBack
        | Row::OverdueUsedBack
        | Row::LastUseNotShownBack
        | Row::OverdueList
        | Row::UnknownLabelBack
        | Row::UnclearBack
        | Row::OutcomeBack
        | Row::OperationBack
        | Row::BeginBack
        | Row::MovingBack
        | Row::PhaseBack
        | Row::AnswerBack
        | Row::UnprovenBack
        | Row::AbsentBack
        | Row::SessionBack
        | Row::SessionUnknownBack
        | Row::AwayBack => &[RollingBack],
        Row::NotRevoked | Row::NotDead | Row::NotListed => &[Done],
        Row::Asked | Row::Begin | Row::Operation | Row::Outcome => OPEN,
        Row::UnknownLabel | Row::Unclear => LISTED,
        Row::AskedAhead
        | Row::UnknownLabelAhead
        | Row::UnclearAhead
        | Row::OutcomeAhead
        | Row::OperationAhead
        | Row::BeginAhead => AHEAD,
        Row::AskedMint | Row::MintByHand | Row::MintByHandAhead => &[Mint],
        Row::Holder | Row::HolderPod | Row::Stranger | Row::Unsearched => &[Quiesce, Decide],
        Row::UnsearchedHolder => &[Quiesce, Decide, RollingBack],
        Row::HolderAhead | Row::StrangerAhead | Row::UnsearchedAhead | Row::UnreadableAhead => &[Quiesce],
        Row::Foreign => &[Roll, Quiesce],
        Row::ForeignAhead => &[Roll, Quiesce],
        Row::Unreadable | Row::OverdueQuiesce | Row::OverdueUsed => &[Quiesce],
        Row::LastUseNotShown | Row::UnitShared => &[Quiesce],
        Row::ChangedElsewhere => &[Stage, Roll, Quiesce, Disable, Soak, Decide],
        Row::ChangedElsewhereAhead => &[Roll, Quiesce, Revoke, ConfirmDead, Sweep],
        Row::RefusedUse | Row::NewKeyRefused | Row::OverdueSwitch | Row::FailedSwitch => {
            &[Disable, Soak, Decide]
        }
        Row::NewKeyRefusedAhead | Row::RevokeByHand => &[Revoke],
        Row::NewKeyRefusedAfter => &[ConfirmDead],
        Row::Consent | Row::ConsentPaused => &[Decide],
        Row::Unit | Row::UnitAlone | Row::Canary | Row::Unaccepted | Row::Moving | Row::Watch => &[Roll],
        Row::Pause | Row::Drifting | Row::DriftingAhead | Row::UnitAhead | Row::MovingAhead => &[Roll],
        Row::Failed => &[Mint, Stage, Roll],
        Row::FailedEnable => &[Roll, Quiesce, Disable, Soak, Decide],
        Row::FailedAhead => &[Mint, Stage, Roll, Revoke, ConfirmDead, Sweep],
        Row::Overdue => &[Stage],
        Row::OverdueProbe => &[Probe],
        Row::OverdueAhead => &[Stage, Probe, Revoke],
        Row::OverdueSweep | Row::UnclearDrop => &[Sweep],
        Row::Phase => &[Preflight, Mint, Stage, Probe, Quiesce, Disable, Soak, Decide],
        Row::PhaseAhead => &[Stage, Probe, Quiesce, Revoke, ConfirmDead],
        Row::Answer => &[Quiesce, Decide],
        Row::Unlisted => &[Disable],
        Row::AnswerAhead => &[Quiesce, Sweep],
        Row::Unproven | Row::Absent | Row::Session | Row::SessionUnknown => &[Quiesce],
        Row::UnprovenAhead | Row::AbsentAhead | Row::SessionAhead | Row::SessionUnknownAhead => &[Quiesce],
        Row::Away => &[Quiesce, Decide],
        Row::AwayAhead => &[Quiesce, Revoke, Sweep],
    }
}

/// A walk that waits as the row says, in a world in which that has its cause.
pub(crate) fn reach(row: Row) -> Walk {
    match row {
        Row::Asked => asked(Walk::to(Phase::Quiesce)),
        Row::AskedAhead => asked(Walk::to(Phase::Revoke)),
        Row::AskedBack => asked(Walk::to(Phase::RollingBack)),
        Row::AskedMint => asked(reach(Row::MintByHand)),
        Row::Holder => quiet(Trouble::Holder(STRAY, Which::Old)),
        Row::HolderAhead => ahead(Trouble::Holder(STRAY, Which::Old)),
        Row::HolderBack => back(Trouble::Holder(STRAY, Which::New)),
        Row::HolderPod => quiet(Trouble::Holder(POD, Which::Old)),
        Row::Stranger => quiet(Trouble::Stranger(COPY, Which::Old)),
        Row::StrangerAhead => ahead(Trouble::Stranger(COPY, Which::Old)),
        Row::StrangerBack => back(Trouble::Stranger(COPY, Which::New)),
        Row::Unsearched => quiet(unsearched(Some(FIRST))),
        Row::UnsearchedAhead => ahead(unsearched(Some(FIRST))),
        Row::UnsearchedBack => back(unsearched(Some(FIRST))),
        Row::UnsearchedHolder => unsearched_holder(),
        Row::Foreign => quiet(Trouble::File(FILE, Holds::Other)),
        Row::ForeignAhead => ahead(Trouble::File(FILE, Holds::Other)),
        Row::ForeignBack => back(Trouble::File(FILE, Holds::Other)),
        Row::Unreadable => quiet(Trouble::File(FILE, Holds::Unreadable)),
        Row::UnreadableAhead => ahead(Trouble::File(FILE, Holds::Unreadable)),
        Row::ChangedElsewhere => held(until_wanted(Phase::Roll, &Op::Promote), Trouble::OtherTruth),
        Row::ChangedElsewhereAhead => overwritten(),
        Row::ChangedElsewhereBack => held(Walk::to(Phase::RollingBack), Trouble::OtherTruth),
        Row::RefusedUse => held(Walk::to(Phase::Soak), Trouble::Users),
        Row::NewKeyRefused => held(Walk::to(Phase::Decide), Trouble::NewKeyRefused),
        Row::NewKeyRefusedAhead => held(taken_over(Walk::to(Phase::Revoke)), Trouble::NewKeyRefused),
        Row::NewKeyRefusedAfter => {
            let mut walk = Walk::to(Phase::ConfirmDead);
            walk.wait(PHASE_MS / 2);
            held(walk, Trouble::NewKeyRefused)
        }
        Row::ConsentPaused => unanswered(),
        Row::Unit => held(Walk::of(plan()), Trouble::Restart(FIRST, Which::New)),
        Row::UnitAhead => held(drifted_ahead(), Trouble::Restart(FIRST, Which::New)),
        Row::UnitAlone => with_neither(),
        Row::UnitBack => held(Walk::to(Phase::RollingBack), Trouble::Restart(FIRST, Which::Old)),
        Row::UnitUnread => held(Walk::to(Phase::RollingBack), Trouble::File(FILE, Holds::Unreadable)),
        Row::UnitShared => held(of(|plan| plan.aim = Aim::End), Trouble::File(FILE, Holds::Old)),
        Row::Canary => rest_at_hold(Walk::of(paced(RollPolicy { bake_ms: 2_000, ask: true, ..PACE }))),
        Row::Unaccepted => held(Walk::of(plan()), Trouble::Pending(FIRST)),
        Row::Failed => held(Walk::of(plan()), Trouble::Refused(Op::Stage)),
        Row::FailedSwitch => held(Walk::of(plan()), Trouble::Refused(Op::Disable)),
        Row::FailedEnable => not_enabled(),
        Row::FailedAhead => held(Walk::to(Phase::Sweep), Trouble::Refused(Op::Retire(Which::Old))),
        Row::FailedBack => held(Walk::to(Phase::RollingBack), Trouble::Refused(Op::DeleteNew)),
        Row::FailedDrop => held(Walk::to(Phase::RollingBack), Trouble::Refused(Op::Retire(Which::New))),
        Row::Overdue => late(until_asked(Walk::to(Phase::Stage), &Query::StageCheck), PHASE_MS),
        Row::OverdueProbe => late(Walk::to(Phase::Probe), PHASE_MS),
        Row::OverdueQuiesce => late(reach(Row::Unproven), PHASE_MS),
        Row::OverdueUsed => {
            slowly(Walk::of(plan_that_shows_use()), Trouble::StillUsed, |state| state.hold().is_some())
        }
        Row::OverdueUsedBack => slowly(shows_use_back(), Trouble::StillUsed, |state| state.hold().is_some()),
        Row::OverdueSwitch => late(Walk::to(Phase::Soak), PHASE_MS),
        Row::OverdueAhead => late(taken_over(Walk::to(Phase::Revoke)), PHASE_MS),
        Row::OverdueSweep => late(Walk::to(Phase::Sweep), PHASE_MS),
        Row::OverdueBack => late(reach(Row::AwayBack), BACK_MS),
        Row::OverdueList => never_listed(),
        Row::LastUseNotShown => held(Walk::of(plan_that_shows_use()), Trouble::UseNotShown),
        Row::LastUseNotShownBack => held(shows_use_back(), Trouble::UseNotShown),
        Row::Drifting => held(Walk::to(Phase::Quiesce), Trouble::Writers(FILE)),
        Row::DriftingAhead => held(Walk::to(Phase::Sweep), Trouble::Writers(FILE)),
        Row::UnknownLabel => held(Walk::to(Phase::Soak), Trouble::Label),
        Row::UnknownLabelAhead => held(Walk::to(Phase::Sweep), Trouble::Label),
        Row::UnknownLabelBack => held(Walk::to(Phase::RollingBack), Trouble::Label),
        Row::Unclear => unclear(reach(Row::Begin)),
        Row::UnclearAhead => unclear(reach(Row::BeginAhead)),
        Row::UnclearBack => unclear(reach(Row::BeginBack)),
        Row::UnclearDrop => unclear(until_wanted(Phase::Sweep, &Op::Retire(Which::Old))),
        Row::Consent => until_person(Walk::of(plan())),
        Row::MintByHand => until_person(of(|plan| plan.capabilities.minted_by = MintedBy::Human)),
        Row::MintByHandAhead => exchanged_by_hand(),
        Row::RevokeByHand => revoked_by_hand(),
        Row::NotRevoked => slowly(Walk::to(Phase::Revoke), Trouble::Refused(Op::Revoke), State::ended),
        Row::NotDead => never_dead(),
        Row::NotListed => slowly(Walk::to(Phase::Sweep), Trouble::Unlisted, State::ended),
        Row::Outcome => doubted(reach(Row::Begin)),
        Row::OutcomeAhead => doubted(reach(Row::BeginAhead)),
        Row::OutcomeBack => doubted(reach(Row::BeginBack)),
        Row::Operation => begun(reach(Row::Begin)),
        Row::OperationAhead => begun(reach(Row::BeginAhead)),
        Row::OperationBack => begun(reach(Row::BeginBack)),
        Row::Begin => Walk::to(Phase::Stage),
        Row::BeginAhead => until_wanted(Phase::Revoke, &Op::Revoke),
        Row::BeginBack => until_wanted(Phase::RollingBack, &Op::Demote),
        Row::Moving => proving(Walk::of(plan()), FIRST, Which::New),
        Row::MovingAhead => proving(drifted_ahead(), FIRST, Which::New),
        Row::MovingBack => proving(Walk::to(Phase::RollingBack), SECOND, Which::Old),
        Row::Watch => watched(),
        Row::Pause => pausing(),
        Row::Phase => Walk::to(Phase::Probe),
        Row::PhaseAhead => Walk::to(Phase::ConfirmDead),
        Row::PhaseBack => until_first_asked(Walk::to(Phase::RollingBack), &Query::Enumerate),
        Row::Answer => Walk::to(Phase::Decide),
        Row::AnswerAhead => Walk::to(Phase::Sweep),
        Row::AnswerBack => Walk::to(Phase::RollingBack),
        Row::Unlisted => {
            slowly(Walk::to(Phase::Disable), Trouble::Unlisted, |state| row_of(state) == Some(Row::Unlisted))
        }
        Row::Unproven => quiet(Trouble::Unseen(FIRST)),
        Row::UnprovenAhead => ahead(Trouble::Unseen(FIRST)),
        Row::UnprovenBack => back(Trouble::Unseen(FIRST)),
        Row::Absent => quiet(Trouble::Absent(FIRST)),
        Row::AbsentAhead => ahead(Trouble::Absent(FIRST)),
        Row::AbsentBack => back(Trouble::Absent(FIRST)),
        Row::Session => quiet(Trouble::Session(Some(STRAY), Which::Old)),
        Row::SessionAhead => ahead(Trouble::Session(Some(STRAY), Which::Old)),
        Row::SessionBack => back(Trouble::Session(Some(STRAY), Which::New)),
        Row::SessionUnknown => quiet(Trouble::Session(None, Which::Old)),
        Row::SessionUnknownAhead => ahead(Trouble::Session(None, Which::Old)),
        Row::SessionUnknownBack => back(Trouble::Session(None, Which::New)),
        Row::Away => away(Phase::Quiesce),
        Row::AwayAhead => away(Phase::Revoke),
        Row::AwayBack => away_back(),
    }
}

fn of(change: impl FnOnce(&mut Plan)) -> Walk {
    let mut plan = plan();
    change(&mut plan);
    Walk::of(plan)
}

fn asked(mut walk: Walk) -> Walk {
    walk.say(Fact::PauseAsked);
    walk
}

fn taken_over(mut walk: Walk) -> Walk {
    walk.another_driver();
    walk
}

fn looked(mut walk: Walk) -> Walk {
    walk.say(walk.see(&Query::Enumerate));
    walk
}

fn meet(walk: &mut Walk, trouble: Trouble) {
    if let Trouble::Unseen(consumer) = trouble {
        walk.lose(consumer);
    } else {
        walk.world.strike(trouble);
    }
}

/// A look at the old key, before anything was decided, finds this.
fn quiet(trouble: Trouble) -> Walk {
    let mut walk = Walk::to(Phase::Quiesce);
    meet(&mut walk, trouble);
    looked(walk)
}

/// The same after the point of no return: another driver looks before it revokes.
fn ahead(trouble: Trouble) -> Walk {
    let mut walk = taken_over(Walk::to(Phase::Revoke));
    meet(&mut walk, trouble);
    walk.until(|state| state.phase() == Phase::Quiesce);
    looked(walk)
}

/// The same in a rollback: everything was restored, and the new key is about to be deleted.
fn back(trouble: Trouble) -> Walk {
    let mut walk = until_wanted(Phase::RollingBack, &Op::DeleteNew);
    meet(&mut walk, trouble);
    looked(walk)
}

/// Goes on in this trouble until the rotation is held.
fn held(mut walk: Walk, trouble: Trouble) -> Walk {
    walk.world.strike(trouble);
    rest_at_hold(walk)
}

fn rest_at_hold(mut walk: Walk) -> Walk {
    walk.until(|state| state.hold().is_some());
    rest(walk)
}

/// What a hold still asks for is answered.
fn rest(mut walk: Walk) -> Walk {
    for _ in 0..REST_MAX {
        if wants(&walk.state).is_empty() {
            break;
        }
        walk.go_on();
    }
    walk
}

/// Nobody answers for so long.
fn late(mut walk: Walk, ms: u64) -> Walk {
    walk.wait(ms);
    rest(walk)
}

fn until_wanted(phase: Phase, op: &Op) -> Walk {
    let mut walk = Walk::to(phase);
    walk.until(|state| wants(state).contains(&Want::Do(op.clone())));
    walk
}

fn until_asked(mut walk: Walk, query: &Query) -> Walk {
    walk.until(|state| wants(state).contains(&Want::Ask(query.clone())));
    walk
}

fn until_first_asked(mut walk: Walk, query: &Query) -> Walk {
    walk.until(|state| wants(state).first() == Some(&Want::Ask(query.clone())));
    walk
}

fn until_person(mut walk: Walk) -> Walk {
    walk.until(|state| matches!(waiting(state).map(|it| it.what), Some(Awaited::Person(_))));
    walk
}

fn unsearched(of: Option<ConsumerId>) -> Trouble {
    Trouble::Unsearched(STRAY, of, SearchLimit::Size)
}

/// The process was found with the old value; when the operator goes on, its memory cannot be searched.
fn unsearched_holder() -> Walk {
    let mut walk = reach(Row::Holder);
    walk.world.pass();
    walk.world.strike(unsearched(None));
    walk.say(Fact::Resumed);
    looked(walk)
}

/// After the point of no return another party's value is given out.
fn overwritten() -> Walk {
    let mut walk = Walk::to(Phase::Revoke);
    walk.world.strike(Trouble::OtherTruth);
    walk.say(Fact::TruthRead(TruthValue::Other));
    rest(walk)
}

fn unanswered() -> Walk {
    let mut walk = reach(Row::Consent);
    walk.say(Fact::Unanswered);
    rest(walk)
}

/// After the point of no return a file has the old value again.
fn drifted_ahead() -> Walk {
    let mut walk = taken_over(Walk::to(Phase::Revoke));
    walk.world.strike(Trouble::File(FILE, Holds::Old));
    walk
}

fn with_neither() -> Walk {
    let mut walk = Walk::of(plan());
    walk.world.strike(Trouble::Restart(FIRST, Which::Old));
    held(walk, Trouble::Restart(FIRST, Which::New))
}

/// The old key is disabled, and cannot be enabled.
fn not_enabled() -> Walk {
    let mut walk = asked(Walk::to(Phase::Soak));
    walk.world.strike(Trouble::Refused(Op::Enable));
    walk.until(|state| matches!(state.hold(), Some(Hold::Stuck(_))));
    rest(walk)
}

/// The mint failed, and no list shows whether it left a key.
fn never_listed() -> Walk {
    let mut walk = of(|plan| plan.policy.on_failure = OnFailure::Rollback);
    walk.world.strike(Trouble::Refused(Op::Mint));
    walk.until(|state| state.phase() == Phase::RollingBack);
    walk.world.pass();
    walk.world.strike(Trouble::Unlisted);
    late(walk, BACK_MS)
}

/// A rollback at such an issuer, once every consumer had the new key.
fn shows_use_back() -> Walk {
    let mut walk = Walk::of(plan_that_shows_use());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::LastUsed)));
    walk
}

/// Begins what is wanted.
fn begun(mut walk: Walk) -> Walk {
    let op = walk.first_op().unwrap();
    walk.begin(&op);
    walk
}

/// Nobody saw how it ended.
fn doubted(walk: Walk) -> Walk {
    let mut walk = begun(walk);
    let intent = walk.state.seq();
    walk.end(intent, Outcome::Unknown);
    walk
}

/// And nothing shows it.
fn unclear(walk: Walk) -> Walk {
    let mut walk = doubted(walk);
    walk.world.strike(Trouble::Silent);
    late(walk, PHASE_MS)
}

/// Making the new key ends the old one; the answer was lost, and the operator has settled that.
fn exchanged_by_hand() -> Walk {
    let mut walk = of(|plan| {
        plan.capabilities.overlap = Overlap::None;
        plan.capabilities.disable = false;
    });
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let mut walk = unclear(walk);
    walk.world.pass();
    walk.say(Fact::Retried);
    walk
}

fn revoked_by_hand() -> Walk {
    let mut walk = of(|plan| plan.bound = false);
    walk.until(|state| state.phase() == Phase::Revoke);
    until_person(walk)
}

/// Goes on in this trouble until it has arrived; it takes time.
fn slowly(mut walk: Walk, trouble: Trouble, arrived: impl Fn(&State) -> bool) -> Walk {
    walk.world.strike(trouble);
    for _ in 0..PASSES_MAX {
        if arrived(&walk.state) {
            return walk;
        }
        walk.wait(500);
        if !arrived(&walk.state) {
            walk.go_on();
        }
    }
    panic!("{:?} {:?}", walk.state.phase(), walk.state.hold());
}

/// The old key is not seen dead in time.
fn never_dead() -> Walk {
    let mut walk = Walk::to(Phase::ConfirmDead);
    walk.wait(PHASE_MS);
    walk.until(State::ended);
    walk
}

/// A consumer has what it needs, and does not show it.
fn proving(mut walk: Walk, consumer: ConsumerId, toward: Which) -> Walk {
    let is_asked = |state: &State| {
        let unit = &state.units()[consumer.index()];
        unit.toward == toward && matches!(unit.stage, UnitStep::Proving(_))
    };
    walk.until(is_asked);
    walk.world.strike(Trouble::Unseen(consumer));
    walk
}

/// Two consumers on one host, each restarted and with a file of its own; two instances of the first.
fn paced(roll: RollPolicy) -> Plan {
    let mut plan = plan();
    plan.consumers[1].uptake = ReloadMode::Verb;
    plan.consumers[0].slots = 2;
    plan.policy.roll = Some(roll);
    plan
}

fn watched() -> Walk {
    let mut walk = Walk::of(paced(RollPolicy { bake_ms: 5_000, ..PACE }));
    walk.until(|state| state.units()[0].watched);
    walk
}

fn pausing() -> Walk {
    let mut walk = Walk::of(paced(RollPolicy { pause_ms: 5_000, ..PACE }));
    walk.until(|state| state.units()[0].has_arrived());
    walk
}

/// A consumer on each of two hosts; one of them does not answer in the end.
fn two_hosts() -> Walk {
    of(|plan| {
        let one = Consumer { uptake: ReloadMode::Verb, ..plan.consumers[0].clone() };
        plan.files = vec![HostId(1), FAR];
        plan.endpoints = vec![HostId(0), FAR];
        plan.consumers = vec![
            Consumer { host: HostId(1), files: vec![FILE], ..one.clone() },
            Consumer { host: FAR, files: vec![FileId(1)], ..one },
        ];
    })
}

fn away(phase: Phase) -> Walk {
    let mut walk = two_hosts();
    walk.until(|state| state.phase() == phase);
    walk.another_driver();
    walk.world.strike(Trouble::Away(FAR));
    looked(walk)
}

/// What answers is restored; the rest is looked for again.
fn away_back() -> Walk {
    let mut walk = two_hosts();
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.world.strike(Trouble::Away(FAR));
    walk.until(|state| {
        let unit = &state.units()[FIRST.index()];
        unit.toward == Which::Old && unit.stage == UnitStep::Settled
    });
    looked(walk)
}
