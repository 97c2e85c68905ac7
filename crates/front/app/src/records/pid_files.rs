//! The pid files because of which no look at the processes succeeds, as blockers. Nothing of a rotation goes on without that look, and
//! the journal does not say which file it is.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_manager::pid_file_refused;
use keyroll_port::Class;
use keyroll_rotation::{ConsumerId, Next, State};
use rustix::process::geteuid;

use super::missing_proof::still_runs;
use super::next_words::command;
use super::plan_names::Called;
use crate::operator::{Holder, StepShown};
use crate::shell_words::quoted;

/// Each pid file because of which no look at the processes of this machine succeeds now.
pub(crate) fn refused(called: &Called, state: &State) -> Vec<Holder> {
    if state.ended() {
        return Vec::new();
    }
    let one = |(id, slot, path): &(ConsumerId, u8, PathBuf)| pid_file(called, state, (*id, *slot), path);
    called.here.pid_files().iter().filter_map(one).collect()
}

fn pid_file(called: &Called, state: &State, (id, slot): (ConsumerId, u8), path: &Path) -> Option<Holder> {
    let failure = pid_file_refused(path)?;
    let why = failure.source().map(ToString::to_string).unwrap_or_default();
    let name = called.consumer(id);
    let mend = match (failure.class, known(state, id, slot)) {
        (Class::Retryable, Some(pid)) if is_own(path) => {
            format!("echo {pid} >{}", quoted(&path.display().to_string()))
        }
        (Class::Retryable, Some(pid)) => format!("write {pid} into {}", path.display()),
        (Class::Retryable, None) => format!("write the process id of {name} into {}", path.display()),
        (Class::Permanent | Class::Unknown, _) => {
            failure.help.unwrap_or_else(|| format!("let keyroll read {}", path.display()))
        }
    };
    let on = command(called, state, keyroll_rotation::go_on(state));
    let fix = format!("correct the commands of {name} in keyroll.toml");
    let correct = command(called, state, Next::Correct(id));
    let or_else = format!("{fix}, then {}, then {}", correct.command, on.command);
    Some(Holder {
        kind: "pid file",
        found_by: format!("{why}: keyroll cannot find the processes of {name}, and waits for that"),
        how_to_move: format!("{mend}, then {}", on.command),
        or_else: Some(or_else),
        steps: vec![
            StepShown { first: Some(mend), commands: vec![on.clone()] },
            StepShown { first: Some(fix), commands: vec![correct, on] },
        ],
        ..Holder::nameless(&path.display().to_string())
    })
}

/// Whether nobody else can put a link into the place of this file before a command that writes it is pasted.
fn is_own(path: &Path) -> bool {
    let above = path.parent().and_then(|above| fs::metadata(above).ok());
    above.is_some_and(|above| above.uid() == geteuid().as_raw() && above.mode() & 0o022 == 0)
}

/// The only process of an instance that the last look saw, if it still runs.
fn known(state: &State, id: ConsumerId, slot: u8) -> Option<u32> {
    let seen = state.look()?.seen.instances.iter();
    let its = seen.filter(|it| it.consumer == Some(id) && it.slot == slot).map(|it| it.who);
    let mut its = its.filter(|who| still_runs(*who));
    let only = its.next()?.pid();
    its.next().is_none().then_some(only).flatten()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is whoever empties the file")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use keyroll_host::{LOCAL, incarnation};
    use keyroll_rotation::{Fact, Phase, Query, Want, wants};

    use super::super::files_here::FilesHere;
    use super::super::walk::{self, Walk};
    use super::super::ways::ways;
    use super::super::{blockers, reasons};
    use super::*;

    /// The issuer's console was named, and every consumer kept the new key.
    #[test]
    fn an_empty_pid_file_is_named_with_the_process_that_belongs_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("api.pid");
        let own = keyroll_observe::process(std::process::id()).unwrap().id;
        let mut walk = Walk::of(walk::plan());
        walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
        let mut seen = walk.look();
        seen.instances[0].who = incarnation(LOCAL, &own);
        walk.say(Fact::Enumerated(seen));
        let called = |path: &Path| {
            let mut called = Called::of_rotation("0192", "acme");
            called.here = FilesHere::of_pid_file(ConsumerId(0), path);
            called
        };
        assert!(refused(&called(&file), &walk.state).is_empty(), "nothing runs: there is no such file");
        for content in ["", "nonsense\n", "0\n"] {
            fs::write(&file, content).unwrap();
            let all = refused(&called(&file), &walk.state);
            let [one] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!((one.kind, one.name.as_str()), ("pid file", file.to_str().unwrap()));
            assert!(one.found_by.starts_with("it holds no process id: "), "{one:?}");
            let write = format!("echo {} >{}", own.pid, file.display());
            assert_eq!(one.how_to_move, format!("{write}, then keyroll resume 0192"));
            assert_eq!(blockers::all(&called(&file), &walk.state)[0], *one);
        }
        // Others may put a link there before the command is pasted.
        fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        let all = refused(&called(&file), &walk.state);
        assert!(all[0].how_to_move.starts_with(&format!("write {} into ", own.pid)), "{all:?}");
        fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&file, format!("{}\n", own.pid)).unwrap();
        assert!(refused(&called(&file), &walk.state).is_empty());
    }

    /// The old key was seen to work, and no look came: the issuer has nothing to do with it.
    #[test]
    fn a_rollback_without_a_look_does_not_name_the_issuer() {
        let mut walk = Walk::of(walk::plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
        walk.wait(100_000);
        let called = Called::of_rotation("0192", "acme");
        let hold = walk.state.hold().unwrap();
        let why = reasons::reason_text(&called, &walk.state, hold.reason());
        assert_eq!(why, "roll back did not finish in time");
        assert_eq!(ways(&called, &walk.state, false, false).unwrap().next, "keyroll retry 0192");
    }
}
