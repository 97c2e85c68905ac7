//! The step table: what follows from each kind of fact in each phase, for a running, a paused and a stuck rotation. One
//! file per phase in `snapshots/`; a line per fact. `=` nothing follows, `+` it is recorded, `✗` it is illegal.

use std::fmt::Write as _;

use keyroll_rotation::{
    Adoptee, Consumer, ConsumerId, CredId, Delivery, Difference, Emergency, EndpointId, Event, Fact, FileId,
    Hold, Holds, HostId, Labelled, LastUse, ListedState, Op, Outcome, Phase, PreflightSeen, ProbeResult,
    Reconciled, ReloadMode, State, TruthValue, Waived, Want, Which, step, wants,
};

use crate::walk::{Walk, proof, who};

const PHASES: [Phase; 15] = [
    Phase::Preflight,
    Phase::Mint,
    Phase::Stage,
    Phase::Probe,
    Phase::Roll,
    Phase::Quiesce,
    Phase::Disable,
    Phase::Soak,
    Phase::Decide,
    Phase::Revoke,
    Phase::ConfirmDead,
    Phase::Sweep,
    Phase::Done,
    Phase::RollingBack,
    Phase::RolledBack,
];

/// A label that this journal never gave.
const NOT_OURS: u64 = 9_999;

/// Every fact that a journal can have; its numbers are of this state.
fn facts(walk: &Walk) -> Vec<(&'static str, Fact)> {
    let mut all = of_operations(walk);
    all.extend(of_looks(walk));
    all.extend(of_people(walk));
    all
}

fn of_operations(walk: &Walk) -> Vec<(&'static str, Fact)> {
    let open = walk.state.intents().first().map_or(NOT_OURS, |open| open.seq);
    let ended = |outcome| Fact::Ended { intent: open, outcome };
    let reconciled = |found| Fact::Reconciled { intent: open, found };
    let wanted = walk.first_op().unwrap_or(Op::Retire(Which::Old));
    vec![
        ("another driver starts", Fact::DriverStarted),
        ("the clock is looked at", Fact::Clock),
        ("what is wanted is begun", Fact::Intended(wanted)),
        ("revoke is begun", Fact::Intended(Op::Revoke)),
        ("enable is begun", Fact::Intended(Op::Enable)),
        ("delete new is begun", Fact::Intended(Op::DeleteNew)),
        ("it is done", ended(Outcome::Done(Some(CredId::new("new"))))),
        ("it failed", ended(Outcome::Failed { retry: true })),
        ("it failed for good", ended(Outcome::Failed { retry: false })),
        ("its outcome is unknown", ended(Outcome::Unknown)),
        ("its restart would bring an edit", ended(Outcome::Refused(vec![edit()]))),
        ("it is changed elsewhere", ended(Outcome::ChangedElsewhere)),
        ("it is found absent", reconciled(Reconciled::Absent)),
        ("it is found foreign", reconciled(Reconciled::Foreign)),
    ]
}

fn edit() -> Difference {
    Difference { name: "api/mode".into(), digest: 7 }
}

