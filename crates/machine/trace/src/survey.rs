use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_leak::{RuleError, Rules};
use keyroll_manager::Docker;
use keyroll_observe::{
    FileLimits, FilesReport, Listing, Look, NotVisible, ProcessId, look_at_files, processes, shown,
    stated_outside,
};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::look::{AllKnown, Candidates, Known, candidates, candidates_in_pieces, known, known_in_pieces};
use crate::processes::Running;
use crate::roots::{self, homes, roots};
use crate::services::services;
use crate::wrapping::Wrapping;
use crate::{Instance, Place, Service, Sighting, Unseen, ValueId, Values, files};

/// The largest file that is read whole, bytes: a database is parsed in memory, two at a time.
const FILE_BYTES_MAX: usize = 16 << 20;

/// How much of a larger file, and of all such files together, is searched for known values, bytes: a second or two on
/// two cores.
const LARGE_FILE_BYTES_MAX: u64 = 256 << 20;
const LARGE_BYTES_MAX: u64 = 1 << 30;

/// The most files that are searched for known values.
const FILES_MAX: usize = 400_000;

/// What a survey inspects.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folders whose files are read; empty = where settings are kept on this machine.
    pub roots: Vec<PathBuf>,
    /// The longest time for each inspection.
    pub wait: Duration,
}

/// An encrypted store, whose values are not readable without its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Store {
    /// Its file.
    pub path: PathBuf,
    /// What it is encrypted with: `sops`, `KeePass`.
    pub kind: &'static str,
    /// Its probable users: processes that have it open, or run in its folder.
    pub used_by: Vec<ProcessId>,
}

/// The result of an inspection: every value and its places.
pub struct Survey {
    /// Every value, once.
    pub values: Values,
    /// Every place of every value.
    pub sightings: Vec<Sighting>,
    /// The processes at the time of the survey.
    pub listing: Listing,
    /// The processes without keyroll's own, each with the values that it was seen to hold.
    pub instances: BTreeMap<ProcessId, Instance>,
    /// How many files were read.
    pub files: usize,
    /// Encrypted stores: present, and unreadable.
    pub stores: Vec<Store>,
    /// The services, and the sources of their secrets.
    pub services: Vec<Service>,
    /// What was not visible.
    pub unseen: Vec<Unseen>,
}

/// The managers to query, besides those that are found by their processes.
#[derive(Debug, Clone, Default)]
pub struct Managers {
    /// The container engine.
    pub docker: Docker,
}

/// Why there is no survey at all.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The shipped rules.
    #[error("the rules cannot be read")]
    Rules(#[source] RuleError),
}

/// Inspects everything once, for possible secrets and for known values. Read-only.
///
/// # Errors
/// The survey's tools are not available.
pub fn survey(options: &Options, key: FingerprintKey) -> Result<Survey, SurveyError> {
    survey_with(options, &Managers::default(), key, Vec::new())
}

/// The same, with these managers and with values that are known beforehand.
///
/// # Errors
/// The survey's tools are not available.
pub fn survey_with(
    options: &Options,
    managers: &Managers,
    key: FingerprintKey,
    known: Vec<SecretBytes>,
) -> Result<Survey, SurveyError> {
    let rules = Rules::shipped().map_err(SurveyError::Rules)?;
    let mut values = Values::new(key);
    for value in known {
        let rule = rules.of(value.expose());
        values.add(value, rule);
    }
    let (mut sightings, mut unseen) = (Vec::new(), Vec::new());
    // Without processes the survey still has files.
    let listing = processes(options.wait).unwrap_or_else(|reason| {
        let why =
            if reason == NotVisible::Vanished { "it is not there".to_owned() } else { reason.to_string() };
        let what = "processes".to_owned();
        unseen.push(Unseen { what, reason: format!("/proc cannot be read: {why}"), uid: None });
        Listing::default()
    });
    let running = Running::look(&listing, rules, options.wait, &mut values, &mut sightings, &mut unseen);
    let hidden = listing.hidden.iter().map(|one| Unseen {
        what: one.pid.map_or_else(|| "processes".to_owned(), |pid| format!("process {pid}")),
        reason: one.reason.clone(),
        uid: None,
    });
    unseen.extend(hidden);
    unseen.extend(stated_outside().map(|(what, reason)| Unseen { what: what.to_owned(), reason, uid: None }));
    let homes = homes(&options.roots);
    let around = (&managers.docker, homes.as_slice());
    let kept = services(&listing, running.starts(), around, rules, &mut values, &mut sightings);
    unseen.extend(kept.unseen);
    let services = kept.services;
    let (instances, stores) = (BTreeMap::new(), Vec::new());
    let mut survey = Survey { values, sightings, listing, instances, files: 0, stores, services, unseen };
    let roots = match options.roots.is_empty() {
        true => roots(&survey.listing, kept.folders),
        false => options.roots.clone(),
    };
    survey.by_name(&roots, options.wait, rules);
    let wrapped = survey.derive();
    survey.by_value(&roots, options.wait);
    survey.find_origins(running.starts());
    survey.say_wrappings(&wrapped, running.starts());
    survey.held_by(running, options.wait);
    survey.date_environments();
    survey.hide_command_lines();
    survey.sightings.sort();
    survey.unseen.sort();
    survey.unseen.dedup();
    Ok(survey)
}

