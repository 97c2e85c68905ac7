use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use keyroll_leak::{Rules, in_text, names_a_secret, no_secret};
use keyroll_needle::{Encoding, Needles};
use keyroll_observe::{Listing, NotVisible, ProcessId, Start, open_files, own_tree, starts};
use keyroll_secret::SecretBytes;

use crate::instance::{Instance, Opened, StartUnseen, instances};
use crate::{Place, Sighting, Unseen, ValueId, Values};

/// How much of the environments and command lines is kept at once, bytes: thousands of ordinary environments.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Shown where an entry has no variable name; the entry itself could be a value.
const UNNAMED: &str = "(no variable)";

/// The running processes, from the first look at them until every value that they may hold is known.
pub(crate) struct Running {
    pub(crate) instances: BTreeMap<ProcessId, Instance>,
    starts: BTreeMap<ProcessId, Start>,
    users: BTreeMap<ProcessId, Option<u32>>,
}

impl Running {
    /// Reads the environment and the command line of every process, and takes values that look like a credential.
    pub(crate) fn look(
        listing: &Listing,
        rules: &'static Rules,
        wait: Duration,
        values: &mut Values,
        sightings: &mut Vec<Sighting>,
        unseen: &mut Vec<Unseen>,
    ) -> Self {
        let users = listing.seen.iter().map(|one| (one.id, one.uid)).collect();
        let instances = instances(listing, &own_tree(listing));
        let mut running = Self { instances, starts: BTreeMap::new(), users };
        running.read(wait, unseen);
        running.leave_executed(listing, unseen);
        for (process, start) in &running.starts {
            in_start(*process, start, rules, values, sightings);
        }
        for process in listing.seen.iter().filter(|one| running.instances.contains_key(&one.id)) {
            let place = Place::Arguments { process: process.id };
            if let Some(title) = process.args.title() {
                take(title, &place, None, rules, values, sightings);
            }
            let mut flag: Option<String> = None;
            process.args.any(|argument| {
                match flag.take() {
                    Some(name) => behind_flag(argument, &place, &name, rules, values, sightings),
                    None => take(argument, &place, None, rules, values, sightings),
                }
                flag = secret_flag(argument);
                false
            });
        }
        running
    }

    /// The start of each process, until [`Running::by_value`].
    pub(crate) fn starts(&self) -> &BTreeMap<ProcessId, Start> {
        &self.starts
    }

    fn read(&mut self, wait: Duration, unseen: &mut Vec<Unseen>) {
        let ids: Vec<ProcessId> = self.instances.keys().copied().collect();
        let mut kept = 0;
        starts(&ids, wait, &mut |process, answer| {
            let answer = answer.and_then(|start| {
                kept += start.bytes();
                if kept > KEPT_BYTES_MAX { Err(NotVisible::TooLarge) } else { Ok(start) }
            });
            match answer {
                Ok(start) => drop(self.starts.insert(*process, start)),
                // The process has ended, and holds nothing.
                Err(NotVisible::Vanished | NotVisible::Replaced) => drop(self.instances.remove(process)),
                Err(reason) => {
                    unseen.push(self.unseen(*process, "environment", &reason));
                    if let Some(instance) = self.instances.get_mut(process) {
                        instance.start = Err(StartUnseen::Hidden(reason));
                    }
                }
            }
        });
    }

    /// Drops a process that has executed another program since the listing: the listing describes the former program.
    fn leave_executed(&mut self, listing: &Listing, unseen: &mut Vec<Unseen>) {
        for listed in &listing.seen {
            if self.starts.get(&listed.id).is_some_and(|start| start.program().differs(listed.program)) {
                self.starts.remove(&listed.id);
                self.instances.remove(&listed.id);
                unseen.push(executed(listed.id, listed.uid));
            }
        }
    }

    fn unseen(&self, process: ProcessId, what: &str, reason: &impl ToString) -> Unseen {
        let uid = self.users.get(&process).copied().flatten();
        Unseen { what: format!("{what} of process {}", process.pid), reason: reason.to_string(), uid }
    }

