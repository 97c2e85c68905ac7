//! Refuses a configuration, issuer specs and commands that another user can change.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{Consumer, IssuerRef, Secret};
use rustix::fs::getxattr;

use super::consumer_commands::consumer_commands;
use super::open::folder_of;
use crate::problem::Problem;

/// Write permission of the group and of everybody.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// The sticky bit: in such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// An access list as the kernel gives it (linux/posix_acl_xattr.h): a header of 4 bytes, then entries of tag,
/// permissions and id, all little-endian.
const ACCESS_LIST: &str = "system.posix_acl_access";
const ACCESS_LIST_BYTES_MAX: usize = 64 * 1024;
const ACCESS_HEADER_BYTES: usize = 4;
const ACCESS_ENTRY_BYTES: usize = 8;
const NAMED_USER: u16 = 0x02;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const MAY_WRITE: u16 = 0o2;

/// Refuses a configuration if another user can change it, a file that it names, or a folder above one of them: that
/// user's commands would run with this user's rights, or credentials would go to hosts of that user's choice.
///
/// Root trusts only root's files. Any other user also trusts own files that the group can write.
pub fn trusted(config_file: &Path, secret: &Secret) -> Result<(), Problem> {
    trusted_of(config_file, secret, |_| true)
}

/// The same, for the commands of some consumers only, by their number: those of the others are not run.
pub fn trusted_of(config_file: &Path, secret: &Secret, runs: impl Fn(usize) -> bool) -> Result<(), Problem> {
    let folder = folder_of(config_file);
    let mut files = vec![config_file.to_owned()];
    match &secret.issuer {
        IssuerRef::SpecFile(path) => files.push(folder.join(path)),
        IssuerRef::Shipped(_) | IssuerRef::Server(_) => {}
    }
    let consumers = secret.consumers.iter().enumerate().filter(|(at, _)| runs(*at));
    files.extend(consumers.flat_map(|(_, consumer)| run_by(folder, consumer)));
    trusted_files(files)
}

/// The same for the commands of one consumer.
pub fn trusted_consumer(config_file: &Path, consumer: &Consumer) -> Result<(), Problem> {
    trusted_files(run_by(folder_of(config_file), consumer))
}

/// The same for the named files.
pub fn trusted_files(files: Vec<PathBuf>) -> Result<(), Problem> {
    let user = rustix::process::geteuid().as_raw();
    let mut wrong = BTreeSet::new();
    for file in files {
        wrong.extend(above(&file).into_iter().filter_map(|path| {
            let meta = path.metadata().ok()?;
            fault(&path, &meta, user)
        }));
    }
    let Some(first) = wrong.first() else { return Ok(()) };
    let problem = Problem::new(Code::OpenToOtherUsers, format!("trust {}", first.path.display()));
    let problem = wrong
        .iter()
        .fold(problem, |problem, fault| problem.because(format!("{}: {}", fault.path.display(), fault.why)));
    let ways: Vec<&str> = wrong.iter().map(|fault| fault.way.as_str()).collect();
    Err(problem.help(format!("check its content, then: {}", ways.join(" && "))))
}

/// Every file and folder that a consumer's commands run or read, as far as their words name it. A copy of the secret is
/// none: its content is replaced, not run.
fn run_by(folder: &Path, consumer: &Consumer) -> Vec<PathBuf> {
    let copies: Vec<PathBuf> =
        consumer.reads.iter().filter_map(|copy| folder.join(copy.place.path()).canonicalize().ok()).collect();
    let mut files = consumer.runs.workload().trusted_files();
    for command in consumer_commands(consumer) {
        // A program without a slash is found in the PATH of the user who runs keyroll.
        let names = command.words.iter().enumerate().filter(|(at, word)| *at > 0 || word.contains('/'));
        let named = names.flat_map(|(_, word)| named(word)).filter_map(|name| {
            let path = folder.join(name);
            let real = path.canonicalize().ok()?;
            let counts = real.is_file() || (real.is_dir() && name.contains('/'));
            (counts && !copies.contains(&real)).then_some(path)
        });
        files.extend(named);
    }
    files
}

