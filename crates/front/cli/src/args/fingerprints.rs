use std::path::PathBuf;

use clap::Args;

/// `fingerprints`.
#[derive(Debug, Args)]
pub(crate) struct FingerprintsArgs {
    /// Write the fingerprints to this file; only you can read it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace an older fingerprint file
    #[arg(long)]
    pub(crate) replace: bool,
    /// Export only these secrets [default: all]
    #[arg(value_name = "SECRET")]
    pub(crate) secrets: Vec<String>,
}
