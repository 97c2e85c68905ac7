use std::path::PathBuf;

use clap::Args;

use super::{HostArgs, LookArgs};

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Search these folders, and write only secrets with a copy in them
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Write only this secret, as `scan` names it; repeat the flag for more
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,
    /// Print the configuration to stdout and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write an empty configuration without searching this machine
    #[arg(long, conflicts_with_all = ["roots", "secrets", "named", "all_hosts"])]
    pub(crate) empty: bool,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}
