//! Objects of a history that are looked at whole, as the files that they were: what is packed, in UTF-16, or a database; and
//! where rules go by paths, all in which they may find something.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use keyroll_history::{Blob, Bounds, History, Hit, Look, ObjectId, Origin, Provenance, Skips, Take};
use keyroll_leak::Text;

use crate::finding::{Finding, Identity, Place, What};
use crate::history::as_path;
use crate::history::message::Message;
use crate::history::told::{Held, Subject, Told, elsewhere, short};
use crate::report::{FINDINGS_MAX, SKIPPED_MAX};
use crate::scan::{At, Worker};
use crate::tree::text_of;
use crate::unpack::AS_IT_STANDS;
use crate::unpack::packed::Packed;
use crate::{Scan, Skipped};

/// How many objects a thread takes at once.
const TAKEN: usize = 8;

/// The most threads: what is packed is held in memory, unpacked in part.
const THREADS_MAX: usize = 8;

/// The most that all packed objects of a history unpack to, bytes, and what is being unpacked when it is reached: on two
/// processors a quarter of an hour. The others are looked at as they stand.
const UNPACKED_BYTES_MAX: u64 = 256 << 30;

/// What all threads come to.
#[derive(Default)]
pub(crate) struct Looked<'p> {
    /// What was unpacked, bytes.
    unpacked: u64,
    pub(crate) told: Told<'p>,
    /// What no reference leads to: it has no commit. Each once.
    pub(crate) nowhere: BTreeMap<(What, Identity, Vec<String>), Finding>,
    /// By the way to it and the reason, so that of many versions of one file one is named.
    pub(crate) skipped: BTreeMap<(String, String), String>,
    /// Objects that could not be read, and how many more ways there are.
    pub(crate) more: Skips,
}

impl Scan<'_> {
    /// Looks at these objects, each under every path that it had.
    pub(crate) fn again<'p>(
        &self,
        history: &History,
        ids: &BTreeSet<ObjectId>,
        from: &'p Provenance,
        told: Told<'p>,
    ) -> Looked<'p> {
        let ids: Vec<ObjectId> = ids.iter().copied().collect();
        let all = Mutex::new(Looked { told, ..Looked::default() });
        let next = AtomicUsize::new(0);
        let work = || {
            let by_path = self.seeker().goes_by_path();
            let worker = Mutex::new(Worker::new(self));
            let again = Again { from, by_path, unpacked_bytes_max: UNPACKED_BYTES_MAX, worker, all: &all };
            loop {
                let first = next.fetch_add(TAKEN, Ordering::Relaxed);
                let Some(rest) = ids.get(first..).filter(|rest| !rest.is_empty()) else { return };
                let some = rest.get(..TAKEN).unwrap_or(rest);
                let seen = history.look_at(some, &again, &again, &Bounds::default());
                all.lock().unwrap_or_else(PoisonError::into_inner).more.join(seen.skipped);
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        thread::scope(|scope| {
            for _ in 1..threads.min(ids.len().div_ceil(TAKEN)) {
                scope.spawn(work);
            }
            work();
        });
        all.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread.
struct Again<'a, 'p, 's> {
    from: &'p Provenance,
    /// Whether what is found depends on the path.
    by_path: bool,
    /// What all of them may unpack to, bytes.
    unpacked_bytes_max: u64,
    worker: Mutex<Worker<'s>>,
    all: &'a Mutex<Looked<'p>>,
}

impl<'p> Again<'_, 'p, '_> {
    fn all(&self) -> MutexGuard<'_, Looked<'p>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an object has as the file that it was there.
    fn whole(
        &self,
        blob: &Blob<'_>,
        source: &str,
        path: Option<&Path>,
        commit: Option<&str>,
    ) -> Vec<Finding> {
        let at = At { source: Some(source), path, inside: &[] };
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = Packed::of(blob.bytes).is_none() || self.all().unpacked < self.unpacked_bytes_max;
        let unpacked = match opened {
            true => worker.whole(at, blob.bytes, commit),
            false => {
                let gib = self.unpacked_bytes_max >> 30;
                worker.skip(
                    at,
                    format!("what is packed in this history unpacks to more than {gib} GiB: {AS_IT_STANDS}"),
                );
                worker.text(at, &mut &*blob.bytes);
                0
            }
        };
        let found = worker.taken();
        let mut all = self.all();
        all.unpacked = all.unpacked.saturating_add(unpacked);
        all.told.left_out += found.findings_left_out;
        all.skip(source, found.skipped);
        found.findings
    }
}

impl Look for Again<'_, '_, '_> {
    fn look(&self, blob: &Blob<'_>, _: &mut Vec<Hit>) {
        let from = self.from.objects.get(&blob.id);
        let origins = from.map_or(&[][..], |found| &found.origins);
        let message = Message::of(blob);
        let told = |mut one: Finding| {
            message.iter().for_each(|message| message.tell(&mut one.place));
            one
        };
        if origins.is_empty() {
            let found = self.whole(blob, &nowhere(&blob.id), None, None);
            found.into_iter().map(told).for_each(|one| self.all().lost(one));
        }
        // What is packed is unpacked once for all of its paths, unless rules go by them: but for whether they hold settings.
        let mut known: Vec<(Text, Vec<Finding>)> = Vec::new();
        for origin in origins {
            let (first, path) = (origin.commit.to_string(), as_path(&origin.path));
            let within = text_of(&path);
            let path = (!origin.path.is_empty()).then_some(&*path);
            known.retain(|_| !self.by_path);
            if !known.iter().any(|(kind, _)| *kind == within) {
                let source = format!("commit {}", short(&first));
                let found = self.whole(blob, &source, path, Some(&first));
                known.push((within, found.into_iter().map(told).collect()));
            }
            let found = known.iter().filter(|(kind, _)| *kind == within).flat_map(|(_, found)| found);
            let mut all = self.all();
            found.for_each(|one| all.add(origin, path, one.clone()));
        }
        // Where rules go by paths, under another one they may find what they found under none of these.
        let is_told = self.by_path || known.iter().any(|(_, found)| !found.is_empty());
        if is_told && from.is_some_and(|found| found.more > 0) {
            self.all().skip("", vec![elsewhere(&blob.id)]);
        }
    }
}

