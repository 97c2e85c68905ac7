//! The conformance check for programs that stand for a store: the rules that keyroll relies on, each tried on the real
//! program.

use keyroll_manager::{CommandLine, TriedRule};
use keyroll_secret::SecretBytes;
use uuid::Uuid;

use super::program::{NoAnswer, Program, Reading, Refused, line};
use super::wire::{Ask, Effect, PROTOCOL, Reason, Request};

/// How long the longest value is that is written, bytes.
const LONG_BYTES: usize = 4096;

/// Room for a request without a value, bytes.
const ROOM_BYTES: usize = 4096;

/// What the value of an item must begin with to be written over: nobody uses it, and nothing is lost with it.
const SCRATCH: &str = "keyroll-test";

/// How often the value of before is written in the end, where another version is in the way.
const RESTORE_TIMES: usize = 2;

/// `Ok` = the program keeps the rule; `Err` = why not.
type Rule = fn(&Program) -> Result<(), String>;

/// Sends a program every request that keyroll may send about an item. `write`: also writes generated values, and in the end
/// the value of before, also after a broken rule. Only an item whose value begins with `keyroll-test` is written.
pub fn check_store(command: &CommandLine, item: &str, write: bool) -> Vec<TriedRule> {
    let asked = Program { command: command.clone(), item: item.to_owned() };
    let reading: [(&'static str, Rule); 8] = [
        ("reads the value with its version", reads),
        ("reads the same again", reads_the_same),
        ("lists the version that it gives out", lists),
        ("says whether the item can be written", says_writable),
        ("answers a verb that it does not know with an error, and nothing done", refuses_a_verb),
        ("answers another version of the protocol with an error, and nothing done", refuses_a_version),
        ("answers what is no request with an error, and nothing done", refuses_no_request),
        ("answers an item that does not exist with an error, and nothing done", refuses_an_item),
    ];
    let mut told = tried(&asked, &reading);
    if write {
        told.extend(written(&asked));
    }
    told
}

fn tried(asked: &Program, rules: &[(&'static str, Rule)]) -> Vec<TriedRule> {
    rules.iter().map(|&(rule, holds)| TriedRule { rule, broken: holds(asked).err() }).collect()
}

/// The rules of writing, and the value of before at the end.
fn written(asked: &Program) -> Vec<TriedRule> {
    let rule = "gives out the value of before in the end";
    let before = match asked.read() {
        Ok(before) => before.value,
        Err(none) => {
            let why =
                format!("nothing was written, because the value of before cannot be read: {}", words(none));
            return vec![TriedRule { rule, broken: Some(why) }];
        }
    };
    if !before.expose().starts_with(SCRATCH.as_bytes()) {
        let why = format!(
            "nothing was written: its value does not begin with {SCRATCH}; make an item that nobody uses, with the value \
             {SCRATCH}, and name that one"
        );
        return vec![TriedRule { rule: "gives out a value that may be written over", broken: Some(why) }];
    }
    let writing: [(&'static str, Rule); 8] = [
        ("gives back what was written, as another version", |asked| gives_back(asked, "")),
        ("gives back quotes, backslashes, $ and %", |asked| gives_back(asked, r#"'"\\n`$HOME$(id)%s%%{}"#)),
        ("gives back a value that begins with a dash", |asked| returns(asked, &format!("--{}", chance()))),
        ("gives back a value that is not ASCII", |asked| gives_back(asked, "é漢字🔑")),
        ("gives back a value with spaces at its end", |asked| gives_back(asked, "  ")),
        ("gives back a value of 4 KiB", |asked| returns(asked, &long())),
        (
            "refuses a write over an older version as a conflict, and changes nothing",
            refuses_an_older_version,
        ),
        ("refuses a repeated write, or it does no harm", takes_a_repetition),
    ];
    let mut told = tried(asked, &writing);
    told.push(TriedRule { rule, broken: restored(asked, &before).err() });
    told
}

fn reads(asked: &Program) -> Result<(), String> {
    asked.read().map(drop).map_err(words)
}

fn reads_the_same(asked: &Program) -> Result<(), String> {
    let (first, second) = (asked.read().map_err(words)?, asked.read().map_err(words)?);
    if first.version != second.version {
        return Err(format!("it names the version {}, then {}", first.version, second.version));
    }
    if first.value == second.value {
        Ok(())
    } else {
        Err("it gives out two values, one after the other".to_owned())
    }
}

fn lists(asked: &Program) -> Result<(), String> {
    let (now, listed) = (asked.read().map_err(words)?, asked.versions().map_err(words)?);
    if listed.iter().any(|version| version.id == now.version) {
        return Ok(());
    }
    Err(format!("it gives out the version {} and lists {} others", now.version, listed.len()))
}

fn says_writable(asked: &Program) -> Result<(), String> {
    match asked.check().map_err(words)? {
        true => Ok(()),
        false => Err("it says that the item cannot be written".to_owned()),
    }
}

fn refuses_a_verb(asked: &Program) -> Result<(), String> {
    #[derive(serde::Serialize)]
    struct Unknown<'a> {
        protocol: u32,
        verb: &'static str,
        item: &'a str,
    }
    let request = Unknown { protocol: PROTOCOL, verb: "fly", item: &asked.item };
    refused(asked, &line(&request, ROOM_BYTES)).map(drop)
}

fn refuses_a_version(asked: &Program) -> Result<(), String> {
    let request = Request { protocol: PROTOCOL + 1, ..asked.request(Ask::Read) };
    refused(asked, &line(&request, ROOM_BYTES)).map(drop)
}

fn refuses_no_request(asked: &Program) -> Result<(), String> {
    refused(asked, &SecretBytes::from("no request\n".to_owned())).map(drop)
}

fn refuses_an_item(asked: &Program) -> Result<(), String> {
    let item = format!("{}-{}", asked.item, chance());
    let request = Request { item: &item, ..asked.request(Ask::Read) };
    match refused(asked, &line(&request, ROOM_BYTES))? {
        Reason::Missing | Reason::Denied => Ok(()),
        Reason::Conflict | Reason::Away | Reason::Other => {
            Err("its error has another reason than \"missing\" or \"denied\"".to_owned())
        }
    }
}

/// The request must be answered with an error, and nothing done.
fn refused(asked: &Program, request: &SecretBytes) -> Result<Reason, String> {
    match asked.say(request) {
        Err(NoAnswer::Refused(Refused { reason, effect: Effect::None, .. })) => Ok(reason),
        Err(none) => Err(format!("{}, without \"effect\": \"none\"", words(none))),
        Ok(_) => Err("it answered as if it had been asked".to_owned()),
    }
}

/// Writes a new value that ends in this way, and reads it.
fn gives_back(asked: &Program, end: &str) -> Result<(), String> {
    returns(asked, &format!("{}{end}", chance()))
}

fn returns(asked: &Program, value: &str) -> Result<(), String> {
    let before = asked.read().map_err(words)?;
    asked.write(&before.version, value, &id()).map_err(words)?;
    let after = asked.read().map_err(words)?;
    if !is(&after, value) {
        return Err("it gives out another value than the one that was written".to_owned());
    }
    if after.version == before.version {
        return Err(format!("the version is still {}", after.version));
    }
    Ok(())
}

fn refuses_an_older_version(asked: &Program) -> Result<(), String> {
    let older = asked.read().map_err(words)?;
    let value = chance();
    asked.write(&older.version, &value, &id()).map_err(words)?;
    let now = asked.read().map_err(words)?;
    let outcome = asked.write(&older.version, &chance(), &id());
    let there = asked.read().map_err(words)?;
    if !is(&there, &value) {
        return Err("it wrote over a version that it no longer gave out".to_owned());
    }
    if there.version != now.version {
        return Err("it made another version all the same".to_owned());
    }
    match outcome {
        Err(NoAnswer::Refused(Refused { reason: Reason::Conflict, effect: Effect::None, .. })) => Ok(()),
        Err(none) => Err(format!("{}, which is no conflict with \"effect\": \"none\"", words(none))),
        Ok(_) => Err("it answered that it wrote, and did not".to_owned()),
    }
}

/// An answer may be lost, so keyroll may send the same request again.
fn takes_a_repetition(asked: &Program) -> Result<(), String> {
    let before = asked.read().map_err(words)?;
    let (value, id) = (chance(), id());
    asked.write(&before.version, &value, &id).map_err(words)?;
    match asked.write(&before.version, &value, &id) {
        Ok(_) | Err(NoAnswer::Refused(Refused { effect: Effect::None, .. })) => {}
        Err(none) => return Err(words(none)),
    }
    let there = asked.read().map_err(words)?;
    if is(&there, &value) { Ok(()) } else { Err("it gives out another value afterwards".to_owned()) }
}

/// Writes the value of before, over whatever is there now.
fn restored(asked: &Program, before: &SecretBytes) -> Result<(), String> {
    let text = std::str::from_utf8(before.expose()).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut why = String::new();
    for _ in 0..RESTORE_TIMES {
        let now = asked.read().map_err(words)?;
        if now.value == *before {
            return Ok(());
        }
        why = asked.write(&now.version, text, &id()).map_or_else(words, |_| String::new());
    }
    let now = asked.read().map_err(words)?;
    if now.value == *before {
        return Ok(());
    }
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    Err(format!("write it again by hand, it gives out another one{why}"))
}

fn is(reading: &Reading, value: &str) -> bool {
    reading.value.expose() == value.as_bytes()
}

/// A text that nothing else has.
fn chance() -> String {
    Uuid::new_v4().simple().to_string()
}

fn long() -> String {
    let mut text = chance();
    while text.len() < LONG_BYTES {
        text.push_str(&chance());
    }
    text.truncate(LONG_BYTES);
    text
}

fn id() -> String {
    format!("keyroll/{}/1", chance())
}

/// Why there is no answer. The program's own message is not shown: it may hold a value.
fn words(none: NoAnswer) -> String {
    match none {
        NoAnswer::NotStarted(failure) => {
            let cause = failure.source.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("could not {}{cause}", failure.attempted)
        }
        NoAnswer::Refused(Refused { reason, effect, .. }) => {
            let effect = match effect {
                Effect::None => "none",
                Effect::Unknown => "unknown",
            };
            format!("it answered with an error, reason {}, effect {effect}", reason.name())
        }
        NoAnswer::Unusable(why) => why,
    }
}
