use std::path::{Path, PathBuf};

use keyroll_template::{Piece, escape, pieces};

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;

/// The most words of one command.
const ARGV_WORDS_MAX: usize = 256;

/// A text with the placeholders `{instance}`, `{port}` and `{copy}`, which each call fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument(String);

impl Argument {
    /// The text as it was written, paths resolved.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether the text names this placeholder (`instance`, `port`, `copy`).
    pub fn uses(&self, placeholder: &str) -> bool {
        let pieces = pieces(&self.0).unwrap_or_default();
        pieces.iter().any(|piece| matches!(piece, Piece::Placeholder { name, .. } if *name == placeholder))
    }

    /// The text with every placeholder replaced; one without a value becomes empty.
    pub fn fill(&self, instance: &str, port: Option<u16>, copy: Option<&Path>) -> String {
        let mut out = String::new();
        for piece in pieces(&self.0).unwrap_or_default() {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Placeholder { name, .. } => match name {
                    "instance" => out.push_str(instance),
                    "port" => out.push_str(&port.map(|port| port.to_string()).unwrap_or_default()),
                    "copy" => out.push_str(&copy.map(|copy| copy.display().to_string()).unwrap_or_default()),
                    _ => {}
                },
            }
        }
        out
    }

    /// Reads a text of the file; it may contain only the `allowed` placeholders.
    pub(crate) fn read(key: &str, text: &At<String>, allowed: &[&str]) -> Result<Self, Mistake> {
        let fault = |why: &str| Mistake::new(Kind::BadPlaceholder, format!("`{key}`: {why}")).at(&text.span);
        if text.value.is_empty() || text.value.chars().any(|c| c == '\0') {
            return Err(
                Mistake::new(Kind::WrongForm, format!("`{key}` is empty or holds a NUL")).at(&text.span)
            );
        }
        for piece in pieces(&text.value).map_err(|error| fault(error.why))? {
            if let Piece::Placeholder { name, .. } = piece
                && !allowed.contains(&name)
            {
                let list: Vec<String> = allowed.iter().map(|name| format!("{{{name}}}")).collect();
                let help = match list.len() {
                    0 => "no placeholder is allowed here".to_owned(),
                    _ => format!("known here: {}", list.join(", ")),
                };
                return Err(fault("a placeholder that is not known here").help(help));
            }
        }
        Ok(Self(text.value.clone()))
    }

    /// Reads a path that may contain placeholders, and resolves it against the folder.
    pub(crate) fn read_path(
        folder: &Path,
        key: &str,
        text: &At<String>,
        allowed: &[&str],
    ) -> Result<Self, Mistake> {
        Self::read(key, text, allowed)?;
        // The folder's own braces are not placeholders.
        let folder = escape(&folder.display().to_string());
        resolve(&PathBuf::from(folder), key, text).map(|path| Self(path.display().to_string()))
    }
}

/// A command: the program and its arguments, run without a shell, in the folder of keyroll.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argv(Vec<Argument>);

impl Argv {
    /// The program first, then its arguments.
    pub fn words(&self) -> &[Argument] {
        &self.0
    }

    /// Whether any word names this placeholder.
    pub fn uses(&self, placeholder: &str) -> bool {
        self.0.iter().any(|word| word.uses(placeholder))
    }

    /// Every word with its placeholders replaced.
    pub fn fill(&self, instance: &str, port: Option<u16>, copy: Option<&Path>) -> Vec<String> {
        self.0.iter().map(|word| word.fill(instance, port, copy)).collect()
    }

    /// Reads a command of the file. A program with a slash is a path and is resolved; a bare name is looked up later.
    pub(crate) fn read(
        folder: &Path,
        key: &str,
        words: &At<Vec<At<String>>>,
        allowed: &[&str],
    ) -> Result<Self, Mistake> {
        Self::resolved(Some(folder), key, words, allowed)
    }

    /// Reads a command of the file that runs elsewhere: its program is not resolved, and it has no placeholders.
    pub(crate) fn as_written(key: &str, words: &At<Vec<At<String>>>) -> Result<Self, Mistake> {
        Self::resolved(None, key, words, &[])
    }

    /// Reads a command of the file; a program that is a path is resolved against the folder, if there is one.
    fn resolved(
        folder: Option<&Path>,
        key: &str,
        words: &At<Vec<At<String>>>,
        allowed: &[&str],
    ) -> Result<Self, Mistake> {
        let Some((program, arguments)) = words.value.split_first() else {
            return Err(Mistake::new(Kind::WrongForm, format!("`{key}` names no program")).at(&words.span));
        };
        if arguments.len() >= ARGV_WORDS_MAX {
            return Err(Mistake::new(
                Kind::WrongForm,
                format!("`{key}` has more than {ARGV_WORDS_MAX} words"),
            )
            .at(&words.span));
        }
        let program = match folder.filter(|_| program.value.contains('/')) {
            Some(folder) => Argument::read_path(folder, key, program, &[])?,
            None => Argument::read(key, program, &[])?,
        };
        let mut all = vec![program];
        for word in arguments {
            // An empty argument is a legal argument.
            match word.value.is_empty() {
                true => all.push(Argument(String::new())),
                false => all.push(Argument::read(key, word, allowed)?),
            }
        }
        Ok(Self(all))
    }
}
