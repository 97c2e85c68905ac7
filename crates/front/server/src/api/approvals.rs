//! `POST /v1/rotations/{id}/approve`: the consent to the end of an old key, by as many tokens as the configuration asks
//! for.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::places::Places;
use keyroll_app::problem::Problem;
use keyroll_app::records::acts;
use keyroll_app::reports::operate::{self, Named};
use keyroll_config::Config;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body;
use super::ledger::{ApprovalsShown, Now, approvers, change, needed, now_s};
use super::shown::{RotationShown, unread};
use super::start::{Beside, Found, Id, beside, find, follow, start};
use crate::answer::{Refusal, json};
use crate::drives::{Drive, Operate, Step};
use crate::request;
use crate::server::Server;
use crate::tokens::Caller;

/// The consent to the end of an old key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// The name of the rotation's secret: it shows that the caller means this one.
    secret: String,
}

/// What an approval led to.
struct Recorded {
    named: Named,
    approvals: ApprovalsShown,
    /// Waivers that came later made earlier approvals void.
    void: bool,
}

/// Why an approval is not taken.
enum Refused {
    OtherSecret,
    NotAwaited(Box<Named>),
}

/// An approval by this token.
struct Asked {
    id: String,
    secret: String,
    caller: Caller,
    /// The file of the tokens.
    tokens: PathBuf,
}

/// Takes an approval down, if the rotation waits for it.
fn record(asked: &Asked, config: &Config, places: &Places) -> Result<Result<Recorded, Refused>, Problem> {
    let named = operate::named(&asked.id, places)?;
    if named.row.secret != asked.secret {
        return Ok(Err(Refused::OtherSecret));
    }
    if !named.consent {
        return Ok(Err(Refused::NotAwaited(Box::new(named))));
    }
    let now = Now { waived: &named.waived, valid: &approvers(&asked.tokens)?, at_s: now_s() };
    acts::record(&asked.caller.asks("approve", &asked.secret, Some(&named.row.id)), places)?;
    let (void, given) = change(places, |ledger| {
        let entry = ledger.entry(named.row.id.clone()).or_default();
        (entry.add(&asked.caller.id, &now), entry.counts(&now))
    })?;
    let approvals = ApprovalsShown { given, of: needed(config) };
    Ok(Ok(Recorded { named, approvals, void }))
}

/// Approves the end of the old key, which cannot be undone. With enough approvals the rotation goes on.
#[utoipa::path(
    post,
    path = "/v1/rotations/{id}/approve",
    tag = "approvals",
    request_body = Approval,
    params(
        ("id" = String, Path, description = "The id of the rotation, or its beginning"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)"),
    ),
    responses(
        (status = 200, description = "Another approval is needed, or the rotation has ended", body = RotationShown),
        (status = 202, description = "The rotation goes on, or waits", body = RotationShown),
        (status = 400, description = "The body is not understood"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
        (status = 409, description = "The rotation does not wait for it, or an emergency is under way"),
        (status = 422, description = "The rotation is of another secret"),
        (status = 429, description = "Too many requests for this secret"),
    ),
)]
pub(crate) async fn approve(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    let Approval { secret } = body::read(request, "{\"secret\": \"NAME\"}").await?;
    let Found { id, secret: its_secret, .. } = find(&server, &id).await?;
    let (its, of) = (server.clone(), id.clone());
    // One who hangs up must not end what is half done.
    let deciding = tokio::spawn(async move { decide(&its, &caller, &of, (&secret, &its_secret)).await });
    let decided = deciding.await.map_err(|_| Refusal::new("the approval could not be taken").soon())?;
    match decided? {
        Decision::Goes(drive) => Ok(follow(&server, &drive, &id, wait).await),
        Decision::Waits(recorded) => Ok(json(StatusCode::OK, &waits(*recorded, &server))),
    }
}

enum Decision {
    /// There are enough.
    Goes(Arc<Drive>),
    Waits(Box<Recorded>),
}

/// One request at a time decides. The approval is written down before anything is begun by it.
async fn decide(
    server: &Arc<Server>,
    caller: &Caller,
    id: &str,
    (secret, its_secret): (&str, &str),
) -> Result<Decision, Response> {
    let deciding = server.deciding.lock().await;
    let operate = Operate { rotation: id.to_owned(), step: Step::Consent };
    if let Some(drive) = server.drives.any(secret) {
        match beside(&drive, secret, &operate) {
            Beside::Same => return Ok(Decision::Goes(drive)),
            Beside::Instead => {}
            // Nothing is taken down that could not be used.
            Beside::InTheWay(refusal) => return Err(refusal.answered(StatusCode::CONFLICT)),
        }
    }
    if let Err(after) = server.asked(its_secret) {
        let why = "too many requests for this secret within a minute: nothing was approved by this one";
        return Err(Refusal::new(why).later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1));
    }
    let asked = Asked {
        id: id.to_owned(),
        secret: secret.to_owned(),
        caller: caller.clone(),
        tokens: server.tokens.clone(),
    };
    let recorded =
        server.blocking(move |installation| record(&asked, &installation.config()?, &installation.places()?));
    let recorded = match recorded.await {
        Ok(Ok(recorded)) => recorded,
        Ok(Err(refused)) => {
            server.record_refused(caller.asker(), "approve", format!("rotation {id} does not wait for it"));
            return Err(refused.answered(id));
        }
        Err(problem) => return Err(unread(&problem)),
    };
    // Why earlier ones did not count is told once.
    server.drives.refusals.forget(id);
    let ApprovalsShown { given, of } = &recorded.approvals;
    server.log(&format!(
        "{secret}: the token {} approved the end of the old key ({} of {of}, rotation {id})",
        caller.name,
        given.len()
    ));
    if given.len() < usize::from(*of) {
        return Ok(Decision::Waits(Box::new(recorded)));
    }
    let what =
        format!("the end of the old key is approved by {}: rotation {id} goes on", given.join(" and "));
    let started = start(server, &deciding, caller, secret, operate, &what).await;
    started.map(Decision::Goes).map_err(|answer| *answer)
}

impl Refused {
    fn answered(self, id: &str) -> Response {
        let rotation = Some(id.to_owned());
        match self {
            Self::OtherSecret => {
                let why = "`secret` is not the secret of this rotation: nothing was approved";
                let help = Some(format!("keyroll status {id} shows its secret"));
                let refusal = Refusal { rotation, help, ..Refusal::new(why) };
                refusal.answered(StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::NotAwaited(named) => {
                let row = named.row;
                let waits = row.waiting.map(|waiting| format!("it waits for {}", waiting.what));
                let ended = if row.ended { "it has ended" } else { "it does not wait" };
                let why = row.why.or(waits).unwrap_or_else(|| ended.to_owned());
                let refusal = Refusal {
                    rotation,
                    help: row.next,
                    ..Refusal::new(format!("the rotation does not wait for an approval: {why}"))
                };
                refusal.answered(StatusCode::CONFLICT)
            }
        }
    }
}

/// The rotation, which waits for another approval.
fn waits(recorded: Recorded, server: &Server) -> RotationShown {
    let Recorded { named, approvals, void } = recorded;
    let (given, of) = (approvals.given.len(), approvals.of);
    let mut why = format!("{given} of {of} approvals were given: another token must approve");
    if void {
        why += "; earlier approvals do not count any more, because a waiver was added after them";
    }
    RotationShown { why: Some(why), approvals: Some(approvals), ..RotationShown::of(named.row, server) }
}
