use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::dialect::DotenvReader;
use crate::dotenv::Variables;
use crate::slot::{Part, Pointer};
use crate::spot::{Spot, ambiguous, line_of};
use crate::{CopyError, Slot, dotenv, ini, json, line, toml, whole, yaml};

/// The largest file that is edited, in bytes. Files that hold credentials are small; a large one is a mistake.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How the bytes of a copy are read by its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Lines `NAME=value`, as a POSIX shell, python-dotenv, systemd's `EnvironmentFile=` and
    /// `docker run --env-file` read them.
    ///
    /// The form of a line shows who can be reading it. Docker takes quotes as a part of the value, so a quoted line is
    /// for the other three readers. An unquoted value is replaced only by text that all four read alike.
    Dotenv,
    /// The file is the value, with or without one line end behind it.
    Whole,
    /// JSON, with comments and a comma behind the last entry where the file's reader takes them.
    Json,
    /// YAML; a kubeconfig and other manifests too.
    Yaml,
    /// YAML in which `$` is written `$$`, as `docker compose` reads it. An item `NAME=value` of a list is found by its
    /// name.
    Compose,
    /// TOML.
    Toml,
    /// `name = value` under `[section]`: AWS credentials, supervisord, MySQL's option files.
    Ini,
    /// npm's configuration; a value is found by its complete key.
    Npmrc,
    /// libpq's password file.
    Pgpass,
    /// Machines with their logins.
    Netrc,
    /// The file of `git credential-store`.
    GitCredentials,
}

/// One compare-and-swap: the slot must hold `expect_old` (or `new` already) and holds `new` afterwards.
pub struct Edit<'a> {
    /// The slot.
    pub slot: Slot,
    /// The value that the slot must hold.
    pub expect_old: &'a SecretBytes,
    /// The value that it will hold.
    pub new: &'a SecretBytes,
}

impl Format {
    /// Every form that holds values at places, and its name in the configuration.
    pub const NAMED: [(&'static str, Self); 9] = [
        ("json", Self::Json),
        ("yaml", Self::Yaml),
        ("compose", Self::Compose),
        ("toml", Self::Toml),
        ("ini", Self::Ini),
        ("npmrc", Self::Npmrc),
        ("pgpass", Self::Pgpass),
        ("netrc", Self::Netrc),
        ("git_credentials", Self::GitCredentials),
    ];

    /// The form of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Its name in the configuration; `None` for one without places.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|(_, format)| *format == self).map(|(name, _)| *name)
    }

    /// Whether it is a list of entries with a user and a password each.
    pub fn has_entries(self) -> bool {
        match self {
            Self::Pgpass | Self::Netrc | Self::GitCredentials => true,
            Self::Dotenv | Self::Whole | Self::Json | Self::Yaml => false,
            Self::Compose | Self::Toml | Self::Ini | Self::Npmrc => false,
        }
    }

    /// The slot that `at` names in such a file; a part is of an entry alone, and the password unless it is said.
    pub fn slot(self, at: &str, part: Option<Part>) -> Result<Slot, CopyError> {
        let pointed = |pointer: Result<Pointer, CopyError>| match part {
            None => Ok(Slot::At(pointer?)),
            Some(_) => {
                Err(CopyError::Pointer { at: at.to_owned(), why: "such a file has no entries with parts" })
            }
        };
        match self {
            Self::Json | Self::Yaml | Self::Compose | Self::Toml | Self::Ini => pointed(Pointer::parse(at)),
            Self::Npmrc => pointed(Ok(Pointer::key(at))),
            Self::Pgpass | Self::Netrc | Self::GitCredentials => {
                Ok(Slot::Entry { name: at.to_owned(), part: part.unwrap_or(Part::Password) })
            }
            Self::Dotenv => Ok(Slot::Variable(at.to_owned())),
            Self::Whole => Err(CopyError::Pointer { at: at.to_owned(), why: "the file is one value" }),
        }
    }

    /// The value in a slot, as its readers see it. Of several assignments the last one wins.
    ///
    /// `None` if the slot does not exist. [`CopyError::Ambiguous`] where readers see different values: escapes and
    /// quotes that they read differently, a name that occurs twice, a number instead of a text.
    pub fn read(&self, file: &[u8], slot: &Slot) -> Result<Option<SecretBytes>, CopyError> {
        self.spots(file, slot)?.last().map(|winner| winner.read(file)).transpose()
    }

