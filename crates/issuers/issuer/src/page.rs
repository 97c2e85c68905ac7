use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::pointer::Pointer;

/// How keyroll requests the next page of a list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The kind of pagination.
    pub(crate) kind: PageKind,
    /// With `cursor` and `address`: the position of the next cursor, or of the address of the next page, in the answer. It is
    /// null, absent or empty on the last page.
    pub(crate) next: Option<Pointer>,
    /// With `cursor`: the position of a boolean in the answer that says whether there is another page.
    pub(crate) more: Option<Pointer>,
    /// With `cursor`, `offset` and `number`: the name of the query parameter that selects the page.
    pub(crate) query: Option<String>,
    /// With `number`: the number of the first page. Default 1.
    #[serde(default = "one")]
    pub(crate) first: u64,
}

fn one() -> u64 {
    1
}

/// The kinds of pagination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PageKind {
    /// No pagination: one answer contains the whole list.
    None,
    /// Each answer contains a cursor, which the request for the next page sends.
    Cursor,
    /// The query parameter is the number of items to skip. A page without items ends the list.
    Offset,
    /// The query parameter is the number of the page. A page without items ends the list.
    Number,
    /// The answer has a `Link` header with `rel="next"` (RFC 8288), which must name the same host and path.
    Link,
    /// The answer contains the address of the next page, which must be on the same host and path.
    Address,
}

/// The next page to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is no further page.
    End,
    /// Another page, with this query parameter.
    Query(String, String),
    /// Another page, with this whole query as the issuer wrote it.
    Link(String),
    /// The answer does not say where the next page is: the list is incomplete.
    Broken,
}

impl Page {
    /// The query parameter of the first page, where one must be given.
    pub(crate) fn start(&self) -> Option<(String, String)> {
        match self.kind {
            PageKind::Offset => Some((self.query.clone()?, "0".to_owned())),
            PageKind::Number => Some((self.query.clone()?, self.first.to_string())),
            PageKind::None | PageKind::Cursor | PageKind::Link | PageKind::Address => None,
        }
    }

    /// What follows a page that held `items`, after `pages` pages and `seen` items in all.
    pub(crate) fn after(&self, answer: &Answer, items: usize, pages: u64, seen: usize) -> Step {
        match self.kind {
            PageKind::None => Step::End,
            PageKind::Cursor => self.cursor(answer.json().unwrap_or(&Value::Null)),
            PageKind::Offset if items == 0 => Step::End,
            PageKind::Offset => self.ask(seen.to_string()),
            PageKind::Number if items == 0 => Step::End,
            PageKind::Number => self.ask(self.first.saturating_add(pages).to_string()),
            PageKind::Link => link(answer),
            PageKind::Address => self.address(answer),
        }
    }

    fn ask(&self, value: String) -> Step {
        self.query.clone().map_or(Step::Broken, |name| Step::Query(name, value))
    }

    fn address(&self, answer: &Answer) -> Step {
        let found = self.next.as_ref().zip(answer.json()).and_then(|(pointer, json)| pointer.find(json));
        match found {
            None | Some(Value::Null) => Step::End,
            Some(found) => match found.as_str() {
                Some("") => Step::End,
                Some(target) => same_path(answer, target),
                None => Step::Broken,
            },
        }
    }

    fn cursor(&self, json: &Value) -> Step {
        let more = match &self.more {
            None => None,
            Some(pointer) => match pointer.find(json).and_then(Value::as_bool) {
                Some(more) => Some(more),
                None => return Step::Broken,
            },
        };
        let found = self.next.as_ref().and_then(|pointer| pointer.find(json));
        let next = self.next.as_ref().and_then(|pointer| pointer.text(json));
        let odd = found.is_some_and(|found| !found.is_null() && found.as_str() != Some("")) && next.is_none();
        match (more, next) {
            (Some(false), _) => Step::End,
            (Some(true) | None, Some(cursor)) => self.ask(cursor),
            (Some(true), None) => Step::Broken,
            (None, None) if odd => Step::Broken,
            (None, None) => Step::End,
        }
    }
}

/// The next page by the `Link` header, on the same host and path only: a list is never followed elsewhere.
fn link(answer: &Answer) -> Step {
    let Some(header) = answer.link() else { return Step::End };
    let next = header.split(',').find_map(|entry| {
        let (target, parameters) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let named = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        named.then_some(target)
    });
    next.map_or(Step::End, |target| same_path(answer, target))
}

/// A whole address, or one without a host, that differs from what was asked in its query only.
fn same_path(answer: &Answer, target: &str) -> Step {
    let local = match target.split_once("://") {
        Some((_, rest)) => match rest.split_once('/') {
            Some((authority, local)) if authority == answer.asked().authority => format!("/{local}"),
            Some(_) | None => return Step::Broken,
        },
        None => target.to_owned(),
    };
    match local.split_once('?') {
        Some((to, query))
            if to == answer.asked().path.as_str()
                && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') =>
        {
            Step::Link(query.to_owned())
        }
        Some(_) | None => Step::Broken,
    }
}