fn of_looks(walk: &Walk) -> Vec<(&'static str, Fact)> {
    let probed =
        |version, answer, control| Fact::Probed { endpoint: EndpointId(0), version, answer, control };
    let listed = |intent: Option<u64>, old| {
        let labelled = intent.map(|intent| Labelled { intent, credential: CredId::new("strange") });
        Fact::Listed { complete: true, labelled: labelled.into_iter().collect(), old }
    };
    let preflight =
        |clear, current| Fact::Preflight(PreflightSeen { clear, control: ProbeResult::Dead, current });
    let mut holder = walk.look();
    let mut stray = holder.instances[0];
    (stray.who, stray.consumer, stray.old) = (who(ConsumerId(77)), None, keyroll_rotation::Visibility::Yes);
    holder.instances.push(stray);
    let mut copy = walk.look();
    copy.strangers.push(5);
    let mut foreign = walk.look();
    foreign.files[0] = (FileId(0), Holds::Other);
    let mut drifted = walk.look();
    drifted.files[0] = (FileId(0), Holds::Old);
    let mut partial = walk.look();
    partial.complete = false;
    let proved = |consumer, trouble| Fact::Proved {
        consumer: ConsumerId(consumer),
        proofs: vec![proof(ConsumerId(consumer), Which::New)],
        trouble,
    };
    vec![
        ("preflight is clear", preflight(true, ProbeResult::Alive)),
        ("preflight is refused", preflight(false, ProbeResult::Alive)),
        ("preflight finds the key dead", preflight(true, ProbeResult::Dead)),
        ("the stage reads back", Fact::StageChecked { intact: true, carried: true }),
        ("the stage does not read back", Fact::StageChecked { intact: false, carried: true }),
        ("the new key is accepted", probed(Which::New, ProbeResult::Alive, None)),
        ("the new key is refused", probed(Which::New, ProbeResult::Dead, None)),
        ("the old key is accepted", probed(Which::Old, ProbeResult::Alive, Some(ProbeResult::Alive))),
        ("the old key is refused", probed(Which::Old, ProbeResult::Dead, Some(ProbeResult::Alive))),
        ("everything is refused", probed(Which::Old, ProbeResult::Dead, Some(ProbeResult::Dead))),
        ("a list shows the old key", listed(None, ListedState::On)),
        ("a list shows it gone", listed(None, ListedState::Gone)),
        ("a list shows a strange label", listed(Some(NOT_OURS), ListedState::NotVisible)),
        ("a look at all", Fact::Enumerated(walk.look())),
        ("a look at a part", Fact::Enumerated(partial)),
        ("a look with a holder", Fact::Enumerated(holder)),
        ("a look with a strange copy", Fact::Enumerated(copy)),
        ("a look with somebody's edit", Fact::Enumerated(foreign)),
        ("a look with a drifted file", Fact::Enumerated(drifted)),
        ("a consumer is proven", proved(0, false)),
        ("a consumer has trouble", proved(0, true)),
        ("nobody's consumer is proven", proved(99, false)),
        ("last use", Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 })),
        ("no refusal", Fact::Refusals { count: 0, took_ms: 0 }),
        ("a refusal", Fact::Refusals { count: 1, took_ms: 0 }),
        ("a clean sweep", Fact::Swept { residues: 0 }),
        ("the truth gives the old value", Fact::TruthRead(TruthValue::Old)),
        ("the truth gives the new value", Fact::TruthRead(TruthValue::New)),
        ("the truth gives another value", Fact::TruthRead(TruthValue::Other)),
    ]
}

