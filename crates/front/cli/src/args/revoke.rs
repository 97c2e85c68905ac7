use clap::{Args, ValueEnum};

/// `revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The secret's name
    pub(crate) secret: String,
    /// The version to revoke
    #[arg(long, value_name = "LABEL")]
    pub(crate) version: RevocableVersion,
    /// Consent to revoking the key; NAME is the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// The versions that `revoke` accepts. A current version that is in use is revoked by a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RevocableVersion {
    /// The version before the current one
    Previous,
    /// The current version of a shared key; each consumer must have its own key (split)
    Current,
}
