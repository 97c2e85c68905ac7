use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_needle::Encoding;
use keyroll_observe::{ProcessId, is_shell};
use keyroll_secret::Fingerprint;

use crate::joins::Joins;
use crate::naming::{Names, UNNAMED, name_of, told_apart};
use crate::users::users;
use crate::{Chain, ManagedBy, Place, Sighting, Survey, User, ValueId, slots};

/// A secret in the configuration, with its known versions.
#[derive(Debug, Clone)]
pub struct Managed {
    /// Its name in the configuration.
    pub name: String,
    /// Its versions.
    pub versions: Vec<Version>,
}

/// One version of a managed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// v1, v2 …
    pub number: u32,
    /// Its state: `current`, `previous`.
    pub state: &'static str,
    /// The fingerprints of its secret fields, by the key of the survey.
    pub fingerprints: Vec<Fingerprint>,
}

/// One secret: the values that are, or were, in the same slots.
#[derive(Debug, Clone)]
pub struct SurveyedSecret {
    /// Its name.
    pub name: String,
    /// Its values: for a configured secret the newest version first, otherwise the most frequent value first.
    pub values: Vec<ValueId>,
    /// The versions in the configuration's store, by value.
    pub versions: BTreeMap<ValueId, Version>,
    /// It is in the configuration.
    pub managed: bool,
    /// The places of its values.
    pub sightings: Vec<Sighting>,
    /// Its users: each holds a value, or would take one at its start.
    pub users: Vec<User>,
}

impl SurveyedSecret {
    /// The places at rest, each once.
    pub fn copies(&self) -> BTreeMap<&Place, &Sighting> {
        let at_rest = self.sightings.iter().filter(|one| one.place.process().is_none());
        at_rest.map(|one| (&one.place, one)).collect()
    }

    /// Whether a change of it affects more than one consumer; shells that only pass it on do not count.
    pub fn shared(&self) -> bool {
        self.users.iter().filter(|user| user.managed_by != ManagedBy::Session).count() > 1
    }

    /// Whether copies at rest hold different values.
    pub fn copies_differ(&self) -> bool {
        let at_rest = self.sightings.iter().filter(|one| one.place.process().is_none());
        at_rest.map(|one| one.value).collect::<BTreeSet<_>>().len() > 1
    }

    /// The most recently changed copy at rest that holds another value than this one. Leftovers of files do not count:
    /// they do not show which value is configured now.
    pub fn other_than(&self, value: ValueId) -> Option<(&Place, &Sighting)> {
        let others = self.copies().into_iter().filter(|(place, sighting)| {
            let leftover = place.file().is_some_and(|file| slots::leftover_of(file).is_some());
            sighting.value != value && !leftover
        });
        let changed = |place: &Place| place.file()?.metadata().ok()?.modified().ok();
        others.max_by_key(|(place, sighting)| (sighting.encoding == Encoding::Raw, changed(place)))
    }

    /// Whether a chain takes one of its values.
    pub fn is_taken_by(&self, chain: &Chain) -> bool {
        chain.links.iter().any(|link| link.value.is_some_and(|value| self.values.contains(&value)))
    }
}

