//! `POST /alerts/…`: an alert of a leaked key opens an incident; if its value is exactly a stored one, an emergency begins.
//!
//! Nothing of an alert is read here: a process of its own, `keyroll incident open`, reads the body, compares its values
//! with the store, and says which incidents there are. This process checks only who sent it.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use keyroll_app::incidents::Source;
use keyroll_app::places::Asker;
use keyroll_app::problem::Problem;
use keyroll_app::records::acts::Act;
use keyroll_app::wall_clock;
use keyroll_codes::Code;
use keyroll_config::Alerts;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::answer::{Refusal, json};
use crate::counters::{Alerted, Reason, UNKNOWN};
use crate::drives::Errand;
use crate::guard::{closing, only, stranger};
use crate::listen::Connection;
use crate::request::body;
use crate::seen::Told;
use crate::server::Server;
use crate::signature::{self, Refused, secret, token};
use crate::tokens::Tokens;

/// The largest alert that is signed, bytes: it is read before it is known who sent it.
const SIGNED_BYTES_MAX: usize = 256 << 10;
/// The largest alert with a token, bytes. A larger report is read on the machine: `keyroll incident open`.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long reading an alert may take.
const READ_MAX: Duration = Duration::from_secs(60);
/// The longest answer of the process that reads, bytes.
const SAID_BYTES_MAX: u64 = 4 << 20;
/// The most incidents of one alert that are logged one by one.
const LOGGED_MAX: usize = 5;
/// The longest name of a delivery.
const DELIVERY_BYTES_MAX: usize = 128;

/// What the process that reads an alert says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Incident(Opened),
    Error(Told),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Opened {
    id: String,
    state: String,
    secret: Option<String>,
    #[serde(default)]
    acts: bool,
    #[serde(default)]
    known: bool,
}

/// The answer: no names of secrets, because the sender may be anybody who has the webhook's secret.
#[derive(Serialize)]
struct Answer {
    status: &'static str,
    incidents: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    incident: String,
    state: String,
    new: bool,
}

/// `POST /alerts/{source}`.
pub(crate) async fn take(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    // GitLab has addresses of its own.
    let source = Source::named(&name).filter(|source| *source != Source::Gitlab);
    let source = source.ok_or_else(|| {
        server.counters.alert(UNKNOWN, Alerted::Refused);
        not_there("no source of alerts has this name")
    })?;
    let opened = received(&server, source, request).await?;
    let incidents = opened.into_iter().map(|one| Entry {
        incident: one.id,
        state: if one.acts { "acts".to_owned() } else { one.state },
        new: !one.known,
    });
    Ok(json(StatusCode::ACCEPTED, &Answer { status: "taken", incidents: incidents.collect() }))
}

