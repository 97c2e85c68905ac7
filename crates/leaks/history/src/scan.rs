//! Scans every object once: packs, then loose objects, then other copies of unreadable objects.

pub(crate) mod bounds;
pub(crate) mod changed_windows;
pub(crate) mod hit;
pub(crate) mod inspector;
pub(crate) mod object_scan;
pub(crate) mod pack_walk;
pub(crate) mod skipped;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::history::History;
use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::object::loose;
use crate::object::reader::Reader;
use crate::object::store::ObjectStore;
use crate::pack::delta_tree::{DeltaTree, FailedEntry};
use crate::scan::bounds::Bounds;
use crate::scan::inspector::{HitSink, Inspector};
use crate::scan::object_scan::{ObjectScan, ScanSummary};
use crate::scan::pack_walk::{InflateBudget, walk};
use crate::scan::skipped::{SkipReason, SkippedItem};

impl History {
    /// Scans every blob, commit and tag of the repository once, reachable or not.
    ///
    /// Unreadable objects are listed in [`ScanSummary::skipped`]; the others are scanned. Nothing is written, so a
    /// crash leaves nothing behind.
    pub fn scan<L: Inspector + ?Sized, T: HitSink + ?Sized>(
        &self,
        inspector: &L,
        sink: &T,
        bounds: &Bounds,
    ) -> ScanSummary {
        let spent = InflateBudget::new(bounds);
        let store = self.store();
        let mut summary = ScanSummary::default();
        summary.skipped.join(self.skipped().clone());
        let mut failed = Vec::new();
        for (number, pack) in store.packs.iter().enumerate().take_while(|_| spent.may()) {
            let is_first = |id: &ObjectId| !store.packs.iter().take(number).any(|earlier| earlier.has(id));
            let mut faults = Vec::new();
            let tree = DeltaTree::of(pack, is_first, &mut faults);
            let (part, more) = walk((number, pack), &tree, inspector, sink, &spent);
            summary.join(part);
            let named = |fault: &FailedEntry| pack.index.id(fault.position).is_none_or(|id| is_first(&id));
            failed.extend(faults.into_iter().chain(more).filter(named).map(|fault| (number, fault)));
        }
        summary.join(loose_objects(store, inspector, sink, &spent));
        summary.join(retry_failed(store, failed, inspector, sink, &spent));
        self.at_head(&mut summary.skipped);
        summary
    }

    /// Scans only these objects, each whole.
    pub fn scan_objects<L: Inspector + ?Sized, T: HitSink + ?Sized>(
        &self,
        ids: &[ObjectId],
        inspector: &L,
        sink: &T,
        bounds: &Bounds,
    ) -> ScanSummary {
        let mut scanner = ObjectScan::new(inspector, sink);
        let mut reader = Reader::new();
        for id in ids {
            match self.store().read(id, bounds.object_bytes_max, &mut reader, None) {
                Ok((kind, object)) => {
                    scanner.scan(*id, kind, object.bytes(), None, true);
                    reader.pool.give(object);
                }
                Err(why) => scanner.summary.skipped.add(SkippedItem::Object(*id), why),
            }
        }
        scanner.summary
    }
}

/// Scans the loose objects that are in no pack.
fn loose_objects<L: Inspector + ?Sized, T: HitSink + ?Sized>(
    store: &ObjectStore,
    inspector: &L,
    sink: &T,
    spent: &InflateBudget<'_>,
) -> ScanSummary {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(ScanSummary::default());
    let work = || {
        let mut scanner = ObjectScan::new(inspector, sink);
        let mut reader = Reader::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (folder, first) = (turn / loose::FOLDERS, turn % loose::FOLDERS);
            let Some(objects) = store.folders.get(folder).filter(|_| spent.may()) else { break };
            for id in loose::list(objects, first, store.format, &mut scanner.summary.skipped) {
                let before =
                    || store.folders.iter().take(folder).any(|other| loose::path(other, &id).exists());
                if store.packs.iter().any(|pack| pack.has(&id)) || before() {
                    continue;
                }
                let path = loose::path(objects, &id);
                match loose::read(&path, spent.bounds.object_bytes_max, &mut reader) {
                    Ok((ObjectKind::Tree, object)) => reader.pool.give(object),
                    Ok((kind, object)) => {
                        spent.add(object.bytes().len());
                        scanner.scan(id, kind, object.bytes(), None, true);
                        reader.pool.give(object);
                    }
                    Err(why) => scanner.summary.skipped.add(SkippedItem::Object(id), why),
                }
            }
        }
        if let Ok(mut all) = all.lock() {
            all.join(scanner.summary);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..spent.bounds.threads() {
            scope.spawn(work);
        }
        work();
    });
    let mut summary = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !spent.may() {
        summary
            .skipped
            .add(SkippedItem::History, SkipReason::Spent { bytes_max: spent.bounds.total_bytes_max });
    }
    summary
}

/// Reads objects that failed in one pack from other packs or from loose files.
fn retry_failed<L: Inspector + ?Sized, T: HitSink + ?Sized>(
    store: &ObjectStore,
    failed: Vec<(usize, FailedEntry)>,
    inspector: &L,
    sink: &T,
    spent: &InflateBudget<'_>,
) -> ScanSummary {
    let mut scanner = ObjectScan::new(inspector, sink);
    let mut reader = Reader::new();
    for (number, FailedEntry { position, why }) in failed {
        let Some(pack) = store.packs.get(number) else { continue };
        let id = pack.index.id(position);
        let other = id.filter(|_| spent.may() && !matches!(why, SkipReason::Large { .. })).and_then(|id| {
            let read = store.read(&id, spent.bounds.object_bytes_max, &mut reader, Some(number));
            read.ok().map(|(kind, object)| (id, kind, object))
        });
        match other {
            Some((_, ObjectKind::Tree, _)) => {}
            Some((id, kind, object)) => {
                spent.add(object.bytes().len());
                scanner.scan(id, kind, object.bytes(), None, true);
                reader.pool.give(object);
            }
            None => scanner.summary.skipped.add(pack.what(position), why),
        }
    }
    scanner.summary
}
