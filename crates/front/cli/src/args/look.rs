use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyroll_app::inventory::LookLimits;

use super::HostArgs;

/// The limits of one inspection of this machine.
#[derive(Debug, Args)]
pub(crate) struct LookArgs {
    /// Limit each search, of files and of process memory, to this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
    /// Search at most this much process memory, in GiB; 0 skips it
    #[arg(long, value_name = "GIB", default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=1024))]
    pub(crate) memory: u64,
}

impl LookArgs {
    pub(crate) fn limits(&self) -> LookLimits {
        LookLimits { wait: self.wait, memory: self.memory }
    }
}

/// `scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Search these folders
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Also list secrets that no process was seen to use, and name every process
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A secret, variable, service, manager, process id, file or folder
    ///
    /// Every name that `scan` prints is accepted.
    #[arg(value_name = "NAME|PID|PATH")]
    pub(crate) what: String,
    /// Search this folder; repeat the flag for more
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A secret as `scan` names it, or its variable
    ///
    /// The name of a service that uses only one secret is accepted too.
    #[arg(value_name = "SECRET")]
    pub(crate) secret: String,
    /// Show every observation of each process
    #[arg(long)]
    pub(crate) evidence: bool,
    /// Search this folder; repeat the flag for more
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A secret as `scan` names it, or its variable [default: all]
    ///
    /// The name of a service that uses only one secret is accepted too.
    #[arg(value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Drawn::Dot)]
    pub(crate) format: Drawn,
    /// Search this folder; repeat the flag for more
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// The output formats of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawn {
    /// Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// SVG
    Svg,
}
