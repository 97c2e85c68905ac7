//! `POST /rotate-secret`: begins an emergency, or answers how far the one is that the same request began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::exit::Exit;
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::records::acts::Act;
use keyroll_app::reports::emergency::{Open, open_rotation, recent_emergency, row, standing};
use keyroll_app::session::emergency::{Known, known};
use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_secret::SecretBytes;
use tokio::time::{sleep, timeout};

use crate::answer::{ProblemAnswer, Refusal, Rotation, Status, status};
use crate::drives::{Drive, Errand};
use crate::request::{self, Asked, BODY_BYTES_MAX};
use crate::seen::{Seen, Told};
use crate::server::Server;
use crate::tokens::Caller;

/// How often a rotation is looked at while a request waits for it.
const LOOK: Duration = Duration::from_millis(200);
/// How long a request waits beyond its own limit until the key is sealed: before that, nothing is answered as begun.
const SEALED_MAX: Duration = Duration::from_secs(60);
/// A request without a value within this time of an emergency's beginning means the same emergency.
const SAME: Duration = Duration::from_secs(600);

/// Begins an emergency.
///
/// The same request again means the same rotation: it never begins twice.
#[utoipa::path(
    post,
    path = "/rotate-secret",
    tag = "emergency",
    request_body = request::Body,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: answer within N s (default 25, at most 600)")),
    responses(
        (status = 200, description = "Every consumer was proven on the new key", body = Rotation),
        (status = 202, description = "It goes on, or waits for a person", body = Rotation),
        (status = 400, description = "The body is not understood"),
        (status = 404, description = "No secret has this name"),
        (status = 409, description = "It was rolled back, or could not begin", content(
            (Rotation = "application/json"),
            (ProblemAnswer = "application/problem+json"),
        )),
        (status = 408, description = "The body took too long"),
        (status = 413, description = "The body is too large"),
        (status = 422, description = "The issuer refuses the key, or it cannot be one of this issuer"),
    ),
)]
pub(crate) async fn rotate(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let wait = request::wait(request.headers());
    let asked = match read(request).await {
        Ok(asked) => asked,
        Err(response) => return response,
    };
    let begun = Instant::now();
    loop {
        return match decide(&server, &caller, asked.duplicate()).await {
            Ok(Decision::Follow { drive, name, revokes }) => {
                let response = follow(&server, &drive, (&name, revokes), wait).await;
                match response.status().is_success() && took_another(&server, &drive, asked.duplicate()).await
                {
                    true => moves_to_another(&name, drive.seen.borrow().rotation.clone())
                        .answered(StatusCode::CONFLICT),
                    false => response,
                }
            }
            Ok(Decision::Show { id, name, revokes }) => shown(&server, &id, (&name, revokes), wait).await,
            // It stops as soon as it needs a key, or at once; the next one takes this one in.
            Ok(Decision::After(drive)) if begun.elapsed() < wait.max(SEALED_MAX) => {
                let _ = timeout(LOOK, drive.seen.clone().changed()).await;
                sleep(LOOK).await;
                continue;
            }
            Ok(Decision::After(_)) => checking(),
            Err(response) => response,
        };
    }
}

/// Whether the rotation moves to another key than the one of the request: an operator may have brought one meanwhile.
async fn took_another(server: &Arc<Server>, drive: &Drive, asked: Asked) -> bool {
    let rotation = drive.seen.borrow().rotation.clone();
    let Asked { name, value: Some(value) } = asked else { return false };
    let its = server.blocking(move |installation| {
        let config = installation.config()?;
        let Ok(secret) = meant(&config, &name)? else { return Ok(None) };
        // It may have ended long after it began.
        known(secret, value, Duration::MAX, &installation.places()?).map(Some)
    });
    matches!(its.await, Ok(Some(known)) if rotation.is_none_or(|id| known != Known::Rotation(id)))
}

