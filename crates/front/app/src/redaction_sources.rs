//! What streams are redacted by: the stored values, and the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_redact::{Patterns, Report};
use keyroll_secret::SecretBytes;

use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::redact::with_value;
use crate::stored_values::{StoredValues, stored_values};
use crate::weak_values::Redaction;

/// An unreadable store is tried again after this time, even if it did not change.
const AGAIN_MS_MIN: Duration = Duration::from_secs(1);

/// Every stored version of every secret, also those added while streams run, and the rules unless only known values
/// are redacted.
pub struct RedactionSources<'c>(Mutex<Held<'c>>);

struct Held<'c> {
    installation: &'c Installation,
    operator: &'c mut dyn Operator,
    /// True once there was a store.
    is_there: bool,
    values: Values,
    sought: Patterns,
    /// How often values were added.
    number: u64,
    /// The state of the store's files at the last read.
    stamp: Stamp,
    failed: Option<Instant>,
    told: bool,
    /// A value was added while the store was unreadable: it may have been shown.
    late: bool,
}

/// One state of the store's database and its log: every commit changes one of them.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

/// The values to redact. A value stays until the end, even if it is dropped from the store.
#[derive(Default)]
struct Values {
    all: Vec<(String, SecretBytes)>,
    /// The number of values of each secret that are too short or too long.
    left_out: BTreeMap<String, usize>,
    /// The secrets with a value that is redacted only as a whole word.
    words: BTreeSet<String>,
}

impl<'c> RedactionSources<'c> {
    /// An existing store that cannot be read is an error: a stream that only seems to be redacted is worse than none.
    /// `more`: further values, each with the name of its secret.
    pub fn open(
        known_alone: bool,
        more: Vec<(String, SecretBytes)>,
        installation: &'c Installation,
        operator: &'c mut dyn Operator,
    ) -> Result<Self, Problem> {
        let stamp = stamp(installation);
        let kept = stored_values(installation, false)?;
        if kept.is_none() && known_alone && more.is_empty() {
            return Err(Problem::new(Code::SearchTargetUnknown, "search for keyroll's own secrets")
                .because("there is no store here, so no secret is known")
                .help("name the folder with --state, or omit --known to search for everything that looks like a \
                 credential"));
        }
        let rules = match known_alone {
            true => None,
            false => Some(Rules::shipped().map_err(|error| {
                Problem::new(Code::SearchTargetUnknown, "read keyroll's own rules").because_of(&error)
            })?),
        };
        if kept.is_none() && more.is_empty() {
            operator.note(
                "there is no store here: credentials are redacted by their form, but passwords without a \
                 form are not",
            );
        }
        let (is_there, mut values) = (kept.is_some(), Values::default());
        if let Some(kept) = kept {
            values.add(kept, operator);
        }
        values.add_all(more, operator);
        let sought = Patterns::new(Arc::new(values.needles()?), rules);
        let (number, failed, told, late) = (0, None, false, false);
        Ok(Self(Mutex::new(Held {
            installation,
            operator,
            is_there,
            values,
            sought,
            number,
            stamp,
            failed,
            told,
            late,
        })))
    }

    /// True if there was a store; otherwise the operator was told at the start.
    pub fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_there
    }

    /// The values to redact from now on; `seen` belongs to the caller and starts at 0.
    pub fn sought(&self, seen: &mut u64) -> Patterns {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = held.number;
        held.sought.clone()
    }

    /// The values to redact in the next piece of a stream; `None` if none was added since `seen`. A value that was
    /// stored before it was written to the stream is redacted.
    pub fn added(&self, seen: &mut u64) -> Option<Patterns> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.look();
        (held.number > *seen).then(|| {
            *seen = held.number;
            held.sought.clone()
        })
    }

    /// Redacts these values too, each with the name of its secret.
    ///
    /// # Errors
    /// They cannot be searched for.
    pub fn add(&self, more: Vec<(String, SecretBytes)>) -> Result<(), Problem> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        if held.values.add_all(more, held.operator) {
            held.sought = held.sought.with(Arc::new(held.values.needles()?));
            held.number += 1;
        }
        Ok(())
    }

    /// True if every value stored meanwhile was redacted; an unreadable store is tried once more.
    pub fn end(self) -> Result<(), Problem> {
        let mut held = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missed = match held.failed {
            Some(_) => held.read().err(),
            None => None,
        };
        if missed.is_none() && !held.late {
            return Ok(());
        }
        let mut problem = Problem::new(Code::SearchTargetUnknown, "reload the secrets from the store")
            .because("the store was unreadable for a while")
            .help("secrets that were known before were redacted; scan the output with keyroll leaks");
        if let Some(missed) = missed {
            problem = problem.because(format!("could not {}", missed.attempted));
            problem.causes.extend(missed.causes);
        }
        Err(problem)
    }
}

