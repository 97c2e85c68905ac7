//! What is shown of waits that somebody else ends: a consumer that makes no call, an old key that stays in use, and edits that
//! nobody accepted.

use keyroll_rotation::{
    Awaited, ConsumerId, Difference, Fact, Hold, LastUse, Op, Outcome, Phase, Query, Reason, SessionSeen,
    State, UnitStep, Waived, Want, Which, waiting, wants,
};

use super::cause::Observations;
use super::old_key::clock;
use super::plan_names::Called;
use super::walk::world::{STRAY, Trouble};
use super::walk::{self, WINDOW_MS, Walk, plan_that_shows_use};
use super::ways::ways;
use super::{blockers, reasons, waiting as shown};
use crate::plans::pending_changes::shown_before;

/// A rotation that has seen everything leave the old key, and asks the issuer when that was last used.
fn asks_for_the_use() -> Walk {
    let mut walk = Walk::of(plan_that_shows_use());
    walk.until(|state| wants(state).contains(&Want::Ask(Query::LastUsed)));
    walk
}

fn use_at(walk: &mut Walk, unix_ms: u64) {
    walk.at.ms += WINDOW_MS;
    walk.say(Fact::LastUsed(LastUse { used: Some(unix_ms), took_ms: 0 }));
}

fn forward(walk: &Walk) -> String {
    ways(&Called::of_rotation("0192", "acme"), &walk.state, false, false).unwrap().next
}

/// Everything that keyroll sees is in order: only the issuer's answer says why it does not go on, and `resume` alone would
/// come to the same place again.
#[test]
fn an_old_key_that_stays_in_use_is_said_with_the_time_and_both_ways() {
    let mut walk = asks_for_the_use();
    use_at(&mut walk, 60_000);
    let wait = waiting(&walk.state).unwrap();
    let said = shown::what(&Observations::default(), &Called::default(), &walk.state, &wait.what);
    assert!(said.starts_with("the old key to be unused") && said.ends_with(&clock(60_000)), "{said}");
    let mut last = 60_000;
    while walk.state.hold().is_none() {
        last += 1_000;
        use_at(&mut walk, last);
    }
    let reason = Reason::Overdue(Phase::Quiesce);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(reason)));
    let said = reasons::reason_text(&Called::default(), &walk.state, reason);
    assert!(said.contains(&format!("still shows uses of it, the last at {}", clock(last))), "{said}");
    let next = forward(&walk);
    assert_eq!(
        next,
        "find what still uses the old key, and end or restart it, then keyroll resume 0192; or keyroll abort 0192, which rolls \
         back"
    );
}

#[test]
fn an_issuer_that_does_not_say_when_the_key_was_used_is_waited_for_or_waived() {
    let mut walk = asks_for_the_use();
    walk.wait(walk.state.plan().policy.phase_ms_max + WINDOW_MS);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::LastUseNotShown)));
    let said = reasons::reason_text(&Called::default(), &walk.state, Reason::LastUseNotShown);
    assert!(
        said.starts_with("the issuer did not say when the old key was last used: its list could not be read"),
        "{said}"
    );
    assert_eq!(
        forward(&walk),
        "wait until the issuer shows again when the old key was last used (keyroll verify acme reads its list), or keyroll consumer waive \
         last-use --reason WHY (what keyroll cannot see may still use the old key); then keyroll resume 0192; or keyroll abort 0192, \
         which rolls back"
    );
}

/// A waiver of the last use cuts off whoever uses the key.
#[test]
fn uses_that_the_issuer_shows_are_never_offered_to_be_waived() {
    let mut walk = Walk::of(plan_that_shows_use());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.world.strike(Trouble::Holder(STRAY, Which::Old));
    walk.until(|state| state.hold().is_some());
    walk.say(Fact::Waived(Waived::Holder(STRAY)));
    walk.until(|state| wants(state).contains(&Want::Ask(Query::LastUsed)));
    let mut last = 60_000;
    while walk.state.hold().is_none() {
        last += 1_000;
        use_at(&mut walk, last);
        walk.wait(2 * WINDOW_MS);
    }
    let reason = walk.state.hold().unwrap().reason();
    let said = reasons::reason_text(&Called::default(), &walk.state, reason);
    let when = format!("still shows uses of the old key, the last at {}: process 177", clock(last));
    assert!(said.contains(&when) && said.contains("by a waiver"), "{said}");
    let next = forward(&walk);
    assert!(
        next.starts_with("end process 177") && next.contains("find what still uses the old key"),
        "{next}"
    );
    assert!(!next.contains("waive"), "{next}");
}

