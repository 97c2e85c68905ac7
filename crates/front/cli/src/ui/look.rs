use std::io::IsTerminal as _;

use keyroll_app::env;

/// How output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Events as JSON on stdout, and nothing else.
    pub(crate) json: bool,
    /// Colours.
    pub(crate) colour: bool,
    /// Lines that are overwritten to show progress.
    pub(crate) live: bool,
    /// Questions may be asked.
    pub(crate) input: bool,
}

impl Look {
    /// Chooses by flags, environment, and whether stderr is a terminal.
    pub(crate) fn choose(json: bool, plain: bool, no_input: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let dumb = env::TERM.get().is_none_or(|term| term == "dumb");
        let live = terminal && !dumb && !plain && !json;
        Self { json, live, colour: live && env::NO_COLOR.get().is_none(), input: !no_input }
    }
}
