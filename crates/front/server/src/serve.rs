//! Starts the server, goes on with what an earlier one left, and ends it by a signal.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Router, middleware};
use keyroll_app::env;
use keyroll_app::exit::Exit;
use keyroll_app::incidents::unbegun;
use keyroll_app::installation::Installation;
use keyroll_app::lock_file::lock;
use keyroll_app::places::{Locations, Places};
use keyroll_app::problem::Problem;
use keyroll_app::reports::emergency::{Open, open_rotation};
use keyroll_app::reports::operate::named;
use keyroll_app::wiring::open;
use keyroll_codes::Code;
use keyroll_config::Config;
use rustix::fs::FlockOperation;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::api::commands::READERS_MAX;
use crate::api::ledger::Consents;
use crate::api::{approvals, commands, events, openapi, plans, reads, rotations};
use crate::counters::Counters;
use crate::drives::{Drives, Errand, Left, Operate, Step, itself};
use crate::guesses::Limit;

use crate::kubernetes::Followed;
use crate::log::{Log, News};
use crate::role::Role;
use crate::server::Server;
use crate::tokens::Tokens;
use crate::upkeep::Kept;
use crate::values::Values;
use crate::{alerts, guard, kubernetes, listen, metrics, notices, rotate, schedule, show, values};

/// How many requests without a valid token are answered within a minute; the others are told to wait.
const GUESSES_MAX: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// How often it is looked whether a rotation is still driven by another process.
const LOOK: Duration = Duration::from_secs(2);
/// How often the emergency of an alert that could not begin is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// The most calls of the journal and the store at once.
const BLOCKING_MAX: usize = 16;

/// What the server is started with.
pub struct Setup {
    /// The installation, as the command line names it.
    pub locations: Locations,
    /// The program that drives: keyroll itself.
    pub program: PathBuf,
    /// Where its lines go.
    pub log: Log,
    /// The role that a command needs which the server runs for a caller, by its words behind `keyroll`. The error says why
    /// the server does not run it.
    pub readable: fn(&[String]) -> Result<Role, String>,
    /// The base file, where the server goes by the `SecretRotation` objects of a cluster.
    pub kubernetes: Option<PathBuf>,
}

fn starting() -> Problem {
    Problem::new(Code::ServerNotStarted, "start the server")
}

/// The table of the server.
///
/// # Errors
/// As `problem`, if the configuration has none.
pub fn table<'c>(
    config: &'c Config,
    installation: &Installation,
    problem: impl Fn() -> Problem,
) -> Result<&'c keyroll_config::Server, Problem> {
    config.server.as_ref().ok_or_else(|| {
        problem().because(format!("{} has no [server]", installation.config_path().display())).help(
            "add: [server], listen = \"127.0.0.1:9090\"; and [server.emergency], admin_token = \"file:./admin-token\"",
        )
    })
}

