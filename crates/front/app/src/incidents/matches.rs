//! What a leaked value is: a version of a stored secret, a credential of an issuer that keyroll knows, or neither.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_issuer::Spec;
use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::Label;
use keyroll_scanner::{Detector, Finding, KnownValues, Scan};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use super::alert::Alert;
use super::file::Whose;
use crate::installation::Installation;
use crate::inventory::run_key;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::index::Index;
use crate::records::recorded::rotations_unread;
use crate::session::manual_mint::{pending, takes_key};
use crate::stored_values::{StoredValues, stored_values};
use crate::wall_clock;
use crate::wiring::issuer::described;
use crate::wiring::open::{journal_for_a_look, runtime, store};

/// A stored value that is shorter may stand in a text by chance, bytes.
const IN_TEXT_BYTES_MIN: usize = 16;

/// The most values of one alert.
const VALUES_MAX: usize = 20;

/// A version of a stored secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub secret: String,
    pub number: u32,
    pub label: Label,
    /// Its value is short, and was found in a text: it may stand there by chance.
    pub by_chance: bool,
}

/// What an alert is about.
pub(super) enum Meant {
    Stored(Stored),
    /// A value that keyroll does not manage; the issuer by its name, if it is known.
    Foreign {
        issuer: Option<Whose>,
        value: SecretBytes,
    },
    /// The key that an open rotation waits to move to: a person brought it, and it is no version yet.
    Staged {
        rotation: String,
    },
    /// No value was sent.
    Unseen,
}

/// What values are compared with.
pub(super) struct Matcher {
    prints: BTreeMap<Fingerprint, Stored>,
    key: FingerprintKey,
    /// The key of the identities of values.
    pub identity: FingerprintKey,
    needles: Option<(Needles, Vec<(Stored, SecretBytes)>)>,
    /// The values that are sealed for open rotations, each with its rotation.
    staged: BTreeMap<Fingerprint, String>,
    /// The specs of configured secrets that are not shipped, by the name of the secret.
    specs: Vec<(String, Spec)>,
    /// Finds values by the rules of shipped issuers.
    detector: Detector,
    /// The issuer of each of these rules.
    issuers: BTreeMap<String, &'static str>,
}

impl Matcher {
    /// Reads the store and the configured issuers.
    pub(super) fn new(config: &Config, installation: &Installation) -> Result<Self, Problem> {
        let StoredValues { key, identity, secrets } =
            stored_values(installation, true)?.ok_or_else(|| {
                Problem::new(Code::NoCurrentValue, "compare the alert with the stored secrets")
                    .because("no secret has a stored value yet")
                    .help("keyroll secret add NAME")
            })?;
        let (mut prints, mut known) = (BTreeMap::new(), Vec::new());
        let mut builder = Needles::builder();
        for secret in secrets {
            for version in secret.versions {
                let (number, label) = (version.number, version.label);
                let one = Stored { secret: secret.name.clone(), number, label, by_chance: false };
                prints.extend(version.fingerprints.into_iter().map(|print| (print, one.clone())));
                for value in version.values.iter().filter(|value| value.len() >= IN_TEXT_BYTES_MIN) {
                    builder = builder.add(NeedleId(u32::try_from(known.len()).unwrap_or(u32::MAX)), value);
                    known.push((one.clone(), value.duplicate()));
                }
            }
        }
        let needles = builder.build().map_err(|error| {
            Problem::new(Code::SearchTargetUnknown, "search alerts for stored values").because_of(&error)
        })?;
        let needles = (!known.is_empty()).then_some((needles, known));
        let own = config.secrets.values().filter_map(|secret| {
            let described = described(secret).ok()?;
            // A shipped spec at a host of one's own is asked there, too.
            if described.text.is_none() && secret.issuer_host.is_none() {
                return None;
            }
            Some((secret.name.to_string(), described.spec?))
        });
        let rules = Rules::shipped().map_err(|error| {
            Problem::new(Code::SearchTargetUnknown, "read keyroll's own rules").because_of(&error)
        })?;
        let issuers: BTreeMap<String, &str> =
            rules.iter().filter_map(|rule| Some((rule.id.clone(), Spec::of_rule(&rule.id)?))).collect();
        let detector = Detector::new(KnownValues::default(), run_key()?)
            .with_rules(rules)
            .capturing(issuers.keys().cloned().collect());
        let (staged, specs) = (staged(&key, &installation.places()?)?, own.collect());
        Ok(Self { prints, key, identity, needles, staged, specs, detector, issuers })
    }

    /// What an alert is about: each stored version in it, and each other value that it has or that has the form of a key.
    pub(super) fn of(&self, alert: &Alert) -> Vec<Meant> {
        let known = alert.known.as_ref().and_then(|(secret, number)| self.version(secret, *number));
        let exact = alert.value.as_ref().and_then(|value| self.exactly(value));
        let mut stored: Vec<Stored> = known.into_iter().chain(exact).collect();
        for one in alert.text.iter().flat_map(|text| self.inside(text)) {
            if !stored.iter().any(|other| (&other.secret, other.number) == (&one.secret, one.number)) {
                stored.push(one);
            }
        }
        let mut others: Vec<(Option<Whose>, SecretBytes)> = Vec::new();
        if let Some(value) = &alert.value {
            let shipped = self.by_rule(value).into_iter().next().map(|(whose, _)| whose);
            let issuer = shipped.or_else(|| self.by_form(&alert.kind, value));
            // Beside a stored value, one that no issuer is known for is the other part of a pair: the id of the key.
            if issuer.is_some() || stored.is_empty() {
                others.push((issuer, value.duplicate()));
            }
        }
        for (whose, value) in alert.text.iter().flat_map(|text| self.in_text(text)) {
            if others.len() < VALUES_MAX && !others.iter().any(|(_, other)| *other == value) {
                others.push((Some(whose), value));
            }
        }
        let mut all: Vec<Meant> = stored.into_iter().map(Meant::Stored).collect();
        for (issuer, value) in others {
            if self.exactly(&value).is_some() {
                continue;
            }
            all.push(match self.staged.get(&self.key.fingerprint(&value)) {
                Some(rotation) => Meant::Staged { rotation: rotation.clone() },
                None => Meant::Foreign { issuer, value },
            });
        }
        if all.is_empty() {
            all.push(Meant::Unseen);
        }
        all
    }

