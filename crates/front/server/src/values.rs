//! The unix socket from which programs get their values.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_app::installation::Installation;
use keyroll_app::places::Places;
use keyroll_app::problem::Problem;
use keyroll_app::wiring::served;
use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_served::{Desk, Ledger, Of, Print, Rule, Value, version_file};
use rustix::fs::inotify;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};

use crate::log::News;
use crate::server::Server;

/// How often the configuration is looked at, and what could not be given out is tried again.
const LOOK: Duration = Duration::from_secs(2);
/// Every user may connect: the kernel says who did.
const SOCKET_MODE: u32 = 0o666;
const FOLDER_MODE: u32 = 0o755;

/// The socket, if a consumer is served; nobody is answered yet.
pub(crate) struct Values {
    listener: UnixListener,
    path: PathBuf,
    desk: Arc<Desk>,
}

fn problem(path: &Path) -> Problem {
    Problem::new(Code::ServerNotStarted, format!("give values out at {}", path.display()))
}

/// Where programs ask.
pub(crate) fn socket_path(table: &keyroll_config::Server, places: &Places) -> PathBuf {
    let usual = || match rustix::process::geteuid().is_root() {
        true => PathBuf::from(served::OF_ROOT),
        false => served::socket_of_user().unwrap_or_else(|| places.state.join("values.sock")),
    };
    table.socket.clone().unwrap_or_else(usual)
}

/// Opens the socket. Called with a runtime, by the one server of the state folder.
///
/// # Errors
/// `K0951`: the socket or the ledger cannot be made, or another program answers there.
pub(crate) fn open(
    config: &Config,
    table: &keyroll_config::Server,
    places: &Places,
    log: crate::log::Log,
) -> Result<Option<Values>, Problem> {
    if served::served_consumers(config).next().is_none() {
        return Ok(None);
    }
    let path = socket_path(table, places);
    let failed = |error: &io::Error| problem(&path).because_of(error);
    let folder = served::served_folder(places);
    let ledger = Ledger::open(&folder).map_err(|error| failed(&error))?;
    take_place(&path)?;
    let listener = UnixListener::bind(&path).map_err(|error| failed(&error))?;
    std::fs::set_permissions(&path, Permissions::from_mode(SOCKET_MODE)).map_err(|error| failed(&error))?;
    raise_files();
    let desk = Arc::new(Desk::new(ledger, Box::new(move |line| log(line))));
    Ok(Some(Values { listener, path, desk }))
}

/// Makes the folder of the socket, and removes one that a killed server left: nobody answers there.
fn take_place(path: &Path) -> Result<(), Problem> {
    let failed = |error: &io::Error| problem(path).because_of(error);
    if let Some(folder) = path.parent() {
        let mut made = DirBuilder::new();
        made.recursive(true).mode(FOLDER_MODE).create(folder).map_err(|error| failed(&error))?;
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(problem(path)
                .because("something else than a socket is there")
                .help("choose another path: `socket` under [server]"));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(problem(path)
            .because("another program answers there")
            .help("choose another path for this one: `socket` under [server]")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| failed(&error))
        }
        Err(error) => Err(failed(&error)),
    }
}

/// Each program keeps a connection: as many files may be open as the system lets this process have.
fn raise_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it fewer programs can wait at once; the log says so when one is refused.
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Values {
    /// Answers programs until the server stops.
    pub(crate) fn start(self, server: &Arc<Server>, stop: watch::Receiver<bool>) {
        let Self { listener, path, desk } = self;
        server.log(&format!("values are given out at {}", path.display()));
        tokio::spawn(keep(server.clone(), desk.clone(), stop.clone()));
        tokio::spawn(async move {
            keyroll_served::listen(listener, desk, stop).await;
            // The next server would remove it too.
            let _ = std::fs::remove_file(&path);
        });
    }
}

/// What was read from the configuration.
#[derive(Default)]
struct Read {
    /// The configuration's file as it was: inode, size and time of its last change.
    stamp: Option<(u64, u64, i64, i64)>,
    rules: Vec<Rule>,
    /// Consumers that are given nothing, and why.
    wrong: BTreeMap<Of, News>,
    complaint: News,
}

