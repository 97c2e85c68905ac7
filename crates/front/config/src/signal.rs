/// A signal on which a process reloads its value, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
    /// SIGQUIT.
    Quit,
    /// SIGWINCH.
    Winch,
}

impl Signal {
    /// The names, as they are written in the file.
    pub const NAMES: [&str; 7] = ["HUP", "USR1", "USR2", "INT", "TERM", "QUIT", "WINCH"];

    /// Reads `HUP` or `SIGHUP`; `None` for any other word.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("SIG").unwrap_or(text) {
            "HUP" => Some(Self::Hup),
            "USR1" => Some(Self::Usr1),
            "USR2" => Some(Self::Usr2),
            "INT" => Some(Self::Int),
            "TERM" => Some(Self::Term),
            "QUIT" => Some(Self::Quit),
            "WINCH" => Some(Self::Winch),
            _ => None,
        }
    }

    /// The name without `SIG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Quit => "QUIT",
            Self::Winch => "WINCH",
        }
    }
}
