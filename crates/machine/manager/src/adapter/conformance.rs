//! The conformance check for adapters: the rules that keyroll relies on, each tried on the real adapter.

use std::time::Instant;

use keyroll_port::Failure;
use serde_json::Value;

use super::wire::{Ask, Description, PROTOCOL, Processes, Request, Settled, Takes};
use super::{Adapter, NoAnswer, soon};
use crate::settle::mains;

/// One rule, and whether the program keeps it.
#[derive(Debug)]
pub struct TriedRule {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Why the program breaks it.
    pub broken: Option<String>,
}

/// `Ok` = the adapter keeps the rule; `Err` = why not.
type Rule = fn(&Adapter) -> Result<(), String>;

/// Sends an adapter every request that keyroll may send. `apply`: also applies the value, which must settle by this
/// time.
pub fn check_adapter(adapter: &Adapter, apply: Option<Instant>) -> Vec<TriedRule> {
    let rules: [(&'static str, Rule); 6] = [
        ("describes itself, and claims to name every process", describes),
        ("names processes that run", names_processes),
        ("names the same ones when it is asked again", names_the_same),
        ("tells whether it has settled", tells_settled),
        ("answers a verb that it does not know with an error, and nothing done", refuses_a_verb),
        ("answers another version of the protocol with an error, and nothing done", refuses_a_version),
    ];
    let mut told: Vec<TriedRule> =
        rules.into_iter().map(|(rule, holds)| TriedRule { rule, broken: holds(adapter).err() }).collect();
    told.push(TriedRule {
        rule: "answers what is no request with an error, and nothing done",
        broken: refused(adapter, "no request").err(),
    });
    if let Some(deadline) = apply {
        told.push(TriedRule {
            rule: "applies: as many processes stay up, none of before where it restarts",
            broken: applies(adapter, deadline).err(),
        });
    }
    told
}

fn describes(adapter: &Adapter) -> Result<(), String> {
    adapter.describe().map(drop).map_err(words)
}

fn named(adapter: &Adapter) -> Result<Vec<u32>, String> {
    let request = Request { protocol: PROTOCOL, verb: Ask::Instances, instance: adapter.instance.clone() };
    let line = serde_json::to_string(&request).unwrap_or_default();
    let answer: Result<Processes, NoAnswer> = adapter.say(&line, soon(), &mut |_| {}).map_err(words)?;
    let mut named = answer.map_err(|none| none.why)?.processes;
    named.sort_unstable();
    Ok(named)
}

fn names_processes(adapter: &Adapter) -> Result<(), String> {
    let named = named(adapter)?;
    if named.is_empty() {
        return Err("it names none: start the service, then check again".to_owned());
    }
    let missing = named.iter().find(|pid| keyroll_observe::process(**pid).is_err());
    missing.map_or(Ok(()), |pid| Err(format!("there is no process {pid}")))
}

fn names_the_same(adapter: &Adapter) -> Result<(), String> {
    let (first, second) = (named(adapter)?, named(adapter)?);
    if first == second { Ok(()) } else { Err(format!("{first:?}, then {second:?}")) }
}

fn tells_settled(adapter: &Adapter) -> Result<(), String> {
    adapter.asked::<Settled>(Ask::Settled, soon(), &mut |_| {}).map(drop).map_err(words)
}

fn refuses_a_verb(adapter: &Adapter) -> Result<(), String> {
    refused(adapter, &format!("{{\"protocol\":{PROTOCOL},\"verb\":\"fly\"}}"))
}

fn refuses_a_version(adapter: &Adapter) -> Result<(), String> {
    refused(adapter, &format!("{{\"protocol\":{},\"verb\":\"describe\"}}", PROTOCOL + 1))
}

fn refused(adapter: &Adapter, line: &str) -> Result<(), String> {
    match adapter.say::<Value>(line, soon(), &mut |_| {}).map_err(words)? {
        Err(NoAnswer { nothing_done: true, .. }) => Ok(()),
        Err(none) => Err(format!("{}, without \"effect\": \"none\"", none.why)),
        Ok(_) => Err("it answered as if it had been asked".to_owned()),
    }
}

fn applies(adapter: &Adapter, deadline: Instant) -> Result<(), String> {
    let description: Description = adapter.describe().map_err(words)?;
    let before = mains(&adapter.instances().map_err(words)?);
    adapter.apply(deadline, &mut |_| {}).map_err(words)?;
    let after = mains(&adapter.instances().map_err(words)?);
    match (description.takes, after == before) {
        (Takes::Reload, false) => Err("it says that it reloads, and other processes run now".to_owned()),
        (Takes::Restart | Takes::Reload, _) => Ok(()),
    }
}

fn words(failure: Failure) -> String {
    let cause = failure.source.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("could not {}{cause}", failure.attempted)
}
