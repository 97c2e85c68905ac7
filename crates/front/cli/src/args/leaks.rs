use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use super::HostArgs;

/// What names hosts: they have neither the files of this machine, nor a value that could be sent to an issuer.
const HOSTS: [&str; 2] = ["named", "all_hosts"];

/// The output formats of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaksFormat {
    /// A table
    Table,
    /// One JSON document
    Json,
    /// One JSON finding per line
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations for a GitHub workflow
    Github,
}

/// `leaks`.
#[derive(Debug, Args)]
pub(crate) struct LeaksArgs {
    /// Files and folders to scan [default: this folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Scan every commit of the repository that contains this folder, or PATH
    ///
    /// Includes commit messages, and commits that no branch reaches.
    #[arg(long, group = "source")]
    pub(crate) git: bool,
    /// Scan the files that are staged for the next commit
    #[arg(long, group = "source", conflicts_with_all = HOSTS)]
    pub(crate) staged: bool,
    /// Scan stdin
    #[arg(long, group = "source", conflicts_with = "paths", conflicts_with_all = HOSTS)]
    pub(crate) stdin: bool,
    /// Scan the memory of a running process
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Scan every layer of a container image (docker save)
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// Scan a container's output (docker logs)
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Scan this machine's journal since a time, such as -7days
    ///
    /// The time is written as for `journalctl --since`.
    #[arg(long, group = "source", conflicts_with = "paths", value_name = "SINCE")]
    pub(crate) journal: Option<String>,
    /// Also search for the secrets in this fingerprint file
    ///
    /// Another machine wrote the file with `keyroll fingerprints`.
    #[arg(long, value_name = "FILE", conflicts_with_all = HOSTS)]
    pub(crate) fingerprints: Option<PathBuf>,
    /// Search only for keyroll's own secrets and those of --fingerprints
    #[arg(long)]
    pub(crate) known: bool,
    /// Match credentials by their form only, not by a name beside them
    ///
    /// Does not report passwords and tokens that only a name, a URL or a command reveals, such as password=…
    #[arg(long, conflicts_with = "known")]
    pub(crate) forms: bool,
    /// Use the rules of this gitleaks or Betterleaks file
    ///
    /// They replace keyroll's rules, unless the file sets useDefault.
    #[arg(long, value_name = "FILE", conflicts_with = "known", conflicts_with_all = HOSTS)]
    pub(crate) rules: Option<PathBuf>,
    /// Ask the issuers whether the leaked secrets still work
    ///
    /// Each value is sent once, only to the host that its issuer's spec names. Limits: 200 values, two minutes.
    #[arg(long, conflicts_with = "known", conflicts_with_all = HOSTS)]
    pub(crate) verify: bool,
    /// Also verify with this issuer spec; for an issuer at your own host
    ///
    /// It replaces a shipped spec for the same rules.
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub(crate) issuer: Vec<PathBuf>,
    /// Open an incident for each open finding; a stored key that works is replaced at once
    ///
    /// An emergency begins by itself only for a value that is exactly a stored one, within its emergencies_per_day. The copies
    /// that configured consumers read are no leaks.
    #[arg(long, conflicts_with_all = ["accept", "staged", "pid", "named", "all_hosts"])]
    pub(crate) alert: bool,
    /// Also scan files that .gitignore, .ignore and .keyrollignore exclude
    #[arg(long)]
    pub(crate) no_ignore: bool,
    /// Do not open archives and compressed files
    #[arg(long)]
    pub(crate) no_archives: bool,
    /// Exit with 8 if no leak was found, but something could not be scanned
    ///
    /// Something that is unreadable, encrypted, in a format that keyroll does not open, or beyond a limit. What is left out on
    /// purpose does not count: links, devices, and what .gitignore, .ignore and .keyrollignore exclude.
    #[arg(long)]
    pub(crate) strict: bool,
    /// The output format of the findings
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: LeaksFormat,
    /// Show every location of every finding, including accepted findings
    #[arg(long)]
    pub(crate) all: bool,
    /// Read and write accepted findings in this file [default: .keyroll-leaks.toml]
    ///
    /// keyroll looks for the default file in this folder, and then in each folder above it up to the top of the repository.
    /// It begins at PATH instead, if there is one PATH and it is in a repository.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Accept all open findings in the baseline, with REASON
    #[arg(long, value_name = "REASON")]
    pub(crate) accept: Option<String>,
    /// Accept only these findings; ID is a column of the table
    #[arg(long, value_name = "ID", requires = "accept")]
    pub(crate) only: Vec<String>,
    /// The last day on which the acceptance counts
    #[arg(long, value_name = "YYYY-MM-DD", requires = "accept")]
    pub(crate) until: Option<Date>,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
}
