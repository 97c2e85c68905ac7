use std::path::PathBuf;

use super::commands::{ELSEWHERE, OPERANDS};
use super::state::{Frame, How, Kind, Mode, Reader, Why};
use super::tokens::{assignment, substitution};

/// How deep shells may be within shells: `bash -c "bash -c …"`.
const SHELLS_MAX: usize = 3;

/// Programs that start another one with an environment of their own, and the word for that; none = always. Source:
/// their manuals.
const STARTERS: [(&str, &str); 34] = [
    ("sudo", ""),
    ("su", ""),
    ("doas", ""),
    ("runuser", ""),
    ("run0", ""),
    ("pkexec", ""),
    ("systemd-run", ""),
    ("chpst", ""),
    ("envdir", ""),
    ("envuidgid", ""),
    ("s6-envdir", ""),
    ("s6-env", ""),
    ("with-contenv", ""),
    ("envchain", ""),
    ("teller", ""),
    ("vault", ""),
    ("bao", ""),
    ("dotenv", ""),
    ("zsh", ""),
    ("fish", ""),
    ("csh", ""),
    ("tcsh", ""),
    ("op", "run"),
    ("doppler", "run"),
    ("direnv", "exec"),
    ("aws-vault", "exec"),
    ("chamber", "exec"),
    ("infisical", "run"),
    ("sops", "exec-env"),
    ("dotenvx", "run"),
    ("direnv_load", ""),
    ("use", ""),
    ("layout", ""),
    ("source_url", ""),
];

/// Programs that start another one with the environment that they have.
const PASSING: [&str; 12] = [
    "exec",
    "nohup",
    "setsid",
    "nice",
    "ionice",
    "timeout",
    "stdbuf",
    "chrt",
    "taskset",
    "tini",
    "dumb-init",
    "setpriv",
];

const SHELLS: [&str; 4] = ["sh", "bash", "dash", "ash"];

const STARTER: Why = "its program gets an environment from another program";
const EMPTIED: Why = "its program gets an environment without the shell's variables";
const LOGIN: Why = "its shell reads files of its own before the text";

