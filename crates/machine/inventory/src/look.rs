use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_needle::Needles;
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};
use keyroll_trace::{
    Managed, Managers, Memory, MemoryStage, Names, Options, Survey, SurveyError, SurveyedSecret, ValueId,
    secrets, survey_with,
};

use crate::found::ScanShown;
use crate::quantity::quantity;

/// How often the progress of a search is shown.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// The limits of every inspection of a machine.
#[derive(Debug, Clone, Copy)]
pub struct LookLimits {
    /// How long each stage may take, seconds.
    pub wait: u64,
    /// How much memory of processes is searched at most, GiB; 0 = none.
    pub memory: u64,
}

/// Where the issuer of a configured secret listens on this machine: the issuer itself, or a proxy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIssuer {
    /// The secret.
    pub secret: String,
    /// Its addresses of this machine.
    pub at: Vec<SocketAddr>,
}

/// What is known of secrets before an inspection.
pub struct KnownSecrets {
    /// The key of fingerprints and labels.
    pub key: FingerprintKey,
    /// The secrets that a store keeps, with the fingerprints of their versions.
    pub managed: Vec<Managed>,
    /// Values that are searched for, whatever shows them.
    pub values: Vec<SecretBytes>,
}

impl KnownSecrets {
    /// A second copy, on purpose: for another inspection.
    pub fn duplicate(&self) -> Self {
        Self {
            key: FingerprintKey::new(self.key.bytes()),
            managed: self.managed.clone(),
            values: self.values.iter().map(SecretBytes::duplicate).collect(),
        }
    }
}

/// Who hears of an inspection while it runs.
pub trait Watched {
    /// What is done now; the next call replaces it.
    fn progress(&mut self, text: &str);

    /// A stage ended, and covered this.
    fn scanned(&mut self, of: ScanShown);

    /// A stage that may take this long begins.
    fn waiting(&mut self, what: String, seconds_max: u64);

    /// The matcher for all values that were found so far: from now on none of them may be in a text that is shown.
    fn found(&mut self, values: Option<Needles>);
}

/// The result of an inspection of this machine.
pub struct Inventory {
    /// Everything that was found.
    pub survey: Survey,
    /// The secrets, the most used ones first.
    pub found: Vec<SurveyedSecret>,
    /// How many digits of a label distinguish the values.
    pub digits: usize,
    /// Decides what is shown of the names of values.
    pub names: Names,
    /// The secrets that are known as managed ones.
    pub managed: Vec<Managed>,
    /// How long its labels stay the same.
    pub labels: LabelsHold,
    /// Where issuers of its secrets listen.
    pub(crate) issuers: Vec<LocalIssuer>,
    /// What listens there and is not counted as a user, one sentence each, with the secret.
    pub(crate) apart: Vec<(String, String)>,
}

/// How long the same value has the same label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LabelsHold {
    /// For good: their key is in a store.
    #[default]
    Always,
    /// Until the next boot of the machine, or the end of the container.
    UntilBoot,
    /// For this inspection.
    ThisRun,
}

/// The first stage: listings, environments, files.
///
/// # Errors
/// The tools of the inspection are not available.
pub fn inspect(
    roots: &[PathBuf],
    limits: &LookLimits,
    known: KnownSecrets,
    watched: &mut dyn Watched,
) -> Result<Inventory, SurveyError> {
    let began = Instant::now();
    let options = Options { roots: roots.to_vec(), wait: Duration::from_secs(limits.wait) };
    let KnownSecrets { key, managed, values } = known;
    watched.progress("reading processes, environments and files …");
    let mut survey = survey_with(&options, &Managers::default(), key, values)?;
    watched.found(survey.values.redactor());
    watched.scanned(ScanShown {
        stage: "files".into(),
        processes: survey.listing.seen.len(),
        files: survey.files,
        services: survey.services.len(),
        values: survey.values.len(),
        took_s: began.elapsed().as_secs_f64(),
    });
    let found = secrets(&survey, &managed);
    let digits = survey.values.digits();
    let names = Names::of(&survey);
    hide(&mut survey, &names);
    let (labels, issuers, apart) = Default::default();
    Ok(Inventory { survey, found, digits, names, managed, labels, issuers, apart })
}

