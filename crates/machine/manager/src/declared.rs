use std::path::PathBuf;

use crate::CommandLine;

/// The value of one key, for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// A text.
    Text(String),
    /// A path, resolved.
    Path(PathBuf),
    /// A command.
    Command(CommandLine),
    /// `true`.
    Flag,
}
