use clap::{Args, Subcommand};

use crate::examples;

/// `issuers`.
#[derive(Debug, Subcommand)]
pub(crate) enum IssuersCommand {
    /// The shipped issuers, and those that keyroll.toml describes by a spec of its own
    #[command(after_help = examples::ISSUERS_LIST)]
    List,
    /// One issuer: what it can do, what a person does, where its facts were taken from
    #[command(after_help = examples::ISSUERS_SHOW)]
    Show(IssuersShowArgs),
}

/// `issuers show`.
#[derive(Debug, Args)]
pub(crate) struct IssuersShowArgs {
    /// A shipped issuer, file:./spec.toml, a secret of keyroll.toml, or what leaks calls a finding, such as github-classic-token
    pub(crate) name: String,
}