fn of_people(walk: &Walk) -> Vec<(&'static str, Fact)> {
    let digest = keyroll_rotation::consent_digest(&walk.state).unwrap_or(1);
    let escalated = |mode, pending_compromised| Fact::Escalated { mode, pending_compromised };
    let file = u16::try_from(walk.state.files().len()).unwrap();
    let consumer = Consumer {
        host: HostId(0),
        delivery: Delivery::Push,
        uptake: ReloadMode::Verb,
        files: vec![FileId(file)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    };
    let adopted =
        Fact::Adopted { consumer, files: vec![HostId(0)], explains: Adoptee::Copy(5), names: "".into() };
    vec![
        ("consent", Fact::Consented(digest)),
        ("consent to something else", Fact::Consented(digest ^ 1)),
        ("nobody is there to consent", Fact::Unanswered),
        ("the point of no return", Fact::Decided(digest)),
        ("a copy is adopted", adopted),
        ("a command is corrected", Fact::Corrected { consumers: vec![ConsumerId(0)], names: "".into() }),
        ("a command of no consumer is corrected", Fact::Corrected { consumers: vec![], names: "".into() }),
        ("a copy is waived", Fact::Waived(Waived::Copy(5))),
        ("a consumer is let go", Fact::Waived(Waived::Gone(ConsumerId(0)))),
        ("a file is accepted as it stands", Fact::Waived(Waived::File(FileId(0)))),
        ("a restart's edit is accepted", Fact::Accepted(edit())),
        ("pause", Fact::PauseAsked),
        ("resume", Fact::Resumed),
        ("abort", Fact::AbortAsked),
        ("retry", Fact::Retried),
        ("emergency: roll first", escalated(Emergency::RollFirst, false)),
        ("emergency: revoke now", escalated(Emergency::RevokeNow, false)),
        ("emergency: the new key leaked", escalated(Emergency::RollFirst, true)),
        ("minted by hand", Fact::HandMinted(CredId::new("by-hand"))),
        ("revoked by hand", Fact::HandRevoked),
    ]
}

/// Every fact of the journal is in the table.
fn kind(fact: &Fact) -> usize {
    match fact {
        Fact::DriverStarted => 0,
        Fact::Clock => 1,
        Fact::Intended(_) => 2,
        Fact::Ended { .. } => 3,
        Fact::Reconciled { .. } => 4,
        Fact::Preflight(_) => 5,
        Fact::StageChecked { .. } => 6,
        Fact::Probed { .. } => 7,
        Fact::Listed { .. } => 8,
        Fact::Enumerated(_) => 9,
        Fact::Proved { .. } => 10,
        Fact::LastUsed(_) => 11,
        Fact::Refusals { .. } => 12,
        Fact::Swept { .. } => 13,
        Fact::Consented(_) => 14,
        Fact::Unanswered => 15,
        Fact::Decided(_) => 16,
        Fact::Adopted { .. } => 17,
        Fact::Waived(_) => 18,
        Fact::PauseAsked => 19,
        Fact::Resumed => 20,
        Fact::AbortAsked => 21,
        Fact::Retried => 22,
        Fact::Escalated { .. } => 23,
        Fact::HandMinted(_) => 24,
        Fact::HandRevoked => 25,
        Fact::Accepted(_) => 26,
        Fact::TruthRead(_) => 27,
        Fact::Corrected { .. } => 28,
    }
}
const KINDS: usize = 29;

fn place(state: &State) -> String {
    match state.hold() {
        None => format!("{:?}", state.phase()),
        Some(Hold::Paused(reason)) => format!("{:?}, paused: {reason:?}", state.phase()),
        Some(Hold::Stuck(reason)) => format!("{:?}, stuck: {reason:?}", state.phase()),
    }
}

fn cell(walk: &Walk, fact: &Fact) -> String {
    let mut at = walk.at;
    at.ms += 1;
    at.epoch += u64::from(*fact == Fact::DriverStarted);
    match step(&walk.state, &Event { at, fact: fact.clone() }) {
        Err(illegal) => format!("✗ {}", illegal.why),
        Ok((next, effects)) => {
            let effects: String = effects.iter().map(|effect| format!(" · {:?}", effect.op)).collect();
            if next.same_but_time(&walk.state) {
                "=".to_owned()
            } else if place(&next) == place(&walk.state) {
                format!("+{effects}")
            } else {
                format!("→ {}{effects}", place(&next))
            }
        }
    }
}

fn rows(name: &str, walk: &Walk, table: &mut String) {
    writeln!(table, "## {name}: {}", place(&walk.state)).unwrap();
    for (fact, of) in facts(walk) {
        writeln!(table, "{fact:<32} {}", cell(walk, &of)).unwrap();
    }
    table.push('\n');
}

fn table(phase: Phase) -> String {
    let mut table = String::new();
    let going = Walk::to(phase);
    rows("as it goes on", &going, &mut table);
    let mut begun = going.clone();
    begun.until_it_does_something();
    if let Some(op) = begun.first_op().filter(|_| begun.state.phase() == phase) {
        let intent = begun.begin(&op);
        rows("what it wants is begun", &begun, &mut table);
        begun.end(intent, Outcome::Unknown);
        rows("its outcome is unknown", &begun, &mut table);
    }
    if phase == Phase::Decide {
        let mut asked = going.clone();
        asked.until(|state| wants(state).iter().any(|want| matches!(want, Want::Person(_))));
        rows("its consent is waited for", &asked, &mut table);
    }
    if !going.state.ended() {
        let mut paused = going.clone();
        paused.say(Fact::PauseAsked);
        rows("paused", &paused, &mut table);
    }
    let mut stuck = going;
    let labelled = vec![Labelled { intent: NOT_OURS, credential: CredId::new("strange") }];
    stuck.say(Fact::Listed { complete: false, labelled, old: ListedState::NotVisible });
    rows("stuck", &stuck, &mut table);
    table
}

#[test]
fn every_step_is_as_reviewed() {
    for phase in PHASES {
        insta::assert_snapshot!(format!("{phase:?}"), table(phase));
    }
}

#[test]
fn every_fact_stands_in_the_table() {
    let mut there = [false; KINDS];
    for (_, fact) in facts(&Walk::to(Phase::Roll)) {
        there[kind(&fact)] = true;
    }
    assert_eq!(there, [true; KINDS]);
}
