pub(crate) mod allow_comment;
pub(crate) mod captured_values;
pub(crate) mod diff_files;
pub(crate) mod safe_name;
pub(crate) mod selected_findings;
pub(crate) mod text_kind;

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use keyroll_leak::gitleaks::{Config, TextOrigin};
use keyroll_leak::{Candidate, CandidateSource, Rules, TextKind, forms_in, in_part_of};
use keyroll_needle::{Encoding, FingerprintHit, FingerprintSet, FingerprintState, Needles};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use crate::Accepted;
use crate::detector::allow_comment::Allow;
use crate::detector::captured_values::CapturedValues;
use crate::detector::diff_files::{has_hunks, is_in_settings_diff};
use crate::detector::selected_findings::SelectedFindings;
use crate::detector::text_kind::TextReading;
use crate::finding::{FindingKind, Identity, LeakState, SecretVersion};

/// The longest match of a rule, with the text around it that decides, bytes.
const RULE_BYTES_MAX: usize = keyroll_leak::BLOCK_BYTES_MAX + keyroll_leak::NEAR_BYTES_MAX;

/// The longest text of one known value in a stream, bytes.
const SPAN_BYTES_MAX: usize = 4 << 20;

/// In place of a rule for findings by name or position.
const NAMED: &str = "named-secret";
const CONNECTION: &str = "connection-password";
const SENT: &str = "sent-credential";

/// How many previous values are compared as another form of a value.
const BEFORE_MAX: usize = 8;

/// The known values.
#[derive(Default)]
pub struct KnownValues {
    /// The values; the id of each is its index in `versions`.
    pub needles: Option<Needles>,
    /// The version of each value.
    pub versions: Vec<SecretVersion>,
    /// Values of another machine, by fingerprint.
    pub prints: Option<FingerprintSet>,
    /// Versions without a stored or searchable value, by fingerprint: recognised when a rule, name or position finds
    /// the value.
    pub ended: BTreeMap<Fingerprint, SecretVersion>,
    /// The key of these fingerprints.
    pub key: Option<FingerprintKey>,
}

/// What a scan detects.
pub struct Detector {
    rules: Option<&'static Rules>,
    by_name: bool,
    theirs: Option<Config>,
    /// Built-in rules that are off.
    unwanted: BTreeSet<String>,
    known: KnownValues,
    identity: FingerprintKey,
    held: Option<CapturedValues>,
    picked: Option<SelectedFindings>,
}

/// A finding in a part of a text.
pub(crate) struct Hit {
    pub(crate) span: Range<usize>,
    pub(crate) what: FindingKind,
    pub(crate) name: Option<String>,
    pub(crate) form: Option<&'static str>,
    pub(crate) identity: Identity,
    /// Whether it counts only in settings, not in a program.
    pub(crate) in_settings: bool,
}

impl Detector {
    /// `identity` is the key of identities: with the same key, the same value has the same identity.
    pub fn new(known: KnownValues, identity: FingerprintKey) -> Self {
        let (rules, theirs, unwanted) = (None, None, BTreeSet::new());
        Self { rules, by_name: false, theirs, unwanted, known, identity, held: None, picked: None }
    }

