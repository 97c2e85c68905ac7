use std::path::Path;
use std::sync::Arc;

use keyroll_engine::Ports;
use keyroll_host::{Local, SystemClock};
use keyroll_journal::{LockError, OpenError, SqliteJournal, StateLock, Work, try_lock};
use keyroll_port::{Issuer, Store};
use keyroll_secret::{FingerprintKey, SealingKey};
use keyroll_store::SealedStore;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::machine;
use crate::places::{Places, check};
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::redact::Remembering;
use crate::wiring::sealing::{present_key, sealing_key};

/// Threads of the runtime: a look at the host blocks one while others go on.
const THREADS: usize = 6;

/// The runtime of one command.
pub(crate) fn runtime() -> Result<Runtime, Problem> {
    let built = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    built.map_err(|error| Problem::new("K0825", "start the runtime").because_of(&error))
}

/// The key of every fingerprint and digest: derived from the sealing key, and so of this installation alone.
pub(crate) fn fingerprint_key(places: &Places) -> Result<FingerprintKey, Problem> {
    derived(&sealing_key(places)?)
}

fn derived(key: &SealingKey) -> Result<FingerprintKey, Problem> {
    key.fingerprint_key()
        .map_err(|error| Problem::new("K0826", "derive the fingerprint key").because_of(&error))
}

/// The key that tells findings of leaks apart, of this installation alone.
pub(crate) fn identity_key(places: &Places) -> Result<FingerprintKey, Problem> {
    sealing_key(places)?
        .identity_key()
        .map_err(|error| Problem::new("K0826", "derive the key of identities").because_of(&error))
}

/// The store of sealed values; every value that passes through it is cut out of what is printed.
pub(crate) fn store(places: &Places) -> Result<Arc<Remembering<SealedStore>>, Problem> {
    opened(places).map(|sealed| Arc::new(Remembering(sealed)))
}

/// The same for whoever ends versions of a secret: their values stay where its owner wants to find them again.
pub(crate) fn store_of_owner(
    places: &Places,
    secret: &str,
    keep_retired: bool,
) -> Result<Arc<Remembering<SealedStore>>, Problem> {
    let sealed = opened(places)?;
    let sealed = if keep_retired { sealed.keeping(secret) } else { sealed };
    Ok(Arc::new(Remembering(sealed)))
}

fn opened(places: &Places) -> Result<SealedStore, Problem> {
    SealedStore::open(&places.state, sealing_key(places)?)
        .map_err(|error| {
            Problem::new("K0827", "open the store of sealed values").because_of(&error).help(
                "put state and sealing key of one day back; keyroll doctor says whether they fit, keyroll status what is open",
            )
        })
}

/// The journal. One that was restored from a backup or belongs to another machine is refused: nothing may be revoked
/// on its word.
pub(crate) fn journal(places: &Places) -> Result<Arc<SqliteJournal>, Problem> {
    places.ensure()?;
    open_on(places, &fingerprint_key(places)?)
}

fn open_on(places: &Places, key: &FingerprintKey) -> Result<Arc<SqliteJournal>, Problem> {
    let opened = SqliteJournal::open_on(&places.state, &places.witness(), &machine::here(key)?);
    opened.map(Arc::new).map_err(|error| match (&error, places.state.join("secrets.db").exists()) {
        // By the key of another installation every machine is another one.
        (OpenError::OtherMachine { .. }, true) => store(places).err().unwrap_or_else(|| not_opened(&error)),
        (_, _) => not_opened(&error),
    })
}

/// The journal for a look at it, which needs no value: one by which nothing may be done is shown all the same, and the
/// problem says why nothing may be. It is what the command ends with.
///
/// Errors: a journal that cannot be read.
pub(crate) fn journal_for_a_look(places: &Places) -> Result<(Arc<SqliteJournal>, Option<Problem>), Problem> {
    check(&places.state)?;
    let doubt = match present_key(places).and_then(|key| derived(&key)).and_then(|key| open_on(places, &key))
    {
        Ok(journal) => return Ok((journal, None)),
        // Whoever cancels the question for a passphrase wants nothing to be shown.
        Err(problem) if problem.exit() == Exit::Interrupted => return Err(problem),
        Err(problem) => problem,
    };
    let journal = SqliteJournal::open_for_a_look(&places.state).map_err(|error| not_opened(&error))?;
    let doubt = doubt
        .exits(Exit::NeedsPerson)
        .because("what is shown is of the journal alone and unchecked, and fingerprints are sealed");
    Ok((Arc::new(journal), Some(doubt)))
}

/// Why it was not opened.
pub(crate) fn not_opened(error: &OpenError) -> Problem {
    Problem::new(error.code(), "open the journal")
        .because_of(error)
        .help(error.help())
        .exits(Exit::NeedsPerson)
}

/// The right to drive on this machine.
pub(crate) fn lock(places: &Places) -> Result<StateLock, Problem> {
    try_lock(&places.state)
        .map_err(|error| not_locked("become the driver of this machine's rotations", &error))
}

/// Who has the lock, and what for.
pub(crate) fn not_locked(attempted: &str, error: &LockError) -> Problem {
    let problem = Problem::new("K0828", attempted).exits(Exit::Held);
    let LockError::Held { pid, work, .. } = error else { return problem.because_of(error) };
    let problem = problem.because(who(*pid, work.as_ref()));
    match work {
        Some(Work { rotation, .. }) => problem.help(format!(
            "keyroll status -w {rotation} follows it until it ends; keyroll pause {rotation} stops it"
        )),
        None => problem.help("it is over in a moment, or waits for somebody: keyroll status -w looks again"),
    }
}

/// Whoever has the lock, by their own word.
pub(crate) fn who(pid: Option<u32>, work: Option<&Work>) -> String {
    let process = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    match work {
        Some(Work { rotation, secret, since_unix_ms }) => {
            let since = clock(*since_unix_ms);
            format!("{process} has carried out rotation {rotation} of {secret} since {since}")
        }
        None => format!("{process} has the state folder, and does not say for which rotation"),
    }
}

/// Everything that a rotation is driven with.
pub(crate) fn ports(
    places: &Places,
    store: Arc<dyn Store>,
    issuer: Arc<dyn Issuer>,
    host: Local,
) -> Result<Ports, Problem> {
    Ok(Ports {
        journal: journal(places)?,
        store,
        issuer,
        host: Arc::new(host),
        clock: Arc::new(SystemClock::new()),
    })
}

/// A new id: a UUID v7, so that ids sort by time.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Where the configuration's relative paths stand.
pub(crate) fn folder_of(config_file: &Path) -> &Path {
    config_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
