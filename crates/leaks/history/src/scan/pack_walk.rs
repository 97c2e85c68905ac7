//! Scans a pack: builds every object once from its base, and scans it while both are in memory.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::object::buffer::Buffer;
use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::pack::delta::{self, DeltaSteps};
use crate::pack::delta_tree::{DeltaTree, FailedEntry};
use crate::pack::entry::EntryData;
use crate::pack::{EntryLocation, Pack};
use crate::scan::bounds::Bounds;
use crate::scan::inspector::{HitSink, Inspector};
use crate::scan::object_scan::{DeltaBase, ObjectScan, ScanSummary, ScannedObject};
use crate::scan::skipped::{SkipReason, SkippedItem};

/// The delta trees that a thread takes at once.
const TAKEN: usize = 8;

/// The bytes that all threads have inflated, and whether the limit is reached.
pub(crate) struct InflateBudget<'a> {
    pub(crate) bounds: &'a Bounds,
    bytes: AtomicU64,
    over: AtomicBool,
}

impl<'a> InflateBudget<'a> {
    pub(crate) fn new(bounds: &'a Bounds) -> InflateBudget<'a> {
        InflateBudget { bounds, bytes: AtomicU64::new(0), over: AtomicBool::new(false) }
    }

    pub(crate) fn may(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.bounds.total_bytes_max
        {
            self.over.store(true, Ordering::Relaxed);
        }
    }
}

/// Scans a pack with the number of threads in the bounds.
pub(crate) fn walk<L: Inspector + ?Sized, T: HitSink + ?Sized>(
    pack: (usize, &Pack),
    tree: &DeltaTree,
    inspector: &L,
    sink: &T,
    spent: &InflateBudget<'_>,
) -> (ScanSummary, Vec<FailedEntry>) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = PackWorker {
            number: pack.0,
            pack: pack.1,
            tree,
            spent,
            reader: Reader::new(),
            delta: Buffer::default(),
            steps: DeltaSteps::default(),
            scanner: ObjectScan::new(inspector, sink),
            failed: Vec::new(),
        };
        loop {
            let first = next.fetch_add(TAKEN, Ordering::Relaxed);
            let Some(roots) = tree.roots.get(first..) else { break };
            if roots.is_empty() || !spent.may() {
                break;
            }
            roots.iter().take(TAKEN).for_each(|root| worker.family(*root));
        }
        (worker.scanner.summary, worker.failed)
    };
    let mut all = (ScanSummary::default(), Vec::new());
    let threads = spent.bounds.threads().min(tree.roots.len()).max(1);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut add = |(seen, failed): (ScanSummary, Vec<FailedEntry>)| {
            all.0.join(seen);
            all.1.extend(failed);
        };
        add(work());
        for other in others {
            match other.join() {
                Ok(part) => add(part),
                Err(panicked) => std::panic::resume_unwind(panicked),
            }
        }
    });
    if !spent.may() {
        let bytes_max = spent.bounds.total_bytes_max;
        all.0.skipped.add(SkippedItem::File(pack.1.path().to_path_buf()), SkipReason::Spent { bytes_max });
    }
    all
}

/// One thread.
struct PackWorker<'a, L: ?Sized, T: ?Sized> {
    number: usize,
    pack: &'a Pack,
    tree: &'a DeltaTree,
    spent: &'a InflateBudget<'a>,
    reader: Reader,
    delta: Buffer,
    steps: DeltaSteps,
    scanner: ObjectScan<'a, L, T>,
    failed: Vec<FailedEntry>,
}

/// An object with deltas that are not built yet.
struct BaseFrame {
    number: u32,
    /// `None` if it was dropped to bound memory.
    object: Option<Buffer>,
    known: ScannedObject,
    /// The index of the next delta.
    next: usize,
}

