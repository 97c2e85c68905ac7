mod agents;
mod allowed_words;
mod assignments;
mod build;
mod check;
mod compose;
mod container_sources;
mod containers;
mod context;
mod cron;
mod dotenv;
mod dotenv_calls;
mod env_file;
mod launcher;
mod manager_replies;
mod mounted;
mod openclaw;
mod pm2;
mod registered;
mod sessions;
mod shell_command;
mod shell_text;
mod source;
mod start_again;
mod supervisord;
mod systemd;
mod unqueried_services;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keyroll_leak::Rules;
use keyroll_manager::Docker;
use keyroll_observe::{Listing, ProcessId, Start, own_tree};

use crate::{Service, Sighting, Unseen, Values};
pub(crate) use assignments::assignments;
use context::Context;
pub(crate) use context::variables_of;
pub(crate) use dotenv::here;
pub(crate) use env_file::whole_file;
use manager_replies::ManagerReplies;
pub(crate) use shell_command::is_interactive;
pub(crate) use shell_text::is_variable;
pub(crate) use start_again::{Reads, parent_of, start_again};

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
    let mut context = Context::new(listing, starts, rules);
    let ManagerReplies { containers, units, pm2 } = ManagerReplies::collect(listing, docker, &context.users);
    let own: BTreeSet<u32> = own_tree(listing).into_iter().collect();
    let mut taken: BTreeSet<ProcessId> =
        listing.seen.iter().map(|one| one.id).filter(|id| own.contains(&id.pid)).collect();
    // A manager that runs inside another one gets its processes first; the outer manager gets the rest.
    let (containers, images) = match containers {
        Ok(engine) => (Ok(engine.containers), engine.images),
        Err(failure) => (Err(failure), BTreeMap::new()),
    };
    let mut all = containers::kept(&mut context, containers, docker);
    all.extend(pm2::kept(&mut context, pm2));
    all.extend(supervisord::kept(&mut context));
    all.extend(registered::kept(&mut context));
    all.extend(cron::kept(&mut context));
    all.extend(systemd::kept(&mut context, units));
    for one in &mut all {
        one.processes.retain(|process| taken.insert(*process));
    }
    let untold = unqueried_services::kept(&context, &taken);
    taken.extend(untold.iter().flat_map(|one| &one.processes));
    all.extend(untold);
    all.extend(sessions::kept(&mut context, &taken));
    check::check(&context, &mut all);
    for one in &mut all {
        dotenv::add(&context, one);
    }
    agents::add(&mut context, homes, &mut all);
    openclaw::add(&mut context, homes, &mut all);
    let mut sighted: BTreeSet<Sighting> = sightings.drain(..).collect();
    let Context { mut folders, unseen, .. } = context;
    folders.extend(all.iter().filter_map(|one| one.project.clone()));
    let services = all.into_iter().map(|one| build::service(one, rules, values, &mut sighted)).collect();
    for (image, variables) in images {
        build::in_image(&image, variables, rules, values, &mut sighted);
    }
    sightings.extend(sighted);
    Running { services, folders, unseen }
}
