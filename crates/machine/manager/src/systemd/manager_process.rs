use std::path::Path;

use keyroll_observe::Process;

use crate::Unit;
use crate::user::User;

/// The system's service manager. Source: systemd(1).
const SYSTEM_PID: u32 = 1;

impl Unit {
    /// Whether a process is the service manager that has this unit: it reads the unit's `EnvironmentFile=` and hands
    /// it on. A user's service manager is recognized by its control group, which holds no service. Source:
    /// systemd.special(7), `init.scope`.
    pub fn has_as_manager(&self, process: &Process) -> bool {
        let program = process.exe.as_deref().and_then(Path::file_name);
        if program != Some("systemd".as_ref()) {
            return false;
        }
        match self.user.as_deref().map(User::named) {
            None => process.id.pid == SYSTEM_PID,
            Some(Ok(user)) => {
                let own = format!("/user@{}.service/init.scope", user.uid);
                process.uid == Some(user.uid) && process.cgroup.as_ref().is_some_and(|it| it.ends_with(&own))
            }
            Some(Err(_)) => false,
        }
    }
}