/// The secrets of a survey, those with the most users first. docs/design/discovery.md §2 defines a secret.
pub fn secrets(survey: &Survey, managed: &[Managed]) -> Vec<SurveyedSecret> {
    let numbers = managed_values(survey, managed);
    let mut joins = Joins::new(survey.values.len());
    for values in &numbers {
        joins.all(values.keys().copied());
    }
    let users = users(survey);
    join_chains(survey, &users, &mut joins);
    join_slots(survey, &mut joins);
    join_projects(survey, &mut joins);
    let mut groups: BTreeMap<usize, Vec<&Sighting>> = BTreeMap::new();
    for sighting in &survey.sightings {
        groups.entry(joins.root(sighting.value)).or_default().push(sighting);
    }
    let shown = Names::of_secrets(&survey.values);
    let known = Known { survey, shown: &shown, managed, numbers: &numbers, uses: Uses::new(survey, &users) };
    let mut found: Vec<SurveyedSecret> = groups.into_values().map(|group| known.secret(group)).collect();
    found.sort_by_cached_key(|one| {
        let first = one.sightings.first().map(|one| one.place.clone());
        let most = (one.users.len(), one.managed, has_issuer(survey, one), one.sightings.len());
        (std::cmp::Reverse(most), one.name.clone(), first)
    });
    let taken = found.iter().filter(|one| one.managed).map(|one| one.name.clone()).collect();
    let mut free: Vec<&mut SurveyedSecret> = found.iter_mut().filter(|one| !one.managed).collect();
    let mut projects = slots::Projects::default();
    let mut names: Vec<(String, String)> =
        free.iter().map(|one| (one.name.clone(), shown.shown(&whereabouts(one, &mut projects)))).collect();
    told_apart(&mut names, &taken);
    rename_redacted(survey, &mut names, &taken);
    free.iter_mut().zip(names).for_each(|(one, (name, _))| one.name = name);
    found
}

/// Gives other names to secrets whose names would be redacted where they are shown, so that nobody could ask for them: a
/// variable in capitals hides a value in small letters.
fn rename_redacted(survey: &Survey, names: &mut [(String, String)], taken: &BTreeSet<String>) {
    let redacted = survey.values.redacted_in_names();
    let mut renamed = false;
    for (name, _) in names.iter_mut() {
        if redacted.iter().any(|value| name.contains(value)) {
            UNNAMED.clone_into(name);
            renamed = true;
        }
    }
    if renamed {
        names.iter_mut().for_each(|(_, place)| place.clear());
        told_apart(names, taken);
    }
}

/// Whether the form of one of its values shows its issuer.
fn has_issuer(survey: &Survey, found: &SurveyedSecret) -> bool {
    let rules = found.values.iter().filter_map(|value| survey.values.get(*value)?.rule);
    rules.into_iter().any(|rule| !rule.provider.is_empty())
}

/// The versions of each managed secret, by the values that were seen.
fn managed_values(survey: &Survey, managed: &[Managed]) -> Vec<BTreeMap<ValueId, Version>> {
    let of = |one: &Managed| {
        let pairs = one
            .versions
            .iter()
            .flat_map(|version| version.fingerprints.iter().map(move |print| (print, version)));
        pairs.filter_map(|(print, version)| Some((survey.values.with(print)?, version.clone()))).collect()
    };
    managed.iter().map(of).collect()
}

/// Everything that is needed to turn groups of sightings into secrets.
struct Known<'a> {
    survey: &'a Survey,
    shown: &'a Names,
    managed: &'a [Managed],
    /// The versions of each managed secret, by value.
    numbers: &'a [BTreeMap<ValueId, Version>],
    uses: Uses<'a>,
}

impl Known<'_> {
    /// Makes a secret from a group of sightings.
    fn secret(&self, group: Vec<&Sighting>) -> SurveyedSecret {
        let mut count: BTreeMap<ValueId, usize> = BTreeMap::new();
        group.iter().for_each(|one| *count.entry(one.value).or_default() += 1);
        let has_one =
            |values: &BTreeMap<ValueId, Version>| values.keys().any(|value| count.contains_key(value));
        let known = self.managed.iter().zip(self.numbers).find(|(_, values)| has_one(values));
        let versions: BTreeMap<ValueId, Version> =
            known.map(|(_, values)| values.clone()).unwrap_or_default();
        let mut values: Vec<ValueId> = count.keys().copied().collect();
        values.sort_by_key(|value| {
            let number = versions.get(value).map(|version| version.number);
            (std::cmp::Reverse(number), std::cmp::Reverse(count.get(value).copied()), *value)
        });
        let rule = values.iter().find_map(|value| self.survey.values.get(*value)?.rule);
        let name = match known {
            Some((managed, _)) => managed.name.clone(),
            None => {
                let names = group.iter().filter_map(|one| one.name.as_deref());
                let first = group.iter().filter_map(|one| one.place.file()).min();
                name_of(self.shown, names, rule.map(|rule| rule.provider.as_str()), first)
            }
        };
        let mut sightings: Vec<Sighting> = group.into_iter().cloned().collect();
        sightings.sort();
        sightings.dedup();
        let mut found =
            SurveyedSecret { name, values, versions, managed: known.is_some(), sightings, users: Vec::new() };
        found.users = used_by(&found, &self.uses);
        found
    }
}