/// The rotation goes on without a list, and until then it looked like a look at the machines.
#[test]
fn an_issuer_that_gives_no_list_before_the_old_key_is_disabled_is_said_with_the_time() {
    let mut walk = Walk::to(Phase::Disable);
    let waits_for_a_list = |state: &State| wants(state) == [Want::Ask(Query::List)];
    while !waits_for_a_list(&walk.state) {
        for want in wants(&walk.state) {
            let Want::Ask(query) = want else { panic!("{want:?}") };
            if query != Query::List && wants(&walk.state).contains(&Want::Ask(query.clone())) {
                let seen = walk.see(&query);
                walk.say(seen);
            }
        }
    }
    let wait = waiting(&walk.state).unwrap();
    let said = shown::what(&Observations::default(), &Called::default(), &walk.state, &wait.what);
    assert!(
        said.starts_with("a complete list of the issuer's keys") && said.contains("phase_deadline"),
        "{said}"
    );
    assert!(shown::left_ms(&walk.state, &wait).is_some_and(|ms| ms > 0));
    assert_eq!(
        forward(&walk),
        "have the issuer give the complete list of its keys, then keyroll resume 0192"
    );
}

/// Nobody ends a session in the middle of its work, and no command named the waiver.
#[test]
fn a_session_at_work_is_named_with_the_waiver_for_it() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let look = |busy| {
        let mut seen = walk.look();
        seen.sessions = Some(vec![SessionSeen { who: None, busy }]);
        Fact::Enumerated(seen)
    };
    let [busy, idle] = [true, false].map(look);
    let mut idly = walk.clone();
    walk.say(busy);
    idly.say(idle);
    let called = Called::of_rotation("0192", "acme");
    let shown = |walk: &Walk| {
        let all = blockers::all(&called, &walk.state);
        let [session] = all.as_slice() else { panic!("{all:?}") };
        (session.kind, session.found_by.contains("at work"), session.or_else.clone())
    };
    let waive =
        "keyroll consumer waive busy-sessions --reason WHY (each goes on with the old key until it ends)";
    assert_eq!(shown(&walk), ("session", true, Some(waive.to_owned())));
    assert_eq!(shown(&idly), ("session", false, None));
    assert!(forward(&walk).contains("keyroll resume"), "{}", forward(&walk));
    walk.say(Fact::Waived(Waived::BusySessions));
    assert!(blockers::all(&called, &walk.state).is_empty());
}

/// The issuer shows which process makes a call, and nobody needs this consumer at night.
#[test]
fn an_idle_consumer_is_waited_for_by_name_with_what_ends_the_wait_and_not_for_ever() {
    let mut plan = walk::plan();
    plan.consumers[0].attributable = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(0)));
    let said = |walk: &Walk| {
        let mut told = Observations::default();
        walk.said.iter().for_each(|event| told.see(event));
        let wait = waiting(&walk.state).unwrap();
        assert_eq!(wait.what, Awaited::Unit(ConsumerId(0), UnitStep::Proving(0)));
        assert!(shown::left_ms(&walk.state, &wait).is_some_and(|ms| ms > 0));
        shown::what(&told, &Called::default(), &walk.state, &wait.what)
    };
    let proved = |version| {
        let proofs = vec![walk::proof(ConsumerId(0), version)];
        Fact::Proved { consumer: ConsumerId(0), proofs, trouble: false }
    };
    walk.say(proved(Which::Old));
    assert_eq!(
        said(&walk),
        "evidence that consumer 0 uses the new key: process 100 uses the other key",
        "a call would not prove the new key"
    );
    walk.say(proved(Which::New));
    assert_eq!(
        said(&walk),
        "a call by consumer 0 with the new key (to prove it now: send it a request that needs the key)"
    );
    walk.wait(walk.state.plan().policy.unit_ms_max);
    assert_eq!(walk.state.units()[0].toward, Which::Old, "it holds the roll");
}

/// The command that a pause names is taken as it is.
#[test]
fn all_pending_changes_that_a_pause_names_are_accepted_at_once() {
    let mut walk = Walk::of(walk::plan());
    let restart = Op::Apply(ConsumerId(0), 0, Which::New);
    walk.until(|state| wants(state).contains(&Want::Do(restart.clone())));
    let intent = walk.begin(&restart);
    let all = ["api/app.env:LOG", "api/script:run.sh"];
    let differences = all.map(|name| Difference { name: name.into(), digest: 7 });
    walk.end(intent, Outcome::Refused(differences.to_vec()));
    assert_eq!(forward(&walk), format!("keyroll resume 0192 --accept {} --accept {}", all[0], all[1]));
    let named = all.map(str::to_owned);
    assert_eq!(shown_before(&walk.state, &named).unwrap(), differences);
    let other = shown_before(&walk.state, &["api/other".to_owned()]).unwrap_err();
    assert!(other.causes[0].contains(all[1]), "{other:?}");
}
