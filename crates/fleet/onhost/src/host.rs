use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_draft::report;
use keyroll_inventory::{
    Cleaner, Inventory, KnownSecrets, LookLimits, ScanShown, Watched, inspect, resolve_again, secret, why,
};
use keyroll_link::{
    Answers, Call, End, HostHello, Item, ManagedHere, Note, Outbox, VersionHere, bytes_of, digits_of,
    draft_items, scan_items, trace_items, why_items,
};
use keyroll_needle::Needles;
use keyroll_secret::FingerprintKey;
use keyroll_trace::{Managed, ValueId, Version};
use zeroize::Zeroizing;

use crate::check::facts;
use crate::failed::{failed, failed_of, not_meant, not_understood};
use crate::hello::hello;
use crate::leaks::leaks;
use crate::rotate::Rotating;

/// The states that a version may be in.
const STATES: [&str; 5] = ["pending", "current", "previous", "retired", "leaked"];

/// Answers calls about the machine that it runs on.
pub(crate) struct Host {
    /// What the last look saw.
    seen: Option<Inventory>,
    /// The values of which the driver has the fingerprint.
    told: BTreeSet<ValueId>,
    /// Which values the secrets had, by every name that they were shown under. What memory shows may give one another
    /// name; both are right.
    named: BTreeMap<String, BTreeSet<ValueId>>,
    /// The rotation that is open.
    rotating: Rotating,
}

impl Answers for Host {
    fn hello(&mut self, key: &[u8; 32]) -> HostHello {
        let hello = hello(key, &self.rotating.new_key());
        self.rotating.is_on(hello.machine.as_deref());
        hello
    }

    fn answer(&mut self, call: Call, out: &mut Outbox<'_>) -> End {
        let answered = match call {
            Call::Check => {
                facts().into_iter().for_each(|fact| out.item(Item::Fact(fact)));
                Ok(())
            }
            Call::Look { key, roots, wait_s } => self.look(&Zeroizing::new(key), &roots, wait_s, out),
            Call::Name { managed, digits } => self.name(managed, digits),
            Call::Memory { gib, wait_s } => self.memory(gib, wait_s, out),
            Call::Scan => self.seen().map(|seen| send(scan_items(seen.scan()), out)),
            Call::Why { what } => self.why(&what, out),
            Call::Trace { secret: word, evidence } => self.trace(&word, evidence, out),
            Call::Draft { folder, roots, secrets } => self.draft(Path::new(&folder), &roots, &secrets, out),
            Call::Leaks(call) => leaks(*call, out),
            Call::Order { sent_ms, order } => {
                let reply = self.rotating.order(&order, sent_ms, out);
                out.item(Item::Reply(Box::new(reply)));
                Ok(())
            }
        };
        answered.err().unwrap_or(End::Done)
    }
}

impl Host {
    /// Nothing was looked at yet, and no rotation is open.
    pub(crate) fn new(rotating: Rotating) -> Self {
        Self { seen: None, told: BTreeSet::new(), named: BTreeMap::new(), rotating }
    }

    fn seen(&self) -> Result<&Inventory, End> {
        self.seen.as_ref().ok_or_else(nothing_seen)
    }

    /// Inspects processes, environments and files. No value is known beforehand: the driver sends none.
    fn look(&mut self, key: &str, roots: &[String], wait: u64, out: &mut Outbox<'_>) -> Result<(), End> {
        (self.seen, self.told, self.named) = Default::default();
        let key =
            bytes_of(key).map(Zeroizing::new).ok_or_else(|| not_understood("the key has another form"))?;
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        refuse_missing_folder(&roots)?;
        let known = KnownSecrets { key: FingerprintKey::new(&key), managed: Vec::new(), values: Vec::new() };
        let limits = LookLimits { wait, memory: 0 };
        let seen = inspect(&roots, &limits, known, &mut Telling(out)).map_err(|error| {
            let help = "mount /proc on the host";
            failed_of(Code::ProcessesHidden, "search the host", &error, help)
        })?;
        self.seen = Some(seen);
        self.tell_values(out);
        self.remember_names();
        Ok(())
    }

    /// Gives values the names, versions and digits that the driver knows.
    fn name(&mut self, managed: Vec<ManagedHere>, digits: Vec<(u32, String)>) -> Result<(), End> {
        let seen = self.seen.as_mut().ok_or_else(nothing_seen)?;
        let managed: Vec<Managed> =
            managed.into_iter().map(|one| managed_of(one, seen)).collect::<Result<_, End>>()?;
        let digits: Vec<(ValueId, String)> =
            digits.into_iter().map(|(id, digits)| (ValueId(id), digits)).collect();
        seen.name(managed, &digits);
        self.remember_names();
        Ok(())
    }

