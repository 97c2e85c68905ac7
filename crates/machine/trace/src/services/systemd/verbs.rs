use std::path::PathBuf;

use keyroll_manager::UnitSources;
use keyroll_observe::shown;

use crate::services::source::word;

/// The commands that apply a change, and those that only seem to.
pub(super) struct Verbs {
    pub(super) systemctl: String,
    pub(super) restart: String,
    pub(super) reload: String,
    /// After a unit file was changed.
    pub(super) read_again: String,
}

impl Verbs {
    pub(super) fn of(unit: &UnitSources, user: Option<&str>) -> Self {
        // Also root can type it, and not that user alone.
        let of_user = user.map(|user| format!(" --user --machine={}@", word(user))).unwrap_or_default();
        let systemctl = format!("systemctl{of_user}");
        let restart = format!("{systemctl} restart {}", word(&unit.unit));
        let again = format!("{systemctl} daemon-reload && {restart}");
        let transient = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "transient");
        let read_again = match &unit.made_of {
            Some(path) => {
                format!("an edit of {}, from which a generator made it; {again}", word(shown(path)))
            }
            None if unit.of_unit.first().is_some_and(transient) => "systemd-run once more".to_owned(),
            None => again,
        };
        Self { reload: format!("{systemctl} reload {}", word(&unit.unit)), systemctl, read_again, restart }
    }
}
