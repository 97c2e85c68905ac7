use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// `redact`.
#[derive(Debug, Args)]
pub(crate) struct RedactArgs {
    /// Look for the values that keyroll keeps alone, not for what has the form of a credential
    #[arg(long)]
    pub(crate) known: bool,
    /// Files, one after the other [default: what is piped in]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Look for the values that keyroll keeps alone, not for what has the form of a credential
    #[arg(long)]
    pub(crate) known: bool,
    /// The program and its arguments, behind --
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}