/// Follows the configuration and the files that say which version each consumer is given.
async fn keep(server: Arc<Server>, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let mut read = Read::default();
    let changes = Changes::new();
    loop {
        look(&server, &desk, &mut read, changes.as_ref()).await;
        tokio::select! {
            () = Changes::heard(changes.as_ref()) => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Hears of changes of files. The thread ends with the process.
struct Changes {
    file: Arc<OwnedFd>,
    heard: Arc<Notify>,
}

impl Changes {
    /// `None` = the system refuses it: the look each two seconds sees changes.
    fn new() -> Option<Self> {
        let file = Arc::new(inotify::init(inotify::CreateFlags::CLOEXEC).ok()?);
        let heard = Arc::new(Notify::new());
        let (from, tells) = (file.clone(), heard.clone());
        let listen = move || {
            let mut buffer = [const { MaybeUninit::uninit() }; 4096];
            let mut events = inotify::Reader::new(&*from, &mut buffer);
            while events.next().is_ok() {
                tells.notify_one();
            }
        };
        std::thread::Builder::new().name("served".into()).spawn(listen).ok()?;
        Some(Self { file, heard })
    }

    /// Hears of each change of a consumer's file in this folder, also of one that is not there yet.
    fn watch(&self, folder: &Path) {
        let flags = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::DELETE;
        // Without a watch the look each two seconds sees it.
        let _ = inotify::add_watch(&*self.file, folder, flags);
    }

    async fn heard(this: Option<&Self>) {
        match this {
            Some(changes) => changes.heard.notified().await,
            None => std::future::pending().await,
        }
    }
}

fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
}

/// One look at what changed since the last.
async fn look(server: &Arc<Server>, desk: &Arc<Desk>, read: &mut Read, changes: Option<&Changes>) {
    let config = Installation::new(server.locations.clone()).config_path();
    let now = stamp(&config);
    if now.is_none() || now != read.stamp {
        match server
            .blocking(|installation| {
                let config = installation.config()?;
                let named: Vec<Of> =
                    served::served_consumers(&config).map(|(secret, one)| served::of(secret, one)).collect();
                let (rules, wrong) = served::rules(&config);
                Ok((rules, named, wrong))
            })
            .await
        {
            Ok((mut rules, named, wrong)) => {
                // A user database that is away for a moment takes nobody's value away.
                let kept = read.rules.iter().filter(|rule| named.contains(&rule.of));
                let kept: Vec<Rule> =
                    kept.filter(|rule| !rules.iter().any(|new| new.of == rule.of)).cloned().collect();
                rules.extend(kept);
                desk.set_rules(rules.clone());
                let wrong = wrong.join("; ");
                if read.complaint.is((!wrong.is_empty()).then_some(wrong.as_str())) {
                    server.log(&format!("not given out: {wrong}"));
                }
                // What is wrong may be put right without the configuration: a user is made, a program installed.
                (read.rules, read.stamp) = (rules, now.filter(|_| wrong.is_empty()));
            }
            Err(problem) => {
                // The rules of before stay: a slip in the file takes no program's value away.
                if read.complaint.is(Some(&problem.sentence())) {
                    server.log(&format!(
                        "the consumers of the socket stay as they were: {}",
                        problem.sentence()
                    ));
                }
            }
        }
    }
    let Ok(places) = Installation::new(server.locations.clone()).places() else { return };
    let mut wanted: Vec<Of> = Vec::new();
    for rule in &read.rules {
        if let Some(changes) = changes {
            changes.watch(&served::served_folder(&places).join(&rule.of.secret));
        }
        let file = places.state.join(version_file(&rule.of.secret, &rule.of.consumer));
        let named: Option<Print> = std::fs::read_to_string(file).ok();
        if named.is_none() || named != desk.serves(&rule.of) {
            wanted.push(rule.of.clone());
        }
    }
    if !wanted.is_empty() {
        give(server, desk, &mut read.wrong, wanted).await;
    }
}

/// Reads the versions out of the store, and gives them out.
async fn give(server: &Arc<Server>, desk: &Arc<Desk>, wrong: &mut BTreeMap<Of, News>, wanted: Vec<Of>) {
    let found = server.blocking(move |installation| {
        let places = installation.places()?;
        let values = wanted.into_iter().map(|of| {
            let value = served::value_of(&of, &places).map_err(|problem| problem.sentence());
            (of, value)
        });
        Ok(values.collect::<Vec<(Of, Result<Value, String>)>>())
    });
    match found.await {
        Ok(found) => {
            for (of, value) in found {
                let why = value.as_ref().err().cloned();
                let set =
                    desk.set(&of, value).err().map(|error| format!("the ledger was not written: {error}"));
                let why = why.or(set);
                if wrong.entry(of.clone()).or_default().is(why.as_deref()) {
                    server.log(&format!("{}, {}: {}", of.secret, of.consumer, why.unwrap_or_default()));
                }
            }
        }
        Err(problem) => server.log(&format!("what is given out was not read: {}", problem.sentence())),
    }
}
