//! Adapters: programs for managers that keyroll does not know. An adapter answers each request line with one line.

mod conformance;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_http::strict_json::{self, JsonDefect};
use keyroll_observe::{Listing, ProcessId};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::de::DeserializeOwned;

use crate::command::{Ended, Output, With, run};
use crate::converse::{good_words, one_line};
use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::Notice::Away;
use crate::facts::nightly;
use crate::find::{list, with_workers};
use crate::restart::CommandFailure;
use crate::settle::{Settling, mains, question, settle};
use crate::{Applied, AppliedBy, Attempt, CommandLine, Comparison, InstanceProcess, ManagerFact, Workload};
pub use conformance::{TriedRule, check_adapter};
pub use wire::adapter_schema;
use wire::{Ask, Description, Effect, PROTOCOL, Processes, Refusal, Request, Settled, Takes};

/// How long the answer to a question may take, milliseconds.
const ASK_MS_MAX: u64 = 10_000;

/// A service behind an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The adapter. keyroll starts it for each request and gives it no value: not in its arguments, not in its
    /// environment, not in the request.
    pub command: CommandLine,
    /// The instance, where there are several.
    pub instance: Option<String>,
}

/// Why there is no usable answer.
struct NoAnswer {
    why: String,
    /// Its own message, which may hold a value and must be redacted before it is shown.
    said: Option<SecretBytes>,
    /// The adapter reports that it did nothing.
    nothing_done: bool,
}

impl NoAnswer {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), said: None, nothing_done: false }
    }
}

