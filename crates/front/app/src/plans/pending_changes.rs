//! The pending changes that a restart would make live, as shown to the operator.

use keyroll_codes::Code;
use keyroll_port::PendingChange;
use keyroll_rotation::{Difference, State};

use crate::exit::Exit;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::recorded::Opened;
use crate::records::saved_plan::Saved;
use crate::shell_words::quoted;

/// Shows the pending changes.
pub fn show(live: &[PendingChange], operator: &mut dyn Operator) {
    for one in live {
        operator.event(event(one, false));
    }
    if !live.is_empty() {
        operator.note("a restart would make these pending changes live: undo them and plan again, or accept them by name, \
         as below");
    }
}

/// The names by which the pending changes are accepted.
pub fn names(live: &[PendingChange]) -> Vec<String> {
    live.iter().map(|one| one.difference.name.to_string()).collect()
}

/// The command that applies a plan, with the names of the changes to accept. `options`: those of keyroll itself, with a blank
/// behind them.
pub fn apply_with(options: &str, plan: &str, names: &[String]) -> String {
    format!("keyroll {options}apply {plan}{}", accept(names.iter().map(String::as_str)))
}

fn accept<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!(" --accept {}", quoted(name))).collect()
}

/// The accepted pending changes of a plan. An emergency does not wait for an acceptance.
///
/// # Errors
/// `K0851`: a restart would make other changes live than the plan showed, or a change was not accepted.
pub fn accepted(
    saved: &Saved,
    live: &[PendingChange],
    by_name: &[String],
    emergency: bool,
) -> Result<Vec<Difference>, Problem> {
    let differences = || live.iter().map(|one| &one.difference);
    let named = |difference: &&Difference| by_name.iter().any(|name| **name == *difference.name);
    if emergency {
        return Ok(differences().filter(named).cloned().collect());
    }
    let shown =
        |one: &PendingChange| saved.seen.live.get(&*one.difference.name) == Some(&one.difference.digest);
    let because = |problem: Problem, of: &[&PendingChange]| {
        of.iter()
            .fold(problem, |problem, one| problem.because(format!("{}: {}", one.difference.name, one.what)))
    };
    let other: Vec<&PendingChange> = live.iter().filter(|one| !shown(one)).collect();
    if !other.is_empty() {
        let problem = Problem::new(
            Code::PendingChange,
            "apply the plan: a pending change differs from the one it showed",
        );
        return Err(because(problem, &other).help(format!("keyroll plan {}", saved.secret)));
    }
    let open: Vec<&PendingChange> = live.iter().filter(|one| !named(&&one.difference)).collect();
    if !open.is_empty() {
        let problem =
            Problem::new(Code::PendingChange, "apply the plan: restarts would make pending changes live");
        let all = accept(differences().map(|one| one.name.as_ref()));
        let help = format!("undo the edits and plan again, or: keyroll apply {}{all}", saved.id);
        return Err(because(problem, &open).help(help).exits(Exit::NeedsPerson));
    }
    Ok(differences().cloned().collect())
}

/// The accepted changes of a rotation that is paused for them: exactly those that were shown.
///
/// # Errors
/// `K0851`: the rotation is not paused for a change of this name.
pub fn accepted_later(opened: &Opened, by_name: &[String]) -> Result<Vec<Difference>, Problem> {
    shown_before(&opened.state, by_name)
}

/// The same of a rotation by its state.
pub(crate) fn shown_before(state: &State, by_name: &[String]) -> Result<Vec<Difference>, Problem> {
    let known = |name: &String| {
        let mut of = state.refused().iter().chain(state.accepted());
        of.find(|difference| *difference.name == **name).cloned().ok_or_else(|| {
            let names: Vec<&str> = state.refused().iter().map(|one| one.name.as_ref()).collect();
            let why = match names.is_empty() {
                true => "the rotation is not waiting for a pending change".to_owned(),
                false => format!("it is waiting for: {}", names.join(", ")),
            };
            Problem::new(Code::PendingChange, format!("accept {name}"))
                .because(why)
                .mend("leave --accept out: the rotation compares again, and shows the pending changes")
        })
    };
    by_name.iter().map(known).collect()
}

/// One pending change as it is shown. `refused`: it prevented the restart.
pub fn event(live: &PendingChange, refused: bool) -> Event {
    let since = live.since_unix_ms.and_then(|ms| i64::try_from(ms).ok());
    let since = since.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    Event::Live {
        name: live.difference.name.to_string(),
        what: live.what.clone(),
        since: since.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        refused,
    }
}
