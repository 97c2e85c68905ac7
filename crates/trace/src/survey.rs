use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_leak::{RuleError, Rules};
use keyroll_manager::Docker;
use keyroll_needle::Encoding;
use keyroll_observe::{FileLimits, Listing, processes, visit_files};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::candidates::in_text;
use crate::service::services;
use crate::{Place, Service, Sighting, Unseen, Values, files, processes as running};

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
    /// How many files were read.
    pub files: usize,
    /// What is kept running, and where each takes its secrets from.
    pub services: Vec<Service>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// The managers that are asked, beside those that are found by their processes.
#[derive(Debug, Clone, Default)]
pub struct Managers {
    /// The container engine.
    pub docker: Docker,
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

/// Looks at everything once. Read-only.
///
/// # Errors
/// There is nothing to look at it with.
pub fn survey(options: &Options, key: FingerprintKey) -> Result<Survey, SurveyError> {
    survey_with(options, &Managers::default(), key)
}

/// The same, with these managers.
///
/// # Errors
/// There is nothing to look at it with.
pub fn survey_with(
    options: &Options,
    managers: &Managers,
    key: FingerprintKey,
) -> Result<Survey, SurveyError> {
    let rules = Rules::shipped().map_err(SurveyError::Rules)?;
    let listing = processes(options.wait).map_err(|reason| SurveyError::Processes(reason.to_string()))?;
    let mut values = Values::new(key);
    let (mut sightings, mut unseen) = running::look(&listing, rules, options.wait, &mut values);
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
    let (services, hidden) =
        services(&listing, &managers.docker, rules, options.wait, &mut values, &mut sightings);
    unseen.extend(hidden);
    let mut survey = Survey { values, sightings, listing, files: report.files, services, unseen };
    survey.by_value(&roots, limits, options.wait);
    Ok(survey)
}

impl Survey {
    /// Every value is looked for again, wherever it stands and in whatever form.
    fn by_value(&mut self, roots: &[PathBuf], limits: FileLimits, wait: Duration) {
        let Some(needles) = self.values.needles() else { return };
        running::by_value(&self.listing, &needles, wait, &mut self.sightings);
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
