//! The key that seals values, and what its file is wrapped with: a reference, never a value.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keyroll_codes::Code;
use keyroll_secret::{KeyFile, SealingKey, SecretBytes, WrapError, Wrapped, Wrapping, is_private};
use keyroll_store::SealedStore;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::time::Timespec;

use super::sealing_source::Source;
use crate::env;
use crate::exit::Exit;
use crate::handles::once;
use crate::places::Places;
use crate::problem::Problem;

/// The largest key that can wrap the sealing key, bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// How long a program at the other end of a descriptor may take, seconds.
const PIPE_S_MAX: i64 = 60;
/// The shortest new passphrase, bytes. Anybody who has the file can guess offline.
const PASSPHRASE_BYTES_MIN: usize = 12;

/// Reads the key or passphrase of a wrapping; with `new`, asks for a passphrase twice. `None` = the source has no
/// wrapping.
fn read_material(source: &Source, new: bool, places: &Places) -> Result<Option<Material>, Problem> {
    let failed = |why: String| {
        Problem::new(Code::SealingKeyNotUnwrapped, format!("read the key at {}", source.recorded()))
            .because(why)
    };
    match source {
        Source::Bare => Ok(None),
        Source::File(path) => read_key(path, true).map(Material::Key).map(Some).map_err(failed),
        Source::Credential(name) => {
            let folder = env::CREDENTIALS.absolute().ok_or_else(|| {
                failed("this process has no credentials (CREDENTIALS_DIRECTORY is not set)".to_owned())
                    .help(format!("run it in a unit with LoadCredentialEncrypted={name}: docs/guides/keep-the-sealing-key.md"))
            })?;
            read_key(&folder.join(name), false).map(Material::Key).map(Some).map_err(failed)
        }
        Source::Pipe(number) => read_pipe(*number).map(Material::Key).map(Some).map_err(failed),
        Source::Passphrase => passphrase(new, places).map(Material::Passphrase).map(Some),
    }
}

enum Material {
    Key(SecretBytes),
    Passphrase(SecretBytes),
}

impl Material {
    fn wrapping(&self) -> Wrapping<'_> {
        match self {
            Self::Key(key) => Wrapping::Key(key),
            Self::Passphrase(text) => Wrapping::Passphrase(text),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
fn read_key(path: &Path, private: bool) -> Result<SecretBytes, String> {
    // A FIFO under this name must not block the opening.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // systemd chooses the modes of its credentials.
    if private && !is_private(meta.mode(), meta.uid(), meta.gid()) {
        return Err(format!("other users can access it (mode {:04o})", meta.mode() & 0o7777));
    }
    read_all(file)
}

/// Reads a pipe to its end. Only a pipe is accepted: its content can be read once, so a command that is started later
/// and inherits the descriptor cannot read the key.
#[expect(clippy::disallowed_methods, reason = "opens a pipe for reading")]
fn read_pipe(number: u32) -> Result<SecretBytes, String> {
    let path = PathBuf::from(format!("/proc/self/fd/{number}"));
    let leads_to = fs::read_link(&path).map_err(|_| format!("descriptor {number} is not open"))?;
    if !leads_to.as_os_str().as_encoded_bytes().starts_with(b"pipe:[") {
        return Err(format!("descriptor {number} is not a pipe; name a file with file:PATH"));
    }
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let pipe =
        File::options().read(true).custom_flags(flags).open(&path).map_err(|error| error.to_string())?;
    read_all(Patient(pipe))
}

/// A pipe that is read with a time limit.
struct Patient(File);

impl std::io::Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let limit = Timespec { tv_sec: PIPE_S_MAX, tv_nsec: 0 };
        let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
        match rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&limit)))? {
            0 => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "nothing could be read from it in time",
            )),
            _ => self.0.read(into),
        }
    }
}

