use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_manager::{Find, Reread};

use crate::problem::Problem;

/// The executable of a process, and its script if it is an interpreter. No other word of its command line is stored,
/// because it may be a value.
pub(super) fn executable(pid: u32) -> Result<(String, Option<String>), Problem> {
    let problem = || adopting().help("name a file with its process id: --pid-file FILE");
    if pid <= 1 || pid == std::process::id() {
        return Err(adopting().because("this process cannot be a consumer"));
    }
    let folder = PathBuf::from(format!("/proc/{pid}"));
    if !folder.exists() {
        return Err(adopting().because(format!("there is no process {pid}")).help(
            "keyroll resume inspects again and names the processes and copies that still use the old key",
        ));
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
    let mains = keyroll_manager::instances(&run)?.into_iter().filter(|process| process.main).count();
    if mains <= 1 {
        return Ok(());
    }
    Err(adopting()
        .because(format!(
            "{mains} processes run {}: after a restart keyroll could not tell this one from the others",
            rule.0
        ))
        .help("name the file to which its restart writes the process id: --pid-file FILE"))
}

/// The help for a consumer that cannot prove the new value.
pub(in crate::session) const ADD_CHECK: &str =
    "add --check \"COMMAND {copy}\", a command that succeeds only with a working key in that copy";

pub(super) fn adopting() -> Problem {
    Problem::new(Code::ConsumerNotAdopted, "adopt the consumer")
}
