use std::collections::BTreeSet;
use std::time::Duration;

use keyroll_port::{Failure, Listed, Listing};
use keyroll_secret::{Credential, CredentialId, Fields};
use serde_json::Value;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::call::Call;
use crate::document::IdForm;
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

/// Up to here every whole number of milliseconds is exact in a JSON number.
const MS_MAX: f64 = 9_007_199_254_740_992.0;

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
    /// Reads page after page and hands over each item; `each` says what is wrong with it, if anything is. The result is why
    /// the list may not be whole, `None` if it is. A first page that cannot be read is a failure.
    pub(crate) async fn walk(
        &self,
        call: &Call<'_>,
        values: &Values<'_>,
        mut each: impl FnMut(&Value) -> Result<(), String> + Send,
    ) -> Result<Option<String>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(LIST_MS_MAX);
        let (mut asked, mut link) = (self.page.start(), None::<String>);
        let mut steps = BTreeSet::new();
        let (mut pages, mut seen, mut why) = (0, 0, None);
        loop {
            let at = Values { page: asked.as_ref(), link: link.as_deref(), ..*values };
            let answer = match call.succeed(&at, self.ok).await {
                Ok(answer) => answer,
                Err(failure) if pages == 0 => return Err(failure),
                Err(_) => return Ok(Some(format!("its page {} could not be read", pages + 1))),
            };
            let Some(items) = self.items(&answer) else {
                if pages == 0 {
                    return Err(call.nonsense(&answer, "the list is not where the spec says, or is no list"));
                }
                return Ok(Some(format!("its page {} is not where the spec says", pages + 1)));
            };
            for (at, item) in (seen + 1..).zip(items) {
                let wrong = each(item).err();
                why = why.or_else(|| wrong.map(|wrong| format!("its item {at}: {wrong}")));
            }
            pages += 1;
            seen += items.len();
            let step = self.page.after(&answer, items.len(), pages, seen);
            match &step {
                Step::End => return Ok(why),
                Step::Broken => return Ok(Some("it does not say where its next page is".to_owned())),
                Step::Query(name, value) => asked = Some((name.clone(), value.clone())),
                Step::Link(query) => link = Some(query.clone()),
            }
            let again = !steps.insert(format!("{step:?}"));
            if again || pages >= PAGES_MAX || seen > ITEMS_MAX || Instant::now() >= deadline {
                return Ok(Some(format!("it did not end within {pages} pages")));
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
    let incomplete = pages
        .walk(call, values, |item| {
            let entry = listed(call.document.id_form, list, item, &current.fields)?;
            let ended =
                list.ended.as_ref().map_or(Ok(false), |flag| flag.read(item).ok_or_else(|| flag.unread()))?;
            // An id that comes twice means that the pages moved while they were read: one may have been skipped.
            if !ids.insert(entry.id.clone()) {
                return Err("its id comes twice".to_owned());
            }
            if !ended {
                entries.push(entry);
            }
            Ok(())
        })
        .await?;
    Ok(Listing { entries, complete: incomplete.is_none(), incomplete })
}

/// One item, if every part that the spec names has the right type; otherwise which part has not.
fn listed(form: IdForm, list: &List, item: &Value, fields: &Fields) -> Result<Listed, String> {
    let id = list.id.text(item).map(|text| form.id(text)).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| format!("`id` at {} is no id", list.id))?;
    let read = |name: &str, at: Option<&Pointer>| {
        optional(at, item).ok_or_else(|| format!("`{name}`{} is no text", shown(at)))
    };
    let (label, hint) = (read("label", list.label.as_ref())?, read("hint", list.hint.as_ref())?);
    let texts = [Some(&id), label.as_ref(), hint.as_ref()];
    let sound = texts.into_iter().flatten().all(|text| text.len() <= TEXT_BYTES_MAX && !tells(text, fields));
    if !sound {
        return Err("a text in it is too long, or holds the value".to_owned());
    }
    let disabled = match &list.disabled {
        None => false,
        Some(flag) => flag.read(item).ok_or_else(|| flag.unread())?,
    };
    let last_used_unix_ms = match &list.last_used {
        None => None,
        Some(moment) => moment.read(item).ok_or_else(|| moment.unread())?,
    };
    Ok(Listed { id: CredentialId::new(id), label, disabled, last_used_unix_ms, hint })
}

fn shown(at: Option<&Pointer>) -> String {
    at.map(|at| format!(" at {at}")).unwrap_or_default()
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
    /// That it cannot be read.
    fn unread(&self) -> String {
        format!("what is at {} is no flag that the spec foresees", self.at)
    }

    /// Yes, no, or `None` where the value has a type that the spec does not foresee.
    pub(crate) fn read(&self, item: &Value) -> Option<bool> {
        let Some(found) = self.at.find(item) else { return self.absent };
        let known = self.is.iter().any(|value| match value {
            Scalar::Bool(_) => found.is_boolean(),
            Scalar::Number(_) => found.is_i64() || found.is_u64(),
            Scalar::Text(_) => found.is_string(),
        });
        known.then(|| self.is.iter().any(|value| value.equals(found)))
    }
}

impl Moment {
    /// That it cannot be read.
    fn unread(&self) -> String {
        format!("what is at {} is no time of the form {}", self.at, self.form.word())
    }

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
            MomentForm::UnixS => ms(found, 1_000)?,
            MomentForm::UnixMs => ms(found, 1)?,
        };
        Some(Some(ms))
    }
}

/// A number as whole milliseconds. A part of one counts as a whole: a later use ends fewer windows.
fn ms(found: &Value, each: u32) -> Option<u64> {
    if let Some(whole) = found.as_u64() {
        return whole.checked_mul(each.into());
    }
    let ms = (found.as_f64()? * f64::from(each)).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the range")]
    (0.0..MS_MAX).contains(&ms).then_some(ms as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_of_seconds_may_have_a_part_and_a_part_of_a_millisecond_counts_as_a_whole() {
        let all = [
            (json!(1_795_165_200), Some(1_795_165_200_000)),
            (json!(1_795_165_200.25), Some(1_795_165_200_250)),
            (json!(0.0001), Some(1)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!(-0.5), None),
            (json!(1e300), None),
            (json!(u64::MAX), None),
            (json!("1795165200"), None),
        ];
        for (number, wanted) in all {
            assert_eq!(ms(&number, 1_000), wanted, "{number}");
        }
    }
}
