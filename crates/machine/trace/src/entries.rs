use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_copy::{Entry, Format, MADE_OF_OTHERS, Part, Slot, percent_decoded};
use keyroll_leak::{
    FORM_BYTES_MIN, Rule, Rules, by_form, holds_a_secret, in_file_named, in_text, is_example, name_before,
    no_secret_under, passwords_in, settings_in, tokens_in,
};
use keyroll_needle::Encoding;
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

/// The most values that are taken from one file: a file with more is a list of something else.
pub(crate) const FOUND_MAX: usize = 2_000;

/// The scheme of a login in a header.
const BASIC: &[u8] = b"basic ";

/// A value of a file that may be a secret.
pub(crate) struct Held {
    pub(crate) value: SecretBytes,
    /// Its line, from 1 on.
    pub(crate) line: u64,
    pub(crate) name: Option<String>,
    /// Its slot, if the file's format has one for it.
    pub(crate) slot: Option<Slot>,
    pub(crate) rule: Option<&'static Rule>,
    pub(crate) encoding: Encoding,
}

/// The possible secrets in a file: by the slots of its format if it has one, otherwise line by line.
pub(crate) fn in_file(bytes: &[u8], format: Option<Format>, rules: &'static Rules) -> Vec<Held> {
    if !of_logins(format) && !rules.may_hold(bytes) {
        return Vec::new();
    }
    let entries = format.and_then(|format| Some((format, format.entries(bytes).ok()?)));
    let Some((format, entries)) = entries else { return in_lines(bytes, rules) };
    let mut reading = Reading { bytes, rules, format, found: Vec::new(), names: names_of_values(&entries) };
    let mut before: Option<&Entry> = None;
    for entry in &entries {
        reading.entry(entry, before);
        before = Some(entry);
    }
    // Comments, and other text without a slot.
    for one in by_form(bytes, rules) {
        let within = |entry: &Entry| entry.span.start < one.span.end && one.span.start < entry.span.end;
        let near = entries.partition_point(|entry| entry.span.end <= one.span.start);
        if !entries.get(near).is_some_and(within) {
            reading.found.push(Spotted::of(bytes, one.span, one.name, one.rule));
        }
    }
    told(bytes, reading.found)
}

/// Whether a value of this format is a secret whatever its name.
fn of_logins(format: Option<Format>) -> bool {
    matches!(format, Some(Format::Whole | Format::Pgpass | Format::Netrc | Format::GitCredentials))
}

fn in_lines(bytes: &[u8], rules: &'static Rules) -> Vec<Held> {
    let found = in_text(bytes, rules).into_iter();
    told(bytes, found.map(|one| Spotted::of(bytes, one.span, one.name, one.rule)).collect())
}

/// What `leaks` finds in a file, without the values that are known, which are parts of its findings or contain them.
pub(crate) fn beside_known(path: &Path, bytes: &[u8], known: &[Held], rules: &'static Rules) -> Vec<Held> {
    let mut by_line: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for one in known {
        by_line.entry(one.line).or_default().push(one.value.expose());
    }
    let found = in_file_named(path, bytes, rules).into_iter().filter(|one| one.decoded.is_none());
    let found = found.map(|one| {
        let name = one.name.or_else(|| name_before(bytes, one.span.start));
        Spotted::of(bytes, one.span, name, one.rule)
    });
    let mut more = told(bytes, found.collect());
    let within = |long: &[u8], short: &[u8]| memchr::memmem::find(long, short).is_some();
    more.retain(|one| {
        let value = one.value.expose();
        let is_same = |known: &&[u8]| within(known, value) || within(value, known);
        !by_line.get(&one.line).is_some_and(|known| known.iter().any(is_same))
    });
    more
}

/// The last name on the path to a value; in a list of pairs (`name: X`, `value: …`) the name of the pair.
pub(crate) fn last_name(slot: &Slot) -> &str {
    match slot {
        Slot::Whole => "",
        Slot::Variable(name) | Slot::Entry { name, .. } => name,
        Slot::At(pointer) => {
            let named = |step: &&String| !step.bytes().all(|byte| byte.is_ascii_digit());
            pointer.steps().iter().rev().find(named).map_or("", String::as_str)
        }
    }
}

/// A value's name for display: a variable's name, otherwise the path to the value in its file.
pub(crate) fn shown_name(slot: &Slot) -> Option<String> {
    let last = last_name(slot);
    let variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    match slot {
        Slot::Whole => None,
        Slot::At(pointer) if !last.bytes().all(variable) => Some(pointer.steps().join(".")),
        Slot::At(_) | Slot::Variable(_) | Slot::Entry { .. } => Some(last.to_owned()),
    }
}

