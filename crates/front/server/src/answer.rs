//! The answers, as JSON. They hold names, counts and keyed fingerprints; never a value.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyroll_app::operator::{Outcome, StatusShown};
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_app::reports::emergency::Standing;
use serde::Serialize;

/// When a request that keyroll cannot answer now is worth another try, seconds.
const SOON_S: u64 = 5;

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Every consumer was proven on the new key.
    Rotated,
    /// Consumers are being moved.
    Rolling,
    /// It waits for a person.
    Waiting,
    /// No consumer was moved, and the old key is in use.
    RolledBack,
}

/// One rotation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Rotation {
    pub(crate) status: Status,
    pub(crate) secret_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_hash: Option<String>,
    pub(crate) rotation: String,
    /// When it began, UTC.
    pub(crate) began: String,
    pub(crate) moved: usize,
    pub(crate) of: usize,
    pub(crate) old_key: &'static str,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// What is known to hold the old key, and is not moved by this rotation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) still_on_old: Vec<String>,
    /// The next command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl Rotation {
    /// The rotation as it stands. `driven`: one of this server's processes drives it, or will in its turn. `revokes`: the
    /// configuration consents to revoking the old key in an emergency, and then it is not done before that.
    pub(crate) fn of(name: &str, standing: Standing, driven: bool, revokes: bool) -> Self {
        let Standing { row, new_hash, still } = standing;
        let status = status(&row, driven, revokes);
        Self {
            status,
            secret_name: name.to_owned(),
            new_hash,
            rotation: row.id.clone(),
            began: row.began.clone(),
            moved: row.moved,
            of: row.units.len(),
            old_key: old_key(&row),
            why: match status {
                Status::Rotated => row.why.clone(),
                // A pause between two drivers is nothing to act on.
                Status::Rolling if row.why.is_some() => None,
                Status::Rolling => {
                    row.waiting.as_ref().map(|waiting| format!("waiting for {}", waiting.what))
                }
                Status::Waiting | Status::RolledBack => {
                    let waiting = row.waiting.as_ref().map(|waiting| waiting.what.clone());
                    let why = row.why.clone().or(waiting);
                    why.or_else(|| Some("no process drives it: send the same request again".to_owned()))
                }
            },
            still_on_old: still,
            next: match status {
                Status::Rolling => Some(format!("keyroll status -w {}", row.id)),
                // Also before the driver asks for it: the old key is what is left.
                Status::Rotated if !row.ended && row.blocked_by.is_empty() && !row.decided => {
                    Some(format!("keyroll resume {} --confirm={}", row.id, row.secret))
                }
                Status::Rotated | Status::Waiting | Status::RolledBack => row.next.clone(),
            },
        }
    }

    pub(crate) fn answered(self) -> Response {
        let code = match self.status {
            Status::Rotated => StatusCode::OK,
            Status::Rolling | Status::Waiting => StatusCode::ACCEPTED,
            Status::RolledBack => StatusCode::CONFLICT,
        };
        let mut response = json(code, &self);
        if code == StatusCode::ACCEPTED {
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/secret-status"));
        }
        response
    }
}

/// Dead means that the issuer was seen to refuse it; an end that was only asked for is `revoked`.
fn old_key(row: &StatusShown) -> &'static str {
    match (row.outcome, row.old_key.state) {
        (Some(Outcome::Done), "ended") => "dead",
        (_, "ended") => "revoked",
        (_, "on") => "alive",
        (_, "off") => "disabled",
        (_, "perhaps on") => "perhaps alive",
        (_, "perhaps off") => "perhaps disabled",
        (_, _) => "unknown",
    }
}

/// How far a rotation is; `driven` and `revokes` as in [`Rotation::of`].
pub(crate) fn status(row: &StatusShown, driven: bool, revokes: bool) -> Status {
    let revokes = revokes && row.emergency.is_some();
    let all = !row.units.is_empty() && row.moved == row.units.len();
    match row.outcome {
        Some(Outcome::RolledBack) => Status::RolledBack,
        _ if all && (!revokes || old_key(row) == "dead") => Status::Rotated,
        _ if driven || row.driver.is_some() => Status::Rolling,
        _ => Status::Waiting,
    }
}

/// A refusal: what was wrong, what did not happen, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    pub(crate) status: &'static str,
    pub(crate) error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rotation: Option<String>,
}

impl Refusal {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { status: "refused", error: error.into(), code: None, help: None, rotation: None }
    }

    /// What keyroll itself could not do.
    pub(crate) fn of(problem: &Problem) -> Self {
        let (code, help) = (Some(problem.code.to_string()), problem.help.clone());
        Self { code, help, ..Self::new(problem.sentence()) }
    }

    pub(crate) fn answered(self, code: StatusCode) -> Response {
        json(code, &self)
    }

    /// What keeps keyroll from it may be over in seconds.
    pub(crate) fn soon(self) -> Response {
        self.later(StatusCode::SERVICE_UNAVAILABLE, SOON_S)
    }

    /// With the time after which the same request may succeed.
    pub(crate) fn later(self, code: StatusCode, seconds: u64) -> Response {
        let mut response = self.answered(code);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        response
    }
}

/// Every answer passes the redactor, which knows the forms of credentials. What a driver told has passed its own, which
/// knows the values.
pub(crate) fn json<T: Serialize>(code: StatusCode, body: &T) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    let text = redact::pass(&text).into_owned() + "\n";
    let mut response = (code, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
