//! What every check of a spec is made of.

use crate::caller::Caller;
use crate::matcher::Matcher;
use crate::operation::Request;

/// Two parts of a spec that contradict each other, and the key that has the contradiction.
pub(crate) struct Contradiction {
    /// Keys from the top, joined by dots.
    pub(crate) path: String,
    /// A sentence.
    pub(crate) message: String,
}

pub(super) type Checked = Result<(), Contradiction>;

pub(super) fn fault(path: &str, message: impl Into<String>) -> Contradiction {
    Contradiction { path: path.to_owned(), message: message.into() }
}

pub(super) fn require(holds: bool, path: &str, message: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(fault(path, message)) }
}

pub(super) fn header_name(name: &str, path: &str) -> Checked {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    require(
        !name.is_empty() && name.bytes().all(token),
        path,
        "a header's name is letters, digits and dashes",
    )?;
    let ours = ["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "upgrade"];
    let taken = ours.iter().any(|taken| name.eq_ignore_ascii_case(taken));
    require(!taken, path, "this header is set by the client itself")
}

/// A matcher may not name a status that proves nothing.
pub(super) fn settling(matcher: &Matcher, path: &str) -> Checked {
    require(!matcher.status.is_empty(), path, "a case names its statuses")?;
    let settles = |status: &u16| matches!(status, 200..=299 | 400..=499) && ![408, 425, 429].contains(status);
    let why = "408, 425, 429, 5xx, redirects and 1xx always mean unknown: no case may list them";
    require(matcher.status.iter().all(settles), path, why)
}

/// A request goes to a host of its caller (`name`), and has one body and its own headers.
pub(super) fn sendable(request: &Request, caller: &Caller, name: &str, path: &str) -> Checked {
    let allowed = caller.hosts.contains(&request.url.host);
    require(allowed, path, format!("this url's host and port are not in {name}.hosts"))?;
    let bodies = request.json.is_none() || request.form.is_none();
    require(bodies, path, "a request has `json` or `form`, not both")?;
    request.header.keys().try_for_each(|header| header_name(header, path))
}
