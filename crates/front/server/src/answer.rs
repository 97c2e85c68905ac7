//! The answers, as JSON. They hold names, counts and keyed fingerprints; never a value.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyroll_app::operator::{Outcome, StatusShown};
use keyroll_app::problem::Problem;
use keyroll_app::records::next_words;
use keyroll_app::redact;
use keyroll_app::reports::emergency::Standing;
use keyroll_codes::Code;
use serde::Serialize;
use utoipa::ToSchema;

/// When a request that keyroll cannot answer now is worth another try, seconds.
const SOON_S: u64 = 5;
/// What a refusal is sent as: RFC 9457.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// The state of a refusal that says nothing beyond its status.
const PLAIN: &str = "refused";

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EmergencyStatus)]
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

/// An emergency, or another open rotation, as the emergency endpoint shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Emergency)]
pub(crate) struct Rotation {
    pub(crate) status: Status,
    /// The name that the request used.
    pub(crate) secret_name: String,
    /// The beginning of a fingerprint of the new key that only this installation can compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_hash: Option<String>,
    /// The id of the rotation.
    pub(crate) rotation: String,
    /// When it began, UTC.
    pub(crate) began: String,
    /// The consumers that were proven on the new key.
    pub(crate) moved: usize,
    /// All consumers.
    pub(crate) of: usize,
    /// `alive`, `disabled`, `revoked`, `dead`, `perhaps alive`, `perhaps disabled`, `unknown`.
    pub(crate) old_key: &'static str,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// What is known to hold the old key, and is not moved by this rotation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) still_on_old: Vec<String>,
    /// What was not visible to its driver, and may hold the old key too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_visible: Vec<String>,
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
            not_visible: row.not_visible.clone(),
            next: match status {
                Status::Rolling => Some(next_words::follow(&row.id)),
                // Also before the driver asks for it: the old key is what is left.
                Status::Rotated if !row.ended && row.blocked_by.is_empty() && !row.decided => {
                    Some(next_words::consent(&row.id, &row.secret))
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
pub(crate) fn old_key(row: &StatusShown) -> &'static str {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: &'static str,
    pub(crate) error: String,
    pub(crate) code: Option<String>,
    pub(crate) help: Option<String>,
    pub(crate) rotation: Option<String>,
}

/// A refusal as it is sent: a problem as in RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemAnswer {
    /// `urn:keyroll:` and the code of the error; `about:blank` if it has none.
    #[serde(rename = "type")]
    kind: String,
    /// The problem in a few words; the same for every problem of this type.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What was wrong, and what did not happen.
    detail: String,
    /// The code of the error: `keyroll explain CODE` says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// The rotation that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<String>,
    /// `checking`: nothing is refused yet, so send the same request again.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { status: PLAIN, error: error.into(), code: None, help: None, rotation: None }
    }

    /// What keyroll itself could not do.
    pub(crate) fn of(problem: &Problem) -> Self {
        let (code, help) = (Some(problem.code.to_string()), problem.help.clone());
        Self { code, help, ..Self::new(problem.sentence()) }
    }

    pub(crate) fn answered(self, status: StatusCode) -> Response {
        written(status, PROBLEM_JSON, &self.problem(status))
    }

    /// The problem itself, for what is no answer.
    pub(crate) fn problem(self, status: StatusCode) -> ProblemAnswer {
        let Self { status: state, error, code, help, rotation } = self;
        let known = code.as_deref().and_then(Code::parse);
        ProblemAnswer {
            kind: known.map_or_else(|| "about:blank".to_owned(), |code| format!("urn:keyroll:{code}")),
            title: known.map_or(status.canonical_reason().unwrap_or(PLAIN), Code::title),
            status: status.as_u16(),
            detail: error,
            code,
            help,
            rotation,
            state: (state != PLAIN).then_some(state),
        }
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

/// An answer that is no refusal.
pub(crate) fn json<T: Serialize>(code: StatusCode, body: &T) -> Response {
    written(code, "application/json", body)
}

/// Every answer passes the redactor, which knows the forms of credentials. What a driver told has passed its own, which
/// knows the values.
fn written<T: Serialize>(code: StatusCode, content_type: &'static str, body: &T) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    let text = redact::pass(&text).into_owned() + "\n";
    let mut response = (code, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem() {
        let text = |refusal: Refusal, status| serde_json::to_string(&refusal.problem(status)).unwrap();
        assert_eq!(
            text(Refusal::new("nothing was begun"), StatusCode::CONFLICT),
            r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"nothing was begun"}"#
        );
        let help = Some("send the same request again".to_owned());
        let slow = Refusal { status: "checking", help, ..Refusal::new("the key is not sealed yet") };
        assert_eq!(
            text(slow, StatusCode::SERVICE_UNAVAILABLE),
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"the key is not sealed yet","help":"send the same request again","state":"checking"}"#
        );
        let unknown = Problem::new(Code::NameNotFound, "find the secret").because("no secret has this name");
        let answered = Refusal::of(&unknown).answered(StatusCode::NOT_FOUND);
        assert_eq!(answered.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let problem = Refusal::of(&unknown).problem(StatusCode::NOT_FOUND);
        assert_eq!((problem.kind.as_str(), problem.title), ("urn:keyroll:K0805", Code::NameNotFound.title()));
        assert_eq!(problem.detail, "could not find the secret: no secret has this name");
    }
}
