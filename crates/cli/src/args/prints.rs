use std::path::PathBuf;

use clap::Args;

/// `prints`.
#[derive(Debug, Args)]
pub(crate) struct PrintsArgs {
    /// The file; only you can read it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Put it in the place of an older file of prints
    #[arg(long)]
    pub(crate) replace: bool,
    /// Of these secrets alone [default: all that are kept]
    #[arg(value_name = "SECRET")]
    pub(crate) secrets: Vec<String>,
}