/// Somebody may have pasted a key in place of a provider's or profile's name. Such names are masked in descriptions
/// too.
fn hide(survey: &mut Survey, names: &Names) {
    for chain in survey.services.iter_mut().flat_map(|service| &mut service.chains) {
        for link in &mut chain.links {
            link.what = names.told(&link.what, &chain.name);
            for words in [&mut link.applies, &mut link.seems].into_iter().flatten() {
                *words = names.told(words, &chain.name);
            }
        }
    }
    for one in &mut survey.unseen {
        one.what = names.told(&one.what, "");
        one.reason = names.told(&one.reason, "");
    }
}

impl Inventory {
    /// The second stage, announced before it begins: the memory of processes. Skipped if the operator does not want it,
    /// or no value is known.
    pub fn memory(&mut self, limits: &LookLimits, watched: &mut dyn Watched) -> bool {
        if limits.memory == 0 || self.survey.values.is_empty() {
            return false;
        }
        let values = self.survey.values.len();
        let ahead = self.survey.memory_ahead(&self.survey.instances.keys().copied().collect());
        let processes = ahead.processes.len();
        if processes == 0 {
            return false;
        }
        let about = match ahead.bytes > limits.memory << 30 {
            true => format!(
                "at most {} GiB of their {} (--memory GIB for more, --memory 0 skips it)",
                limits.memory,
                size(ahead.bytes)
            ),
            false => format!("about {} (--memory 0 skips it)", size(ahead.bytes)),
        };
        let what = format!(
            "the search of the memory of {} for {}, {about}",
            quantity(processes, "process"),
            quantity(values, "value")
        );
        watched.waiting(what, limits.wait);
        let began = Instant::now();
        let stage = MemoryStage {
            bytes_max: limits.memory << 30,
            wait: Duration::from_secs(limits.wait),
            ..MemoryStage::default()
        };
        let (mut searched, mut done, mut said) = (0, 0_usize, Instant::now());
        self.survey.search_memory(&ahead, stage, &mut |_, memory| {
            searched += usize::from(!matches!(memory, Memory::Closed | Memory::NotSearched));
            done += 1;
            if said.elapsed() > SAID_EVERY {
                said = Instant::now();
                watched.progress(&format!("the memory of {done} of {} processes …", ahead.processes.len()));
            }
        });
        watched.scanned(ScanShown {
            stage: "memory".into(),
            processes: searched,
            files: 0,
            services: 0,
            values,
            took_s: began.elapsed().as_secs_f64(),
        });
        // Values of which no copy was left may have been found in memory.
        watched.found(self.survey.values.redactor());
        self.group();
        true
    }

    /// Makes the secrets of everything that was found so far.
    fn group(&mut self) {
        self.digits = self.survey.values.digits();
        self.names = Names::of(&self.survey);
        self.found = secrets(&self.survey, &self.managed);
        self.set_apart();
    }

    /// The fingerprint of each value that was found, by the key of the inspection. A value that is another one in an
    /// encoding has none.
    pub fn prints(&self) -> Vec<(ValueId, Fingerprint)> {
        let ids: BTreeSet<ValueId> = self.found.iter().flat_map(|one| &one.values).copied().collect();
        let own = ids.into_iter().filter(|id| !self.survey.values.is_derived(*id));
        own.filter_map(|id| Some((id, self.survey.values.get(id)?.fingerprint))).collect()
    }

    /// Gives the secrets their names and versions, and values the digits of their labels, where these became known after
    /// the inspection.
    pub fn name(&mut self, managed: Vec<Managed>, digits: &[(ValueId, String)]) {
        for (id, digits) in digits {
            self.survey.values.show_as(*id, digits.clone());
        }
        self.managed = managed;
        self.group();
    }

    /// Why no process is shown. This is not a *no*: memory may not have been searched, and a value without a copy
    /// cannot be recognised.
    pub fn nobody(&self) -> String {
        format!(
            "no process was seen with one of its values{}; a process that keeps a value in a form of its \
             own cannot be recognised",
            self.not_searched()
        )
    }

    /// What the inspection of processes left out, to be added after a *no*.
    pub fn not_searched(&self) -> &'static str {
        let searched = |one: &keyroll_trace::Instance| one.memory != Memory::NotSearched;
        if self.survey.instances.values().any(searched) { "" } else { " (memory was not searched)" }
    }
}

/// In MiB; GiB where there are many.
fn size(bytes: u64) -> String {
    let mib = bytes.div_ceil(1 << 20);
    if mib < 1 << 10 {
        format!("{mib} MiB")
    } else {
        format!("{}.{} GiB", mib >> 10, (mib & 1023) * 10 / 1024)
    }
}