/// The secret that the caller named, or why there is none.
fn meant<'c>(config: &'c Config, name: &str) -> Result<Result<&'c Secret, &'static str>, Problem> {
    let Some(server) = &config.server else { return Ok(Err("keyroll.toml has no [server] any more")) };
    match server.meant(name, &config.secrets) {
        Ok(meant) => keyroll_app::configured::secret(config, meant.as_str()).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

async fn read(request: Request) -> Result<Asked, Response> {
    let mut bytes = request::body(request, BODY_BYTES_MAX).await?;
    request::read(std::mem::take(&mut *bytes)).map_err(|why| {
        Refusal::new(format!("the body is not understood: {why}")).answered(StatusCode::BAD_REQUEST)
    })
}

/// What a request leads to.
enum Decision {
    /// It waits for a driver.
    Follow { drive: Arc<Drive>, name: String, revokes: bool },
    /// Its rotation is driven by nobody here: it has ended, or waits for a person.
    Show { id: String, name: String, revokes: bool },
    /// A driver runs without a key, in a rotation that needs one, or its rotation has ended.
    After(Arc<Drive>),
}

/// What is known before anything is begun.
struct Look {
    secret: String,
    revokes: bool,
    known: Known,
    open: Option<Open>,
    recent: Option<String>,
    value: Option<SecretBytes>,
}

fn look(installation: &Installation, asked: Asked) -> Result<Result<Look, &'static str>, Problem> {
    let Asked { name, value } = asked;
    let config = installation.config()?;
    let secret = match meant(&config, &name)? {
        Ok(secret) => secret,
        Err(why) => return Ok(Err(why)),
    };
    let places = installation.places()?;
    let name = secret.name.as_str();
    // Only a request without a value can mean the last emergency.
    let (known, recent) = match &value {
        Some(value) => (known(secret, value.duplicate(), SAME, &places)?, None),
        None => (Known::No, recent_emergency(name, SAME, &places)?),
    };
    Ok(Ok(Look {
        secret: name.to_owned(),
        revokes: secret.emergency_revoke,
        known,
        open: open_rotation(name, &places)?,
        recent,
        value,
    }))
}

/// One request at a time decides, so that two equal ones begin one rotation.
async fn decide(server: &Arc<Server>, caller: &Caller, asked: Asked) -> Result<Decision, Response> {
    let _one = server.deciding.lock().await;
    let name = asked.name.clone();
    let look = match server.blocking(move |installation| look(installation, asked)).await {
        Ok(Ok(look)) => look,
        Ok(Err(why)) => {
            let help = Some("GET /secret-status lists the secrets".to_owned());
            return Err(Refusal { help, ..Refusal::new(why) }.answered(StatusCode::NOT_FOUND));
        }
        Err(problem) => return Err(not_begun(&problem)),
    };
    let (secret, revokes) = (look.secret.clone(), look.revokes);
    if let Some(drive) = server.drives.of(&secret) {
        let rotation = drive.seen.borrow().rotation.clone();
        let its = rotation.as_ref().is_some_and(|id| look.known == Known::Rotation(id.clone()));
        let lacks_key = look.open.as_ref().is_some_and(|open| open.takes_key) && !drive.has_value();
        // It has ended, and its process has not yet: what is asked for next begins after that.
        let is_over = rotation.is_some() && look.open.is_none();
        return match its || server.drives.is_with(&drive, look.value.as_ref()) {
            true => Ok(Decision::Follow { drive, name, revokes }),
            false if is_over || (lacks_key && look.known == Known::No) => Ok(Decision::After(drive)),
            false => Err(moves_to_another(&secret, rotation).answered(StatusCode::CONFLICT)),
        };
    }
    let errand = match course(look) {
        Course::Start(errand) => errand,
        Course::Show(id) => return Ok(Decision::Show { id, name, revokes }),
        Course::Refuse(refusal) => return Err(refusal.answered(StatusCode::CONFLICT)),
    };
    if let Err(after) = server.begun(&secret) {
        let why = "too many requests for this secret within a minute: nothing was begun by this one";
        return Err(Refusal::new(why).later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1));
    }
    let what = match &errand {
        Errand::Begin(Some(_)) => "asked for an emergency with a new key",
        Errand::Begin(None) => "asked for an emergency",
        Errand::Contain(_) => "asked for an incident to be contained",
        Errand::Resume(_) => "asked for the open rotation, which goes on as an emergency",
        Errand::Due(_) => "asked for what is due",
        Errand::Operate(_) => "asked for a step of a rotation",
    };
    server.log(&format!("{secret}: {what}, by the token {}", caller.name));
    let brings = matches!(errand, Errand::Begin(Some(_))).then(|| "with a new key".to_owned());
    let about = match &errand {
        Errand::Resume(id) | Errand::Contain(id) => Some(id.as_str()),
        Errand::Begin(_) | Errand::Due(_) | Errand::Operate(_) => None,
    };
    let act = Act { detail: brings, ..caller.asks("emergency", &secret, about) };
    server.record(act).await.map_err(|problem| not_begun(&problem))?;
    match server.drives.begin(&secret, errand, caller.asker()) {
        Ok(drive) => Ok(Decision::Follow { drive, name, revokes }),
        Err(error) => {
            server.log(&format!("{secret}: could not write down what is begun: {error}"));
            let why = format!("what is begun could not be written down ({error}): nothing was begun");
            Err(Refusal::new(why).soon())
        }
    }
}

