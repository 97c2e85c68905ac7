use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::Label;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_trace::{
    Managed, Managers, Memory, MemoryStage, Names, Options, Survey, SurveyedSecret, Version, secrets,
    survey_with,
};
use rustix::rand::GetRandomFlags;
use zeroize::Zeroizing;

use crate::installation::Installation;
use crate::operator::{Event, Operator, ScanShown};
use crate::problem::Problem;
use crate::quantity::quantity;
use crate::records::versions::label;
use crate::redact;
use crate::stored_values::{StoredValues, stored_values};

/// How often the progress of a search is shown.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// The limits of every inspection of this machine.
#[derive(Debug, Clone, Copy)]
pub struct LookLimits {
    /// How long each stage may take, seconds.
    pub wait: u64,
    /// How much memory of processes is searched at most, GiB; 0 = none.
    pub memory: u64,
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
    /// The secrets that the store of this machine keeps.
    pub managed: Vec<Managed>,
}

/// The named folders as absolute paths. Refuses one that does not exist, before anything is inspected. Errors do not
/// repeat what was typed: it may be a value.
pub(crate) fn folders(named: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    let whole = |(at, root): (usize, &PathBuf)| {
        root.canonicalize().map_err(|error| {
            let which = if named.len() == 1 { "it".to_owned() } else { format!("number {}", at + 1) };
            Problem::new(Code::SearchPathUnreadable, "search the named folders")
                .because(format!("{which} cannot be reached: {error}"))
                .help("name existing folders, or none to search the usual settings folders")
        })
    };
    named.iter().enumerate().map(whole).collect()
}

/// The name under which a value is shown that is looked for besides those of the store.
pub(crate) const SOUGHT: &str = "the leaked key";

/// A value that is looked for besides those of the store.
pub(crate) struct Sought<'a> {
    /// The name of the secret that it is shown under.
    pub(crate) name: &'a str,
    pub(crate) number: u32,
    pub(crate) state: &'static str,
    pub(crate) value: &'a SecretBytes,
}

