//! The files and folders that a command reaches: every word that names one, whatever the program is called, because
//! `nice`, `env`, `make` or a shell may run what its words name.
//!
//! The exceptions: a declared copy, unless it is run as a script; [`DATA_PROGRAMS`]; [`DATA_OPTIONS`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use keyroll_manager::{home, home_of, uid_of};
use keyroll_observe::{is_interpreter, is_shell};

/// Programs that only read the files that they are given.
const DATA_PROGRAMS: [&str; 14] = [
    "[",
    "cat",
    "cksum",
    "cmp",
    "diff",
    "egrep",
    "fgrep",
    "grep",
    "head",
    "sha256sum",
    "stat",
    "tail",
    "test",
    "wc",
];

/// Options of a program that are followed by a folder with data, such as a volume or the folder of a socket.
const DATA_OPTIONS: [(&str, &[&str]); 4] = [
    ("docker", &["-v", "--volume", "--mount"]),
    ("podman", &["-v", "--volume", "--mount"]),
    ("psql", &["-h", "--host"]),
    ("pg_isready", &["-h", "--host"]),
];

/// Words after which a command goes on in the folder that follows.
const MOVES: [&str; 8] =
    ["cd", "pushd", "-C", "--chdir", "--cwd", "--directory", "--prefix", "--project-directory"];

/// Files that a program loads from the folder in which it runs, although no word names them.
const LOADED: [(&str, &[&str]); 10] = [
    ("make", &["GNUmakefile", "makefile", "Makefile"]),
    ("gmake", &["GNUmakefile", "makefile", "Makefile"]),
    ("compose", COMPOSE_FILES),
    ("docker-compose", COMPOSE_FILES),
    ("podman-compose", COMPOSE_FILES),
    ("npm", &["package.json"]),
    ("yarn", &["package.json"]),
    ("pnpm", &["package.json"]),
    ("rake", &["Rakefile", "rakefile"]),
    ("just", &["justfile", "Justfile", ".justfile"]),
];
const COMPOSE_FILES: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// Programs that run the rest of their words as another user, whom this option names; without one, the first word that is
/// not an option.
const SWITCHES: [(&str, Option<[&str; 2]>, bool); 8] = [
    ("sudo", Some(["-u", "--user"]), false),
    ("doas", Some(["-u", "--user"]), false),
    ("runuser", Some(["-u", "--user"]), true),
    ("su", None, true),
    ("gosu", None, true),
    ("su-exec", None, true),
    ("setuidgid", None, true),
    ("s6-setuidgid", None, true),
];

/// Options of those programs that take no word.
const PLAIN_OPTIONS: [&str; 8] = ["-", "-l", "--login", "-i", "-n", "-E", "-H", "--"];

/// Programs that run the program that their words name.
const WRAPPERS: [&str; 14] = [
    "env",
    "nice",
    "ionice",
    "chrt",
    "timeout",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "flock",
    "xargs",
    "exec",
    "command",
    "systemd-run",
];

/// What separates the words of a line for a shell, and what encloses them.
const APART: &[char] =
    &[' ', '\t', '\n', '\r', ';', '&', '|', '(', ')', '<', '>', '{', '}', '"', '\'', '`', '$'];

/// The same, but for what begins and ends an expansion.
const APART_UNEXPANDED: &[char] = &[' ', '\t', '\n', '\r', ';', '&', '|', '<', '>', '"', '\''];

const GLOBS: &[char] = &['*', '?', '['];

/// Words of a shell that run the file that follows in the shell itself.
const SOURCES: [&str; 2] = [".", "source"];

/// Why a file or folder is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// A word names it.
    Word,
    /// A command runs this copy of the secret as a script.
    RunCopy,
    /// It is on the way of a program that is found through PATH.
    SearchPath,
    /// A folder from which files are loaded by their names: whoever may add a file there decides what runs. Of a path that
    /// does not exist, the last folder that does.
    Loads,
}

/// A file or folder that decides what a command does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached {
    pub(super) path: PathBuf,
    pub(super) by: By,
    /// The user as whom the command goes on, where it gives up keyroll's rights before it uses the file.
    pub(super) as_user: Option<u32>,
}

impl Reached {
    pub(super) fn file(path: PathBuf) -> Self {
        Self { path, by: By::Word, as_user: None }
    }
}

