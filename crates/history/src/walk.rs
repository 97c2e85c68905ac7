//! The walk through a pack: every object is made once from its base and looked at while both are there.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::bounds::Bounds;
use crate::buffer::Buffer;
use crate::delta::{self, Steps};
use crate::delta_tree::{DeltaTree, Failed};
use crate::entry::Told;
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::look::{Look, Take};
use crate::pack::{Pack, Place};
use crate::reader::Reader;
use crate::seen::{Base, Known, Looker, Seen};
use crate::skipped::{What, Why};

/// How many trees a thread takes at once.
const TAKEN: usize = 8;

/// What all threads of all packs share: how much was inflated, and whether that was enough.
pub(crate) struct Spent<'a> {
    pub(crate) bounds: &'a Bounds,
    bytes: AtomicU64,
    over: AtomicBool,
}

impl<'a> Spent<'a> {
    pub(crate) fn new(bounds: &'a Bounds) -> Spent<'a> {
        Spent { bounds, bytes: AtomicU64::new(0), over: AtomicBool::new(false) }
    }

    /// Whether more may be inflated.
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

/// Walks a pack with as many threads as the bounds say.
pub(crate) fn walk<L: Look + ?Sized, T: Take + ?Sized>(
    pack: (usize, &Pack),
    tree: &DeltaTree,
    look: &L,
    take: &T,
    spent: &Spent<'_>,
) -> (Seen, Vec<Failed>) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = Worker {
            number: pack.0,
            pack: pack.1,
            tree,
            spent,
            reader: Reader::new(),
            told: Buffer::default(),
            steps: Steps::default(),
            looker: Looker::new(look, take),
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
        (worker.looker.seen, worker.failed)
    };
    let mut all = (Seen::default(), Vec::new());
    let threads = spent.bounds.threads().min(tree.roots.len()).max(1);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut add = |(seen, failed): (Seen, Vec<Failed>)| {
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
        all.0.skipped.add(What::File(pack.1.path().to_path_buf()), Why::Spent { bytes_max });
    }
    all
}

/// One thread.
struct Worker<'a, L: ?Sized, T: ?Sized> {
    number: usize,
    pack: &'a Pack,
    tree: &'a DeltaTree,
    spent: &'a Spent<'a>,
    reader: Reader,
    told: Buffer,
    steps: Steps,
    looker: Looker<'a, L, T>,
    failed: Vec<Failed>,
}

/// An object from which others are still to be made.
struct Frame {
    number: u32,
    /// Nothing if too much was kept.
    object: Option<Buffer>,
    known: Known,
    /// Which of the entries below it is the next.
    next: usize,
}

impl<L: Look + ?Sized, T: Take + ?Sized> Worker<'_, L, T> {
    /// Walks the tree below an entry that is told whole, depth first.
    fn family(&mut self, root: u32) {
        let (kind, object, known) = match self.root(root) {
            Ok(made) => made,
            Err(why) => return self.fail(root, why),
        };
        let mut frames = vec![Frame { number: root, object: Some(object), known, next: 0 }];
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
                    frames.push(Frame { number: child, object: Some(object), known, next: 0 });
                    self.drop_oldest(&mut frames);
                }
            }
        }
    }

    /// Inflates and looks at an entry that is told whole.
    fn root(&mut self, number: u32) -> Result<(Kind, Buffer, Known), Why> {
        let (place, id) = self.place(number)?;
        let mut object = self.reader.pool.take(0);
        let bytes_max = self.spent.bounds.object_bytes_max;
        let entry = self.pack.entry_at(place, bytes_max, &mut self.reader.inflating(&mut object))?;
        let Told::Whole(kind) = entry.told else {
            return Err(Why::Corrupt("it has changed while it was read"));
        };
        self.spent.add(object.bytes().len());
        let known = self.looker.look(id, kind, object.bytes(), None, self.tree.is_told(number));
        Ok((kind, object, known))
    }

    /// Makes an object from its base and looks at it.
    fn child(&mut self, kind: Kind, number: u32, base: &mut Frame) -> Result<(Buffer, Known), Why> {
        let (place, id) = self.place(number)?;
        let bytes_max = self.spent.bounds.object_bytes_max;
        if base.object.is_none() {
            let (from, _) = self.place(base.number)?;
            let (_, object) = self.pack.object_at(self.number, from.offset, bytes_max, &mut self.reader)?;
            self.spent.add(object.bytes().len());
            base.object = Some(object);
        }
        let from = base.object.as_ref().map_or(&[][..], Buffer::bytes);
        let mut told = std::mem::take(&mut self.told);
        let inflated = self.pack.entry_at(place, bytes_max, &mut self.reader.inflating(&mut told));
        let mut object = self.reader.pool.take(from.len());
        let applied =
            inflated.and_then(|_| delta::apply(told.bytes(), from, &mut object, bytes_max, &mut self.steps));
        self.told = told;
        applied?;
        self.spent.add(object.bytes().len());
        let origin = Base { bytes: from, known: &base.known, steps: &self.steps };
        let known = self.looker.look(id, kind, object.bytes(), Some(origin), self.tree.is_told(number));
        Ok((object, known))
    }

    fn place(&self, number: u32) -> Result<(Place, ObjectId), Why> {
        const NONE: Why = Why::Corrupt("its name is not in the index");
        let (place, position) = self.tree.place(number, self.pack).ok_or(NONE)?;
        Ok((place, self.pack.index.id(position).ok_or(NONE)?))
    }

    /// An entry that cannot be read, and all below it.
    fn fail(&mut self, number: u32, why: Why) {
        let mut below = vec![(number, why)];
        while let Some((number, why)) = below.pop() {
            below.extend(self.tree.children(number).iter().map(|child| (*child, Why::NoBase)));
            if let Some((_, position)) =
                self.tree.place(number, self.pack).filter(|_| self.tree.is_told(number))
            {
                self.failed.push(Failed { position, why });
            }
        }
    }

    /// Bounds what is kept: the oldest are dropped, and made again when they are needed. There are few frames: see `children` of the tree.
    fn drop_oldest(&mut self, frames: &mut [Frame]) {
        let held = |frame: &Frame| frame.object.as_ref().map_or(0, Buffer::held);
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
