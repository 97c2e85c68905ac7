//! A rotation as the API shows it, and the status of a refusal.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use keyroll_app::exit::Exit;
use keyroll_app::operator::StatusShown;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use serde::Serialize;
use utoipa::ToSchema;

use super::ledger::ApprovalsShown;
use crate::answer::{Refusal, json};
use crate::drives::Refused;
use crate::seen::Told;
use crate::server::Server;

/// What happens with a rotation now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RotationState {
    /// This server drives it in its turn.
    Queued,
    /// A process drives it.
    Driven,
    /// It is open, and no process drives it: `why` and `next` say what it waits for.
    Waiting,
    /// It has ended.
    Ended,
    /// It did not begin: `why`, `code` and `next` say what its driver met.
    Refused,
}

/// One rotation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Rotation)]
pub(crate) struct RotationShown {
    /// Its id.
    pub(crate) rotation: String,
    pub(crate) secret: String,
    pub(crate) state: RotationState,
    /// What it waits for, or why it did not begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The code of the error: `keyroll explain CODE` says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The next command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// While it waits for the consent to the end of the old key; not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approvals: Option<ApprovalsShown>,
    /// All that is known of it, once it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<StatusShown>,
}

/// What a driver of this server does: the rotation that it is about, if that is known, and whether it has the turn.
type Drives = (Option<String>, bool);

impl RotationShown {
    /// A rotation that is in the journal.
    pub(super) fn of(row: StatusShown, server: &Server) -> Self {
        let drive = server.drives.any(&row.secret);
        let drive = drive.map(|drive| (drive.rotation(), drive.seen.borrow().runs));
        // Its driver may still be ending; a debt may be paid.
        let state = match row.ended && !row.owes {
            true => RotationState::Ended,
            false => state(&row.id, row.ended, row.driver.is_some(), drive.as_ref()),
        };
        let told = match state {
            RotationState::Waiting => server.drives.refusals.of(&row.id),
            RotationState::Queued | RotationState::Driven | RotationState::Ended | RotationState::Refused => {
                None
            }
        };
        // What came into the journal since then says more.
        let told = told.filter(|refused| refused.at_s >= row.last_s).map(|refused| refused.told);
        let waits = || row.waiting.as_ref().map(|waiting| format!("waiting for {}", waiting.what));
        let (why, next) = match state {
            RotationState::Queued | RotationState::Driven => (None, None),
            RotationState::Waiting | RotationState::Ended | RotationState::Refused => {
                (row.why.clone().or_else(waits), row.next.clone())
            }
        };
        let (why, code, next) = overlaid(why, next, told, row.waits_for_person());
        Self {
            rotation: row.id.clone(),
            secret: row.secret.clone(),
            state,
            why,
            code,
            next,
            approvals: None,
            status: Some(row),
        }
    }

    /// A plan that is applied in its turn; nothing of it is in the journal yet.
    pub(super) fn queued(rotation: &str, secret: &str, runs: bool) -> Self {
        Self {
            rotation: rotation.to_owned(),
            secret: secret.to_owned(),
            state: if runs { RotationState::Driven } else { RotationState::Queued },
            why: None,
            code: None,
            next: None,
            approvals: None,
            status: None,
        }
    }

    /// A plan whose driver refused.
    pub(super) fn refused(refused: Refused) -> Self {
        let Refused { rotation, secret, told, .. } = refused;
        Self {
            state: RotationState::Refused,
            why: Some(told.sentence()),
            code: Some(told.code),
            next: told.help,
            ..Self::queued(&rotation, &secret, false)
        }
    }

    /// The answer to a request that drives.
    pub(super) fn answered(self) -> Response {
        let going = match self.state {
            RotationState::Queued | RotationState::Driven | RotationState::Waiting => true,
            RotationState::Ended | RotationState::Refused => false,
        };
        let mut response = json(if going { StatusCode::ACCEPTED } else { StatusCode::OK }, &self);
        let place = HeaderValue::from_str(&format!("/v1/rotations/{}", self.rotation));
        if let (true, Ok(place)) = (going, place) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response
    }
}

/// Why the rotation waits, the code and the next command, with what its last driver met. Where a `person` must act, that
/// comes first: the driver's problem is behind it, and its command would hide the one that is needed.
fn overlaid(
    why: Option<String>,
    next: Option<String>,
    told: Option<Told>,
    person: bool,
) -> (Option<String>, Option<String>, Option<String>) {
    match (told, why) {
        (None, why) => (why, None, next),
        (Some(told), Some(why)) if person => {
            (Some(format!("{why}; the last driver {}", told.sentence())), None, next)
        }
        (Some(told), _) => (Some(told.sentence()), Some(told.code), told.help.or(next)),
    }
}

