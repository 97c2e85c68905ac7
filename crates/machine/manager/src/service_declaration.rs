use std::path::{Path, PathBuf};

use crate::{Declared, ServiceIdentity};

/// A service that a survey found, as its manager declares it under `runs`. Each manager makes it in its own file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceDeclaration {
    /// Its manager, as reports name it.
    pub manager: &'static str,
    /// Its identity at the manager; `None` if a survey cannot tell.
    pub identity: Option<ServiceIdentity>,
    /// The name for a consumer: that of the service, without the additions of the manager.
    pub consumer: String,
    /// The table `runs`.
    pub runs: Vec<(&'static str, DraftValue)>,
    /// Notes on the table.
    pub notes: Vec<&'static str>,
    /// Whether it is at rest between two runs.
    pub is_job: bool,
    /// The command that starts it again, so that it reads its own files again.
    pub restart: Option<String>,
    /// The file in which its manager declares it.
    pub manifest: Option<PathBuf>,
    /// The folder of files that the manager writes for itself: they are no sources of values.
    pub manager_folder: Option<PathBuf>,
}

/// The value of a key under `runs` in a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftValue {
    /// It was found.
    Known(Declared),
    /// A file that only the operator can name.
    FillIn {
        /// The end of the proposed file name; `{name}` is the consumer's name.
        file: &'static str,
        /// What it is.
        what: &'static str,
        /// It is not needed if the consumer takes the secret from a file: a restart applies that one.
        unless_from_file: bool,
    },
}

impl ServiceDeclaration {
    /// A service that is always running, with these keys under `runs`.
    pub(crate) fn new(
        manager: &'static str,
        consumer: impl Into<String>,
        runs: impl IntoIterator<Item = (&'static str, DraftValue)>,
    ) -> Self {
        let (consumer, runs) = (consumer.into(), runs.into_iter().collect());
        Self { manager, consumer, runs, ..Self::default() }
    }
}

impl DraftValue {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Known(Declared::Text(text.into()))
    }

    pub(crate) fn path(path: &Path) -> Self {
        Self::Known(Declared::Path(path.to_owned()))
    }
}