    /// Also detects credentials by their format.
    pub fn with_rules(mut self, rules: &'static Rules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// With rules: also detects credentials by name or position.
    pub fn with_names(mut self) -> Self {
        self.by_name = true;
        self
    }

    /// Also applies a rule file of gitleaks or Betterleaks. Its global allowlists and filters apply to the built-in
    /// rules too, but not to known values.
    pub fn with_imported_rules(mut self, theirs: Config) -> Self {
        self.theirs = Some(theirs);
        self
    }

    /// Turns built-in rules off.
    pub fn without(mut self, rules: BTreeSet<String>) -> Self {
        self.unwanted = rules;
        self
    }

    /// Whether there is a built-in rule of this name, or it is the name for findings by name or position.
    pub fn has(&self, rule: &str) -> bool {
        let by_form = || self.rules.is_some_and(|rules| rules.iter().any(|one| one.id == rule));
        [NAMED, CONNECTION, SENT].contains(&rule) || by_form()
    }

    /// Keeps the values that these rules find until [`Self::take_captured`] is called, so that their issuers can be
    /// asked.
    pub fn capturing(mut self, rules: BTreeSet<String>) -> Self {
        self.held = Some(CapturedValues::of(rules));
        self
    }

    /// The same for the values of all rules.
    pub fn capturing_all(mut self) -> Self {
        self.held = Some(CapturedValues::all());
        self
    }

    /// The captured values, the first thousand; each once.
    pub fn take_captured(&self) -> BTreeMap<Identity, SecretBytes> {
        self.held.as_ref().map(CapturedValues::take).unwrap_or_default()
    }

    /// Notes findings whose identities under this key begin with one of these texts, until [`Self::take_selected`].
    pub fn selecting(mut self, key: FingerprintKey, begins: Vec<String>) -> Self {
        self.picked = Some(SelectedFindings::of(key, begins));
        self
    }

    /// The noted findings: their identities under that key, with those of this scan.
    pub fn take_selected(&self) -> BTreeMap<Identity, Identity> {
        self.picked.as_ref().map(SelectedFindings::take).unwrap_or_default()
    }

    /// The key of the identities.
    pub fn identity_key(&self) -> &FingerprintKey {
        &self.identity
    }

    /// The key and the beginnings of the identities that are noted; `None` if none are.
    pub fn selection(&self) -> Option<(&FingerprintKey, &[String])> {
        self.picked.as_ref().map(SelectedFindings::sought)
    }

    /// The identity of findings of this version, wherever they are.
    pub fn identity_of(&self, version: &SecretVersion) -> Identity {
        self.identity("keyroll", format!("{}\0v{}", version.secret, version.number).as_bytes())
    }

    /// The identity of a finding of this value by a rule.
    pub fn identity_by(&self, rule: &str, value: &SecretBytes) -> Identity {
        made(&self.identity, rule, value.expose())
    }

    /// Whether a text contains a known value.
    pub fn knows(&self, text: &str) -> bool {
        !self.values(text.as_bytes()).is_empty()
    }

    /// Applies a comment to a hit. A value that works is never accepted; a reason that contains a value is not shown.
    pub(crate) fn judged(
        &self,
        allow: Option<Allow>,
        what: &FindingKind,
    ) -> (Option<Accepted>, Option<String>) {
        match allow {
            Some(Allow::Accepted(one)) if what.state() == LeakState::Live => (None, Some(one.void())),
            Some(Allow::Accepted(one)) => match self
                .find(
                    one.reason.as_bytes(),
                    TextReading::of(b"", TextKind::Settings).as_ref(),
                    TextOrigin::default(),
                )
                .is_empty()
            {
                true => (Some(one), None),
                false => {
                    (Some(Accepted { reason: "(not shown: it contains a value)".to_owned(), ..one }), None)
                }
            },
            Some(Allow::Void(why)) => (None, Some(why)),
            None => (None, None),
        }
    }

    /// How much text on either side of a position must be in memory, bytes.
    pub(crate) fn reach(&self) -> usize {
        let values = self.known.needles.as_ref().map_or(0, Needles::span_max);
        let prints = self.known.prints.as_ref().map_or(0, FingerprintSet::span_max);
        RULE_BYTES_MAX.max(values.max(prints).min(SPAN_BYTES_MAX))
    }

    /// Whether names decide about values, and so the names of files about their formats.
    pub(crate) fn reads_by_name(&self) -> bool {
        self.by_name && self.rules.is_some()
    }

    /// Whether findings depend on the path of a text.
    pub(crate) fn depends_on_path(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether imported rules may find something in a text, whatever its path. Does not count rules for paths alone.
    pub(crate) fn imported_rules_may_find(&self, text: &[u8]) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.may_find(text))
    }

