use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaksFormat {
    /// For people
    Table,
    /// One document
    Json,
    /// One finding per line
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
}

/// `leaks`.
#[derive(Debug, Args)]
pub(crate) struct LeaksArgs {
    /// Files and folders [default: this folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Look at all commits of the repository that this folder, or PATH, is in
    #[arg(long, group = "source")]
    pub(crate) git: bool,
    /// Look at what is about to be committed
    #[arg(long, group = "source")]
    pub(crate) staged: bool,
    /// Look at what is piped in
    #[arg(long, group = "source", conflicts_with = "paths")]
    pub(crate) stdin: bool,
    /// Look at the memory of a running process
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Look at all layers of a container image (docker save)
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// Look at what a container has written (docker logs)
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Look at the journal of this machine, since a time that journalctl understands
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "SINCE")]
    pub(crate) journal: Option<String>,
    /// Look for the values of a file of prints, too: those that another machine keeps (keyroll prints)
    #[arg(long, value_name = "FILE")]
    pub(crate) prints: Option<PathBuf>,
    /// Look for the values that keyroll keeps, and those of --prints, alone
    #[arg(long)]
    pub(crate) known: bool,
    /// Look for what has the form of a credential, not for what only its name tells
    #[arg(long, conflicts_with = "known")]
    pub(crate) forms: bool,
    /// Rules in the form of gitleaks or Betterleaks, in place of those that come with keyroll unless the file adds to the default
    #[arg(long, value_name = "FILE", conflicts_with = "known")]
    pub(crate) rules: Option<PathBuf>,
    /// Ask the issuers whether what was found works: each value is sent to the host that its issuer's spec names, and nowhere else
    #[arg(long, conflicts_with = "known")]
    pub(crate) verify: bool,
    /// Ask by this spec, too, in place of those that come with keyroll; for an issuer with a host of your own
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub(crate) issuer: Vec<PathBuf>,
    /// Look at files that .gitignore, .ignore and .keyrollignore name, too; else they are left out, and not counted
    #[arg(long)]
    pub(crate) no_ignore: bool,
    /// Open no archives and no compressed files
    #[arg(long)]
    pub(crate) no_archives: bool,
    /// How findings are written
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: LeaksFormat,
    /// Show every place of every finding, and those that were accepted
    #[arg(long)]
    pub(crate) all: bool,
    /// The findings that were accepted [default: .keyroll-leaks.toml of this folder, or of PATH if one is named that is in a repository, or of one above it in the same repository]
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Accept all findings that are open now, and say why; written into the baseline
    #[arg(long, value_name = "REASON")]
    pub(crate) accept: Option<String>,
    /// Of these findings alone, by what stands under ID in the table
    #[arg(long, value_name = "ID", requires = "accept")]
    pub(crate) only: Vec<String>,
    /// The last day on which that counts
    #[arg(long, value_name = "YYYY-MM-DD", requires = "accept")]
    pub(crate) until: Option<Date>,
}