/// What happens with the rotation. `driven`: a process drives it, of this server or another.
fn state(id: &str, ended: bool, driven: bool, drive: Option<&Drives>) -> RotationState {
    // A driver that has not said its rotation goes on with the open one, or begins the next one.
    let its = |(rotation, _): &&Drives| rotation.as_ref().map_or(!ended, |its| its == id);
    match drive.filter(its) {
        Some((_, true)) => RotationState::Driven,
        Some((_, false)) => RotationState::Queued,
        None if ended => RotationState::Ended,
        None if driven => RotationState::Driven,
        None => RotationState::Waiting,
    }
}

/// Why a driver, or another command, refused.
pub(super) fn told(told: &Told, rotation: Option<String>) -> Response {
    let refusal = Refusal {
        code: Some(told.code.clone()),
        help: told.help.clone(),
        rotation,
        ..Refusal::new(told.sentence())
    };
    match status(told) {
        StatusCode::SERVICE_UNAVAILABLE => refusal.soon(),
        status => refusal.answered(status),
    }
}

fn status(told: &Told) -> StatusCode {
    let is = |code: &Code| told.is(*code);
    let soon = [
        Code::RequestFailed,
        Code::IssuerUnreachable,
        Code::StateUnusable,
        Code::StateDamaged,
        Code::NewerKeyroll,
        Code::Stopped,
    ];
    let wrong = [Code::UsageWrong, Code::MintByHand, Code::ValueRefused];
    if told.is(Code::NameNotFound) {
        StatusCode::NOT_FOUND
    } else if told.exit == Exit::Usage.number() || wrong.iter().any(is) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if told.exit != Exit::Held.number() && soon.iter().any(is) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        // The rotation, the machine or its configuration does not allow it now; the sentence says what to change.
        StatusCode::CONFLICT
    }
}

/// Why something could not be read here.
pub(super) fn unread(problem: &Problem) -> Response {
    let refusal = Refusal::of(problem);
    if problem.code == Code::NameNotFound {
        return refusal.answered(StatusCode::NOT_FOUND);
    }
    refusal.soon()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_counts_for_its_rotation() {
        let drive = |id: &str, runs| (Some(id.to_owned()), runs);
        let unknown = |runs| (None::<String>, runs);
        for (ended, driven, drive, state_) in [
            (false, false, None, RotationState::Waiting),
            (false, true, None, RotationState::Driven),
            (true, true, None, RotationState::Ended),
            (false, false, Some(drive("a", true)), RotationState::Driven),
            (false, false, Some(drive("a", false)), RotationState::Queued),
            (false, false, Some(drive("b", true)), RotationState::Waiting),
            (false, false, Some(unknown(true)), RotationState::Driven),
            (true, false, Some(unknown(true)), RotationState::Ended),
            (true, false, Some(drive("a", true)), RotationState::Driven),
        ] {
            assert_eq!(state("a", ended, driven, drive.as_ref()), state_, "{ended} {driven} {drive:?}");
        }
    }

    #[test]
    fn what_a_person_must_do_is_not_hidden_by_what_a_driver_met() {
        let told = Told {
            attempted: "resume the rotation".to_owned(),
            code: "K0828".to_owned(),
            causes: vec!["another process has it".to_owned()],
            help: Some("wait".to_owned()),
            exit: 1,
        };
        let text = |text: &str| Some(text.to_owned());
        let shown = |told, person| overlaid(text("it waits for consent"), text("resume it"), told, person);
        let met = "could not resume the rotation: another process has it";
        let both = format!("it waits for consent; the last driver {met}");
        assert_eq!(shown(Some(told.clone()), true), (Some(both), None, text("resume it")));
        assert_eq!(shown(Some(told), false), (text(met), text("K0828"), text("wait")));
        assert_eq!(shown(None, true), (text("it waits for consent"), None, text("resume it")));
    }

    #[test]
    fn the_status_of_a_refusal_says_whose_turn_it_is() {
        let told = |code: Code, exit: Exit| Told {
            attempted: "apply the plan".to_owned(),
            code: code.as_str().to_owned(),
            causes: Vec::new(),
            help: None,
            exit: exit.number(),
        };
        for (code, exit, number) in [
            (Code::NameNotFound, Exit::Failed, 404),
            (Code::UsageWrong, Exit::Usage, 422),
            (Code::OtherDriver, Exit::Held, 409),
            (Code::PlanStale, Exit::Failed, 409),
            (Code::StateDamaged, Exit::NeedsPerson, 503),
        ] {
            assert_eq!(status(&told(code, exit)).as_u16(), number, "{code:?}");
        }
    }
}
