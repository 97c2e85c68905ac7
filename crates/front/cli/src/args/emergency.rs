use std::path::PathBuf;

use clap::Args;

use super::alerted;
use super::without::WithoutArgs;

/// `emergency`.
#[derive(Debug, Args)]
pub(crate) struct EmergencyArgs {
    /// The secret's name
    pub(crate) secret: String,
    /// Read the new key, which you made at the issuer's console, from stdin
    ///
    /// The issuer is asked first: a key that it refuses begins nothing. Without this flag the issuer makes the key, or keyroll
    /// waits for one.
    #[arg(long, conflicts_with = "value_file")]
    pub(crate) value_stdin: bool,
    /// Read that key from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    /// Consent to revoking the old key; NAME is the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Go on with this open rotation, and begin no other
    #[arg(long, value_name = "ID")]
    pub(crate) rotation: Option<String>,
    /// When the alert came: 03:05, 5m (ago), or RFC 3339
    ///
    /// The report counts the time from the alert; without this flag, from this command.
    #[arg(long, value_name = "TIME", value_parser = alerted::alerted)]
    pub(crate) alerted_at: Option<jiff::Timestamp>,
    #[command(flatten)]
    pub(crate) without: WithoutArgs,
}

/// `runbook`.
#[derive(Debug, Args)]
pub(crate) struct RunbookArgs {
    /// The secret's name
    pub(crate) secret: String,
}