/// The names of files that may stand in one word of a command: the word, the value of an option, and the words of a line
/// for a shell.
fn named(word: &str) -> impl Iterator<Item = &str> {
    let apart = |it: char| it.is_whitespace() || ";&|()<>{}\"'`$=,".contains(it);
    std::iter::once(word)
        .chain(word.split_once('=').map(|(_, value)| value))
        .chain(word.split(apart))
        .filter(|name| !name.is_empty())
}

/// A file and the folders above it, by its path as given and by its path with links resolved.
fn above(file: &Path) -> BTreeSet<PathBuf> {
    let real = file.canonicalize().ok();
    let ways = [Some(file), real.as_deref()];
    // The ancestor `folder/.` of `folder/./restart.sh` counts as `folder`.
    let all = ways.into_iter().flatten().flat_map(Path::ancestors);
    all.filter(|path| !path.as_os_str().is_empty()).map(|path| path.components().collect()).collect()
}

/// What is wrong with one file or folder, and how to correct that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnsafePath {
    path: PathBuf,
    why: String,
    way: String,
}

fn fault(path: &Path, meta: &Metadata, user: u32) -> Option<UnsafePath> {
    let shown = path.display();
    let (owner, mode) = (meta.uid(), meta.mode());
    let unsafe_path = |why: String, way: String| Some(UnsafePath { path: path.to_owned(), why, way });
    if owner != 0 && owner != user {
        let why = format!("it belongs to user {owner}, who can change it");
        // Its owner may live in the folder.
        return match meta.is_dir() {
            true => {
                unsafe_path(why, format!("move what keyroll uses out of {shown}, and correct keyroll.toml"))
            }
            false => unsafe_path(why, format!("chown {user} {shown}")),
        };
    }
    let forbidden = if user == 0 || owner != user { GROUP_WRITES | OTHERS_WRITE } else { OTHERS_WRITE };
    if meta.is_dir() && mode & STICKY != 0 {
        return None;
    }
    // Of a file with an access list, the mode shows as the group's what anybody in the list may do.
    if let Some(who) = listed(path, user) {
        return unsafe_path(format!("{who} can change it by an access list"), format!("setfacl -b {shown}"));
    }
    if mode & forbidden != 0 {
        let (who, class) = if mode & OTHERS_WRITE == 0 { ("its group", "g") } else { ("everybody", "go") };
        let why = format!("{who} can change it (mode {:04o})", mode & 0o7777);
        return unsafe_path(why, format!("chmod {class}-w {shown}"));
    }
    None
}

/// Another user or a group that may write by the file's access list.
fn listed(path: &Path, user: u32) -> Option<String> {
    let mut list = vec![0; ACCESS_LIST_BYTES_MAX];
    // Where a file system has no access lists, or the file has none, its mode says all.
    let length = getxattr(path, ACCESS_LIST, list.as_mut_slice()).ok()?;
    let entries: Vec<(u16, u16, u32)> = list
        .get(ACCESS_HEADER_BYTES..length)?
        .chunks_exact(ACCESS_ENTRY_BYTES)
        .filter_map(|entry| {
            let (tag, rest) = entry.split_first_chunk::<2>()?;
            let (may, rest) = rest.split_first_chunk::<2>()?;
            let (id, _) = rest.split_first_chunk::<4>()?;
            Some((u16::from_le_bytes(*tag), u16::from_le_bytes(*may), u32::from_le_bytes(*id)))
        })
        .collect();
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(MAY_WRITE, |(_, may, _)| *may);
    entries.into_iter().find_map(|(tag, may, id)| match tag {
        _ if may & mask & MAY_WRITE == 0 => None,
        NAMED_USER if id != 0 && id != user => Some(format!("user {id}")),
        NAMED_GROUP => Some(format!("group {id}")),
        _ => None,
    })
}
