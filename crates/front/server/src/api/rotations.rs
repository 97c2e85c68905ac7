//! `/v1/rotations`: the rotations, and what an operator does with them.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::operator::Outcome;
use keyroll_app::records::rotation_ids::rotation_id;
use keyroll_app::records::saved_plan::Saved;
use keyroll_app::reports::operate;
use keyroll_codes::Code;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::body::{self, AcceptedName};
use super::child::lines;
use super::shown::{RotationShown, told, unread};
use super::start::{Found, Id, find, follow, shown, start};
use crate::answer::{Refusal, json};
use crate::drives::{Drive, Operate, Step};
use crate::request;
use crate::seen::Told;
use crate::server::Server;
use crate::tokens::Caller;

/// The rotations.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rotations {
    /// The open ones and the last that ended, the newest first.
    rotations: Vec<RotationShown>,
}

/// The plan that is applied.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// The id of the plan, or its beginning; the rotation has the same id.
    plan: String,
    /// The pending changes that restarts may make live, by name.
    #[serde(default)]
    #[schema(value_type = Vec<AcceptedName>, max_items = 64)]
    accept: Vec<String>,
}

/// What is accepted when a rotation goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resume {
    /// The pending changes that restarts may make live, by name.
    #[serde(default)]
    #[schema(value_type = Vec<AcceptedName>, max_items = 64)]
    accept: Vec<String>,
}

/// What a command says that ends by itself.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Error(Told),
    #[serde(other)]
    Other,
}

/// The open rotations and the last that ended, as `keyroll status` shows them.
#[utoipa::path(
    get,
    path = "/v1/rotations",
    tag = "rotations",
    responses(
        (status = 200, description = "The rotations, the newest first", body = Rotations),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
    ),
)]
pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    match server.blocking(|installation| operate::all(&installation.places()?)).await {
        Ok(rows) => {
            let rotations = rows.into_iter().map(|row| RotationShown::of(row, &server)).collect();
            json(StatusCode::OK, &Rotations { rotations })
        }
        Err(problem) => unread(&problem),
    }
}

/// One rotation, or what became of the plan that was to be applied.
#[utoipa::path(
    get,
    path = "/v1/rotations/{id}",
    tag = "rotations",
    params(("id" = String, Path, description = "The id of the rotation, or its beginning")),
    responses(
        (status = 200, description = "The rotation", body = RotationShown),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
    ),
)]
pub(crate) async fn one(State(server): State<Arc<Server>>, Id(id): Id) -> Response {
    match shown(&server, &id).await {
        Ok(shown) => json(StatusCode::OK, &shown),
        Err(response) => response,
    }
}

/// Applies a plan.
///
/// The answer comes once the rotation has begun or was refused.
#[utoipa::path(
    post,
    path = "/v1/rotations",
    tag = "rotations",
    request_body = Begin,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)")),
    responses(
        (status = 200, description = "The rotation has ended", body = RotationShown),
        (status = 202, description = "The rotation goes on, or waits", body = RotationShown),
        (status = 400, description = "The body is not understood"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No plan has this id"),
        (status = 409, description = "The plan is stale, or a rotation of the secret is in the way"),
        (status = 422, description = "The plan cannot be applied by the server"),
        (status = 429, description = "Too many requests for this secret"),
    ),
)]
pub(crate) async fn begin(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    let form = "{\"plan\": \"ID\", \"accept\": []}";
    let Begin { plan, accept } = body::read(request, form).await?;
    let accept = body::names(accept).map_err(|refusal| refusal.answered(StatusCode::BAD_REQUEST))?;
    let saved = server.blocking(move |installation| {
        rotation_id(&plan)?;
        Saved::meant(&installation.places()?, &plan)
    });
    let saved = saved.await.map_err(|problem| unread(&problem))?;
    let (id, secret) = (saved.id, saved.secret);
    if !saved.shares.is_empty() {
        let why = "this plan splits a key, which is several rotations: the server does not apply it";
        let help = Some(format!("keyroll apply {id}, at a terminal"));
        let refusal = Refusal { help, ..Refusal::new(why) };
        return Err(refusal.answered(StatusCode::UNPROCESSABLE_ENTITY));
    }
    // The same request again is answered with the same rotation.
    if let Ok(Found { named: Some(named), .. }) = find(&server, &id).await {
        if named.row.outcome != Some(Outcome::RolledBack) {
            return Ok(shown(&server, &id).await?.answered());
        }
        let why = "this plan was applied, and its rotation was rolled back: nothing was begun";
        let help = Some(format!("keyroll plan {secret}, which makes another plan"));
        let refusal = Refusal { rotation: Some(id), help, ..Refusal::new(why) };
        return Err(refusal.answered(StatusCode::CONFLICT));
    }
    stepped(&server, &caller, Found { id, secret, named: None }, Step::Apply(accept), wait).await
}

