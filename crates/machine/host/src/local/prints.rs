//! A machine without a consumer of the secret: it is searched by keyed fingerprints, and gets no value.

use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_needle::{FingerprintLabel, FingerprintSet, FingerprintState};
use keyroll_port::{Class, Failure, Looked, PendingChanges, Sessions, Survey, Swept, Values};
use keyroll_rotation::Which;
use keyroll_secret::{Fields, SecretBytes};
use tokio::task::block_in_place;

use super::Local;
use super::find::{NEW, OLD, Sought, differing, needle};
use super::identity::version_name;

/// What is attempted.
const ATTEMPTED: &str = "search for a value by its fingerprint";

/// Both versions as a machine without a consumer searches for them.
pub struct Prints {
    /// The fingerprints, under a key that is used for them alone.
    pub set: FingerprintSet,
    /// The values that have none, so that nobody can search for them: `what: why`.
    pub missed: Vec<String>,
}

/// Fingerprints of the values in which both versions differ. A value that could be guessed from its fingerprint gets none,
/// and is named.
///
/// # Errors
/// The system has no random numbers.
pub fn prints_of(values: Values<'_>) -> Result<Prints, Failure> {
    let mut builder = FingerprintSet::builder().map_err(|error| {
        Failure::new(Class::Retryable, Code::InternalError, ATTEMPTED).because(error.to_string())
    })?;
    let mut missed = Vec::new();
    for (old, new) in differing(values) {
        let versions: [(Which, Option<&SecretBytes>); 2] = [(Which::Old, Some(old)), (Which::New, new)];
        for (which, value) in versions.into_iter().filter_map(|(which, value)| Some((which, value?))) {
            if let Err(why) = builder.add(label(which), value) {
                missed.push(format!("who has the {} value: {why}", version_name(which)));
            }
        }
    }
    Ok(Prints { set: builder.build(), missed })
}

/// The label of a version. Its number is the id of the version's values in a search.
fn label(which: Which) -> FingerprintLabel {
    let state = match which {
        Which::Old => FingerprintState::Current,
        Which::New => FingerprintState::Pending,
    };
    FingerprintLabel { name: version_name(which).to_owned(), version: u64::from(needle(which)), state }
}

/// This machine, if it has no consumer of the secret. Nothing is changed.
impl Local {
    /// What `Host::enumerate` shows, by fingerprints.
    ///
    /// # Errors
    /// It has a consumer, or cannot list its processes.
    pub fn enumerate_by_prints(
        &self,
        prints: &FingerprintSet,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        self.refuse_consumers(prints)?;
        let none = Fields::new();
        block_in_place(|| self.look_for(sought(prints, &none), sessions, stays))
    }

    /// What `Surveyor::survey` shows, by fingerprints.
    ///
    /// # Errors
    /// As for [`Self::enumerate_by_prints`].
    pub fn survey_by_prints(&self, prints: &FingerprintSet, sessions: &Sessions) -> Result<Survey, Failure> {
        let looked = self.enumerate_by_prints(prints, sessions, Which::New)?;
        let holders = block_in_place(|| self.undeclared(&looked));
        Ok(Survey {
            looked,
            holders,
            live: PendingChanges::default(),
            other_networks: BTreeSet::new(),
            linked: Vec::new(),
            checks: Vec::new(),
            programs: Vec::new(),
        })
    }

    /// What `Host::sweep` shows, by fingerprints.
    ///
    /// # Errors
    /// As for [`Self::enumerate_by_prints`].
    pub fn sweep_by_prints(&self, prints: &FingerprintSet) -> Result<Swept, Failure> {
        self.refuse_consumers(prints)?;
        let none = Fields::new();
        block_in_place(|| self.sweep_for(sought(prints, &none)))
    }

    /// Refuses a machine with consumers or files: those are compared with values. Refuses fingerprints of anything else than
    /// both versions.
    fn refuse_consumers(&self, prints: &FingerprintSet) -> Result<(), Failure> {
        let known = [OLD, NEW].map(u64::from);
        let why = if !self.setup.consumers.is_empty() || !self.setup.files.is_empty() {
            "this machine has consumers of the secret"
        } else if prints.labels().iter().any(|label| !known.contains(&label.version)) {
            "a fingerprint is of neither version"
        } else {
            return Ok(());
        };
        Err(Failure::new(Class::Permanent, Code::InternalError, ATTEMPTED).because(why.to_owned()))
    }
}

/// The search by fingerprints. There is nothing that is compared with values.
fn sought<'a>(prints: &'a FingerprintSet, none: &'a Fields) -> Sought<'a> {
    Sought { by: prints, values: Values { old: none, new: None, old_ended: false } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use keyroll_testkit::alphanumeric;

    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in all {
            fields.insert(*name, SecretBytes::from((*value).to_owned()), true);
        }
        fields
    }

    fn found(prints: &Prints, text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        prints.set.find(text.as_bytes(), &mut |hit| found.push(hit.label.version));
        found
    }

    #[test]
    fn only_what_distinguishes_the_versions_is_searched_for_under_the_number_of_its_version() {
        let [old, new, same] = [(); 3].map(|()| alphanumeric(60));
        let (before, after) = (
            fields(&[("key", old.as_str()), ("fixed", same.as_str())]),
            fields(&[("key", new.as_str()), ("fixed", same.as_str())]),
        );
        let made = prints_of(Values { old: &before, new: Some(&after), old_ended: false }).unwrap();
        assert!(made.missed.is_empty());
        assert_eq!(found(&made, &format!("{same} {new} {old}")), [1, 0]);
        let text = String::from_utf8(made.set.to_bytes().to_vec()).unwrap();
        assert!([old, new, same].iter().all(|value| !text.contains(value.as_str())));
    }

    #[test]
    fn a_value_that_could_be_guessed_is_named_and_the_others_are_searched_for() {
        let long = alphanumeric(60);
        let before = fields(&[("password", "winter-2026"), ("key", long.as_str())]);
        let made = prints_of(Values { old: &before, new: None, old_ended: false }).unwrap();
        assert_eq!(found(&made, &format!("winter-2026 {long}")), [0]);
        let [missed] = <[String; 1]>::try_from(made.missed).unwrap();
        assert!(missed.starts_with("who has the old value: it has 11 bytes"), "{missed}");
        assert!(!missed.contains("winter"));
    }

    #[test]
    fn two_sets_of_the_same_values_have_nothing_in_common() {
        let value = fields(&[("key", alphanumeric(60).as_str())]);
        let of = || {
            prints_of(Values { old: &value, new: None, old_ended: false }).unwrap().set.to_bytes().to_vec()
        };
        let (one, other) = (String::from_utf8(of()).unwrap(), String::from_utf8(of()).unwrap());
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert!(lines(&one).iter().all(|line| !lines(&other).contains(line)));
    }
}
