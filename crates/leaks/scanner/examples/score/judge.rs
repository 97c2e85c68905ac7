//! Compares a detector's findings with the labels.

use std::collections::BTreeMap;

use super::fill::{CLASSES, Class, Filled};
use super::place::DetectorFinding;

/// Counts of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub found: usize,
    pub wrong: usize,
    pub missed: usize,
}

impl Counts {
    /// Precision.
    pub fn precision(&self) -> f64 {
        ratio(self.found, self.found + self.wrong)
    }

    /// Recall.
    pub fn recall(&self) -> f64 {
        ratio(self.found, self.found + self.missed)
    }

    /// F1, the harmonic mean of both.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.found, 2 * self.found + self.wrong + self.missed)
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The results of a detector.
#[derive(Debug, Default)]
pub struct Score {
    classes: BTreeMap<Class, Counts>,
    /// Kinds that are there, and how many of each, and how many were found.
    pub kinds: BTreeMap<String, (usize, usize)>,
    /// Findings that are no secret, by kind.
    pub wrong: BTreeMap<String, usize>,
    /// Labels that were missed, and wrong places: `path:line kind`.
    pub places: Vec<String>,
}

impl Score {
    /// The score of a class. The class of a wrong finding is guessed from its rule's name.
    pub fn of(&self, class: Class) -> Counts {
        self.classes.get(&class).copied().unwrap_or_default()
    }

    /// Of all classes.
    pub fn all(&self) -> Counts {
        let mut all = Counts::default();
        CLASSES.iter().for_each(|class| all.add(self.of(*class)));
        all
    }

    fn count(&mut self, class: Class) -> &mut Counts {
        self.classes.entry(class).or_default()
    }
}

/// Judges what was found in these files. A label is found if a finding overlaps it; a finding that overlaps none is wrong. What
/// several rules say of one place counts once.
pub fn judge(files: &[Filled], found: &[DetectorFinding]) -> Score {
    let mut score = Score::default();
    for file in files {
        let mut here: Vec<&DetectorFinding> = found.iter().filter(|one| one.path == file.path).collect();
        here.sort();
        let labels = || file.marks.iter().filter(|mark| mark.class != Class::Not);
        for label in labels() {
            let seen = here.iter().any(|one| one.span.overlaps(&label.span));
            let counts = score.count(label.class);
            if seen {
                counts.found += 1;
            } else {
                counts.missed += 1;
                score.places.push(format!(
                    "missed {}:{} {}:{}",
                    file.path,
                    label.span.start.0,
                    label.class.name(),
                    label.kind
                ));
            }
            let kind = score.kinds.entry(format!("{}:{}", label.class.name(), label.kind)).or_default();
            kind.0 += 1;
            kind.1 += usize::from(seen);
        }
        let mut last = None;
        for one in here.iter().filter(|one| !labels().any(|label| one.span.overlaps(&label.span))) {
            if last.is_some_and(|end| one.span.start < end) {
                continue;
            }
            last = Some(one.span.end);
            score.count(class_of(&one.rule)).wrong += 1;
            let kinds: Vec<&str> = file
                .marks
                .iter()
                .filter(|mark| one.span.overlaps(&mark.span))
                .map(|mark| mark.kind.as_str())
                .collect();
            let kind = kinds.first().copied().unwrap_or("beside every slot");
            *score.wrong.entry(format!("{kind} ({})", one.rule)).or_default() += 1;
            score.places.push(format!("wrong {}:{} {kind} ({})", file.path, one.span.start.0, one.rule));
        }
    }
    score
}

/// Words in the ids of rules that find values by name or position.
const PASSWORDS: [&str; 16] = [
    "generic",
    "password",
    "named-secret",
    "sent-credential",
    "keyword",
    "basic auth",
    "entropy",
    "connection",
    "curl-auth",
    "uri",
    "jdbc",
    "secret keyword",
    "netrc",
    "postgres",
    "mysql",
    "mongodb",
];

/// Words in the names of rules for private keys.
const KEYS: [&str; 8] =
    ["private key", "private-key", "privatekey", "pem", "age-secret", "wireguard", "fernet", "rails-master"];

/// The class of a rule's findings.
fn class_of(rule: &str) -> Class {
    let small = rule.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| small.contains(word));
    if has(&KEYS) {
        Class::Key
    } else if has(&PASSWORDS) {
        Class::Password
    } else {
        Class::Provider
    }
}
