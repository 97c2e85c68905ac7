//! The exit codes of the command.

use std::process::ExitCode;

/// How the process ends: the contract with scripts. Numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed, and nothing was changed.
    Failed,
    /// The command line was not understood.
    Usage,
    /// Findings or changes.
    Findings,
    /// Paused by policy or command: both versions are valid. Or no driver: the old key may be off.
    Paused,
    /// Rolled back.
    RolledBack,
    /// An operator is needed; the old key may still be alive.
    NeedsPerson,
    /// Another rotation holds this secret.
    Held,
    /// Something was not scanned, and everything had to be.
    Unscanned,
    /// Paused by a signal; resumable.
    Interrupted,
}

impl Exit {
    /// Every way to end, with its number and meaning, for the reference.
    pub const ALL: [(Self, u8, &str); 10] = [
        (Self::Done, 0, "done"),
        (Self::Failed, 1, "failed, nothing changed"),
        (Self::Usage, 2, "the command line was not understood"),
        (Self::Findings, 3, "findings, or something is due"),
        (Self::Paused, 4, "paused: both versions are valid; or no driver: the old key may be off"),
        (Self::RolledBack, 5, "rolled back"),
        (
            Self::NeedsPerson,
            6,
            "an operator must decide; the message says what; the old key may still be alive",
        ),
        (Self::Held, 7, "another rotation of this secret is open"),
        (Self::Unscanned, 8, "no leak was found, but something was not scanned (`keyroll leaks --strict`)"),
        (Self::Interrupted, 130, "paused by a signal, resumable"),
    ];

    /// The number.
    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|(exit, _, _)| *exit == self).map_or(1, |(_, number, _)| *number)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