/// Goes on with a rotation.
#[utoipa::path(
    post,
    path = "/v1/rotations/{id}/resume",
    tag = "rotations",
    request_body(content = Option<Resume>, description = "May be left out"),
    params(
        ("id" = String, Path, description = "The id of the rotation, or its beginning"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)"),
    ),
    responses(
        (status = 200, description = "The rotation has ended", body = RotationShown),
        (status = 202, description = "The rotation goes on, or waits", body = RotationShown),
        (status = 400, description = "The body is not understood"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
        (status = 409, description = "The rotation does not allow it, or an emergency is under way"),
        (status = 422, description = "The rotation needs a person at a terminal"),
        (status = 429, description = "Too many requests for this secret"),
    ),
)]
pub(crate) async fn resume(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    let Resume { accept } = body::read_or_default(request, "{\"accept\": [\"NAME\"]}").await?;
    let accept = body::names(accept).map_err(|refusal| refusal.answered(StatusCode::BAD_REQUEST))?;
    let found = find(&server, &id).await?;
    stepped(&server, &caller, found, Step::Resume(accept), wait).await
}

/// Retries the step at which a rotation is stuck or paused.
#[utoipa::path(
    post,
    path = "/v1/rotations/{id}/retry",
    tag = "rotations",
    params(
        ("id" = String, Path, description = "The id of the rotation, or its beginning"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)"),
    ),
    responses(
        (status = 200, description = "The rotation has ended", body = RotationShown),
        (status = 202, description = "The rotation goes on, or waits", body = RotationShown),
        (status = 400, description = "The request has a body"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
        (status = 409, description = "It is being driven, it has ended, or an emergency is under way"),
        (status = 422, description = "The rotation needs a person at a terminal"),
        (status = 429, description = "Too many requests for this secret"),
    ),
)]
pub(crate) async fn retry(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    body::none(request).await?;
    let found = find(&server, &id).await?;
    stepped(&server, &caller, found, Step::Retry, wait).await
}

/// Rolls a rotation back to the old key.
#[utoipa::path(
    post,
    path = "/v1/rotations/{id}/abort",
    tag = "rotations",
    params(
        ("id" = String, Path, description = "The id of the rotation, or its beginning"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)"),
    ),
    responses(
        (status = 200, description = "The rotation has ended", body = RotationShown),
        (status = 202, description = "The rotation rolls back, or waits", body = RotationShown),
        (status = 400, description = "The request has a body"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
        (status = 409, description = "It cannot be rolled back: it is an emergency, or the old key is being revoked"),
        (status = 429, description = "Too many requests for this secret"),
    ),
)]
pub(crate) async fn abort(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    body::none(request).await?;
    let found = find(&server, &id).await?;
    if found.named.is_none() {
        let why = "the plan waits for its turn, so there is nothing to roll back";
        let help = Some(format!("POST /v1/rotations/{}/pause withdraws it", found.id));
        let refusal = Refusal { rotation: Some(found.id), help, ..Refusal::new(why) };
        return Err(refusal.answered(StatusCode::CONFLICT));
    }
    stepped(&server, &caller, found, Step::Abort, wait).await
}

/// Begins the step with the rotation, unless that has ended.
async fn stepped(
    server: &Arc<Server>,
    caller: &Caller,
    found: Found,
    step: Step,
    wait: Duration,
) -> Result<Response, Response> {
    found.refuse_ended().map_err(conflict)?;
    let Found { id, secret, .. } = found;
    let what = match &step {
        Step::Apply(_) => format!("asked to apply the plan {id}"),
        Step::Resume(_) | Step::Consent | Step::Confirm(_) => format!("asked to go on with rotation {id}"),
        Step::Retry => format!("asked to retry the step of rotation {id}"),
        Step::Abort => format!("asked to roll back rotation {id}"),
    };
    let operate = Operate { rotation: id.clone(), step };
    let drive = {
        let deciding = server.deciding.lock().await;
        start(server, &deciding, caller, &secret, operate, &what).await.map_err(|answer| *answer)?
    };
    Ok(follow(server, &drive, &id, wait).await)
}

