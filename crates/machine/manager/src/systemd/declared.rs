//! How `runs` declares a unit that a survey found.

use std::path::Path;

use super::Unit;
use crate::{DraftValue, ServiceDeclaration, ServiceIdentity};

impl Unit {
    /// The system's manager in reports.
    pub const SYSTEM: &'static str = "systemd";

    /// A user's own manager in reports.
    pub const OF_USER: &'static str = "systemd of a user";

    /// A unit that a survey found. A service that a timer in `folder` starts is at rest between two runs.
    pub fn declaration(name: &str, user: Option<&str>, folder: Option<&Path>) -> ServiceDeclaration {
        let stem = name.trim_end_matches(".service");
        let timer = name.strip_suffix(".service").map(|stem| format!("{stem}.timer"));
        let mut folders = folder.into_iter().chain([Path::new("/etc/systemd/system")]);
        let timer = timer.filter(|timer| folders.any(|folder| folder.join(timer).is_file()));
        let is_job = timer.is_some();
        let own = match timer {
            Some(timer) => ("timer", DraftValue::text(timer)),
            None => ("unit", DraftValue::text(name)),
        };
        let runs = [own].into_iter().chain(user.map(|user| ("user", DraftValue::text(user))));
        let manager = if user.is_some() { Self::OF_USER } else { Self::SYSTEM };
        let unit = Self { user: user.map(str::to_owned), ..Self::new(name) };
        ServiceDeclaration {
            identity: Some(ServiceIdentity::unit(name, user)),
            is_job,
            restart: Some(unit.typed(&["restart", name])),
            ..ServiceDeclaration::new(manager, stem, runs)
        }
    }
}
