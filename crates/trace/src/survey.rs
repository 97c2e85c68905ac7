use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use keyroll_leak::{RuleError, Rules};
use keyroll_needle::Encoding;
use keyroll_observe::{FileLimits, Listing, ProcessId, own_tree, processes, visit_files};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::candidates::in_text;
use crate::{Held, Memory, Place, Service, Sighting, Unseen, ValueId, Values, files, processes as running};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folders whose files are read; empty = where settings are kept on this machine.
    pub roots: Vec<PathBuf>,
    /// The longest time for each of the looks.
    pub wait: Duration,
}

/// What stands where.
pub struct Survey {
    /// Every value, once.
    pub values: Values,
    /// Every place of every value.
    pub sightings: Vec<Sighting>,
    /// The processes that were there.
    pub listing: Listing,
    /// What is kept running, and where it takes its values from.
    pub services: Vec<Service>,
    /// The same without keyroll's own, each with what it was seen to hold of all values.
    pub instances: BTreeMap<ProcessId, Held>,
    /// How many files were read.
    pub files: usize,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// Why there is no survey at all.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The rules that come with the program.
    #[error("the rules cannot be read")]
    Rules(#[source] RuleError),
    /// The list of processes.
    #[error("/proc cannot be read: {0}")]
    Processes(String),
}

/// Looks at everything once, for what looks like a secret and for the values that are known. Read-only.
///
/// # Errors
/// There is nothing to look at it with.
pub fn survey(
    options: &Options,
    key: FingerprintKey,
    known: Vec<SecretBytes>,
) -> Result<Survey, SurveyError> {
    let rules = Rules::shipped().map_err(SurveyError::Rules)?;
    let listing = processes(options.wait).map_err(|reason| SurveyError::Processes(reason.to_string()))?;
    let mut values = Values::new(key);
    for value in known {
        let rule = rules.of(value.expose());
        values.add(value, rule);
    }
    let (mut sightings, mut unseen, read) = running::look(&listing, rules, options.wait, &mut values);
    let hidden = listing.hidden.iter().map(|one| Unseen {
        what: one.pid.map_or_else(|| "processes".to_owned(), |pid| format!("process {pid}")),
        reason: one.reason.clone(),
        uid: None,
    });
    unseen.extend(hidden);
    let roots = if options.roots.is_empty() { files::roots() } else { options.roots.clone() };
    let roots: Vec<PathBuf> = roots.into_iter().filter(|root| root.exists()).collect();
    let limits = FileLimits { wait: options.wait, ..FileLimits::default() };
    let report = visit_files(&roots, files::wanted, limits, &mut |path, bytes| {
        for one in in_text(bytes, rules) {
            let line = line_of(bytes, one.span.start);
            let value = SecretBytes::new(bytes.get(one.span).unwrap_or_default().to_vec());
            if let Some(value) = values.add(value, one.rule) {
                let place = Place::File { path: path.to_owned(), line };
                sightings.push(Sighting { value, place, name: one.name, encoding: Encoding::Raw });
            }
        }
    });
    unseen.extend(report.not_searched.into_iter().map(|one| Unseen {
        what: keyroll_observe::shown(&one.path),
        reason: one.reason,
        uid: None,
    }));
    let (services, instances) = (Vec::new(), BTreeMap::new());
    let mut survey = Survey { values, sightings, listing, services, instances, files: report.files, unseen };
    survey.by_value(&roots, limits, options.wait);
    survey.started_with(&read);
    Ok(survey)
}

impl Survey {
    /// What an instance was seen to hold of these versions of one secret; `None` = there is no such instance.
    pub fn held(&self, process: &ProcessId, versions: &BTreeSet<ValueId>) -> Option<Held> {
        let held = self.instances.get(process)?;
        let of = |all: &BTreeSet<ValueId>| all.intersection(versions).copied().collect();
        let memory = match &held.memory {
            Memory::NotSearched => Memory::NotSearched,
            Memory::Closed => Memory::Closed,
            Memory::Whole(found) => Memory::Whole(of(found)),
            Memory::InPart(found) => Memory::InPart(of(found)),
        };
        Some(Held { start: held.start.as_ref().map(of), memory })
    }

    /// What each process whose environment could be read was started with.
    fn started_with(&mut self, read: &[ProcessId]) {
        let own = own_tree(&self.listing);
        let others = self.listing.seen.iter().filter(|one| !own.contains(&one.id.pid));
        let seen = |process: ProcessId| Held {
            start: read.contains(&process).then(BTreeSet::new),
            memory: Memory::NotSearched,
        };
        self.instances = others.map(|one| (one.id, seen(one.id))).collect();
        for sighting in &self.sightings {
            let Place::Environment { process, .. } = &sighting.place else { continue };
            if let Some(start) = self.instances.get_mut(process).and_then(|held| held.start.as_mut()) {
                start.insert(sighting.value);
            }
        }
    }

    /// Every value is looked for again, wherever it stands and in whatever form.
    fn by_value(&mut self, roots: &[PathBuf], limits: FileLimits, wait: Duration) {
        let Some(needles) = self.values.needles() else { return };
        running::by_value(&self.listing, &needles, wait, &mut self.sightings);
        let mut known: BTreeSet<(ValueId, Place)> =
            self.sightings.iter().map(|one| (one.value, one.place.clone())).collect();
        let sightings = &mut self.sightings;
        visit_files(roots, files::wanted, limits, &mut |path, bytes| {
            needles.find(bytes, &mut |hit| {
                let place = Place::File { path: path.to_owned(), line: line_of(bytes, hit.start) };
                let value = ValueId(hit.id.0);
                if known.insert((value, place.clone())) {
                    sightings.push(Sighting { value, place, name: None, encoding: hit.encoding });
                }
            });
        });
    }
}

fn line_of(bytes: &[u8], at: usize) -> u64 {
    bytes.get(..at).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() as u64 + 1
}
