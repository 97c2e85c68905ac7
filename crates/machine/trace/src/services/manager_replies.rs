use std::collections::BTreeMap;

use keyroll_manager::{Docker, EngineSources, Pm2App, Pm2Daemon, UnitsSources, unit_sources};
use keyroll_observe::Listing;
use keyroll_port::Failure;

/// Where the managers of users have their sockets. Source: systemd(1).
const USERS: &str = "/run/user";

/// The managers' answers. keyroll asks all managers at once, because a manager that hangs uses its whole time limit.
pub(crate) struct ManagerReplies {
    pub(crate) containers: Result<EngineSources, Failure>,
    /// The answers of each user's own systemd, and of the system's.
    pub(crate) units: Vec<(Option<String>, Result<UnitsSources, Failure>)>,
    pub(crate) pm2: Vec<(Pm2Daemon, Result<Vec<Pm2App>, Failure>)>,
}

impl ManagerReplies {
    pub(crate) fn collect(listing: &Listing, docker: &Docker, users: &BTreeMap<u32, String>) -> Self {
        // A user's manager is itself a service of the system's: the inner manager gets its processes first.
        let managers = users_with_one(users).into_iter().map(Some).chain([None]);
        std::thread::scope(|scope| {
            let units: Vec<_> = managers
                .map(|user| scope.spawn(move || (user.clone(), unit_sources(user.as_deref()))))
                .collect();
            let pm2: Vec<_> = Pm2Daemon::all(listing)
                .into_iter()
                .map(|daemon| scope.spawn(move || (daemon.clone(), daemon.apps())))
                .collect();
            let containers = docker.sources();
            let units = units.into_iter().filter_map(|asked| asked.join().ok()).collect();
            let pm2 = pm2.into_iter().filter_map(|asked| asked.join().ok()).collect();
            Self { containers, units, pm2 }
        })
    }
}

fn users_with_one(users: &BTreeMap<u32, String>) -> Vec<String> {
    let folders = std::fs::read_dir(USERS).into_iter().flatten().flatten();
    folders
        .filter(|folder| folder.path().join("systemd/private").exists())
        .filter_map(|folder| users.get(&folder.file_name().to_str()?.parse().ok()?).cloned())
        .collect()
}