/// Where commands run.
pub(super) struct Surroundings<'a> {
    pub(super) folder: &'a Path,
    /// The consumer's copies of the secret, without links.
    pub(super) copies: &'a [PathBuf],
    /// The folders in which a program without a slash is looked up, as in PATH.
    pub(super) search: &'a OsStr,
}

/// A word of a command, or a part of one.
struct Token {
    /// The number of the command's word.
    at: usize,
    text: String,
}

/// Every file and folder that a command reaches, as far as its words show it.
pub(super) fn reached(words: &[String], of: &Surroundings<'_>) -> Vec<Reached> {
    let mut words = expanded(words, of.folder);
    let switch = switch(&words);
    if words.first().is_some_and(|program| DATA_PROGRAMS.contains(&name(program))) {
        words.truncate(1);
    }
    streams(&words).iter().flat_map(|tokens| of_tokens(tokens, of, switch)).collect()
}

/// The parts of a command that only a shell can resolve, so that it is not visible which files they name.
pub(super) fn unseen(words: &[String], folder: &Path) -> Vec<String> {
    let words = expanded(words, folder);
    let mut all = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = words.get(..at).unwrap_or_default();
        if !before.iter().any(|word| is_shell(Path::new(word)) || name(word) == "su") {
            continue;
        }
        let mut sources = false;
        for piece in word.split(APART_UNEXPANDED).filter(|piece| !piece.is_empty()) {
            let open = piece.contains(['$', '`']) || piece.contains(GLOBS);
            let path = (piece.contains('/') || sources) && !piece.contains("://");
            let rest = [")/", "`/"].iter().any(|end| piece.starts_with(end));
            if (open && path) || rest {
                all.push(piece.to_owned());
            }
            sources = SOURCES.contains(&piece);
        }
    }
    all
}

/// A command as three lists: its words; the parts of its words at every character that means something to a shell; and
/// the words as a shell without expansions reads them, for names with blanks.
fn streams(words: &[String]) -> [Vec<Token>; 3] {
    let token = |at, text: &str| Token { at, text: text.to_owned() };
    let each = |parts: &dyn Fn(&str) -> Vec<String>| -> Vec<Token> {
        let all = words.iter().enumerate().flat_map(|(at, word)| {
            let parts = parts(word).into_iter().filter(|part| !part.is_empty());
            parts.map(move |text| Token { at, text })
        });
        all.collect()
    };
    [
        words.iter().enumerate().map(|(at, word)| token(at, word)).collect(),
        each(&|word| word.split(APART).map(str::to_owned).collect()),
        each(&|word| shlex::split(word).unwrap_or_default()),
    ]
}

fn of_tokens(tokens: &[Token], of: &Surroundings<'_>, switch: Option<(usize, u32)>) -> Vec<Reached> {
    let folders = folders(tokens, of.folder);
    let mut all = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = tokens.get(..at).unwrap_or_default();
        if is_data(before, &token.text) {
            continue;
        }
        let as_user = switch.filter(|(name, _)| token.at > *name).map(|(_, user)| user);
        let place = At { before, of, folders: &folders };
        let mut paths = place.named(&token.text);
        paths.extend(place.loaded(&token.text));
        if place.may_be_program() {
            paths.extend(searched(&token.text, of));
        }
        all.extend(paths.into_iter().map(|(path, by)| Reached { path, by, as_user }));
    }
    all
}

/// The folders in which a command may run: its own, and those that it moves to.
fn folders(tokens: &[Token], own: &Path) -> Vec<PathBuf> {
    let mut all = vec![own.to_owned()];
    let mut before = "";
    for token in tokens {
        if let Some(name) = moved_to(before, &token.text) {
            for folder in all.clone() {
                let new = folder.join(name).canonicalize().ok().filter(|new| new.is_dir());
                all.extend(new.filter(|new| !all.contains(new)));
            }
        }
        before = &token.text;
    }
    all
}

/// The folder that a word moves the command to.
fn moved_to<'a>(before: &str, text: &'a str) -> Option<&'a str> {
    let attached = || {
        MOVES.iter().filter(|word| word.starts_with('-')).find_map(|option| {
            let rest = text.strip_prefix(option)?;
            let value = if option.starts_with("--") { rest.strip_prefix('=')? } else { rest };
            Some(value).filter(|value| !value.is_empty())
        })
    };
    if MOVES.contains(&before) { Some(text) } else { attached() }
}

