//! The words of each command that a wait of a rotation names, and of what has to be done before it. Which commands these are is
//! decided by the core alone, and nothing reads them from a text again.

mod fitted;
mod outside;

use keyroll_rotation::{
    Adoptee, Difference, FileId, Hold, Holds, HostId, Incarnation, InstanceIdentity, Next, Phase, Reason,
    State, Step, Waived, may_be_given_out,
};

use super::adopt_command::{adopt_copy, adopt_process, adopt_process_on_host};
use super::blocking_pods::workload_declared;
use super::plan_names::Called;
use super::reasons::leaving;
use super::recorded::Opened;
use super::store_process::as_store;
use super::waivers::{BUSY_SESSIONS, LAST_USE};
use crate::operator::{CommandShown, Holder, StepShown};
use crate::shell_words::quoted;

pub use self::fitted::fitted;
pub use self::outside::outside;
pub(super) use self::outside::served_by;
pub(crate) use self::outside::setting;

/// The whole command. What only the operator knows stands there in capitals.
pub fn command(called: &Called, state: &State, next: Next) -> CommandShown {
    let (id, secret) = called.rotation();
    let whole = |kind, command| CommandShown { kind, command, complete: true };
    match next {
        Next::Resume => resume(called),
        Next::Retry => whole("retry", format!("keyroll retry {id}")),
        Next::Confirm => whole("confirm", consent(id, secret)),
        Next::Abort => whole("abort", format!("keyroll abort {id}")),
        Next::Accept => {
            let accept = |one: &Difference| format!(" --accept {}", quoted(&one.name));
            let accepted: String = state.refused().iter().map(accept).collect();
            whole("accept", format!("keyroll resume {id}") + &accepted)
        }
        Next::Waive(what) => waive(called, what),
        Next::Adopt(Adoptee::Holder(who)) => adopt(called, who),
        Next::Adopt(Adoptee::Copy(place)) => {
            let command = of_secret(called, adopt_copy(&copy(called, place)));
            CommandShown { kind: "adopt", command, complete: false }
        }
        Next::Declare(_) => {
            let verb = if state.plan().aim.makes_new() { "plan" } else { "split" };
            whole("declare", format!("keyroll {verb} {secret}"))
        }
        Next::Correct(consumer) => {
            let name = called.name_of(consumer);
            let command = format!("keyroll consumer correct {}", name.unwrap_or(NAME));
            CommandShown { kind: "correct", command: of_secret(called, command), complete: name.is_some() }
        }
        Next::HandMint => {
            let command = format!("keyroll resume {id} --value-file FILE");
            CommandShown { kind: "hand_mint", command, complete: false }
        }
        Next::HandRevoked => whole("hand_revoked", format!("keyroll resume {id} --revoked-by-hand")),
        Next::AnotherKey => whole("another_key", format!("keyroll emergency {secret}")),
        Next::PayDebt => {
            whole("pay_debt", format!("keyroll revoke {secret} --version previous --confirm={secret}"))
        }
    }
}

/// The command that goes on with what is paused.
pub(super) fn resume(called: &Called) -> CommandShown {
    let (id, _) = called.rotation();
    let command = format!("keyroll resume {id}");
    CommandShown { kind: "resume", command, complete: true }
}

/// The command that consents to the end of the old key: it may also be given before the consent is asked for.
pub fn consent(id: &str, secret: &str) -> String {
    format!("keyroll resume {id} --confirm={secret}")
}

/// The command that hands over, on its stdin, the key that the operator made.
pub fn from_stdin(id: &str) -> String {
    format!("keyroll resume {id} --value-stdin")
}

/// The command that shows a rotation until its driver has ended.
pub fn follow(id: &str) -> String {
    format!("keyroll status -w {id}")
}

/// Stands for a name that is not known.
const NAME: &str = "NAME";

