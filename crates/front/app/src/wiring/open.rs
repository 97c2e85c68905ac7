//! Opens the journal, the store, the lock and the runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_engine::{OtherKeys, Ports, TokioSpawner};
use keyroll_host::SystemClock;
use keyroll_journal::{LockError, OpenError, SqliteJournal, StateLock, Work, try_lock};
use keyroll_port::{Host, Issuer, Store};
use keyroll_secret::{FingerprintKey, SealingKey};
use keyroll_store::SealedStore;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::handles::once;
use crate::machine_id;
use crate::places::{Places, check};
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::redact::{Redacting, Remembering};
use crate::wiring::sealing::{present_key, sealing_key};

/// Threads of the runtime: an inspection of the host blocks one of them.
const THREADS: usize = 6;

/// The runtime of this command; every asynchronous call of a command runs on it.
///
/// # Errors
/// Its threads cannot be started.
pub fn runtime(places: &Places) -> Result<&Runtime, Problem> {
    once(&places.handles.runtime, || new_runtime().map(Arc::new)).map(AsRef::as_ref)
}

/// A separate runtime, for work whose threads are abandoned before the command ends.
pub(crate) fn new_runtime() -> Result<Runtime, Problem> {
    let built = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    built.map_err(|error| Problem::new(Code::ProgramNotStarted, "start the runtime").because_of(&error))
}

/// The key of fingerprints and digests, derived from the sealing key and unique to this installation.
pub fn fingerprint_key(places: &Places) -> Result<FingerprintKey, Problem> {
    derived(sealing_key(places)?)
}

fn derived(key: &SealingKey) -> Result<FingerprintKey, Problem> {
    key.fingerprint_key().map_err(|error| {
        Problem::new(Code::SealingKeyUnusable, "derive the fingerprint key").because_of(&error)
    })
}

/// The key of the identities of leak findings, unique to this installation.
pub fn identity_key(places: &Places) -> Result<FingerprintKey, Problem> {
    sealing_key(places)?.identity_key().map_err(|error| {
        Problem::new(Code::SealingKeyUnusable, "derive the key of identities").because_of(&error)
    })
}

/// The store of sealed values; every value that passes through it is redacted from the output.
pub fn store(places: &Places) -> Result<Arc<Remembering<SealedStore>>, Problem> {
    let open = || places.handles.opening(places.sealed(), || opened(places));
    once(&places.handles.store, || open().map(|sealed| Arc::new(Remembering(sealed)))).cloned()
}

/// The store for a rotation; with `keep_retired`, values of revoked versions stay sealed.
pub fn store_of_owner(
    places: &Places,
    secret: &str,
    keep_retired: bool,
) -> Result<Arc<Remembering<SealedStore>>, Problem> {
    let sealed = store(places)?;
    Ok(if keep_retired { Arc::new(Remembering(sealed.0.keeping(secret))) } else { sealed })
}

fn opened(places: &Places) -> Result<SealedStore, Problem> {
    SealedStore::open(&places.state, sealing_key(places)?.duplicate()).map_err(|error| {
        // Its disk refuses it, which no backup mends.
        if error.code == Code::StateUnusable {
            return Problem::from(error);
        }
        Problem::new(Code::StateDamaged, "open the store of sealed values").because_of(&error).help(
            "restore state and sealing key from the same backup; keyroll doctor says whether they \
                 match, keyroll status what is open",
        )
    })
}

/// The journal. One that was restored from a backup or belongs to another machine is refused: nothing may be revoked
/// by it.
pub fn journal(places: &Places) -> Result<Arc<SqliteJournal>, Problem> {
    let open = || {
        places.ensure()?;
        open_on(places, &fingerprint_key(places)?)
    };
    once(&places.handles.journal, open).cloned()
}

fn open_on(places: &Places, key: &FingerprintKey) -> Result<Arc<SqliteJournal>, Problem> {
    let machine = machine_id::here(key)?;
    let since = Instant::now();
    let opened = places
        .handles
        .opening(places.journal(), || SqliteJournal::open_on(&places.state, &places.witness(), &machine));
    let _ = places.handles.journal_opened.set((since, since.elapsed()));
    opened.map(Arc::new).map_err(|error| match (&error, places.state.join("secrets.db").exists()) {
        // With the key of another installation, this machine would look like another machine.
        (OpenError::OtherMachine { .. }, true) => store(places).err().unwrap_or_else(|| not_opened(&error)),
        (_, _) => not_opened(&error),
    })
}

