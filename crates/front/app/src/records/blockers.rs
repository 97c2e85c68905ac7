//! What blocks the revocation of a key, by kind and name, with the command for each choice.

use std::collections::BTreeSet;
use std::fs;

use keyroll_host::{LOCAL, incarnation, process_of};
use keyroll_inventory::started;
use keyroll_observe::NotVisible;
use keyroll_rotation::{
    Blocker, ConsumerId, Holds, Incarnation, Phase, ReloadMode, SearchLimit, State, Which, blockers,
};

use super::adopt_command::{adopt_copy, adopt_process, adopt_process_on_host};
use super::blocking_pods::{MOVING, is_moving, key_moved, not_running_moved, stale_moved, undeclared_moved};
use super::hosts_away::HostsAway;
use super::missing_proof::{Place, again, proof_got, resolves_itself};
use super::plan_names::Called;
use super::saved_plan::LeftOut;
use super::store_process::{above_this, accepted};
use crate::configured::without_host;
use crate::operator::Holder;

/// What to do with an edited line during a rollback.
const LINE_BACK: &str = "restore the previous line by hand (the old value is enough), then keyroll retry";

/// A rotation that only revokes a shared key moves no consumer.
const SPLIT_AGAIN: &str =
    "keyroll abort, declare it as a consumer of the shared secret in keyroll.toml, then keyroll split again";

/// A rollback adopts nothing: a process or copy that holds the new key loses it.
const PROCESS_BACK: &str = "end it, or restart it so that it reads the old key, then keyroll resume";
const COPY_BACK: &str = "write the old value into it, or delete it, then keyroll resume";

/// The most blockers that are shown.
const SHOWN_MAX: usize = 12;

/// Every blocker, by the last inspection; none before the first inspection or after the end.
pub fn all(called: &Called, state: &State) -> Vec<Holder> {
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
        Blocker::Unproven(id, who, _) => is_served(id) && gone(who),
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
    let found = found.filter_map(|blocker| as_it_is(state, blocker, stays));
    let named = |holder: Holder| Holder { how_to_move: called.addressed(&holder.how_to_move), ..holder };
    // A process that lacks evidence on several paths, or has several sessions, is one blocker.
    let mut shown = BTreeSet::new();
    let once = |holder: &Holder| {
        holder.pid.is_none() || shown.insert((holder.kind, holder.pid, holder.host.clone()))
    };
    let found = found.map(|blocker| holder(called, state, blocker, stays)).map(named).filter(once);
    away.holders(state).map(named).chain(found).take(SHOWN_MAX).collect()
}

