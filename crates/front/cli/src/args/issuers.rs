use clap::{Args, Subcommand};

use crate::examples;

/// `issuers`.
#[derive(Debug, Subcommand)]
pub(crate) enum IssuersCommand {
    /// List the shipped issuers and the specs that keyroll.toml names
    #[command(after_help = examples::ISSUERS_LIST)]
    List,
    /// Show what an issuer supports, what the operator must do, and the sources
    #[command(after_help = examples::ISSUERS_SHOW)]
    Show(IssuersShowArgs),
}

/// `issuers show`.
#[derive(Debug, Args)]
pub(crate) struct IssuersShowArgs {
    /// A shipped issuer, file:./spec.toml, a configured secret, or a kind of finding
    ///
    /// A kind of finding is the name that `leaks` prints, such as github-classic-token.
    pub(crate) name: String,
}