impl Adapter {
    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let description = self.describe()?;
        let before = mains(&self.instances()?);
        let applied: wire::Applied = self.asked(Ask::Apply, deadline, started)?;
        if !applied.applied {
            return Err(self
                .failed(Class::Unknown, Ask::Apply)
                .because("it answered that it was not applied"));
        }
        self.await_settled(deadline)?;
        let what = format!("the service behind {} {}", description.name, description.version);
        let gone = match description.takes {
            Takes::Restart => before.clone(),
            Takes::Reload => std::collections::BTreeSet::new(),
        };
        let see = format!("`{}`", self.command.name());
        let of = Settling {
            what: &what,
            see: &see,
            before: &gone,
            at_least: before.len().max(1),
            fewer_after: None,
        };
        settle(&of, deadline, &mut || Ok(mains(&self.instances()?)))?;
        Ok(Applied::without_output(format!("{} {} applied", description.name, description.version)))
    }

    fn await_settled(&self, deadline: Instant) -> Result<(), Failure> {
        loop {
            let settled: Settled = self
                .asked(Ask::Settled, soon(), &mut |_| {})
                .map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
            if settled.settled {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.failed(Class::Unknown, Ask::Settled).because("it had not settled in time"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let named: Processes = self.asked(Ask::Instances, soon(), &mut |_| {}).map_err(question)?;
        let listing = list()?;
        with_workers(&listing, &named.processes)
    }

    fn describe(&self) -> Result<Description, Failure> {
        let description: Description = self.asked(Ask::Describe, soon(), &mut |_| {}).map_err(question)?;
        let wrong = |why: &str| Err(self.failed(Class::Permanent, Ask::Describe).because(why.to_owned()));
        if !good_words(&description.name) || !good_words(&description.version) {
            return wrong("its name and version are one to 256 printable characters each");
        }
        if !description.proves.contains(&wire::Proves::Instances) {
            return wrong("it does not claim to name every process: nothing could be proven");
        }
        Ok(description)
    }

    fn asked<T: DeserializeOwned>(
        &self,
        verb: Ask,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<T, Failure> {
        let request = Request { protocol: PROTOCOL, verb, instance: self.instance.clone() };
        let line = serde_json::to_string(&request).unwrap_or_default();
        self.say(&line, deadline, started)?.map_err(|none| {
            let class = match verb {
                Ask::Apply if !none.nothing_done => Class::Unknown,
                Ask::Describe | Ask::Instances | Ask::Apply | Ask::Settled => Class::Retryable,
            };
            let failure = self.failed(class, verb);
            match none.said {
                Some(said) => failure.because(CommandFailure { status: none.why, output: Some(said) }),
                None => failure.because(none.why),
            }
        })
    }

    /// Sends one line and reads one line.
    fn say<T: DeserializeOwned>(
        &self,
        line: &str,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Result<T, NoAnswer>, Failure> {
        let input = SecretBytes::from(format!("{line}\n"));
        let command = self.command.filled(self.instance.as_deref())?;
        let with = With { input: Some(&input), ..With::output(Output::Whole) };
        let ended = run(&command, &with, deadline, started)?;
        Ok(answer(&ended))
    }

    fn failed(&self, class: Class, verb: Ask) -> Failure {
        let verb = serde_json::to_string(&verb).unwrap_or_default();
        Failure::new(class, Code::AdapterFailed, format!("have {verb} answered by `{}`", self.command.name()))
            .help(format!("keyroll consumer check-adapter -- {}", self.command.name()))
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(ASK_MS_MAX)
}

/// The answer in an adapter's output. Errors repeat only its `message`.
fn answer<T: DeserializeOwned>(ended: &Ended) -> Result<T, NoAnswer> {
    let Some(output) = &ended.output else {
        return Err(NoAnswer::because("it said more than 32 KiB"));
    };
    let line = one_line(output, ended.status).map_err(NoAnswer::because)?;
    if let Err(JsonDefect::RepeatedKey(repeated)) = strict_json::check(line.as_bytes()) {
        return Err(NoAnswer::because(format!("its answer is JSON with {repeated}")));
    }
    if let Ok(refusal) = serde_json::from_str::<Refusal>(line) {
        let said =
            good_words(&refusal.error.message).then(|| SecretBytes::new(refusal.error.message.into_bytes()));
        let nothing_done = refusal.error.effect == Effect::None;
        return Err(NoAnswer { why: "it answered with an error".to_owned(), said, nothing_done });
    }
    if !ended.status.success() {
        return Err(NoAnswer::because(format!("it answered, and ended with {}", ended.status)));
    }
    let protocol =
        serde_json::from_str::<serde_json::Value>(line).ok().and_then(|it| it.get("protocol")?.as_u64());
    if protocol != Some(u64::from(PROTOCOL)) {
        return Err(NoAnswer::because(format!("its answer does not say \"protocol\": {PROTOCOL}")));
    }
    // serde's message would repeat a part of the line.
    serde_json::from_str(line).map_err(|_| NoAnswer::because("its answer has another form than the schema"))
}

/// A service behind an operator's own adapter.
pub(crate) static EXEC: Manager = Manager {
    keys: &[Key::new(
        "exec",
        KeyForm::Command,
        "The command of your own adapter, a program that implements the protocol of exec-adapter.md: `[\"./adapter\", \"{instance}\"]`.",
    )],
    with: &["instances", "ports", "ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ exec = [\"./adapter\"] }",
    facts: &[ManagerFact {
        manager: "`exec`",
        source: "what the adapter knows",
        verb: "what the adapter does",
        wrong: "-",
        downtime: "as the adapter declares",
        evidence: "as for any process, for those that the adapter names",
        test: "a_service_behind_an_adapter_is_moved_and_comes_back",
        services: &[nightly("exec", Away)],
    }],
    survey: None,
    read: |of| {
        let command = of.needed_command("exec")?.clone();
        Ok(Arc::new(Adapter { command, instance: of.instance.map(str::to_owned) }))
    },
};

impl Workload for Adapter {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Request(format!("asks the adapter {} to apply it", self.command.typed()))
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    /// Without an answer, the stricter case is assumed.
    fn starts_new_process(&self) -> bool {
        self.describe().map_or(true, |description| description.takes == Takes::Restart)
    }

    fn is_asked(&self) -> bool {
        true
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotVisible("it receives the value through its own interface")
    }

    fn declared_command(&self) -> Option<(&'static str, &CommandLine)> {
        Some(("adapter", &self.command))
    }

    fn is_known_by_copies(&self) -> bool {
        true
    }
}
