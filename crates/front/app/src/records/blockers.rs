//! What blocks the revocation of a key, by kind and name, with the ways past it.

use std::collections::BTreeSet;
use std::fs;

use keyroll_host::{LOCAL, incarnation, process_of};
use keyroll_inventory::started;
use keyroll_rotation::{
    Blocker, ConsumerId, Holds, Incarnation, Phase, ReloadMode, SearchLimit, State, Which, blockers,
    is_only_busy, ways_past,
};

use super::blocking_pods::{MOVING, is_moving, workload_declared};
use super::files_here::Fault;
use super::hosts_away::HostsAway;
use super::missing_proof::resolves_itself;
use super::next_words::{adopt_here, resume, served_by, setting, store_note, waive_place, with_ways};
use super::pid_files;
use super::plan_names::Called;
use super::reasons::{leaving, staying};
use crate::configured::without_host;
use crate::operator::{CommandShown, Holder, StepShown};

/// The most blockers that are shown.
const SHOWN_MAX: usize = 12;

/// Every blocker: what keeps keyroll from an inspection, and what the last inspection found.
pub fn all(called: &Called, state: &State) -> Vec<Holder> {
    let mut all = pid_files::refused(called, state);
    all.extend(inspected(called, state));
    all.truncate(SHOWN_MAX);
    all
}

/// What the last inspection found; none before the first inspection or after the end.
fn inspected(called: &Called, state: &State) -> Vec<Holder> {
    let stays = match state.phase() {
        Phase::RollingBack => Which::Old,
        Phase::Quiesce | Phase::Disable | Phase::Soak | Phase::Decide | Phase::Revoke => Which::New,
        Phase::Preflight
        | Phase::Mint
        | Phase::Stage
        | Phase::Probe
        | Phase::Roll
        | Phase::ConfirmDead
        | Phase::Sweep
        | Phase::Done
        | Phase::RolledBack => return Vec::new(),
    };
    let Some(look) = state.look() else { return Vec::new() };
    let is_served = |id| called.is_served(id);
    let all = blockers(state, look, stays);
    // While one of its processes is silent no later look is taken: what another said before may be over.
    let silent = all.iter().any(|one| matches!(one, Blocker::Unproven(id, ..) if is_served(*id)));
    let over = |blocker: &Blocker| match *blocker {
        Blocker::Session(Some(who)) => silent && look.seen.consumer_of(who).is_some_and(is_served),
        Blocker::Unproven(id, who, _) => is_served(id) && called.has_ended(who),
        Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::File(..)
        | Blocker::Stale(..)
        | Blocker::Session(None)
        | Blocker::Absent(_)
        | Blocker::Unsearched(..) => false,
    };
    let away = HostsAway::of(called, state, &look.seen);
    let here = |blocker: &Blocker| !away.explain(state, *blocker);
    let found = all.into_iter().filter(|blocker| !over(blocker) && !resolves_itself(state, *blocker));
    let found = found.filter(here);
    let found = found.filter_map(|blocker| as_it_is(called, state, blocker, stays));
    // What lacks evidence on several paths, or has several sessions, is one blocker; so are sessions of nobody.
    let mut shown = BTreeSet::new();
    let once =
        |holder: &Holder| shown.insert((holder.kind, holder.host.clone(), holder.pid, holder.name.clone()));
    let found = found.map(|blocker| one(called, state, blocker)).filter(once);
    away.holders(called, state).chain(found).take(SHOWN_MAX).collect()
}

/// A blocker with the changes since the inspection; none if it no longer blocks.
fn as_it_is(called: &Called, state: &State, blocker: Blocker, stays: Which) -> Option<Blocker> {
    match blocker {
        Blocker::File(file, seen) => {
            let holds = state.files().get(file.index()).copied().unwrap_or(seen);
            (holds != Holds::of(stays)).then_some(Blocker::File(file, holds))
        }
        Blocker::Holder(who)
        | Blocker::Stale(_, who, _)
        | Blocker::Unsearched(who, _)
        | Blocker::Session(Some(who))
            if called.has_ended(who) =>
        {
            None
        }
        Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::Unproven(..)
        | Blocker::Stale(..)
        | Blocker::Session(_)
        | Blocker::Absent(_)
        | Blocker::Unsearched(..) => Some(blocker),
    }
}

