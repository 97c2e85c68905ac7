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
    /// Check a spec for what its author should look at; contacts no issuer
    ///
    /// Prints a warning for a fact without a source, an answer that may call a working key dead, and other doubtful parts. A
    /// spec that contradicts itself is refused.
    #[command(after_help = examples::ISSUERS_LINT)]
    Lint(IssuersLintArgs),
}

/// `issuers show`.
#[derive(Debug, Args)]
pub(crate) struct IssuersShowArgs {
    /// A shipped issuer, file:./spec.toml, a configured secret, or a kind of finding
    ///
    /// A kind of finding is the name that `leaks` prints, such as github-classic-token.
    pub(crate) name: String,
    /// Print the spec of a shipped issuer, to be copied and edited
    #[arg(long)]
    pub(crate) text: bool,
}

/// `issuers lint`.
#[derive(Debug, Args)]
pub(crate) struct IssuersLintArgs {
    /// A spec file, a shipped issuer, or a configured secret [default: every spec that keyroll.toml names]
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Exit with 3 if there is a warning
    #[arg(long)]
    pub(crate) strict: bool,
}
