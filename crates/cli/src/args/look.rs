use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What every look at this machine is limited by.
#[derive(Debug, Args)]
pub(crate) struct LookArgs {
    /// How long each of the looks may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
    /// How much memory of processes is searched at most, GiB; 0 = none
    #[arg(long, value_name = "GIB", default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=1024))]
    pub(crate) memory: u64,
}

/// `scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Folders to look into [default: where settings are kept on this machine]
    #[arg(value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Show also the rest of what nothing was seen to use
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Any name that scan shows: a secret or its variable, who uses it, what keeps them, the number of a process, a file or folder
    #[arg(value_name = "NAME|PID|PATH")]
    pub(crate) what: String,
    /// A folder to look into [default: where settings are kept on this machine]
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A secret as scan names it, its variable, or who uses no other
    #[arg(value_name = "SECRET")]
    pub(crate) secret: String,
    /// Show all that was seen of each process
    #[arg(long)]
    pub(crate) evidence: bool,
    /// A folder to look into [default: where settings are kept on this machine]
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A secret as scan names it, its variable, or who uses no other [default: all]
    #[arg(value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// The form of the drawing
    #[arg(long, value_enum, default_value_t = Drawn::Dot)]
    pub(crate) format: Drawn,
    /// A folder to look into [default: where settings are kept on this machine]
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// The forms of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawn {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A picture
    Svg,
}
