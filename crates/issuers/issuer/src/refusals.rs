use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, RefusedUse};
use keyroll_secret::Credential;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::document::Document;
use crate::identify::shows;
use crate::list::{Pages, optional, tells};
use crate::operation::{MomentForm, Names, Refusals};
use crate::render::Values;

/// How many of the entries that already exist a mark remembers.
const KNOWN_MAX: usize = 1_000;

/// How far before the mark entries are asked for and compared, beside the issuer's lag and granularity: an issuer may
/// take `since` as exclusive, or cut it to whole seconds.
const SLACK_MS: u64 = 2_000;

/// How much of a client's description of itself is repeated, in characters.
const TOLD_CHARS_MAX: usize = 120;

/// A mark: where the record ended at that time. Persisted as JSON for as long as one rotation lasts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// By the issuer's own clock (its `Date`), milliseconds since 1970; 0 where it tells no time.
    at_ms: u64,
    /// The entries that were already there, from about that time.
    known: Vec<String>,
}

impl Mark {
    /// Reads a persisted mark. An error repeats nothing of its text.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// One refused use with what tells it from every other.
struct RecordedUse {
    key: String,
    at_ms: Option<u64>,
    used: RefusedUse,
}

/// Asks for the record's first page alone, to see that the record can be read and which time the issuer has.
pub(crate) async fn now(
    call: &Call<'_>,
    op: &Refusals,
    values: &Values<'_>,
    near_ms: u64,
) -> Result<u64, Failure> {
    let since = written(op, near_ms);
    let start = op.page.start();
    let at = Values { since: since.as_deref(), page: start.as_ref(), ..*values };
    let answer = call.succeed(&at, &op.ok).await?;
    if answer.json().and_then(|json| op.items.find(json)).and_then(Value::as_array).is_none() {
        return Err(call.nonsense(&answer, "the list is not where the spec says, or is no list"));
    }
    Ok(answer.date_ms().unwrap_or(0))
}

/// A new mark: the issuer's time now, and the entries that its record shows from about that time.
pub(crate) async fn mark(
    call: &Call<'_>,
    op: &Refusals,
    values: &Values<'_>,
    subject: (&Document, &Credential),
    at_ms: u64,
) -> Result<Mark, Failure> {
    let known: Vec<String> =
        entries(call, op, values, subject, at_ms).await?.into_iter().map(|entry| entry.key).collect();
    if known.len() > KNOWN_MAX {
        let why = format!("it shows more than {KNOWN_MAX} refused uses of the key while that is on");
        return Err(call.fail(Class::Retryable, Code::RefusedUsesUnknown).because(why));
    }
    Ok(Mark { at_ms, known })
}

/// The uses that were refused since the mark.
pub(crate) async fn since(
    call: &Call<'_>,
    op: &Refusals,
    values: &Values<'_>,
    subject: (&Document, &Credential),
    mark: &Mark,
) -> Result<Vec<RefusedUse>, Failure> {
    let mut known = mark.known.clone();
    let mut found = Vec::new();
    for entry in entries(call, op, values, subject, mark.at_ms).await? {
        if let Some(at) = known.iter().position(|known| *known == entry.key) {
            known.swap_remove(at);
            continue;
        }
        // An entry may appear late. If its time is before the mark, it was no use of the disabled key.
        let before = |at: u64| at.saturating_add(op.granularity.ms()) < mark.at_ms;
        if !entry.at_ms.is_some_and(before) {
            found.push(entry.used);
        }
    }
    Ok(found)
}

/// Every entry about the credential since shortly before that time. An incomplete record is a failure.
async fn entries(
    call: &Call<'_>,
    op: &Refusals,
    values: &Values<'_>,
    (document, current): (&Document, &Credential),
    at_ms: u64,
) -> Result<Vec<RecordedUse>, Failure> {
    let margin = op.lag.ms().saturating_add(op.granularity.ms()).saturating_add(SLACK_MS);
    let from_ms = at_ms.saturating_sub(margin);
    let since = written(op, from_ms);
    let values = Values { since: since.as_deref(), ..*values };
    let pages = Pages { ok: &op.ok, items: &op.items, page: &op.page };
    let (mut found, mut ids) = (Vec::new(), BTreeSet::new());
    let incomplete = pages
        .walk(call, &values, |item| match read(op, item, document, current) {
            Some(None) => Ok(()),
            Some(Some(entry)) => {
                // A record that grows while its pages are read shows an entry twice. That hides no entry.
                let again = op.id.is_some() && !ids.insert(entry.key.clone());
                if !again && entry.at_ms.is_none_or(|at| at >= from_ms) {
                    found.push(entry);
                }
                Ok(())
            }
            None => Err("a part of it has not the type that the spec says".to_owned()),
        })
        .await?;
    match incomplete {
        None => Ok(found),
        Some(why) => Err(call
            .fail(Class::Retryable, Code::RefusedUsesUnknown)
            .because(format!("the issuer's record was not read whole: {why}"))),
    }
}

/// One item: `Some(None)` if it is about another key, `None` where something in it has not the type that the spec says.
fn read(
    op: &Refusals,
    item: &Value,
    document: &Document,
    current: &Credential,
) -> Option<Option<RecordedUse>> {
    if !is_about(op, item, document, current)? {
        return Some(None);
    }
    let at_ms = match &op.time {
        None => None,
        Some(moment) => moment.read(item)?,
    };
    let client = optional(op.client.as_ref(), item)?;
    let agent = optional(op.agent.as_ref(), item)?;
    let id = match &op.id {
        None => None,
        Some(pointer) => Some(pointer.text(item)?),
    };
    let texts = [id.as_deref(), client.as_deref(), agent.as_deref()];
    if texts.into_iter().flatten().any(|text| tells(text, &current.fields)) {
        return None;
    }
    let key = id.unwrap_or_else(|| {
        format!(
            "{} {} {}",
            at_ms.unwrap_or_default(),
            client.as_deref().unwrap_or_default(),
            agent.as_deref().unwrap_or_default()
        )
    });
    let end = client.as_deref().and_then(|client| client.parse::<SocketAddr>().ok());
    // An address without a port does not lead to a process: it only describes the client.
    let address = client.filter(|client| end.is_none() && client.parse::<IpAddr>().is_ok());
    let told: Vec<String> = address.into_iter().chain(agent).map(|text| printable(&text)).collect();
    let told = (!told.is_empty()).then(|| told.join(", "));
    Some(Some(RecordedUse { key, at_ms, used: RefusedUse { client: end, told } }))
}

/// Whether an entry is about this credential; `None` if the entry does not tell.
fn is_about(op: &Refusals, item: &Value, document: &Document, current: &Credential) -> Option<bool> {
    let Some(key) = &op.key else { return Some(true) };
    match key.at.find(item) {
        // The refused value is no key that the issuer knows.
        None | Some(Value::Null) => Some(false),
        Some(_) => {
            let text = key.at.text(item)?;
            Some(match key.names {
                Names::Id => current.id.as_ref().is_some_and(|id| id.as_str() == text),
                Names::Hint => shows_one(&text, document, current),
            })
        }
    }
}

fn shows_one(hint: &str, document: &Document, current: &Credential) -> bool {
    current.fields.secrets().any(|(name, secret)| {
        let prefix = document.fields.get(name).map(|form| form.prefix.as_str()).unwrap_or_default();
        shows(hint, secret.expose(), prefix)
    })
}

fn printable(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(TOLD_CHARS_MAX).collect()
}

/// A time as the record writes it; `None` if the entry has no readable time.
fn written(op: &Refusals, ms: u64) -> Option<String> {
    let form = op.time.as_ref()?.form;
    Some(match form {
        MomentForm::UnixMs => ms.to_string(),
        MomentForm::UnixS => (ms / 1_000).to_string(),
        MomentForm::Rfc3339 => {
            let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
            at.to_string()
        }
    })
}

/// The issuer's own time, if the answer has it.
impl Answer {
    /// `Date` in milliseconds since 1970 (RFC 9110: `Sun, 06 Nov 1994 08:49:37 GMT`).
    pub(crate) fn date_ms(&self) -> Option<u64> {
        let date = jiff::fmt::rfc2822::parse(self.date()?).ok()?;
        u64::try_from(date.timestamp().as_millisecond()).ok()
    }
}