    /// All findings in a part of a text, in order. `reading` is `None` for binary data; `place` is the text's
    /// location in its tree.
    pub(crate) fn find(&self, text: &[u8], reading: Option<&TextReading>, place: TextOrigin<'_>) -> Vec<Hit> {
        let mut hits = self.values(text);
        add_beside(&mut hits, self.by_all_rules(text, reading, place));
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end));
        hits
    }

    /// Findings by built-in and imported rules; if both match, the imported rule is reported.
    fn by_all_rules(&self, text: &[u8], reading: Option<&TextReading>, place: TextOrigin<'_>) -> Vec<Hit> {
        let Some(theirs) = &self.theirs else { return self.by_rules(text, reading) };
        if theirs.passes_over(place.path, place.commit) {
            return Vec::new();
        }
        let mut hits = Vec::new();
        theirs.find(text, place, &mut |found| {
            let value = text.get(found.span.clone()).unwrap_or_default();
            if let Some(version) = self.ended(value) {
                return hits.push(self.known(version, found.span, None));
            }
            let title =
                if found.rule.description.is_empty() { &found.rule.id } else { &found.rule.description };
            let what =
                FindingKind::Kind { rule: found.rule.id.clone(), title: title.clone(), provider: None };
            let identity = self.identity(&found.rule.id, value);
            hits.push(Hit { span: found.span, what, name: None, form: None, identity, in_settings: false });
        });
        let mut own = self.by_rules(text, reading);
        theirs.keep(text, place, &mut own, |hit| match &hit.what {
            FindingKind::Kind { rule, .. } => Some((rule.as_str(), hit.span.clone())),
            FindingKind::Known(_) => None,
        });
        add_beside(&mut hits, own);
        hits
    }

    /// Findings by format, name or position.
    pub(crate) fn by_rules(&self, text: &[u8], reading: Option<&TextReading>) -> Vec<Hit> {
        let mut hits = Vec::new();
        if let Some(rules) = self.rules {
            self.by_form(text, rules, reading, &mut |hit| hits.push(hit));
        }
        let is_known = |hit: &Hit| matches!(hit.what, FindingKind::Known(_));
        hits.retain(|hit| is_known(hit) || !self.unwanted.contains(hit.what.rule()));
        hits
    }

    /// Findings of known values: those of the store, then fingerprints where no other one is.
    pub(crate) fn values(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = self.by_value(text);
        add_beside(&mut hits, self.by_print(text));
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end));
        hits
    }

    fn by_value(&self, text: &[u8]) -> Vec<Hit> {
        let Some(needles) = &self.known.needles else { return Vec::new() };
        let mut all = Vec::new();
        let mut take = |hit: keyroll_needle::Hit| all.push((hit.start..hit.end, hit.id, hit.encoding));
        needles.find_all(text, &mut take);
        let told = once(all).into_iter().filter_map(|(span, id, encoding)| {
            Some(self.known(self.known.versions.get(id.0 as usize)?, span, form(encoding)))
        });
        told.collect()
    }

    fn by_print(&self, text: &[u8]) -> Vec<Hit> {
        let Some(prints) = &self.known.prints else { return Vec::new() };
        let mut all = Vec::new();
        let mut take =
            |hit: FingerprintHit<'_>| all.push((hit.start..hit.end, hit.label.clone(), hit.encoding));
        prints.find(text, &mut take);
        prints.find_across(text, &mut take);
        let told = once(all).into_iter().map(|(span, label, encoding)| {
            let retired = label.state == FingerprintState::Retired;
            let (number, state) = (label.version, label.state.name());
            self.known(&SecretVersion { secret: label.name, number, state, retired }, span, form(encoding))
        });
        told.collect()
    }

    fn known(&self, version: &SecretVersion, span: Range<usize>, form: Option<&'static str>) -> Hit {
        let identity = self.identity_of(version);
        let what = FindingKind::Known(version.clone());
        Hit { span, what, name: None, form, identity, in_settings: false }
    }

    fn by_form(
        &self,
        text: &[u8],
        rules: &'static Rules,
        reading: Option<&TextReading>,
        take: &mut dyn FnMut(Hit),
    ) {
        match reading.filter(|_| self.by_name) {
            Some(TextReading { within, table, format }) => {
                let within = *within;
                let all = in_part_of(text, rules, table.as_ref(), *format).into_iter();
                // Most texts are no diffs: this is looked for once.
                let is_diff = OnceCell::new();
                for one in all {
                    // In a diff the name of the changed file decides.
                    let anywhere = || {
                        one.is_likely(text, TextKind::Program)
                            || *is_diff.get_or_init(|| has_hunks(text))
                                && one.is_likely(text, TextKind::Settings)
                                && is_in_settings_diff(text, &one.span)
                    };
                    let settings = within == TextKind::Settings && one.is_likely(text, TextKind::Settings);
                    if settings || anywhere() {
                        let in_settings = settings && !anywhere();
                        take(Hit { in_settings, ..self.candidate(text, &one) });
                    }
                }
            }
            None => forms_in(text, rules).iter().for_each(|one| take(self.candidate(text, one))),
        }
    }

    fn candidate(&self, text: &[u8], one: &Candidate<'_>) -> Hit {
        let value = one.value(text);
        let form = one.decoded.as_ref().map(|decoded| decoded.encoding);
        if let Some(version) = self.ended(value) {
            return self.known(version, one.span.clone(), form);
        }
        let (rule, title, provider) = match one.rule {
            Some(rule) => (rule.id.as_str(), rule.title.as_str(), Some(rule.provider.clone())),
            None if one.by == CandidateSource::Name => (NAMED, "value under the name of a secret", None),
            None if text.get(one.span.end) == Some(&b'@') => {
                (CONNECTION, "password of a connection string", None)
            }
            None => (SENT, "password or token in a request", None),
        };
        let what = FindingKind::Kind {
            rule: rule.to_owned(),
            title: title.to_owned(),
            provider: provider.filter(|provider| !provider.is_empty()),
        };
        let identity = self.identity(rule, value);
        if let Some(held) = &self.held {
            held.hold(rule, &identity, value);
        }
        let name = one.name.as_deref().filter(|_| rule == NAMED).and_then(safe_name::shown);
        // The name is shown as it is written.
        let name = name.filter(|name| self.values(name.as_bytes()).is_empty()).map(str::to_owned);
        Hit { span: one.span.clone(), what, name, form, identity, in_settings: false }
    }

    /// The retired version with this value.
    fn ended(&self, value: &[u8]) -> Option<&SecretVersion> {
        let key = self.known.key.as_ref().filter(|_| !self.known.ended.is_empty())?;
        self.known.ended.get(&key.fingerprint(&SecretBytes::new(value.to_vec())))
    }

    fn identity(&self, rule: &str, value: &[u8]) -> Identity {
        let identity = made(&self.identity, rule, value);
        if let Some(picked) = &self.picked {
            picked.look(&identity, |key| made(key, rule, value));
        }
        identity
    }
}