fn limits(wait: Duration) -> FileLimits {
    FileLimits {
        wait,
        file_bytes_max: FILE_BYTES_MAX,
        large_file_bytes_max: LARGE_FILE_BYTES_MAX,
        large_bytes_max: LARGE_BYTES_MAX,
        files_max: FILES_MAX,
        ..FileLimits::default()
    }
}

impl Survey {
    /// Values that look like secrets, or have a secret's name.
    fn by_name(&mut self, roots: &[PathBuf], wait: Duration, rules: &'static Rules) {
        let look: Look<Candidates> = Look::new(move |path, bytes| candidates(path, bytes, rules))
            .and_in_pieces(move |path, pieces| candidates_in_pieces(path, pieces, rules));
        let report = look_at_files(roots, files::settings, limits(wait), look, &mut |path, seen| {
            self.unseen.extend(seen.unseen.map(|reason| Unseen { what: shown(path), reason, uid: None }));
            self.stores.extend(seen.sealed.map(|kind| Store {
                path: path.to_owned(),
                kind,
                used_by: Vec::new(),
            }));
            for one in seen.held {
                if let Some(value) = self.values.add(one.value, one.rule) {
                    let (name, slot, encoding) = (one.name, one.slot, one.encoding);
                    self.sightings.push(Sighting { value, place: one.place, name, slot, encoding });
                }
            }
        });
        self.files = report.files;
        self.stores.sort();
        // One place may show a value in two ways: the one with a name is more useful.
        self.sightings.sort_by(|one, other| {
            let known = |sighting: &Sighting| (sighting.slot.is_none(), sighting.name.is_none());
            (one.value, &one.place, known(one)).cmp(&(other.value, &other.place, known(other)))
        });
        self.sightings
            .dedup_by(|later, earlier| later.value == earlier.value && later.place == earlier.place);
        self.note(report);
        if self.values.is_full() {
            let reason = "there are more than one survey keeps apart".to_owned();
            self.unseen.push(Unseen { what: "some values".to_owned(), reason, uid: None });
        }
    }

    /// A value that encodes another value (base64 and others), or is another value in a wrapping, is a copy of that value.
    /// Returns the places of the wrappings.
    fn derive(&mut self) -> Vec<(Place, BTreeSet<Wrapping>)> {
        let mut wrapped = Vec::new();
        let derived = self.values.derive().clone();
        for one in &mut self.sightings {
            if let Some((of, encoding)) = derived.get(&one.value) {
                let around = self.values.wrappings(one.value).cloned();
                wrapped.extend(around.map(|around| (one.place.clone(), around)));
                (one.value, one.encoding) = (*of, *encoding);
            }
        }
        let links =
            self.services.iter_mut().flat_map(|one| &mut one.chains).flat_map(|chain| &mut chain.links);
        for value in links.filter_map(|link| link.value.as_mut()) {
            *value = derived.get(value).map_or(*value, |(of, _)| *of);
        }
        wrapped
    }

