use std::collections::BTreeSet;
use std::path::Path;

use keyroll_needle::Encoding;
use keyroll_observe::descendants;
use keyroll_trace::{Chain, Link, LinkRole, SurveyedSecret, User, chains_of, without_wrappings};

use crate::found::{ChainShown, InstanceShown};
use crate::look::Inventory;
use crate::resolve_target::{Meant, is_called};

/// What is known of one secret about the target of `why`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhyReport {
    /// Answers of one sentence.
    pub sentences: Vec<String>,
    /// The processes that use the secret.
    pub instances: Vec<InstanceShown>,
    /// If the copies hold different values: each value, and where it is.
    pub differing: Vec<(String, Vec<String>)>,
    /// For each service and process that uses the secret: the copies that it could read, in order of precedence.
    pub chains: Vec<ChainShown>,
}

/// Which copy wins and which version each process uses, as far as it concerns the target.
pub fn why(seen: &Inventory, target: &Meant<'_>) -> Vec<WhyReport> {
    match target {
        Meant::Secrets(all) => all.iter().map(|found| of_secret(seen, found)).collect(),
        Meant::Users(word) => seen.found.iter().map(|found| of_users(seen, found, word)).collect(),
        Meant::Process(pid) => of_process(seen, *pid),
        Meant::Path(path) => of_path(seen, path),
    }
}

impl WhyReport {
    fn sentence(sentence: String) -> Self {
        Self { sentences: vec![sentence], ..Self::default() }
    }
}

fn of_secret(seen: &Inventory, found: &SurveyedSecret) -> WhyReport {
    let instances = seen.instances(found);
    let nobody = || format!("{}: {}", found.name, seen.nobody());
    WhyReport {
        sentences: instances.is_empty().then(nobody).into_iter().collect(),
        instances,
        differing: differing(seen, found),
        chains: chains(seen, found, found.users.iter()),
    }
}

fn of_users(seen: &Inventory, found: &SurveyedSecret, word: &str) -> WhyReport {
    let users: Vec<&User> = found.users.iter().filter(|user| is_called(seen, user, word)).collect();
    let mut instances = seen.instances(found);
    instances.retain(|one| {
        users.iter().any(|user| user.name == one.used_by && user.managed_by.name() == one.keeper)
    });
    WhyReport { instances, chains: chains(seen, found, users.into_iter()), ..WhyReport::default() }
}

/// What a process uses, and which processes below it use secrets too; of one that uses nothing itself, such as the master
/// of workers, what those use.
fn of_process(seen: &Inventory, pid: u32) -> Vec<WhyReport> {
    let listing = &seen.survey.listing;
    let process = listing.seen.iter().find(|one| one.id.pid == pid);
    let below = process.map(|one| descendants(listing, one.id)).unwrap_or_default();
    let below: BTreeSet<u32> = below.into_iter().map(|one| one.id.pid).collect();
    let own = of_processes(seen, &|one| one == pid);
    let held = of_processes(seen, &|one| below.contains(&one));
    let how = seen.not_searched();
    let (first, rest) = match (own.is_empty(), held.is_empty()) {
        (false, true) => return own,
        (false, false) => {
            let pids = held.iter().flat_map(|one| &one.instances).filter_map(|one| one.pid);
            let pids: BTreeSet<String> = pids.map(|pid| pid.to_string()).collect();
            let pids = pids.into_iter().collect::<Vec<_>>().join(", ");
            (format!("of the processes below process {pid} these use secrets too: {pids}"), own)
        }
        (true, true) => {
            let too = if below.is_empty() { "" } else { ", nor does a process below it" };
            (format!("process {pid} does not use any of the values that were found{too}{how}"), own)
        }
        (true, false) => {
            let itself = format!("process {pid} was not seen to use any of the values itself{how}");
            (format!("{itself}; the processes below it do:"), held)
        }
    };
    std::iter::once(WhyReport::sentence(first)).chain(rest).collect()
}

