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
    /// Give the program pipes, even if keyroll is on a terminal
    #[arg(long)]
    pub(crate) no_terminal: bool,
    /// Set a variable of the program to a value from keyroll's socket
    #[arg(long = "env", value_name = "NAME=SECRET[:FIELD]")]
    pub(crate) variables: Vec<String>,
    /// Restart the program when one of these values changes
    #[arg(long, requires = "variables")]
    pub(crate) restart: bool,
    /// The program is killed when it has not ended so many seconds after TERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "restart", value_parser = clap::value_parser!(u16).range(..=3_600))]
    pub(crate) grace: u16,
    /// Wait a random time, up to so many seconds, before each restart
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true, requires = "restart", value_parser = clap::value_parser!(u16).range(..=3_600))]
    pub(crate) splay: u16,
    /// The socket of keyroll serve
    #[arg(long, value_name = "PATH", requires = "variables")]
    pub(crate) socket: Option<PathBuf>,
    /// The program and its arguments, after --
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// `below`.
#[derive(Debug, Args)]
pub(crate) struct BelowArgs {
    /// Stdin is the program's terminal: begin a session on it
    #[arg(long)]
    pub(crate) terminal: bool,
    /// The process id of the keyroll that starts it
    pub(crate) parent: u32,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
