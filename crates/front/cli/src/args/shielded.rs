use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// `redact`.
#[derive(Debug, Args)]
pub(crate) struct RedactArgs {
    /// Redact only keyroll's own secrets, not everything that looks like a credential
    #[arg(long)]
    pub(crate) known: bool,
    /// Files to copy, in order [default: stdin]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Redact only keyroll's own secrets, not everything that looks like a credential
    #[arg(long)]
    pub(crate) known: bool,
    /// The program and its arguments, after --
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}
