use std::thread;
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::operator::Operator as _;
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_codes::Code;
use keyroll_http::percent_encode;
use serde_json::{Value, json};

use super::door::{Door, Unanswered};
use crate::context::Context;

/// The pause between two readings.
const LOOK: Duration = Duration::from_secs(1);
/// How often in a row a reading may fail, such as while the server starts again.
const FAILURES_MAX: u32 = 15;

/// What a command that reads wrote at the server, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) exit: Exit,
    out: String,
    err: String,
}

/// Has the server run a command that reads.
pub(super) fn said(words: &[String], json: bool, door: &Door) -> Result<Said, Unanswered> {
    let body = json!({ "words": words, "json": json });
    let answer = door.post("run the command", "/v1/commands".to_owned(), &body)?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = answer.get("exit").and_then(Value::as_u64);
    let exit = Exit::ALL.iter().find(|(_, known, _)| Some(u64::from(*known)) == number);
    let exit = exit.map_or(Exit::Failed, |(exit, _, _)| *exit);
    Ok(Said { exit, out: text("out"), err: text("err") })
}

/// Shows it as if the command had run here.
pub(super) fn show(said: &Said, context: &mut Context) {
    if context.ui.look.json {
        context.ui.file(redact::pass(&said.out).as_bytes());
    } else if !said.out.trim().is_empty() {
        context.ui.lines(said.out.trim_end());
    }
    if !said.err.trim().is_empty() {
        context.ui.note(said.err.trim_end());
    }
}

/// A text of the server names commands without options. Says which they need here, unless the environment names the server.
pub(super) fn show_options(said: &Said, door: &Door, context: &mut Context) {
    let names = [&said.out, &said.err].into_iter().any(|text| text.contains("keyroll "));
    if names && !door.options.is_empty() {
        context.ui.aside(&format!("run these commands with: {}", door.options.trim_end()));
    }
}

/// As what a command ends that shows the status until there is no driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// `status`: it is no failure that a rotation was rolled back.
    AsStatus,
    /// A command that drives: it is one.
    AsDriver,
}

impl Ends {
    fn exit(self, status: Exit, rolled_back: bool) -> Exit {
        match (self, status) {
            (Self::AsDriver, Exit::Done) if rolled_back => Exit::RolledBack,
            (Self::AsDriver | Self::AsStatus, status) => status,
        }
    }
}

/// Shows the status, of one rotation or of all, whenever it changes, until none of them has a driver. Ends as the last
/// reading did, or as the driver would.
pub(super) fn watch(
    id: Option<&str>,
    ends: Ends,
    door: &Door,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let (mut last, mut failures, mut first) = (None::<Said>, 0, true);
    loop {
        match look(id, context.ui.look.json, door) {
            Ok((standing, said)) => {
                failures = 0;
                if std::mem::take(&mut first) && standing.moves {
                    let again = id.map(|id| format!(" {id}")).unwrap_or_default();
                    context.ui.aside(&format!(
                        "Ctrl-C ends only this view, and nothing at the server; to see it again: keyroll status -w{again}"
                    ));
                }
                if let Some(said) = said {
                    if last.as_ref().is_none_or(|last| last.content() != said.content()) {
                        if last.is_some() && !context.ui.look.json && !said.out.trim().is_empty() {
                            context.ui.data("");
                        }
                        show(&said, context);
                    }
                    last = Some(said);
                }
                if !standing.moves {
                    context.ui.settle();
                    if let Some(said) = &last {
                        show_options(said, door, context);
                    }
                    let exit = last.map_or(Exit::Paused, |said| ends.exit(said.exit, standing.rolled_back));
                    return standing.refused.map_or(Ok(exit), |problem| Err(problem.exits(exit)));
                }
            }
            Err(Unanswered { again: true, .. }) if failures < FAILURES_MAX => failures += 1,
            Err(Unanswered { problem, .. }) => return Err(problem),
        }
        thread::sleep(LOOK);
    }
}

impl Said {
    /// What it says, without the times of its events.
    fn content(&self) -> (String, &str) {
        (content(&self.out), self.err.as_str())
    }
}

/// What a reading says, without the time at which each event was written.
fn content(out: &str) -> String {
    let without_time = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut event)) => {
            event.remove("at");
            Value::Object(event).to_string() + "\n"
        }
        Ok(_) | Err(_) => line.to_owned() + "\n",
    };
    out.lines().map(without_time).collect()
}

/// How a rotation stands, or all of them, and the status as text; none before it has begun. The text is read
/// last, so that it is never older than the end of the driver.
fn look(id: Option<&str>, json: bool, door: &Door) -> Result<(Standing, Option<Said>), Unanswered> {
    let mut words = vec!["status".to_owned()];
    words.extend(id.map(str::to_owned));
    let standing = match id {
        Some(id) => one(id, door)?,
        None => {
            let all = all(door)?;
            Standing { moves: all.iter().any(moves), begun: true, rolled_back: false, refused: None }
        }
    };
    let said = standing.begun.then(|| said(&words, json, door)).transpose()?;
    Ok((standing, said))
}