fn read_all(file: impl std::io::Read) -> Result<SecretBytes, String> {
    let mut bytes = Vec::with_capacity(usize::try_from(KEY_BYTES_MAX + 1).unwrap_or(0));
    let read = file.take(KEY_BYTES_MAX + 1).read_to_end(&mut bytes);
    let key = SecretBytes::new(bytes);
    read.map_err(|error| error.to_string())?;
    match key.len() as u64 > KEY_BYTES_MAX {
        true => Err(format!("it has more than {KEY_BYTES_MAX} bytes")),
        false => Ok(key),
    }
}

fn passphrase(new: bool, places: &Places) -> Result<SecretBytes, Problem> {
    let asking = || Problem::new(Code::SealingKeyNotUnwrapped, "ask for the passphrase of the sealing key");
    let help = "wrap it with a source that needs no prompt: keyroll secret rewrap --to credential:NAME";
    let Some(typed_hidden) = places.ask else {
        return Err(asking()
            .because("prompts are disabled (--no-input)")
            .help(help)
            .exits(Exit::NeedsPerson));
    };
    let ask = |what: &str| {
        typed_hidden(what).map_err(|problem| match problem.exit() == Exit::Interrupted {
            true => problem,
            false => asking().because(problem.causes.join(": ")).help(help).exits(Exit::NeedsPerson),
        })
    };
    let text = ask("passphrase of the sealing key")?;
    if !new {
        return Ok(text);
    }
    if text.len() < PASSPHRASE_BYTES_MIN {
        return Err(asking().because(format!("a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes")));
    }
    match ask("the same passphrase again")? == text {
        true => Ok(text),
        false => Err(asking().because("the two passphrases differ")),
    }
}

/// Keys that this process opened: a passphrase is asked for once, and a pipe can be read once.
static OPENED: Mutex<Vec<(PathBuf, SealingKey)>> = Mutex::new(Vec::new());

/// The sealing key. Its file is made on first use, with mode 0600 and the chosen wrapping.
pub fn sealing_key(places: &Places) -> Result<&SealingKey, Problem> {
    if let Some(key) = places.handles.key.get() {
        return Ok(key);
    }
    places.ensure()?;
    let path = places.sealing_key();
    match path.exists() || places.state.join("secrets.db").exists() {
        // A store cannot be read without its key. Making a new key would hide that the old one is missing.
        true => present_key(places),
        false => once(&places.handles.key, || create(places)),
    }
}

/// The sealing key; never makes one.
pub fn present_key(places: &Places) -> Result<&SealingKey, Problem> {
    let path = places.sealing_key();
    match path.exists() {
        true => once(&places.handles.key, || open(places, false)),
        false => Err(using(&path).because("it is missing, but there are sealed values").help(
            "restore it from its backup, mode 0600; without a backup, keyroll doctor says what is lost and \
             what to do. keyroll status shows what is open",
        )),
    }
}

fn using(path: &Path) -> Problem {
    Problem::new(Code::SealingKeyUnusable, format!("open the sealing key {}", path.display()))
}

/// Opens the file. With `anew` (it will be wrapped differently), the chosen wrapping need not be the file's present
/// one.
fn open(places: &Places, anew: bool) -> Result<SealingKey, Problem> {
    let path = places.sealing_key();
    let file = KeyFile::load(&path)
        .map_err(|error| using(&path).because_of(&error).help("keyroll doctor explains the problem"))?;
    let wrapped = match (file, &places.sealing) {
        (KeyFile::Bare(key), None | Some(Source::Bare)) => return Ok(key),
        (KeyFile::Bare(key), Some(_)) if anew => return Ok(key),
        (KeyFile::Bare(_), Some(chosen)) => {
            return Err(other(&path)
                .because(format!("it is not wrapped, but {} was given", chosen.recorded()))
                .help(format!("keyroll secret rewrap --to {}", chosen.recorded())));
        }
        (KeyFile::Wrapped(wrapped), _) => wrapped,
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, key)) = opened.iter().find(|(known, _)| *known == path) {
        return Ok(key.duplicate());
    }
    let key = unwrap(&wrapped, &wrapped_with(&wrapped, places)?, places)?;
    opened.push((path, key.duplicate()));
    Ok(key)
}

