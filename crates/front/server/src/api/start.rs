//! Starts what an operator asks for, and waits until it has begun.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use keyroll_app::records::acts::Act;
use keyroll_app::records::rotation_ids::no_rotation;
use keyroll_app::reports::operate::{self, Named};
use keyroll_codes::Code;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::ledger::standing;
use super::shown::{RotationShown, told, unread};
use crate::answer::Refusal;
use crate::drives::{Drive, Errand, Operate, Step};
use crate::server::Server;
use crate::tokens::Caller;

/// The id in the path of a request.
pub(crate) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        // One that is not UTF-8.
        let other = |_| unread(&no_rotation().because("an id has only letters, digits and -"));
        id.map(|Path(id)| Self(id)).map_err(other)
    }
}

/// A rotation that a caller named.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) secret: String,
    /// None: its plan waits for its turn.
    pub(super) named: Option<Box<Named>>,
}

/// The rotation whose id begins so, or the plan that waits for its turn. If several are meant, none is found.
pub(super) async fn find(server: &Arc<Server>, given: &str) -> Result<Found, Response> {
    let (given, others) = (given.to_owned(), server.drives.operated());
    let read = server.blocking(move |installation| {
        let places = installation.places()?;
        let id = operate::meant(&given, others, &places)?;
        Ok(match operate::named(&id, &places) {
            Ok(named) => (id, Ok(Box::new(named))),
            Err(problem) if problem.code == Code::NameNotFound => (id, Err(problem)),
            Err(problem) => return Err(problem),
        })
    });
    match read.await {
        Ok((id, Ok(named))) => Ok(Found { id, secret: named.row.secret.clone(), named: Some(named) }),
        Ok((id, Err(problem))) => match server.drives.operating(&id) {
            Some((secret, _)) => Ok(Found { id, secret, named: None }),
            None => Err(unread(&problem)),
        },
        Err(problem) => Err(unread(&problem)),
    }
}

impl Found {
    /// Refuses what is asked of a rotation that has ended.
    pub(super) fn refuse_ended(&self) -> Result<(), Refusal> {
        match self.named.as_ref().is_some_and(|named| named.row.ended && !named.row.owes) {
            true => {
                let why = "the rotation has ended: nothing was done";
                Err(Refusal { rotation: Some(self.id.clone()), ..Refusal::new(why) })
            }
            false => Ok(()),
        }
    }
}

/// Starts it, unless it is being done already. `what` is said in the log. One request at a time decides: the caller holds
/// `server.deciding`.
pub(super) async fn start(
    server: &Arc<Server>,
    _deciding: &MutexGuard<'_, ()>,
    caller: &Caller,
    secret: &str,
    operate: Operate,
    what: &str,
) -> Result<Arc<Drive>, Box<Response>> {
    if let Some(drive) = server.drives.any(secret) {
        match beside(&drive, secret, &operate) {
            Beside::Same => return Ok(drive),
            Beside::Instead => {}
            Beside::InTheWay(refusal) => return Err(Box::new(refusal.answered(StatusCode::CONFLICT))),
        }
    }
    if let Err(after) = server.asked(secret) {
        let why = "too many requests for this secret within a minute: nothing was begun by this one";
        let later = Refusal::new(why).later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1);
        return Err(Box::new(later));
    }
    server.log(&format!("{secret}: {what}, by the token {}", caller.name));
    let act = caller.asks(operate.step.word(), secret, Some(&operate.rotation));
    let act = Act { detail: operate.step.consents().map(str::to_owned), ..act };
    server.record(act).await.map_err(|problem| Box::new(Refusal::of(&problem).soon()))?;
    server.drives.begin(secret, Errand::Operate(operate), caller.asker()).map_err(|error| {
        server.log(&format!("{secret}: could not write down what is begun: {error}"));
        let why = format!("what is begun could not be written down ({error}): nothing was begun");
        Box::new(Refusal::new(why).soon())
    })
}

/// What a driver of the secret that is there already means for a request.
pub(crate) enum Beside {
    /// It does what is asked for.
    Same,
    /// It makes way.
    Instead,
    InTheWay(Refusal),
}

