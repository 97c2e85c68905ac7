//! The secrets that the next server goes on with, in a file of the state folder.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_app::atomic_file;
use serde::{Deserialize, Serialize};

/// What the next server goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Left {
    /// A rotation that was begun because its secret is due, or that an operator asked for, once its id was known.
    Scheduled { scheduled: Option<String> },
    /// An emergency, with its rotation, once that was known.
    Emergency(Option<String>),
}

/// The list of them.
pub(super) struct List {
    path: PathBuf,
    one: Mutex<()>,
}

impl List {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, one: Mutex::default() }
    }

    /// A list that cannot be read is empty: it names work that is open in the journal, and a person sees it there.
    pub(super) fn read(&self) -> BTreeMap<String, Left> {
        std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Nobody else changes it meanwhile.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { list: self, _one: self.one.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The list, while one changes it.
pub(super) struct Locked<'l> {
    list: &'l List,
    _one: MutexGuard<'l, ()>,
}

impl Locked<'_> {
    /// The next server goes on with the secret, and with this rotation of it where it is known.
    pub(super) fn add(&self, secret: &str, rotation: Option<String>, quiet: bool) -> Result<(), io::Error> {
        let left = match quiet {
            true => Left::Scheduled { scheduled: rotation },
            false => Left::Emergency(rotation),
        };
        self.change(|all| match all.get(secret) {
            // The emergency that replaces a quiet driver goes on, and not that one.
            Some(Left::Emergency(_)) if quiet => false,
            Some(known) if *known == left => false,
            Some(_) | None => {
                all.insert(secret.to_owned(), left);
                true
            }
        })
    }

    /// The secret is not gone on with.
    pub(super) fn remove(&self, secret: &str) -> Result<(), io::Error> {
        self.change(|all| all.remove(secret).is_some())
            .map_err(|error| io::Error::other(format!("{}: {error}", self.list.path.display())))
    }

    /// The same, unless it is an emergency.
    pub(super) fn remove_quiet(&self, secret: &str) -> Result<(), io::Error> {
        self.change(|all| {
            let quiet = matches!(all.get(secret), Some(Left::Scheduled { .. }));
            quiet && all.remove(secret).is_some()
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Left>) -> bool) -> Result<(), io::Error> {
        let mut all = self.list.read();
        if change(&mut all) {
            let text = serde_json::to_vec(&all).map_err(io::Error::other)?;
            atomic_file::replace_private(&self.list.path, &text)?;
        }
        Ok(())
    }
}