impl Take for Again<'_, '_, '_> {
    fn found(&self, _: &Blob<'_>, _: &[Hit]) {}
}

impl<'p> Looked<'p> {
    fn add(&mut self, origin: &'p Origin, path: Option<&Path>, one: Finding) {
        let place = one.place;
        // A rule that goes by the path alone: in a history it is told of no object.
        if place.start == place.end {
            return;
        }
        let (path, inside) = (path.map(Path::to_owned), place.inside);
        self.told.add(
            Subject { what: one.what, identity: one.identity, form: one.form, path, inside },
            Held {
                first: origin,
                last: origin,
                start: place.start,
                end: place.end,
                name: one.name,
                accepted: one.accepted,
                remark: one.remark,
            },
        );
    }

    fn lost(&mut self, one: Finding) {
        if one.place.start == one.place.end {
            return;
        }
        let subject = (one.what.clone(), one.identity.clone(), one.place.inside.clone());
        if let Some(known) = self.nowhere.get_mut(&subject) {
            // The same one whichever thread is first, and one that nobody accepted before all others.
            if rank(&one) < rank(known) {
                *known = one;
            }
        } else if self.nowhere.len() < FINDINGS_MAX {
            self.nowhere.insert(subject, one);
        } else {
            self.told.left_out += 1;
        }
    }

    fn skip(&mut self, source: &str, skipped: Vec<Skipped>) {
        for Skipped { what, why } in skipped {
            let way = what.strip_prefix(source).unwrap_or(&what).to_owned();
            if self.skipped.len() < SKIPPED_MAX {
                self.skipped.entry((way, why)).or_insert(what);
            } else if !self.skipped.contains_key(&(way, why)) {
                self.more.more += 1;
            }
        }
    }
}

fn rank(one: &Finding) -> (bool, &Place) {
    (one.accepted.is_some(), &one.place)
}

/// What is in no commit.
pub(crate) fn nowhere(id: &ObjectId) -> String {
    format!("git object {id}, in no commit that a reference leads to")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use keyroll_history::Kind;
    use keyroll_leak::Rules;
    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::{Known, Seeker};

    #[test]
    fn when_all_have_unpacked_to_too_much_the_others_are_named_and_looked_at_as_they_stand() {
        let text = |number: u32| format!(" glpat-{}{number} {}", "kD93hfQ0plm4XyT7", "x ".repeat(1_000));
        let key = FingerprintKey::new(&[1; 32]);
        let seeker = Seeker::new(Known::default(), key).with_rules(Rules::shipped().unwrap());
        let (scan, from) = (Scan::new(&seeker, "2026-11-21".parse().unwrap()), Provenance::default());
        let all = Mutex::default();
        let worker = Mutex::new(Worker::new(&scan));
        let again = Again { from: &from, by_path: false, unpacked_bytes_max: 3_000, worker, all: &all };
        let packed = |number: u32| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(text(number).as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let look = |number: u8, bytes: &[u8]| {
            let id = ObjectId::from_bytes(&[number; 20]).unwrap();
            again.look(&Blob { id, kind: Kind::Blob, bytes, windows: &[] }, &mut Vec::new());
            let all = all.lock().unwrap();
            (all.nowhere.len(), all.skipped.len())
        };
        assert_eq!(look(1, &packed(1_234)), (1, 0));
        assert_eq!(look(2, &packed(2_345)), (2, 0));
        assert_eq!(look(3, &packed(3_456)), (2, 1), "more than 3,000 bytes were unpacked");
        let beside = [packed(4_567), text(4_567).into_bytes()].concat();
        assert_eq!(look(4, &beside), (3, 1), "as it stands");
        assert_eq!(look(5, text(5_678).as_bytes()), (4, 1), "it is not packed");
        let all = all.lock().unwrap();
        let why = &all.skipped.keys().next().unwrap().1;
        assert!(why.contains("unpacks to more than"), "{why}");
    }
}