/// The journal for reports, which need no value. A journal that `journal` would refuse is read all the same, and the
/// returned problem says why; the command ends with it.
///
/// Errors: a journal that cannot be read.
pub fn journal_for_a_look(places: &Places) -> Result<(Arc<SqliteJournal>, Option<Problem>), Problem> {
    check(&places.state)?;
    let open = || open_on(places, &derived(present_key(places)?)?);
    let doubt = match once(&places.handles.journal, open) {
        Ok(journal) => return Ok((journal.clone(), None)),
        // The operator cancelled the prompt for the passphrase: nothing is shown.
        Err(problem) if problem.exit() == Exit::Interrupted => return Err(problem),
        Err(problem) => problem,
    };
    let journal = SqliteJournal::open_for_a_look(&places.state).map_err(|error| not_opened(&error))?;
    let doubt = doubt
        .exits(Exit::NeedsPerson)
        .because("this output is from the unchecked journal alone, and fingerprints are not visible");
    Ok((Arc::new(journal), Some(doubt)))
}

/// Why it was not opened.
pub fn not_opened(error: &OpenError) -> Problem {
    Problem::new(error.code(), "open the journal")
        .because_of(error)
        .help(error.help())
        .exits(Exit::NeedsPerson)
}

/// The right to drive on this machine, and the folders as they are under it.
pub fn lock(places: &Places) -> Result<(StateLock, Places), Problem> {
    try_lock_places(places)
        .map_err(|error| not_locked("become the driver of this machine's rotations", &error))
}

/// Acquires the lock if it is free. The state folder may have been replaced while the command waited for the operator
/// or for the lock. The returned folders then open the journal and the store again, with all checks.
pub(crate) fn try_lock_places(places: &Places) -> Result<(StateLock, Places), LockError> {
    let lock = try_lock(&places.state)?;
    let places = places.clone();
    Ok((lock, if places.handles.are_replaced() { places.opened_anew(true) } else { places }))
}

/// The problem that names who holds the lock, and for what.
pub fn not_locked(attempted: &str, error: &LockError) -> Problem {
    let problem = Problem::new(Code::OtherDriver, attempted).exits(Exit::Held);
    let LockError::Held { pid, elsewhere, work, .. } = error else {
        // Nobody holds it: the folder cannot be written.
        return Problem::new(Code::StateUnusable, attempted)
            .because_of(error)
            .help("check the folder's owner, mode and free space with `keyroll doctor`, then try again");
    };
    let problem = problem.because(who(*pid, work.as_ref()));
    match work {
        Some(Work { rotation, .. }) if *elsewhere && pid.is_none() => problem
            .because("it runs in another PID namespace, such as in another container, and is not visible from here")
            .help(format!(
                "keyroll status -w {rotation} follows it; keyroll pause {rotation} pauses it if run where it runs, such as by \
                 docker exec or kubectl exec in its container"
            )),
        Some(Work { rotation, .. }) => problem
            .help(format!("keyroll status -w {rotation} follows it; keyroll pause {rotation} pauses it")),
        None => problem.help("it ends in a moment, or waits for an operator: keyroll status -w follows it"),
    }
}

/// The holder of the lock, as the lock file describes it.
pub fn who(pid: Option<u32>, work: Option<&Work>) -> String {
    let process = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    match work {
        Some(Work { rotation, secret, since_unix_ms }) => {
            let since = clock(*since_unix_ms);
            format!("{process} has been driving rotation {rotation} of {secret} since {since}")
        }
        None => format!("{process} holds the lock of the state folder, for an unknown rotation"),
    }
}

/// Everything that a rotation is driven with, but a source of truth outside of keyroll.
pub fn ports(
    places: &Places,
    store: Arc<dyn Store>,
    issuer: Arc<dyn Issuer>,
    host: Arc<dyn Host>,
    other_keys: OtherKeys,
) -> Result<Ports, Problem> {
    Ok(Ports {
        journal: Arc::new(Redacting(journal(places)?)),
        store,
        truth: None,
        staging: self::store(places)?,
        issuer,
        host,
        clock: Arc::new(SystemClock::new()),
        other_keys,
        spawner: Arc::new(TokioSpawner),
    })
}

/// The keys of other keyrolls at a secret's account.
pub fn other_keys(config: &Config, secret: &Secret) -> OtherKeys {
    let named = secret.other_keys.iter().map(|key| (key.id.clone(), key.label.clone())).collect();
    OtherKeys { named, in_object: config.is_of_object(secret.name.as_str()) }
}

/// A new id: a UUID v7, so that ids sort by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// The folder that the configuration's relative paths refer to.
pub fn folder_of(config_file: &Path) -> &Path {
    config_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
