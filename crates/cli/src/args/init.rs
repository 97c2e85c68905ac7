use std::path::PathBuf;

use clap::Args;

use super::LookArgs;

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folders to look into; only secrets with a copy there are written [default: where settings are kept on this machine]
    #[arg(value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Only this secret, as scan names it; several times for several
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,
    /// Write it to stdout instead, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A file to begin with, without looking at the machine
    #[arg(long, conflicts_with_all = ["roots", "secrets"])]
    pub(crate) empty: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}