impl Held<'_> {
    /// Reads the store again if it changed. If it cannot be read, the known values stay.
    fn look(&mut self) {
        let now = stamp(self.installation);
        let wait = self.failed.is_some_and(|failed| failed.elapsed() < AGAIN_MS_MIN);
        if wait || now == self.stamp && self.failed.is_none() {
            return;
        }
        // Taken before the read, so that a write in between counts as another state.
        self.stamp = now;
        if let Err(problem) = self.read() {
            self.failed = Some(Instant::now());
            // With --json a note would be inside the text: it is shown at the end.
            if !std::mem::replace(&mut self.told, true) {
                let why = format!("could not {}", problem.attempted);
                self.operator.aside(&format!(
                    "the store can no longer be read ({why}): secrets that are added from now on are not redacted"
                ));
            }
        }
    }

    fn read(&mut self) -> Result<(), Problem> {
        let missing = || Problem::new(Code::SearchTargetUnknown, "reload the store");
        let kept = stored_values(self.installation, false)?;
        if self.is_there || kept.is_some() {
            self.is_there = true;
            let added = self.values.add(kept.ok_or_else(missing)?, self.operator);
            self.late |= added && self.failed.is_some();
            // A failed read may have missed new values.
            if added || self.failed.is_some() {
                self.sought = self.sought.with(Arc::new(self.values.needles()?));
                self.number += 1;
            }
        }
        self.failed = None;
        Ok(())
    }
}

impl Values {
    /// True if there is a value that was not redacted yet. Secrets with values that cannot be redacted, or only as
    /// whole words, are named, each once.
    fn add(&mut self, kept: StoredValues, operator: &mut dyn Operator) -> bool {
        let named = kept.secrets.into_iter().flat_map(|secret| {
            let values = secret.versions.into_iter().flat_map(|version| version.values);
            values.map(move |value| (secret.name.clone(), value))
        });
        self.add_all(named, operator)
    }

    fn add_all(
        &mut self,
        named: impl IntoIterator<Item = (String, SecretBytes)>,
        operator: &mut dyn Operator,
    ) -> bool {
        let before = self.all.len();
        let (mut left_out, mut words) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in named {
            match Redaction::of(&value) {
                Redaction::Nowhere => {
                    *left_out.entry(name).or_default() += 1;
                    continue;
                }
                Redaction::WholeWord => *words.entry(name.clone()).or_default() += 1,
                Redaction::Everywhere => {}
            }
            if !self.all.iter().any(|(known, its)| *known == name && *its == value) {
                self.all.push((name, value));
            }
        }
        let values = |count: usize| if count == 1 { "value" } else { "values" };
        for (name, count) in left_out {
            if self.left_out.insert(name.clone(), count).is_none() {
                let values = values(count);
                operator.aside(&format!(
                    "{count} {values} of {name} cannot be redacted: a value must have {VALUE_BYTES_MIN} to \
                     {VALUE_BYTES_MAX} bytes, because shorter ones occur by chance"
                ));
            }
        }
        for (name, count) in words {
            if self.words.insert(name.clone()) {
                let values = values(count);
                operator.aside(&format!(
                    "{count} {values} of {name} will be redacted only as a whole word: longer words contain it"
                ));
            }
        }
        self.all.len() > before
    }

    /// The meaning of an id stays the same when values are added.
    fn needles(&self) -> Result<Needles, Problem> {
        let mut builder = Needles::builder();
        for (id, (name, value)) in (0..).map(NeedleId).zip(&self.all) {
            builder = with_value(builder, id, value).name(id, name.clone());
        }
        builder.build().map_err(|error| {
            Problem::new(Code::SearchTargetUnknown, "search for keyroll's own secrets").because_of(&error)
        })
    }
}

fn stamp(installation: &Installation) -> Stamp {
    let Ok(places) = installation.places() else { return [None, None] };
    let mut log = places.sealed().into_os_string();
    log.push("-wal");
    let of = |meta: Metadata| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
    [places.sealed().metadata().ok().map(of), std::path::Path::new(&log).metadata().ok().map(of)]
}

/// The redacted secrets, by name and count.
pub fn replaced(report: &Report) -> String {
    let all = report.values.iter().chain(&report.rules);
    let named: Vec<String> = all.map(|(name, count)| format!("{name} ×{count}")).collect();
    match named.is_empty() {
        true => "redacted nothing".to_owned(),
        false => format!("redacted: {}", named.join(", ")),
    }
}
