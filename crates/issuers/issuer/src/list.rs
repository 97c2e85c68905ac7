use std::collections::BTreeSet;
use std::time::Duration;

use keyroll_port::{Failure, Listed, Listing};
use keyroll_secret::{Credential, CredentialId, Fields};
use serde_json::Value;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::call::Call;
use crate::matcher::{Matcher, Scalar};
use crate::operation::{Flag, List, Moment, MomentForm};
use crate::page::{Page, Step};
use crate::pointer::Pointer;
use crate::render::Values;

/// How many pages of a list are read.
const PAGES_MAX: u64 = 500;

/// How many items of a list are kept.
const ITEMS_MAX: usize = 50_000;

/// How long reading all pages of a list may take, milliseconds.
const LIST_MS_MAX: u64 = 120_000;

/// The longest text of a listed credential that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Where the pages of a list are and how they follow each other.
pub(crate) struct Pages<'a> {
    /// What success looks like.
    pub(crate) ok: &'a [Matcher],
    /// The array of items in an answer.
    pub(crate) items: &'a Pointer,
    /// How the next page is asked for.
    pub(crate) page: &'a Page,
}

impl Pages<'_> {
    /// Reads page after page and hands over each item; `each` says whether the item is well formed. The result says
    /// whether the list is known to be whole. A first page that cannot be read is a failure.
    pub(crate) async fn walk(
        &self,
        call: &Call<'_>,
        values: &Values<'_>,
        mut each: impl FnMut(&Value) -> bool + Send,
    ) -> Result<bool, Failure> {
        let deadline = Instant::now() + Duration::from_millis(LIST_MS_MAX);
        let (mut asked, mut link) = (self.page.start(), None::<String>);
        let mut steps = BTreeSet::new();
        let (mut pages, mut seen, mut whole) = (0, 0, true);
        loop {
            let at = Values { page: asked.as_ref(), link: link.as_deref(), ..*values };
            let answer = match call.succeed(&at, self.ok).await {
                Ok(answer) => answer,
                Err(failure) if pages == 0 => return Err(failure),
                Err(_) => return Ok(false),
            };
            let Some(items) = self.items(&answer) else {
                if pages == 0 {
                    return Err(call.nonsense(&answer, "the list is not where the spec says, or is no list"));
                }
                return Ok(false);
            };
            for item in items {
                whole &= each(item);
            }
            pages += 1;
            seen += items.len();
            let step = self.page.after(&answer, items.len(), pages, seen);
            match &step {
                Step::End => return Ok(whole),
                Step::Broken => return Ok(false),
                Step::Query(name, value) => asked = Some((name.clone(), value.clone())),
                Step::Link(query) => link = Some(query.clone()),
            }
            let again = !steps.insert(format!("{step:?}"));
            if again || pages >= PAGES_MAX || seen > ITEMS_MAX || Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    fn items<'a>(&self, answer: &'a Answer) -> Option<&'a Vec<Value>> {
        answer.json().and_then(|json| self.items.find(json)).and_then(Value::as_array)
    }
}

/// Lists every credential that competes with the one in use.
pub(crate) async fn list(
    call: &Call<'_>,
    list: &List,
    values: &Values<'_>,
    current: &Credential,
) -> Result<Listing, Failure> {
    let pages = Pages { ok: &list.ok, items: &list.items, page: &list.page };
    let mut entries = Vec::<Listed>::new();
    let mut ids = BTreeSet::new();
    let complete = pages
        .walk(call, values, |item| match listed(list, item, &current.fields) {
            Some(entry) if ended(list, item) == Some(true) => ids.insert(entry.id),
            Some(_) if ended(list, item).is_none() => false,
            // An id that comes twice means that the pages moved while they were read: one may have been skipped.
            Some(entry) => {
                let fresh = ids.insert(entry.id.clone());
                if fresh {
                    entries.push(entry);
                }
                fresh
            }
            None => false,
        })
        .await?;
    Ok(Listing { entries, complete })
}

/// Whether an item has ended for good; `None` where that cannot be read.
fn ended(list: &List, item: &Value) -> Option<bool> {
    list.ended.as_ref().map_or(Some(false), |flag| flag.read(item))
}

/// One item, if every part that the spec names has the right type.
fn listed(list: &List, item: &Value, fields: &Fields) -> Option<Listed> {
    let id = list.id.text(item)?;
    let label = optional(list.label.as_ref(), item)?;
    let hint = optional(list.hint.as_ref(), item)?;
    let texts = [Some(&id), label.as_ref(), hint.as_ref()];
    let sound = texts.into_iter().flatten().all(|text| text.len() <= TEXT_BYTES_MAX && !tells(text, fields));
    if !sound {
        return None;
    }
    let disabled = match &list.disabled {
        None => false,
        Some(flag) => flag.read(item)?,
    };
    let last_used_unix_ms = match &list.last_used {
        None => None,
        Some(moment) => moment.read(item)?,
    };
    Some(Listed { id: CredentialId::new(id), label, disabled, last_used_unix_ms, hint })
}

/// Whether a text of the issuer's holds a whole secret: ids, labels and hints are printed.
pub(crate) fn tells(text: &str, fields: &Fields) -> bool {
    fields.secrets().any(|(_, secret)| {
        !secret.is_empty() && text.as_bytes().windows(secret.len()).any(|window| window == secret.expose())
    })
}

/// `Some(None)` if there is no text, `None` if there is something else than a text.
pub(crate) fn optional(pointer: Option<&Pointer>, item: &Value) -> Option<Option<String>> {
    match pointer.and_then(|pointer| pointer.find(item)) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => None,
    }
}

impl Flag {
    /// Yes, no, or `None` where the value has a type that the spec does not foresee.
    pub(crate) fn read(&self, item: &Value) -> Option<bool> {
        let found = self.at.find(item)?;
        let known = self.is.iter().any(|value| match value {
            Scalar::Bool(_) => found.is_boolean(),
            Scalar::Number(_) => found.is_i64() || found.is_u64(),
            Scalar::Text(_) => found.is_string(),
        });
        known.then(|| self.is.iter().any(|value| value.equals(found)))
    }
}

impl Moment {
    /// Milliseconds since 1970, `Some(None)` for no data, `None` where it cannot be read.
    pub(crate) fn read(&self, item: &Value) -> Option<Option<u64>> {
        let found = match self.at.find(item) {
            None | Some(Value::Null) => return Some(None),
            Some(found) => found,
        };
        let ms = match self.form {
            MomentForm::Rfc3339 => {
                let time: jiff::Timestamp = found.as_str()?.parse().ok()?;
                u64::try_from(time.as_millisecond()).ok()?
            }
            MomentForm::UnixS => found.as_u64()?.checked_mul(1_000)?,
            MomentForm::UnixMs => found.as_u64()?,
        };
        Some(Some(ms))
    }
}
