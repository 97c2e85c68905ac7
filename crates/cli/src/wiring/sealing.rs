//! The key that seals values, and what its file is wrapped with: a reference, never a value.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keyroll_secret::{KeyFile, SealingKey, SecretBytes, WrapError, Wrapped, Wrapping};
use keyroll_store::SealedStore;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::time::Timespec;

use crate::env;
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::ui;

/// The most bytes of a key that wraps the sealing key.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// How long a program at the other end of a descriptor may take, seconds.
const PIPE_S_MAX: i64 = 60;
/// The fewest bytes of a new passphrase. It is guessed offline by whoever has the file.
const PASSPHRASE_BYTES_MIN: usize = 12;

/// What the sealing key is wrapped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// With nothing: whoever reads the file has the key.
    Bare,
    /// A key in another file: on a medium that is taken out, say.
    File(PathBuf),
    /// A credential of the systemd unit that this process runs in.
    Credential(String),
    /// A pipe that was opened for this process, by its descriptor: from a program that fetches a key.
    Pipe(u32),
    /// What a person types at the terminal.
    Passphrase,
}

impl Source {
    /// Reads a reference. What is none is not repeated: it may be the value itself.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| {
            Problem::new("K0882", "read where the sealing key's wrapping is")
                .because(why)
                .help("write file, file:PATH, credential:NAME, fd:NUMBER or passphrase")
                .exits(Exit::Usage)
        };
        match text.split_once(':') {
            None if text == "file" => Ok(Self::Bare),
            None if text == "passphrase" => Ok(Self::Passphrase),
            Some(("file", path)) if !path.is_empty() => {
                std::path::absolute(path).map(Self::File).map_err(|error| wrong(&error.to_string()))
            }
            Some(("credential", name)) if is_credential(name) => Ok(Self::Credential(name.to_owned())),
            Some(("credential", _)) => Err(wrong("a credential's name is of letters, digits, . _ and -")),
            Some(("fd", number)) => match number.parse() {
                // 0 to 2 are a person's, and carry values in and answers out.
                Ok(number @ 3..) => Ok(Self::Pipe(number)),
                Ok(0..3) | Err(_) => Err(wrong("the number of a descriptor is 3 or more")),
            },
            Some(_) | None => Err(wrong("it is not a reference")),
        }
    }

    /// What the file remembers: enough to find the wrapping again, where that is possible.
    fn recorded(&self) -> String {
        match self {
            Self::Bare => "file".to_owned(),
            Self::File(path) => format!("file:{}", path.display()),
            Self::Credential(name) => format!("credential:{name}"),
            Self::Pipe(_) => "fd".to_owned(),
            Self::Passphrase => "passphrase".to_owned(),
        }
    }

    /// The wrapping itself; `new` asks for a passphrase twice. `None` = there is none.
    fn material(&self, new: bool, places: &Places) -> Result<Option<Material>, Problem> {
        let failed =
            |why: String| Problem::new("K0882", format!("read the key at {}", self.recorded())).because(why);
        match self {
            Self::Bare => Ok(None),
            Self::File(path) => read_key(path, true).map(Material::Key).map(Some).map_err(failed),
            Self::Credential(name) => {
                let folder = env::CREDENTIALS.absolute().ok_or_else(|| {
                    failed("this process has no credentials (CREDENTIALS_DIRECTORY is not set)".to_owned())
                        .help(format!("run it in a unit with LoadCredentialEncrypted={name}: docs/guides/keep-the-sealing-key.md"))
                })?;
                read_key(&folder.join(name), false).map(Material::Key).map(Some).map_err(failed)
            }
            Self::Pipe(number) => read_pipe(*number).map(Material::Key).map(Some).map_err(failed),
            Self::Passphrase => passphrase(new, places).map(Material::Passphrase).map(Some),
        }
    }
}