    /// Searches all processes for every value; each process becomes an instance with what it holds.
    fn held_by(&mut self, mut running: Running, wait: Duration) {
        let needles = self.values.needles();
        let (sightings, unseen) = (&mut self.sightings, &mut self.unseen);
        running.by_value(&self.listing, &self.values, needles.as_deref(), sightings, unseen);
        let stores: Vec<&Path> = self.stores.iter().map(|store| store.path.as_path()).collect();
        running.open(sightings, &stores, wait, unseen);
        self.instances = running.instances;
        let folders: Vec<(ProcessId, PathBuf)> = match self.stores.is_empty() {
            true => Vec::new(),
            false => roots::standing(self.instances.keys()),
        };
        for store in &mut self.stores {
            let within = |folder: &Path| store.path.parent().is_some_and(|parent| parent == folder);
            let opened = |one: &Instance| one.open.iter().any(|open| open.path == store.path);
            let opened = self.instances.values().filter(|one| opened(one)).map(|one| one.process);
            let beside = folders.iter().filter(|(_, folder)| within(folder)).map(|(process, _)| *process);
            let all: BTreeSet<ProcessId> = opened.chain(beside).collect();
            store.used_by = all.into_iter().collect();
        }
    }

    /// Notes when the processes of a service got their environment, if a restart does not change it.
    fn date_environments(&mut self) {
        for service in &self.services {
            let Some(made) = &service.made else { continue };
            for process in &service.processes {
                if let Some(instance) = self.instances.get_mut(process) {
                    instance.made_unix_ms = Some(made.unix_ms);
                }
            }
        }
    }

    /// A command that starts a program again is not shown if it has a value: the operator has it from `ps`.
    fn hide_command_lines(&mut self) {
        let needles = self.values.needles();
        let has_value = |text: &str| {
            // As it was before it was quoted.
            let text = text.replace("'\\''", "'");
            let mut hit = false;
            if let Some(needles) = &needles {
                needles.find(text.as_bytes(), &mut |_| hit = true);
            }
            hit || self.values.stand_in(text.as_bytes())
        };
        let links =
            self.services.iter_mut().flat_map(|one| &mut one.chains).flat_map(|chain| &mut chain.links);
        for applies in links.filter_map(|link| link.applies.as_mut()) {
            if let Some((ends, _)) = applies.split_once(" && ")
                && ends.starts_with("kill ")
                && has_value(applies)
            {
                let pid = ends.strip_prefix("kill ").unwrap_or_default();
                *applies = format!(
                    "end process {pid}, then start it again as before (its command line has a value)"
                );
            }
        }
    }

    /// Searches the files for every value, in every encoding.
    fn by_value(&mut self, roots: &[PathBuf], wait: Duration) {
        let Some(needles) = self.values.needles() else { return };
        let mut there: BTreeSet<(ValueId, Place)> =
            self.sightings.iter().map(|one| (one.value, one.place.clone())).collect();
        let again = Arc::clone(&needles);
        let look: Look<AllKnown> = Look::new(move |path, bytes| known(path, bytes, &needles))
            .and_in_pieces(move |path, pieces| known_in_pieces(path, pieces, &again));
        let (sightings, unseen) = (&mut self.sightings, &mut self.unseen);
        let report = look_at_files(roots, files::everything, limits(wait), look, &mut |path, found| {
            if found.more {
                let reason = "it has known values at more places than the limit".to_owned();
                unseen.push(Unseen { what: shown(path), reason, uid: None });
            }
            for one in found.held {
                if there.insert((one.value, one.place.clone())) {
                    let Known { value, place, name, slot, encoding } = one;
                    sightings.push(Sighting { value, place, name, slot, encoding });
                }
            }
        });
        self.files = self.files.max(report.files);
        self.note(report);
        let ordinary = self.values.ordinary();
        if ordinary > 0 {
            let what = format!("further copies of {ordinary} values");
            let reason = "an ordinary word: it is found under its names alone".to_owned();
            self.unseen.push(Unseen { what, reason, uid: None });
        }
    }

    fn note(&mut self, report: FilesReport) {
        self.unseen.extend(report.not_searched.into_iter().map(|one| Unseen {
            what: shown(&one.path),
            reason: one.reason,
            uid: None,
        }));
        let counts: BTreeMap<&str, u64> = report.left_out;
        self.unseen.extend(counts.into_iter().map(|(reason, count)| Unseen {
            what: format!("{count} folders or files"),
            reason: reason.to_owned(),
            uid: None,
        }));
    }
}
