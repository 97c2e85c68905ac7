//! Why a new process does not count as loaded. This is for the operator only; nothing else depends on it.

use keyroll_codes::Code;
use keyroll_observe::{After, ProcessId, started_after};
use keyroll_port::{Class, Failure};
use keyroll_rotation::Which;

use super::Local;
use super::identity::version_name;
use super::running::Running;

/// The evidence in the environment and the memory of a process about a version.
pub(super) enum Loaded {
    /// They hold the version.
    Yes,
    /// They do not show the version.
    No,
    /// It is a new process and uses the other version: these variables of its environment hold that version, or, if
    /// there are none, its memory holds only that version.
    Other(Vec<String>),
}

impl Local {
    /// Makes a remark once for each process and version. A process from before the last restart is about to end and
    /// gets none.
    pub(super) fn remark_other(&self, one: &Running, which: Which, variables: &[String]) {
        let mut memo = self.memo();
        let restarted = memo.applied.get(&(one.consumer.0, one.slot));
        let is_new = restarted.is_none_or(|at| started_after(&one.process, *at) != After::No);
        if !is_new || !memo.remarked.insert((self.incarnation(&one.process), which)) {
            return;
        }
        let name = self.setup.consumer(one.consumer).map_or("?", |consumer| consumer.name.as_str());
        memo.remarks.push(remark(&one.process, name, which, variables));
    }

    /// The remarks since the last answer.
    pub(super) fn take_remarks(&self) -> Vec<Failure> {
        std::mem::take(&mut self.memo().remarks)
    }
}

fn remark(process: &ProcessId, name: &str, which: Which, variables: &[String]) -> Failure {
    let (wanted, held) = (version_name(which), version_name(which.other()));
    let attempted = format!("see that process {} of '{name}' has loaded the {wanted} value", process.pid);
    let failure = Failure::new(Class::Retryable, Code::OtherSourceWins, attempted);
    if variables.is_empty() {
        let why = format!("it was started anew, and only the {held} value was found in its memory");
        return failure.because(why).help(
            "see from which file or service it reads the value, and name that in the consumer's `files`; \
             then restart it",
        );
    }
    let named = variables.join(", ");
    let word = if variables.len() == 1 { "variable" } else { "variables" };
    failure
        .because(format!("it was started with the {held} value in its environment {word} {named}"))
        .help(format!("take {named} out of what starts it (a unit, a script, a shell), and restart it there"))
}
