//! What a restart would make live beside the value, for a person.

use keyroll_port::Live;
use keyroll_rotation::Difference;

use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::reasons::quoted;
use crate::records::recorded::Opened;
use crate::records::saved::Saved;
use crate::ui::{Event, Ui};

/// Shows what restarts would make live.
pub(crate) fn show(live: &[Live], ui: &mut Ui) {
    for one in live {
        ui.event(event(one, false));
    }
    if !live.is_empty() {
        ui.note("restarts make that live beside the new key: take it back and plan again, or accept it by name, as below");
    }
}

/// The command that carries a plan out, with what has to be accepted for that.
pub(crate) fn apply_with(live: &[Live], plan: &str) -> String {
    format!("keyroll apply {plan}{}", accept(live.iter().map(|one| one.difference.name.as_ref())))
}

fn accept<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!(" --accept {}", quoted(name))).collect()
}

/// What was accepted of what a plan showed. An emergency is not held up by what nobody accepted.
///
/// # Errors
/// `K0849`: something else would become live than the plan showed. `K0851`: something was not accepted.
pub(crate) fn accepted(
    saved: &Saved,
    live: &[Live],
    by_name: &[String],
    emergency: bool,
) -> Result<Vec<Difference>, Problem> {
    let differences = || live.iter().map(|one| &one.difference);
    let named = |difference: &&Difference| by_name.iter().any(|name| **name == *difference.name);
    if emergency {
        return Ok(differences().filter(named).cloned().collect());
    }
    let shown = |one: &Live| saved.seen.live.get(&*one.difference.name) == Some(&one.difference.digest);
    let because = |problem: Problem, of: &[&Live]| {
        of.iter()
            .fold(problem, |problem, one| problem.because(format!("{}: {}", one.difference.name, one.what)))
    };
    let other: Vec<&Live> = live.iter().filter(|one| !shown(one)).collect();
    if !other.is_empty() {
        let problem = Problem::new("K0849", "apply the plan: somebody made another edit than it showed");
        return Err(because(problem, &other).help(format!("keyroll plan {}", saved.secret)));
    }
    let open: Vec<&Live> = live.iter().filter(|one| !named(&&one.difference)).collect();
    if !open.is_empty() {
        let problem =
            Problem::new("K0851", "apply the plan: restarts would make more live than the new value");
        let all = accept(differences().map(|one| one.name.as_ref()));
        let help = format!("take the edits back and plan again, or: keyroll apply {}{all}", saved.id);
        return Err(because(problem, &open).help(help).exits(Exit::NeedsPerson));
    }
    Ok(differences().cloned().collect())
}

/// What is accepted of that for which an open rotation stands still: exactly what was shown then.
///
/// # Errors
/// `K0849`: it does not stand still for something of this name.
pub(crate) fn accepted_later(opened: &Opened, by_name: &[String]) -> Result<Vec<Difference>, Problem> {
    let known = |name: &String| {
        let mut of = opened.state.refused().iter().chain(opened.state.accepted());
        of.find(|difference| *difference.name == **name).cloned().ok_or_else(|| {
            let names: Vec<&str> = opened.state.refused().iter().map(|one| one.name.as_ref()).collect();
            let why = match names.is_empty() {
                true => "the rotation does not stand still for anything of that kind".to_owned(),
                false => format!("it stands still for: {}", names.join(", ")),
            };
            Problem::new("K0849", format!("accept {name}"))
                .because(why)
                .help(format!("keyroll resume {}: it looks again, and shows what there is", opened.id))
        })
    };
    by_name.iter().map(known).collect()
}

/// One of them, as it is shown. `refused`: nothing was done for its sake.
pub(crate) fn event(live: &Live, refused: bool) -> Event {
    let since = live.since_unix_ms.and_then(|ms| i64::try_from(ms).ok());
    let since = since.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    Event::Live {
        name: live.difference.name.to_string(),
        what: live.what.clone(),
        since: since.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        refused,
    }
}