/// The chosen wrapping, otherwise the one recorded in the file.
fn wrapped_with(wrapped: &Wrapped, places: &Places) -> Result<Source, Problem> {
    let recorded = wrapped.source();
    match &places.sealing {
        Some(Source::Bare) => Err(other(&places.sealing_key())
            .because(format!("it is wrapped with {recorded}, but `file` was given"))
            .help("omit --sealing-key; keyroll secret rewrap --to file removes the wrapping")),
        Some(source) => Ok(source.clone()),
        None if recorded == "fd" => Err(other(&places.sealing_key())
            .because("it is wrapped with a key from a pipe, but no pipe was given")
            .help("--sealing-key fd:3 3< <(command that prints the key)")),
        None => Source::parse(recorded),
    }
}

fn unwrap(wrapped: &Wrapped, source: &Source, places: &Places) -> Result<SealingKey, Problem> {
    let material = read_material(source, false, places)?;
    let material = material.ok_or_else(|| other(&places.sealing_key()).because("it is wrapped"))?;
    wrapped.open(&material.wrapping()).map_err(|error| {
        let problem = other(&places.sealing_key()).because_of(&error);
        match error == WrapError::Other {
            true => problem.help(format!("it was wrapped with {}", wrapped.source())),
            false => problem,
        }
    })
}

fn other(path: &Path) -> Problem {
    Problem::new(Code::SealingKeyNotUnwrapped, format!("open the sealing key {}", path.display()))
}

/// Refuses to wrap the key with a file that keyroll itself writes. The key's own file would be overwritten, and the
/// others change, so the key could never be opened again.
fn refuse_own(source: &Source, places: &Places) -> Result<(), Problem> {
    let Source::File(path) = source else { return Ok(()) };
    // A file without a readable path cannot be read either; reading it reports the error.
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    let inside = |folder: &PathBuf| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
    let which = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let itself = which(&real).is_some_and(|it| which(&places.sealing_key()) == Some(it));
    if !itself && ![&places.state, &places.keys].into_iter().any(inside) {
        return Ok(());
    }
    let why = match itself {
        true => "it is the sealing key itself, which would then be lost",
        false => "it is in a folder whose files keyroll changes: the file that opens the key must not change",
    };
    Err(Problem::new(Code::SealingKeyNotUnwrapped, format!("wrap the sealing key with {}", path.display()))
        .because(why)
        .help("nothing was changed; name a separate file: head -c 32 /dev/urandom > PATH, with mode 0600"))
}

/// The file for a key, wrapped with a source.
fn file_of(
    key: &SealingKey,
    source: &Source,
    places: &Places,
) -> Result<(KeyFile, Option<Material>), Problem> {
    refuse_own(source, places)?;
    let Some(material) = read_material(source, true, places)? else {
        return Ok((KeyFile::Bare(key.duplicate()), None));
    };
    let wrapped = Wrapped::seal(key, &source.recorded(), &material.wrapping());
    let wrapped = wrapped.map_err(|error| {
        Problem::new(Code::SealingKeyNotUnwrapped, format!("wrap the sealing key with {}", source.recorded()))
            .because_of(&error)
    })?;
    Ok((KeyFile::Wrapped(wrapped), Some(material)))
}

fn create(places: &Places) -> Result<SealingKey, Problem> {
    let path = places.sealing_key();
    let failed = |error: &dyn std::error::Error| using(&path).because_of(error);
    let key = SealingKey::generate().map_err(|error| failed(&error))?;
    let (file, material) = file_of(&key, places.sealing.as_ref().unwrap_or(&Source::Bare), places)?;
    file.create(&path).map_err(|error| failed(&error))?;
    if material.is_some() {
        OPENED.lock().unwrap_or_else(PoisonError::into_inner).push((path, key.duplicate()));
    }
    Ok(key)
}

