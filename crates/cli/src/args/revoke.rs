use clap::{Args, ValueEnum};

/// `revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The secret's name
    pub(crate) secret: String,
    /// Which version
    #[arg(long, value_name = "LABEL")]
    pub(crate) version: RevocableVersion,
    /// Consent to the end of that key, by the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// The version that `revoke` can end. A current one that is in use is ended by rotating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RevocableVersion {
    /// The one before the current
    Previous,
    /// The current one, where each of its consumers has a key of its own by now
    Current,
}