/// Serves until a signal asks it to stop.
///
/// # Errors
/// `K0951`: no server is configured, another one runs, or the address is taken. `K0950`: there is no usable admin token.
/// Else a state folder that cannot be used.
pub fn serve(setup: Setup) -> Result<Exit, Problem> {
    let Setup { locations, program, log, readable, kubernetes } = setup;
    // Nobody can be asked later.
    let locations = Locations { ask: None, ..locations };
    let runtime =
        Builder::new_multi_thread().worker_threads(2).max_blocking_threads(BLOCKING_MAX).enable_all().build();
    let runtime = runtime.map_err(|error| starting().because_of(&error))?;
    let followed = match kubernetes {
        None => None,
        // It writes the configuration that everything below goes by.
        Some(base) => match runtime.block_on(kubernetes::begin(&locations, &base, &log))? {
            Some(followed) => Some(followed),
            None => return Ok(Exit::Done),
        },
    };
    let installation = Installation::new(locations.clone());
    let config = installation.config()?;
    let places = installation.places()?;
    let table = table(&config, &installation, starting)?;
    let tokens = Tokens::read(&table.admin_token)?;
    if !tokens.list().iter().any(|token| token.role.allows(Role::Admin)) {
        return Err(Problem::new(Code::AdminTokenUnusable, "start the server")
            .because(format!("{} has no admin token", table.admin_token.display()))
            .help("keyroll token new NAME --out FILE"));
    }
    let _alone = alone(&places)?;
    // A journal or a key that cannot be used is met now, and not in an emergency.
    drop(open::journal(&places)?);
    drop(open::store(&places)?);
    let words = words(&locations, &installation)?;
    let consents = Consents { locations: locations.clone(), tokens: table.admin_token.clone() };
    let drives = Drives::new(program, words, places.serving(), log.clone(), consents);
    let drives = Arc::new(drives.map_err(|error| starting().because_of(&error))?);
    let server = Arc::new(Server {
        locations,
        journal: Arc::default(),
        tokens: table.admin_token.clone(),
        log,
        drives,
        deciding: Mutex::new(()),
        messages: Mutex::new(()),
        reports: Mutex::new(()),
        planning: Arc::default(),
        guesses: Limit::new(GUESSES_MAX, MINUTE),
        unrecorded: std::sync::Mutex::default(),
        denials: Limit::new(GUESSES_MAX, MINUTE),
        begun: std::sync::Mutex::default(),
        asked: std::sync::Mutex::default(),
        counters: Counters::new(),
        unreadable: std::sync::Mutex::default(),
        kept: Kept::default(),
        readable,
        readers: Arc::new(Semaphore::new(READERS_MAX)),
        streams: Arc::default(),
    });
    drop(installation);
    let values = {
        let _inside = runtime.enter();
        values::open(&config, table, &places, server.log.clone())?
    };
    runtime.block_on(run(server, table.listen, values, followed))?;
    Ok(Exit::Done)
}

