use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use keyroll_leak::{RuleError, Rules};
use keyroll_needle::{Encoding, Needles};
use keyroll_observe::{FileLimits, Listing, NotVisible, ProcessId, processes, visit_files};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::candidates::in_text;
use crate::processes::Running;
use crate::{Instance, Place, Sighting, Unseen, Values, files};

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
    /// The same without keyroll's own, each with what it was seen to hold.
    pub instances: BTreeMap<ProcessId, Instance>,
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
}

/// Looks at everything once. Read-only.
///
/// # Errors
/// There is nothing to look at it with.
pub fn survey(options: &Options, key: FingerprintKey) -> Result<Survey, SurveyError> {
    let rules = Rules::shipped().map_err(SurveyError::Rules)?;
    let mut values = Values::new(key);
    let (mut sightings, mut unseen) = (Vec::new(), Vec::new());
    // Without processes there are still files.
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
    let instances = BTreeMap::new();
    let mut survey = Survey { values, sightings, listing, instances, files: report.files, unseen };
    survey.by_value(running, &roots, limits, options.wait);
    Ok(survey)
}

impl Survey {
    /// Every value is looked for again, wherever it stands and in whatever form.
    fn by_value(&mut self, mut running: Running, roots: &[PathBuf], limits: FileLimits, wait: Duration) {
        let needles = self.values.needles();
        if let Some(needles) = &needles {
            self.files_by_value(needles, roots, limits);
        }
        let (sightings, unseen) = (&mut self.sightings, &mut self.unseen);
        running.by_value(&self.listing, &self.values, needles.as_ref(), sightings, unseen);
        running.open(sightings, wait, unseen);
        self.instances = running.instances;
    }

    fn files_by_value(&mut self, needles: &Needles, roots: &[PathBuf], limits: FileLimits) {
        let mut known: BTreeSet<(crate::ValueId, Place)> =
            self.sightings.iter().map(|one| (one.value, one.place.clone())).collect();
        let sightings = &mut self.sightings;
        visit_files(roots, files::wanted, limits, &mut |path, bytes| {
            needles.find(bytes, &mut |hit| {
                let place = Place::File { path: path.to_owned(), line: line_of(bytes, hit.start) };
                let value = crate::ValueId(hit.id.0);
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
