pub(crate) mod allow;
pub(crate) mod held;
pub(crate) mod name;
pub(crate) mod picked;
pub(crate) mod reading;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use keyroll_leak::gitleaks::{At, Config};
use keyroll_leak::{By, Candidate, Rules, Text, forms_in, in_part};
use keyroll_needle::{Encoding, Needles, PrintHit, PrintState, Prints};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use crate::Accepted;
use crate::finding::{Identity, State, Version, What};
use crate::seeker::allow::Allow;
use crate::seeker::held::Held;
use crate::seeker::picked::Picked;
use crate::seeker::reading::Reading;

/// A rule matches no longer text; what stands around it is looked at, too. Bytes.
const RULE_BYTES_MAX: usize = keyroll_leak::BLOCK_BYTES_MAX + keyroll_leak::NEAR_BYTES_MAX;

/// The most a known value may stretch over in what is read in pieces, bytes.
const SPAN_BYTES_MAX: usize = 4 << 20;

/// What is found by its name or its place is called by these in place of a rule.
const NAMED: &str = "named-secret";
const CONNECTION: &str = "connection-password";
const SENT: &str = "sent-credential";

/// How many values before one are asked whether they are another form of it.
const BEFORE_MAX: usize = 8;

/// The values that are known.
#[derive(Default)]
pub struct Known {
    /// The values; the number of each is its place in `versions`.
    pub needles: Option<Needles>,
    /// What each is a version of.
    pub versions: Vec<Version>,
    /// Values that are kept elsewhere, by what a file says of them.
    pub prints: Option<Prints>,
    /// Those whose values are kept no more, or cannot be looked for by themselves, by their fingerprints: found again where a rule,
    /// a name or a place finds something.
    pub ended: BTreeMap<Fingerprint, Version>,
    /// What the fingerprints were made with.
    pub key: Option<FingerprintKey>,
}

/// What is looked for.
pub struct Seeker {
    rules: Option<&'static Rules>,
    by_name: bool,
    theirs: Option<Config>,
    /// Rules of its own that find nothing.
    unwanted: BTreeSet<String>,
    known: Known,
    identity: FingerprintKey,
    held: Option<Held>,
    picked: Option<Picked>,
}

/// Something in a text.
pub(crate) struct Hit {
    pub(crate) span: Range<usize>,
    pub(crate) what: What,
    pub(crate) name: Option<String>,
    pub(crate) form: Option<&'static str>,
    pub(crate) identity: Identity,
    /// It is one where the text holds settings, and in a program it is none.
    pub(crate) in_settings: bool,
}

impl Seeker {
    /// `identity` is what tells findings apart: with the same key the same value has the same identity.
    pub fn new(known: Known, identity: FingerprintKey) -> Self {
        let (rules, theirs, unwanted) = (None, None, BTreeSet::new());
        Self { rules, by_name: false, theirs, unwanted, known, identity, held: None, picked: None }
    }

