//! What has to be done outside of keyroll before a command, as the part of a sentence.

use keyroll_host::process_of;
use keyroll_rotation::{
    ConsumerId, Debt, FileId, Hold, Holds, Incarnation, InstanceIdentity, OldKeyUse, Op, Outside, Phase,
    Reason, SearchLimit, Seq, State, Which, old_key_use,
};

use crate::records::blocking_pods::{KEY_READABLE, PODS_RUN, WORKLOAD_BACK};
use crate::records::missing_proof::{Missing, Place, makes_a_call, missing};
use crate::records::plan_names::Called;
use crate::records::reasons::{leaving, pod, process};
use crate::records::store_process::above_this;
use crate::records::waiting::in_question;

/// What has to be done, in the imperative: `end process 4711 (mailer)`.
pub fn outside(called: &Called, state: &State, what: Outside) -> String {
    match what {
        Outside::EndProcess(who) => ended(called, state, who),
        Outside::Restart(who) => restarted(called, state, who),
        Outside::DeleteCopy(place) => deleted(called, state, place),
        Outside::MendFile(file) if is_back(state) && state.accepts_file(file) => put_back(called, file),
        Outside::MendFile(file) => match called.key_freed(file) {
            Some(freed) => freed.to_owned(),
            None => format!(
                "restore the previous line of {} by hand (the old value is enough)",
                called.file(file)
            ),
        },
        Outside::LetRead(file) => match called.key_freed(file) {
            Some(_) => KEY_READABLE.to_owned(),
            None => called
                .unread(file)
                .map_or_else(|| format!("let keyroll read {}", called.file(file)), |fault| fault.mend),
        },
        Outside::GiveOut => {
            "let the store give out the old or the new version again, with nothing else pending there"
                .to_owned()
        }
        Outside::SearchMore(limit) => format!("raise `{}` in keyroll.toml", setting(limit)),
        Outside::BringUp(host) => match called.host(host) {
            Some(name) => format!("keyroll hosts check {name} shows why; bring it up"),
            None => "bring this machine up".to_owned(),
        },
        Outside::Start(consumer) if called.is_in_cluster(consumer) => PODS_RUN.to_owned(),
        Outside::Start(consumer) => {
            format!("read the log of {}, and start it with its restart command", called.consumer(consumer))
        }
        Outside::ShowProof(consumer, who, path) => proven(called, state, &Place { consumer, who, path }),
        Outside::MendConsumer(consumer) => mended(called, state, consumer),
        Outside::FixCommands(consumer) => {
            format!("correct the commands of {} in keyroll.toml", called.consumer(consumer))
        }
        Outside::LookAtConsole => at_the_console(state).to_owned(),
        Outside::FindOut(seq) => found_out(called, state, seq),
        Outside::EndUsers if is_back(state) => {
            "find what still uses the new key, and end or restart it; or, if it may lose that key, delete the key at the issuer's \
             console"
                .to_owned()
        }
        Outside::EndUsers => {
            format!("find what still uses the {} key, and end or restart it", leaving(state))
        }
        Outside::EndWriters => {
            format!("find what writes the {} value again and again, and end it", leaving(state))
        }
        Outside::MakeKey => "make the new key at the issuer's console".to_owned(),
        Outside::EndOldKey => "revoke the old key at the issuer's console".to_owned(),
        Outside::AcceptNewKey => "have the issuer accept the new key again".to_owned(),
        Outside::MendIssuer if lacks_the_use(state) => format!(
            "wait until the issuer shows again when the {} key was last used (keyroll verify {} reads its list)",
            leaving(state),
            called.rotation().1
        ),
        Outside::MendIssuer if lacks_a_list(state) => {
            "have the issuer give the complete list of its keys".to_owned()
        }
        Outside::MendIssuer => "remove the cause of the failure".to_owned(),
    }
}

/// Whether nothing but a complete list is waited for.
fn lacks_a_list(state: &State) -> bool {
    state.debt() == Some(Debt::NotListed) || (state.phase() == Phase::Disable && state.hold().is_none())
}

/// Whether the rotation is held because the issuer did not say when the key was last used.
fn lacks_the_use(state: &State) -> bool {
    let reason = state.hold().map(Hold::reason);
    let of_use = matches!(
        reason,
        Some(Reason::LastUseNotShown | Reason::Overdue(Phase::Quiesce | Phase::RollingBack))
    );
    of_use && old_key_use(state) == Some(OldKeyUse::Unanswered)
}

/// The setting that limited the search.
pub(crate) fn setting(limit: SearchLimit) -> &'static str {
    match limit {
        SearchLimit::Size => "search.max_memory",
        SearchLimit::Time => "search.deadline",
    }
}

/// The consumer that a process belongs to, if it asks keyroll's socket.
pub(in crate::records) fn served_by(called: &Called, state: &State, who: Incarnation) -> Option<ConsumerId> {
    state.look()?.seen.consumer_of(who).filter(|id| called.is_served(*id))
}

fn is_back(state: &State) -> bool {
    state.phase() == Phase::RollingBack
}

/// A process or container with its name: `process 4711 (mailer)`.
fn named(called: &Called, who: Incarnation) -> String {
    match who.life {
        InstanceIdentity::Process { pid, .. } => format!("process {}", process(called, who, pid)),
        InstanceIdentity::AtRest(_) => "the job".to_owned(),
        InstanceIdentity::Container { .. } => pod(called, who),
    }
}

