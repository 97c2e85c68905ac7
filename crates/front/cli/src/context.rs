use keyroll_app::installation::Installation;
use keyroll_app::places::{Asker, Locations};

use crate::args::Globals;
use crate::ui::{Look, Ui, typed_hidden};

/// What every command gets.
pub(crate) struct Context {
    /// The one place that prints and asks.
    pub(crate) ui: Ui,
    /// The flags of every command.
    pub(crate) globals: Globals,
    /// The configuration and state that the command works on.
    pub(crate) installation: Installation,
}

impl Context {
    pub(crate) fn open(globals: Globals) -> Self {
        let look = Look::choose(globals.json, globals.plain, globals.no_input);
        let Globals { config, state, keys, sealing_key, no_input, asked_by, asked_id, .. } = globals.clone();
        let ask = (!no_input).then_some(typed_hidden as _);
        let asker = asked_by.map(|by| Asker { by, id: asked_id });
        let installation = Installation::new(Locations { config, state, keys, sealing_key, ask, asker });
        Self { ui: Ui::new(look), globals, installation }
    }
}