/// Names that systemd takes for a credential, and that stay in its folder.
fn is_credential(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
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

fn read_key(path: &Path, private: bool) -> Result<SecretBytes, String> {
    // A FIFO under this name must not block the opening.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // systemd gives its credentials modes of its own.
    if private && meta.mode() & 0o077 != 0 {
        return Err(format!("others may use it (mode {:04o})", meta.mode() & 0o7777));
    }
    read_all(file)
}

/// All that comes out of a pipe. Only a pipe: what was read of it is gone, so that no command that is started later
/// and inherits the descriptor can read the key again.
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

/// A pipe that is waited for, but not for ever.
struct Patient(File);

impl std::io::Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let limit = Timespec { tv_sec: PIPE_S_MAX, tv_nsec: 0 };
        let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
        match rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&limit)))? {
            0 => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "nothing came out of it in time")),
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
    let asking = || Problem::new("K0884", "ask for the passphrase of the sealing key");
    let help = "wrap it with something that a program can give: keyroll secret rewrap --to credential:NAME";
    if !places.ask {
        return Err(asking().because("nobody may be asked (--no-input)").help(help).exits(Exit::NeedsPerson));
    }
    let ask = |what: &str| {
        ui::typed_hidden(what).map_err(|problem| match problem.exit() == Exit::Interrupted {
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
    match ask("the same passphrase once more")? == text {
        true => Ok(text),
        false => Err(asking().because("the two were not the same")),
    }
}

/// Keys that this process opened: a passphrase is asked for once, and a pipe can be read once.
static OPENED: Mutex<Vec<(PathBuf, SealingKey)>> = Mutex::new(Vec::new());

/// The sealing key. Its file is made on first use, mode 0600, wrapped with what was chosen.
pub(crate) fn sealing_key(places: &Places) -> Result<SealingKey, Problem> {
    places.ensure()?;
    let path = places.sealing_key();
    match path.exists() || places.state.join("secrets.db").exists() {
        // A store without its key cannot be read: a new key would hide that.
        true => present_key(places),
        false => create(places),
    }
}

/// The same where nothing is made.
pub(crate) fn present_key(places: &Places) -> Result<SealingKey, Problem> {
    let path = places.sealing_key();
    match path.exists() {
        true => open(places, false),
        false => Err(using(&path)
            .because("it is not there, and sealed values are")
            .help("put it back from its backup, mode 0600; where there is none: keyroll doctor says what is lost and what to do. keyroll status shows what is open")),
    }
}

fn using(path: &Path) -> Problem {
    Problem::new("K0826", format!("open the sealing key {}", path.display()))
}

/// Opens the file; where it is to be wrapped anew, a wrapping that was chosen need not be that of the file.
fn open(places: &Places, anew: bool) -> Result<SealingKey, Problem> {
    let path = places.sealing_key();
    let file = KeyFile::load(&path)
        .map_err(|error| using(&path).because_of(&error).help("keyroll doctor says what is wrong with it"))?;
    let wrapped = match (file, &places.sealing) {
        (KeyFile::Bare(key), None | Some(Source::Bare)) => return Ok(key),
        (KeyFile::Bare(key), Some(_)) if anew => return Ok(key),
        (KeyFile::Bare(_), Some(chosen)) => {
            return Err(other(&path)
                .because(format!("it is bare, and {} was named", chosen.recorded()))
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

/// What was chosen, or what the file remembers.
fn wrapped_with(wrapped: &Wrapped, places: &Places) -> Result<Source, Problem> {
    let recorded = wrapped.source();
    match &places.sealing {
        Some(Source::Bare) => Err(other(&places.sealing_key())
            .because(format!("it is wrapped with {recorded}, and `file` was named"))
            .help("leave --sealing-key out; keyroll secret rewrap --to file takes the wrapping off")),
        Some(source) => Ok(source.clone()),
        None if recorded == "fd" => Err(other(&places.sealing_key())
            .because("it is wrapped with a key from a pipe, and none was named")
            .help("--sealing-key fd:3 3< <(command that prints the key)")),
        None => Source::parse(recorded),
    }
}

fn unwrap(wrapped: &Wrapped, source: &Source, places: &Places) -> Result<SealingKey, Problem> {
    let material = source.material(false, places)?;
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
    Problem::new("K0883", format!("open the sealing key {}", path.display()))
}

/// Refuses to wrap the key with what keyroll itself writes: its own file is gone once it is wrapped with it, and the
/// others change. Nothing would open it ever again.
fn refuse_own(source: &Source, places: &Places) -> Result<(), Problem> {
    let Source::File(path) = source else { return Ok(()) };
    // What cannot be looked at cannot be read either, which is told there.
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    let inside = |folder: &PathBuf| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
    let which = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let itself = which(&real).is_some_and(|it| which(&places.sealing_key()) == Some(it));
    if !itself && ![&places.state, &places.keys].into_iter().any(inside) {
        return Ok(());
    }
    let why = match itself {
        true => "it is the sealing key itself, which would stand nowhere any more",
        false => "it is in a folder whose files keyroll changes: what opens the key must stay as it is",
    };
    Err(Problem::new("K0895", format!("wrap the sealing key with {}", path.display()))
        .because(why)
        .help("nothing was changed; name a file of its own: head -c 32 /dev/urandom > PATH, with mode 0600"))
}

/// The file for a key, wrapped with a source.
fn file_of(
    key: &SealingKey,
    source: &Source,
    places: &Places,
) -> Result<(KeyFile, Option<Material>), Problem> {
    refuse_own(source, places)?;
    let Some(material) = source.material(true, places)? else {
        return Ok((KeyFile::Bare(key.duplicate()), None));
    };
    let wrapped = Wrapped::seal(key, &source.recorded(), &material.wrapping());
    let wrapped = wrapped.map_err(|error| {
        Problem::new("K0882", format!("wrap the sealing key with {}", source.recorded())).because_of(&error)
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

/// Where the wrapping is read once more before the old one goes; `None` where that tells nothing: there is none, or it
/// was typed twice. A pipe can be read once, and what came out of it may have been half a key, or a program's
/// complaint: only the same from a second one shows that it can be had again.
///
/// # Errors
/// K0622, with nothing read or changed.
pub(crate) fn proof<'a>(to: &'a Source, again: Option<&'a Source>) -> Result<Option<&'a Source>, Problem> {
    let pipes = "keyroll secret rewrap --to fd:3 --again fd:4 3< <(COMMAND) 4< <(COMMAND), where COMMAND prints the key";
    let refused = |why: &str| {
        let attempted = format!("try what wraps the sealing key: {}", to.recorded());
        Err(Problem::new("K0622", attempted).because(why).help(pipes))
    };
    match (to, again) {
        (Source::Pipe(one), Some(Source::Pipe(other))) if one != other => Ok(again),
        (Source::Pipe(_), None) => {
            refused("a pipe can be read once, so nobody knows whether the key can be had again")
        }
        (Source::Pipe(_), Some(_)) => refused("it is tried by another pipe: --again fd:NUMBER"),
        (_, Some(_)) => refused("--again is for a key from a pipe; every other source is tried by itself"),
        (Source::File(_) | Source::Credential(_), None) => Ok(Some(to)),
        (Source::Bare | Source::Passphrase, None) => Ok(None),
    }
}

/// Puts the same key into its file with another wrapping, tried by `proof`. The old file stays until the new one was read back from the
/// disk and opened, and is replaced in one step: a crash leaves one of them, whole. Two must not do this at once.
///
/// Returns what it was wrapped with before.
pub(crate) fn rewrap(places: &Places, to: &Source, proof: Option<&Source>) -> Result<String, Problem> {
    let path = places.sealing_key();
    let failed = |error: &dyn std::error::Error| {
        Problem::new("K0826", format!("replace the sealing key {}", path.display())).because_of(error)
    };
    let before = wrapping_of(places)?;
    let key = open(places, true)?;
    if places.state.join("secrets.db").exists() {
        // The key of another store would be wrapped as well as the right one.
        SealedStore::open(&places.state, key.duplicate())?;
    }
    let (file, material) = file_of(&key, to, places)?;
    let staged = file.stage(&path).map_err(|error| failed(&error))?;
    let back = match (KeyFile::load(staged.path()).map_err(|error| failed(&error))?, material) {
        (KeyFile::Bare(key), None) => key,
        (KeyFile::Wrapped(wrapped), Some(material)) => {
            // The wrapping that is found next time must open it.
            let material = match proof {
                Some(proof) => proof.material(false, places)?.unwrap_or(material),
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

/// What the file is wrapped with, as it remembers it; nothing is opened.
pub(crate) fn wrapping_of(places: &Places) -> Result<String, Problem> {
    let path = places.sealing_key();
    match KeyFile::load(&path).map_err(|error| using(&path).because_of(&error))? {
        KeyFile::Bare(_) => Ok(Source::Bare.recorded()),
        KeyFile::Wrapped(wrapped) => Ok(wrapped.source().to_owned()),
    }
}
