//! What keyroll.toml says about a workload: the keys of a manager, and what the manager reads from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_agents::AgentSlot;
use keyroll_observe::{Listing, ProcessId};

use crate::{CommandLine, Declared, ManagerFact, ServiceDeclaration, SharedWorkload};

/// One manager: its keys under `runs`, its facts, and how it reads a workload from the configuration.
#[derive(Debug)]
pub struct Manager {
    /// Its own keys; the first one names it.
    pub keys: &'static [Key],
    /// Keys of others that go with it.
    pub with: &'static [&'static str],
    /// The error for any other key.
    pub only: &'static str,
    /// An example of `runs`, for the list of forms.
    pub example: &'static str,
    /// Its rows in the page of managers.
    pub facts: &'static [ManagerFact],
    /// Finds its services in a listing of this machine's processes, for `scan`, `why` and `init`; `None` = the room
    /// `trace` queries it in its own way, or it has no services.
    pub survey: Option<fn(&Listing) -> Vec<Surveyed>>,
    /// Makes the workload of one instance.
    pub read: fn(&Declaration<'_>) -> Result<SharedWorkload, DeclarationError>,
}

/// A service that a manager runs on this machine.
#[derive(Debug)]
pub struct Surveyed {
    /// As the manager declares it.
    pub declaration: ServiceDeclaration,
    /// Its process; `None` where it does not run.
    pub main: Option<ProcessId>,
    /// The command that seems to apply a new value and does not.
    pub not_applied_by: String,
    /// The folder of its project.
    pub folder: Option<PathBuf>,
}

/// A key under `runs`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What its value may be.
    pub form: KeyForm,
    /// Its documentation, in the schema and in the page of the configuration.
    pub doc: &'static str,
}

/// The type of a key's value. Relative paths and commands are resolved against the folder of keyroll.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// A text without placeholders.
    Text,
    /// A path without placeholders.
    Path,
    /// The path of an executable; a bare name is refused.
    Executable,
    /// A text in which `{instance}` and `{port}` may stand.
    Template,
    /// A path in which `{instance}` and `{port}` may stand.
    TemplatePath,
    /// A command, in whose words `{instance}` and `{port}` may stand.
    Command,
    /// `true`.
    Flag,
    /// The names of instances.
    Names,
    /// The ports of instances.
    Ports,
}

impl Key {
    pub(crate) const fn new(name: &'static str, form: KeyForm, doc: &'static str) -> Self {
        Self { name, form, doc }
    }
}

impl Manager {
    /// The key that names it.
    pub fn key(&self) -> &'static str {
        self.keys.first().map_or("", |key| key.name)
    }

    /// Whether a key goes with it.
    pub fn takes(&self, key: &str) -> bool {
        self.keys.iter().any(|own| own.name == key) || self.with.contains(&key)
    }
}

/// What the file says about one instance of a consumer, with placeholders filled in.
#[derive(Debug, Default)]
pub struct Declaration<'a> {
    /// The value of each key.
    pub values: BTreeMap<&'static str, Declared>,
    /// Keys whose text names the instance with a placeholder.
    pub names_instance: Vec<&'static str>,
    /// The instance's name, where the file names instances.
    pub instance: Option<&'a str>,
    /// Whether the consumer has several instances.
    pub several: bool,
    /// The copies that it starts from.
    pub reads: &'a [(PathBuf, AgentSlot)],
}

impl Declaration<'_> {
    /// Whether a key is present.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(Declared::Text(text)) => Some(text),
            Some(Declared::Path(_) | Declared::Command(_) | Declared::Flag) | None => None,
        }
    }

    /// The path of a key.
    pub(crate) fn path(&self, key: &str) -> Option<&Path> {
        match self.values.get(key) {
            Some(Declared::Path(path)) => Some(path),
            Some(Declared::Text(_) | Declared::Command(_) | Declared::Flag) | None => None,
        }
    }

    /// The command of a key.
    pub(crate) fn command(&self, key: &str) -> Option<&CommandLine> {
        match self.values.get(key) {
            Some(Declared::Command(line)) => Some(line),
            Some(Declared::Text(_) | Declared::Path(_) | Declared::Flag) | None => None,
        }
    }

    /// Whether one of these keys distinguishes the instances.
    pub(crate) fn tells_apart(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.names_instance.contains(key))
    }

    /// The text of a required key.
    pub(crate) fn needed(&self, key: &'static str) -> Result<&str, DeclarationError> {
        self.text(key).ok_or_else(|| DeclarationError::combination(format!("`{key}` is missing")))
    }

    /// The path of a required key.
    pub(crate) fn needed_path(&self, key: &'static str) -> Result<&Path, DeclarationError> {
        self.path(key).ok_or_else(|| DeclarationError::combination(format!("`{key}` is missing")))
    }

    /// The command of a required key.
    pub(crate) fn needed_command(&self, key: &'static str) -> Result<&CommandLine, DeclarationError> {
        self.command(key).ok_or_else(|| DeclarationError::combination(format!("`{key}` is missing")))
    }

    /// A name that becomes one argument of a manager's command, and cannot be an option.
    pub(crate) fn word(&self, key: &'static str) -> Result<String, DeclarationError> {
        let name = self.needed(key)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
        let good = (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-');
        // `all` means every program to pm2 and supervisord.
        if good && name != "all" {
            return Ok(name.to_owned());
        }
        let why = format!("`{key}` must be one name: letters, digits, `.`, `_`, `-` and `@`");
        Err(DeclarationError::name(key, why))
    }

    /// A name as docker allows it, which becomes an argument of its command. Source: docker's `RestrictedNameChars`.
    pub(crate) fn docker_name(&self, key: &'static str) -> Result<String, DeclarationError> {
        let name = self.needed(key)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if begins && name.len() <= 255 && name.bytes().all(allowed) {
            return Ok(name.to_owned());
        }
        let why = format!(
            "`{key}` is made of letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
        );
        Err(DeclarationError::name(key, why))
    }
}

/// Why a declaration is refused. It never repeats text of the file.
#[derive(Debug)]
pub struct DeclarationError {
    /// What kind of mistake it is.
    pub kind: DeclarationErrorKind,
    /// The key at which it stands; `None` = the table as a whole.
    pub key: Option<&'static str>,
    /// Why, as a sentence that names the key.
    pub why: String,
    /// What to write instead, where it is not the list of forms.
    pub help: Option<&'static str>,
}

/// What kind of mistake a declaration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclarationErrorKind {
    /// Keys that do not go together, or one that is missing.
    Combination,
    /// A name with characters that it may not have.
    Name,
    /// A text of another form.
    Form,
    /// A word other than these.
    OneOf(&'static [&'static str]),
}

impl DeclarationError {
    pub(crate) fn combination(why: impl Into<String>) -> Self {
        Self { kind: DeclarationErrorKind::Combination, key: None, why: why.into(), help: None }
    }

    pub(crate) fn name(key: &'static str, why: impl Into<String>) -> Self {
        Self { kind: DeclarationErrorKind::Name, key: Some(key), why: why.into(), help: None }
    }

    pub(crate) fn form(key: &'static str, why: impl Into<String>) -> Self {
        Self { kind: DeclarationErrorKind::Form, key: Some(key), why: why.into(), help: None }
    }

    pub(crate) fn one_of(key: &'static str, words: &'static [&'static str]) -> Self {
        Self { kind: DeclarationErrorKind::OneOf(words), key: Some(key), why: String::new(), help: None }
    }
}