async fn run(
    server: Arc<Server>,
    address: SocketAddr,
    values: Option<Values>,
    followed: Option<Arc<Followed>>,
) -> Result<(), Problem> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        starting()
            .because(format!("could not listen on {address}"))
            .because_of(&error)
            .help("end what listens there (ss -ltnp shows it), or choose another port under [server]")
    })?;
    let bound = listener.local_addr().unwrap_or(address);
    let heard = |kind| signal(kind).map_err(|error| starting().because_of(&error));
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    go_on(&server);
    let (stop, stopped) = watch::channel(false);
    if let Some(values) = values {
        values.start(&server, stopped.clone());
    }
    if let Some(followed) = &followed {
        tokio::spawn(kubernetes::keep(server.clone(), followed.clone(), stopped.clone()));
    }
    let listening = tokio::spawn(listen::listen(listener, router(&server), stopped));
    server.log(&format!(
        "listening on http://{bound}: POST /rotate-secret, POST /alerts/…, GET /secret-status, GET /metrics, /v1/…"
    ));
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog());
    let lost = async {
        match &followed {
            Some(followed) => followed.lost().await,
            None => std::future::pending().await,
        }
    };
    let lost = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        why = lost => Some(why),
    };
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    server.log("stopping: every rotation pauses after the step in hand; the next start goes on with it");
    match &followed {
        // It stays in charge until the last driver has paused.
        Some(followed) if lost.is_none() => {
            let stopping = server.drives.stop();
            tokio::pin!(stopping);
            tokio::select! {
                () = &mut stopping => {}
                _ = followed.lost() => stopping.await,
            }
        }
        Some(_) | None => server.drives.stop().await,
    }
    let _ = stop.send(true);
    server.streams.end();
    let _ = listening.await;
    watchdog.abort();
    match (lost, followed) {
        (Some(why), _) => Err(Problem::new(Code::LeaseNotHeld, "stay in charge").because(why).help(
            "start it again: it waits until no other keyroll is in charge, and goes on with every rotation",
        )),
        (None, Some(followed)) => {
            followed.release().await;
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn router(server: &Arc<Server>) -> Router {
    Router::new()
        .route("/rotate-secret", post(rotate::rotate))
        .route("/secret-status", get(show::status))
        .route("/metrics", get(metrics::scrape))
        .route("/v1/rotations", get(rotations::list).post(rotations::begin))
        .route("/v1/rotations/{id}", get(rotations::one))
        .route("/v1/rotations/{id}/resume", post(rotations::resume))
        .route("/v1/rotations/{id}/retry", post(rotations::retry))
        .route("/v1/rotations/{id}/pause", post(rotations::pause))
        .route("/v1/rotations/{id}/abort", post(rotations::abort))
        .route("/v1/rotations/{id}/approve", post(approvals::approve))
        .route("/v1/plans", post(plans::plan))
        .route("/v1/history", get(reads::history))
        .route("/v1/audit", get(reads::audit))
        .route("/v1/due", get(reads::due))
        .route("/v1/secrets", get(reads::secrets))
        .route("/v1/incidents", get(reads::incidents))
        .route("/v1/events", get(events::events))
        .route("/v1/commands", post(commands::run))
        .route("/v1/openapi.json", get(openapi::openapi))
        .method_not_allowed_fallback(guard::no_method)
        .fallback(guard::no_page)
        .layer(middleware::from_fn_with_state(server.clone(), guard::token))
        .route("/alerts/{source}", post(alerts::take))
        .route("/alerts/gitlab/revoke_tokens", post(alerts::revoke_tokens))
        .route("/alerts/gitlab/revocable_token_types", get(alerts::token_types))
        .route("/health", get(|| async { "ok\n" }))
        .layer(middleware::from_fn_with_state(server.clone(), guard::local))
        .with_state(server.clone())
}

/// Goes on with the rotations whose drivers an earlier server had, and begins the emergencies of alerts that it had
/// answered and did not come to begin.
fn go_on(server: &Arc<Server>) {
    let its = server.clone();
    tokio::spawn(async move {
        loop {
            // An issuer that did not answer may answer now, and nobody sends the alert again.
            match its.blocking(unbegun).await {
                Ok(all) => {
                    for (incident, secret) in all {
                        alerts::acts(&its, None, &secret, &incident).await;
                    }
                }
                Err(problem) => its.log(&format!("the incidents: {}", problem.sentence())),
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    for (secret, left) in server.drives.left() {
        tokio::spawn(go_on_with(server.clone(), secret, left));
    }
    tokio::spawn(schedule::keep(server.clone()));
    tokio::spawn(notices::keep(server.clone()));
    tokio::spawn(events::keep(server.clone()));
}

/// What an earlier server left of a secret, as it stands now.
struct Now {
    open: Option<Open>,
    /// The configuration consents to the end of the old key.
    revokes: bool,
    /// The approvals for the end of the old key are given.
    approved: bool,
    /// The rotation is not in the journal.
    unbegun: bool,
}

/// Looks how the rotation stands that an earlier server had a driver for.
async fn stands(server: &Server, secret: &str, rotation: Option<String>) -> Result<Now, Problem> {
    let (secret, consents) = (secret.to_owned(), server.drives.consents.clone());
    let look = move |installation: &Installation| {
        let revokes = installation.config()?.secret(&secret).is_ok_and(|secret| secret.emergency_revoke);
        let places = installation.places()?;
        let open = open_rotation(&secret, &places)?;
        let its = open.as_ref().map(|open| &open.id).filter(|id| rotation.as_ref() == Some(*id));
        let approved = its.map_or(Ok(false), |id| consents.given(id))?;
        let unbegun = match rotation.as_deref().filter(|_| its.is_none()).map(|id| named(id, &places)) {
            Some(Err(problem)) if problem.code == Code::NameNotFound => true,
            Some(Err(problem)) => return Err(problem),
            Some(Ok(_)) | None => false,
        };
        Ok(Now { open, revokes, approved, unbegun })
    };
    server.blocking(look).await
}

/// Waits while another process drives the rotation: an operator, or a driver that outlived its server. Another rotation
/// of the secret is an operator's; one whose id was not known yet counts if it is an emergency.
async fn go_on_with(server: Arc<Server>, secret: String, left: Left) {
    let mut news = News::default();
    let (scheduled, rotation) = match left {
        Left::Scheduled { scheduled } => (true, scheduled),
        Left::Emergency(rotation) => (false, rotation),
    };
    loop {
        {
            let _one = server.deciding.lock().await;
            if server.drives.of(&secret).is_some() || scheduled && server.drives.is_driven(&secret) {
                return;
            }
            // The schedule itself finds what was not begun.
            let its =
                |open: &Open| rotation.as_ref().map_or(open.emergency && !scheduled, |id| *id == open.id);
            match stands(&server, &secret, rotation.clone()).await {
                Ok(Now { open: Some(open), .. }) if its(&open) && open.driven => {}
                Ok(Now { open: Some(open), revokes, approved, .. })
                    if its(&open) && open.goes_on(revokes || scheduled && approved) =>
                {
                    server.log(&format!("{secret}: going on with rotation {}", open.id));
                    let errand = match (scheduled, approved) {
                        (true, true) => Errand::Operate(Operate { rotation: open.id, step: Step::Consent }),
                        (true, false) => Errand::Due(Some(open.id)),
                        (false, _) => Errand::Resume(open.id),
                    };
                    if let Err(error) = server.drives.begin(&secret, errand, itself()) {
                        server.log(&format!("{secret}: could not write down what goes on: {error}"));
                    }
                    return;
                }
                Ok(now) => {
                    if let Some(id) = rotation.as_deref().filter(|_| now.unbegun) {
                        server.log(&format!(
                            "{secret}: the plan {id} was not applied: the server ended before"
                        ));
                        server.drives.refusals.lost(&secret, id);
                    }
                    return server.drives.forget(&secret);
                }
                Err(problem) => {
                    let why = problem.sentence();
                    if news.is(Some(&why)) {
                        server.log(&format!("{secret}: {why}"));
                    }
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells systemd that the runtime still works, as often as it asks for.
async fn watchdog() {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_micros(usec.max(2) / 2));
    loop {
        tick.tick().await;
        let _ = sd_notify::notify(false, &[NotifyState::Watchdog]);
    }
}

/// The words with which a driver finds the same installation.
fn words(locations: &Locations, installation: &Installation) -> Result<Vec<OsString>, Problem> {
    let mut words = installation.words()?;
    let from_environment = || env::SEALING_KEY.get().map(|source| source.to_string_lossy().into_owned());
    if let Some(source) = locations.sealing_key.clone().or_else(from_environment) {
        if source.starts_with("fd:") {
            return Err(starting()
                .because("the processes that drive cannot read the sealing key from a descriptor of the server")
                .help("wrap it with file:PATH or credential:NAME: keyroll secret rewrap --to credential:keyroll"));
        }
        // A command that reads for a caller runs in another folder.
        let source = match source.strip_prefix("file:").map(std::path::absolute) {
            Some(Ok(path)) => format!("file:{}", path.display()),
            Some(Err(_)) | None => source,
        };
        words.extend(["--sealing-key".into(), source.into()]);
    }
    Ok(words)
}

/// One server per state folder.
fn alone(places: &Places) -> Result<File, Problem> {
    places.ensure()?;
    let path = places.server_lock();
    match lock(&path, FlockOperation::NonBlockingLockExclusive) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(starting()
            .because(format!("another server runs on the state folder {}", places.state.display()))
            .help("use that one, or end it first")
            .exits(Exit::Held)),
        Err(error) => {
            Err(starting().because(format!("could not lock {}", path.display())).because_of(&error))
        }
    }
}
