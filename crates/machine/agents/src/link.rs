use std::path::PathBuf;

/// Where in a file a key stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentSlot {
    /// The whole file.
    Whole,
    /// A JSON pointer.
    Pointer(String),
    /// A variable of a dotenv file, or of an environment.
    Variable(String),
    /// A row of a database.
    Row(String),
}

/// The standing of one place in the order in which a program takes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A new start takes the key from here.
    Wins,
    /// It is read, and another one wins over it.
    Shadowed,
    /// Nothing takes the key from here as long as another one is there.
    NotRead,
    /// It may win, and is not visible, because …
    NotVisible(&'static str),
}

/// One place that a program may take a key from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLink {
    /// What it is, for display.
    pub what: String,
    /// The file; `None` for the environment that it was started with.
    pub file: Option<PathBuf>,
    /// Where in it.
    pub slot: Option<AgentSlot>,
    /// Whether it wins.
    pub standing: Standing,
    /// What applies a change of it.
    pub applies: &'static str,
    /// What seems to apply it, and does not.
    pub seems: Option<&'static str>,
}