/// The command that waives something, by name.
fn waive(called: &Called, what: Waived) -> CommandShown {
    let shown = |kind, command| CommandShown { kind, command, complete: false };
    match what {
        Waived::Holder(who) => waive_place(called, &holder(called, who)),
        Waived::Copy(place) => waive_place(called, &copy(called, place)),
        Waived::NotVisible(consumer) => waive_place(called, called.name_of(consumer).unwrap_or(NAME)),
        Waived::BusySessions => waive_place(called, BUSY_SESSIONS),
        Waived::LastUse => waive_place(called, LAST_USE),
        Waived::Gone(consumer) => {
            let name = called.name_of(consumer).unwrap_or(NAME);
            shown("let_go", of_secret(called, format!("keyroll consumer let-go {name} --reason WHY")))
        }
        Waived::File(file) => {
            let path = quoted(&called.file(file));
            shown(
                "accept_file",
                of_secret(called, format!("keyroll consumer accept-file {path} --reason WHY")),
            )
        }
        Waived::Host(host) => {
            shown("waive", waive_host(&called.host(host).unwrap_or_else(|| "HOST".to_owned())))
        }
    }
}

/// The command that waives a process, a container, a copy or a consumer, by its name.
pub(super) fn waive_place(called: &Called, place: &str) -> CommandShown {
    let command = of_secret(called, format!("keyroll consumer waive {place} --reason WHY"));
    CommandShown { kind: "waive", command, complete: false }
}

fn waive_host(name: &str) -> String {
    format!("keyroll hosts waive {name} --reason WHY")
}

/// The same where it only may be gone. If it is not, its waiver ends by itself.
pub(crate) fn gone(name: &str) -> String {
    format!("if {name} is gone: {}", waive_host(name))
}

/// The command that adopts a process.
fn adopt(called: &Called, who: Incarnation) -> CommandShown {
    let command = match called.elsewhere(who) {
        Some(there) => of_secret(called, adopt_process_on_host(&there, called.attributes_there(&there))),
        None => return adopt_here(called, who.pid().unwrap_or_default()),
    };
    CommandShown { kind: "adopt", command, complete: false }
}

/// The command that adopts a process of this machine.
pub(super) fn adopt_here(called: &Called, pid: u32) -> CommandShown {
    let command = of_secret(called, adopt_process(pid, called.attributes()));
    CommandShown { kind: "adopt", command, complete: false }
}

/// A command with the secret that it is about, where that is not the only one.
fn of_secret(called: &Called, command: String) -> String {
    match called.has_others() {
        true => format!("{command} --secret {}", called.rotation().1),
        false => command,
    }
}

/// A process or container as commands name it.
fn holder(called: &Called, who: Incarnation) -> String {
    let here = || match who.life {
        InstanceIdentity::Process { pid, .. } => pid.to_string(),
        InstanceIdentity::Container { .. } | InstanceIdentity::AtRest(_) => NAME.to_owned(),
    };
    called.elsewhere(who).unwrap_or_else(here)
}

/// A copy as commands name it.
fn copy(called: &Called, place: u64) -> String {
    called.undeclared_path(place).map_or_else(|| "PATH".to_owned(), quoted)
}

/// The command that goes on with a rotation as it stands.
pub(crate) fn go_on(called: &Called, state: &State) -> String {
    command(called, state, keyroll_rotation::go_on(state)).command
}

/// The same for a rotation that was read from the journal.
pub(crate) fn goes_on_with(opened: &Opened) -> String {
    go_on(&Called::of_rotation(&opened.id.0, &opened.saved.secret), &opened.state)
}

/// The command that goes on with an open rotation and consents to nothing: who did something else is not told to end a key.
pub(crate) fn goes_on_without_consent(id: &str, secret: &str, state: &State) -> String {
    let next = Some(keyroll_rotation::go_on(state)).filter(|next| *next != Next::Confirm);
    command(&Called::of_rotation(id, secret), state, next.unwrap_or(Next::Resume)).command
}

/// The command by which an open rotation looks again at what uses the old key, and what that brings.
pub(crate) fn looks_again(id: &str, secret: &str, state: &State) -> String {
    let again = goes_on_without_consent(id, secret, state);
    format!("{again} inspects again and names the processes and copies that still use the old key")
}