pub(crate) fn beside(drive: &Drive, secret: &str, operate: &Operate) -> Beside {
    let its = drive.rotation();
    let same = its.as_ref() == Some(&operate.rotation);
    let help = its.as_ref().map(|id| format!("keyroll status {id}"));
    let in_the_way = |why: String| {
        Beside::InTheWay(Refusal { rotation: its.clone(), help: help.clone(), ..Refusal::new(why) })
    };
    if !drive.is_quiet() {
        return in_the_way(format!("an emergency of {secret} is under way: nothing was begun"));
    }
    // Also before its turn: who wants another end resumes it once it has rolled back, or is paused.
    if drive.operate().is_some_and(|does| does.step == Step::Abort) && operate.step != Step::Abort {
        return in_the_way(format!("a rotation of {secret} is being rolled back: nothing was begun"));
    }
    let plain = match &operate.step {
        Step::Apply(_) => true,
        Step::Resume(accept) => accept.is_empty(),
        Step::Consent | Step::Confirm(_) | Step::Retry | Step::Abort => false,
    };
    // What is due is driven without anything accepted, and with the consent of the configuration.
    let does = drive.operate().map_or(same && plain, |does| does.includes(operate));
    let applies = matches!(operate.step, Step::Apply(_));
    let retries = operate.step == Step::Retry;
    match (does, same, &its) {
        (true, _, _) => Beside::Same,
        (false, false, Some(other)) => {
            in_the_way(format!("the rotation {other} of {secret} is being driven: nothing was begun"))
        }
        (false, true, _) if applies => {
            in_the_way(format!("this plan of {secret} is being applied already: nothing was begun"))
        }
        // What is driven is not stuck, and is not interrupted for it.
        (false, true, _) if retries => {
            in_the_way(format!("the rotation of {secret} is being driven: nothing was retried"))
        }
        (false, true | false, _) => Beside::Instead,
    }
}

/// Waits until the driver has begun or refused, or the caller's time is over, and answers how far it is.
pub(super) async fn follow(server: &Arc<Server>, drive: &Drive, id: &str, wait: Duration) -> Response {
    let mut seen = drive.seen.clone();
    let _ = timeout(wait, seen.wait_for(|seen| seen.ended || seen.rotation.is_some())).await;
    let now = seen.borrow().clone();
    if now.ended && now.rotation.is_none() {
        return not_begun(server, id, now.kept_from);
    }
    match shown(server, id).await {
        Ok(shown) => shown.answered(),
        Err(response) => response,
    }
}

fn not_begun(server: &Server, id: &str, kept_from: bool) -> Response {
    let rotation = Some(id.to_owned());
    let silent = |why: &str| {
        let help = Some(format!("keyroll status {id}"));
        Refusal { rotation: Some(id.to_owned()), help, ..Refusal::new(why) }
    };
    match server.drives.refusals.of(id) {
        _ if kept_from => silent(
            "the server stops, or another request or an emergency of the secret took its place: nothing was begun",
        )
        .soon(),
        Some(refused) => told(&refused.told, rotation),
        None => silent("the driver ended before anything was begun, and did not say why").soon(),
    }
}

/// The rotation as it stands, or what became of its plan.
pub(super) async fn shown(server: &Arc<Server>, given: &str) -> Result<RotationShown, Response> {
    let (given, tokens) = (given.to_owned(), server.tokens.clone());
    let mut others = server.drives.operated();
    others.extend(server.drives.refusals.ids());
    let read = server.blocking(move |installation| {
        let places = installation.places()?;
        let id = operate::meant(&given, others, &places)?;
        let named = match operate::named(&id, &places) {
            Ok(named) => named,
            Err(problem) if problem.code == Code::NameNotFound => return Ok(Err((id, problem))),
            Err(problem) => return Err(problem),
        };
        let approvals = match named.consent {
            true => Some(standing(&named, &installation.config()?, &places, &tokens)?),
            false => None,
        };
        Ok(Ok((named.row, approvals)))
    });
    let (id, problem) = match read.await {
        Ok(Ok((row, approvals))) => {
            return Ok(RotationShown { approvals, ..RotationShown::of(row, server) });
        }
        Ok(Err(unbegun)) => unbegun,
        Err(problem) => return Err(unread(&problem)),
    };
    if let Some((secret, drive)) = server.drives.operating(&id) {
        let runs = drive.seen.borrow().runs;
        return Ok(RotationShown::queued(&id, &secret, runs));
    }
    server.drives.refusals.of(&id).map(RotationShown::refused).ok_or_else(|| unread(&problem))
}