/// A value with its offset, before its line is counted.
pub(crate) struct Spotted {
    at: usize,
    value: SecretBytes,
    name: Option<String>,
    slot: Option<Slot>,
    rule: Option<&'static Rule>,
    encoding: Encoding,
}

impl Spotted {
    pub(crate) fn named(at: usize, value: SecretBytes, name: String) -> Self {
        Self { at, value, name: Some(name), slot: None, rule: None, encoding: Encoding::Raw }
    }

    fn of(bytes: &[u8], span: Range<usize>, name: Option<String>, rule: Option<&'static Rule>) -> Self {
        let (value, encoding) = decoded(bytes, span.clone());
        Self { at: span.start, value, name, slot: None, rule, encoding }
    }
}

/// The password of a login in one word: base64 of `user:password` (RFC 7617).
fn of_login(text: &[u8]) -> Option<SecretBytes> {
    let login = Zeroizing::new(STANDARD.decode(text).ok()?);
    let colon = login.iter().position(|byte| *byte == b':')?;
    let password = login.get(colon + 1..).filter(|password| !password.is_empty())?;
    Some(SecretBytes::new(password.to_vec()))
}

/// The decoded value: a password in a URL is percent-encoded where necessary, and a password after `Basic` is in base64
/// together with its user.
fn decoded(bytes: &[u8], span: Range<usize>) -> (SecretBytes, Encoding) {
    let raw = bytes.get(span.clone()).unwrap_or_default();
    let before = bytes.get(span.start.saturating_sub(BASIC.len())..span.start).unwrap_or_default();
    if before.eq_ignore_ascii_case(BASIC)
        && let Some(password) = of_login(raw)
    {
        return (password, Encoding::Base64);
    }
    let of_url = bytes.get(span.end) == Some(&b'@') && raw.contains(&b'%');
    match percent_decoded(raw).filter(|_| of_url) {
        Some(plain) => (SecretBytes::new(plain), Encoding::Percent),
        None => (SecretBytes::new(raw.to_vec()), Encoding::Raw),
    }
}

pub(crate) fn told(bytes: &[u8], mut found: Vec<Spotted>) -> Vec<Held> {
    found.sort_by_key(|one| one.at);
    let (mut line, mut counted) = (1, 0);
    let held = found.into_iter().take(FOUND_MAX).map(|one| {
        let between = bytes.get(counted..one.at).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = one.at;
        let Spotted { value, name, slot, rule, encoding, .. } = one;
        Held { value, line, name, slot, rule, encoding }
    });
    held.collect()
}

/// The names in lists of pairs of a name and a value, by the path of the pair.
fn names_of_values(entries: &[Entry]) -> BTreeMap<Vec<String>, String> {
    let pair = |entry: &Entry| {
        let Slot::At(pointer) = &entry.slot else { return None };
        let (last, above) = pointer.steps().split_last()?;
        let name = matches!(last.to_ascii_lowercase().as_str(), "name" | "key" | "parameterkey");
        let text = entry.value.as_ref().ok().filter(|_| name)?;
        Some((above.to_vec(), String::from_utf8(text.expose().to_vec()).ok()?))
    };
    entries.iter().filter_map(pair).collect()
}

struct Reading<'a> {
    bytes: &'a [u8],
    rules: &'static Rules,
    format: Format,
    found: Vec<Spotted>,
    names: BTreeMap<Vec<String>, String>,
}