/// Pauses a rotation after the step in hand; a plan that waits for its turn is withdrawn.
#[utoipa::path(
    post,
    path = "/v1/rotations/{id}/pause",
    tag = "rotations",
    params(
        ("id" = String, Path, description = "The id of the rotation, or its beginning"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)"),
    ),
    responses(
        (status = 200, description = "The plan was withdrawn before it began, or the rotation has ended", body = RotationShown),
        (status = 202, description = "It is paused, or pauses after the step in hand", body = RotationShown),
        (status = 400, description = "The request has a body"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No rotation has this id"),
        (status = 409, description = "It has ended, or another process does not release the rotation"),
    ),
)]
pub(crate) async fn pause(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Response> {
    let wait = request::wait(request.headers());
    body::none(request).await?;
    let found = find(&server, &id).await?;
    let id = found.id.clone();
    found.refuse_ended().map_err(conflict)?;
    // A caller who does not wait must not end what is half done.
    let work = tokio::spawn(paused(server.clone(), caller, found));
    if let Ok(done) = timeout(wait, work).await {
        match done {
            Ok(result) => result?,
            Err(_) => return Err(Refusal::new("the rotation could not be paused").soon()),
        }
    }
    Ok(match shown(&server, &id).await {
        Ok(shown) => shown.answered(),
        Err(response) => response,
    })
}

fn conflict(refusal: Refusal) -> Response {
    refusal.answered(StatusCode::CONFLICT)
}

/// Ends the driver of this server, and records the pause where that one did not.
async fn paused(server: Arc<Server>, caller: Caller, found: Found) -> Result<(), Response> {
    let Found { id, secret, named } = found;
    let open = named.is_some_and(|named| !named.row.ended);
    // A pause is safe, and must be possible without a journal that can be written.
    if server.asked(&secret).is_ok()
        && let Err(problem) = server.record(caller.asks("pause", &secret, Some(&id))).await
    {
        server.log(&format!("{secret}: the pause is not recorded: {}", problem.sentence()));
    }
    let asked =
        || server.log(&format!("{secret}: asked to pause rotation {id}, by the token {}", caller.name));
    let drive = {
        let _one = server.deciding.lock().await;
        // A quiet one that has not said its rotation goes on with the open one. An emergency may begin another one.
        let its = |drive: &Drive| match drive.rotation() {
            Some(rotation) => rotation == id,
            None => open && drive.is_quiet(),
        };
        match server.drives.any(&secret).is_some_and(|drive| its(&drive)) {
            true => server.drives.withdraw(&secret).inspect(|_| asked()),
            false => None,
        }
    };
    if let Some(drive) = &drive {
        drive.ended().await;
    }
    let given = id.clone();
    match server.blocking(move |installation| operate::named(&given, &installation.places()?)).await {
        Ok(named) if named.held || named.row.ended => return Ok(()),
        Ok(_) => {}
        Err(problem) if problem.code == Code::NameNotFound && drive.is_some() => {
            server.drives.refusals.withdrawn(&secret, &id);
            return Ok(());
        }
        Err(problem) => return Err(unread(&problem)),
    }
    // What is paused already is asked for as often as anybody likes, and is not in the log.
    if drive.is_none() {
        asked();
    }
    let failed = |why: String| {
        server.log(&format!("{secret}: could not pause rotation {id}: {why}"));
        Refusal::new("the rotation could not be paused; the server's log says why").soon()
    };
    let (said, status) =
        lines::<Line>(&server, &["pause", &id]).await.map_err(|error| failed(error.to_string()))?;
    let error = said.into_iter().find_map(|line| match line {
        Line::Error(told) => Some(told),
        Line::Other => None,
    });
    match error {
        Some(problem) => Err(told(&problem, Some(id))),
        None if status.code().is_none() => Err(failed(format!("keyroll pause ended with {status}"))),
        None => Ok(()),
    }
}