/// A command as it stands in a sentence: with what it does, where that has to be said.
fn words(called: &Called, state: &State, next: Next) -> String {
    let (id, secret) = called.rotation();
    let reason = state.hold().map(Hold::reason);
    let command = command(called, state, next).command;
    match next {
        Next::Resume if matches!(reason, Some(Reason::Canary(_))) => {
            format!("{command}, which moves the others too")
        }
        Next::Retry if reason == Some(Reason::ChangedElsewhere) && state.phase() == Phase::RollingBack => {
            format!(
                "{command}, which ends the rollback; keyroll secret import {secret} takes another value over after that"
            )
        }
        Next::Abort if reason == Some(Reason::ChangedElsewhere) => match may_be_given_out(state) {
            true => format!("{command}, which needs the same: consumers may have the new value"),
            false => format!(
                "{command}, which leaves the store as it is, then keyroll secret import {secret} for the other value"
            ),
        },
        Next::Waive(Waived::Host(host)) => called.host(host).map_or(command, |name| gone(&name)),
        Next::Waive(Waived::File(file)) if is_not_restored(state, file) => {
            format!("{command} (only if nothing reads it: it keeps the new key, which ends)")
        }
        Next::Waive(Waived::File(_)) => {
            format!(
                "{command} (what reads it next has to work with what it holds: the {} key ends)",
                leaving(state)
            )
        }
        Next::Waive(Waived::BusySessions) => {
            format!("{command} (each goes on with the {} key until it ends)", leaving(state))
        }
        Next::Waive(Waived::LastUse) => {
            format!("{command} (what keyroll cannot see may still use the {} key)", leaving(state))
        }
        Next::Waive(Waived::Holder(who)) => store_note(called, who.host, who.pid())
            .map_or_else(|| command.clone(), |note| format!("{command} ({note})")),
        Next::Declare(what) => format!("{}, then {command}", declared(called, state, what)),
        Next::HandMint => {
            format!("keyroll resume {id}, at a terminal, or with --value-file FILE or --value-stdin")
        }
        Next::HandRevoked if state.phase() == Phase::RollingBack => {
            format!("{command} (only if the old key is not there any more: the rotation goes forward)")
        }
        Next::AnotherKey => format!("{command}, which takes another key"),
        Next::Resume
        | Next::Retry
        | Next::Confirm
        | Next::Abort
        | Next::Accept
        | Next::Waive(_)
        | Next::Adopt(_)
        | Next::Correct(_)
        | Next::HandRevoked
        | Next::PayDebt => command,
    }
}

/// Whether a rollback that accepts this file as it stands leaves the new key in it.
fn is_not_restored(state: &State, file: FileId) -> bool {
    state.phase() == Phase::RollingBack && state.files().get(file.index()) == Some(&Holds::New)
}

/// That a process is the store of the secret, if it is.
pub(super) fn store_note(called: &Called, host: HostId, pid: Option<u32>) -> Option<String> {
    let here = pid.filter(|_| called.host(host).is_none())?;
    called.store_of(here).map(|place| as_store(here, place))
}

/// What comes before the plan of the other rotation.
fn declared(called: &Called, state: &State, what: Adoptee) -> String {
    let host = match what {
        Adoptee::Holder(who) => called.host(who.host),
        Adoptee::Copy(_) => None,
    };
    let left_out = host.as_deref().filter(|host| called.left_out(host).is_some());
    match (what, left_out) {
        _ if !state.plan().aim.makes_new() => {
            "declare it as a consumer of the shared secret in keyroll.toml".to_owned()
        }
        (_, Some(host)) => format!("see that {host} answers"),
        (Adoptee::Holder(who), None) if who.life.is_container() => {
            workload_declared(host.as_deref().unwrap_or("HOST"))
        }
        (Adoptee::Holder(_) | Adoptee::Copy(_), None) => {
            "declare it as a consumer in keyroll.toml".to_owned()
        }
    }
}

/// Ways that end with the same command, which is said once.
struct Group {
    last: Next,
    ways: Vec<String>,
}

impl Group {
    fn said(&self, last: &str) -> String {
        match self.ways.as_slice() {
            [] => last.to_owned(),
            [one] => format!("{one}, then {last}"),
            several => format!("{}; then {last}", several.join(", or ")),
        }
    }
}

/// The ways past a wait as a sentence: `A, or B; then C; or D`.
pub fn said(called: &Called, state: &State, steps: &[Step]) -> String {
    let mut groups: Vec<Group> = Vec::new();
    for step in steps {
        let Some(last) = step.then.last().copied() else { continue };
        let way = before_the_last(called, state, step);
        let joins = |group: &Group| group.last == last && !group.ways.is_empty() && way.is_some();
        match groups.last_mut() {
            Some(group) if joins(group) => group.ways.extend(way),
            Some(_) | None => groups.push(Group { ways: way.into_iter().collect(), last }),
        }
    }
    let all = groups.iter().map(|group| group.said(&words(called, state, group.last)));
    all.collect::<Vec<_>>().join("; or ")
}

