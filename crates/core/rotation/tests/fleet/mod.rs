//! A rotation over many hosts on paper: everything is answered as if it went well, as many steps at a time as the plan allows.
#![allow(dead_code)]

use keyroll_rotation::{
    Aim, Canary, Capabilities, Consumer, ConsumerId, CredId, Delivery, Enumeration, Event, Fact, FileId,
    FoundBy, HostId, Incarnation, InstanceIdentity, Kinds, Labelled, LastUse, LastUsed, ListedState,
    MintedBy, ObservedInstance, OldKey, OnFailure, Op, Outcome, Overlap, PATHS_MAX, PROTOCOL, Person, Phase,
    Plan, Policy, PreflightSeen, ProbeResult, Proof, Query, Reconciled, Refusals, ReloadMode, RollPolicy,
    Stamp, State, Visibility, Want, Which, step, wants,
};

/// So many consumers are moved at the same time, each on a host of its own.
const PARALLEL: u16 = 64;

/// In so many waves the consumers are moved.
const WAVES: u32 = 4;

/// One consumer with one file on each host. Every second host presents the key to the issuer.
pub(crate) fn plan(hosts: u16) -> Plan {
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
    let roll =
        RollPolicy { canary: Canary::Consumer, bake_ms: 1_000, ask: false, pause_ms: 0, hosts_max: PARALLEL };
    let policy = Policy {
        on_failure: OnFailure::Pause,
        parallel_max: PARALLEL,
        probes_alive: 1,
        probes_dead: 1,
        idle_ms: 0,
        soak_ms: 1_000,
        phase_ms_max: 60_000,
        unit_ms_max: 10_000,
        look_age_ms_max: 10_000,
        require: Kinds::NONE,
        standing_consent: false,
        roll: Some(roll),
    };
    let consumer = |at: u16| Consumer {
        host: HostId(at),
        delivery: Delivery::Push,
        uptake: ReloadMode::Verb,
        files: vec![FileId(at)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: u8::try_from(u32::from(at) * WAVES / u32::from(hosts)).unwrap(),
    };
    Plan {
        capabilities,
        policy,
        endpoints: (0..hosts).step_by(2).map(HostId).collect(),
        files: (0..hosts).map(HostId).collect(),
        consumers: (0..hosts).map(consumer).collect(),
        bystanders: Vec::new(),
        bound: true,
        denied_is_alive: false,
        recovery: false,
        aim: Aim::Replace,
        protocol: PROTOCOL,
    }
}

/// The state in which a rotation of this plan begins.
pub(crate) fn opened(plan: Plan) -> State {
    State::open(plan, Stamp { ms: 0, boot: 1, epoch: 0 }).unwrap()
}

/// A rotation, with everything that was written of it.
pub(crate) struct Fleet {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    at: Stamp,
}

impl Fleet {
    /// A rotation over so many hosts, at its end.
    pub(crate) fn rotated(hosts: u16) -> Self {
        let mut fleet =
            Self { state: opened(plan(hosts)), events: Vec::new(), at: Stamp { ms: 0, boot: 1, epoch: 1 } };
        fleet.say(Fact::DriverStarted);
        while !fleet.state.ended() {
            let before = fleet.events.len();
            fleet.go_on();
            let stands = || (fleet.state.phase(), fleet.state.hold(), wants(&fleet.state));
            assert!(fleet.events.len() > before, "nothing follows: {:?}", stands());
            assert!(fleet.state.hold().is_none(), "it is held: {:?}", stands());
        }
        fleet
    }

    /// One event a millisecond later; it must be legal.
    fn say(&mut self, fact: Fact) {
        self.at.ms += 1;
        let event = Event { at: self.at, fact };
        match step(&self.state, &event) {
            Ok((next, _)) => self.state = next,
            Err(illegal) => panic!("{illegal}: {:?}", event.fact),
        }
        self.events.push(event);
    }

    /// Answers what is wanted now, as long as the phase lasts; what is carried out ends after all of it was begun.
    fn go_on(&mut self) {
        let phase = self.state.phase();
        let mut begun = Vec::new();
        for want in wants(&self.state) {
            if self.state.phase() != phase {
                break;
            }
            match want {
                Want::Do(op) => {
                    self.say(Fact::Intended(op.clone()));
                    begun.push((self.state.seq(), op));
                }
                Want::Ask(query) => {
                    let seen = self.see(&query);
                    self.say(seen);
                }
                Want::Decide(digest) => self.say(Fact::Decided(digest)),
                Want::Wait(ms) => {
                    self.at.ms += ms;
                    self.say(Fact::Clock);
                }
                Want::Person(Person::Consent(digest)) => self.say(Fact::Consented(digest)),
                Want::Person(person) => panic!("{person:?}: the issuer does it"),
            }
        }
        for (intent, op) in begun {
            let made = (op == Op::Mint).then(|| CredId::new("new"));
            self.say(Fact::Ended { intent, outcome: Outcome::Done(made) });
        }
    }

    fn see(&self, query: &Query) -> Fact {
        match query {
            Query::Preflight => Fact::Preflight(PreflightSeen {
                clear: true,
                control: ProbeResult::Dead,
                current: ProbeResult::Alive,
            }),
            Query::StageCheck => Fact::StageChecked { intact: true, carried: true },
            Query::Probe(endpoint, version) => {
                let alive = *version == Which::New || self.state.old_key() == OldKey::On;
                Fact::Probed {
                    endpoint: *endpoint,
                    version: *version,
                    answer: if alive { ProbeResult::Alive } else { ProbeResult::Dead },
                    control: (*version == Which::Old).then_some(ProbeResult::Alive),
                }
            }
            Query::List => {
                let new = self.state.new_version();
                let labelled =
                    new.map(|new| Labelled { intent: new.mint, credential: new.credential.clone() });
                let old = match self.state.old_key() {
                    OldKey::On => ListedState::On,
                    OldKey::Off(_) => ListedState::Off,
                    OldKey::Ended => ListedState::Gone,
                };
                Fact::Listed { complete: true, labelled: labelled.into_iter().collect(), old }
            }
            Query::Enumerate => Fact::Enumerated(self.look()),
            Query::Prove(consumer, _, which) => {
                Fact::Proved { consumer: *consumer, proofs: vec![proof(*consumer, *which)], trouble: false }
            }
            Query::LastUsed => Fact::LastUsed(LastUse { used: Some(1), took_ms: 0 }),
            Query::Refusals => Fact::Refusals { count: 0, took_ms: 0 },
            Query::Reconcile(intent) => Fact::Reconciled { intent: *intent, found: Reconciled::Absent },
            Query::Sweep => Fact::Swept { residues: 0 },
        }
    }

    /// A look that agrees with the units: every moved instance shows the new version.
    fn look(&self) -> Enumeration {
        let sight = |there| if there { Visibility::Yes } else { Visibility::No };
        let instance = |(consumer, moved): (ConsumerId, bool)| ObservedInstance {
            who: who(consumer),
            consumer: Some(consumer),
            slot: 0,
            old: sight(!moved),
            new: sight(moved),
            by: FoundBy::Configured,
        };
        let moved = self.state.units().iter().map(|unit| unit.moved != 0 && unit.toward == Which::New);
        Enumeration {
            complete: true,
            took_ms: 0,
            instances: (0..).map(ConsumerId).zip(moved).map(instance).collect(),
            files: (0..).map(FileId).zip(self.state.files().iter().copied()).collect(),
            sessions: None,
            absent: Vec::new(),
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders: Vec::new(),
        }
    }
}

/// Each state of a rotation over the plan before an entry, the entry, and the state after it.
pub(crate) fn fold(plan: Plan, events: &[Event], mut each: impl FnMut(&State, &Event, &State)) -> State {
    let mut state = opened(plan);
    for event in events {
        let (next, _) = step(&state, event).unwrap();
        each(&state, event, &next);
        state = next;
    }
    state
}

/// Whether the gate is asked in a phase.
pub(crate) fn asks_the_gate(phase: Phase) -> bool {
    matches!(phase, Phase::Quiesce | Phase::Disable | Phase::Decide | Phase::Revoke | Phase::Sweep)
}

fn who(consumer: ConsumerId) -> Incarnation {
    let pid = 100 + u32::from(consumer.0);
    let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 7, program: 0 };
    Incarnation { host: HostId(consumer.0), life }
}

fn proof(consumer: ConsumerId, version: Which) -> Proof {
    let mut paths = [Kinds::NONE; PATHS_MAX];
    paths[0] = Kinds::DELIVERED.and(Kinds::LOADED).and(Kinds::CHECKED);
    Proof { who: who(consumer), slot: 0, version, paths, other_session: Visibility::No }
}