    /// Searches the memory of processes, and tells the values that are only there.
    fn memory(&mut self, gib: u64, wait: u64, out: &mut Outbox<'_>) -> Result<(), End> {
        let seen = self.seen.as_mut().ok_or_else(nothing_seen)?;
        seen.memory(&LookLimits { wait, memory: gib }, &mut Telling(out));
        self.tell_values(out);
        Ok(())
    }

    fn why(&self, what: &str, out: &mut Outbox<'_>) -> Result<(), End> {
        let seen = self.seen()?;
        let none = BTreeSet::new();
        let before = self.named.get(what).unwrap_or(&none);
        let target = resolve_again(seen, what, before).map_err(not_meant)?;
        send(why_items(why(seen, &target)), out);
        send(seen.missed().into_iter().map(Item::Missed).collect(), out);
        send(seen.refused().then_some(Item::Refused).into_iter().collect(), out);
        Ok(())
    }

    fn trace(&self, word: &str, evidence: bool, out: &mut Outbox<'_>) -> Result<(), End> {
        let seen = self.seen()?;
        let found = secret(seen, word).map_err(not_meant)?;
        send(trace_items(seen.trace(found, evidence)), out);
        Ok(())
    }

    /// Drafts secrets and consumers. A named secret that is not here is left out, unless none of them is.
    fn draft(
        &self,
        folder: &Path,
        roots: &[String],
        words: &[String],
        out: &mut Outbox<'_>,
    ) -> Result<(), End> {
        let seen = self.seen()?;
        if !folder.is_absolute() {
            return Err(not_understood("the folder of the consumers is not absolute"));
        }
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        refuse_missing_folder(&roots)?;
        let (drafts, left_out) = report(seen, folder, &roots, words).map_err(not_meant)?;
        send(draft_items(drafts, left_out, seen.missed(), seen.refused()), out);
        Ok(())
    }

    /// Tells the fingerprints of the values that the driver has not heard of.
    fn tell_values(&mut self, out: &mut Outbox<'_>) {
        for (id, print) in self.seen.iter().flat_map(Inventory::prints) {
            if self.told.insert(id) {
                out.item(Item::Value { id: id.0, print: digits_of(print.as_bytes()) });
            }
        }
    }

    fn remember_names(&mut self) {
        for found in self.seen.iter().flat_map(|seen| &seen.found) {
            self.named.entry(found.name.clone()).or_default().extend(found.values.iter().copied());
        }
    }
}

fn send(items: Vec<Item>, out: &mut Outbox<'_>) {
    items.into_iter().for_each(|item| out.item(item));
}

fn nothing_seen() -> End {
    not_understood("nothing was looked at yet")
}

/// Refuses a folder that does not exist, before anything is inspected. What was typed is not repeated: it may be a value.
fn refuse_missing_folder(roots: &[PathBuf]) -> Result<(), End> {
    for (at, root) in roots.iter().enumerate() {
        if let Err(error) = root.canonicalize() {
            let which = if roots.len() == 1 { "it".to_owned() } else { format!("number {}", at + 1) };
            let help = "name existing folders, or none to search the usual settings folders".to_owned();
            let cause = format!("{which} cannot be reached: {error}");
            return Err(failed(Code::SearchPathUnreadable, "search the named folders", cause, Some(help)));
        }
    }
    Ok(())
}

/// A secret of the driver, of which this host has values.
fn managed_of(one: ManagedHere, seen: &Inventory) -> Result<Managed, End> {
    let mut versions = Vec::new();
    for version in one.versions {
        versions.push(version_of(version, seen)?);
    }
    Ok(Managed { name: one.name, versions })
}

fn version_of(one: VersionHere, seen: &Inventory) -> Result<Version, End> {
    let state = STATES.into_iter().find(|known| *known == one.state);
    let state = state.ok_or_else(|| not_understood("a version has an unknown state"))?;
    let of = |id: u32| seen.survey.values.get(ValueId(id)).map(|value| value.fingerprint);
    let fingerprints = one.values.into_iter().filter_map(of).collect();
    Ok(Version { number: one.number, state, fingerprints })
}

/// Passes on what an inspection says. From the moment that values are found, they are cut out of every text.
struct Telling<'a, 'o>(&'a mut Outbox<'o>);

impl Watched for Telling<'_, '_> {
    fn progress(&mut self, text: &str) {
        self.0.note(Note::Progress(text.to_owned()));
    }

    fn scanned(&mut self, of: ScanShown) {
        self.0.item(Item::Scan(of));
    }

    fn waiting(&mut self, what: String, seconds_max: u64) {
        self.0.note(Note::Waiting { what, seconds_max });
    }

    fn found(&mut self, values: Option<Needles>) {
        self.0.clean_with(Cleaner::new(values));
    }
}