/// An undeclared process or container ends. In a rollback it may take the old key too.
fn ended(called: &Called, state: &State, who: Incarnation) -> String {
    let (it, host) = (named(called, who), called.host(who.host));
    if who.life.is_container() {
        return if is_back(state) { WORKLOAD_BACK.to_owned() } else { format!("end the workload of {it}") };
    }
    if host.is_none() && !called.is_unseen(who) && who.pid().is_some_and(above_this) {
        return format!(
            "{it} is your shell, or the program that started it: open a new one and close this one"
        );
    }
    if is_back(state) {
        return format!("end {it}, or restart it so that it reads the old key");
    }
    let left_out = host.filter(|host| called.left_out(host).is_some());
    let left_out = left_out.map(|host| format!(" (the plan left {host} out)")).unwrap_or_default();
    match called.apart() {
        Some(apart) => format!("{apart}; else end {it}{left_out}"),
        None => format!("end {it}{left_out}"),
    }
}

/// A process that keyroll knows loads the version that stays.
fn restarted(called: &Called, state: &State, who: Incarnation) -> String {
    if served_by(called, state, who).is_some() {
        return made_to_speak(who);
    }
    let it = named(called, who);
    match state.plan().aim.makes_new() {
        true => format!("restart {it}"),
        false => format!("check that the file of {it} holds its own key, and restart it"),
    }
}

/// A process that asks keyroll's socket has to say something.
fn made_to_speak(who: Incarnation) -> String {
    match process_of(who) {
        Some(id) => {
            format!("if it is stopped, continue it (kill -CONT {}); let it call once, or end it", id.pid)
        }
        None => "start keyroll serve, which gives the value out".to_owned(),
    }
}

/// keyroll does not restore a file that was accepted as it stands.
fn put_back(called: &Called, file: FileId) -> String {
    let write = format!(
        "write the old value into {} by hand (keyroll does not: it was accepted as it stands)",
        called.file(file)
    );
    match called.unwritten(file) {
        Some(fault) => format!("{}, then {write}", fault.mend),
        None => write,
    }
}

fn deleted(called: &Called, state: &State, place: u64) -> String {
    let it = called.undeclared(place).unwrap_or("the copy");
    match is_back(state) {
        true => format!("write the old value into {it}, or delete it"),
        false => format!("delete {it}"),
    }
}

fn proven(called: &Called, state: &State, place: &Place) -> String {
    if called.is_served(place.consumer) {
        return made_to_speak(place.who);
    }
    let stays = if is_back(state) { Which::Old } else { Which::New };
    match missing(state, place, stays) {
        // The look that showed it is older: the next one shows what runs in its place.
        Missing::Call | Missing::Restart if called.has_ended(place.who) => {
            format!(
                "{} has ended: see that {} runs",
                named(called, place.who),
                called.consumer(place.consumer)
            )
        }
        Missing::Call => makes_a_call(&named(called, place.who)),
        Missing::Restart => format!("restart {}", named(called, place.who)),
        Missing::Check => format!("read the output of the check of {}", called.consumer(place.consumer)),
    }
}

fn mended(called: &Called, state: &State, consumer: ConsumerId) -> String {
    // What keeps its file from being written comes before what it does with the file.
    let stays = Holds::of(if is_back(state) { Which::Old } else { Which::New });
    let files =
        state.plan().consumers.get(consumer.index()).map(|it| it.files.as_slice()).unwrap_or_default();
    let behind = |file: &&FileId| {
        let holds = state.files().get(file.index());
        holds.is_some_and(|holds| *holds != stays) && !state.accepts_file(**file)
    };
    if let Some(fault) = files.iter().filter(behind).find_map(|file| called.unwritten(*file)) {
        return fault.mend;
    }
    let key = match (state.plan().aim.makes_new(), is_back(state)) {
        (false, _) => "its own",
        (true, true) => "the old",
        (true, false) => "the new",
    };
    format!("see why {} does not work with {key} key", called.consumer(consumer))
}

fn at_the_console(state: &State) -> &'static str {
    match state.hold().map(Hold::reason) {
        Some(Reason::UnknownLabel(_)) => {
            "find out at the issuer's console who made that key: delete it if nobody uses it, or accept it as another keyroll's \
             (K0845)"
        }
        Some(Reason::Overdue(Phase::RollingBack)) if state.new_version().is_some() => {
            "see at the issuer's console that the old key is there and enabled"
        }
        Some(_) | None => "delete a key of this rotation at the issuer's console, if there is one",
    }
}

fn found_out(called: &Called, state: &State, seq: Seq) -> String {
    match in_question(called, state, seq) {
        Some(operation) if may_leave_a_key(state, seq) => {
            // The answer may have named a key of before: that one is never deleted.
            format!(
                "find out whether this was done: {operation}; if it was, and nothing uses that key, delete it at the issuer's \
                 console"
            )
        }
        Some(operation) => format!("find out whether this was done: {operation}"),
        None => format!("find out whether step {seq} was done"),
    }
}

/// Whether another key is made after this one, beside it. Where the next one takes its place, or an operator makes that, nothing is
/// left.
fn may_leave_a_key(state: &State, seq: Seq) -> bool {
    let capabilities = &state.plan().capabilities;
    let is_mint = state.intents().iter().any(|open| open.seq == seq && open.op == Op::Mint);
    is_mint && !capabilities.exchanges() && !capabilities.mint_replaces
}