/// How a rotation stands at the server.
struct Standing {
    /// It is driven, or will be in its turn.
    moves: bool,
    /// The journal has it.
    begun: bool,
    /// It ended with the old key.
    rolled_back: bool,
    /// Why its driver ended.
    refused: Option<Problem>,
}

fn one(id: &str, door: &Door) -> Result<Standing, Unanswered> {
    let rotation = door.get("read the status of the rotation", path(id, ""))?;
    if text(&rotation, "state") == Some("refused") {
        return Err(Unanswered::never(refused(&rotation)));
    }
    let begun = rotation.get("status").is_some_and(|status| !status.is_null());
    // The journal does not have what a driver met that could not go on.
    let refused = text(&rotation, "code").map(|_| refused(&rotation));
    Ok(Standing { moves: moves(&rotation), begun, rolled_back: rolled_back(&rotation), refused })
}

/// Every rotation that the server shows.
fn all(door: &Door) -> Result<Vec<Value>, Unanswered> {
    let answer = door.get("read the status", "/v1/rotations".to_owned())?;
    Ok(answer.get("rotations").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The path of a rotation, and of what is asked of it.
pub(super) fn path(id: &str, what: &str) -> String {
    let mut path = "/v1/rotations/".to_owned();
    percent_encode(&mut path, id.as_bytes());
    path + what
}

/// The id that was typed, or that of the only open rotation.
pub(super) fn open_id(typed: Option<&str>, door: &Door) -> Result<String, Problem> {
    if let Some(id) = typed {
        return Ok(id.to_owned());
    }
    let all = all(door).map_err(|unanswered| unanswered.problem)?;
    let open = all.iter().filter(|one| !matches!(text(one, "state"), Some("ended" | "refused")));
    let ids: Vec<&str> = open.filter_map(|one| text(one, "rotation")).collect();
    let missing = || Problem::new(Code::NameNotFound, "find the rotation at the server");
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(missing().because("no rotation is open").help("keyroll plan NAME makes a plan")),
        ids => Err(missing()
            .because(format!("{} rotations are open: {}", ids.len(), ids.join(", ")))
            .help("run the same command with the id of one of them")),
    }
}

fn moves(rotation: &Value) -> bool {
    matches!(text(rotation, "state"), Some("queued" | "driven"))
}

fn rolled_back(rotation: &Value) -> bool {
    rotation.get("status").and_then(|status| text(status, "outcome")) == Some("rolled_back")
}

/// A rotation that could not be begun or resumed, as its driver said it.
fn refused(rotation: &Value) -> Problem {
    let code = text(rotation, "code").and_then(Code::parse).unwrap_or(Code::ServerRefused);
    let why = text(rotation, "why").unwrap_or("the server did not say why");
    let problem = Problem::new(code, "drive the rotation at the server").because(why);
    match text(rotation, "next") {
        Some(next) => problem.help(next),
        None => problem,
    }
}

/// A member of an answer, if it is a text.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_status_at_another_time_is_no_change() {
        let at = |second: u32, state: &str| format!("{{\"at\":\"{second}\",\"type\":\"{state}\"}}\nplain\n");
        assert_eq!(content(&at(1, "a")), content(&at(2, "a")));
        assert_ne!(content(&at(1, "a")), content(&at(1, "b")));
    }

    /// Red where `apply` of a rotation that went back ends as one that is done.
    #[test]
    fn a_rotation_that_was_rolled_back_is_not_done_for_who_asked_for_it() {
        assert!(rolled_back(&json!({ "status": { "outcome": "rolled_back" } })));
        for other in [json!({ "status": { "outcome": "done" } }), json!({ "status": null })] {
            assert!(!rolled_back(&other), "{other}");
        }
        assert_eq!(Ends::AsDriver.exit(Exit::Done, true), Exit::RolledBack);
        assert_eq!(Ends::AsDriver.exit(Exit::Done, false), Exit::Done);
        assert_eq!(Ends::AsDriver.exit(Exit::NeedsPerson, true), Exit::NeedsPerson, "a debt");
        assert_eq!(Ends::AsStatus.exit(Exit::Done, true), Exit::Done);
    }

    #[test]
    fn an_id_is_one_part_of_a_path() {
        assert_eq!(path("01a2-3", "/resume"), "/v1/rotations/01a2-3/resume");
        assert_eq!(path("../x?y", ""), "/v1/rotations/..%2Fx%3Fy");
    }

    #[test]
    fn a_rotation_moves_while_it_has_a_driver_or_will_have_one() {
        for (state, moving) in
            [("queued", true), ("driven", true), ("waiting", false), ("ended", false), ("new", false)]
        {
            assert_eq!(moves(&json!({ "state": state })), moving, "{state}");
        }
        let rotation = json!({ "state": "refused", "code": "K0838", "why": "a file changed" });
        let problem = refused(&rotation);
        assert_eq!((problem.code, problem.causes), (Code::PlanStale, vec!["a file changed".to_owned()]));
    }
}
