use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_manager::{Find, Reread};
use keyroll_port::Failure;

use crate::problem::Problem;

/// How a process is found that its executable does not tell from others.
const PID_FILE: &str = "name the file to which its restart writes the process id: --pid-file FILE";

/// The executable of a process, and its script if it is an interpreter. No other word of its command line is stored,
/// because it may be a value. `again` says how the operator looks again, where there is no such process.
pub(super) fn executable(pid: u32, again: &dyn Fn() -> String) -> Result<(String, Option<String>), Problem> {
    let problem = || adopting().help("name a file with its process id: --pid-file FILE");
    if pid <= 1 || pid == std::process::id() {
        return Err(adopting().because("this process cannot be a consumer"));
    }
    let folder = PathBuf::from(format!("/proc/{pid}"));
    if !folder.exists() {
        return Err(adopting().because(format!("there is no process {pid}")).help(again()));
    }
    let path = std::fs::read_link(folder.join("exe")).map_err(|error| {
        problem().because(format!("the executable of process {pid} is not visible")).because_of(&error)
    })?;
    let path = path.to_str().filter(|path| !path.ends_with(" (deleted)"));
    let path = path.ok_or_else(|| problem().because("its executable was deleted or replaced"))?;
    let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    let script = line.split(|byte| *byte == 0).nth(1).and_then(|word| std::str::from_utf8(word).ok());
    let here = std::fs::read_link(folder.join("cwd")).unwrap_or_default();
    let script =
        script.filter(|word| !word.is_empty() && !word.starts_with('-') && here.join(word).is_file());
    let rule = (path.to_owned(), script.map(str::to_owned));
    refuse_wide(&rule)?;
    Ok(rule)
}

/// Refuses a rule that matches several processes.
fn refuse_wide(rule: &(String, Option<String>)) -> Result<(), Problem> {
    let find = Find::Executable { exe: PathBuf::from(&rule.0), argument: rule.1.clone() };
    let run = Reread { instances: Vec::new(), find };
    let found = keyroll_manager::instances(&run).map_err(unseen)?;
    let mains = found.into_iter().filter(|process| process.main).count();
    if mains <= 1 {
        return Ok(());
    }
    Err(adopting()
        .because(format!(
            "{mains} processes run {}: after a restart keyroll could not tell this one from the others",
            rule.0
        ))
        .help(PID_FILE))
}

/// Some processes are hidden, so another one may run the same program; root cannot see more either.
fn unseen(failure: Failure) -> Problem {
    Problem::from(failure).help(PID_FILE)
}

/// The help for a consumer that cannot prove the new value.
pub(in crate::session) const ADD_CHECK: &str =
    "add --check \"COMMAND {copy}\", a command that succeeds only with a working key in that copy";

pub(super) fn adopting() -> Problem {
    Problem::new(Code::ConsumerNotAdopted, "adopt the consumer")
}

#[cfg(test)]
mod tests {
    use keyroll_port::Class;

    use super::*;

    #[test]
    fn a_process_that_cannot_be_told_apart_is_adopted_by_its_pid_file_and_not_by_another_user() {
        let hidden = Failure::new(Class::Retryable, Code::ProcessesHidden, "list the processes")
            .help("run keyroll as root or as the consumer's user");
        let problem = unseen(hidden);
        assert!(problem.help.as_deref().is_some_and(|help| help.ends_with("--pid-file FILE")), "{problem:?}");
    }
}