/// What a request leads to, where nothing drives its secret.
enum Course {
    Start(Errand),
    /// This rotation is the one that the request means, and there is nothing to start.
    Show(String),
    Refuse(Refusal),
}

fn course(look: Look) -> Course {
    let Look { secret, revokes, known, open, recent, value } = look;
    // An open rotation goes on as an emergency, unless it is one that a process drives, or that a person must act for.
    let on = |open: Open| match open.emergency && !open.goes_on(revokes) {
        true => Course::Show(open.id),
        false => Course::Start(Errand::Resume(open.id)),
    };
    match (known, open, value) {
        (Known::Version(which), _, _) => {
            let own = which.strip_prefix(secret.as_str()).is_some_and(|rest| rest.starts_with(" v"));
            let whose = if own { which } else { "another secret".to_owned() };
            Course::Refuse(Refusal::new(format!("this is the value of {whose} already: nothing was begun")))
        }
        (Known::Rotation(id), Some(open), _) if open.id == id => on(open),
        (Known::Rotation(id), _, _) => Course::Show(id),
        (Known::No, Some(open), Some(_)) if !open.takes_key => {
            Course::Refuse(moves_to_another(&secret, Some(open.id)))
        }
        (Known::No, Some(open), None) => on(open),
        (Known::No, None, None) if recent.is_some() => Course::Show(recent.unwrap_or_default()),
        (Known::No, _, value) => Course::Start(Errand::Begin(value)),
    }
}

fn moves_to_another(secret: &str, rotation: Option<String>) -> Refusal {
    let why = format!("{secret} is being moved to another key: nothing was begun with this one");
    let status = rotation.as_ref().map(|id| format!("keyroll status {id}; "));
    let help = format!("{}to speed it up, send the request without `new_value`", status.unwrap_or_default());
    Refusal { rotation, help: Some(help), ..Refusal::new(why) }
}

/// Nothing could be read, so nothing was begun.
fn not_begun(problem: &Problem) -> Response {
    let error = format!("{}; nothing was begun", problem.sentence());
    let refusal = Refusal { error, ..Refusal::of(problem) };
    if problem.code == Code::MintByHand {
        return refusal.answered(StatusCode::UNPROCESSABLE_ENTITY);
    }
    refusal.soon()
}

/// The secret as the caller named it, and whether the configuration consents to revoking its old key.
type Name<'a> = (&'a str, bool);

/// Waits until every consumer has moved, or the caller's time is over.
async fn follow(server: &Arc<Server>, drive: &Drive, name: Name<'_>, wait: Duration) -> Response {
    let begun = Instant::now();
    let mut seen = drive.seen.clone();
    loop {
        let now = seen.borrow_and_update().clone();
        match (now.rotation.as_ref().filter(|_| now.sealed), &now.problem) {
            (None, Some(told)) if now.ended => return refused(told, now.rotation),
            (None, None) if now.ended => return unexplained(now.rotation),
            (None, _) if begun.elapsed() >= wait.max(SEALED_MAX) => return checking(),
            (None, _) => {}
            (Some(id), _) if now.ended || begun.elapsed() >= wait => {
                return told(server, id, name, &now).await;
            }
            // If the journal is busy or gone, the caller's time decides.
            (Some(id), _) if look_at(server, id, name.1, true).await == Some(Status::Rotated) => {
                return told(server, id, name, &now).await;
            }
            (Some(_), _) => {}
        }
        let _ = timeout(LOOK, seen.changed()).await;
        if seen.has_changed().is_err() {
            sleep(LOOK).await;
        }
    }
}

