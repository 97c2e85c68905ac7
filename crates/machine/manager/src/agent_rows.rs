use std::path::PathBuf;

use keyroll_secret::SecretBytes;

/// The databases of an agent from whose rows it takes keys.
#[derive(Default)]
pub struct AgentRows {
    /// The files, among those of [`crate::Workload::left_files`].
    pub databases: Vec<PathBuf>,
    /// The rows; `None` = they are not visible.
    pub rows: Option<Vec<AgentRow>>,
}

/// A row from which an agent takes a key.
pub struct AgentRow {
    /// The database and the row, for display; without a name that may be a key.
    pub name: String,
    /// The same with every name, to identify the row. It is never displayed.
    pub whole_name: String,
    /// The present key in the row.
    pub value: SecretBytes,
    /// Whether its consumer takes the key from it.
    pub own: bool,
}
