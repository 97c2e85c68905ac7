mod around;
mod build;
mod check;
mod containers;
mod cron;
mod dotenv;
mod env_file;
mod pm2;
mod sessions;
mod source;
mod supervisord;
mod systemd;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_leak::Rules;
use keyroll_manager::Docker;
use keyroll_observe::{Listing, ProcessId, own_tree};

use crate::{Chain, Sighting, Unseen, Values};
use around::Around;
use source::Kept;

/// What keeps a service running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeper {
    /// systemd, of the system.
    Systemd,
    /// systemd, of a user.
    SystemdUser,
    /// docker compose.
    Compose,
    /// docker.
    Docker,
    /// pm2.
    Pm2,
    /// supervisord.
    Supervisord,
    /// cron.
    Cron,
    /// A person's session: a shell and what was started from it.
    Session,
    /// Nobody who is known.
    Nobody,
}

/// By what its keeper knows a service: what a rotation would tell it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// A unit of systemd.
    Unit {
        /// Its whole name.
        name: String,
        /// The user whose own manager has it.
        user: Option<String>,
    },
    /// A service of docker compose.
    Compose {
        /// The project's folder.
        folder: PathBuf,
        /// The service.
        service: String,
    },
    /// A container that was made by hand, by its name.
    Container(String),
    /// An app of pm2.
    Pm2 {
        /// The ecosystem file, where one lies beside the app.
        ecosystem: Option<PathBuf>,
        /// pm2's own folder.
        home: PathBuf,
    },
    /// A program of supervisord.
    Supervisor {
        /// The file that it is configured by, where it can be found.
        config: Option<PathBuf>,
    },
    /// A job of a crontab.
    Cron(PathBuf),
    /// Nothing that could be told.
    None,
}

/// What is kept running, with the processes that it consists of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Who keeps it.
    pub keeper: Keeper,
    /// Its name there.
    pub name: String,
    /// By what it is told.
    pub handle: Handle,
    /// Its processes, masters and workers alike; none where it does not run.
    pub processes: Vec<ProcessId>,
    /// The folder of its project: where its manifest stands.
    pub project: Option<PathBuf>,
    /// Where its program takes each secret from; one for each name.
    pub chains: Vec<Chain>,
}

impl Service {
    /// The chain of one name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|one| one.name == name)
    }
}

/// Every service of this machine with its chains. What managers keep is a place of its own: it is added to `sightings`.
/// `values` knows every value of a chain afterwards.
pub(crate) fn services(
    listing: &Listing,
    docker: &Docker,
    rules: &'static Rules,
    wait: Duration,
    values: &mut Values,
    sightings: &mut Vec<Sighting>,
) -> (Vec<Service>, Vec<Unseen>) {
    let mut around = Around::new(listing, docker, rules, wait);
    let own: BTreeSet<u32> = own_tree(listing).into_iter().collect();
    let mut taken: BTreeSet<ProcessId> =
        listing.seen.iter().map(|one| one.id).filter(|id| own.contains(&id.pid)).collect();
    let mut all: Vec<Kept> = Vec::new();
    // A manager within another one has its processes before the outer one gets the rest.
    let keepers: [fn(&mut Around<'_>) -> Vec<Kept>; 5] =
        [containers::kept, pm2::kept, supervisord::kept, cron::kept, systemd::kept];
    for keeper in keepers {
        for mut one in keeper(&mut around) {
            one.processes.retain(|process| taken.insert(*process));
            all.push(one);
        }
    }
    all.extend(sessions::kept(&mut around, &taken));
    check::check(&around, &mut all);
    for one in &mut all {
        dotenv::add(&around, one);
    }
    let mut sighted: BTreeSet<Sighting> = sightings.drain(..).collect();
    let services = all.into_iter().map(|one| build::service(one, rules, values, &mut sighted)).collect();
    sightings.extend(sighted);
    (services, around.unseen)
}