/// One blocker with the ways past it. Its process is inspected again now, and shown as ended if it has ended.
pub(super) fn one(called: &Called, state: &State, blocker: Blocker) -> Holder {
    let bare = bare(called, state, blocker);
    let shown = with_ways(called, state, ways_past(state, blocker), bare);
    match blocker {
        Blocker::File(file, Holds::Old | Holds::New) => {
            let shown = also(shown, "writes it again");
            match called.unwritten(file) {
                Some(fault) => after(shown, fault),
                None => shown,
            }
        }
        Blocker::Stale(consumer, who, _) if who.life.is_container() && is_moving(state, consumer) => Holder {
            how_to_move: format!("wait; if no keyroll runs, {} goes on with it", shown.how_to_move),
            ..shown
        },
        Blocker::Stale(..) if state.plan().aim.makes_new() => also(shown, "moves it again"),
        Blocker::Holder(_)
        | Blocker::Stranger(_)
        | Blocker::File(..)
        | Blocker::Unproven(..)
        | Blocker::Stale(..)
        | Blocker::Session(_)
        | Blocker::Absent(_)
        | Blocker::Unsearched(..) => shown,
    }
}

/// A blocker that keyroll itself moves as soon as it goes on.
fn also(holder: Holder, what: &str) -> Holder {
    Holder { how_to_move: format!("{}, which {what}", holder.how_to_move), ..holder }
}

/// A copy that keyroll can write once its fault is mended.
fn after(holder: Holder, fault: Fault) -> Holder {
    let mut steps = holder.steps;
    if let Some(first) = steps.first_mut() {
        first.first = Some(fault.mend.clone());
    }
    Holder {
        found_by: format!("{}: {}", holder.found_by, fault.why),
        how_to_move: format!("{}, then {}", fault.mend, holder.how_to_move),
        steps,
        ..holder
    }
}

/// A blocker without the ways past it.
fn bare(called: &Called, state: &State, blocker: Blocker) -> Holder {
    let (goes, stays) = (leaving(state), staying(state));
    match blocker {
        Blocker::Holder(who) => Holder {
            kind: if who.life.is_container() { "undeclared pod" } else { "undeclared process" },
            found_by: format!("it holds the {goes} key and is not a declared consumer"),
            ..process(called, who, None)
        },
        Blocker::Stranger(digest) => Holder {
            kind: "undeclared copy",
            found_by: format!("a file that is not a declared copy holds the {goes} key"),
            ..Holder::nameless(called.undeclared(digest).unwrap_or("a file"))
        },
        Blocker::File(file, holds) => Holder {
            kind: "copy",
            found_by: match holds {
                Holds::Old => format!("it holds the old key, but must hold the {stays} one"),
                Holds::New => format!("it holds the new key, but must hold the {stays} one"),
                Holds::Other => "it holds content that neither keyroll nor the plan wrote".to_owned(),
                Holds::Unreadable => {
                    let why = called.unread(file).map(|fault| format!(": {}", fault.why));
                    format!("it cannot be read{}", why.unwrap_or_default())
                }
            },
            ..Holder::nameless(&called.file(file))
        },
        Blocker::Unproven(consumer, who, path) => unproven(called, state, consumer, who, path),
        Blocker::Stale(consumer, who, path) => Holder {
            kind: if who.life.is_container() && is_moving(state, consumer) {
                MOVING
            } else {
                "stale instance"
            },
            found_by: format!("it still uses the {goes} key on {}", called.path(consumer, path)),
            ..process(called, who, Some(called.consumer(consumer)))
        },
        Blocker::Session(who) => session(called, state, who),
        Blocker::Absent(consumer) => Holder {
            kind: "consumer not seen",
            found_by: "it has no running process, and is not declared at rest".to_owned(),
            ..Holder::nameless(&called.consumer(consumer))
        },
        Blocker::Unsearched(who, limit) => unsearched(called, state, who, limit),
    }
}

