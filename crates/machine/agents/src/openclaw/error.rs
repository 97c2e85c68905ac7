use std::path::PathBuf;

/// Why an installation cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenClawError {
    /// A file of the installation cannot be read.
    #[error("{path}: {why}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why; never contains a part of the file.
        why: String,
    },
    /// The settings have another form than in this release.
    #[error("{path} is no settings file of OpenClaw: line {line}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// There is no such model provider.
    #[error("{path} has no model provider `{provider}`: it has {there}")]
    NoProvider {
        /// The settings.
        path: PathBuf,
        /// The provider that was asked for.
        provider: String,
        /// The providers that exist.
        there: String,
    },
    /// A reference leads nowhere.
    #[error("{path}: the key of `{provider}` is a reference {why}")]
    Reference {
        /// The settings.
        path: PathBuf,
        /// The provider of the key.
        provider: String,
        /// What is wrong with the reference.
        why: String,
    },
    /// The provider has several profiles, and the settings name none of them.
    #[error(
        "{path} names none of the profiles of `{provider}`, which has {there}: which one is used is not known"
    )]
    SeveralProfiles {
        /// The settings.
        path: PathBuf,
        /// The provider of the key.
        provider: String,
        /// The ids of the profiles.
        there: String,
    },
}
