//! What streams are shielded from: the values that keyroll keeps, and what the rules find.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_redact::{Report, Sought};
use keyroll_secret::SecretBytes;

use crate::context::Context;
use crate::kept::{Kept, kept};
use crate::problem::Problem;

/// A store that could not be read is tried again after so long, though nothing in it changed.
const AGAIN_MS_MIN: Duration = Duration::from_secs(1);

/// Every version of every secret that is kept, also what is added while streams run, and the rules unless known values alone are
/// wanted.
pub(crate) struct Shielding<'c>(Mutex<Held<'c>>);

struct Held<'c> {
    context: &'c mut Context,
    /// Whether a store was here when it began.
    is_there: bool,
    values: Values,
    sought: Sought,
    /// How often something was added.
    number: u64,
    /// The store's files when they were read last.
    stamp: Stamp,
    failed: Option<Instant>,
    told: bool,
    /// Something was added while it could not be read: it may have been shown.
    late: bool,
}

/// One state of the store's database and its log: every commit changes one of them.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

/// What is looked for. A value stays until the end: one that is dropped from the store may be shown all the same.
#[derive(Default)]
struct Values {
    all: Vec<(String, SecretBytes)>,
    /// How many of a secret are too short or too long.
    left_out: BTreeMap<String, usize>,
}

impl<'c> Shielding<'c> {
    /// A store that is there and cannot be read ends it: a stream that seems to be shielded, and is not, is worse than none.
    pub(crate) fn open(known_alone: bool, context: &'c mut Context) -> Result<Self, Problem> {
        let stamp = stamp(context);
        let kept = kept(context, false)?;
        if kept.is_none() && known_alone {
            return Err(Problem::new("K0931", "look for known values")
                .because("no store is here, so that none is known")
                .help("name the folder with --state, or leave out --known to look for what has the form of a credential"));
        }
        let rules = match known_alone {
            true => None,
            false => Some(Rules::shipped().map_err(|error| {
                Problem::new("K0931", "read the rules that come with the program").because_of(&error)
            })?),
        };
        if kept.is_none() {
            context.ui.note(
                "no store is here: what has the form of a credential is replaced; a password without one is not",
            );
        }
        let (is_there, mut values) = (kept.is_some(), Values::default());
        if let Some(kept) = kept {
            values.add(kept, context);
        }
        let sought = Sought::new(Arc::new(values.needles()?), rules);
        let (number, failed, told, late) = (0, None, false, false);
        Ok(Self(Mutex::new(Held { context, is_there, values, sought, number, stamp, failed, told, late })))
    }

    /// Whether a store was here when it began; where none was, that was said.
    pub(crate) fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_there
    }

    /// What is looked for from now on; `seen` is the caller's own, 0 at first.
    pub(crate) fn sought(&self, seen: &mut u64) -> Sought {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = held.number;
        held.sought.clone()
    }

    /// The same before each piece of a stream; `None` where nothing was added since `seen`. A value that was kept before it was
    /// written to the stream is looked for.
    pub(crate) fn added(&self, seen: &mut u64) -> Option<Sought> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.look();
        (held.number > *seen).then(|| {
            *seen = held.number;
            held.sought.clone()
        })
    }

    /// Whether all was looked for that was kept meanwhile: a store that could not be read is tried once more.
    pub(crate) fn end(self) -> Result<(), Problem> {
        let mut held = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missed = match held.failed {
            Some(_) => held.read().err(),
            None => None,
        };
        if missed.is_none() && !held.late {
            return Ok(());
        }
        let mut problem = Problem::new("K0931", "look for what was added to the store meanwhile")
            .because("it could not be read for a time")
            .help("what was known before was replaced; look through what was written with keyroll leaks");
        if let Some(missed) = missed {
            problem = problem.because(format!("could not {}", missed.attempted));
            problem.causes.extend(missed.causes);
        }
        Err(problem)
    }
}

impl Held<'_> {
    /// Reads the store again where it is another than it was. What cannot be read leaves what was known as it was.
    fn look(&mut self) {
        let now = stamp(self.context);
        let wait = self.failed.is_some_and(|failed| failed.elapsed() < AGAIN_MS_MIN);
        if wait || now == self.stamp && self.failed.is_none() {
            return;
        }
        // From before it is read: what is written meanwhile is another state.
        self.stamp = now;
        if let Err(problem) = self.read() {
            self.failed = Some(Instant::now());
            // With --json a note would stand in the text: it is told in the end.
            if !std::mem::replace(&mut self.told, true) && !self.context.ui.look.json {
                let why = format!("could not {}", problem.attempted);
                self.context.ui.note(format!(
                    "the store cannot be read any more ({why}): values that are added to it now are shown"
                ));
            }
        }
    }

    fn read(&mut self) -> Result<(), Problem> {
        let missing = || Problem::new("K0931", "find the store again");
        let kept = kept(self.context, false)?;
        if !self.values.all.is_empty() || kept.is_some() {
            let added = self.values.add(kept.ok_or_else(missing)?, self.context);
            self.late |= added && self.failed.is_some();
            // What failed may have added values that are not looked for yet.
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
    /// Whether there is one among them that was not looked for. Those that cannot be looked for are named, each secret once.
    fn add(&mut self, kept: Kept, context: &mut Context) -> bool {
        let before = self.all.len();
        let mut left_out = BTreeMap::new();
        for secret in kept.secrets {
            for value in secret.versions.into_iter().flat_map(|version| version.values) {
                if !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()) {
                    *left_out.entry(secret.name.clone()).or_default() += 1;
                } else if !self.all.iter().any(|(name, known)| *name == secret.name && *known == value) {
                    self.all.push((secret.name.clone(), value));
                }
            }
        }
        for (name, count) in left_out {
            if self.left_out.insert(name.clone(), count).is_none() && !context.ui.look.json {
                let values = if count == 1 { "value" } else { "values" };
                context.ui.note(format!(
                    "{count} {values} of {name} cannot be looked for: fewer than {VALUE_BYTES_MIN} bytes occur everywhere by \
                     chance, and at most {VALUE_BYTES_MAX} are compared"
                ));
            }
        }
        self.all.len() > before
    }

    /// What an id stands for stays the same when values are added.
    fn needles(&self) -> Result<Needles, Problem> {
        let mut builder = Needles::builder();
        for (id, (name, value)) in (0..).map(NeedleId).zip(&self.all) {
            builder = builder.add(id, value).name(id, name.clone());
        }
        builder.build().map_err(|error| Problem::new("K0931", "look for known values").because_of(&error))
    }
}

fn stamp(context: &Context) -> Stamp {
    let Ok(places) = context.places() else { return [None, None] };
    let mut log = places.sealed().into_os_string();
    log.push("-wal");
    let of = |meta: Metadata| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
    [places.sealed().metadata().ok().map(of), std::path::Path::new(&log).metadata().ok().map(of)]
}

/// What was replaced, by name and count.
pub(crate) fn replaced(report: &Report) -> String {
    let all = report.values.iter().chain(&report.rules);
    let named: Vec<String> = all.map(|(name, count)| format!("{name} ×{count}")).collect();
    match named.is_empty() {
        true => "nothing was replaced".to_owned(),
        false => format!("replaced: {}", named.join(", ")),
    }
}