    /// Looks for what has the form of a credential, too.
    pub fn with_rules(mut self, rules: &'static Rules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// With rules: looks for what only its name or its place tells, too.
    pub fn with_names(mut self) -> Self {
        self.by_name = true;
        self
    }

    /// Looks for what a file of rules in the form of gitleaks says, too. What that passes over for all rules, by its path or by
    /// what it is, is passed over by its own rules, too; known values are found all the same.
    pub fn with_theirs(mut self, theirs: Config) -> Self {
        self.theirs = Some(theirs);
        self
    }

    /// Leaves out what these of its own rules find.
    pub fn without(mut self, rules: BTreeSet<String>) -> Self {
        self.unwanted = rules;
        self
    }

    /// Whether one of its own rules is called so, or what only its name or its place tells.
    pub fn has(&self, rule: &str) -> bool {
        let by_form = || self.rules.is_some_and(|rules| rules.iter().any(|one| one.id == rule));
        [NAMED, CONNECTION, SENT].contains(&rule) || by_form()
    }

    /// Holds the values that these rules find, until [`Self::take_held`]: somebody is going to ask their issuers.
    pub fn holding(mut self, rules: BTreeSet<String>) -> Self {
        self.held = Some(Held::of(rules));
        self
    }

    /// The values that are held, the first thousand of them; each once.
    pub fn take_held(&self) -> BTreeMap<Identity, SecretBytes> {
        self.held.as_ref().map(Held::take).unwrap_or_default()
    }

    /// Notes the findings whose identities under this key begin with one of these, until [`Self::take_picked`].
    pub fn picking(mut self, key: FingerprintKey, begins: Vec<String>) -> Self {
        self.picked = Some(Picked::of(key, begins));
        self
    }

    /// Those that were noted: by what they are called under that key, what they are called here.
    pub fn take_picked(&self) -> BTreeMap<Identity, Identity> {
        self.picked.as_ref().map(Picked::take).unwrap_or_default()
    }

    /// What a comment says of a hit. A value that opens something is replaced, not accepted; a reason with a value in it is not
    /// shown.
    pub(crate) fn judged(&self, allow: Option<Allow>, what: &What) -> (Option<Accepted>, Option<String>) {
        match allow {
            Some(Allow::Accepted(one)) if what.state() == State::Live => (None, Some(one.void())),
            Some(Allow::Accepted(one)) => match self
                .find(one.reason.as_bytes(), Reading::of(b"", Text::Settings).as_ref(), At::default())
                .is_empty()
            {
                true => (Some(one), None),
                false => (Some(Accepted { reason: "(not shown: a value is in it)".to_owned(), ..one }), None),
            },
            Some(Allow::Void(why)) => (None, Some(why)),
            None => (None, None),
        }
    }

    /// How much of a text must be seen at once on either side of a place, bytes.
    pub(crate) fn reach(&self) -> usize {
        let values = self.known.needles.as_ref().map_or(0, Needles::span_max);
        let prints = self.known.prints.as_ref().map_or(0, Prints::span_max);
        RULE_BYTES_MAX.max(values.max(prints).min(SPAN_BYTES_MAX))
    }

    /// Whether what is found depends on a text's path.
    pub(crate) fn goes_by_path(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether the rules of others may find something in a text under any path. Of those that go by the path alone it says
    /// nothing.
    pub(crate) fn theirs_may_find(&self, text: &[u8]) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.may_find(text))
    }

    /// Everything in a part of a text, in its order. `reading` is `None` where the text is none that people read; `place` is what
    /// it is called in its tree.
    pub(crate) fn find(&self, text: &[u8], reading: Option<&Reading>, place: At<'_>) -> Vec<Hit> {
        let mut hits = self.values(text);
        add_beside(&mut hits, self.by_all_rules(text, reading, place));
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end));
        hits
    }

    /// By its own rules and those of others; where both find something it is told by theirs.
    fn by_all_rules(&self, text: &[u8], reading: Option<&Reading>, place: At<'_>) -> Vec<Hit> {
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
            let what = What::Kind { rule: found.rule.id.clone(), title: title.clone(), provider: None };
            let identity = self.identity(&found.rule.id, value);
            hits.push(Hit { span: found.span, what, name: None, form: None, identity, in_settings: false });
        });
        let mut own = self.by_rules(text, reading);
        theirs.keep(text, place, &mut own, |hit| match &hit.what {
            What::Kind { rule, .. } => Some((rule.as_str(), hit.span.clone())),
            What::Known(_) => None,
        });
        add_beside(&mut hits, own);
        hits
    }

    /// What has the form, the name or the place of a credential.
    pub(crate) fn by_rules(&self, text: &[u8], reading: Option<&Reading>) -> Vec<Hit> {
        let mut hits = Vec::new();
        if let Some(rules) = self.rules {
            self.by_form(text, rules, reading, &mut |hit| hits.push(hit));
        }
        let is_known = |hit: &Hit| matches!(hit.what, What::Known(_));
        hits.retain(|hit| is_known(hit) || !self.unwanted.contains(hit.what.rule()));
        hits
    }

    /// Where known values stand: those that are kept here, then those of a file of prints, where none of the others stands.
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
        let mut take = |hit: PrintHit<'_>| all.push((hit.start..hit.end, hit.label.clone(), hit.encoding));
        prints.find(text, &mut take);
        prints.find_across(text, &mut take);
        let told = once(all).into_iter().map(|(span, label, encoding)| {
            let retired = label.state == PrintState::Retired;
            let (number, state) = (label.version, label.state.name());
            self.known(&Version { secret: label.name, number, state, retired }, span, form(encoding))
        });
        told.collect()
    }

    fn known(&self, version: &Version, span: Range<usize>, form: Option<&'static str>) -> Hit {
        let name = format!("{}\0v{}", version.secret, version.number);
        let identity = self.identity("keyroll", name.as_bytes());
        let what = What::Known(version.clone());
        Hit { span, what, name: None, form, identity, in_settings: false }
    }

    fn by_form(
        &self,
        text: &[u8],
        rules: &'static Rules,
        reading: Option<&Reading>,
        take: &mut dyn FnMut(Hit),
    ) {
        match reading.filter(|_| self.by_name) {
            Some(Reading { within, table }) => {
                let (within, all) = (*within, in_part(text, rules, table.as_ref()).into_iter());
                all.filter(|one| one.is_likely(text, within)).for_each(|one| {
                    let in_settings = within == Text::Settings && !one.is_likely(text, Text::Program);
                    take(Hit { in_settings, ..self.candidate(text, &one) });
                });
            }
            None => forms_in(text, rules).iter().for_each(|one| take(self.candidate(text, one))),
        }
    }

    fn candidate(&self, text: &[u8], one: &Candidate<'_>) -> Hit {
        let value = text.get(one.span.clone()).unwrap_or_default();
        if let Some(version) = self.ended(value) {
            return self.known(version, one.span.clone(), None);
        }
        let (rule, title, provider) = match one.rule {
            Some(rule) => (rule.id.as_str(), rule.title.as_str(), Some(rule.provider.clone())),
            None if one.by == By::Name => (NAMED, "value under the name of a secret", None),
            None if text.get(one.span.end) == Some(&b'@') => {
                (CONNECTION, "password of a connection string", None)
            }
            None => (SENT, "password or token where one is sent", None),
        };
        let what = What::Kind {
            rule: rule.to_owned(),
            title: title.to_owned(),
            provider: provider.filter(|provider| !provider.is_empty()),
        };
        let identity = self.identity(rule, value);
        if let Some(held) = &self.held {
            held.hold(rule, &identity, value);
        }
        let name = one.name.as_deref().filter(|_| rule == NAMED).and_then(name::shown);
        // It is told as it stands there.
        let name = name.filter(|name| self.values(name.as_bytes()).is_empty()).map(str::to_owned);
        Hit { span: one.span.clone(), what, name, form: None, identity, in_settings: false }
    }

    /// The version whose value this was.
    fn ended(&self, value: &[u8]) -> Option<&Version> {
        let key = self.known.key.as_ref().filter(|_| !self.known.ended.is_empty())?;
        self.known.ended.get(&key.fingerprint(&SecretBytes::new(value.to_vec())))
    }

    fn identity(&self, rule: &str, value: &[u8]) -> Identity {
        let whole = SecretBytes::new([rule.as_bytes(), b"\0", value].concat());
        let make = |key: &FingerprintKey| Identity::of(&key.fingerprint(&whole));
        let identity = make(&self.identity);
        if let Some(picked) = &self.picked {
            picked.look(&identity, make);
        }
        identity
    }
}

