//! Values of which no copy is left: somebody wrote over them. A process that read one still has it in its memory, behind
//! the name of its variable or in the form of its kind.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keyroll_leak::{Rule, Rules, no_secret};
use keyroll_needle::{Encoding, VALUE_BYTES_MIN};
use keyroll_observe::{MemoryLimits, ProcessId, Search, memory_holds};
use keyroll_secret::SecretBytes;
use memchr::memmem::Finder;

use crate::evidence::{changed_since, variable};
use crate::{Basis, Chain, Instance, Link, LinkRole, Memory, Place, Sighting, Survey, ValueId};

/// The longest value that is taken from behind a name, bytes.
const BEHIND_BYTES_MAX: usize = 512;

/// The most processes whose memory is searched for names.
const PROCESSES_MAX: usize = 64;

/// The most different values that are taken from one process for one name.
const VALUES_MAX: usize = 4;

/// A value without a known form is believed if it is at most so many times as long, or as short, as the present one.
const LENGTHS_APART_MAX: usize = 2;

/// What a process may have read, and what its file holds now.
struct Wanted {
    name: String,
    now: ValueId,
    rule: Option<&'static Rule>,
    bytes: usize,
}

impl Survey {
    /// Searches the memory of each process that has none of the values of a file that it may have read, and is older
    /// than the file's last change: for the name of the variable with another value, and for another value of the same
    /// form.
    pub(crate) fn search_names(&mut self, mut bytes_max: u64, deadline: Instant) {
        let Ok(rules) = Rules::shipped() else { return };
        let mut wanted: BTreeMap<ProcessId, Vec<Wanted>> = BTreeMap::new();
        for service in &self.services {
            for process in &service.processes {
                let Some(instance) = self.instances.get(process).filter(|one| !one.shell) else { continue };
                let all = service.chains.iter().filter_map(|chain| self.wanted(instance, chain));
                wanted.entry(*process).or_default().extend(all);
            }
        }
        wanted.retain(|_, all| !all.is_empty());
        for (process, all) in wanted.into_iter().take(PROCESSES_MAX) {
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait < Duration::from_millis(1) || bytes_max == 0 {
                return;
            }
            let search = Names::of(&all);
            let limits = MemoryLimits { bytes_max, wait, ..MemoryLimits::default() };
            let report = memory_holds(&process, &search, limits);
            bytes_max = bytes_max.saturating_sub(report.bytes_read);
            let same = self.instances.get(&process).is_some_and(|one| !one.program.differs(report.program));
            if !same || !report.visible() {
                continue;
            }
            for (at, found) in search.found.into_inner() {
                if let Some(one) = all.get(at) {
                    self.remember(process, one, found, rules);
                }
            }
        }
    }

    /// What to search for, if this instance may take a value from a file and has none that is known.
    fn wanted(&self, instance: &Instance, chain: &Chain) -> Option<Wanted> {
        // A program that was started without the variable reads the file by itself, whoever seems to read it before.
        let here = self.sightings.iter().filter(|one| one.place.process() == Some(&instance.process));
        let started_with = here.filter_map(|one| variable(&one.place)).any(|name| name == chain.name);
        let reads = |link: &&Link| {
            let may = matches!(link.role, LinkRole::Wins | LinkRole::NotVisible(_));
            let later = link.read_later || link.basis == Basis::Likely || !started_with;
            may && link.value.is_some() && later
        };
        let link = chain.links.iter().find(reads)?;
        let (Memory::Whole(memory) | Memory::InPart(memory)) = &instance.memory else { return None };
        let start = instance.start.as_ref().ok()?;
        let known =
            |link: &Link| link.value.is_some_and(|value| memory.contains(&value) || start.contains(&value));
        if chain.links.iter().any(known) {
            return None;
        }
        let now = link.value?;
        let value = self.values.get(now).filter(|value| !value.common())?;
        let path = link.place.as_ref()?.file()?;
        changed_since(instance, path, link).then(|| Wanted {
            name: chain.name.clone(),
            now,
            rule: value.rule,
            bytes: value.bytes(),
        })
    }