/// An instance that has not shown the version that stays on a path.
fn unproven(called: &Called, state: &State, consumer: ConsumerId, who: Incarnation, path: u8) -> Holder {
    let (stays, name) = (staying(state), called.consumer(consumer));
    // It is restarted and has no process: its checks are not run.
    if !who.life.runs() && runs(state, consumer) {
        return Holder {
            kind: "consumer that is not running",
            found_by: format!("it has no running process, and did not prove the {stays} key"),
            ..Holder::nameless(&name)
        };
    }
    let path = called.path(consumer, path);
    let (kind, found_by) = match called.is_served(consumer) {
        true => {
            let said =
                format!("it was given the key, and did not show that it uses the {stays} one on {path}");
            ("process that is silent", said)
        }
        false => ("unproven path", format!("it did not prove the {stays} key on {path}")),
    };
    Holder { kind, found_by, ..process(called, who, Some(name)) }
}

/// A connection that was opened with the key that goes, or a process that said last that it uses it.
fn session(called: &Called, state: &State, who: Option<Incarnation>) -> Holder {
    let goes = leaving(state);
    let served = who.and_then(|who| served_by(called, state, who));
    let (kind, found_by) = match served {
        Some(_) => (
            "process on the other key",
            format!("its last word is about the {goes} key, or a connection of it is"),
        ),
        None => {
            let busy = if is_only_busy(state, who) { ", and at work: keyroll does not end it" } else { "" };
            let said =
                format!("a connection at the issuer was opened with the {goes} key and is still open{busy}");
            ("session", said)
        }
    };
    let name = served.map(|id| called.consumer(id));
    let shown = who
        .map_or_else(|| Holder::nameless("a process that was not found"), |who| process(called, who, name));
    Holder { kind, found_by, ..shown }
}

/// A process whose memory may hold the key that is revoked.
fn unsearched(called: &Called, state: &State, who: Incarnation, limit: SearchLimit) -> Holder {
    let consumer = state.look().and_then(|look| look.seen.consumer_of(who)).map(|id| called.consumer(id));
    let held = if consumer.is_some() { "" } else { "it held the key before, and " };
    Holder {
        kind: "process that was not searched",
        found_by: format!("{held}{}: the {} key may be there", not_searched(limit), leaving(state)),
        ..process(called, who, consumer)
    }
}

/// Why the memory of a process was not searched.
pub fn not_searched(limit: SearchLimit) -> String {
    let why = match limit {
        SearchLimit::Size => "more memory than that is not searched in one process",
        SearchLimit::Time => "the search of all processes takes no longer",
    };
    format!("its memory was not searched completely (`{}`: {why})", setting(limit))
}

/// True if the consumer is not a job at rest.
fn runs(state: &State, consumer: ConsumerId) -> bool {
    let of = state.plan().consumers.get(consumer.index());
    of.is_some_and(|of| of.uptake != ReloadMode::AtRest)
}

/// Whether two blockers are about one process, or about one container.
pub fn is_same(one: &Holder, other: &Holder) -> bool {
    one.host == other.host && one.pid == other.pid && (one.pid.is_some() || one.name == other.name)
}

/// An undeclared process or container, and the ways past it.
pub fn unexplained(called: &Called, who: Incarnation, state: &State) -> Holder {
    let blocker = Blocker::Holder(who);
    let looked =
        if who.life.is_container() { "a look at all pods" } else { "an inspection of all processes" };
    let described = called.described(who).map(|it| it.found_by);
    let found_by = described.unwrap_or_else(|| looked.to_owned());
    let bare = Holder { found_by, ..bare(called, state, blocker) };
    with_ways(called, state, ways_past(state, blocker), bare)
}

