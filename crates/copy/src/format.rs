use std::fmt;

use keyroll_secret::SecretBytes;

use crate::{CopyError, dotenv, whole};

/// The largest file that is edited, in bytes. Files that hold credentials are small; a large one is a mistake.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How the bytes of a copy are read by its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines `NAME=value`, as a POSIX shell, python-dotenv, systemd's `EnvironmentFile=` and
    /// `docker run --env-file` read them.
    ///
    /// The form of a line tells who can be reading it: docker takes quotes for a part of the value, so a quoted
    /// line has the other three, and an unquoted value is replaced only by what all four read alike.
    Dotenv,
    /// The file is the value, with or without one line end behind it.
    Whole,
}

/// The place of one value in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The whole file, but for one line end behind the value ([`Format::Whole`]).
    Whole,
    /// The variable of this name ([`Format::Dotenv`]).
    Variable(String),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the whole file"),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

/// One compare-and-swap: the slot must hold `expect_old` (or `new` already) and holds `new` afterwards.
pub struct Edit<'a> {
    /// Where.
    pub slot: Slot,
    /// What must stand there.
    pub expect_old: &'a SecretBytes,
    /// What will stand there.
    pub new: &'a SecretBytes,
}

/// The variables of a file with their values, each with what readers disagree on where they do.
pub type Variables = Vec<(String, Result<SecretBytes, CopyError>)>;

impl Format {
    /// The value in a slot, as its readers see it; of several assignments the last, which wins.
    ///
    /// `None` if the slot does not exist. [`CopyError::Ambiguous`] where readers take escapes or quotes apart
    /// in different ways; an unquoted value is returned as it stands.
    pub fn read(&self, file: &[u8], slot: &Slot) -> Result<Option<SecretBytes>, CopyError> {
        limited(file)?;
        match (self, slot) {
            (Self::Whole, Slot::Whole) => Ok(Some(whole::read(file))),
            (Self::Dotenv, Slot::Variable(name)) => dotenv::read(file, name),
            (Self::Whole, Slot::Variable(_)) | (Self::Dotenv, Slot::Whole) => Err(self.wrong(slot)),
        }
    }

    /// Every variable of an env file, each once, with the value that its last assignment means to every reader; an
    /// error in its place says what readers disagree on. A file of another format has none.
    pub fn variables(&self, file: &[u8]) -> Result<Variables, CopyError> {
        limited(file)?;
        match self {
            Self::Dotenv => Ok(dotenv::variables(file)),
            Self::Whole => Ok(Vec::new()),
        }
    }

    /// The file with every edit made, or an error and no bytes at all.
    ///
    /// Only the bytes of the values change, and the quotes around one if its present quotes cannot carry it.
    /// Every assignment of a variable that holds the old value is changed; shadowed ones with other values stay.
    /// An edit whose new value stands there already changes nothing, so that a repeated call is harmless.
    pub fn replace(&self, file: &[u8], edits: &[Edit<'_>]) -> Result<SecretBytes, CopyError> {
        limited(file)?;
        let mut changes = Vec::new();
        for (index, edit) in edits.iter().enumerate() {
            if edits.iter().take(index).any(|earlier| earlier.slot == edit.slot) {
                let why = "it is named twice in one set of edits";
                return Err(CopyError::WrongSlot { slot: edit.slot.to_string(), why });
            }
            match (self, &edit.slot) {
                (Self::Whole, Slot::Whole) => changes.extend(whole::change(file, edit)?),
                (Self::Dotenv, Slot::Variable(name)) => changes.extend(dotenv::changes(file, name, edit)?),
                (Self::Whole, Slot::Variable(_)) | (Self::Dotenv, Slot::Whole) => {
                    return Err(self.wrong(&edit.slot));
                }
            }
        }
        let replaced = apply(file, changes);
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
        match (self, slot) {
            (Self::Whole, Slot::Whole) => whole::carries(alphabet),
            (Self::Dotenv, Slot::Variable(name)) => dotenv::carries(file, name, alphabet, len_max),
            (Self::Whole, Slot::Variable(_)) | (Self::Dotenv, Slot::Whole) => Err(self.wrong(slot)),
        }
    }

    /// Asked in Stage of the new value, and in Preflight of a decoy: can the slot carry this value, and what
    /// stands there now be put back over it? A rotation without a way back must not begin.
    pub fn carries_value(&self, file: &[u8], slot: &Slot, value: &SecretBytes) -> Result<(), CopyError> {
        let present = self.read(file, slot)?.ok_or_else(|| CopyError::Absent { slot: slot.to_string() })?;
        let forth = Edit { slot: slot.clone(), expect_old: &present, new: value };
        let back = Edit { slot: slot.clone(), expect_old: value, new: &present };
        let replaced = self.replace(file, &[forth])?;
        self.replace(replaced.expose(), &[back]).map(drop)
    }

    fn wrong(self, slot: &Slot) -> CopyError {
        let why = match self {
            Self::Dotenv => "an env file is edited by variable",
            Self::Whole => "a file that is one value has no variables",
        };
        CopyError::WrongSlot { slot: slot.to_string(), why }
    }
}

/// One span of the file and the bytes that take its place. The bytes hold a value.
pub(crate) struct Change {
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) with: SecretBytes,
}

/// The file with each span replaced. Spans of different slots never overlap: each lies in its own assignment.
fn apply(file: &[u8], mut changes: Vec<Change>) -> SecretBytes {
    changes.sort_by_key(|change| change.span.start);
    // Reserved in full, since a vector that grows leaves a copy of the values behind in freed memory.
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

fn limited(file: &[u8]) -> Result<(), CopyError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(CopyError::TooLarge { bytes: file.len(), max: FILE_BYTES_MAX });
    }
    Ok(())
}
