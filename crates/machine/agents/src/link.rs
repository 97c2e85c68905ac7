use std::path::PathBuf;

/// The place of a key in a file.
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

/// The rank of one source in the order in which a program looks for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentLinkRole {
    /// The next start of the program takes the key from here.
    Wins,
    /// The program reads it, but another source wins.
    Shadowed,
    /// The program does not read it as long as another source exists.
    NotRead,
    /// It may win, but is not visible; why.
    NotVisible(&'static str),
}

/// One source that a program may take a key from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLink {
    /// Its description, for display.
    pub what: String,
    /// The file; `None` for the environment that the program was started with.
    pub file: Option<PathBuf>,
    /// The place in the file.
    pub slot: Option<AgentSlot>,
    /// Whether it wins.
    pub role: AgentLinkRole,
    /// What applies a change of it.
    pub applies: &'static str,
    /// What seems to apply a change and does not.
    pub seems: Option<&'static str>,
}
