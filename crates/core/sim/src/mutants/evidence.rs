//! Mutants that accept weaker proof than the protocol requires.

use keyroll_engine::Input;
use keyroll_rotation::{
    Event, Fact, Holds, InstanceIdentity, Kinds, LastUse, LastUsed, Phase, Query, State, Visibility,
};

use crate::answers::WALL_MS;
use crate::mutant::Mutant;

pub(super) const ALL_KINDS: fn() -> Kinds =
    || Kinds::DELIVERED.and(Kinds::READ).and(Kinds::LOADED).and(Kinds::CHECKED).and(Kinds::EXERCISED);

pub(super) fn proofs(event: &mut Event, change: impl Fn(&mut keyroll_rotation::Proof)) {
    if let Fact::Proved { proofs, .. } = &mut event.fact {
        proofs.iter_mut().for_each(change);
    }
}

fn kind_from_kind(_: &State, event: &mut Event) {
    proofs(event, |proof| proof.paths.fill(ALL_KINDS()));
}

/// Every kind of evidence is inferred from the mere presence of a process.
pub(super) const KIND_FROM_KIND: Mutant =
    Mutant { name: "kind from kind", sentence: "P-28", event: kind_from_kind, ..Mutant::NONE };

fn path_from_path(_: &State, event: &mut Event) {
    proofs(event, |proof| {
        let main = proof.paths.first().copied().unwrap_or_default();
        proof.paths.fill(main);
    });
}

/// A fallback path counts as exercised because the main one was.
pub(super) const PATH_FROM_PATH: Mutant =
    Mutant { name: "path from path", sentence: "P-29", event: path_from_path, ..Mutant::NONE };

fn at_rest_unchecked(_: &State, event: &mut Event) {
    proofs(event, |proof| {
        if let InstanceIdentity::AtRest(_) = proof.who.life {
            proof.paths.fill(ALL_KINDS());
        }
    });
}

/// An instance at rest counts as checked.
pub(super) const AT_REST_UNCHECKED: Mutant =
    Mutant { name: "at rest unchecked", sentence: "P-31", event: at_rest_unchecked, ..Mutant::NONE };

fn partial_is_complete(_: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        seen.complete = true;
        seen.files.iter_mut().filter(|(_, holds)| *holds == Holds::Unreadable).for_each(|(_, holds)| {
            *holds = Holds::New;
        });
    }
}

/// An enumeration that saw a part counts as one that saw everything.
pub(super) const PARTIAL_IS_COMPLETE: Mutant =
    Mutant { name: "partial is complete", sentence: "P-11", event: partial_is_complete, ..Mutant::NONE };

fn holder_unseen(_: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        seen.instances.retain(|instance| instance.consumer.is_some());
        if let Some(sessions) = &mut seen.sessions {
            let known = |who| seen.instances.iter().any(|instance| Some(instance.who) == who);
            sessions.retain(|session| known(session.who));
        }
    }
}

/// An undeclared holder does not block.
pub(super) const HOLDER_UNSEEN: Mutant =
    Mutant { name: "holder unseen", sentence: "P-03", event: holder_unseen, ..Mutant::NONE };

fn copy_unseen(_: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        seen.strangers.clear();
    }
}

/// An undeclared copy does not block.
pub(super) const COPY_UNSEEN: Mutant =
    Mutant { name: "copy unseen", sentence: "P-03", event: copy_unseen, ..Mutant::NONE };

fn session_unseen(_: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        seen.sessions = None;
    }
    proofs(event, |proof| proof.other_session = Visibility::NotVisible);
}

/// Sessions on the old credential do not count.
pub(super) const SESSION_UNSEEN: Mutant =
    Mutant { name: "session unseen", sentence: "P-30", event: session_unseen, ..Mutant::NONE };

fn drift_unseen(state: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        for (file, holds) in &mut seen.files {
            *holds = state.files().get(file.index()).copied().unwrap_or(*holds);
        }
    }
}

/// A file that was written back is not read again.
pub(super) const DRIFT_UNSEEN: Mutant =
    Mutant { name: "drift unseen", sentence: "P-67", event: drift_unseen, ..Mutant::NONE };

