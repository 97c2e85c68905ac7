//! Starts the server, goes on with what an earlier one left, and ends it by a signal.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use keyroll_app::exit::Exit;
use keyroll_app::incidents::unbegun;
use keyroll_app::installation::Installation;
use keyroll_app::lock_file::lock;
use keyroll_app::places::{Locations, Places};
use keyroll_app::problem::Problem;
use keyroll_app::reports::emergency::{Open, open_rotation};
use keyroll_app::wiring::open;
use keyroll_codes::Code;
use keyroll_config::Config;
use rustix::fs::FlockOperation;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::answer::Refusal;
use crate::counters::Counters;
use crate::drives::{Drives, Errand, Left};
use crate::guesses::Limit;

use crate::log::{Log, News};
use crate::role::Role;
use crate::server::Server;
use crate::tokens::Tokens;
use crate::upkeep::Kept;
use crate::{alerts, guard, listen, metrics, notices, rotate, schedule, show};

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
    let Setup { locations, program, log } = setup;
    // Nobody can be asked later.
    let locations = Locations { ask: None, ..locations };
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
    let drives = Drives::new(program, words, places.serving(), log.clone());
    let drives = Arc::new(drives.map_err(|error| starting().because_of(&error))?);
    let server = Arc::new(Server {
        locations,
        tokens: table.admin_token.clone(),
        log,
        drives,
        deciding: Mutex::new(()),
        messages: Mutex::new(()),
        reports: Mutex::new(()),
        guesses: Limit::new(GUESSES_MAX, MINUTE),
        denials: Limit::new(GUESSES_MAX, MINUTE),
        begun: std::sync::Mutex::default(),
        counters: Counters::new(),
        unreadable: std::sync::Mutex::default(),
        kept: Kept::default(),
    });
    drop(installation);
    let runtime =
        Builder::new_multi_thread().worker_threads(2).max_blocking_threads(BLOCKING_MAX).enable_all().build();
    let runtime = runtime.map_err(|error| starting().because_of(&error))?;
    runtime.block_on(run(server, table.listen))?;
    Ok(Exit::Done)
}

async fn run(server: Arc<Server>, address: SocketAddr) -> Result<(), Problem> {
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
    let listening = tokio::spawn(listen::listen(listener, router(&server), stopped));
    server.log(&format!(
        "listening on http://{bound}: POST /rotate-secret, POST /alerts/…, GET /secret-status, GET /metrics"
    ));
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    server.log("stopping: every rotation pauses after the step in hand; the next start goes on with it");
    server.drives.stop().await;
    let _ = stop.send(true);
    let _ = listening.await;
    watchdog.abort();
    Ok(())
}

fn router(server: &Arc<Server>) -> Router {
    let unknown = || async {
        Refusal::new("no such page: POST /rotate-secret, GET /secret-status, GET /metrics, GET /health")
            .answered(StatusCode::NOT_FOUND)
    };
    let other = || async {
        Refusal::new("POST /rotate-secret, GET /secret-status, GET /metrics")
            .answered(StatusCode::METHOD_NOT_ALLOWED)
    };
    Router::new()
        .route("/rotate-secret", post(rotate::rotate))
        .route("/secret-status", get(show::status))
        .route("/metrics", get(metrics::scrape))
        .method_not_allowed_fallback(other)
        .fallback(unknown)
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
                        alerts::acts(&its, &secret, &incident).await;
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
            let name = secret.clone();
            let open = server.blocking(move |installation| {
                let revokes =
                    installation.config()?.secret(&name).is_ok_and(|secret| secret.emergency_revoke);
                Ok((open_rotation(&name, &installation.places()?)?, revokes))
            });
            // The schedule itself finds what was not begun.
            let its =
                |open: &Open| rotation.as_ref().map_or(open.emergency && !scheduled, |id| *id == open.id);
            match open.await {
                Ok((Some(open), _)) if its(&open) && open.driven => {}
                Ok((Some(open), revokes)) if its(&open) && open.goes_on(revokes) => {
                    server.log(&format!("{secret}: going on with rotation {}", open.id));
                    let errand = match scheduled {
                        true => Errand::Due(Some(open.id)),
                        false => Errand::Resume(open.id),
                    };
                    if let Err(error) = server.drives.begin(&secret, errand) {
                        server.log(&format!("{secret}: could not write down what goes on: {error}"));
                    }
                    return;
                }
                Ok(_) => return server.drives.forget(&secret),
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
    if let Some(source) = &locations.sealing_key {
        if source.starts_with("fd:") {
            return Err(starting()
                .because("the processes that drive cannot read the sealing key from a descriptor of the server")
                .help("wrap it with file:PATH or credential:NAME: keyroll secret rewrap --to credential:keyroll"));
        }
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