impl Reader<'_> {
    /// A program with its own assignments, which end with it.
    pub(super) fn program<'w>(
        &mut self,
        own: &[&str],
        mut words: &'w [&'w str],
        input: Option<&str>,
        behind: bool,
    ) {
        if !behind && words.iter().any(|word| !PASSING.contains(word)) {
            self.starts();
        }
        // Its words are expanded before its own variables are set.
        let options = self.option_files(words);
        self.frames.push(Frame::of(Kind::Subshell, self.steps.len()));
        for word in own {
            self.assign(word, true, Mode::Value);
            if let Some((name, _)) = assignment(word) {
                self.change(name, None, Some(true));
            }
        }
        let mut replaces = false;
        let mut name = None;
        while let Some((first, rest)) = words.split_first() {
            let expanded = self.expand(first, Mode::Word).unwrap_or_default();
            let called = expanded.rsplit('/').next().unwrap_or_default().to_owned();
            words = if called == "env" {
                self.environment(rest)
            } else if PASSING.contains(&called.as_str()) {
                replaces |= called == "exec";
                if called == "exec" && rest.first().is_some_and(|word| *word == "-c") {
                    self.hidden(None, EMPTIED);
                }
                after_options(rest)
            } else {
                name = Some(called);
                words = rest;
                break;
            };
        }
        if let Some(name) = &name {
            self.starter(name, words, input);
        }
        for (path, from) in options {
            self.reads(path, from, false);
        }
        self.pop(true);
        let Some(name) = name else { return };
        if replaces {
            self.end(true);
        } else if self.function_ends && self.functions.contains(&name) {
            self.leave();
        }
    }

    fn starter(&mut self, name: &str, operands: &[&str], input: Option<&str>) {
        let starts = |one: &(&str, &str)| one.0 == name && (one.1.is_empty() || operands.contains(&one.1));
        if STARTERS.iter().any(starts) {
            self.hidden(None, STARTER);
        } else if SHELLS.contains(&name) {
            self.shell(operands);
        } else if name == "xargs" && operands.contains(&"env") {
            let named = operands.iter().position(|word| matches!(*word, "-a" | "--arg-file"));
            let file = named.and_then(|at| operands.get(at + 1).copied()).or(input);
            let path = file.map_or(Err(OPERANDS), |file| self.path(file));
            self.reads(path, How::Words, false);
        }
    }

    /// What `env` sets, up to its program.
    fn environment<'w>(&mut self, mut words: &'w [&'w str]) -> &'w [&'w str] {
        while let Some((first, rest)) = words.split_first() {
            let next = rest.first().copied().unwrap_or_default();
            let mut taken = 1;
            match *first {
                "-i" | "-" | "--ignore-environment" => self.hidden(None, EMPTIED),
                "-S" | "--split-string" => self.hidden(None, OPERANDS),
                "-u" | "-C" | "--unset" | "--chdir" => {
                    taken = 2;
                    if first.ends_with(['C', 'r']) { self.enter(&[next], false) } else { self.unset(next) }
                }
                option if option.starts_with('-') => {
                    if let Some(name) = option.strip_prefix("--unset=").or(option.strip_prefix("-u")) {
                        self.unset(name);
                    }
                }
                word if self.assign(word, true, Mode::Word) => {
                    if let Some((name, _)) = assignment(word) {
                        self.change(name, None, Some(true));
                    }
                }
                word if substitution(word).is_some() => self.words(word),
                word => match self.expand(word, Mode::Word).ok() {
                    Some(text) if text.contains('=') => {
                        let (name, value) = text.split_once('=').unwrap_or_default();
                        self.set(name, value, true);
                    }
                    Some(_) => return words,
                    None => self.hidden(None, OPERANDS),
                },
            }
            words = words.get(taken..).unwrap_or_default();
        }
        words
    }

    /// `bash -c 'TEXT'`: the text is read, too.
    fn shell(&mut self, operands: &[&str]) {
        let (mut text, mut login, mut skip) = (false, false, false);
        let mut found = None;
        for word in operands {
            if std::mem::take(&mut skip) {
                continue;
            }
            let Some(letters) = word.strip_prefix(['-', '+']) else {
                found = Some(*word);
                break;
            };
            let short = !letters.starts_with('-');
            text |= short && letters.contains('c');
            login |= short && letters.contains(['l', 'i']) || letters == "-login";
            skip = short && letters.ends_with(['o', 'O']) || matches!(letters, "-rcfile" | "-init-file");
        }
        if login {
            self.hidden(None, LOGIN);
        }
        let Some(found) = found else { return self.hidden(None, ELSEWHERE) };
        if !text {
            return;
        }
        let inner = self.expand(found, Mode::Word);
        let Some(inner) = inner.ok().filter(|_| self.shells < SHELLS_MAX) else {
            return self.hidden(None, ELSEWHERE);
        };
        self.shells += 1;
        self.frames.push(Frame::of(Kind::Shell, self.steps.len()));
        self.run(&inner);
        self.pop(true);
        self.shells -= 1;
    }

    /// The files of `--env-file FILE`, `--env-file=FILE`.
    fn option_files(&self, words: &[&str]) -> Vec<(Result<PathBuf, Why>, How)> {
        let mut all = Vec::new();
        for (word, next) in words.iter().zip(words.iter().skip(1).map(Some).chain([None])).skip(1) {
            let written = word.trim_start_matches(['"', '\'']).strip_prefix("--env-file");
            let Some(rest) = written.map(|rest| rest.strip_prefix("-if-exists").unwrap_or(rest)) else {
                continue;
            };
            let path = match rest.strip_prefix('=') {
                Some(_) => self.expand(word, Mode::Value).and_then(|text| {
                    let path = text.split_once('=').map_or("", |(_, path)| path);
                    self.absolute(path)
                }),
                None if rest.trim_matches(['"', '\'']).is_empty() => match next {
                    Some(next) => self.path(next),
                    None => continue,
                },
                None => continue,
            };
            all.push((path, How::Option));
        }
        all
    }
}

/// The words after options and their numbers: `-n 5`, `30s`.
fn after_options<'w>(words: &'w [&'w str]) -> &'w [&'w str] {
    let option =
        |word: &&&str| word.starts_with('-') || word.starts_with(|first: char| first.is_ascii_digit());
    words.get(words.iter().take_while(option).count()..).unwrap_or_default()
}
