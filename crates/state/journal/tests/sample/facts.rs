//! Arbitrary events and openings: every fact, with every part that it can have.

use keyroll_port::Opening;
use keyroll_rotation::{
    Adoptee, Aim, BystanderId, BystanderSeen, Canary, Capabilities, Consumer, ConsumerId, CredId, Delivery,
    Difference, Emergency, EndpointId, Enumeration, Event, Fact, FileId, FoundBy, Holds, HostId, Incarnation,
    InstanceIdentity, Kinds, Labelled, LastUse, LastUsed, ListedState, MintedBy, ObservedInstance, OnFailure,
    Op, Outcome, Overlap, PATHS_MAX, Plan, Policy, PreflightSeen, ProbeResult, Proof, Reconciled, Refusals,
    ReloadMode, RollPolicy, SearchLimit, SessionSeen, Stamp, TruthValue, Unsearched, Visibility, Waived,
    Which,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn events() -> impl Strategy<Value = Event> {
    (stamps(), facts()).prop_map(|(at, fact)| Event { at, fact })
}

pub(crate) fn openings() -> impl Strategy<Value = Opening> {
    ("\\PC*", any::<u32>(), plans(), "\\PC*", stamps(), any::<u64>()).prop_map(
        |(secret, from_version, plan, names, at, unix_ms)| Opening {
            secret,
            from_version,
            plan,
            names,
            at,
            unix_ms,
        },
    )
}

fn stamps() -> impl Strategy<Value = Stamp> {
    any::<[u64; 3]>().prop_map(|[ms, boot, epoch]| Stamp { ms, boot, epoch })
}

fn ids() -> impl Strategy<Value = CredId> {
    "\\PC{0,20}".prop_map(|id| CredId::new(&id))
}

fn whiches() -> impl Strategy<Value = Which> {
    select(vec![Which::Old, Which::New])
}

fn sights() -> impl Strategy<Value = Visibility> {
    select(vec![Visibility::Yes, Visibility::No, Visibility::NotVisible])
}

fn answers() -> impl Strategy<Value = ProbeResult> {
    select(vec![ProbeResult::Alive, ProbeResult::Denied, ProbeResult::Dead, ProbeResult::Unknown])
}

fn kinds() -> impl Strategy<Value = Kinds> {
    (0_u8..128).prop_map(|bits| Kinds::from_bits(bits).unwrap())
}

fn lives() -> impl Strategy<Value = Incarnation> {
    let life = prop_oneof![
        any::<(u64, u32, u64, u64)>().prop_map(|(boot, pid, start_ticks, program)| {
            InstanceIdentity::Process { program, boot, pid, start_ticks }
        }),
        any::<u16>().prop_map(|consumer| InstanceIdentity::AtRest(ConsumerId(consumer))),
        any::<(u64, u64)>().prop_map(|(pod, run)| InstanceIdentity::Container { pod, run }),
    ];
    (any::<u16>(), life).prop_map(|(host, life)| Incarnation { host: HostId(host), life })
}

fn ops() -> impl Strategy<Value = Op> {
    let plain = vec![
        Op::Choose,
        Op::Mint,
        Op::Stage,
        Op::Promote,
        Op::Demote,
        Op::Disable,
        Op::Enable,
        Op::Revoke,
        Op::EndSessions,
        Op::DeleteNew,
    ];
    prop_oneof![
        select(plain),
        (any::<u16>(), whiches()).prop_map(|(file, which)| Op::Deliver(FileId(file), which)),
        any::<u16>().prop_map(|consumer| Op::Fetch(ConsumerId(consumer))),
        (any::<u16>(), any::<u8>(), whiches()).prop_map(|(consumer, slot, which)| Op::Apply(
            ConsumerId(consumer),
            slot,
            which
        )),
        ids().prop_map(Op::DeleteOrphan),
        ids().prop_map(Op::DeleteAbandoned),
        whiches().prop_map(Op::Retire),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        option::of(ids()).prop_map(Outcome::Done),
        any::<bool>().prop_map(|retry| Outcome::Failed { retry }),
        Just(Outcome::Unknown),
        vec(differences(), 0..3).prop_map(Outcome::Refused),
        Just(Outcome::ChangedElsewhere),
    ]
}

fn differences() -> impl Strategy<Value = Difference> {
    (".{0,12}", any::<u64>()).prop_map(|(name, digest)| Difference { name: name.into(), digest })
}

fn founds() -> impl Strategy<Value = Reconciled> {
    prop_oneof![
        option::of(ids()).prop_map(Reconciled::Executed),
        ids().prop_map(Reconciled::ValueLost),
        select(vec![Reconciled::Absent, Reconciled::Unclear, Reconciled::Foreign]),
    ]
}

fn instances() -> impl Strategy<Value = ObservedInstance> {
    let by = select(vec![FoundBy::Configured, FoundBy::Environment, FoundBy::Memory, FoundBy::Session]);
    (lives(), option::of(any::<u16>()), any::<u8>(), sights(), sights(), by).prop_map(
        |(who, consumer, slot, old, new, by)| ObservedInstance {
            who,
            consumer: consumer.map(ConsumerId),
            slot,
            old,
            new,
            by,
        },
    )
}

fn enumerations() -> impl Strategy<Value = Enumeration> {
    let holds = select(vec![Holds::Old, Holds::New, Holds::Other, Holds::Unreadable]);
    let file = (any::<u16>().prop_map(FileId), holds);
    let session = (option::of(lives()), any::<bool>()).prop_map(|(who, busy)| SessionSeen { who, busy });
    let sessions = option::of(vec(session, 0..3));
    let limit = select(vec![SearchLimit::Size, SearchLimit::Time]);
    let unsearched = (lives(), limit).prop_map(|(who, limit)| Unsearched { who, limit });
    let bystanders = (lives(), any::<u64>()).prop_map(|(who, id)| BystanderSeen { who, id: BystanderId(id) });
    (
        (any::<bool>(), any::<u64>()),
        vec(instances(), 0..4),
        vec(file, 0..4),
        sessions,
        (vec(any::<u16>().prop_map(HostId), 0..3), vec(any::<u64>(), 0..3)),
        (vec(unsearched, 0..3), vec(bystanders, 0..3)),
    )
        .prop_map(
            |(
                (complete, took_ms),
                instances,
                files,
                sessions,
                (absent, strangers),
                (unsearched, bystanders),
            )| {
                Enumeration {
                    complete,
                    took_ms,
                    instances,
                    files,
                    sessions,
                    absent,
                    strangers,
                    unsearched,
                    bystanders,
                }
            },
        )
}

fn proofs() -> impl Strategy<Value = Proof> {
    (lives(), any::<u8>(), whiches(), vec(kinds(), PATHS_MAX), sights()).prop_map(
        |(who, slot, version, paths, other_session)| Proof {
            who,
            slot,
            version,
            paths: paths.try_into().unwrap(),
            other_session,
        },
    )
}

fn consumers() -> impl Strategy<Value = Consumer> {
    let delivery = select(vec![Delivery::Push, Delivery::Fetch, Delivery::Follow]);
    let uptake = select(vec![ReloadMode::Verb, ReloadMode::Rereads, ReloadMode::AtRest]);
    let files = vec(any::<u16>().prop_map(FileId), 0..4);
    (any::<u16>(), delivery, uptake, files, any::<[u8; 3]>(), any::<[bool; 2]>()).prop_map(
        |(host, delivery, uptake, files, [slots, paths, wave], [attributable, own_word])| Consumer {
            host: HostId(host),
            delivery,
            uptake,
            files,
            slots,
            paths,
            attributable,
            own_word,
            wave,
        },
    )
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let minted_by = select(vec![MintedBy::Api, MintedBy::Us, MintedBy::Human]);
    let overlap = prop_oneof![
        any::<u32>().prop_map(|max| Overlap::Independent { max }),
        any::<u64>().prop_map(|ms| Overlap::Grace { ms }),
        select(vec![Overlap::TwoSlots, Overlap::None]),
    ];
    let last_used = prop_oneof![
        any::<[u64; 2]>().prop_map(|[lag_ms, granularity_ms]| LastUsed::PerKey { lag_ms, granularity_ms }),
        select(vec![LastUsed::NotVisible, LastUsed::PerPrincipal]),
    ];
    let refusals = select(vec![Refusals::IssuerLog, Refusals::ConsumerLogs, Refusals::NotVisible]);
    (minted_by, overlap, any::<[bool; 6]>(), last_used, refusals, any::<[u64; 3]>()).prop_map(
        |(
            minted_by,
            overlap,
            [disable, label, mint_replaces, list, sessions, attributes],
            last_used,
            refusals,
            times,
        )| {
            let [birth_ms_max, death_ms_max, request_ms_max] = times;
            Capabilities {
                minted_by,
                overlap,
                disable,
                label,
                mint_replaces,
                list,
                last_used,
                refusals,
                sessions,
                attributes,
                birth_ms_max,
                death_ms_max,
                request_ms_max,
            }
        },
    )
}

fn rolls() -> impl Strategy<Value = Option<RollPolicy>> {
    let canary = select(vec![Canary::Instance, Canary::Consumer, Canary::Host]);
    let roll = (canary, any::<[u64; 2]>(), any::<bool>(), any::<u16>()).prop_map(
        |(canary, [bake_ms, pause_ms], ask, hosts_max)| RollPolicy {
            canary,
            bake_ms,
            ask,
            pause_ms,
            hosts_max,
        },
    );
    option::of(roll)
}

fn plans() -> impl Strategy<Value = Plan> {
    let on_failure = select(vec![OnFailure::Rollback, OnFailure::Pause]);
    let numbers = (any::<u16>(), any::<[u8; 2]>(), any::<[u64; 5]>());
    let policy = (on_failure, numbers, kinds(), any::<bool>(), rolls()).prop_map(
        |(on_failure, (parallel_max, [alive, dead], times), require, standing_consent, roll)| {
            let [idle_ms, soak_ms, phase_ms_max, unit_ms_max, look_age_ms_max] = times;
            Policy {
                on_failure,
                parallel_max,
                probes_alive: alive,
                probes_dead: dead,
                idle_ms,
                soak_ms,
                phase_ms_max,
                unit_ms_max,
                look_age_ms_max,
                require,
                standing_consent,
                roll,
            }
        },
    );
    let hosts = || vec(any::<u16>().prop_map(HostId), 0..4);
    let protocol = 0..=keyroll_rotation::PROTOCOL;
    let aim = select(vec![Aim::Replace, Aim::Part, Aim::End]);
    let flags = (any::<[bool; 3]>(), aim, protocol);
    let declared = (vec(consumers(), 0..4), vec(any::<u64>().prop_map(BystanderId), 0..3));
    (capabilities(), policy, hosts(), hosts(), declared, flags).prop_map(
        |(capabilities, policy, endpoints, files, (consumers, bystanders), (flags, aim, protocol))| {
            let [bound, denied_is_alive, recovery] = flags;
            Plan {
                capabilities,
                policy,
                endpoints,
                files,
                consumers,
                bystanders,
                bound,
                denied_is_alive,
                recovery,
                aim,
                protocol,
            }
        },
    )
}

fn waived() -> impl Strategy<Value = Waived> {
    prop_oneof![
        lives().prop_map(Waived::Holder),
        any::<u64>().prop_map(Waived::Copy),
        any::<u16>().prop_map(|consumer| Waived::NotVisible(ConsumerId(consumer))),
        Just(Waived::BusySessions),
        Just(Waived::LastUse),
        any::<u16>().prop_map(|host| Waived::Host(HostId(host))),
        any::<u16>().prop_map(|consumer| Waived::Gone(ConsumerId(consumer))),
        any::<u16>().prop_map(|file| Waived::File(FileId(file))),
    ]
}

fn looks() -> impl Strategy<Value = Fact> {
    let standing =
        select(vec![ListedState::On, ListedState::Off, ListedState::Gone, ListedState::NotVisible]);
    let labelled = (any::<u64>(), ids()).prop_map(|(intent, credential)| Labelled { intent, credential });
    prop_oneof![
        (any::<bool>(), answers(), answers()).prop_map(|(clear, control, current)| {
            Fact::Preflight(PreflightSeen { clear, control, current })
        }),
        any::<[bool; 2]>().prop_map(|[intact, carried]| Fact::StageChecked { intact, carried }),
        (any::<u16>(), whiches(), answers(), option::of(answers())).prop_map(
            |(endpoint, version, answer, control)| Fact::Probed {
                endpoint: EndpointId(endpoint),
                version,
                answer,
                control,
            }
        ),
        (any::<bool>(), vec(labelled, 0..3), standing).prop_map(|(complete, labelled, old)| Fact::Listed {
            complete,
            labelled,
            old
        }),
        enumerations().prop_map(Fact::Enumerated),
        (any::<u16>(), vec(proofs(), 0..3), any::<bool>()).prop_map(|(consumer, proofs, trouble)| {
            Fact::Proved { consumer: ConsumerId(consumer), proofs, trouble }
        }),
        (option::of(any::<u64>()), any::<u64>())
            .prop_map(|(used, took_ms)| Fact::LastUsed(LastUse { used, took_ms })),
        (any::<u32>(), any::<u64>()).prop_map(|(count, took_ms)| Fact::Refusals { count, took_ms }),
        any::<u32>().prop_map(|residues| Fact::Swept { residues }),
        select(vec![TruthValue::Old, TruthValue::New, TruthValue::Other]).prop_map(Fact::TruthRead),
    ]
}

pub(crate) fn facts() -> impl Strategy<Value = Fact> {
    let plain = vec![
        Fact::DriverStarted,
        Fact::Clock,
        Fact::Unanswered,
        Fact::PauseAsked,
        Fact::Resumed,
        Fact::AbortAsked,
        Fact::Retried,
        Fact::HandRevoked,
    ];
    let explains = prop_oneof![lives().prop_map(Adoptee::Holder), any::<u64>().prop_map(Adoptee::Copy)];
    let files = vec(any::<u16>().prop_map(HostId), 0..3);
    let mode = select(vec![Emergency::RollFirst, Emergency::RevokeNow]);
    prop_oneof![
        select(plain),
        ops().prop_map(Fact::Intended),
        (any::<u64>(), outcomes()).prop_map(|(intent, outcome)| Fact::Ended { intent, outcome }),
        (any::<u64>(), founds()).prop_map(|(intent, found)| Fact::Reconciled { intent, found }),
        looks(),
        any::<u64>().prop_map(Fact::Consented),
        any::<u64>().prop_map(Fact::Decided),
        (consumers(), files, explains, "\\PC*").prop_map(|(consumer, files, explains, names)| {
            Fact::Adopted { consumer, files, explains, names: names.into() }
        }),
        (vec(any::<u16>().prop_map(ConsumerId), 0..3), "\\PC*")
            .prop_map(|(consumers, names)| Fact::Corrected { consumers, names: names.into() }),
        waived().prop_map(Fact::Waived),
        differences().prop_map(Fact::Accepted),
        (mode, any::<bool>())
            .prop_map(|(mode, pending_compromised)| Fact::Escalated { mode, pending_compromised }),
        ids().prop_map(Fact::HandMinted),
    ]
}

/// The name of each fact; a new one does not compile until it is here.
pub(crate) fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::DriverStarted => "driver_started",
        Fact::Clock => "clock",
        Fact::Intended(_) => "intended",
        Fact::Ended { .. } => "ended",
        Fact::Reconciled { .. } => "reconciled",
        Fact::Preflight(_) => "preflight",
        Fact::StageChecked { .. } => "stage_checked",
        Fact::Probed { .. } => "probed",
        Fact::Listed { .. } => "listed",
        Fact::Enumerated(_) => "enumerated",
        Fact::Proved { .. } => "proved",
        Fact::LastUsed(_) => "last_used",
        Fact::Refusals { .. } => "refusals",
        Fact::TruthRead(_) => "truth_read",
        Fact::Swept { .. } => "swept",
        Fact::Consented(_) => "consented",
        Fact::Decided(_) => "decided",
        Fact::Adopted { .. } => "adopted",
        Fact::Corrected { .. } => "corrected",
        Fact::Waived(_) => "waived",
        Fact::Unanswered => "unanswered",
        Fact::Accepted(_) => "accepted",
        Fact::PauseAsked => "pause_asked",
        Fact::Resumed => "resumed",
        Fact::AbortAsked => "abort_asked",
        Fact::Retried => "retried",
        Fact::Escalated { .. } => "escalated",
        Fact::HandMinted(_) => "hand_minted",
        Fact::HandRevoked => "hand_revoked",
    }
}

/// How many names there are.
pub(crate) const NAMES: usize = 29;
