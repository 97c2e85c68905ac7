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
    /// The names, as they stand in the file.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("HUP", Self::Hup),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
        ("INT", Self::Int),
        ("TERM", Self::Term),
        ("QUIT", Self::Quit),
        ("WINCH", Self::Winch),
    ];

    /// Reads `HUP` or `SIGHUP`; `None` for any other word.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
    }

    /// The name without `SIG`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, signal)| *signal == self).map_or("", |(name, _)| name)
    }
}