/// The identity under a key of a finding of this value by a rule.
fn made(key: &FingerprintKey, rule: &str, value: &[u8]) -> Identity {
    Identity::of(&key.fingerprint(&SecretBytes::new([rule.as_bytes(), b"\0", value].concat())))
}

/// Of several forms of one value at one position keeps the first, which is the longest: others may be part of it.
fn once<K: Ord + Clone>(mut all: Vec<(Range<usize>, K, Encoding)>) -> Vec<(Range<usize>, K, Encoding)> {
    all.sort_by_cached_key(|(span, of, encoding)| (span.start, Reverse(span.end), of.clone(), *encoding));
    let mut told: Vec<(Range<usize>, K, Encoding)> = Vec::new();
    for one in all {
        let same = |other: &(Range<usize>, K, Encoding)| other.1 == one.1 && one.0.start < other.0.end;
        if !told.iter().rev().take(BEFORE_MAX).any(same) {
            told.push(one);
        }
    }
    told
}

/// The name of an encoding; none for plain text.
fn form(encoding: Encoding) -> Option<&'static str> {
    (encoding != Encoding::Raw).then(|| encoding.name())
}

/// Adds the hits that overlap no other.
fn add_beside(hits: &mut Vec<Hit>, mut more: Vec<Hit>) {
    more.retain(|hit| !hits.iter().any(|one| one.span.start < hit.span.end && hit.span.start < one.span.end));
    hits.append(&mut more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_retired_is_known_again_by_whatever_rule_finds_it() {
        let (own, token) = (format!("own_{}", "kD93hfQ0plm4"), format!("glpat-{}1234", "kD93hfQ0plm4XyT7"));
        let key = FingerprintKey::new(&[3; 32]);
        let mut ended = BTreeMap::new();
        for (number, value) in [(1, &own), (2, &token)] {
            let version =
                SecretVersion { secret: "acme".to_owned(), number, state: "retired", retired: true };
            ended.insert(key.fingerprint(&SecretBytes::from(value.clone())), version);
        }
        let known = KnownValues { ended, key: Some(key), ..KnownValues::default() };
        let theirs = Config::read("rules", "[[rules]]\nid = 'own'\nregex = 'own_[0-9A-Za-z]{12}'\n").unwrap();
        let detector = Detector::new(known, FingerprintKey::new(&[1; 32]));
        let detector = detector.with_rules(Rules::shipped().unwrap()).with_imported_rules(theirs);
        let text = format!("a {own} b {token} c");
        let hits = detector.find(text.as_bytes(), None, TextOrigin::default());
        let told: Vec<_> = hits.iter().map(|hit| (hit.what.rule(), hit.what.state())).collect();
        assert_eq!(told, [("acme", LeakState::Retired), ("acme", LeakState::Retired)]);
    }

    #[test]
    fn a_value_in_another_encoding_is_the_same_leak() {
        let token = format!("glpat-{}1234", "kD93hfQ0plm4XyT7");
        let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[1; 32]));
        let detector = detector.with_rules(Rules::shipped().unwrap()).capturing_all();
        let find = |text: &str| detector.find(text.as_bytes(), None, TextOrigin::default());
        let (plain, encoded) = (find(&format!("a {token}\n")), find(&format!("a {hex}\n")));
        let told = |hits: &[Hit]| hits.iter().map(|hit| (hit.identity.clone(), hit.form)).collect::<Vec<_>>();
        let identity = plain[0].identity.clone();
        assert_eq!(told(&plain), [(identity.clone(), None)]);
        assert_eq!(told(&encoded), [(identity.clone(), Some("hex"))]);
        // The issuer is asked about the value, and not about its digits.
        let held = detector.take_captured();
        assert_eq!(held.get(&identity).map(|value| value.expose().to_vec()), Some(token.into_bytes()));
    }

    #[test]
    fn in_a_diff_the_name_of_the_file_decides() {
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[1; 32]));
        let detector = detector.with_rules(Rules::shipped().unwrap()).with_names();
        let found = |text: &str| {
            let reading = TextReading::of(text.as_bytes(), TextKind::Program);
            let hits = detector.find(text.as_bytes(), reading.as_ref(), TextOrigin::default());
            hits.into_iter().map(|hit| (text[hit.span].to_owned(), hit.in_settings)).collect::<Vec<_>>()
        };
        let diff = |path: &str, line: &str| format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n{line}\n");
        for line in
            ["+password: Kestrel19dock", "-  password: Kestrel19dock # mine", " password: Kestrel19dock"]
        {
            let all = [("Kestrel19dock".to_owned(), false)];
            assert_eq!(found(&diff("deploy/values.yaml", line)), all, "{line}");
            assert!(found(&diff("src/main.rs", line)).is_empty(), "{line}");
        }
    }
}