/// A blocker with the changes since the inspection; none if it no longer blocks.
fn as_it_is(state: &State, blocker: Blocker, stays: Which) -> Option<Blocker> {
    match blocker {
        Blocker::File(file, seen) => {
            let holds = state.files().get(file.index()).copied().unwrap_or(seen);
            (holds != Holds::of(stays)).then_some(Blocker::File(file, holds))
        }
        Blocker::Stale(_, who, _) | Blocker::Unsearched(who, _) | Blocker::Session(Some(who))
            if gone(who) =>
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

/// True if a process of the inspection has certainly ended.
fn gone(who: Incarnation) -> bool {
    let Some(id) = process_of(who) else { return false };
    match keyroll_observe::process(id.pid) {
        Ok(now) => now.id != id,
        Err(why) => matches!(why, NotVisible::Vanished | NotVisible::Replaced),
    }
}

/// One blocker. Its process is inspected again now, and shown as ended if it has ended.
fn holder(called: &Called, state: &State, blocker: Blocker, stays: Which) -> Holder {
    let version = stays;
    let (goes, stays) = if stays == Which::New { ("old", "new") } else { ("new", "old") };
    match blocker {
        Blocker::Holder(who) => {
            let found_by = format!("it holds the {goes} key and is not a declared consumer");
            Holder { found_by, ..unexplained(called, who, state) }
        }
        Blocker::Stranger(digest) => stranger(called, state, digest, goes),
        Blocker::File(file, holds) => Holder {
            kind: "copy",
            found_by: match holds {
                Holds::Old => format!("it holds the old key, but must hold the {stays} one"),
                Holds::New => format!("it holds the new key, but must hold the {stays} one"),
                Holds::Other => "it holds content that neither keyroll nor the plan wrote".to_owned(),
                Holds::Unreadable => "it cannot be read".to_owned(),
            },
            how_to_move: match called.key_freed(file) {
                Some(freed) => key_moved(state, freed, holds),
                None => LINE_BACK.to_owned(),
            },
            or_else: None,
            ..nameless(&called.file(file))
        },
        Blocker::Unproven(consumer, who, path) => {
            unproven(called, state, &Place { consumer, who, path }, version)
        }
        Blocker::Stale(consumer, who, path) => stale(called, state, &Place { consumer, who, path }, goes),
        Blocker::Session(Some(who)) if of_served(called, state, who).is_some() => {
            speaks_of_other(called, state, who, goes)
        }
        Blocker::Session(who) => Holder {
            kind: "session",
            found_by: format!("a connection at the issuer was opened with the {goes} key and is still open"),
            how_to_move: "restart the process at its other end".to_owned(),
            or_else: None,
            ..who.map_or_else(|| nameless("a process that was not found"), |who| process(called, who, None))
        },
        Blocker::Absent(consumer) => Holder {
            kind: "consumer not seen",
            found_by: "it has no running process, and is not declared at rest".to_owned(),
            how_to_move: match called.is_in_cluster(consumer) {
                true => not_running_moved(state),
                false => "start it, then keyroll resume".to_owned(),
            },
            or_else: Some(waive(called, consumer)),
            ..nameless(&called.consumer(consumer))
        },
        Blocker::Unsearched(who, limit) => unsearched(called, state, who, limit, goes),
    }
}

/// An instance that was seen with the version that goes.
fn stale(called: &Called, state: &State, place: &Place, goes: &str) -> Holder {
    let &Place { consumer, who, path } = place;
    let is_pod = who.life.is_container();
    Holder {
        kind: if is_pod && is_moving(state, consumer) { MOVING } else { "stale instance" },
        found_by: format!("it still uses the {goes} key on {}", called.path(consumer, path)),
        how_to_move: match (is_pod, state.plan().aim.makes_new()) {
            (true, _) => stale_moved(state, consumer),
            (false, false) => {
                "check that its file holds its own key, restart it, then keyroll resume".to_owned()
            }
            (false, true) => "restart it, or keyroll resume, which moves it again".to_owned(),
        },
        or_else: None,
        ..process(called, who, Some(called.consumer(consumer)))
    }
}

/// An instance that has not shown the version that stays on a path.
fn unproven(called: &Called, state: &State, place: &Place, version: Which) -> Holder {
    let &Place { consumer, who, path } = place;
    let stays = if version == Which::New { "new" } else { "old" };
    // It is restarted and has no process: its checks are not run.
    if !who.life.runs() && runs(state, consumer) {
        return Holder {
            kind: "consumer that is not running",
            found_by: format!("it has no running process, and did not prove the {stays} key"),
            how_to_move: match called.is_in_cluster(consumer) {
                true => not_running_moved(state),
                false => format!("read its log, start it with its restart command, then {}", again(state)),
            },
            or_else: Some(waive(called, consumer)),
            ..nameless(&called.consumer(consumer))
        };
    }
    if called.is_served(consumer) {
        return silent(called, state, who, (consumer, path), stays);
    }
    Holder {
        kind: "unproven path",
        found_by: format!("it did not prove the {stays} key on {}", called.path(consumer, path)),
        how_to_move: format!("{}, then {}", proof_got(state, place, version), again(state)),
        or_else: Some(waive(called, consumer)),
        ..process(called, who, Some(called.consumer(consumer)))
    }
}

/// A process that was given a value, and did not show that it uses it.
fn silent(
    called: &Called,
    state: &State,
    who: Incarnation,
    (consumer, path): (ConsumerId, u8),
    stays: &str,
) -> Holder {
    let path = called.path(consumer, path);
    Holder {
        found_by: format!("it was given the key, and did not show that it uses the {stays} one on {path}"),
        or_else: Some(waive(called, consumer)),
        ..speaks(called, state, who, called.consumer(consumer), "process that is silent")
    }
}

/// The served consumer that a process belongs to.
fn of_served(called: &Called, state: &State, who: Incarnation) -> Option<String> {
    let id = state.look()?.seen.consumer_of(who).filter(|id| called.is_served(*id))?;
    Some(called.consumer(id))
}

/// A process that said last that it uses the key that goes.
fn speaks_of_other(called: &Called, state: &State, who: Incarnation, goes: &str) -> Holder {
    let name = of_served(called, state, who).unwrap_or_default();
    Holder {
        found_by: format!("its last word is about the {goes} key, or a connection of it is"),
        ..speaks(called, state, who, name, "process on the other key")
    }
}

/// A process that asks keyroll's socket, and has to say something.
fn speaks(called: &Called, state: &State, who: Incarnation, name: String, kind: &'static str) -> Holder {
    let command = if state.phase() == Phase::RollingBack { "keyroll retry" } else { "keyroll resume" };
    let how_to_move = match process_of(who) {
        Some(id) => format!(
            "if it is stopped, continue it (kill -CONT {}); let it call once, or end it; then {command}",
            id.pid
        ),
        None => format!("start keyroll serve, which gives the value out, then {command}"),
    };
    Holder { kind, how_to_move, ..process(called, who, Some(name)) }
}

/// A process whose memory may hold the key that is revoked.
fn unsearched(called: &Called, state: &State, who: Incarnation, limit: SearchLimit, goes: &str) -> Holder {
    let consumer = state.look().and_then(|look| look.seen.consumer_of(who)).map(|id| called.consumer(id));
    let held = if consumer.is_some() { "" } else { "it held the key before, and " };
    let or_else = addressed(called, who).map(|it| format!("keyroll consumer waive {it} --reason WHY"));
    Holder {
        kind: "process that was not searched",
        found_by: format!("{held}{}: the {goes} key may be there", not_searched(limit)),
        how_to_move: format!("raise `{}` in keyroll.toml, then keyroll resume", setting(limit)),
        or_else,
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

/// The setting that limited the search.
pub fn setting(limit: SearchLimit) -> &'static str {
    match limit {
        SearchLimit::Size => "search.max_memory",
        SearchLimit::Time => "search.deadline",
    }
}

/// An undeclared copy, by its name if the plan or an inspection saw it.
fn stranger(called: &Called, state: &State, digest: u64, goes: &str) -> Holder {
    let path = called.undeclared_path(digest);
    let word = path.map_or_else(|| "PATH".to_owned(), keyroll_manager::shell_word);
    Holder {
        kind: "undeclared copy",
        found_by: format!("a file that is not a declared copy holds the {goes} key"),
        how_to_move: copy_moved(state, &word),
        or_else: Some(format!("keyroll consumer waive {word} --reason WHY")),
        ..nameless(called.undeclared(digest).unwrap_or("a file"))
    }
}

/// What to do with an undeclared copy.
fn copy_moved(state: &State, path: &str) -> String {
    match (state.phase(), state.plan().aim.makes_new()) {
        (Phase::RollingBack, _) => COPY_BACK.to_owned(),
        (_, true) => adopt_copy(path),
        (_, false) => SPLIT_AGAIN.to_owned(),
    }
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

/// An undeclared process or container, and the commands for it.
pub fn unexplained(called: &Called, who: Incarnation, state: &State) -> Holder {
    if who.life.is_container() {
        return undeclared_pod(called, who, state);
    }
    let pid = who.pid().unwrap_or_default();
    let it = addressed(called, who).unwrap_or_else(|| pid.to_string());
    let waive = format!("keyroll consumer waive {it} --reason WHY");
    let how_to_move = match called.host(who.host) {
        Some(_) => called.addressed(&moved_there(called, &it, state)),
        None => process_moved(called, pid, state.phase(), state.plan().aim.makes_new()),
    };
    let or_else = (!how_to_move.starts_with(&waive)).then_some(waive);
    let described = called.described(who).map(|it| it.found_by);
    Holder {
        kind: "undeclared process",
        found_by: described.unwrap_or_else(|| "an inspection of all processes".to_owned()),
        how_to_move,
        or_else,
        ..process(called, who, None)
    }
}

/// An undeclared container. It cannot be adopted: its workload is declared for the next plan, or it is waived.
fn undeclared_pod(called: &Called, who: Incarnation, state: &State) -> Holder {
    let back = state.phase() == Phase::RollingBack;
    let moved = undeclared_moved(called.host(who.host).as_deref(), back);
    let how_to_move = match (back, state.plan().aim.makes_new()) {
        (true, _) => called.addressed(&format!("{moved}, then keyroll resume")),
        (false, true) => called.addressed(&moved),
        (false, false) => called.addressed(SPLIT_AGAIN),
    };
    let found_by = called.described(who).map(|it| it.found_by);
    Holder {
        kind: "undeclared pod",
        found_by: found_by.unwrap_or_else(|| "a look at all pods".to_owned()),
        how_to_move,
        or_else: called.elsewhere(who).map(|it| format!("keyroll consumer waive {it} --reason WHY")),
        ..process(called, who, None)
    }
}

/// A process as commands name it.
fn addressed(called: &Called, who: Incarnation) -> Option<String> {
    called.elsewhere(who).or_else(|| who.pid().map(|pid| pid.to_string()))
}

/// What to do with an undeclared process of another host, `web-2:4711`.
fn moved_there(called: &Called, process: &str, state: &State) -> String {
    let left_out = process.split_once(':').and_then(|(host, _)| called.left_out(host));
    match (state.phase(), left_out, state.plan().aim.makes_new()) {
        (Phase::RollingBack, ..) => PROCESS_BACK.to_owned(),
        (_, Some(LeftOut { host, .. }), _) => {
            format!("end it: the plan left {host} out; or keyroll abort, and plan with {host}")
        }
        (_, None, true) => {
            called.apart().unwrap_or_else(|| adopt_process_on_host(process, called.attributes_there(process)))
        }
        (_, None, false) => SPLIT_AGAIN.to_owned(),
    }
}

/// What to do with an undeclared process, with the rotation's id in the commands.
pub(super) fn process_moved(called: &Called, pid: u32, phase: Phase, makes_new: bool) -> String {
    let text = match (called.store_of(pid), above_this(pid), phase, makes_new) {
        (Some(place), _, _, _) => format!("{}, then keyroll resume", accepted(pid, place)),
        (None, true, _, _) => {
            "it is your shell, or the program that started it: open a new one and close this one".to_owned()
        }
        (None, false, Phase::RollingBack, _) => PROCESS_BACK.to_owned(),
        (None, false, _, true) => called.apart().unwrap_or_else(|| adopt_process(pid, called.attributes())),
        (None, false, _, false) => SPLIT_AGAIN.to_owned(),
    };
    called.addressed(&text)
}

/// A process or container that uses or holds the old key while it is disabled.
pub fn user(called: &Called, holder: &keyroll_port::Holder) -> Holder {
    let host = called.host(holder.host);
    let waive = |it: &str| Some(format!("keyroll consumer waive {it} --reason WHY"));
    let (how_to_move, or_else) = match (&host, holder.pid) {
        (Some(host), Some(pid)) => (format!("end it on {host}"), waive(&format!("{host}:{pid}"))),
        (Some(host), None) => {
            let name = without_host(&holder.name, host);
            (called.addressed(&undeclared_moved(Some(host), false)), waive(&format!("{host}:{name}")))
        }
        (None, Some(pid)) => match called.store_of(pid) {
            Some(place) => (accepted(pid, place), None),
            None => (adopt_process(pid, called.attributes()), waive(&pid.to_string())),
        },
        // On this machine everything that runs is a process.
        (None, None) => ("end it".to_owned(), None),
    };
    Holder {
        kind: "user of the old key",
        host,
        pid: holder.pid,
        found_by: holder.found_by.clone(),
        how_to_move,
        or_else,
        ..nameless(&holder.name)
    }
}

fn waive(called: &Called, consumer: ConsumerId) -> String {
    format!("keyroll consumer waive {} --reason WHY", called.consumer(consumer).trim_matches('`'))
}

/// The executable, folder and start of a process, if it is still the same process; the name of a container.
fn process(called: &Called, who: Incarnation, name: Option<String>) -> Holder {
    if let Some(shown) = called.container(who, name.as_deref()) {
        return Holder { host: called.host(who.host), ..nameless(&shown) };
    }
    if let (Some(host), Some(pid)) = (called.host(who.host), who.pid()) {
        let program = || called.described(who).map(|it| it.name);
        let name = name.or_else(program).unwrap_or_else(|| format!("process {pid}"));
        let shown = format!("{name} on {host}");
        return Holder { host: Some(host), pid: Some(pid), ..nameless(&shown) };
    }
    let Some(id) = process_of(who) else {
        return nameless(&format!("{}, at rest", name.unwrap_or_else(|| "a job".to_owned())));
    };
    let now = keyroll_observe::process(id.pid).ok().filter(|now| now.id == id);
    let gone = match &now {
        None => " (it has ended)",
        Some(_) if !incarnation(LOCAL, &id).may_be(who) => " (it runs another program now)",
        Some(_) => "",
    };
    let name = name.unwrap_or_else(|| {
        now.as_ref().map_or_else(|| format!("process {}", id.pid), |now| now.name.clone())
    });
    let same = now.is_some();
    let folder = if same { fs::read_link(format!("/proc/{}/cwd", id.pid)).ok() } else { None };
    Holder {
        pid: Some(id.pid),
        executable: now.and_then(|now| now.exe).map(|exe| keyroll_observe::shown(&exe)),
        folder: folder.map(|folder| keyroll_observe::shown(&folder)),
        started: if same { started(id.start_ticks) } else { None },
        ..nameless(&format!("{name}{gone}"))
    }
}

fn nameless(name: &str) -> Holder {
    Holder {
        kind: "",
        host: None,
        pid: None,
        name: name.to_owned(),
        executable: None,
        folder: None,
        started: None,
        found_by: String::new(),
        how_to_move: String::new(),
        or_else: None,
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
