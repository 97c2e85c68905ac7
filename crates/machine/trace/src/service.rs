mod agents;
mod around;
mod asked;
mod build;
mod check;
mod compose;
mod container_sources;
mod containers;
mod cron;
mod dotenv;
mod dotenv_calls;
mod env_file;
mod mounted;
mod openclaw;
mod pm2;
mod registered;
mod sessions;
mod source;
mod supervisord;
mod systemd;
mod unanswered;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_leak::Rules;
use keyroll_manager::{Declared, Docker, ServiceIdentity};
use keyroll_observe::{Listing, ProcessId, Start, own_tree};

use crate::{Chain, Sighting, Unseen, Values};
use around::Around;
use asked::Asked;

/// The manager that keeps a service running.
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
    /// A manager that finds its services itself, by its name in the registry of managers.
    Registered(&'static str),
    /// A user's session: a shell and the processes that were started from it.
    Session,
    /// A program whose own files say where its keys are. What keyroll knows about it is from its documentation: its
    /// keys are explained, and not delivered.
    Agent,
    /// No known manager.
    Nobody,
}

/// How the manager identifies a service: what a rotation needs to address it.
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
    /// A container that was created by hand, by its name.
    Container(String),
    /// An app of pm2.
    Pm2 {
        /// The ecosystem file, if there is one in the app's folder.
        ecosystem: Option<PathBuf>,
        /// pm2's own folder.
        home: PathBuf,
    },
    /// A program of supervisord.
    Supervisor {
        /// Its configuration file, if it can be found.
        config: Option<PathBuf>,
    },
    /// A job of a crontab.
    Cron(PathBuf),
    /// A service of a manager that finds its services itself.
    Registered {
        /// Its identity at the manager.
        identity: ServiceIdentity,
        /// The table `runs` that declares it.
        runs: Vec<(&'static str, Declared)>,
    },
    /// The gateway of OpenClaw, which has keys of its own under `runs`.
    OpenClaw {
        /// Its state folder.
        state: PathBuf,
        /// The chains by name, each with the model provider of its key.
        keys: BTreeSet<(String, String)>,
        /// The handle of its manager.
        by: Box<Self>,
    },
    /// A LiteLLM proxy, whose workers can be replaced.
    LiteLlm {
        /// The configuration file that it was started with.
        config: PathBuf,
        /// The handle of its manager.
        by: Box<Self>,
    },
    /// Nothing by which it could be addressed.
    None,
}

impl Handle {
    /// The handle of its manager, if it also has keys of its own under `runs`.
    pub fn keeper(&self) -> &Self {
        match self {
            Self::OpenClaw { by, .. } | Self::LiteLlm { by, .. } => by.keeper(),
            Self::Unit { .. }
            | Self::Compose { .. }
            | Self::Container(_)
            | Self::Pm2 { .. }
            | Self::Supervisor { .. }
            | Self::Cron(_)
            | Self::Registered { .. }
            | Self::None => self,
        }
    }

    /// Takes the handle out, to put it into another handle.
    fn take(&mut self) -> Box<Self> {
        Box::new(std::mem::replace(self, Self::None))
    }
}

/// A service that a manager keeps running, with its present processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its manager.
    pub keeper: Keeper,
    /// Its name at the manager.
    pub name: String,
    /// How `runs` declares it.
    pub handle: Handle,
    /// Its processes, masters and workers alike; none where it does not run.
    pub processes: Vec<ProcessId>,
    /// The folder of its project, which has its manifest.
    pub project: Option<PathBuf>,
    /// The sources of each secret of its program; one chain for each name.
    pub chains: Vec<Chain>,
}

impl Service {
    /// Its identity at the manager; `None` if a survey cannot tell.
    pub fn identity(&self) -> Option<ServiceIdentity> {
        let placed = |manager, place: Option<&Path>| match place {
            Some(place) => ServiceIdentity::placed(manager, &self.name, place),
            None => ServiceIdentity::named(manager, &self.name),
        };
        match self.handle.keeper() {
            Handle::Unit { name, user } => Some(ServiceIdentity::unit(name, user.as_deref())),
            Handle::Compose { folder, service } => Some(ServiceIdentity::placed("compose", service, folder)),
            Handle::Container(name) => Some(ServiceIdentity::named("docker", name)),
            Handle::Pm2 { ecosystem, .. } => Some(placed("pm2", ecosystem.as_deref().and_then(Path::parent))),
            Handle::Supervisor { config } => Some(placed("supervisord", config.as_deref())),
            Handle::Registered { identity, .. } => Some(identity.clone()),
            Handle::Cron(_) | Handle::OpenClaw { .. } | Handle::LiteLlm { .. } | Handle::None => None,
        }
    }

    /// The chain of one name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|one| one.name == name)
    }
}

/// The services that run on a machine.
pub(crate) struct Running {
    pub(crate) services: Vec<Service>,
    /// The folders of their files.
    pub(crate) folders: BTreeSet<PathBuf>,
    pub(crate) unseen: Vec<Unseen>,
}

/// Every service of this machine with its chains. A manager's record is a place of its own and is added to `sightings`.
/// Afterwards `values` knows every value of a chain. `homes`: where agents keep their own files.
pub(crate) fn services(
    listing: &Listing,
    starts: &BTreeMap<ProcessId, Start>,
    (docker, homes): (&Docker, &[PathBuf]),
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut Vec<Sighting>,
) -> Running {
    let mut around = Around::new(listing, starts, rules);
    let Asked { containers, units, pm2 } = Asked::ask(listing, docker, &around.users);
    let own: BTreeSet<u32> = own_tree(listing).into_iter().collect();
    let mut taken: BTreeSet<ProcessId> =
        listing.seen.iter().map(|one| one.id).filter(|id| own.contains(&id.pid)).collect();
    // A manager that runs inside another one gets its processes first; the outer manager gets the rest.
    let (containers, images) = match containers {
        Ok(engine) => (Ok(engine.containers), engine.images),
        Err(failure) => (Err(failure), BTreeMap::new()),
    };
    let mut all = containers::kept(&mut around, containers, docker);
    all.extend(pm2::kept(&mut around, pm2));
    all.extend(supervisord::kept(&mut around));
    all.extend(registered::kept(&mut around));
    all.extend(cron::kept(&mut around));
    all.extend(systemd::kept(&mut around, units));
    for one in &mut all {
        one.processes.retain(|process| taken.insert(*process));
    }
    let untold = unanswered::kept(&around, &taken);
    taken.extend(untold.iter().flat_map(|one| &one.processes));
    all.extend(untold);
    all.extend(sessions::kept(&mut around, &taken));
    check::check(&around, &mut all);
    for one in &mut all {
        dotenv::add(&around, one);
    }
    agents::add(&mut around, homes, &mut all);
    openclaw::add(&mut around, homes, &mut all);
    let mut sighted: BTreeSet<Sighting> = sightings.drain(..).collect();
    let Around { mut folders, unseen, .. } = around;
    folders.extend(all.iter().filter_map(|one| one.project.clone()));
    let services = all.into_iter().map(|one| build::service(one, rules, values, &mut sighted)).collect();
    for (image, variables) in images {
        build::in_image(&image, variables, rules, values, &mut sighted);
    }
    sightings.extend(sighted);
    Running { services, folders, unseen }
}