/// What comes before the last command of a way.
fn before_the_last(called: &Called, state: &State, step: &Step) -> Option<String> {
    let (_, before) = step.then.split_last()?;
    let first = step.first.map(|first| outside(called, state, first));
    let all: Vec<String> =
        first.into_iter().chain(before.iter().map(|next| words(called, state, *next))).collect();
    (!all.is_empty()).then(|| all.join(", then "))
}

/// Each way with its commands.
pub fn shown(called: &Called, state: &State, steps: &[Step]) -> Vec<StepShown> {
    let one = |step: &Step| StepShown {
        first: step.first.map(|first| outside(called, state, first)),
        commands: step.then.iter().map(|next| command(called, state, *next)).collect(),
    };
    steps.iter().map(one).collect()
}

/// A blocker with the ways past it.
pub(super) fn with_ways(called: &Called, state: &State, steps: Vec<Step>, holder: Holder) -> Holder {
    let steps = fitted(called, state, steps);
    let (first, others) = steps.split_at(steps.len().min(1));
    Holder {
        how_to_move: choice(called, state, first),
        or_else: (!others.is_empty()).then(|| choice(called, state, others)),
        steps: shown(called, state, &steps),
        ..holder
    }
}

/// Ways past a blocker. What a command moves is named with that command alone: the rotation itself says how it goes on.
fn choice(called: &Called, state: &State, steps: &[Step]) -> String {
    let goes_on = |step: &Step| matches!(step.then.last(), Some(Next::Resume | Next::Retry | Next::Confirm));
    let is_bare = |step: &Step| step.first.is_none() && step.then.len() > 1 && goes_on(step);
    if !steps.iter().all(is_bare) {
        return said(called, state, steps);
    }
    let all = steps.iter().filter_map(|step| before_the_last(called, state, step));
    all.collect::<Vec<_>>().join(", or ")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is the store")]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use keyroll_host::{LOCAL, incarnation};
    use keyroll_rotation::{Blocker, ConsumerId, Fact, Op, Outside, Want, wants, ways_past};

    use super::super::blockers::{unexplained, user};
    use super::super::store_process::accepts_at;
    use super::super::walk::reach::{Row, reach};
    use super::super::walk::{Walk, plan, who};
    use super::*;

    fn at(phase: Phase) -> Walk {
        let mut walk = Walk::of(plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        if phase == Phase::RollingBack {
            walk.say(Fact::AbortAsked);
        }
        walk
    }

    fn port_holder(host: HostId, pid: Option<u32>, name: &str) -> keyroll_port::Holder {
        keyroll_port::Holder {
            host,
            pid,
            name: name.to_owned(),
            found_by: "it takes the key".to_owned(),
            how_to_move: String::new(),
        }
    }

    #[test]
    fn a_command_to_a_rotation_names_it_once() {
        let id = "a1".repeat(16);
        let (called, walk) = (Called::of_rotation(&id, "acme"), at(Phase::Quiesce));
        let all = [
            Next::Resume,
            Next::Retry,
            Next::Confirm,
            Next::Abort,
            Next::Accept,
            Next::HandMint,
            Next::HandRevoked,
        ];
        for next in all {
            let shown = command(&called, &walk.state, next);
            assert_eq!(shown.command.matches(&id).count(), 1, "{shown:?}");
            assert_eq!(shown.complete, next != Next::HandMint, "{shown:?}");
        }
        for next in [Next::AnotherKey, Next::PayDebt, Next::Waive(Waived::LastUse)] {
            let shown = command(&called, &walk.state, next);
            assert!(!shown.command.contains(&id), "{shown:?}");
        }
    }

    /// Red where somebody who finds that the key was made is not told to delete it: `retry` has another one made. Also where
    /// a key in use is deleted: an issuer may have answered with the id of a version.
    #[test]
    fn a_key_that_a_lost_mint_left_is_deleted_before_another_is_made() {
        let called = Called::of_rotation("0192", "acme");
        let told = |op: Op, replaces: bool| {
            let mut plan = plan();
            plan.capabilities.mint_replaces = replaces;
            let mut walk = Walk::of(plan);
            walk.until(|state| wants(state).contains(&Want::Do(op.clone())));
            let intent = walk.begin(&op);
            outside(&called, &walk.state, Outside::FindOut(intent))
        };
        let made = "find out whether this was done: make the new key at the issuer";
        assert_eq!(
            told(Op::Mint, false),
            format!("{made}; if it was, and nothing uses that key, delete it at the issuer's console")
        );
        assert_eq!(told(Op::Mint, true), made);
        assert_eq!(told(Op::Stage, false), "find out whether this was done: seal the new key");
    }

    /// Red where the statement reads as if the key were still to be ended.
    #[test]
    fn in_a_rollback_the_statement_says_when_it_is_true() {
        let (called, walk) = (Called::of_rotation("0192", "acme"), at(Phase::RollingBack));
        let step = Step { first: None, then: vec![Next::HandRevoked] };
        let all = "keyroll resume 0192 --revoked-by-hand (only if the old key is not there any more: the rotation goes \
             forward)";
        assert_eq!(said(&called, &walk.state, &[step]), all);
    }

    #[test]
    fn ways_that_end_with_the_same_command_say_it_once() {
        let (called, walk) = (Called::of_rotation("0192", "acme"), at(Phase::Quiesce));
        // No process has this number.
        let life = InstanceIdentity::Process { boot: 1, pid: 4_194_305, start_ticks: 7, program: 0 };
        let who = Incarnation { life, ..who(ConsumerId(0)) };
        let adopt = Next::Adopt(Adoptee::Holder(who));
        let steps = [
            Step { first: None, then: vec![adopt, Next::Resume] },
            Step { first: Some(Outside::EndProcess(who)), then: vec![Next::Resume] },
            Step { first: None, then: vec![Next::Waive(Waived::Holder(who)), Next::Resume] },
            Step { first: Some(Outside::EndOldKey), then: vec![Next::HandRevoked] },
            Step { first: None, then: vec![Next::Resume] },
        ];
        let all = "keyroll consumer adopt 4194305 --name NAME --restart COMMAND --check \"COMMAND {copy}\", or end process 4194305, \
             or keyroll consumer waive 4194305 --reason WHY; then keyroll resume 0192; or revoke the old key at the issuer's \
             console, then keyroll resume 0192 --revoked-by-hand; or keyroll resume 0192";
        assert_eq!(said(&called, &walk.state, &steps), all);
        let shown = shown(&called, &walk.state, &steps);
        let kinds: Vec<_> = shown[0].commands.iter().map(|one| (one.kind, one.complete)).collect();
        assert_eq!(kinds, [("adopt", false), ("resume", true)]);
        assert_eq!(shown[1].first.as_deref(), Some("end process 4194305"));
    }

    /// A copy was deleted, and restored. Red where somebody is told to let keyroll read what it can read.
    #[test]
    fn a_copy_that_can_be_read_again_is_read_by_the_command_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let paths = ["a.env", "b.env"].map(|name| folder.join(name));
        let mut called = Called::of_rotation("0192", "acme");
        for (at, path) in paths.iter().enumerate() {
            called.here.add_copy(at, path, Some(path));
        }
        let walk = at(Phase::RollingBack);
        let let_read = |file| Step { first: Some(Outside::LetRead(FileId(file))), then: vec![Next::Retry] };
        let said = || {
            let steps = fitted(&called, &walk.state, vec![let_read(0), let_read(1)]);
            said(&called, &walk.state, &steps)
        };
        let [one, other] =
            paths.each_ref().map(|path| format!("restore {} (the old value is enough)", path.display()));
        assert_eq!(said(), format!("{one}, or {other}; then keyroll retry 0192"));
        std::fs::write(&paths[0], "KEY=1\n").unwrap();
        assert_eq!(said(), format!("{other}, then keyroll retry 0192"));
        std::fs::write(&paths[1], "KEY=1\n").unwrap();
        assert_eq!(said(), "keyroll retry 0192");
        let said = super::super::reasons::reason_text(&called, &walk.state, Reason::Unreadable(FileId(0)));
        assert_eq!(said, "file 0 could not be read, and can be read now");
    }

    /// Red where a process is ended here that has the number of another one elsewhere, or where a command names it by that.
    #[test]
    fn a_process_of_another_namespace_is_said_to_be_one_and_no_command_names_it() {
        let (called, walk) = (Called::begun_elsewhere("0192", "acme"), at(Phase::Quiesce));
        let own = keyroll_observe::process(std::process::id()).unwrap().id;
        let who = incarnation(LOCAL, &own);
        let steps = fitted(&called, &walk.state, ways_past(&walk.state, Blocker::Holder(who)));
        let said = said(&called, &walk.state, &steps);
        assert!(said.contains(&format!("end process {} of another PID namespace", own.pid)), "{said}");
        assert!(!said.contains("adopt") && !said.contains("waive"), "{said}");
        let ended =
            incarnation(LOCAL, &keyroll_observe::ProcessId { start_ticks: own.start_ticks + 1, ..own });
        assert!(Called::of_rotation("0192", "acme").has_ended(ended) && !called.has_ended(ended));
    }

    /// `resume` refuses a rotation that is stuck.
    #[test]
    fn a_rotation_that_is_stuck_is_retried() {
        let called = Called::of_rotation("0192", "acme");
        let mut walk = at(Phase::Quiesce);
        assert_eq!(go_on(&called, &walk.state), "keyroll resume 0192");
        walk.say(Fact::PauseAsked);
        assert_eq!(go_on(&called, &walk.state), "keyroll resume 0192");
        walk.say(Fact::AbortAsked);
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        assert_eq!(go_on(&called, &walk.state), "keyroll retry 0192");
    }

    /// Red where a command that has not found something names one that the rotation refuses, or one that ends the old key.
    #[test]
    fn what_was_not_found_is_looked_for_by_a_command_that_the_rotation_takes_and_that_consents_to_nothing() {
        let looks = |walk: &Walk| looks_again("0192", "acme", &walk.state);
        let mut walk = at(Phase::Quiesce);
        assert!(looks(&walk).starts_with("keyroll resume 0192 inspects again"), "{}", looks(&walk));
        walk.say(Fact::AbortAsked);
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        assert!(looks(&walk).starts_with("keyroll retry 0192 inspects again"), "{}", looks(&walk));
        let walk = reach(Row::ConsentPaused);
        assert_eq!(go_on(&Called::of_rotation("0192", "acme"), &walk.state), consent("0192", "acme"));
        assert!(looks(&walk).starts_with("keyroll resume 0192 inspects again"), "{}", looks(&walk));
    }

    #[test]
    fn a_pod_that_uses_the_old_key_is_waived_by_its_name() {
        let called = Called::of_hosts(&["local", "prod"]);
        let shown = user(&called, &port_holder(HostId(1), None, "pod/agent-6d5f-x2x1z/app on prod"));
        assert_eq!((shown.host.as_deref(), shown.pid), (Some("prod"), None));
        assert!(shown.how_to_move.contains("keyroll init --host prod"), "{}", shown.how_to_move);
        assert_eq!(
            shown.or_else.as_deref(),
            Some("keyroll consumer waive prod:pod/agent-6d5f-x2x1z/app --reason WHY")
        );
    }

    #[test]
    fn the_store_is_not_ended_and_not_moved_but_accepted() {
        let pid = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        // Nobody accepts connections at port 1 here.
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(accepts_at(pid, here) && !accepts_at(pid, elsewhere));
        let id = "a1".repeat(16);
        let who = incarnation(LOCAL, &keyroll_observe::process(pid).unwrap().id);
        for phase in [Phase::RollingBack, Phase::Quiesce] {
            let walk = at(phase);
            let state = &walk.state;
            let named = |place: SocketAddr| {
                let called = Called::of_store_at(&id, place);
                let steps = fitted(&called, state, ways_past(state, Blocker::Holder(who)));
                [
                    unexplained(&called, who, state).how_to_move,
                    said(&called, state, &steps),
                    user(&called, &port_holder(LOCAL, Some(pid), "vault")).how_to_move,
                ]
            };
            for text in named(here) {
                assert!(text.starts_with(&format!("keyroll consumer waive {pid} --reason WHY")), "{text}");
                assert!(
                    text.contains(&format!("is the store, which listens at {here}: do not end it")),
                    "{text}"
                );
                assert!(!text.contains("restart") && !text.contains("adopt"), "{text}");
            }
            for text in named(elsewhere) {
                assert!(!text.contains("store"), "{text}");
            }
            // The id is named, as other rotations may be open.
            let [_, all, _] = named(elsewhere);
            let end = format!("keyroll resume {id}");
            assert!(all.ends_with(&end), "{all}");
        }
    }
}
