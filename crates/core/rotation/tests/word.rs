//! The word of a process: it counts only where the operator trusts it, and only for what it says.

use keyroll_rotation::{
    Blocker, ConsumerId, Enumeration, Fact, HostId, Incarnation, InstanceIdentity, Kinds, ObservedInstance,
    Phase, Plan, Proof, ReloadMode, State, UnitStep, Visibility, Which, blockers,
};

use crate::walk::{self, Walk};

const SERVED: ConsumerId = ConsumerId(1);

fn plan(own_word: bool) -> Plan {
    let mut plan = walk::plan();
    plan.consumers[1].own_word = own_word;
    plan
}

/// A rotation whose second consumer was delivered to and is asked for evidence.
fn asked(plan: Plan) -> Walk {
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[1].stage, UnitStep::Proving(_)));
    walk
}

fn proof(main: Kinds, fallback: Kinds) -> Proof {
    let mut proof = walk::proof(SERVED, Which::New);
    (proof.paths[0], proof.paths[1]) = (main, fallback);
    proof
}

fn at_rest(proof: Proof) -> Proof {
    Proof { who: Incarnation { host: HostId(0), life: InstanceIdentity::AtRest(SERVED) }, ..proof }
}

/// Whether the unit is proven by this evidence.
fn settles(plan: Plan, proofs: Vec<Proof>) -> bool {
    let mut walk = asked(plan);
    walk.say(Fact::Proved { consumer: SERVED, proofs, trouble: false });
    walk.state.units()[1].stage == UnitStep::Settled
}

#[test]
fn the_word_counts_only_where_the_operator_trusts_it() {
    let told = || vec![proof(Kinds::TOLD, Kinds::NONE)];
    assert!(settles(plan(true), told()));
    assert!(!settles(plan(false), told()));
}

#[test]
fn an_issuer_that_attributes_calls_overrules_the_word() {
    let mut attributed = plan(true);
    attributed.consumers[1].attributable = true;
    assert!(!settles(attributed.clone(), vec![proof(Kinds::TOLD.and(Kinds::DELIVERED), Kinds::NONE)]));
    assert!(settles(attributed, vec![proof(Kinds::EXERCISED, Kinds::NONE)]));
}

#[test]
fn what_a_process_was_given_is_no_word_of_it() {
    assert!(!settles(plan(true), vec![proof(Kinds::DELIVERED, Kinds::NONE)]));
}

#[test]
fn a_trusted_container_that_reads_its_file_again_needs_what_was_delivered_and_checked() {
    let both = Kinds::DELIVERED.and(Kinds::CHECKED);
    let in_container = |kinds| {
        let who = Incarnation { host: HostId(0), life: InstanceIdentity::Container { pod: 1, run: 2 } };
        vec![Proof { who, ..proof(kinds, Kinds::NONE) }]
    };
    let with = |own_word, uptake| {
        let mut plan = plan(own_word);
        plan.consumers[1].uptake = uptake;
        plan
    };
    assert!(settles(with(true, ReloadMode::Rereads), in_container(both)));
    assert!(!settles(with(true, ReloadMode::Rereads), in_container(Kinds::DELIVERED)));
    assert!(!settles(with(true, ReloadMode::Rereads), in_container(Kinds::CHECKED)));
    assert!(!settles(with(false, ReloadMode::Rereads), in_container(both)), "nobody trusts it");
    assert!(!settles(with(true, ReloadMode::Verb), in_container(both)), "it keeps what it began with");
    assert!(
        !settles(with(true, ReloadMode::Rereads), vec![proof(both, Kinds::NONE)]),
        "of a process more is visible"
    );
}

#[test]
fn the_word_for_one_path_says_nothing_about_another() {
    let two_paths = || {
        let mut plan = plan(true);
        plan.consumers[1].paths = 2;
        plan
    };
    assert!(!settles(two_paths(), vec![proof(Kinds::TOLD, Kinds::NONE)]));
    assert!(!settles(two_paths(), vec![proof(Kinds::NONE, Kinds::TOLD)]));
    assert!(settles(two_paths(), vec![proof(Kinds::TOLD, Kinds::TOLD)]));
}

#[test]
fn what_is_required_besides_is_required_of_the_word_too() {
    let require = |kinds| {
        let mut plan = plan(true);
        plan.policy.require = kinds;
        plan
    };
    assert!(!settles(require(Kinds::LOADED), vec![proof(Kinds::TOLD, Kinds::NONE)]));
    assert!(settles(require(Kinds::LOADED), vec![proof(Kinds::TOLD.and(Kinds::LOADED), Kinds::NONE)]));
    let checked = Kinds::LOADED.and(Kinds::CHECKED);
    let mut told = require(Kinds::TOLD);
    told.consumers[0].paths = 1;
    let mut walk = Walk::of(told);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
    let mut first = walk::proof(ConsumerId(0), Which::New);
    first.paths[0] = checked;
    walk.say(Fact::Proved { consumer: ConsumerId(0), proofs: vec![first], trouble: false });
    assert!(matches!(walk.state.units()[0].stage, UnitStep::Proving(_)), "a configuration only adds kinds");
}

#[test]
fn at_rest_what_the_next_process_is_given_counts_where_its_word_does() {
    let given = || vec![at_rest(proof(Kinds::DELIVERED, Kinds::NONE))];
    assert!(settles(plan(true), given()));
    assert!(!settles(plan(false), given()));
    assert!(
        !settles(plan(true), vec![at_rest(proof(Kinds::TOLD, Kinds::NONE))]),
        "nothing runs that says it"
    );
    // Beside a process that runs, nothing is at rest: it must speak for itself.
    let both = vec![at_rest(proof(Kinds::DELIVERED, Kinds::NONE)), proof(Kinds::DELIVERED, Kinds::NONE)];
    assert!(!settles(plan(true), both));
}

/// What blocks the end of the old key after a look at the instances of the served consumer.
fn blocked(state: &State) -> Vec<Blocker> {
    blockers(state, state.look().expect("a look"), Which::New)
}

#[test]
fn a_silent_process_keeps_the_gate_shut_and_a_restarted_one_speaks_again() {
    let mut walk = Walk::of(plan(true));
    walk.until(|state| state.phase() == Phase::Quiesce);
    let mut seen = walk.look();
    let spoken = walk::who(SERVED);
    let place = seen.instances.iter().position(|it| it.who == spoken).unwrap();
    let InstanceIdentity::Process { boot, pid, program, .. } = spoken.life else { panic!("it runs") };
    for (pid, start_ticks) in [(pid + 1, 7), (pid, 8)] {
        let who =
            Incarnation { life: InstanceIdentity::Process { boot, pid, start_ticks, program }, ..spoken };
        let mut walk = walk.clone();
        let silent = ObservedInstance { who, old: Visibility::No, ..seen.instances[place] };
        let more = seen.instances.iter().copied().chain([silent]).collect();
        walk.say(Fact::Enumerated(Enumeration { instances: more, ..seen.clone() }));
        let unproven = Blocker::Unproven(SERVED, who, 0);
        assert_eq!(blocked(&walk.state), [unproven]);
    }
    // An ended process says nothing any more, and need not.
    seen.instances[place].who.life = InstanceIdentity::AtRest(SERVED);
    walk.say(Fact::Enumerated(seen));
    assert!(!blocked(&walk.state).is_empty(), "at rest it has shown nothing yet");
}