/// What these processes use, by secret.
fn of_processes(seen: &Inventory, wanted: &dyn Fn(u32) -> bool) -> Vec<WhyReport> {
    let of_secret = |found: &SurveyedSecret| {
        let mut instances = seen.instances(found);
        instances.retain(|one| one.pid.is_some_and(wanted));
        let its = |user: &&User| user.processes.iter().any(|process| wanted(process.pid));
        let chains = || chains(seen, found, found.users.iter().filter(its));
        (!instances.is_empty()).then(|| WhyReport { chains: chains(), instances, ..WhyReport::default() })
    };
    seen.found.iter().filter_map(of_secret).collect()
}

fn of_path(seen: &Inventory, path: &Path) -> Vec<WhyReport> {
    let answers = seen.found.iter().filter_map(|found| of_copies(seen, found, path)).collect();
    or_none(answers, || format!("{}: it contains none of the known values", keyroll_observe::shown(path)))
}

fn or_none(answers: Vec<WhyReport>, none: impl FnOnce() -> String) -> Vec<WhyReport> {
    if answers.is_empty() { vec![WhyReport::sentence(none())] } else { answers }
}

/// The role of each copy of a secret at or below a path; `None` if there is no copy.
fn of_copies(seen: &Inventory, found: &SurveyedSecret, path: &Path) -> Option<WhyReport> {
    let mut sentences = Vec::new();
    let mut readers: Vec<&User> = Vec::new();
    for (place, sighting) in found.copies() {
        if !place.file().is_some_and(|one| one.starts_with(path)) {
            continue;
        }
        let mut uses = Vec::new();
        for user in &found.users {
            for chain in chains_of(&seen.survey, found, user) {
                let Some(link) = chain.links.iter().find(|link| link.place.as_ref() == Some(place)) else {
                    continue;
                };
                uses.push(role(user, chain, link));
                if !readers.contains(&user) {
                    readers.push(user);
                }
            }
        }
        let uses = match uses.is_empty() {
            true => "no known service reads it".to_owned(),
            false => uses.join("; "),
        };
        let label = seen.label(found, sighting.value);
        sentences.push(format!("{place} holds {label} of {}: {uses}", found.name));
    }
    let chains = || chains(seen, found, readers.into_iter());
    (!sentences.is_empty()).then(|| WhyReport { chains: chains(), sentences, ..WhyReport::default() })
}

/// The role of a copy for a service that could read it.
fn role(user: &User, chain: &Chain, link: &Link) -> String {
    let name = &user.name;
    let winner = chain.winner().map_or("another place", |link| without_wrappings(&link.what));
    match link.role {
        LinkRole::Wins => format!("it wins for {name}"),
        LinkRole::Shadowed => format!("it is a decoy for {name}: {winner} wins"),
        LinkRole::NotRead => format!("{name} does not read it: {winner} wins"),
        LinkRole::NotThere => format!("{name} would read it, and it is not there: {winner} wins"),
        LinkRole::NotVisible(why) => format!("not visible whether {name} reads it ({why})"),
    }
}

/// Each value with its copies, if the copies hold different values.
fn differing(seen: &Inventory, found: &SurveyedSecret) -> Vec<(String, Vec<String>)> {
    let places = |id| {
        let here = found.copies().into_iter().filter(move |(_, sighting)| sighting.value == id);
        let here = here.map(|(place, sighting)| match sighting.encoding == Encoding::Raw {
            true => place.to_string(),
            false => format!("{place} ({})", sighting.encoding.name()),
        });
        here.collect::<Vec<_>>()
    };
    let values = found.values.iter().filter(|_| found.copies_differ());
    let values = values.map(|id| (seen.label(found, *id), places(*id)));
    values.filter(|(_, places)| !places.is_empty()).collect()
}

fn chains<'f>(
    seen: &Inventory,
    found: &SurveyedSecret,
    users: impl Iterator<Item = &'f User>,
) -> Vec<ChainShown> {
    users.flat_map(|user| seen.chains(found, user)).collect()
}