/// Whether a word stands after an option that takes data.
fn is_data(before: &[Token], text: &str) -> bool {
    let options = DATA_OPTIONS.iter().filter(|(program, _)| is_there(before, program));
    let last = before.last().map_or("", |token| token.text.as_str());
    options
        .flat_map(|(_, options)| *options)
        .any(|option| last == *option || text.strip_prefix(option).is_some_and(|value| !value.is_empty()))
}

fn is_there(tokens: &[Token], program: &str) -> bool {
    tokens.iter().any(|token| name(&token.text) == program)
}

/// A word in its place.
struct At<'a> {
    before: &'a [Token],
    of: &'a Surroundings<'a>,
    folders: &'a [PathBuf],
}

impl At<'_> {
    /// Whether a word may be the name of a program: the first one is, and any behind a shell or a program that runs others.
    fn may_be_program(&self) -> bool {
        let runs = |token: &Token| {
            let name = name(&token.text);
            is_shell(Path::new(name))
                || WRAPPERS.contains(&name)
                || SWITCHES.iter().any(|(it, ..)| *it == name)
        };
        self.before.is_empty() || self.before.iter().any(runs)
    }

    /// The existing files and folders that a word may name.
    fn named(&self, text: &str) -> Vec<(PathBuf, By)> {
        let moved = moved_to(self.last(), text);
        let mut all = Vec::new();
        for name in names(text).into_iter().chain(moved) {
            for folder in self.folders {
                let path = folder.join(at_home(name));
                match path.metadata() {
                    Ok(meta) if meta.is_file() => all.extend(self.file(path)),
                    // A word without a slash is more often the name of a service.
                    Ok(meta) if meta.is_dir() && (name.contains('/') || moved == Some(name)) => {
                        all.push((path, By::Word));
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound && SOURCES.contains(&self.last()) => {
                        all.push((path, By::Loads));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        all
    }

    fn file(&self, path: PathBuf) -> Vec<(PathBuf, By)> {
        let Ok(real) = path.canonicalize() else { return Vec::new() };
        let copy = self.of.copies.contains(&real);
        if copy && !self.is_run() {
            return Vec::new();
        }
        // Python imports from the folder of its script.
        let imports = real.parent().filter(|_| self.is_python()).map(|folder| (folder.to_owned(), By::Loads));
        std::iter::once((path, if copy { By::RunCopy } else { By::Word })).chain(imports).collect()
    }

    /// The files that a program loads although no word names them, and the module after Python's `-m`.
    fn loaded(&self, text: &str) -> Vec<(PathBuf, By)> {
        let mut files: Vec<String> = LOADED
            .iter()
            .filter(|(program, _)| name(text) == *program)
            .flat_map(|(_, files)| files.iter().map(|file| (*file).to_owned()))
            .collect();
        if self.last() == "-m" && self.is_python() {
            let module = text.replace('.', "/");
            files.extend(["py", "/__init__.py", "/__main__.py"].map(|end| match end.starts_with('/') {
                true => format!("{module}{end}"),
                false => format!("{module}.{end}"),
            }));
        }
        let paths = files.iter().flat_map(|file| self.folders.iter().map(move |folder| folder.join(file)));
        paths.filter(|path| path.is_file()).flat_map(|path| self.file(path)).collect()
    }

    /// The word before this one.
    fn last(&self) -> &str {
        self.before.last().map_or("", |token| &token.text)
    }

    /// Whether the word is the program, or what a shell or another interpreter runs.
    fn is_run(&self) -> bool {
        let mut words = self.before.iter().rev().map(|token| token.text.as_str());
        match words.find(|word| !word.starts_with('-')) {
            Some(word) => SOURCES.contains(&word) || is_interpreter(Path::new(word)),
            None => true,
        }
    }

    fn is_python(&self) -> bool {
        self.before.iter().any(|token| name(&token.text).starts_with("python"))
    }
}

/// The names that one word may contain: the word, the value of an option (`--file=NAME`, `-fNAME`, `@NAME`), the parts of a
/// list (`A,B`, `PATH=A:B`), and the folder of a pattern.
fn names(text: &str) -> Vec<&str> {
    let short = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')).and_then(|rest| {
        let mut letters = rest.chars();
        letters.next().map(|_| letters.as_str())
    });
    let list = text.split_once('=').filter(|(name, _)| is_variable(name)).map(|(_, value)| value.split(':'));
    let pattern = text.find(GLOBS).and_then(|at| text.get(..at)).and_then(|start| {
        let slash = start.rfind('/')?;
        start.get(..=slash)
    });
    let all = std::iter::once(text).chain(short).chain(text.split(['=', ',', '@']));
    let all = all.chain(list.into_iter().flatten()).chain(pattern);
    all.filter(|name| !name.is_empty()).collect()
}

/// The file that a word without a slash finds through PATH, and the folders that are searched for it.
fn searched(text: &str, of: &Surroundings<'_>) -> Vec<(PathBuf, By)> {
    if text.contains('/') || text.starts_with('-') || SOURCES.contains(&text) {
        return Vec::new();
    }
    let mut all = Vec::new();
    for searched in std::env::split_paths(of.search).map(|searched| of.folder.join(searched)) {
        let file = searched.join(text);
        all.push((searched, By::SearchPath));
        if file.is_file() {
            all.push((file, By::SearchPath));
            return all;
        }
    }
    Vec::new()
}

/// The number of the word that names the user as whom a command goes on, and that user.
fn switch(words: &[String]) -> Option<(usize, u32)> {
    let program = name(words.first()?);
    let (_, options, positional) = SWITCHES.iter().find(|(known, ..)| *known == program)?;
    let user = |at: usize, name: &str| {
        let name = name.split(':').next().unwrap_or(name);
        Some((at, name.parse().ok().or_else(|| uid_of(name).ok())?))
    };
    let mut named = false;
    for (at, word) in words.iter().enumerate().skip(1) {
        match options {
            _ if named => return user(at, word),
            Some(options) if options.contains(&word.as_str()) => named = true,
            Some([_, long]) if word.starts_with(&format!("{long}=")) => {
                return user(at, word.get(long.len() + 1..)?);
            }
            Some(_) | None if PLAIN_OPTIONS.contains(&word.as_str()) => {}
            // It may take a word, such as the name of a group.
            Some(_) | None if word.starts_with('-') => return None,
            Some(_) | None => return if *positional { user(at, word) } else { None },
        }
    }
    None
}

/// The words with the variables that are known: HOME, PWD, and those that the command itself sets.
fn expanded(words: &[String], folder: &Path) -> Vec<String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    known.insert("PWD".to_owned(), folder.display().to_string());
    known.extend(home().and_then(|home| home.into_string().ok()).map(|home| ("HOME".to_owned(), home)));
    let [_, parts, quoted] = streams(words);
    if parts.iter().any(|token| MOVES.contains(&token.text.as_str())) {
        known.remove("PWD");
    }
    let mut open = BTreeSet::new();
    for tokens in [&quoted, &parts] {
        let mut set = BTreeMap::new();
        for token in tokens {
            if let Some((name, value)) = token.text.split_once('=')
                && is_variable(name)
                && !value.is_empty()
            {
                let value = value.trim_end_matches([';', '&']).to_owned();
                // Which of two values it has where it is used is not visible.
                if set.insert(name.to_owned(), value.clone()).is_some_and(|before| before != value) {
                    open.insert(name.to_owned());
                }
            }
        }
        known.extend(set);
    }
    known.retain(|name, _| !open.contains(name));
    words.iter().map(|word| expand(word, &known)).collect()
}

fn expand(word: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = after.find(|letter: char| !is_of_variable(letter)).unwrap_or(after.len());
        let (name, next) = braced.unwrap_or_else(|| after.split_at(end));
        match known.get(name) {
            Some(value) => {
                out.push_str(value);
                rest = next;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_of_variable)
}

fn is_of_variable(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// A path that begins with a home folder, as a shell expands it.
fn at_home(name: &str) -> PathBuf {
    let Some((user, rest)) = name.strip_prefix('~').and_then(|name| name.split_once('/')) else {
        return name.into();
    };
    let home = match user {
        "" => home().map(PathBuf::from).filter(|home| home.is_absolute()),
        user => uid_of(user).ok().and_then(home_of),
    };
    home.map_or_else(|| name.into(), |home| home.join(rest))
}

/// The name of a program, without its folder.
fn name(program: &str) -> &str {
    Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or(program)
}