/// The first stage: listings, environments, files.
pub fn look(
    roots: &[PathBuf],
    limits: &LookLimits,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Inventory, Problem> {
    look_with(&[], roots, limits, installation, operator)
}

/// The same, and a value that keyroll does not manage is shown as a secret named [`SOUGHT`].
pub(crate) fn look_for(
    sought: Option<&SecretBytes>,
    roots: &[PathBuf],
    limits: &LookLimits,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Inventory, Problem> {
    let leaked = |value| Sought { name: SOUGHT, number: 1, state: "leaked", value };
    let sought: Vec<Sought<'_>> = sought.map(leaked).into_iter().collect();
    look_with(&sought, roots, limits, installation, operator)
}

/// The same, and these values are shown as versions of secrets.
pub(crate) fn look_with(
    sought: &[Sought<'_>],
    roots: &[PathBuf],
    limits: &LookLimits,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Inventory, Problem> {
    folders(roots)?;
    let began = Instant::now();
    let options = Options { roots: roots.to_vec(), wait: Duration::from_secs(limits.wait) };
    let known = match known(installation) {
        Ok(known) => known,
        Err(problem) => {
            let why = problem.causes.first().unwrap_or(&problem.attempted).clone();
            let what = "the values and versions of configured secrets".to_owned();
            operator.event(Event::NotVisible { what, why });
            None
        }
    };
    let Known { key, mut managed, mut values } = match known {
        Some(known) => known,
        None => Known { key: label_key()?, managed: Vec::new(), values: Vec::new() },
    };
    for Sought { name, number, state, value } in sought {
        let version = Version { number: *number, state, fingerprints: vec![key.fingerprint(value)] };
        match managed.iter_mut().find(|one| one.name == *name) {
            Some(known) => known.versions.push(version),
            None => managed.push(Managed { name: (*name).to_owned(), versions: vec![version] }),
        }
        values.push(value.duplicate());
    }
    operator.progress("reading processes, environments and files …");
    let looked = survey_with(&options, &Managers::default(), key, values);
    let mut survey = looked.map_err(|error| {
        Problem::new(Code::ProcessesHidden, "search this machine")
            .because_of(&error)
            .help("mount /proc, or run keyroll where it is mounted; keyroll doctor checks the rest")
    })?;
    redact::remember_found(survey.values.redactor());
    operator.event(Event::Scan(ScanShown {
        stage: "files",
        processes: survey.listing.seen.len(),
        files: survey.files,
        services: survey.services.len(),
        values: survey.values.len(),
        took_s: began.elapsed().as_secs_f64(),
    }));
    let found = secrets(&survey, &managed);
    let digits = survey.values.digits();
    let names = Names::of(&survey);
    hide(&mut survey, &names);
    Ok(Inventory { survey, found, digits, names, managed })
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
    pub fn memory(&mut self, limits: &LookLimits, operator: &mut dyn Operator) -> bool {
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
        operator.event(Event::Waiting {
            what: format!(
                "the search of the memory of {} for {}, {about}",
                quantity(processes, "process"),
                quantity(values, "value")
            ),
            seconds_max: Some(limits.wait),
            since: None,
            until: None,
        });
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
                operator.progress(&format!("the memory of {done} of {} processes …", ahead.processes.len()));
            }
        });
        operator.event(Event::Scan(ScanShown {
            stage: "memory",
            processes: searched,
            files: 0,
            services: 0,
            values,
            took_s: began.elapsed().as_secs_f64(),
        }));
        // Values of which no copy was left may have been found in memory.
        redact::remember_found(self.survey.values.redactor());
        self.digits = self.survey.values.digits();
        self.names = Names::of(&self.survey);
        self.found = secrets(&self.survey, &self.managed);
        true
    }
}

impl Inventory {
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

/// The contents of the store that a search uses.
struct Known {
    key: FingerprintKey,
    managed: Vec<Managed>,
    values: Vec<SecretBytes>,
}

/// Reads a store that can be opened without a prompt. `None` if there is no store, or its key is elsewhere.
fn known(installation: &Installation) -> Result<Option<Known>, Problem> {
    if installation.places().is_ok_and(|places| !places.sealing_key().exists()) {
        return Ok(None);
    }
    let Some(StoredValues { key, secrets, .. }) = stored_values(installation, false)? else {
        return Ok(None);
    };
    let (mut managed, mut values) = (Vec::new(), Vec::new());
    for secret in secrets {
        let mut versions = Vec::new();
        for version in secret.versions {
            // A retired version is kept to recognise leaks, not to tell what a process uses.
            if version.label != Label::Retired {
                values.extend(version.values);
            }
            let (number, state, fingerprints) = (version.number, label(version.label), version.fingerprints);
            versions.push(Version { number, state, fingerprints });
        }
        managed.push(Managed { name: secret.name, versions });
    }
    Ok(Some(Known { key, managed, values }))
}

/// The key of the labels where no store has one: the same for every command until the next boot, so that a label can be
/// quoted. If no process of this user can be read, it is random and for this run only.
fn label_key() -> Result<FingerprintKey, Problem> {
    let Ok(secret) = keyroll_observe::boot_key() else { return run_key() };
    // Derived once more, so that the same secret can serve other purposes.
    let labels = FingerprintKey::new(&secret).fingerprint(&SecretBytes::from("labels".to_owned()));
    Ok(FingerprintKey::new(labels.as_bytes()))
}

/// A key for fingerprints that are compared within one run only; it is not stored.
///
/// From the kernel: the library's generator may first measure the processor's jitter (unless it was built without), half
/// of the time that a short run takes.
pub(crate) fn run_key() -> Result<FingerprintKey, Problem> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    let read = rustix::rand::getrandom(bytes.as_mut_slice(), GetRandomFlags::empty());
    if read.ok() != Some(bytes.len()) {
        return Err(Problem::new(Code::ProcessesHidden, "make a key for the fingerprints of this run")
            .because("the machine gives no random bytes")
            .help("run it again"));
    }
    Ok(FingerprintKey::new(&bytes))
}
