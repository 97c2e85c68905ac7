//! What a leaked value is: a version of a stored secret, a credential of an issuer that keyroll knows, or neither.

use std::collections::BTreeMap;
use std::io;

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_issuer::Spec;
use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::Label;
use keyroll_scanner::{Detector, KnownValues, Scan};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use super::alert::Alert;
use crate::installation::Installation;
use crate::inventory::run_key;
use crate::problem::Problem;
use crate::stored_values::{StoredValues, stored_values};
use crate::wall_clock;
use crate::wiring::issuer::described;

/// A stored value that is shorter may stand in a text by chance, bytes.
const IN_TEXT_BYTES_MIN: usize = 16;

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
        issuer: Option<String>,
        value: SecretBytes,
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
    needles: Option<(Needles, Vec<Stored>)>,
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
                    known.push(one.clone());
                }
            }
        }
        let needles = builder.build().map_err(|error| {
            Problem::new(Code::SearchTargetUnknown, "search alerts for stored values").because_of(&error)
        })?;
        let needles = (!known.is_empty()).then_some((needles, known));
        let own = config.secrets.values().filter_map(|secret| {
            let described = described(secret).ok()?;
            described.text.as_ref()?;
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
        Ok(Self { prints, key, identity, needles, specs: own.collect(), detector, issuers })
    }

    /// What an alert is about. Takes its value.
    pub(super) fn of(&self, alert: &mut Alert) -> Meant {
        let value = alert.value.take();
        if let Some((secret, number)) = &alert.known
            && let Some(stored) = self.version(secret, *number)
        {
            return Meant::Stored(stored);
        }
        let stored = value.as_ref().and_then(|value| self.exactly(value));
        if let Some(stored) = stored.or_else(|| alert.text.as_ref().and_then(|text| self.inside(text))) {
            return Meant::Stored(stored);
        }
        let text = value.as_ref().or(alert.text.as_ref());
        let named = text.and_then(|text| self.by_rule(text));
        match (value, named) {
            (Some(value), named) => {
                let issuer = named.map(|(issuer, _)| issuer).or_else(|| self.by_form(&alert.kind, &value));
                Meant::Foreign { issuer, value }
            }
            (None, Some((issuer, value))) => Meant::Foreign { issuer: Some(issuer), value },
            (None, None) => Meant::Unseen,
        }
    }

    /// The version that has exactly this value.
    pub(super) fn exactly(&self, value: &SecretBytes) -> Option<Stored> {
        self.prints.get(&self.key.fingerprint(value)).cloned()
    }

    /// The version that a scan found in a text.
    fn version(&self, secret: &str, number: u32) -> Option<Stored> {
        let its = |one: &&Stored| one.secret == secret && one.number == number;
        let stored = self.prints.values().find(its)?;
        let long = self.needles.iter().flat_map(|(_, known)| known).any(|one| its(&one));
        Some(Stored { by_chance: !long, ..stored.clone() })
    }

    /// The version whose value stands in a text. The newest, if several do.
    fn inside(&self, text: &SecretBytes) -> Option<Stored> {
        let (needles, known) = self.needles.as_ref()?;
        let mut found: Option<&Stored> = None;
        needles.find(text.expose(), &mut |hit| {
            let one = usize::try_from(hit.id.0).ok().and_then(|at| known.get(at));
            found = found.into_iter().chain(one).max_by_key(|one| one.number);
        });
        found.cloned()
    }

    /// The issuer whose credentials have the form of this value: of a secret with a spec of its own, or the shipped one
    /// that the source names.
    fn by_form(&self, kind: &str, value: &SecretBytes) -> Option<String> {
        let own = self.specs.iter().find(|(_, spec)| spec.is_form_of(value));
        if let Some((secret, _)) = own {
            return Some(secret.clone());
        }
        let kind = kind.to_ascii_lowercase();
        let named = |name: &&&str| name.split('-').next().is_some_and(|begin| kind.contains(begin));
        let fits = |name: &&str| Spec::shipped(name).is_ok_and(|spec| spec.unaskable(value).is_none());
        Spec::names().iter().filter(named).find(|name| fits(name)).map(|name| (*name).to_owned())
    }

    /// The shipped issuer whose rule finds a value in this text, and the value.
    fn by_rule(&self, text: &SecretBytes) -> Option<(String, SecretBytes)> {
        let scan = Scan::new(&self.detector, wall_clock::now().date()).without_archives();
        scan.stream("alert", &mut io::Cursor::new(text.expose()));
        let report = scan.finish(None);
        let mut values = self.detector.take_captured();
        report.findings.iter().find_map(|one| {
            let issuer = self.issuers.get(one.what.rule())?;
            Some(((*issuer).to_owned(), values.remove(&one.identity)?))
        })
    }
}