    fn remember(&mut self, process: ProcessId, wanted: &Wanted, found: Found, rules: &'static Rules) {
        let rule = rules.of(found.value.expose());
        let alike = match wanted.rule {
            Some(form) => rule.is_some_and(|rule| rule.id == form.id),
            None => found.named && rule.is_none() && is_plausible(found.value.expose(), wanted.bytes),
        };
        let known = self.values.of(&found.value);
        // Another key of the same form that is known from elsewhere may be there for another purpose.
        if !alike || known == Some(wanted.now) || known.is_some() && !found.named {
            return;
        }
        let Some(value) = self.values.add(found.value, rule) else { return };
        let Some(instance) = self.instances.get_mut(&process) else { return };
        let (Memory::Whole(all) | Memory::InPart(all)) = &mut instance.memory else { return };
        if all.insert(value) {
            *instance.copies.entry(value).or_default() += 1;
            self.sightings.push(Sighting {
                value,
                place: Place::Memory { process },
                name: Some(wanted.name.clone()),
                slot: None,
                encoding: Encoding::Raw,
            });
        }
    }
}

/// Whether a text behind a name may be a value in place of one of this length.
fn is_plausible(text: &[u8], bytes: usize) -> bool {
    let (short, long) = (text.len().min(bytes), text.len().max(bytes));
    let computed = text.iter().any(|byte| b"%${}<>".contains(byte));
    !computed && long <= short.saturating_mul(LENGTHS_APART_MAX) && no_secret(text).is_none()
}

/// A text that was found, and whether it was behind the name.
struct Found {
    value: SecretBytes,
    named: bool,
}

/// Names and public prefixes, and what is behind them.
struct Names {
    finders: Vec<(usize, bool, Finder<'static>)>,
    longest: usize,
    found: RefCell<Vec<(usize, Found)>>,
}

impl Names {
    fn of(all: &[Wanted]) -> Self {
        let mut finders = Vec::new();
        let mut longest = 0;
        for (at, one) in all.iter().enumerate() {
            let name = format!("{}=", one.name);
            let begins = one.rule.into_iter().flat_map(|rule| &rule.begins);
            longest = begins.clone().map(String::len).chain([name.len(), longest]).max().unwrap_or(longest);
            finders.push((at, true, Finder::new(name.as_bytes()).into_owned()));
            finders.extend(begins.map(|begin| (at, false, Finder::new(begin.as_bytes()).into_owned())));
        }
        Self { finders, longest: longest + BEHIND_BYTES_MAX + 2, found: RefCell::default() }
    }

    fn note(&self, at: usize, named: bool, text: &[u8]) {
        let mut found = self.found.borrow_mut();
        let of_name: BTreeSet<&[u8]> =
            found.iter().filter(|(other, _)| *other == at).map(|(_, one)| one.value.expose()).collect();
        if of_name.len() < VALUES_MAX && !of_name.contains(text) {
            found.push((at, Found { value: SecretBytes::new(text.to_vec()), named }));
        }
    }
}

impl Search for Names {
    fn find(&self, bytes: &[u8], _: &mut dyn FnMut(u32, usize)) {
        for (at, named, finder) in &self.finders {
            for start in finder.find_iter(bytes) {
                let behind = if *named { start + finder.needle().len() } else { start };
                let text = text_at(bytes, behind);
                if let Some(text) = text.filter(|text| text.len() >= VALUE_BYTES_MIN) {
                    self.note(*at, *named, text);
                }
            }
        }
    }

    fn longest(&self) -> usize {
        self.longest
    }
}

/// The word that begins here, without quotes; none if the bytes end before it.
fn text_at(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let rest = bytes.get(start..)?;
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let ends = |byte: &u8| !byte.is_ascii_graphic() || b"\"'`;,&|\\".contains(byte);
    let end = rest.iter().take(BEHIND_BYTES_MAX + 1).position(ends)?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_name_ends_where_a_value_ends() {
        for (text, wanted) in [
            ("KEY=abcdefgh\0", Some("abcdefgh")),
            ("KEY='abcdefgh'\n", Some("abcdefgh")),
            ("KEY=\"abcdefgh\" #", Some("abcdefgh")),
            ("KEY=abcdefgh", None),
            ("KEY=\0", Some("")),
        ] {
            assert_eq!(text_at(text.as_bytes(), 4), wanted.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn a_text_that_a_program_would_fill_in_is_no_value() {
        let value = keyroll_testkit::alphanumeric(24);
        assert!(is_plausible(value.as_bytes(), 22));
        assert!(!is_plausible(value.as_bytes(), 64), "it has another length");
        for text in ["%s%s%s%s%s%s%s%s", "${API_KEY_OF_SHOP}", "<your-api-key-here>", "changeme-changeme"] {
            assert!(!is_plausible(text.as_bytes(), text.len()), "{text}");
        }
    }
}
