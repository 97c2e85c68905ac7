use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use keyroll_leak::{Rule, is_distinct};
use keyroll_needle::{Encoding, NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};
use memchr::memmem;

use crate::Label;
use crate::wrapping::{Wrapping, unwrapped};

/// The most values that are kept apart in one survey.
const VALUES_MAX: usize = 10_000;

/// The length from which a value of no known form cannot be in memory by chance. The second limit is for a value with
/// both letters and digits.
const APART_BYTES_MIN: usize = 20;
const APART_MIXED_BYTES_MIN: usize = 12;

/// The shortest value that is redacted from all output, bytes: short passwords may be ordinary words.
const REDACTED_BYTES_MIN: usize = 12;

/// The id of one value within its survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// One value of a survey.
pub struct Value {
    bytes: SecretBytes,
    /// Its keyed fingerprint.
    pub fingerprint: Fingerprint,
    /// The rule that matches its form.
    pub rule: Option<&'static Rule>,
    /// The hex digits of its label, if these are not those of its fingerprint.
    shown_as: Option<String>,
}

impl Value {
    /// Its label. `digits` of its fingerprint are enough to distinguish it from all others.
    pub fn label(&self, digits: usize) -> Label {
        Label::of(&self.bytes, self.rule, &self.hex(), digits)
    }

    /// The hex digits of which its label has the first ones.
    fn hex(&self) -> String {
        self.shown_as.clone().unwrap_or_else(|| Label::hex(&self.fingerprint))
    }

    /// The length of this value at the beginning of a text, as it is or as it is spelled in a URL; `None` if the text
    /// does not begin with it.
    pub(crate) fn begins(&self, text: &[u8]) -> Option<usize> {
        let own = self.bytes.expose();
        if text.starts_with(own) {
            return Some(own.len());
        }
        let end = text.iter().position(|byte| matches!(byte, b'@' | b'/' | b'"' | b'\'' | b' ' | b'&'));
        let part = text.get(..end?).filter(|part| part.contains(&b'%'))?;
        let plain = keyroll_copy::percent_decoded(part).map(SecretBytes::new)?;
        (plain == self.bytes).then_some(part.len())
    }

    /// The value itself.
    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.bytes
    }

    /// Its length, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it may occur by chance, as `postgres` or `administrator` do. Then finding it in memory, or inside a
    /// longer text, is no evidence.
    pub fn common(&self) -> bool {
        let bytes = self.bytes.expose();
        let mixed = bytes.iter().any(u8::is_ascii_digit) && bytes.iter().any(u8::is_ascii_alphabetic);
        let apart = if mixed { APART_MIXED_BYTES_MIN } else { APART_BYTES_MIN };
        !is_distinct(bytes) || (self.rule.is_none() && bytes.len() < apart)
    }
}

/// Every value of a survey, each once.
pub struct Values {
    key: FingerprintKey,
    all: Vec<Value>,
    known: BTreeMap<Fingerprint, ValueId>,
    /// Values that are encodings of other values, or contain one.
    derived: BTreeMap<ValueId, (ValueId, Encoding)>,
    /// Those of them that only have something around the other value.
    wrapped: BTreeMap<ValueId, BTreeSet<Wrapping>>,
    /// Those of these that no encoding of the other value finds, with the other value: `x%%y` of `x%y`.
    apart: BTreeMap<ValueId, ValueId>,
    /// The prepared matcher, until another value is added: preparing it takes longer than most searches.
    needles: OnceLock<Option<Arc<Needles>>>,
}

impl Values {
    /// No values yet; this key makes the fingerprints.
    pub fn new(key: FingerprintKey) -> Self {
        Self {
            key,
            all: Vec::new(),
            known: BTreeMap::new(),
            derived: BTreeMap::new(),
            wrapped: BTreeMap::new(),
            apart: BTreeMap::new(),
            needles: OnceLock::new(),
        }
    }

