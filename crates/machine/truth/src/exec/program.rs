use std::process::ExitStatus;
use std::time::Duration;

use keyroll_http::strict_json;
use keyroll_manager::{CommandLine, Conversation, converse, good_words, one_line};
use keyroll_port::{Class, Failure, TruthVersion};
use keyroll_secret::SecretBytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::wire::{
    Ask, Checked, Effect, PROTOCOL, Read, Reason, Refusal, Request, Trouble, Versions, Written,
};
use crate::document::Document;

/// How long an answer may take, milliseconds.
const ANSWER_MS_MAX: u64 = 20_000;

/// The longest value, bytes.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A shorter value may stand in a version by chance, bytes.
const SHOWN_BYTES_MIN: usize = 8;

/// The most versions that an answer lists.
const VERSIONS_MAX: usize = 1_000;

/// A request without its texts, bytes at most.
const REQUEST_BYTES: usize = 256;

/// How many bytes JSON makes of one, at most: `\u0001`.
const ESCAPED_BYTES: usize = 6;

/// A program that stands for a store. It is started once for each request.
pub(super) struct Program {
    pub(super) command: CommandLine,
    /// Which value it is asked for, in its own words.
    pub(super) item: String,
}

/// Why there is no usable answer.
pub(super) enum NoAnswer {
    /// It was not started: nothing was done.
    NotStarted(Failure),
    /// It answered with an error.
    Refused(Refused),
    /// It said nothing that can be believed. What it did is open.
    Unusable(String),
}

/// An error that the program answered with.
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) effect: Effect,
    /// Its message, which may hold a value; `None` where it is not one short line.
    pub(super) said: Option<String>,
}

/// What it gives out.
pub(super) struct Reading {
    pub(super) version: String,
    pub(super) unix_ms: Option<u64>,
    pub(super) value: SecretBytes,
}

impl Program {
    pub(super) fn read(&self) -> Result<Reading, NoAnswer> {
        let line = self.asked(&self.request(Ask::Read))?;
        let Read { protocol: PROTOCOL, version, made, value: Some(_) } = parsed::<Read>(&line)? else {
            return Err(unusable("its answer has no value"));
        };
        let unix_ms = moment(made.as_deref())?;
        let read = Document::new(line, Some("value")).value();
        let value = read.map_err(|_| unusable("the value in its answer is no text"))?;
        let says_the_value = value.len() >= SHOWN_BYTES_MIN
            && version.as_bytes().windows(value.len()).any(|window| window == value.expose());
        if !good_words(&version) || says_the_value {
            return Err(unusable("its version must be 1 to 256 printable characters without the value"));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(unusable("its value has more than 64 KiB"));
        }
        Ok(Reading { version, unix_ms, value })
    }

    /// Replaces the value over this version; the version that was made.
    pub(super) fn write(&self, over: &str, value: &str, id: &str) -> Result<String, NoAnswer> {
        let request =
            Request { over: Some(over), value: Some(value), id: Some(id), ..self.request(Ask::Write) };
        let Written { version, .. } = parsed::<Written>(&self.asked(&request)?)?;
        if good_words(&version) { Ok(version) } else { Err(unusable("it names no version that it made")) }
    }

    pub(super) fn versions(&self) -> Result<Vec<TruthVersion>, NoAnswer> {
        let Versions { versions, .. } = parsed::<Versions>(&self.asked(&self.request(Ask::Versions))?)?;
        if versions.len() > VERSIONS_MAX {
            return Err(unusable("it lists more than 1000 versions"));
        }
        let mut listed = Vec::with_capacity(versions.len());
        for one in versions {
            if !good_words(&one.version) || !one.labels.iter().all(|label| good_words(label)) {
                return Err(unusable("its versions and labels must be 1 to 256 printable characters each"));
            }
            let unix_ms = moment(one.made.as_deref())?;
            listed.push(TruthVersion { id: one.version, labels: one.labels, unix_ms });
        }
        Ok(listed)
    }