fn restart_keeps_evidence(_: &State, event: &mut Event) {
    let same = |life: &mut InstanceIdentity, slot: u8| match life {
        InstanceIdentity::Process { boot, pid, start_ticks, program } => {
            (*boot, *pid, *start_ticks, *program) = (0, u32::from(slot), 0, 0);
        }
        InstanceIdentity::Container { pod, run } => (*pod, *run) = (u64::from(slot), 0),
        InstanceIdentity::AtRest(_) => {}
    };
    proofs(event, |proof| same(&mut proof.who.life, proof.slot));
    if let Fact::Enumerated(seen) = &mut event.fact {
        for instance in seen.instances.iter_mut().filter(|instance| instance.consumer.is_some()) {
            same(&mut instance.who.life, instance.slot);
        }
    }
}

/// Evidence about a process counts for its successor.
pub(super) const RESTART_KEEPS_EVIDENCE: Mutant = Mutant {
    name: "restart keeps evidence",
    sentence: "P-33",
    event: restart_keeps_evidence,
    ..Mutant::NONE
};

fn exec_unseen(_: &State, event: &mut Event) {
    let same = |life: &mut InstanceIdentity| {
        if let InstanceIdentity::Process { program, .. } = life {
            *program = 0;
        }
    };
    proofs(event, |proof| same(&mut proof.who.life));
    if let Fact::Enumerated(seen) = &mut event.fact {
        let ours = seen.instances.iter_mut().filter(|instance| instance.consumer.is_some());
        ours.for_each(|instance| same(&mut instance.who.life));
    }
}

/// Evidence about a program counts for the next program in the same process.
pub(super) const EXEC_UNSEEN: Mutant =
    Mutant { name: "exec unseen", sentence: "P-140", event: exec_unseen, ..Mutant::NONE };

fn late_instance_unseen(state: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        // One instance per slot: the first one found.
        let mut found = Vec::new();
        let _ = state;
        seen.instances.retain(|instance| {
            let key = (instance.consumer, instance.slot);
            let first = instance.consumer.is_none() || !found.contains(&key);
            found.push(key);
            first
        });
        if let Some(sessions) = &mut seen.sessions {
            let known = |who| seen.instances.iter().any(|instance| Some(instance.who) == who);
            sessions.retain(|session| known(session.who));
        }
    }
}

/// One instance stands for all of its slot.
pub(super) const LATE_INSTANCE_UNSEEN: Mutant =
    Mutant { name: "late instance unseen", sentence: "P-15", event: late_instance_unseen, ..Mutant::NONE };

/// The driver never asks when the old key was last used.
pub(super) const IDLE_UNASKED: Mutant = Mutant {
    name: "idle unasked",
    sentence: "P-66",
    plan: |plan| plan.capabilities.last_used = LastUsed::NotVisible,
    ..Mutant::NONE
};

fn no_time_is_idle(input: &mut Input) {
    if let Input::Seen(Query::LastUsed, seen @ None) = input {
        *seen = Some(Fact::LastUsed(LastUse { used: None, took_ms: 0 }));
    }
}

/// A list that does not show when the old key was last used shows that nobody used it.
pub(super) const NO_TIME_IS_IDLE: Mutant =
    Mutant { name: "no last use is idle", sentence: "P-153", input: no_time_is_idle, ..Mutant::NONE };

fn idle_forged(_: &State, event: &mut Event) {
    if let Fact::LastUsed(LastUse { used, .. }) = &mut event.fact {
        *used = None;
    }
}

/// The time of the last use is not compared with the earlier one.
pub(super) const IDLE_FORGED: Mutant =
    Mutant { name: "idle forged", sentence: "P-66", event: idle_forged, ..Mutant::NONE };

fn refusals_unread(_: &State, event: &mut Event) {
    if let Fact::Refusals { count, .. } = &mut event.fact {
        *count = 0;
    }
}

/// A refused use of the disabled key is not acted upon.
pub(super) const REFUSALS_UNREAD: Mutant =
    Mutant { name: "refusals unread", sentence: "P-64", event: refusals_unread, ..Mutant::NONE };

