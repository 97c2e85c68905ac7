//! The pipeline as an operator runs it: keyroll's own commands as child processes, and their events.
//!
//! Only this file knows the command lines and the form of the events.

use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use crate::environment::settings;
use crate::pid::Process;
use crate::script::quoted;

/// The secret's name in the demo's keyroll.toml.
const SECRET: &str = "acme";
/// How long one command may take in all.
const COMMAND_MS_MAX: u64 = 180_000;
/// How long a command may take to pause after it was interrupted.
const PAUSE_MS_MAX: u64 = 15_000;
/// How much of a command's messages is kept for an error, bytes.
const MESSAGES_BYTES_MAX: u64 = 64 * 1024;

/// Calls keyroll in the demo's folder.
pub(crate) struct Pipeline {
    program: PathBuf,
    folder: PathBuf,
}

/// An undeclared process that holds the old value, as keyroll names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    /// The argument of `consumer adopt`: the process id that keyroll printed.
    pub(crate) handle: String,
    /// How it was found: `memory`, `socket at the issuer`.
    pub(crate) found_by: String,
}

/// A copy that still holds the old value, and why it was left.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Residue {
    pub(crate) place: String,
    pub(crate) reason: String,
}

/// The content of one event, as far as the demo needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// The rotation entered this phase.
    Phase(String),
    /// A plan was saved under this id.
    Planned(String),
    /// The rotation is blocked by this holder.
    Blocked(Holder),
    /// How the rotation ended, in more detail than the exit code.
    Closed {
        /// The old key is still alive.
        debt: bool,
        /// The issuer was seen to refuse the old key.
        dead_confirmed: bool,
    },
    /// The command failed for this reason.
    Failed(String),
    /// Something is not visible.
    NotVisible(String),
    /// Anything else.
    Other,
}

/// One event: the whole object, and the part that was understood.
pub(crate) struct Event {
    pub(crate) line: String,
    pub(crate) value: Value,
    pub(crate) news: News,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Paused,
    RolledBack,
    NeedsHuman,
    /// 130: by a signal.
    Interrupted,
    /// Any other status.
    Failed,
}

/// A running command.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    messages: tokio::task::JoinHandle<String>,
    attempted: String,
    deadline: Instant,
}

impl Pipeline {
    pub(crate) fn new(program: PathBuf, folder: PathBuf) -> Self {
        Self { program, folder }
    }