/// The users that hold one of the values, and the services that would take one.
fn used_by(found: &SurveyedSecret, uses: &Uses<'_>) -> Vec<User> {
    let holders: BTreeSet<&ProcessId> =
        found.sightings.iter().filter_map(|one| one.place.process()).collect();
    let holding = holders.iter().filter_map(|process| uses.of_process.get(*process));
    let taking = found.values.iter().filter_map(|value| uses.of_value.get(value));
    let all: BTreeSet<usize> = holding.chain(taking).flatten().copied().collect();
    let user = |at: usize| {
        let mut user = uses.users.get(at)?.clone();
        if user.processes.iter().any(|process| holders.contains(process)) {
            // A master, or a wrapper, may hold nothing itself. Each worker of an agent reads the key by itself: the one in
            // which nothing was found is not left out.
            let reads = uses.is_agent_of(&user, found);
            user.processes.retain(|process| holders.contains(process) || reads && uses.is_worker(process));
        }
        Some(user)
    };
    all.into_iter().filter_map(user).collect()
}

/// The possible users of a secret, by process and by value.
struct Uses<'u> {
    survey: &'u Survey,
    users: &'u [User],
    of_process: BTreeMap<ProcessId, Vec<usize>>,
    of_value: BTreeMap<ValueId, Vec<usize>>,
}

impl<'u> Uses<'u> {
    fn new(survey: &'u Survey, users: &'u [User]) -> Self {
        let mut uses = Self { survey, users, of_process: BTreeMap::new(), of_value: BTreeMap::new() };
        for (at, user) in users.iter().enumerate() {
            for process in &user.processes {
                uses.of_process.entry(*process).or_default().push(at);
            }
            let service = user.service.and_then(|at| survey.services.get(at));
            // Nobody knows whether a process without a manager is started again, nor whether it reads the files of its
            // folder. But an agent's own settings say what it reads.
            if !user.managed_by.is_service() && service.is_none_or(|one| one.agent.is_none()) {
                continue;
            }
            let links = service.into_iter().flat_map(|one| &one.chains).flat_map(|chain| &chain.links);
            for value in links.filter_map(|link| link.value) {
                uses.of_value.entry(value).or_default().push(at);
            }
        }
        uses
    }

    /// Whether a user is an agent whose settings say that it takes the secret.
    fn is_agent_of(&self, user: &User, found: &SurveyedSecret) -> bool {
        let service = user.service.and_then(|at| self.survey.services.get(at));
        let service = service.filter(|one| one.agent.is_some());
        service.is_some_and(|one| one.chains.iter().any(|chain| found.is_taken_by(chain)))
    }

    /// Whether a process is one of the workers of a master.
    fn is_worker(&self, process: &ProcessId) -> bool {
        self.survey.instances.get(process).is_some_and(|one| one.worker.is_some())
    }
}

/// Rule 2: the values that one service takes under one name, and those that its processes were started with under that
/// name.
fn join_chains(survey: &Survey, users: &[User], joins: &mut Joins) {
    let mut started: BTreeMap<&ProcessId, BTreeMap<&str, Vec<ValueId>>> = BTreeMap::new();
    for sighting in &survey.sightings {
        let (process, name) = match &sighting.place {
            Place::Environment { process, variable } => (process, Some(variable.as_str())),
            // Found there behind this name: a value of which no copy is left.
            Place::Memory { process } => (process, sighting.name.as_deref()),
            Place::File { .. }
            | Place::Row { .. }
            | Place::Remains { .. }
            | Place::Credential { .. }
            | Place::Arguments { .. }
            | Place::Record { .. } => continue,
        };
        if let Some(name) = name {
            started.entry(process).or_default().entry(name).or_default().push(sighting.value);
        }
    }
    for service in &survey.services {
        for chain in &service.chains {
            let own = service.processes.iter().filter_map(|one| started.get(one)?.get(chain.name.as_str()));
            let links = chain.links.iter().filter_map(|link| link.value);
            joins.all(links.chain(own.flatten().copied()));
        }
    }
    let kept = users.iter().filter(|user| user.managed_by.is_service());
    for user in kept {
        let mut names: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
        for (name, values) in user.processes.iter().filter_map(|one| started.get(one)).flatten() {
            names.entry(*name).or_default().extend(values);
        }
        names.into_values().for_each(|values| joins.all(values.into_iter()));
    }
}