/// `POST /alerts/gitlab/revoke_tokens`.
pub(crate) async fn revoke_tokens(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<StatusCode, Response> {
    received(&server, Source::Gitlab, request).await.map(|_| StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Types {
    types: Vec<String>,
}

/// `GET /alerts/gitlab/revocable_token_types`.
pub(crate) async fn token_types(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let alerts = configured(&server).await?;
    believed(Source::Gitlab, &alerts, &headers, &[]).map_err(|why| why.answered(&server, Source::Gitlab))?;
    Ok(json(StatusCode::OK, &Types { types: alerts.gitlab_types }))
}

fn not_there(why: &str) -> Response {
    Refusal::new(why).answered(StatusCode::NOT_FOUND)
}

async fn configured(server: &Arc<Server>) -> Result<Alerts, Response> {
    let config = server.blocking(|installation| installation.config()).await;
    let config = config.map_err(|problem| Refusal::of(&problem).soon())?;
    let table = config.server.ok_or_else(|| not_there("keyroll.toml has no [server] any more"))?;
    Ok(table.alerts)
}

/// Takes an alert, and counts what became of it.
async fn received(server: &Arc<Server>, source: Source, request: Request) -> Result<Vec<Opened>, Response> {
    let opened = checked(server, source, request).await;
    let result = match &opened {
        Ok(_) => Alerted::Taken,
        Err(response) if response.status().is_server_error() => Alerted::Failed,
        Err(_) => Alerted::Refused,
    };
    server.counters.alert(source.name(), result);
    opened
}

/// Checks who sent an alert, and opens its incidents.
async fn checked(server: &Arc<Server>, source: Source, request: Request) -> Result<Vec<Opened>, Response> {
    let alerts = &configured(server).await?;
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let headers = request.headers().clone();
    let by_token = !matches!(source, Source::Github | Source::Gitguardian) && !is_signed(source, &headers);
    let answered = |why: NotBelieved| why.answered(server, source);
    match by_token {
        true => believed(source, alerts, &headers, &[]).map_err(answered)?,
        false => has_signature(source, alerts, &headers).map_err(answered)?,
    }
    let body = body(request, if by_token { BODY_BYTES_MAX } else { SIGNED_BYTES_MAX }).await?;
    if !by_token {
        believed(source, alerts, &headers, &body).map_err(answered)?;
    }
    if let Some(connection) = connection {
        connection.is_known();
    }
    // A sender that does not wait for the answer must not end what is half done.
    let (server, delivery) = (server.clone(), delivery(source, &headers));
    let work = async move { opened(&server, source, delivery, by_token, &body).await };
    match tokio::spawn(work).await {
        Ok(opened) => opened,
        Err(_) => Err(Refusal::new("the alert could not be read").soon()),
    }
}

/// A generic alert may be signed, or come with a token.
fn is_signed(source: Source, headers: &HeaderMap) -> bool {
    source == Source::Generic && headers.contains_key("webhook-signature")
}

/// Why an alert is not taken.
enum NotBelieved {
    /// The source has no secret in the configuration, under this key.
    NotSetUp(&'static str),
    /// It has no valid signature or token.
    Stranger(String),
    /// The file of its secret cannot be used.
    Unreadable(Box<Problem>),
}

impl NotBelieved {
    fn answered(self, server: &Arc<Server>, source: Source) -> Response {
        let name = source.name();
        match self {
            Self::NotSetUp(key) => {
                not_there(&format!("{name} is not set up: name `{key}` under [server.alerts]"))
            }
            Self::Unreadable(problem) => {
                if server.guesses.count(Instant::now()).is_ok() {
                    server.log(&format!("refused every alert of {name}: {}", problem.sentence()));
                }
                Refusal::new("the server cannot read its secret for this source; its log says why").soon()
            }
            // Who is not believed is answered so often, and then told to wait.
            Self::Stranger(why) => {
                server.record_refused(stranger(), "alert", format!("{name}: {why}"));
                closing(match server.guesses.count(Instant::now()) {
                    Ok(()) => {
                        server.counters.refused(Reason::NoToken);
                        server.log(&format!("refused an alert of {name}: {why}"));
                        Refusal::new(why).answered(StatusCode::UNAUTHORIZED)
                    }
                    Err(after) => {
                        server.counters.refused(Reason::TooMany);
                        Refusal::new("too many requests without a valid token or signature")
                            .later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1)
                    }
                })
            }
        }
    }
}

/// Nothing of a body is read whose sender does not even claim to sign it, or whose source is not set up.
fn has_signature(source: Source, alerts: &Alerts, headers: &HeaderMap) -> Result<(), NotBelieved> {
    let (names, key, file): (&[&str], _, _) = match source {
        Source::Github if signature::is_partner(headers) => {
            (&["github-public-key-signature"], "github_keys", &alerts.github_keys)
        }
        Source::Github => (&["x-hub-signature-256", "github-public-key-signature"], "github", &alerts.github),
        Source::Gitguardian => (&["gitguardian-signature"], "gitguardian", &alerts.gitguardian),
        Source::Gitlab
        | Source::Trufflehog
        | Source::Kingfisher
        | Source::Gitleaks
        | Source::Sarif
        | Source::Generic => (&["webhook-signature"], "generic", &alerts.generic),
    };
    if file.is_none() {
        return Err(NotBelieved::NotSetUp(key));
    }
    match names.iter().any(|name| headers.contains_key(*name)) {
        true => Ok(()),
        false => Err(NotBelieved::Stranger(format!("the alert has no signature: {}", names.join(" or ")))),
    }
}

/// Whether the alert comes from whom it says. `signed`: the body, where it is signed.
fn believed(source: Source, alerts: &Alerts, headers: &HeaderMap, signed: &[u8]) -> Result<(), NotBelieved> {
    let read = |path: &Option<PathBuf>, key: &'static str| {
        let path = path.as_ref().ok_or(NotBelieved::NotSetUp(key))?;
        secret(path).map_err(|problem| NotBelieved::Unreadable(Box::new(problem)))
    };
    let now_s = u64::try_from(wall_clock::now().timestamp().as_second()).unwrap_or_default();
    let told = match source {
        Source::Github if signature::is_partner(headers) => {
            signature::partner(headers, signed, &read(&alerts.github_keys, "github_keys")?)
        }
        Source::Github => signature::github(headers, signed, &read(&alerts.github, "github")?),
        Source::Gitguardian => {
            signature::gitguardian(headers, signed, &read(&alerts.gitguardian, "gitguardian")?, now_s)
        }
        Source::Generic if is_signed(source, headers) => {
            let secret = read(&alerts.generic, "generic")?;
            let path = alerts.generic.as_deref().unwrap_or(FilePath::new(""));
            let key = signature::webhook_key(&secret, path);
            let key = key.map_err(|problem| NotBelieved::Unreadable(Box::new(problem)))?;
            signature::standard(headers, signed, &key, now_s)
        }
        Source::Gitlab => signature::gitlab(headers, &read(&alerts.gitlab, "gitlab")?),
        Source::Trufflehog | Source::Kingfisher | Source::Gitleaks | Source::Sarif | Source::Generic => {
            let path = alerts.tokens.as_ref().ok_or(NotBelieved::NotSetUp("tokens"))?;
            let tokens = Tokens::read(path).map_err(|problem| NotBelieved::Unreadable(Box::new(problem)))?;
            match token(headers) {
                Some(token) if tokens.check(&token).is_some() => Ok(()),
                Some(_) => Err(Refused::Wrong),
                None => Err(Refused::Missing("authorization")),
            }
        }
    };
    told.map_err(|refused| {
        NotBelieved::Stranger(match refused {
            Refused::Missing(name) => format!("the alert has no header {name}"),
            Refused::Wrong => "the signature or the token is wrong".to_owned(),
            Refused::Old(far) => {
                format!("the alert is {far} s old, and at most {} s are accepted", signature::SKEW_S_MAX)
            }
            Refused::Future(far) => {
                format!("the alert is from {far} s after now: one of the two clocks is wrong")
            }
        })
    })
}

/// Opens the incidents of an alert, and begins the emergencies that it may begin.
async fn opened(
    server: &Arc<Server>,
    source: Source,
    delivery: Option<String>,
    by_token: bool,
    body: &[u8],
) -> Result<Vec<Opened>, Response> {
    // The long report of a scanner does not hold up a signed message, whose sender waits ten seconds.
    let _one = if by_token { &server.reports } else { &server.messages }.lock().await;
    let mut words = vec!["incident", "open", "--from", source.name(), "--reserve"];
    if let Some(delivery) = &delivery {
        words.extend(["--delivery", delivery]);
    }
    let lines = match timeout(READ_MAX, said(server, &words, body)).await {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => {
            server.log(&format!("an alert of {} could not be read: {error}", source.name()));
            return Err(Refusal::new("the alert could not be read; the server's log says why").soon());
        }
        Err(_) => {
            server.log(&format!(
                "an alert of {} was not read within {} s",
                source.name(),
                READ_MAX.as_secs()
            ));
            return Err(Refusal::new("reading the alert took too long: send it again").soon());
        }
    };
    let (mut all, mut failed) = (Vec::new(), None);
    for line in lines {
        match line {
            Line::Incident(one) => all.push(one),
            Line::Error(told) => failed = Some(told),
            Line::Other => {}
        }
    }
    let new = all.iter().filter(|one| !one.known).count();
    if let Some(first) = all.iter().find(|one| !one.known) {
        // Nobody sends the alert again: its incidents are open, whether or not that can be recorded.
        let about = (first.secret.as_deref(), first.id.as_str());
        let more = (new > 1).then(|| format!("and {} other incidents", new - 1));
        if let Err(problem) = recorded(server, Some(source), "incident open", about, more).await {
            server.log(&format!("an alert of {} is not recorded: {}", source.name(), problem.sentence()));
        }
    }
    if new > LOGGED_MAX {
        server.log(&format!("{} tells of {new} leaks: keyroll incident list", source.name()));
    }
    for one in all.iter().filter(|one| one.known && one.state == "closed") {
        server.log(&format!("{} tells again of the incident {}, which is closed", source.name(), one.id));
    }
    for one in &all {
        if !one.known && (new <= LOGGED_MAX || one.secret.is_some()) {
            let what = one.secret.as_deref().unwrap_or("no stored key");
            server.log(&format!("{what}: {} tells of a leak: incident {}", source.name(), one.id));
        }
        if let (true, Some(secret)) = (one.acts, &one.secret) {
            acts(server, Some(source), secret, &one.id).await;
        }
    }
    let Some(told) = failed else { return Ok(all) };
    server.log(&format!("an alert of {} was refused: {}", source.name(), told.sentence()));
    let refusal =
        Refusal { code: Some(told.code.clone()), help: told.help.clone(), ..Refusal::new(told.sentence()) };
    Err(match told.is(Code::AlertUnreadable) {
        true => refusal.answered(StatusCode::BAD_REQUEST),
        // Also where some incidents were opened: the same alert again opens the others.
        false => refusal.soon(),
    })
}

/// Who asks, if it is an alert of this source.
fn asker(source: Option<Source>) -> Asker {
    let by = source.map_or_else(|| "alert".to_owned(), |source| format!("alert {}", source.name()));
    Asker { by, id: None }
}

/// Records what an alert asks for.
async fn recorded(
    server: &Server,
    source: Option<Source>,
    what: &str,
    (secret, incident): (Option<&str>, &str),
    detail: Option<String>,
) -> Result<(), Problem> {
    let act = Act {
        secret: secret.map(str::to_owned),
        about: Some(incident.to_owned()),
        detail,
        ..asker(source).asks(what)
    };
    server.record(act).await
}

/// Begins the emergency of an incident, unless one of its secret is under way.
pub(crate) async fn acts(server: &Arc<Server>, source: Option<Source>, secret: &str, incident: &str) {
    let _one = server.deciding.lock().await;
    if server.drives.of(secret).is_some() {
        server.log(&format!("{secret}: an emergency is under way already"));
        return;
    }
    server.log(&format!("{secret}: its stored value leaked, so the emergency begins (incident {incident})"));
    // It is tried again: its incident has no emergency yet.
    if let Err(problem) = recorded(server, source, "emergency", (Some(secret), incident), None).await {
        server.log(&format!("{secret}: nothing was begun: {}", problem.sentence()));
        return;
    }
    if let Err(error) = server.drives.begin(secret, Errand::Contain(incident.to_owned()), asker(source)) {
        server.log(&format!("{secret}: could not write down what is begun: {error}"));
    }
}

/// The name of the delivery, which a sender repeats when it sends the same again.
fn delivery(source: Source, headers: &HeaderMap) -> Option<String> {
    // GitHub does not sign its name of a delivery; its alerts have names of their own.
    let signed = is_signed(source, headers).then(|| only(headers, "webhook-id"));
    let given = signed.flatten()?.to_str().ok()?;
    let plain = given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let fits = (1..=DELIVERY_BYTES_MAX).contains(&given.len()) && !given.starts_with('-');
    (plain && fits).then(|| given.to_owned())
}

/// Runs a command that reads the body from stdin, and returns what it says.
async fn said(server: &Server, words: &[&str], body: &[u8]) -> io::Result<Vec<Line>> {
    let mut command = server.drives.command();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // One that refuses before it reads closes the pipe, and says why.
            let _ = stdin.write_all(body).await;
            let _ = stdin.shutdown().await;
        }
    };
    let read = async {
        let mut text = Zeroizing::new(Vec::new());
        if let Some(stdout) = stdout {
            stdout.take(SAID_BYTES_MAX).read_to_end(&mut text).await?;
        }
        Ok::<_, io::Error>(text)
    };
    let ((), text) = tokio::join!(feed, read);
    let (text, status) = (text?, child.wait().await?);
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let lines: Vec<Line> = lines.collect();
    let explained = lines.iter().any(|line| matches!(line, Line::Error(_) | Line::Incident(_)));
    match status.success() || explained {
        true => Ok(lines),
        false => Err(io::Error::other(format!("keyroll incident open ended with {status}"))),
    }
}
