//! The pages of a list.

use serde_json::Value;

use super::super::request::Request;

/// What an address of a page has in its query beside what was asked.
pub(super) const START: &str = "start";

/// The address of the page that begins here.
pub(super) fn next_page(request: &Request, start: usize) -> String {
    let kept = request.queries();
    let kept = kept.iter().filter(|(name, _)| *name != START);
    let kept: String = kept.map(|(name, text)| format!("&{name}={text}")).collect();
    format!("{}?{START}={start}{kept}", request.path)
}

/// Whether a list has one page. A next one would be in a header, where that is a link, and none is needed.
pub(super) fn is_whole(page: &Value) -> bool {
    page["kind"] == "none" || page["kind"] == "link"
}