/// The slot of a copy in its file: the name there, and which of several with that name it is.
struct Slot<'s> {
    sighting: &'s Sighting,
    path: &'s Path,
    name: &'s str,
    number: usize,
}

fn slots_of(survey: &Survey) -> Vec<Slot<'_>> {
    let mut named: Vec<(&Path, &str, u64, &Sighting)> = Vec::new();
    for sighting in &survey.sightings {
        let (Place::File { path, line }, Some(name)) = (&sighting.place, sighting.name.as_deref()) else {
            continue;
        };
        named.push((path, name, *line, sighting));
    }
    named.sort_by_key(|(path, name, line, _)| (*path, *name, *line));
    let mut all: Vec<Slot<'_>> = Vec::new();
    for (path, name, _, sighting) in named {
        let number = match all.last() {
            Some(last) if (last.path, last.name) == (path, name) && !slots::later_wins(path) => {
                last.number + 1
            }
            Some(_) | None => 0,
        };
        all.push(Slot { sighting, path, name, number });
    }
    all
}

/// Rule 3: the same slot of a file and of its leftovers.
fn join_slots(survey: &Survey, joins: &mut Joins) {
    let mut same: BTreeMap<(PathBuf, &str, usize), Vec<ValueId>> = BTreeMap::new();
    for slot in slots_of(survey) {
        let file = slots::leftover_of(slot.path).unwrap_or_else(|| slot.path.to_owned());
        // A file that is one value has one slot, whatever its name.
        let name = if slot.sighting.slot == Some(keyroll_copy::Slot::Whole) { "" } else { slot.name };
        same.entry((file, name, slot.number)).or_default().push(slot.sighting.value);
    }
    same.into_values().for_each(|values| joins.all(values.into_iter()));
}

/// Rule 4: the same name in several manifests of one project. It must occur once in each, be more specific than
/// *password*, and no two of the values may be of different issuers.
fn join_projects(survey: &Survey, joins: &mut Joins) {
    let mut projects = slots::Projects::default();
    let mut same: BTreeMap<(PathBuf, &str), Vec<Slot<'_>>> = BTreeMap::new();
    for slot in slots_of(survey) {
        if keyroll_leak::named_for(slot.name).is_none() {
            continue;
        }
        if let Some(project) = projects.of(slot.path) {
            same.entry((project, slot.name)).or_default().push(slot);
        }
    }
    for slots in same.into_values() {
        let issuer = |slot: &Slot<'_>| Some(survey.values.get(slot.sighting.value)?.rule?.provider.as_str());
        let issuers: BTreeSet<&str> = slots.iter().filter_map(issuer).collect();
        if issuers.len() <= 1 && slots.iter().all(|slot| slot.number == 0) {
            joins.all(slots.iter().map(|slot| slot.sighting.value));
        }
    }
}

