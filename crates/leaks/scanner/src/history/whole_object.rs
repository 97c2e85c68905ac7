//! Scans objects of a history whole, as files: archives, UTF-16 and databases; and if rules depend on paths, all
//! objects in which they may match.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use keyroll_history::{
    Blob, Bounds, History, Hit, HitSink, Inspector, ObjectId, Origin, Provenance, SkipList,
};

use crate::detector::text_kind::NamedReading;
use crate::finding::{Finding, FindingKind, FindingPlace, Identity};
use crate::history::dedup::{DedupedFindings, FindingKey, Occurrence};
use crate::history::git_names::{as_path, elsewhere, nowhere, short};
use crate::history::message::Message;
use crate::report::{FINDINGS_MAX, SKIPPED_MAX};
use crate::scan::{Location, Worker};
use crate::unpack::AS_RAW_BYTES;
use crate::unpack::format::PackedFormat;
use crate::{Scan, Skipped};

/// The objects that a thread takes at once.
const TAKEN: usize = 8;

/// The most threads: each holds packed content in memory, partly unpacked.
const THREADS_MAX: usize = 8;

/// The most bytes that all packed objects of a history unpack to: on two processors a quarter of an hour. Others are
/// scanned as raw bytes.
const UNPACKED_BYTES_MAX: u64 = 256 << 30;

/// The results of all threads.
#[derive(Default)]
pub(crate) struct WholeObjectResults<'p> {
    /// Unpacked bytes.
    unpacked: u64,
    pub(crate) told: DedupedFindings<'p>,
    /// Findings in unreachable objects, which have no commit. Each once.
    pub(crate) nowhere: BTreeMap<(FindingKind, Identity, Vec<String>), Finding>,
    /// By path and reason, so that many versions of one file are listed once.
    pub(crate) skipped: BTreeMap<(String, String), String>,
    /// Unreadable objects, and the number of other skipped ones.
    pub(crate) more: SkipList,
}

impl Scan<'_> {
    /// Scans these objects at each of their paths.
    pub(crate) fn again<'p>(
        &self,
        history: &History,
        ids: &BTreeSet<ObjectId>,
        from: &'p Provenance,
        told: DedupedFindings<'p>,
    ) -> WholeObjectResults<'p> {
        let ids: Vec<ObjectId> = ids.iter().copied().collect();
        let all = Mutex::new(WholeObjectResults { told, ..WholeObjectResults::default() });
        let next = AtomicUsize::new(0);
        let work = || {
            let by_path = self.detector().depends_on_path();
            let worker = Mutex::new(Worker::new(self));
            let again =
                WholeObjectScan { from, by_path, unpacked_bytes_max: UNPACKED_BYTES_MAX, worker, all: &all };
            loop {
                let first = next.fetch_add(TAKEN, Ordering::Relaxed);
                let Some(rest) = ids.get(first..).filter(|rest| !rest.is_empty()) else { return };
                let some = rest.get(..TAKEN).unwrap_or(rest);
                let seen = history.scan_objects(some, &again, &again, &Bounds::default());
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
struct WholeObjectScan<'a, 'p, 's> {
    from: &'p Provenance,
    /// Whether findings depend on the path.
    by_path: bool,
    /// The most bytes that all of them may unpack to.
    unpacked_bytes_max: u64,
    worker: Mutex<Worker<'s>>,
    all: &'a Mutex<WholeObjectResults<'p>>,
}

impl<'p> WholeObjectScan<'_, 'p, '_> {
    fn all(&self) -> MutexGuard<'_, WholeObjectResults<'p>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The findings of an object at one path.
    fn whole(
        &self,
        blob: &Blob<'_>,
        source: &str,
        path: Option<&Path>,
        commit: Option<&str>,
    ) -> Vec<Finding> {
        let at = Location { source: Some(source), path, inside: &[] };
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = PackedFormat::of(blob.bytes).is_none() || self.all().unpacked < self.unpacked_bytes_max;
        let unpacked = match opened {
            true => worker.whole(at, blob.bytes, commit),
            false => {
                let gib = self.unpacked_bytes_max >> 30;
                worker.skip(
                    at,
                    format!("the packed files of this history unpack to more than {gib} GiB: {AS_RAW_BYTES}"),
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

impl Inspector for WholeObjectScan<'_, '_, '_> {
    fn inspect(&self, blob: &Blob<'_>, _: &mut Vec<Hit>) {
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
        // Unpacked once for all paths that are read alike, unless rules depend on paths.
        let mut known: Vec<(NamedReading, Vec<Finding>)> = Vec::new();
        for origin in origins {
            let (first, path) = (origin.commit.to_string(), as_path(&origin.path));
            let within = NamedReading::of(&path);
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
        // Rules that depend on paths may match at an unlisted path.
        let is_told = self.by_path || known.iter().any(|(_, found)| !found.is_empty());
        if is_told && from.is_some_and(|found| found.more > 0) {
            self.all().skip("", vec![elsewhere(&blob.id)]);
        }
    }
}

impl HitSink for WholeObjectScan<'_, '_, '_> {
    fn found(&self, _: &Blob<'_>, _: &[Hit]) {}
}

impl<'p> WholeObjectResults<'p> {
    fn add(&mut self, origin: &'p Origin, path: Option<&Path>, one: Finding) {
        let place = one.place;
        // A match of the path alone is not reported in a history.
        if place.start == place.end {
            return;
        }
        let (path, inside) = (path.map(Path::to_owned), place.inside);
        self.told.add(
            FindingKey { what: one.what, identity: one.identity, form: one.form, path, inside },
            Occurrence {
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
            // The choice is the same in any order of threads, and an open finding wins.
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

fn rank(one: &Finding) -> (bool, &FindingPlace) {
    (one.accepted.is_some(), &one.place)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use keyroll_history::ObjectKind;
    use keyroll_leak::Rules;
    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::{Detector, KnownValues};

    #[test]
    fn when_all_have_unpacked_to_too_much_the_others_are_named_and_scanned_as_raw_bytes() {
        let text = |number: u32| format!(" glpat-{}{number} {}", "kD93hfQ0plm4XyT7", "x ".repeat(1_000));
        let key = FingerprintKey::new(&[1; 32]);
        let detector = Detector::new(KnownValues::default(), key).with_rules(Rules::shipped().unwrap());
        let (scan, from) = (Scan::new(&detector, "2026-11-21".parse().unwrap()), Provenance::default());
        let all = Mutex::default();
        let worker = Mutex::new(Worker::new(&scan));
        let again =
            WholeObjectScan { from: &from, by_path: false, unpacked_bytes_max: 3_000, worker, all: &all };
        let packed = |number: u32| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(text(number).as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let look = |number: u8, bytes: &[u8]| {
            let id = ObjectId::from_bytes(&[number; 20]).unwrap();
            again.inspect(&Blob { id, kind: ObjectKind::Blob, bytes, windows: &[] }, &mut Vec::new());
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
        assert!(why.contains("unpack to more than"), "{why}");
    }
}