impl Reading<'_> {
    fn entry(&mut self, entry: &Entry, before: Option<&Entry>) {
        let beside = self.beside(entry).or_else(|| flag(entry, before?));
        let key = beside.as_deref().unwrap_or_else(|| last_name(&entry.slot));
        let own = entry.value.as_ref().map_or(&[][..], |value| value.expose());
        let named = holds_a_secret(key, own) || self.is_login(&entry.slot);
        let called = |own: Option<String>| own.or_else(|| beside.clone()).or_else(|| shown_name(&entry.slot));
        let first = self.found.len();
        match &entry.value {
            Ok(value) => {
                let text = value.expose();
                if (matches!(key, "auth" | "_auth") || key.ends_with(":_auth"))
                    && let Some(password) = of_login(text)
                {
                    self.push(entry, (password, Encoding::Base64), called(None), None);
                }
                self.inside(text, entry, &called);
                let rule = if text.len() < FORM_BYTES_MIN { None } else { self.rules.of(text) };
                let rule = rule.filter(|_| !is_example(text));
                let may_be_one = || no_secret_under(Some(key), text).is_none();
                if self.found.len() == first && (named || rule.is_some()) && may_be_one() {
                    self.push(entry, (value.duplicate(), Encoding::Raw), called(None), rule);
                }
            }
            // Readers parse it differently: its literal text is used.
            Err(why) => {
                let raw = self.bytes.get(entry.span.clone()).unwrap_or_default();
                for one in in_text(raw, self.rules) {
                    self.push(entry, decoded(raw, one.span), called(one.name), one.rule);
                }
                let inner = match raw {
                    [open @ (b'"' | b'\''), inner @ .., close] if open == close => inner,
                    raw => raw,
                };
                // An item of a list (`- NAME=value`) has its name with it.
                let item = inner.strip_prefix(last_name(&entry.slot).as_bytes());
                let inner = item.and_then(|rest| rest.strip_prefix(b"=")).unwrap_or(inner);
                let single = !inner.contains(&b'\n') && *why != MADE_OF_OTHERS;
                let may_be_one = || no_secret_under(Some(key), inner).is_none();
                if self.found.len() == first && named && single && may_be_one() {
                    let value = SecretBytes::new(inner.to_vec());
                    self.push(entry, (value, Encoding::Raw), called(None), None);
                }
            }
        }
    }

    /// The secrets within a larger value: a connection string, a command, a document.
    fn inside(&mut self, text: &[u8], entry: &Entry, called: &dyn Fn(Option<String>) -> Option<String>) {
        if !self.rules.may_hold(text) {
            return;
        }
        let mut known: Vec<Range<usize>> = Vec::new();
        let fresh = |known: &[Range<usize>], span: &Range<usize>| {
            !known.iter().any(|one| one.start < span.end && span.start < one.end)
        };
        for one in by_form(text, self.rules) {
            known.push(one.span.clone());
            self.push(entry, decoded(text, one.span), called(None), one.rule);
        }
        let parts = passwords_in(text).into_iter().chain(tokens_in(text)).map(|span| (None, span));
        let holds =
            |own: &str, span: &Range<usize>| holds_a_secret(own, text.get(span.clone()).unwrap_or_default());
        let set = settings_in(text).into_iter().filter(|(own, span)| holds(own, span));
        for (own, span) in parts.chain(set.map(|(own, span)| (Some(own), span))) {
            let value = text.get(span.clone()).unwrap_or_default();
            let may_be_one = no_secret_under(own.as_deref(), value).is_none();
            if known.len() < FOUND_MAX && may_be_one && fresh(&known, &span) {
                known.push(span.clone());
                self.push(entry, decoded(text, span), called(own), None);
            }
        }
    }

    fn push(
        &mut self,
        entry: &Entry,
        (value, encoding): (SecretBytes, Encoding),
        name: Option<String>,
        rule: Option<&'static Rule>,
    ) {
        let slot = Some(entry.slot.clone());
        self.found.push(Spotted { at: entry.span.start, value, name, slot, rule, encoding });
    }

    /// The name in a pair of a name and a value.
    fn beside(&self, entry: &Entry) -> Option<String> {
        let Slot::At(pointer) = &entry.slot else { return None };
        let (last, above) = pointer.steps().split_last()?;
        let value = matches!(last.to_ascii_lowercase().as_str(), "value" | "parametervalue");
        self.names.get(above).filter(|_| value).cloned()
    }

    /// Whether the slot is only for passwords.
    fn is_login(&self, slot: &Slot) -> bool {
        matches!(slot, Slot::Entry { part: Part::Password, .. }) || self.format == Format::Whole
    }
}

/// The flag before a value in a list of arguments: `["--api-key", "…"]`.
fn flag(entry: &Entry, before: &Entry) -> Option<String> {
    let (Slot::At(here), Slot::At(there)) = (&entry.slot, &before.slot) else { return None };
    let number = |step: Option<&String>| step.and_then(|step| step.parse::<usize>().ok());
    let (own, other) = (number(here.steps().last())?, number(there.steps().last())?);
    let above = |steps: &[String]| steps.split_last().map(|(_, above)| above.to_vec());
    let same = own == other + 1 && above(here.steps()) == above(there.steps());
    let flag = before.value.as_ref().ok().filter(|_| same)?;
    let flag = std::str::from_utf8(flag.expose()).ok()?.strip_prefix("--")?;
    (!flag.contains('=')).then(|| flag.to_owned())
}