/// A rotation that another process drives, or that has ended.
async fn shown(server: &Arc<Server>, id: &str, name: Name<'_>, wait: Duration) -> Response {
    let begun = Instant::now();
    while begun.elapsed() < wait && look_at(server, id, name.1, false).await == Some(Status::Rolling) {
        sleep(LOOK).await;
    }
    told(server, id, name, &Seen::ended()).await
}

/// How far it is; the answer says more, and takes longer to make.
async fn look_at(server: &Arc<Server>, id: &str, revokes: bool, driven: bool) -> Option<Status> {
    let its = id.to_owned();
    let row = server.blocking(move |installation| row(&its, &installation.places()?)).await;
    row.ok().map(|row| status(&row, driven, revokes))
}

/// The key is in memory alone so far.
fn checking() -> Response {
    let why = "keyroll still looks at the issuer and at this machine, or waits for another rotation: the key is not \
               sealed yet, and may still be used";
    let help =
        Some("send the same request again: it does not begin twice; do not make another key".to_owned());
    let refusal = Refusal { status: "checking", help, ..Refusal::new(why) };
    refusal.soon()
}

/// The rotation as it stands. A driver that ended with a problem says why it waits.
async fn told(server: &Arc<Server>, id: &str, (name, revokes): Name<'_>, seen: &Seen) -> Response {
    let its = id.to_owned();
    let standing = server.blocking(move |installation| standing(&its, &installation.places()?)).await;
    match standing {
        Ok(standing) => {
            let mut rotation = Rotation::of(name, standing, !seen.ended, revokes);
            if let (Some(told), Status::Waiting | Status::RolledBack) = (&seen.problem, rotation.status) {
                rotation.why = Some(told.sentence());
                rotation.next = told.help.clone().or(rotation.next);
            }
            rotation.answered()
        }
        Err(problem) => {
            let refusal = Refusal {
                code: Some(problem.code.to_string()),
                rotation: Some(id.to_owned()),
                help: Some(format!("keyroll status {id}")),
                ..Refusal::new(format!(
                    "the rotation was begun, and how far it is could not be read: {}",
                    problem.causes.join(": ")
                ))
            };
            refusal.soon()
        }
    }
}

/// Nothing was begun, for the reason that the driver told.
fn refused(told: &Told, rotation: Option<String>) -> Response {
    // The rotation is open, and the key could not be sealed for it: the same request again does that.
    let again = "send the same request again".to_owned();
    let open = rotation.is_some();
    let refusal = Refusal {
        code: Some(told.code.clone()),
        help: if open { Some(again) } else { told.help.clone() },
        rotation,
        ..Refusal::new(told.sentence())
    };
    if open {
        return refusal.soon();
    }
    let is = |code| told.is(code);
    // Another process has the state folder, and does not let go: the next request may find it free.
    if is(Code::OtherDriver) {
        return refusal.soon();
    }
    if told.exit == Exit::Held.number() {
        return refusal.answered(StatusCode::CONFLICT);
    }
    if is(Code::MintByHand) || is(Code::ValueRefused) {
        return refusal.answered(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if [Code::RequestFailed, Code::IssuerUnreachable, Code::StateUnusable, Code::Stopped].into_iter().any(is)
    {
        return refusal.soon();
    }
    // The machine or its configuration does not allow it now; the sentence says what to change.
    refusal.answered(StatusCode::CONFLICT)
}

fn unexplained(rotation: Option<String>) -> Response {
    let (why, help) = match &rotation {
        Some(_) => (
            "the rotation was opened, and its driver ended before the key was sealed",
            "send the same request again",
        ),
        None => (
            "the driver ended before anything was begun, and did not say why",
            "keyroll emergency SECRET, at a terminal, says why",
        ),
    };
    let refusal = Refusal { help: Some(help.to_owned()), rotation, ..Refusal::new(why) };
    refusal.soon()
}