fn missing_is_as_before(state: &State, event: &mut Event) {
    let Fact::Enumerated(seen) = &mut event.fact else { return };
    let host_missing = seen.files.iter().any(|(_, holds)| *holds == Holds::Unreadable);
    let Some(look) = state.look().filter(|_| host_missing && !seen.complete) else { return };
    seen.complete = true;
    for (file, holds) in &mut seen.files {
        if *holds == Holds::Unreadable {
            *holds = state.files().get(file.index()).copied().unwrap_or(Holds::New);
        }
    }
    let missing =
        look.seen.instances.iter().filter(|it| !seen.instances.iter().any(|seen| seen.who == it.who));
    let missing: Vec<_> = missing.copied().collect();
    seen.instances.extend(missing);
}

/// Instances on a host that does not answer count as they were last seen.
pub(super) const MISSING_AS_BEFORE: Mutant =
    Mutant { name: "missing host as before", sentence: "P-52", event: missing_is_as_before, ..Mutant::NONE };

fn sweep_unread(state: &State, event: &mut Event) {
    if let (Phase::Sweep, Fact::Enumerated(seen)) = (state.phase(), &mut event.fact) {
        seen.files.iter_mut().for_each(|(_, holds)| *holds = Holds::New);
        for instance in &mut seen.instances {
            (instance.old, instance.new) = (Visibility::No, Visibility::Yes);
        }
    }
}

/// An instance that appeared after the end of the old key is left as it is.
pub(super) const SWEEP_UNREAD: Mutant =
    Mutant { name: "sweep unread", sentence: "P-70", event: sweep_unread, ..Mutant::NONE };

fn memory_proves(state: &State, event: &mut Event) {
    let Some(look) = state.look() else { return };
    proofs(event, |proof| {
        let gone = look.seen.instances.iter().any(|it| it.who == proof.who && it.old == Visibility::No);
        if gone {
            proof.paths.fill(ALL_KINDS());
        }
    });
}

/// A memory without the old value proves that it is gone.
pub(super) const MEMORY_PROVES: Mutant =
    Mutant { name: "memory proves gone", sentence: "P-34", event: memory_proves, ..Mutant::NONE };

fn idle_by_the_clock(_: &State, event: &mut Event) {
    let now = WALL_MS + event.at.ms;
    if let Fact::LastUsed(LastUse { used, .. }) = &mut event.fact
        && used.is_some_and(|used| used + 1_000 < now)
    {
        *used = None;
    }
}

/// The time since the last use is measured by the wall clock.
pub(super) const IDLE_BY_THE_CLOCK: Mutant =
    Mutant { name: "idle by the wall clock", sentence: "P-62", event: idle_by_the_clock, ..Mutant::NONE };

fn carried_unasked(_: &State, event: &mut Event) {
    if let Fact::StageChecked { carried, .. } = &mut event.fact {
        *carried = true;
    }
}

/// No format is asked whether it can carry the value.
pub(super) const CARRIED_UNASKED: Mutant =
    Mutant { name: "carried unasked", sentence: "P-69", event: carried_unasked, ..Mutant::NONE };

fn wait_counted(_: &State, event: &mut Event) {
    match &mut event.fact {
        Fact::LastUsed(seen) => seen.took_ms = 0,
        Fact::Refusals { took_ms, .. } => *took_ms = 0,
        _ => {}
    }
}

/// An answer counts as if it had been asked for when it came.
pub(super) const WAIT_COUNTED: Mutant =
    Mutant { name: "wait counted", sentence: "P-92", event: wait_counted, ..Mutant::NONE };

/// Leaves only the unsearched processes that belong to a consumer, or only the others.
fn unsearched(event: &mut Event, of_consumers: bool) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        let ours = |who| seen.consumer_of(who).is_some();
        let left = seen.unsearched.iter().filter(|it| ours(it.who) == of_consumers).copied().collect();
        seen.unsearched = left;
    }
}

/// The memory of an instance need not be searched.
pub(super) const UNSEARCHED_UNSEEN: Mutant = Mutant {
    name: "unsearched unseen",
    sentence: "P-141",
    event: |_, event| unsearched(event, false),
    ..Mutant::NONE
};

/// A consent does not count the processes that were not searched.
pub(super) const UNSEARCHED_UNCOUNTED: Mutant = Mutant {
    name: "unsearched uncounted",
    sentence: "P-141",
    event: |_, event| unsearched(event, true),
    ..Mutant::NONE
};