    /// The id of a value; `None` = it cannot be searched for, or there are too many.
    pub fn add(&mut self, bytes: SecretBytes, rule: Option<&'static Rule>) -> Option<ValueId> {
        if !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&bytes.len()) {
            return None;
        }
        let fingerprint = self.key.fingerprint(&bytes);
        if let Some(known) = self.known.get(&fingerprint) {
            return Some(*known);
        }
        let id = ValueId(u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < VALUES_MAX)?);
        self.known.insert(fingerprint, id);
        self.needles = OnceLock::new();
        self.all.push(Value { bytes, fingerprint, rule, shown_as: None });
        Some(id)
    }

    /// The value with this id.
    pub fn get(&self, id: ValueId) -> Option<&Value> {
        self.all.get(usize::try_from(id.0).ok()?)
    }

    /// The id of this value, if the survey has found it.
    pub fn of(&self, bytes: &SecretBytes) -> Option<ValueId> {
        self.known.get(&self.key.fingerprint(bytes)).copied()
    }

    /// The id of the value with this fingerprint.
    pub fn with(&self, fingerprint: &Fingerprint) -> Option<ValueId> {
        self.known.get(fingerprint).copied()
    }

    /// Shows this value with these hex digits in its label, as another machine labels it.
    pub fn show_as(&mut self, id: ValueId, digits: String) {
        let value = usize::try_from(id.0).ok().and_then(|at| self.all.get_mut(at));
        if let Some(value) = value {
            value.shown_as = Some(digits);
        }
    }

    /// The fingerprints of all values under another key. A value that is another one in an encoding has none.
    pub fn under(&self, key: &FingerprintKey) -> Vec<(ValueId, Fingerprint)> {
        let numbered = (0..).map(ValueId).zip(&self.all).filter(|(id, _)| !self.is_derived(*id));
        numbered.map(|(id, value)| (id, key.fingerprint(&value.bytes))).collect()
    }

    /// Whether it is another value in an encoding, or in a wrapping.
    pub fn is_derived(&self, id: ValueId) -> bool {
        self.derived.contains_key(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many values are ordinary words, which are found only under their names and not searched elsewhere.
    pub(crate) fn ordinary(&self) -> usize {
        self.all.iter().filter(|value| !is_distinct(value.bytes.expose())).count()
    }

    /// Whether there may be more than are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= VALUES_MAX
    }

    /// The matcher for all of them in every encoding; `None` if there is nothing to search for.
    pub fn needles(&self) -> Option<Arc<Needles>> {
        let made = || self.needles_of(|value| is_distinct(value.bytes.expose()));
        self.needles.get_or_init(|| made().map(Arc::new)).clone()
    }

    /// The matcher for names, including values that are encodings of others. A value of letters and digits is searched
    /// only as it is: its base64 or hex form contains no words, and is not a name.
    pub(crate) fn needles_for_names(&self) -> Option<Needles> {
        let numbered = (0..).map(NeedleId).zip(&self.all);
        let mut numbered = numbered.filter(|(_, value)| is_distinct(value.bytes.expose())).peekable();
        numbered.peek()?;
        let stays = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let builder = numbered.fold(Needles::builder(), |builder, (id, value)| {
            match value.bytes.expose().iter().all(stays) {
                true => builder.add_raw(id, &value.bytes),
                false => builder.add(id, &value.bytes),
            }
        });
        builder.build().ok()
    }

    /// The values that the matcher searches for.
    pub(crate) fn searched(&self) -> impl Iterator<Item = ValueId> {
        let numbered = (0..).map(ValueId).zip(&self.all);
        numbered.filter(|(_, value)| is_distinct(value.bytes.expose())).map(|(id, _)| id)
    }

    /// The matcher for memory: only values that cannot be there by chance.
    pub(crate) fn needles_for_memory(&self) -> Option<Needles> {
        self.needles_of(|value| !value.common())
    }

    /// Marks each value that is an encoding (base64 and others) of another one as a copy of it. The result has the
    /// other value, and the encoding.
    pub(crate) fn derive(&mut self) -> &BTreeMap<ValueId, (ValueId, Encoding)> {
        self.needles = OnceLock::new();
        self.unwrap_each();
        if let Some(needles) = self.needles_of(|value| !value.common()) {
            for (at, value) in (0..).zip(&self.all) {
                let mut of = None;
                needles.find(value.bytes.expose(), &mut |hit| {
                    if hit.encoding != Encoding::Raw && hit.id.0 != at {
                        of.get_or_insert((ValueId(hit.id.0), hit.encoding));
                    }
                });
                if let Some(of) = of {
                    self.derived.insert(ValueId(at), of);
                }
            }
        }
        &self.derived
    }

    /// What a value that was derived has around the other one.
    pub(crate) fn wrappings(&self, of: ValueId) -> Option<&BTreeSet<Wrapping>> {
        self.wrapped.get(&of)
    }

    /// The value that a text is, and what the text has around it.
    pub(crate) fn within(&self, text: &[u8]) -> Option<(ValueId, BTreeSet<Wrapping>)> {
        unwrapped(text).into_iter().find_map(|(inner, around)| Some((self.of(&inner)?, around)))
    }

    /// Marks each value that is another value in a wrapping.
    fn unwrap_each(&mut self) {
        let numbered = (0..).map(ValueId).zip(&self.all);
        let found: Vec<_> =
            numbered.filter_map(|(id, value)| Some((id, self.within(value.bytes.expose())?))).collect();
        for (id, (of, around)) in found.into_iter().filter(|(id, (of, _))| id != of) {
            if !self.finds(of, id) {
                self.apart.insert(id, of);
            }
            self.derived.insert(id, (of, Encoding::Raw));
            self.wrapped.insert(id, around);
        }
    }

    /// Whether the matcher for one value finds it in another one.
    fn finds(&self, one: ValueId, within: ValueId) -> bool {
        let (Some(one), Some(within)) = (self.get(one), self.get(within)) else { return false };
        let (own, text) = (&one.bytes, within.bytes.expose());
        if memmem::find(text, own.expose()).is_some() {
            return true;
        }
        let mut found = false;
        if let Ok(needles) = Needles::builder().add(NeedleId(0), own).build() {
            needles.find(text, &mut |_| found = true);
        }
        found
    }

    /// The matcher for the values that are wanted. A process that has only the wrapping of a value has the value.
    fn needles_of(&self, wanted: fn(&Value) -> bool) -> Option<Needles> {
        let own =
            |(id, value): &(NeedleId, &Value)| wanted(value) && !self.derived.contains_key(&ValueId(id.0));
        let mut numbered = (0..).map(NeedleId).zip(&self.all).filter(own).peekable();
        numbered.peek()?;
        let builder = numbered.fold(Needles::builder(), |builder, (id, value)| builder.add(id, &value.bytes));
        let mut pairs: Vec<(ValueId, &Value)> = Vec::new();
        for (id, of) in &self.apart {
            let searched = !self.derived.contains_key(of) && self.get(*of).is_some_and(wanted);
            pairs.extend(self.get(*id).filter(|_| searched).map(|value| (*of, value)));
        }
        let builder =
            pairs.into_iter().fold(builder, |builder, (of, value)| builder.add(NeedleId(of.0), &value.bytes));
        builder.build().ok()
    }

    /// Redacts every value from a text, except those as short as ordinary words.
    pub fn redactor(&self) -> Option<Needles> {
        let long =
            (0..).map(NeedleId).zip(&self.all).filter(|(_, value)| value.bytes.len() >= REDACTED_BYTES_MIN);
        let long: Vec<_> = long.collect();
        let begun = Needles::builder();
        let builder =
            long.iter().fold(begun, |all, (id, value)| all.add(*id, &value.bytes).name(*id, "value"));
        if long.is_empty() { None } else { builder.build().ok() }
    }

    /// The values that [`Values::redactor`] would redact from the name of a secret, which has small letters and digits.
    pub(crate) fn redacted_in_names(&self) -> Vec<&str> {
        let long =
            self.all.iter().map(|value| value.bytes.expose()).filter(|it| it.len() >= REDACTED_BYTES_MIN);
        let text = long.filter_map(|bytes| std::str::from_utf8(bytes).ok());
        let named = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '.' | '_' | '-')
        };
        text.filter(|text| text.chars().all(named)).collect()
    }

    /// Whether a text contains any value, however short or ordinary.
    pub(crate) fn stand_in(&self, text: &[u8]) -> bool {
        let holds = |value: &Value| text.windows(value.bytes.len()).any(|part| part == value.bytes.expose());
        self.all.iter().any(holds)
    }

    /// How many hex digits of the fingerprints distinguish all values; at least six.
    pub fn digits(&self) -> usize {
        let mut shown: Vec<String> = self.all.iter().map(Value::hex).collect();
        shown.sort();
        shown.dedup();
        let differs = |digits: &usize| {
            shown.windows(2).all(|pair| {
                pair.iter()
                    .map(|one| one.get(..*digits).unwrap_or(one))
                    .collect::<Vec<_>>()
                    .windows(2)
                    .all(|two| two.first() != two.last())
            })
        };
        (Label::DIGITS_MIN..64).find(differs).unwrap_or(64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_stand_anywhere_by_chance_is_common() {
        let common = |text: &str| {
            let mut values = Values::new(FingerprintKey::new(&[7; 32]));
            let id = values.add(SecretBytes::from(text.to_owned()), None).unwrap();
            values.get(id).unwrap().common()
        };
        for text in ["administrator", "kD93hfQ0pl", "qwzxvkjhgpwmtbn"] {
            assert!(common(text), "{text}");
        }
        for text in ["kD93hfQ0plm4", "qwzxvkjhgpwmtbnqwzxv"] {
            assert!(!common(text), "{text}");
        }
    }

    #[test]
    fn a_value_is_shown_with_the_digits_that_another_machine_gives_it() {
        let mut values = Values::new(FingerprintKey::new(&[7; 32]));
        let [one, other] = [20, 21]
            .map(|bytes| values.add(SecretBytes::from(keyroll_testkit::alphanumeric(bytes)), None).unwrap());
        let own = values.get(other).unwrap().label(values.digits());
        values.show_as(one, "0123456789ab".to_owned());
        assert_eq!(values.get(one).unwrap().label(values.digits()).digits, "012345");
        assert_eq!(values.get(other).unwrap().label(values.digits()), own);
        // Digits that begin alike are shown as far as they differ.
        values.show_as(other, "0123456".to_owned());
        values.show_as(one, "0123457".to_owned());
        assert_eq!(values.get(one).unwrap().label(values.digits()).digits, "0123457");
    }

    #[test]
    fn the_fingerprints_under_another_key_are_those_that_another_machine_makes() {
        let text = keyroll_testkit::alphanumeric(20);
        let mut values = Values::new(FingerprintKey::new(&[7; 32]));
        let [outer, inner] = [format!("'{text}'"), text.clone()]
            .map(|text| values.add(SecretBytes::from(text), None).unwrap());
        values.derive();
        let key = FingerprintKey::new(&[9; 32]);
        let there = key.fingerprint(&SecretBytes::from(text));
        assert_eq!(values.under(&key), [(inner, there)]);
        assert!(values.is_derived(outer) && !values.is_derived(inner));
    }

    /// A text that has only the wrapping of a value has the value, once, and no other.
    #[test]
    fn the_wrapping_of_a_value_is_found_as_the_value() {
        let [one, two, own] = [9, 10, 20].map(keyroll_testkit::alphanumeric);
        for (plain, wrapped) in [
            (format!("{one}%{two}"), format!("{one}%%{two}")),
            (format!("{one}#{two}"), format!("{one}\\#{two}")),
            (format!("{one}${two}"), format!("{one}$${two}")),
            (own.clone(), format!("'{own}'")),
        ] {
            let mut values = Values::new(FingerprintKey::new(&[7; 32]));
            let [outer, inner] =
                [&wrapped, &plain].map(|text| values.add(SecretBytes::from(text.clone()), None).unwrap());
            assert_eq!(values.derive().get(&outer).map(|(of, _)| *of), Some(inner), "{wrapped}");
            let memory = values.needles_for_memory().unwrap();
            for needles in [&memory, &*values.needles().unwrap()] {
                let mut found = BTreeSet::new();
                needles.find(format!("({wrapped})").as_bytes(), &mut |hit| {
                    found.insert(hit.id.0);
                });
                assert_eq!(found, BTreeSet::from([inner.0]), "{wrapped}");
                let mut other = 0;
                needles.find(format!("({one}&&{two})").as_bytes(), &mut |_| other += 1);
                assert_eq!(other, 0, "another value is none of them");
            }
        }
    }
}