    /// The values of stored versions that are named.
    pub(super) fn values_of<'s>(&'s self, all: &'s [Meant]) -> impl Iterator<Item = &'s SecretBytes> {
        let named = |one: &Stored| {
            all.iter().any(|meant| {
                matches!(meant, Meant::Stored(stored) if stored.secret == one.secret && stored.number == one.number)
            })
        };
        let known = self.needles.iter().flat_map(|(_, known)| known);
        known.filter(move |(one, _)| named(one)).map(|(_, value)| value)
    }

    /// The version that has exactly this value.
    pub(super) fn exactly(&self, value: &SecretBytes) -> Option<Stored> {
        self.prints.get(&self.key.fingerprint(value)).cloned()
    }

    /// The version that a scan found in a text.
    fn version(&self, secret: &str, number: u32) -> Option<Stored> {
        let its = |one: &&Stored| one.secret == secret && one.number == number;
        let stored = self.prints.values().find(its)?;
        let long = self.needles.iter().flat_map(|(_, known)| known).any(|(one, _)| its(&one));
        Some(Stored { by_chance: !long, ..stored.clone() })
    }

    /// The versions whose values stand in a text.
    fn inside(&self, text: &SecretBytes) -> Vec<Stored> {
        let Some((needles, known)) = self.needles.as_ref() else { return Vec::new() };
        let mut found = BTreeSet::new();
        needles.find(text.expose(), &mut |hit| {
            found.extend(usize::try_from(hit.id.0));
        });
        found.into_iter().filter_map(|at| known.get(at)).map(|(one, _)| one.clone()).collect()
    }

    /// The issuer whose credentials have the form of this value: of a secret with a spec of its own, or the shipped one
    /// that the source names.
    fn by_form(&self, kind: &str, value: &SecretBytes) -> Option<Whose> {
        let own = self.specs.iter().find(|(_, spec)| spec.is_form_of(value));
        if let Some((secret, _)) = own {
            return Some(Whose::Secret(secret.clone()));
        }
        let kind = kind.to_ascii_lowercase();
        let named = |name: &&&str| name.split('-').next().is_some_and(|begin| kind.contains(begin));
        let fits = |name: &&str| Spec::shipped(name).is_ok_and(|spec| spec.unaskable(value).is_none());
        Spec::names()
            .iter()
            .filter(named)
            .find(|name| fits(name))
            .map(|name| Whose::Shipped((*name).to_owned()))
    }

    /// The values in a text that have the form of a key: by the rules of shipped issuers, and by the specs of configured
    /// secrets.
    fn in_text(&self, text: &SecretBytes) -> Vec<(Whose, SecretBytes)> {
        let mut found = self.by_rule(text);
        let inside = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"_-.".contains(byte);
        for word in text.expose().split(inside).filter(|word| word.len() >= IN_TEXT_BYTES_MIN) {
            if self.specs.is_empty() || found.len() >= VALUES_MAX {
                break;
            }
            // The end of a sentence is no part of a key.
            let end = word.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
            let word = SecretBytes::new(word.get(..end).unwrap_or_default().to_vec());
            let its = self.specs.iter().find(|(_, spec)| spec.is_form_of(&word));
            found.extend(its.map(|(secret, _)| (Whose::Secret(secret.clone()), word)));
        }
        found
    }

    /// The values that the rules of shipped issuers find in a text.
    fn by_rule(&self, text: &SecretBytes) -> Vec<(Whose, SecretBytes)> {
        let scan = Scan::new(&self.detector, wall_clock::now().date()).without_archives();
        scan.stream("alert", &mut io::Cursor::new(text.expose()));
        let report = scan.finish();
        let mut values = self.detector.take_captured();
        let one = |finding: &Finding| {
            let issuer = self.issuers.get(finding.what.rule())?;
            Some((Whose::Shipped((*issuer).to_owned()), values.remove(&finding.identity)?))
        };
        report.findings.iter().filter_map(one).take(VALUES_MAX).collect()
    }
}

/// The keys that were brought for open rotations and are no versions yet.
fn staged(key: &FingerprintKey, places: &Places) -> Result<BTreeMap<Fingerprint, String>, Problem> {
    if !places.journal().exists() {
        return Ok(BTreeMap::new());
    }
    let (journal, runtime, store) = (journal_for_a_look(places)?.0, runtime(places)?, store(places)?);
    runtime.block_on(async {
        let mut all = BTreeMap::new();
        for open in Index::read(&journal).await.map_err(rotations_unread)?.iter() {
            let Some(state) = open.state.as_ref().filter(|state| takes_key(state)) else { continue };
            let sealed = pending(&store.0, open.secret(), &open.recorded, state).await?;
            if let Some((_, credential)) = sealed {
                let prints = credential.fields.secrets().map(|(_, value)| key.fingerprint(value));
                all.extend(prints.map(|print| (print, open.id().to_string())));
            }
        }
        Ok(all)
    })
}