impl<L: Inspector + ?Sized, T: HitSink + ?Sized> PackWorker<'_, L, T> {
    /// Scans the delta tree below an entry that is stored whole, depth first.
    fn family(&mut self, root: u32) {
        let (kind, object, known) = match self.root(root) {
            Ok(made) => made,
            Err(why) => return self.fail(root, why),
        };
        let mut frames = vec![BaseFrame { number: root, object: Some(object), known, next: 0 }];
        while let Some(frame) = frames.last_mut() {
            let children = self.tree.children(frame.number);
            let Some(&child) = children.get(frame.next).filter(|_| self.spent.may()) else {
                if let Some(object) = frames.pop().and_then(|frame| frame.object) {
                    self.reader.pool.give(object);
                }
                continue;
            };
            frame.next += 1;
            let last = frame.next == children.len();
            let made = self.child(kind, child, frame);
            if last && let Some(object) = frames.pop().and_then(|frame| frame.object) {
                self.reader.pool.give(object);
            }
            match made {
                Err(why) => self.fail(child, why),
                Ok((object, _)) if self.tree.children(child).is_empty() => self.reader.pool.give(object),
                Ok((object, known)) => {
                    frames.push(BaseFrame { number: child, object: Some(object), known, next: 0 });
                    self.drop_oldest(&mut frames);
                }
            }
        }
    }

    /// Reads and scans an entry that is stored whole.
    fn root(&mut self, number: u32) -> Result<(ObjectKind, Buffer, ScannedObject), SkipReason> {
        let (place, id) = self.place(number)?;
        let mut object = self.reader.pool.take(0);
        let bytes_max = self.spent.bounds.object_bytes_max;
        let entry = self.pack.entry_at(place, bytes_max, &mut self.reader.inflating(&mut object))?;
        let EntryData::Whole(kind) = entry.stored else {
            return Err(SkipReason::Corrupt("it changed while it was read"));
        };
        self.spent.add(object.bytes().len());
        let known = self.scanner.scan(id, kind, object.bytes(), None, self.tree.is_reported(number));
        Ok((kind, object, known))
    }

    /// Builds an object from its base and scans it.
    fn child(
        &mut self,
        kind: ObjectKind,
        number: u32,
        base: &mut BaseFrame,
    ) -> Result<(Buffer, ScannedObject), SkipReason> {
        let (place, id) = self.place(number)?;
        let bytes_max = self.spent.bounds.object_bytes_max;
        if base.object.is_none() {
            let (from, _) = self.place(base.number)?;
            let (_, object) = self.pack.object_at(self.number, from.offset, bytes_max, &mut self.reader)?;
            self.spent.add(object.bytes().len());
            base.object = Some(object);
        }
        let from = base.object.as_ref().map_or(&[][..], Buffer::bytes);
        let mut delta = std::mem::take(&mut self.delta);
        let inflated = self.pack.entry_at(place, bytes_max, &mut self.reader.inflating(&mut delta));
        let mut object = self.reader.pool.take(from.len());
        let applied =
            inflated.and_then(|_| delta::apply(delta.bytes(), from, &mut object, bytes_max, &mut self.steps));
        self.delta = delta;
        applied?;
        self.spent.add(object.bytes().len());
        let origin = DeltaBase { bytes: from, known: &base.known, steps: &self.steps };
        let known = self.scanner.scan(id, kind, object.bytes(), Some(origin), self.tree.is_reported(number));
        Ok((object, known))
    }

    fn place(&self, number: u32) -> Result<(EntryLocation, ObjectId), SkipReason> {
        const NONE: SkipReason = SkipReason::Corrupt("its id is not in the index");
        let (place, position) = self.tree.place(number, self.pack).ok_or(NONE)?;
        Ok((place, self.pack.index.id(position).ok_or(NONE)?))
    }

    /// Records an entry as failed, with all its deltas.
    fn fail(&mut self, number: u32, why: SkipReason) {
        let mut below = vec![(number, why)];
        while let Some((number, why)) = below.pop() {
            below.extend(self.tree.children(number).iter().map(|child| (*child, SkipReason::NoBase)));
            if let Some((_, position)) =
                self.tree.place(number, self.pack).filter(|_| self.tree.is_reported(number))
            {
                self.failed.push(FailedEntry { position, why });
            }
        }
    }

    /// Bounds memory: drops the oldest objects, which are built again when needed. There are few frames: see
    /// `children` of the delta tree.
    fn drop_oldest(&mut self, frames: &mut [BaseFrame]) {
        let held = |frame: &BaseFrame| frame.object.as_ref().map_or(0, Buffer::held);
        let mut kept: usize = frames.iter().map(held).sum();
        let top = frames.len().saturating_sub(1);
        for frame in frames.iter_mut().take(top) {
            if kept <= self.spent.bounds.kept_bytes_max {
                return;
            }
            if let Some(object) = frame.object.take() {
                kept = kept.saturating_sub(object.held());
                self.reader.pool.give(object);
            }
        }
    }
}
