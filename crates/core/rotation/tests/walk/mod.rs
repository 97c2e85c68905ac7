//! A rotation on paper: every want is answered as if everything went well.
#![allow(dead_code)]

#[cfg(test)]
pub(crate) mod reach;
pub(crate) mod world;

use keyroll_rotation::{
    Aim, Capabilities, Consumer, ConsumerId, CredId, Delivery, Enumeration, Event, Fact, FileId, FoundBy,
    HostId, Incarnation, InstanceIdentity, Kinds, Labelled, LastUse, LastUsed, ListedState, MintedBy,
    ObservedInstance, OldKey, OnFailure, Op, Outcome, Overlap, PATHS_MAX, PROTOCOL, Person, Phase, Plan,
    Policy, PreflightSeen, ProbeResult, Proof, Query, Reconciled, Refusals, ReloadMode, Stamp, State,
    Visibility, Want, Which, step, wants,
};

use self::world::World;

/// After so many events a walk that has not arrived is going round in circles.
const EVENTS_MAX: usize = 4_000;

pub(crate) fn plan() -> Plan {
    let capabilities = Capabilities {
        minted_by: MintedBy::Api,
        overlap: Overlap::Independent { max: 0 },
        disable: true,
        label: true,
        mint_replaces: false,
        list: true,
        last_used: LastUsed::NotVisible,
        refusals: Refusals::ConsumerLogs,
        sessions: false,
        attributes: false,
        birth_ms_max: 0,
        death_ms_max: 0,
        request_ms_max: 100,
    };
    let policy = Policy {
        on_failure: OnFailure::Pause,
        parallel_max: 1,
        probes_alive: 1,
        probes_dead: 1,
        idle_ms: 0,
        soak_ms: 1_000,
        phase_ms_max: 60_000,
        unit_ms_max: 10_000,
        look_age_ms_max: 10_000,
        require: Kinds::NONE,
        standing_consent: false,
        roll: None,
    };
    let consumer = |file, uptake| Consumer {
        host: HostId(0),
        delivery: Delivery::Push,
        uptake,
        files: vec![FileId(file)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    };
    Plan {
        capabilities,
        policy,
        endpoints: vec![HostId(0)],
        files: vec![HostId(0), HostId(0)],
        consumers: vec![consumer(0, ReloadMode::Verb), consumer(1, ReloadMode::Rereads)],
        bystanders: Vec::new(),
        bound: true,
        denied_is_alive: false,
        recovery: false,
        aim: Aim::Replace,
        protocol: PROTOCOL,
    }
}

/// How long a key must be unused in `plan_that_shows_use`, milliseconds.
pub(crate) const WINDOW_MS: u64 = 1_000;

/// The same at an issuer that shows the last use of each key.
pub(crate) fn plan_that_shows_use() -> Plan {
    let mut plan = plan();
    plan.capabilities.last_used = LastUsed::PerKey { lag_ms: 0, granularity_ms: 0 };
    plan.policy.idle_ms = WINDOW_MS;
    plan
}

/// A state, and the clock of its driver.
#[derive(Clone)]
pub(crate) struct Walk {
    pub(crate) state: State,
    pub(crate) at: Stamp,
    /// Every event so far.
    pub(crate) said: Vec<Event>,
    /// What is wrong outside; nothing at first.
    pub(crate) world: World,
}

impl Walk {
    pub(crate) fn of(plan: Plan) -> Self {
        let at = Stamp { ms: 0, boot: 1, epoch: 1 };
        let state = State::open(plan, Stamp { epoch: 0, ..at }).unwrap();
        let mut walk = Self { state, at, said: Vec::new(), world: World::default() };
        walk.say(Fact::DriverStarted);
        walk
    }

    /// One event a millisecond later; it must be legal.
    pub(crate) fn say(&mut self, fact: Fact) {
        self.at.ms += 1;
        let event = Event { at: self.at, fact };
        match step(&self.state, &event) {
            Ok((next, _)) => self.state = next,
            Err(illegal) => panic!("{illegal}: {:?}", event.fact),
        }
        self.said.push(event);
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.at.ms += ms;
        self.say(Fact::Clock);
    }

    pub(crate) fn another_driver(&mut self) {
        self.at.epoch += 1;
        self.say(Fact::DriverStarted);
    }

    /// Begins a wanted operation; returns the number of its intent.
    pub(crate) fn begin(&mut self, op: &Op) -> u64 {
        self.say(Fact::Intended(op.clone()));
        self.state.seq()
    }

    pub(crate) fn end(&mut self, intent: u64, outcome: Outcome) {
        self.say(Fact::Ended { intent, outcome });
    }

    /// The first operation that is wanted.
    pub(crate) fn first_op(&self) -> Option<Op> {
        wants(&self.state).into_iter().find_map(|want| match want {
            Want::Do(op) => Some(op),
            Want::Ask(_) | Want::Decide(_) | Want::Wait(_) | Want::Person(_) => None,
        })
    }

    /// Continues until this holds.
    pub(crate) fn until(&mut self, arrived: impl Fn(&State) -> bool) {
        for _ in 0..EVENTS_MAX {
            if arrived(&self.state) {
                return;
            }
            self.go_on();
        }
        panic!("{:?} {:?} wants {:?}", self.state.phase(), self.state.hold(), wants(&self.state));
    }

    /// Continues a rollback until the first consumer has failed to load the old version again, for good.
    pub(crate) fn until_the_first_is_stuck(&mut self) {
        let restart = Op::Apply(ConsumerId(0), 0, Which::Old);
        self.until(|state| wants(state).contains(&Want::Do(restart.clone())));
        let intent = self.begin(&restart);
        self.end(intent, Outcome::Failed { retry: false });
        // It is asked whether it ever left the old key.
        self.say(Fact::Proved { consumer: ConsumerId(0), proofs: Vec::new(), trouble: false });
        self.until(|state| state.hold().is_some());
    }

    /// Continues in this phase until there is an operation to carry out, or the phase is over.
    pub(crate) fn until_it_does_something(&mut self) {
        let phase = self.state.phase();
        while self.state.phase() == phase && self.first_op().is_none() && !self.state.ended() {
            self.go_on();
        }
    }

    pub(crate) fn to(phase: Phase) -> Self {
        let mut walk = Self::of(plan());
        if matches!(phase, Phase::RollingBack | Phase::RolledBack) {
            walk.until(|state| state.phase() == Phase::Quiesce);
            walk.say(Fact::AbortAsked);
        }
        walk.until(|state| state.phase() == phase);
        walk
    }

    /// Answers everything that is wanted now, once, as the world does.
    pub(crate) fn go_on(&mut self) {
        let (phase, hold) = (self.state.phase(), self.state.hold());
        assert!(!wants(&self.state).is_empty(), "{phase:?} {hold:?} wants nothing");
        self.each_wanted(|walk, want| match want {
            Want::Do(op) => {
                let intent = walk.begin(&op);
                let outcome = walk.world.outcome(&walk.state, &op);
                if matches!(outcome, Outcome::Done(_)) {
                    walk.world.carried_out(&op);
                }
                walk.end(intent, outcome);
            }
            Want::Ask(query) => match walk.answer(&query) {
                Some(seen) => walk.say(seen),
                None => walk.wait(1_000),
            },
            Want::Decide(digest) => walk.say(Fact::Decided(digest)),
            Want::Wait(ms) => walk.wait(ms),
            Want::Person(Person::Consent(digest)) => walk.say(Fact::Consented(digest)),
            Want::Person(Person::MintByHand) => walk.say(Fact::HandMinted(CredId::new("new"))),
            Want::Person(Person::RevokeByHand) => walk.say(Fact::HandRevoked),
        });
    }

    /// Everything that is wanted now, each once; what is not wanted any more after an answer before it is left out.
    pub(crate) fn each_wanted(&mut self, mut answer: impl FnMut(&mut Self, Want)) {
        for want in wants(&self.state) {
            if matches!(want, Want::Wait(_)) || wants(&self.state).contains(&want) {
                answer(self, want);
            }
        }
    }

    pub(crate) fn see(&self, query: &Query) -> Fact {
        let old_works = self.state.old_key() == OldKey::On;
        match query {
            Query::Preflight => Fact::Preflight(PreflightSeen {
                clear: true,
                control: ProbeResult::Dead,
                current: ProbeResult::Alive,
            }),
            Query::StageCheck => Fact::StageChecked { intact: true, carried: true },
            Query::Probe(endpoint, version) => {
                let alive = *version == Which::New || old_works;
                let answer = if alive { ProbeResult::Alive } else { ProbeResult::Dead };
                let control = (*version == Which::Old).then_some(ProbeResult::Alive);
                Fact::Probed { endpoint: *endpoint, version: *version, answer, control }
            }
            Query::List => {
                let labelled = self.state.new_version();
                let labelled =
                    labelled.map(|new| Labelled { intent: new.mint, credential: new.credential.clone() });
                let old = match self.state.old_key() {
                    OldKey::On => ListedState::On,
                    OldKey::Off(_) => ListedState::Off,
                    OldKey::Ended => ListedState::Gone,
                };
                Fact::Listed { complete: true, labelled: labelled.into_iter().collect(), old }
            }
            Query::Enumerate => Fact::Enumerated(self.look()),
            Query::Prove(consumer, slot, which) => {
                let of = &self.state.plan().consumers[consumer.index()];
                let slots = slot.map_or(0..of.slots, |slot| slot..slot + 1);
                let mut proofs: Vec<Proof> = slots.map(|slot| proof_of(*consumer, slot, *which)).collect();
                if of.own_word {
                    proofs[0].paths[0] = Kinds::DELIVERED.and(Kinds::TOLD);
                }
                Fact::Proved { consumer: *consumer, proofs, trouble: false }
            }
            Query::LastUsed => Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }),
            Query::Refusals => Fact::Refusals { count: 0, took_ms: 0 },
            Query::Reconcile(intent) => Fact::Reconciled { intent: *intent, found: Reconciled::Absent },
            Query::Sweep => Fact::Swept { residues: 0 },
        }
    }

    /// A look that agrees with the units: every moved instance shows the version that it was moved to.
    pub(crate) fn look(&self) -> Enumeration {
        let mut instances = Vec::new();
        for (at, unit) in (0..).zip(self.state.units()) {
            // Where a shared key is ended without a new one, its consumers were moved before.
            let sight = |there| if there { Visibility::Yes } else { Visibility::No };
            for slot in 0..self.state.plan().consumers[usize::from(at)].slots {
                let moved = unit.moved & (1 << slot) != 0 || self.state.plan().aim == Aim::End;
                let new = moved && unit.toward == Which::New;
                instances.push(ObservedInstance {
                    who: who_of(ConsumerId(at), slot),
                    consumer: Some(ConsumerId(at)),
                    slot,
                    old: sight(!new),
                    new: sight(new),
                    by: FoundBy::Configured,
                });
            }
        }
        let files = (0..).map(FileId).zip(self.state.files().iter().copied()).collect();
        let mut seen = Enumeration {
            complete: true,
            took_ms: 0,
            instances,
            files,
            sessions: None,
            absent: Vec::new(),
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders: Vec::new(),
        };
        self.world.change(&self.state, &mut seen);
        seen
    }
}

pub(crate) fn who(consumer: ConsumerId) -> Incarnation {
    who_of(consumer, 0)
}

pub(crate) fn who_of(consumer: ConsumerId, slot: u8) -> Incarnation {
    let pid = 100 + u32::from(consumer.0) + 10_000 * u32::from(slot);
    let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 7, program: 0 };
    Incarnation { host: HostId(0), life }
}

pub(crate) fn proof(consumer: ConsumerId, version: Which) -> Proof {
    proof_of(consumer, 0, version)
}

pub(crate) fn proof_of(consumer: ConsumerId, slot: u8, version: Which) -> Proof {
    let kinds = Kinds::DELIVERED.and(Kinds::LOADED).and(Kinds::CHECKED);
    let mut paths = [Kinds::NONE; PATHS_MAX];
    paths[0] = kinds;
    Proof { who: who_of(consumer, slot), slot, version, paths, other_session: Visibility::No }
}