    /// Every variable of an env file, each once, with the value that its last assignment gives every reader. Where
    /// readers disagree, the entry is an error that says how. A file of another format has none.
    pub fn variables(&self, file: &[u8]) -> Result<Variables, CopyError> {
        self.variables_of(file, None)
    }

    /// The same as one reader sees them, where it reads the text as it is written.
    pub fn variables_for(&self, file: &[u8], reader: DotenvReader) -> Result<Variables, CopyError> {
        self.variables_of(file, Some(reader))
    }

    fn variables_of(&self, file: &[u8], reader: Option<DotenvReader>) -> Result<Variables, CopyError> {
        limited(file)?;
        match self {
            Self::Dotenv => Ok(dotenv::variables(file, reader)),
            Self::Whole
            | Self::Json
            | Self::Yaml
            | Self::Compose
            | Self::Toml
            | Self::Ini
            | Self::Npmrc
            | Self::Pgpass
            | Self::Netrc
            | Self::GitCredentials => Ok(Vec::new()),
        }
    }

    /// The file with every edit made, or an error and no bytes at all.
    ///
    /// Only the bytes of the values change, and the quotes around a value if its present spelling cannot carry the new
    /// one. Every assignment of a variable that holds the old value is changed; shadowed ones with other values stay.
    /// If the new value is already there, the edit changes nothing: a repeated call is harmless.
    pub fn replace(&self, file: &[u8], edits: &[Edit<'_>]) -> Result<SecretBytes, CopyError> {
        limited(file)?;
        let mut changes = Vec::new();
        for (index, edit) in edits.iter().enumerate() {
            if edits.iter().take(index).any(|earlier| earlier.slot == edit.slot) {
                let why = "it is named twice in one set of edits";
                return Err(CopyError::WrongSlot { slot: edit.slot.to_string(), why });
            }
            changes.extend(self.changes(file, edit)?);
        }
        let replaced = apply(file, apart(file, changes)?);
        limited(replaced.expose())?;
        Ok(replaced)
    }

    /// Asked in Preflight: can the slot carry *every* value of up to `len_max` bytes from `alphabet`?
    ///
    /// For a value rendered by a template pass what [`crate::Template::carries`] returns.
    pub fn carries(
        &self,
        file: &[u8],
        slot: &Slot,
        alphabet: &[u8],
        len_max: usize,
    ) -> Result<(), CopyError> {
        limited(file)?;
        let grown = file.len().saturating_add(len_max.saturating_mul(2));
        if grown > FILE_BYTES_MAX {
            return Err(CopyError::TooLarge { bytes: grown, max: FILE_BYTES_MAX });
        }
        let spots = self.spots(file, slot)?;
        let winner = spots.last().ok_or_else(|| CopyError::Absent { slot: slot.to_string() })?;
        let present = winner.read(file)?;
        // The places that a replacement would change: the winner, and every place with the same value.
        let changed = spots.iter().filter(|spot| spot.value.as_ref().is_ok_and(|value| *value == present));
        for spot in changed {
            let refused = |why| CopyError::NotCarried { slot: slot.to_string(), why };
            spot.spelling.carries(alphabet, len_max).map_err(refused)?;
        }
        Ok(())
    }

    /// Asked in Stage about the new value, and in Preflight about a decoy: can the slot carry this value, and can the
    /// present value be written over it again? A rotation that cannot be rolled back must not begin.
    pub fn carries_value(&self, file: &[u8], slot: &Slot, value: &SecretBytes) -> Result<(), CopyError> {
        let present = self.read(file, slot)?.ok_or_else(|| CopyError::Absent { slot: slot.to_string() })?;
        let forth = Edit { slot: slot.clone(), expect_old: &present, new: value };
        let back = Edit { slot: slot.clone(), expect_old: value, new: &present };
        let replaced = self.replace(file, &[forth])?;
        self.replace(replaced.expose(), &[back]).map(drop)
    }

    fn changes(self, file: &[u8], edit: &Edit<'_>) -> Result<Vec<Change>, CopyError> {
        let spots = self.spots(file, &edit.slot)?;
        let winner = spots.last().ok_or_else(|| CopyError::Absent { slot: edit.slot.to_string() })?;
        let present = winner.read(file)?;
        if present != *edit.expect_old && present != *edit.new {
            return Err(CopyError::Drifted { slot: edit.slot.to_string() });
        }
        let mut changes = Vec::new();
        for spot in spots {
            // A shadowed assignment that has another value, or that readers read differently, is not ours.
            let Ok(present) = &spot.value else { continue };
            if *present == *edit.expect_old && *present != *edit.new {
                let with = spot
                    .spelling
                    .spell(present, edit.new)
                    .map_err(|why| CopyError::NotCarried { slot: edit.slot.to_string(), why })?;
                changes.push(Change { span: spot.span, with });
            }
        }
        Ok(changes)
    }

    /// Every place that a slot names; the winning one is last.
    fn spots(self, file: &[u8], slot: &Slot) -> Result<Vec<Spot>, CopyError> {
        limited(file)?;
        let found = match (self, slot) {
            (Self::Whole, Slot::Whole) => Some(whole::spot(file)),
            (Self::Dotenv, Slot::Variable(name)) => return dotenv::spots(file, name),
            (Self::Json, Slot::At(pointer)) => json::tree(text(file, "JSON")?)?.find(file, pointer)?,
            (Self::Yaml, Slot::At(pointer)) => yaml::tree(text(file, "YAML")?, false)?.find(file, pointer)?,
            (Self::Compose, Slot::At(pointer)) => {
                yaml::tree(text(file, "YAML")?, true)?.find(file, pointer)?
            }
            (Self::Toml, Slot::At(pointer)) => toml::tree(text(file, "TOML")?)?.find(file, pointer)?,
            (Self::Ini, Slot::At(pointer)) => ini::find(file, pointer, ini::IniDialect::Ini)?,
            (Self::Npmrc, Slot::At(pointer)) => ini::find(file, pointer, ini::IniDialect::Npmrc)?,
            (Self::Pgpass, Slot::Entry { name, part }) => line::pgpass(file, name, *part)?,
            (Self::Netrc, Slot::Entry { name, part }) => line::netrc(file, name, *part)?,
            (Self::GitCredentials, Slot::Entry { name, part }) => line::git(file, name, *part)?,
            (_, Slot::Whole | Slot::Variable(_) | Slot::At(_) | Slot::Entry { .. }) => {
                let why = "a file of its format is not edited by such a place";
                return Err(CopyError::WrongSlot { slot: slot.to_string(), why });
            }
        };
        Ok(found.into_iter().collect())
    }
}

/// The text of a file in a text format. A byte order mark is refused: few readers expect one.
pub(crate) fn text<'a>(file: &'a [u8], format: &'static str) -> Result<&'a str, CopyError> {
    let wrong = |at| CopyError::Malformed { format, line: line_of(file, at) };
    let text = std::str::from_utf8(file).map_err(|error| wrong(error.valid_up_to()))?;
    match text.starts_with('\u{feff}') {
        true => Err(wrong(0)),
        false => Ok(text),
    }
}

/// One span of the file and its new bytes, which hold a value.
struct Change {
    span: Range<usize>,
    with: SecretBytes,
}

/// The changes in the order of the file. Two slots may lead to one place (`/env/0` and `/env/KEY`). If both write the
/// same there, it is changed once; otherwise this is an error.
fn apart(file: &[u8], mut changes: Vec<Change>) -> Result<Vec<Change>, CopyError> {
    changes.sort_by_key(|change| change.span.start);
    changes.dedup_by(|later, earlier| later.span == earlier.span && later.with == earlier.with);
    let mut pairs = changes.iter().zip(changes.iter().skip(1));
    match pairs.find(|(earlier, later)| later.span.start < earlier.span.end || later.span == earlier.span) {
        Some((_, later)) => Err(ambiguous(file, later.span.start, "two copies of this file name one place")),
        None => Ok(changes),
    }
}

/// The file with each span replaced; the spans do not overlap.
fn apply(file: &[u8], changes: Vec<Change>) -> SecretBytes {
    // Reserved in full: a vector that grows leaves a copy of the values in freed memory.
    let added: usize = changes.iter().map(|change| change.with.len()).sum();
    let mut out = Vec::with_capacity(file.len().saturating_add(added));
    let mut done = 0;
    for change in &changes {
        out.extend_from_slice(file.get(done..change.span.start).unwrap_or_default());
        out.extend_from_slice(change.with.expose());
        done = change.span.end;
    }
    out.extend_from_slice(file.get(done..).unwrap_or_default());
    SecretBytes::new(out)
}

pub(crate) fn limited(file: &[u8]) -> Result<(), CopyError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(CopyError::TooLarge { bytes: file.len(), max: FILE_BYTES_MAX });
    }
    Ok(())
}