/// A process or container that uses or holds the old key while it is disabled: the rotation is about to pause.
pub fn user(called: &Called, holder: &keyroll_port::Holder) -> Holder {
    let host = called.host(holder.host);
    let waive = |place: &str| Some(waive_place(called, place));
    // On this machine everything that runs is a process.
    let (first, commands) = match (&host, holder.pid) {
        (Some(host), Some(pid)) => {
            (Some(format!("end it on {host}")), [None, waive(&format!("{host}:{pid}"))])
        }
        (Some(host), None) => {
            let name = without_host(&holder.name, host);
            let first = format!("end it; for the next rotation {}", workload_declared(host));
            (Some(first), [None, waive(&format!("{host}:{name}"))])
        }
        (None, Some(pid)) if called.stays(pid) => (None, [waive(&pid.to_string()), None]),
        (None, Some(pid)) => (None, [Some(adopt_here(called, pid)), waive(&pid.to_string())]),
        (None, None) => (Some("end it".to_owned()), [None, None]),
    };
    let store = store_note(called, holder.host, holder.pid).map(|note| format!(" ({note})"));
    let named = |one: &CommandShown| format!("{}{}", one.command, store.as_deref().unwrap_or_default());
    let on = resume(called);
    let step = |first: Option<String>, one: Option<CommandShown>| StepShown {
        first,
        commands: one.into_iter().chain([on.clone()]).collect(),
    };
    let [one, other] = commands;
    Holder {
        kind: "user of the old key",
        host,
        pid: holder.pid,
        found_by: holder.found_by.clone(),
        how_to_move: first.clone().or_else(|| one.as_ref().map(&named)).unwrap_or_default(),
        or_else: other.as_ref().map(&named),
        steps: std::iter::once(step(first, one)).chain(other.map(|it| step(None, Some(it)))).collect(),
        ..Holder::nameless(&holder.name)
    }
}

/// The executable, folder and start of a process, if it is still the same process; the name of a container.
fn process(called: &Called, who: Incarnation, name: Option<String>) -> Holder {
    if let Some(shown) = called.container(who, name.as_deref()) {
        return Holder { host: called.host(who.host), ..Holder::nameless(&shown) };
    }
    if let (Some(host), Some(pid)) = (called.host(who.host), who.pid()) {
        let program = || called.described(who).map(|it| it.name);
        let name = name.or_else(program).unwrap_or_else(|| format!("process {pid}"));
        let shown = format!("{name} on {host}");
        return Holder { host: Some(host), pid: Some(pid), ..Holder::nameless(&shown) };
    }
    let Some(id) = process_of(who) else {
        return Holder::nameless(&format!("{}, at rest", name.unwrap_or_else(|| "a job".to_owned())));
    };
    if let Some(pid) = called.unseen_pid(who) {
        let it = format!("process {pid}");
        let shown = name.map_or_else(|| it.clone(), |name| format!("{name}, {it}"));
        return Holder { pid: Some(id.pid), ..Holder::nameless(&shown) };
    }
    let now = keyroll_observe::process(id.pid).ok().filter(|now| now.id == id);
    let gone = match &now {
        None => " (it has ended)",
        Some(_) if !incarnation(LOCAL, &id).may_be(who) => " (it runs another program now)",
        Some(_) => "",
    };
    let name = name.unwrap_or_else(|| {
        now.as_ref().map_or_else(|| format!("process {}", id.pid), keyroll_observe::called)
    });
    let same = now.is_some();
    let folder = if same { fs::read_link(format!("/proc/{}/cwd", id.pid)).ok() } else { None };
    Holder {
        pid: Some(id.pid),
        executable: now.and_then(|now| now.exe).map(|exe| keyroll_observe::shown(&exe)),
        folder: folder.map(|folder| keyroll_observe::shown(&folder)),
        started: if same { started(id.start_ticks) } else { None },
        ..Holder::nameless(&format!("{name}{gone}"))
    }
}

/// A process as shown to the operator: executable, folder, start; never its arguments.
pub fn described(pid: u32) -> Option<String> {
    let now = keyroll_observe::process(pid).ok()?;
    let exe = now
        .exe
        .as_ref()
        .map_or_else(|| "an executable that is not visible".to_owned(), |exe| keyroll_observe::shown(exe));
    let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok();
    let folder = folder.map(|folder| format!(" in {}", keyroll_observe::shown(&folder))).unwrap_or_default();
    let since = started(now.id.start_ticks).map(|at| format!(", started {at}")).unwrap_or_default();
    Some(format!("process {pid} ({}): {exe}{folder}{since}", now.name))
}