/// Of several forms of one value at one place the first: the longest, since another form of the same value may be a part of it.
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

/// As it is told; not where it is the value as it is.
fn form(encoding: Encoding) -> Option<&'static str> {
    (encoding != Encoding::Raw).then(|| encoding.name())
}

/// Adds those that overlap none of what is there.
fn add_beside(hits: &mut Vec<Hit>, mut more: Vec<Hit>) {
    more.retain(|hit| !hits.iter().any(|one| one.span.start < hit.span.end && hit.span.start < one.span.end));
    hits.append(&mut more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ended_is_known_again_by_whatever_rule_finds_it() {
        let (own, token) = (format!("own_{}", "kD93hfQ0plm4"), format!("glpat-{}1234", "kD93hfQ0plm4XyT7"));
        let key = FingerprintKey::new(&[3; 32]);
        let mut ended = BTreeMap::new();
        for (number, value) in [(1, &own), (2, &token)] {
            let version = Version { secret: "acme".to_owned(), number, state: "retired", retired: true };
            ended.insert(key.fingerprint(&SecretBytes::from(value.clone())), version);
        }
        let known = Known { ended, key: Some(key), ..Known::default() };
        let theirs = Config::read("rules", "[[rules]]\nid = 'own'\nregex = 'own_[0-9A-Za-z]{12}'\n").unwrap();
        let seeker = Seeker::new(known, FingerprintKey::new(&[1; 32]));
        let seeker = seeker.with_rules(Rules::shipped().unwrap()).with_theirs(theirs);
        let text = format!("a {own} b {token} c");
        let hits = seeker.find(text.as_bytes(), None, At::default());
        let told: Vec<_> = hits.iter().map(|hit| (hit.what.rule(), hit.what.state())).collect();
        assert_eq!(told, [("acme", State::Retired), ("acme", State::Retired)]);
    }
}