/// The name of a user without the number of its process.
fn program_of(user: &User) -> &str {
    let numbered =
        user.name.rsplit_once(' ').filter(|(_, pid)| pid.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.filter(|_| !user.managed_by.is_service()).map_or(user.name.as_str(), |(name, _)| name)
}

/// The location of a secret: its project, its users, or the folder of its first copy.
fn whereabouts(found: &SurveyedSecret, projects: &mut slots::Projects) -> String {
    let files = || found.sightings.iter().filter_map(|one| one.place.file());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let project = files().find_map(|path| projects.of(path)).and_then(|folder| name(&folder));
    // A shell only passes it on, and a number is another one at the next start.
    let passes_on = |user: &&User| is_shell(Path::new(program_of(user)));
    let user = || found.users.iter().find(|user| !passes_on(user)).or(found.users.first());
    let user = || user().map(|user| program_of(user).to_owned());
    let folder = || files().find_map(Path::parent).and_then(name);
    project.or_else(user).or_else(folder).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use keyroll_observe::Listing;
    use keyroll_secret::{FingerprintKey, SecretBytes};

    use super::*;
    use crate::{Link, LinkRole, Service, Values};

    fn empty() -> Survey {
        Survey {
            values: Values::new(FingerprintKey::new(&[7; 32])),
            sightings: Vec::new(),
            listing: Listing::default(),
            services: Vec::new(),
            instances: BTreeMap::new(),
            files: 0,
            stores: Vec::new(),
            unseen: Vec::new(),
        }
    }

    fn seen(survey: &mut Survey, place: Place, name: &str, value: &str) -> ValueId {
        let value = survey.values.add(SecretBytes::from(value.to_owned()), None).unwrap();
        let name = Some(name.to_owned());
        survey.sightings.push(Sighting { value, place, name, slot: None, encoding: Encoding::Raw });
        value
    }

    fn file(path: impl Into<PathBuf>, line: u64) -> Place {
        Place::File { path: path.into(), line }
    }

    fn process(pid: u32) -> ProcessId {
        ProcessId { boot: 1, pid, start_ticks: u64::from(pid) }
    }

    fn in_environment(pid: u32, variable: &str) -> Place {
        Place::Environment { process: process(pid), variable: variable.to_owned() }
    }

    /// The names, each with how many values it has.
    fn names(survey: &Survey) -> Vec<(String, usize)> {
        let mut all: Vec<_> =
            secrets(survey, &[]).into_iter().map(|found| (found.name, found.values.len())).collect();
        all.sort();
        all
    }

    fn said(all: &[(&str, usize)]) -> Vec<(String, usize)> {
        all.iter().map(|(name, values)| ((*name).to_owned(), *values)).collect()
    }

    #[test]
    fn one_value_is_one_secret_whatever_it_is_called() {
        let mut survey = empty();
        seen(&mut survey, file("/srv/a/api.env", 1), "OPENAI_API_KEY", "the-first-value");
        seen(&mut survey, file("/srv/b/config.toml", 4), "openai.apiKey", "the-first-value");
        seen(&mut survey, in_environment(4, "AI_TOKEN"), "AI_TOKEN", "the-first-value");
        assert_eq!(names(&survey), said(&[("openai", 1)]));
    }

    #[test]
    fn the_same_name_in_two_places_is_two_secrets_with_their_places() {
        let mut survey = empty();
        seen(&mut survey, file("/srv/shop/api.env", 1), "OPENAI_API_KEY", "the-first-value");
        seen(&mut survey, file("/srv/mail/api.env", 1), "OPENAI_API_KEY", "the-second-value");
        assert_eq!(names(&survey), said(&[("openai.mail", 1), ("openai.shop", 1)]));
    }

    /// Else `scan` would show `[redacted:value]` as the name of a secret, and recommend to ask for it.
    #[test]
    fn a_name_that_would_be_redacted_is_no_name() {
        let mut survey = empty();
        seen(&mut survey, file("/srv/a/login.env", 1), "LOGIN_PASSWORD", "correcthorse9");
        seen(&mut survey, file("/srv/a/api.env", 1), "CORRECTHORSE9_TOKEN", "the-first-value");
        seen(&mut survey, file("/srv/b/api.env", 1), "CORRECTHORSE9_TOKEN", "the-second-value");
        assert_eq!(names(&survey), said(&[("login", 1), ("unnamed", 1), ("unnamed.2", 1)]));
    }

    #[test]
    fn a_leftover_is_another_version_of_its_file_slot_by_slot() {
        let mut survey = empty();
        for (path, first, second) in [
            ("/srv/a/conf.json", "the-first-value", "another-of-that-name"),
            ("/srv/a/conf.json.bak.2", "the-older-value", "another-of-that-name"),
        ] {
            seen(&mut survey, file(path, 3), "KEEPER_TOKEN", first);
            seen(&mut survey, file(path, 9), "KEEPER_TOKEN", second);
        }
        assert_eq!(names(&survey), said(&[("keeper.a", 2), ("keeper.a.2", 1)]));
    }

    #[test]
    fn the_same_name_in_one_project_is_one_secret_unless_it_stands_there_twice() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        std::fs::create_dir_all(shop.join("worker")).unwrap();
        std::fs::write(shop.join("compose.yaml"), "").unwrap();
        let (one, other) = (shop.join("api.env"), shop.join("worker/job.toml"));
        let mut survey = empty();
        seen(&mut survey, file(&one, 1), "OPENAI_API_KEY", "the-first-value");
        seen(&mut survey, file(&other, 1), "OPENAI_API_KEY", "the-second-value");
        seen(&mut survey, file(&one, 2), "password", "the-third-value");
        seen(&mut survey, file(&other, 2), "password", "the-fourth-value");
        let found = secrets(&survey, &[]);
        let openai = found.iter().find(|one| one.name == "openai").unwrap();
        assert!(openai.values.len() == 2 && openai.copies_differ(), "{found:?}");
        assert_eq!(found.len(), 3, "a name that says nothing joins nothing: {found:?}");
        seen(&mut survey, file(&other, 7), "OPENAI_API_KEY", "the-fifth-value");
        assert_eq!(secrets(&survey, &[]).len(), 5);
    }

    #[test]
    fn what_a_service_was_started_with_and_what_its_file_has_now_are_one_secret() {
        let mut survey = empty();
        seen(&mut survey, in_environment(9, "OPENAI_API_KEY"), "OPENAI_API_KEY", "the-first-value");
        let now = seen(&mut survey, file("/srv/a/api.env", 1), "OPENAI_API_KEY", "the-second-value");
        assert_eq!(names(&survey).len(), 2);
        let link = Link {
            place: Some(file("/srv/a/api.env", 1)),
            what: "EnvironmentFile=/srv/a/api.env".to_owned(),
            value: Some(now),
            role: LinkRole::Wins,
            basis: crate::Basis::Seen,
            read_later: false,
            applies: None,
            seems: None,
        };
        let chain = Chain { name: "OPENAI_API_KEY".to_owned(), links: vec![link] };
        survey.services.push(Service {
            managed_by: ManagedBy::Manager("systemd"),
            name: "api".to_owned(),
            processes: vec![process(9)],
            chains: vec![chain],
            ..Service::default()
        });
        let found = secrets(&survey, &[]);
        assert_eq!(names(&survey), said(&[("openai", 2)]));
        let users: Vec<&str> = found[0].users.iter().map(|user| user.name.as_str()).collect();
        assert!(users == ["api"] && !found[0].shared(), "{found:?}");
    }

    #[test]
    fn a_configured_secret_has_its_name_and_its_versions_newest_first() {
        let mut survey = empty();
        let old = seen(&mut survey, file("/srv/a/api.env", 1), "X_TOKEN", "the-first-value");
        let new = seen(&mut survey, file("/srv/b/api.env", 1), "Y_TOKEN", "the-second-value");
        let version = |number, id: ValueId, state| Version {
            number,
            state,
            fingerprints: vec![survey.values.get(id).unwrap().fingerprint],
        };
        let versions = vec![version(6, old, "previous"), version(7, new, "current")];
        let found = secrets(&survey, &[Managed { name: "acme".to_owned(), versions }]);
        assert_eq!(found.len(), 1);
        assert!(found[0].name == "acme" && found[0].managed && found[0].values == [new, old], "{found:?}");
        assert_eq!(found[0].versions[&new].number, 7);
    }
}