/// The source from which the wrapping is read a second time before the old one is replaced; `None` if that proves
/// nothing (no wrapping, or a passphrase that was typed twice). A pipe can be read only once, and may have delivered
/// half a key or an error message. Only the same content from a second pipe proves that the key can be fetched again.
///
/// # Errors
/// K0883, with nothing read or changed.
pub fn proof<'a>(to: &'a Source, again: Option<&'a Source>) -> Result<Option<&'a Source>, Problem> {
    let pipes = "keyroll secret rewrap --to fd:3 --again fd:4 3< <(COMMAND) 4< <(COMMAND), where COMMAND prints the key";
    let refused = |why: &str| {
        let attempted = format!("test the source of the wrapping: {}", to.recorded());
        Err(Problem::new(Code::SealingKeyNotUnwrapped, attempted).because(why).help(pipes))
    };
    match (to, again) {
        (Source::Pipe(one), Some(Source::Pipe(other))) if one != other => Ok(again),
        (Source::Pipe(_), None) => {
            refused("a pipe can be read only once, so it is not proved that the key can be fetched again")
        }
        (Source::Pipe(_), Some(_)) => refused("pass a second pipe: --again fd:NUMBER"),
        (_, Some(_)) => refused("--again is only for a key from a pipe; other sources need no second one"),
        (Source::File(_) | Source::Credential(_), None) => Ok(Some(to)),
        (Source::Bare | Source::Passphrase, None) => Ok(None),
    }
}

/// Replaces the wrapping of the key; the key stays the same. `proof`: where the new wrapping is read again. The old
/// file stays until the new one was read back from the disk and opened with that; then it is replaced atomically, so a
/// crash leaves one of them complete. The caller makes sure that only one process does this at a time.
///
/// Returns the previous wrapping.
pub fn rewrap(places: &Places, to: &Source, proof: Option<&Source>) -> Result<String, Problem> {
    let path = places.sealing_key();
    let failed = |error: &dyn std::error::Error| {
        Problem::new(Code::SealingKeyUnusable, format!("replace the sealing key {}", path.display()))
            .because_of(error)
    };
    let before = wrapping_of(places)?;
    let key = open(places, true)?;
    if places.state.join("secrets.db").exists() {
        // Check that the key opens this store: the key of another store could be wrapped just as well.
        SealedStore::open(&places.state, key.duplicate())?;
    }
    let (file, material) = file_of(&key, to, places)?;
    let staged = file.stage(&path).map_err(|error| failed(&error))?;
    let back = match (KeyFile::load(staged.path()).map_err(|error| failed(&error))?, material) {
        (KeyFile::Bare(key), None) => key,
        (KeyFile::Wrapped(wrapped), Some(material)) => {
            // The new file must open with the wrapping as it will be read next time.
            let material = match proof {
                Some(proof) => read_material(proof, false, places)?.unwrap_or(material),
                None => material,
            };
            wrapped.open(&material.wrapping()).map_err(|error| failed(&error))?
        }
        (KeyFile::Bare(_), Some(_)) | (KeyFile::Wrapped(_), None) => {
            return Err(failed(&WrapError::Malformed));
        }
    };
    let same = |key: &SealingKey| key.kid().map_err(|error| failed(&error));
    if same(&back)? != same(&key)? {
        return Err(failed(&WrapError::Other));
    }
    staged.commit().map_err(|error| failed(&error))?;
    Ok(before)
}

/// The wrapping that is recorded in the file; nothing is opened.
pub fn wrapping_of(places: &Places) -> Result<String, Problem> {
    let path = places.sealing_key();
    match KeyFile::load(&path).map_err(|error| using(&path).because_of(&error))? {
        KeyFile::Bare(_) => Ok(Source::Bare.recorded()),
        KeyFile::Wrapped(wrapped) => Ok(wrapped.source().to_owned()),
    }
}