    /// Whether it says that a write would be allowed.
    pub(super) fn check(&self) -> Result<bool, NoAnswer> {
        let Checked { writable, .. } = parsed::<Checked>(&self.asked(&self.request(Ask::Check))?)?;
        Ok(writable)
    }

    pub(super) fn request(&self, verb: Ask) -> Request<'_> {
        Request { protocol: PROTOCOL, verb, item: &self.item, over: None, value: None, id: None }
    }

    fn asked(&self, request: &Request<'_>) -> Result<SecretBytes, NoAnswer> {
        let texts = [Some(request.item), request.over, request.value, request.id];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        self.say(&line(request, REQUEST_BYTES + texts.saturating_mul(ESCAPED_BYTES)))
    }

    /// Sends one line, and hands back the line of an answer that is no error.
    pub(super) fn say(&self, line: &SecretBytes) -> Result<SecretBytes, NoAnswer> {
        let limit = Duration::from_millis(ANSWER_MS_MAX);
        let Conversation { status, output } =
            converse(&self.command, line, limit).map_err(|failure| match failure.class {
                Class::Retryable | Class::Permanent => NoAnswer::NotStarted(failure),
                Class::Unknown => unusable("it did not end within 20 seconds, and keyroll ended it"),
            })?;
        let output = output.ok_or_else(|| unusable("it said more than 512 KiB"))?;
        answer(&output, status)
    }
}

/// One line of JSON. The room is reserved in full: a vector that grows leaves a copy of the value in freed memory.
pub(super) fn line(request: &impl Serialize, room: usize) -> SecretBytes {
    let mut line = Zeroizing::new(Vec::with_capacity(room));
    drop(serde_json::to_writer(&mut *line, request));
    line.push(b'\n');
    SecretBytes::new(std::mem::take(&mut *line))
}

pub(super) fn unusable(why: impl Into<String>) -> NoAnswer {
    NoAnswer::Unusable(why.into())
}

/// The version of the protocol that an answer names.
#[derive(Deserialize)]
struct Spoken {
    protocol: u32,
}

/// The line of an answer. An error repeats nothing of it but the message of a refusal.
fn answer(output: &SecretBytes, status: ExitStatus) -> Result<SecretBytes, NoAnswer> {
    let line = one_line(output, status).map_err(unusable)?;
    strict_json::check(line.as_bytes())
        .map_err(|_| unusable("its answer is no JSON, or has a key twice in one object"))?;
    // serde's messages would repeat a part of the line.
    let spoken = serde_json::from_str::<Spoken>(line).map(|spoken| spoken.protocol).ok();
    if spoken != Some(PROTOCOL) {
        return Err(unusable(format!("its answer does not say \"protocol\": {PROTOCOL}")));
    }
    if let Ok(Refusal { error, .. }) = serde_json::from_str::<Refusal>(line) {
        let Trouble { reason, effect, message } = error;
        let said = good_words(&message).then_some(message);
        return Err(NoAnswer::Refused(Refused { reason, effect, said }));
    }
    if !status.success() {
        return Err(unusable(format!("it answered, and ended with {status}")));
    }
    Ok(SecretBytes::new(line.as_bytes().to_vec()))
}

fn parsed<T: DeserializeOwned>(line: &SecretBytes) -> Result<T, NoAnswer> {
    serde_json::from_slice(line.expose()).map_err(|_| unusable("its answer has another form than the schema"))
}

/// Milliseconds since the Unix epoch.
fn moment(made: Option<&str>) -> Result<Option<u64>, NoAnswer> {
    let Some(made) = made else { return Ok(None) };
    let time = made.parse::<jiff::Timestamp>().map_err(|_| unusable("its \"made\" is no RFC 3339"))?;
    Ok(u64::try_from(time.as_millisecond()).ok())
}