    /// Searches the starts of the processes for every value again, in any form. Afterwards every instance has the
    /// values that it was started with, and the data that was read is dropped.
    pub(crate) fn by_value(
        &mut self,
        listing: &Listing,
        values: &Values,
        needles: Option<&Needles>,
        sightings: &mut Vec<Sighting>,
        unseen: &mut Vec<Unseen>,
    ) {
        let mut known: BTreeSet<(ValueId, Place)> =
            sightings.iter().map(|one| (one.value, one.place.clone())).collect();
        let mut seen = |bytes: &[u8], place: Place, name: Option<&str>| {
            let Some(needles) = needles else { return };
            needles.find(bytes, &mut |hit| {
                let value = ValueId(hit.id.0);
                let common = values.get(value).is_none_or(crate::Value::common);
                let alone = || name.is_none_or(names_a_secret) && whole(bytes, hit.start, hit.end);
                if (!common || alone()) && known.insert((value, place.clone())) {
                    let (name, encoding) = (name.map(str::to_owned), hit.encoding);
                    sightings.push(Sighting { value, place: place.clone(), name, slot: None, encoding });
                }
            });
        };
        for (process, start) in &self.starts {
            for (name, entry) in start.entries() {
                let variable = name.clone().unwrap_or_else(|| UNNAMED.to_owned());
                seen(entry, Place::Environment { process: *process, variable }, name.as_deref());
            }
            for (name, bytes) in start.credentials().into_iter().flatten() {
                let place = Place::Credential { process: *process, name: name.to_owned() };
                seen(bytes, place, Some(name));
            }
        }
        for process in listing.seen.iter().filter(|one| self.instances.contains_key(&one.id)) {
            let place = Place::Arguments { process: process.id };
            process.args.title().into_iter().for_each(|title| seen(title, place.clone(), None));
            process.args.any(|argument| {
                seen(argument, place.clone(), None);
                false
            });
        }
        let titled = listing.seen.iter().filter(|one| one.args.overwritten()).map(|one| one.id);
        self.started_with(sightings, &titled.collect(), unseen);
    }

    fn started_with(
        &mut self,
        sightings: &[Sighting],
        titled: &BTreeSet<ProcessId>,
        unseen: &mut Vec<Unseen>,
    ) {
        for (process, start) in std::mem::take(&mut self.starts) {
            let hidden = match start.credentials() {
                _ if start.overwritten() => Some(StartUnseen::Overwritten),
                Ok(_) => None,
                Err(reason) => Some(StartUnseen::Hidden(reason)),
            };
            if let Some(reason) = &hidden {
                unseen.push(self.unseen(process, "environment", reason));
            }
            if let Some(instance) = self.instances.get_mut(&process) {
                instance.program = start.program();
                instance.start = hidden.map_or_else(|| Ok(BTreeSet::new()), Err);
            }
        }
        for sighting in sightings {
            let started = match &sighting.place {
                // A title instead of the command line shows nothing about the start.
                Place::Arguments { process } if titled.contains(process) => None,
                Place::Environment { process, .. }
                | Place::Credential { process, .. }
                | Place::Arguments { process } => self.instances.get_mut(process),
                Place::File { .. }
                | Place::Row { .. }
                | Place::Remains { .. }
                | Place::Record { .. }
                | Place::Memory { .. } => None,
            };
            if let Some(Ok(start)) = started.map(|one| one.start.as_mut()) {
                start.insert(sighting.value);
            }
        }
    }

    /// Which of the files with copies, and of these other files, each process has open.
    pub(crate) fn open(
        &mut self,
        sightings: &[Sighting],
        others: &[&Path],
        wait: Duration,
        unseen: &mut Vec<Unseen>,
    ) {
        let mut of_path: BTreeMap<&Path, BTreeSet<ValueId>> =
            others.iter().map(|path| (*path, BTreeSet::new())).collect();
        for sighting in sightings {
            if let Some(path) = sighting.place.file() {
                of_path.entry(path).or_default().insert(sighting.value);
            }
        }
        let mut of_file: BTreeMap<(u64, u64), (&Path, &BTreeSet<ValueId>)> = BTreeMap::new();
        for (path, values) in &of_path {
            if let Ok(data) = std::fs::symlink_metadata(path) {
                of_file.insert((data.dev(), data.ino()), (path, values));
            }
        }
        if of_path.is_empty() {
            return;
        }
        let ids: Vec<ProcessId> = self.instances.keys().copied().collect();
        open_files(&ids, wait, &mut |process, answer| match answer {
            Ok(files) => {
                let Some(instance) = self.instances.get_mut(process) else { return };
                for file in files {
                    if let Some((path, values)) = of_file.get(&file.file) {
                        instance.open.insert(Opened { path: path.to_path_buf(), replaced: false });
                        instance.read.extend(*values);
                    } else if file.removed && of_path.contains_key(file.path.as_path()) {
                        instance.open.insert(Opened { path: file.path, replaced: true });
                    }
                }
            }
            Err(NotVisible::Vanished | NotVisible::Replaced) => drop(self.instances.remove(process)),
            Err(reason) => unseen.push(self.unseen(*process, "open files", &reason)),
        });
    }
}