    /// `secret add`, with the value on standard input.
    pub(crate) fn add_secret(&self, id: &str) -> Result<Running, Failure> {
        let path = self.folder.join("first.key");
        let key = File::open(&path).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("read {}", path.display()))
                .because(error)
        })?;
        self.start(&["secret", "add", SECRET, "--id", id], Stdio::from(key))
    }

    /// `plan`.
    pub(crate) fn plan(&self) -> Result<Running, Failure> {
        self.start(&["plan", SECRET], Stdio::null())
    }

    /// `apply`, with consent to end the old key.
    pub(crate) fn apply(&self, plan: &str) -> Result<Running, Failure> {
        self.start(&["apply", plan, &format!("--confirm={SECRET}")], Stdio::null())
    }

    /// `resume`, with consent to end the old key.
    pub(crate) fn resume(&self) -> Result<Running, Failure> {
        self.start(&["resume", &format!("--confirm={SECRET}")], Stdio::null())
    }

    /// `consumer adopt`, for the holder that keyroll named.
    pub(crate) fn adopt(&self, holder: &Holder) -> Result<Running, Failure> {
        let restart = quoted(&self.folder.join("forgotten/restart.sh"))?;
        let env_file = self.folder.join("api/api.env");
        let env_file = env_file.to_string_lossy();
        let words = ["consumer", "adopt", &holder.handle, "--name", "forgotten", "--restart", &restart];
        let pid_file = self.folder.join("forgotten/mailer.pid");
        let pid_file = pid_file.to_string_lossy();
        let starts_from = ["--pid-file", &pid_file, "--env-file", &env_file, "--variable", "ACME_KEY"];
        self.start(&[&words[..], &starts_from].concat(), Stdio::null())
    }

    fn start(&self, words: &[&str], input: Stdio) -> Result<Running, Failure> {
        let attempted = format!("run keyroll {}", words.join(" "));
        let mut command = Command::new(&self.program);
        // The demo must not use the user's own folders or configuration of keyroll.
        for name in settings() {
            command.env_remove(name);
        }
        let mut child = command
            .args(words)
            .arg("--json")
            .arg("--config")
            .arg(self.folder.join("keyroll.toml"))
            .arg("--state")
            .arg(self.folder.join("state"))
            .arg("--keys")
            .arg(self.folder.join("state.keys"))
            // The state exists only during the demo, so the machine's identity does not matter.
            .env("KEYROLL_MACHINE", "demo")
            .current_dir(&self.folder)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::new(Class::Permanent, Code::DemoFailed, attempted.clone()).because(error)
            })?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Failure::new(Class::Permanent, Code::DemoFailed, attempted)
                .because("its output is not connected"));
        };
        let messages = tokio::spawn(async move {
            let mut text = Vec::new();
            let mut err = err.take(MESSAGES_BYTES_MAX);
            let _ = err.read_to_end(&mut text).await;
            // Output beyond the limit is read and dropped, so that the command never blocks.
            let _ = tokio::io::copy(&mut err.into_inner(), &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let lines = BufReader::new(out).lines();
        let deadline = Instant::now() + Duration::from_millis(COMMAND_MS_MAX);
        Ok(Running { child, lines, messages, attempted, deadline })
    }
}

impl Running {
    /// The next event; `None` at the end of the command's output.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let line = match timeout_at(self.deadline, self.lines.next_line()).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return Err(self.failure().because(error)),
            Err(_) => return Err(self.failure().because("it took too long")),
        };
        Ok(line.map(|line| {
            let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            let news = read(&value);
            Event { line, value, news }
        }))
    }

    /// Waits until the command has ended, and returns what it wrote to stderr.
    pub(crate) async fn end(mut self) -> Result<(Ended, String), Failure> {
        let status = match timeout_at(self.deadline, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(self.failure().because(error)),
            Err(_) => return Err(self.failure().because("it took too long")),
        };
        Ok((ended(status), self.messages.await.unwrap_or_default()))
    }

    /// Interrupts the command as Ctrl-C does, so that it pauses, and waits until it has.
    pub(crate) async fn interrupt(mut self) {
        if let Some(process) = self.child.id().and_then(Process::open) {
            process.interrupt();
        }
        let limit = Instant::now() + Duration::from_millis(PAUSE_MS_MAX);
        while let Ok(Ok(Some(_))) = timeout_at(limit, self.lines.next_line()).await {}
        if timeout_at(limit, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// The failure to report when this command does not do what it should.
    pub(crate) fn failure(&self) -> Failure {
        Failure::new(Class::Unknown, Code::DemoFailed, self.attempted.clone())
    }
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(0) => Ended::Done,
        Some(4) => Ended::Paused,
        Some(5) => Ended::RolledBack,
        Some(6) => Ended::NeedsHuman,
        Some(130) => Ended::Interrupted,
        Some(_) | None => Ended::Failed,
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// Interprets one event.
fn read(event: &Value) -> News {
    match event.get("type").and_then(Value::as_str) {
        Some("phase") => text(event, "phase").map_or(News::Other, News::Phase),
        Some("plan" | "planned" | "rotation") => text(event, "id").map_or(News::Other, News::Planned),
        Some("blocked") => holder(event).map_or(News::Other, News::Blocked),
        Some("not_visible") => {
            let part = |key| text(event, key).unwrap_or_default();
            News::NotVisible(format!("{}: {}", part("what"), part("why")))
        }
        Some("error") => News::Failed(failure(event)),
        Some("summary") => News::Closed {
            debt: text(event, "outcome").is_some_and(|outcome| outcome == "debt"),
            dead_confirmed: event.get("dead_confirmed").and_then(Value::as_bool).unwrap_or_default(),
        },
        Some(_) | None => News::Other,
    }
}

fn residue(value: &Value) -> Option<Residue> {
    Some(Residue { place: text(value, "place")?, reason: text(value, "reason").unwrap_or_default() })
}

/// The residues that a summary lists.
pub(crate) fn residues(event: &Value) -> Vec<Residue> {
    let all = event.get("residues").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(residue).collect()
}

/// The holder that an event names.
fn holder(event: &Value) -> Option<Holder> {
    let holder = event.get("holder")?;
    // A configured consumer that is not ready yet also keeps a gate closed; it must not be adopted.
    text(holder, "how_to_move").filter(|how| how.contains("consumer adopt"))?;
    let pid = holder.get("pid").and_then(Value::as_u64).map(|pid| pid.to_string());
    let name = text(holder, "name");
    let handle = pid.or_else(|| name.clone())?;
    Some(Holder {
        name: name.unwrap_or_else(|| format!("process {handle}")),
        handle,
        found_by: text(holder, "found_by").unwrap_or_default(),
    })
}

/// An error in one line.
fn failure(event: &Value) -> String {
    let causes =
        event.get("causes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let attempted = format!("could not {}", text(event, "attempted").unwrap_or_default());
    let line = causes.fold(attempted, |line, cause| format!("{line}: {cause}"));
    let code = text(event, "code").map(|code| format!("{code}: ")).unwrap_or_default();
    let help = text(event, "help").map(|help| format!("; help: {help}")).unwrap_or_default();
    format!("{code}{line}{help}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_understood_or_passed_on() {
        assert_eq!(read(&json!({ "type": "phase", "phase": "mint" })), News::Phase("mint".into()));
        assert_eq!(read(&json!({ "type": "plan", "id": "01J" })), News::Planned("01J".into()));
        assert_eq!(read(&json!({ "type": "news to us" })), News::Other);
        assert_eq!(read(&Value::Null), News::Other);
        let left = json!({ "type": "summary", "outcome": "debt", "dead_confirmed": false,
            "residues": [{ "place": "/a", "reason": "history" }] });
        assert_eq!(read(&left), News::Closed { debt: true, dead_confirmed: false });
        assert_eq!(residues(&left), [Residue { place: "/a".into(), reason: "history".into() }]);
        let error = json!({ "type": "error", "attempted": "plan", "code": "K0809", "causes": ["a", "b"], "help": "h" });
        assert_eq!(read(&error), News::Failed("K0809: could not plan: a: b; help: h".into()));
    }

    #[test]
    fn a_holder_is_named_by_what_can_be_adopted() {
        let event = json!({ "type": "blocked", "gate": "disable",
            "holder": { "name": "mailer", "pid": 42, "found_by": "memory", "how_to_move": "keyroll consumer adopt 42" } });
        let News::Blocked(holder) = read(&event) else { panic!("not understood") };
        assert_eq!((holder.name.as_str(), holder.handle.as_str()), ("mailer", "42"));
        assert_eq!(holder.found_by, "memory");
        assert_eq!(read(&json!({ "type": "blocked", "holder": {} })), News::Other);
    }
}
