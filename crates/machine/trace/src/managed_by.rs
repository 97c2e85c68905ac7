/// What keeps a program running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagedBy {
    /// A manager, by its name in reports.
    Manager(&'static str),
    /// A user's session: a shell and the processes that were started from it.
    Session,
    /// A program whose own files say where its keys are: these are explained, and not delivered.
    Agent,
    /// No known manager.
    #[default]
    Unmanaged,
}

impl ManagedBy {
    /// Whether something starts the program again; a shell only passes its own environment on.
    pub const fn is_service(self) -> bool {
        matches!(self, Self::Manager(_) | Self::Agent)
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manager(name) => name,
            Self::Session => "a session",
            Self::Agent => "an agent: explained, not delivered yet",
            Self::Unmanaged => "not managed",
        }
    }
}