/// A process that ran another program than the one that was inspected, or runs one by now.
pub(crate) fn executed(process: ProcessId, uid: Option<u32>) -> Unseen {
    let (what, reason) =
        (format!("process {}", process.pid), "it executed another program in the meantime".to_owned());
    Unseen { what, reason, uid }
}

/// The name of an option whose value is the next argument and a secret: `--api-key`.
fn secret_flag(argument: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(argument.strip_prefix(b"--")?).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (name.bytes().all(plain) && names_a_secret(name)).then(|| name.to_owned())
}

/// The value after such an option: the whole argument, unless a part of it looks like a credential of its own.
fn behind_flag(
    argument: &[u8],
    place: &Place,
    name: &str,
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut Vec<Sighting>,
) {
    let before = sightings.len();
    take(argument, place, Some(name), rules, values, sightings);
    if sightings.len() > before || argument.starts_with(b"-") || no_secret(argument).is_some() {
        return;
    }
    if let Some(value) = values.add(SecretBytes::new(argument.to_vec()), None) {
        let (place, name, encoding) = (place.clone(), Some(name.to_owned()), Encoding::Raw);
        sightings.push(Sighting { value, place, name, slot: None, encoding });
    }
}

/// Whether a match is everything after the name.
fn whole(entry: &[u8], start: usize, end: usize) -> bool {
    let begins = start.checked_sub(1).is_none_or(|before| entry.get(before) == Some(&b'='));
    begins && end == entry.len()
}

fn in_start(
    process: ProcessId,
    start: &Start,
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut Vec<Sighting>,
) {
    for (name, entry) in start.entries() {
        let variable = name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        take(entry, &Place::Environment { process, variable }, name.as_deref(), rules, values, sightings);
    }
    for (name, bytes) in start.credentials().into_iter().flatten() {
        let place = Place::Credential { process, name: name.to_owned() };
        take(bytes, &place, Some(name), rules, values, sightings);
    }
}

/// The values in some bytes that look like a credential. The name is that of the slot. Without a slot it is a name in
/// the bytes that is known to be one (`--api-key=…`): any other name could be a value.
fn take(
    bytes: &[u8],
    place: &Place,
    name: Option<&str>,
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut Vec<Sighting>,
) {
    for one in in_text(bytes, rules) {
        let found = SecretBytes::new(bytes.get(one.span).unwrap_or_default().to_vec());
        if let Some(value) = values.add(found, one.rule) {
            let name = name.map(str::to_owned).or_else(|| one.name.filter(|name| names_a_secret(name)));
            let (place, encoding) = (place.clone(), Encoding::Raw);
            sightings.push(Sighting { value, place, name, slot: None, encoding });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use keyroll_observe::{Process, process, processes};
    use keyroll_secret::FingerprintKey;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn one_that_executes_another_program_after_it_was_listed_is_left_and_named() {
        let mut command = Command::new("sh");
        command.args(["-c", "read line; exec sleep 600"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let asked = Instant::now();
        let pid = child.id();
        // Right after the name is changed, the addresses of the new program are not set yet.
        let runs = |one: &Process| one.name == "sh" && !one.forked && one.program.number() != 0;
        while !process(pid).is_ok_and(|one| runs(&one)) && asked.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let listing = processes(PATIENCE).unwrap();
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        // The kernel changes the name first, and the program later.
        let listed = listing.seen.iter().find(|one| one.id.pid == pid).unwrap().program;
        let other = || process(pid).is_ok_and(|one| one.name == "sleep" && listed.differs(one.program));
        while !other() && asked.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let rules = Rules::shipped().unwrap();
        let mut values = Values::new(FingerprintKey::new(&[7; 32]));
        let (mut sightings, mut unseen) = (Vec::new(), Vec::new());
        let running = Running::look(&listing, rules, PATIENCE, &mut values, &mut sightings, &mut unseen);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(running.instances.keys().all(|one| one.pid != pid));
        let named = unseen.iter().find(|one| one.what == format!("process {pid}")).unwrap();
        assert_eq!(named.reason, "it executed another program in the meantime");
    }
}
