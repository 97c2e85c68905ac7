use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_inventory::{
    Inventory, KnownSecrets, LabelsHold, LocalIssuer, LookLimits, ScanShown, Watched, inspect,
};
use keyroll_needle::Needles;
use keyroll_observe::{BootKey, boot_key};
use keyroll_port::Label;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_setup::on_this_machine;
use keyroll_trace::{Managed, SurveyError, Version};
use rustix::rand::GetRandomFlags;
use zeroize::Zeroizing;

use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::versions::label;
use crate::redact;
use crate::stored_values::{StoredSecret, StoredValues, stored_values};
use crate::wiring::issuer::described;

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
    let mut seen = look_with(&[], roots, limits, installation, operator)?;
    seen.tell_issuers_apart(local_issuers(installation));
    Ok(seen)
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
    let (mut known, labels) = known_secrets(installation, operator)?;
    for Sought { name, number, state, value } in sought {
        let version = Version { number: *number, state, fingerprints: vec![known.key.fingerprint(value)] };
        match known.managed.iter_mut().find(|one| one.name == *name) {
            Some(managed) => managed.versions.push(version),
            None => known.managed.push(Managed { name: (*name).to_owned(), versions: vec![version] }),
        }
        known.values.push(value.duplicate());
    }
    let seen = inspect(roots, limits, known, &mut Watching(operator));
    let mut seen = seen.map_err(|error| cannot_search(&error))?;
    seen.labels = labels;
    Ok(seen)
}

/// The issuers of configured secrets that listen on this machine, by their specs. At the address of a database's server may
/// be a pooler, which presents the value itself. What cannot be read here is refused by the commands that use it.
fn local_issuers(installation: &Installation) -> Vec<LocalIssuer> {
    let Ok(config) = installation.config() else { return Vec::new() };
    let local = |secret: &Secret| {
        let reach = described(secret).ok()?.spec?.reach();
        let at = reach.iter().filter_map(|place| on_this_machine(place.trim_end_matches(" (admin)")));
        let at: Vec<_> = at.collect();
        (!at.is_empty()).then(|| LocalIssuer { secret: secret.name.to_string(), at })
    };
    config.secrets.values().filter_map(local).collect()
}

/// This machine cannot be inspected.
pub(crate) fn cannot_search(error: &SurveyError) -> Problem {
    Problem::new(Code::ProcessesHidden, "search this machine")
        .because_of(error)
        .help("mount /proc, or run keyroll where it is mounted; keyroll doctor checks the rest")
}

/// The second stage: the memory of processes. False = it was skipped.
pub fn search_memory(seen: &mut Inventory, limits: &LookLimits, operator: &mut dyn Operator) -> bool {
    seen.memory(limits, &mut Watching(operator))
}

/// An inspection as the operator sees it. No value that it finds is printed.
struct Watching<'o>(&'o mut dyn Operator);

impl Watched for Watching<'_> {
    fn progress(&mut self, text: &str) {
        self.0.progress(text);
    }

    fn scanned(&mut self, of: ScanShown) {
        self.0.event(Event::Scan(of));
    }

    fn waiting(&mut self, what: String, seconds_max: u64) {
        self.0.event(Event::waiting(what, Some(seconds_max)));
    }

    fn found(&mut self, values: Option<Needles>) {
        redact::remember_found(values);
    }
}

/// What is known of secrets before this machine is inspected, and how long its labels stay the same.
fn known_secrets(
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(KnownSecrets, LabelsHold), Problem> {
    if let Some(StoredValues { key, secrets, .. }) = stored(installation, operator) {
        return Ok((known(key, secrets), LabelsHold::Always));
    }
    let (key, labels) = label_key()?;
    Ok((KnownSecrets { key, managed: Vec::new(), values: Vec::new() }, labels))
}

/// The content of a store that can be opened without a prompt. `None` if there is no store, or its key is elsewhere. A store
/// that cannot be read is reported, and its values are not recognised.
pub(crate) fn stored(installation: &Installation, operator: &mut dyn Operator) -> Option<StoredValues> {
    if installation.places().is_ok_and(|places| !places.sealing_key().exists()) {
        return None;
    }
    stored_values(installation, false).unwrap_or_else(|problem| {
        let why = problem.causes.first().unwrap_or(&problem.attempted).clone();
        let what = "the values and versions of configured secrets".to_owned();
        operator.event(Event::NotVisible { what, why });
        None
    })
}

/// The secrets of a store, as an inspection of this machine looks for them.
pub(crate) fn known(key: FingerprintKey, secrets: Vec<StoredSecret>) -> KnownSecrets {
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
    KnownSecrets { key, managed, values }
}

/// The key of the labels where no store has one: the same for every command until the next boot, so that a label can be
/// quoted. If no process of this user can be read, it is random and for this run only.
pub(crate) fn label_key() -> Result<(FingerprintKey, LabelsHold), Problem> {
    let Ok(BootKey { secret, of_this_run }) = boot_key() else {
        return Ok((run_key()?, LabelsHold::ThisRun));
    };
    // Derived once more, so that the same secret can serve other purposes.
    let labels = FingerprintKey::new(&secret).fingerprint(&SecretBytes::from("labels".to_owned()));
    let hold = if of_this_run { LabelsHold::ThisRun } else { LabelsHold::UntilBoot };
    Ok((FingerprintKey::new(labels.as_bytes()), hold))
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
