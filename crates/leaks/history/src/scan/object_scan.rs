use std::ops::Range;

use memchr::memmem::Finder;

use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::pack::delta::DeltaSteps;
use crate::scan::changed_windows::{carried, windows};
use crate::scan::hit::Hit;
use crate::scan::inspector::{Blob, HitSink, Inspector};
use crate::scan::skipped::SkipList;

/// An object that contains this is scanned whole: a PEM block has many lines.
pub const WHOLE_MARK: &[u8] = b"-----BEGIN";

/// The result of a scan.
#[derive(Debug, Default, Clone)]
pub struct ScanSummary {
    /// Scanned blobs.
    pub blobs: u64,
    /// Scanned commits and tags.
    pub messages: u64,
    /// Bytes of the scanned objects.
    pub bytes: u64,
    /// Bytes in windows.
    pub window_bytes: u64,
    /// Objects with hits.
    pub with_hits: u64,
    /// Objects that were not scanned.
    pub skipped: SkipList,
}

impl ScanSummary {
    pub(crate) fn join(&mut self, other: ScanSummary) {
        self.blobs += other.blobs;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.window_bytes += other.window_bytes;
        self.with_hits += other.with_hits;
        self.skipped.join(other.skipped);
    }
}

/// What is known about a scanned object.
#[derive(Default)]
pub(crate) struct ScannedObject {
    /// Sorted and distinct.
    pub(crate) hits: Vec<Hit>,
    /// Whether it is scanned whole, whatever its base: it has [`WHOLE_MARK`], or text that reaches far.
    marked: bool,
}

/// The delta base of an object, with the steps.
pub(crate) struct DeltaBase<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) known: &'a ScannedObject,
    pub(crate) steps: &'a DeltaSteps,
}

/// Scans one object after another.
pub(crate) struct ObjectScan<'a, L: ?Sized, T: ?Sized> {
    inspector: &'a L,
    sink: &'a T,
    mark: Finder<'static>,
    windows: Vec<Range<usize>>,
    pub(crate) summary: ScanSummary,
}

impl<'a, L: Inspector + ?Sized, T: HitSink + ?Sized> ObjectScan<'a, L, T> {
    pub(crate) fn new(inspector: &'a L, sink: &'a T) -> Self {
        ObjectScan {
            inspector,
            sink,
            mark: Finder::new(WHOLE_MARK),
            windows: Vec::new(),
            summary: ScanSummary::default(),
        }
    }

    /// Scans an object; only its changed windows, if its base is known. `report`: false if it was reported before and
    /// is scanned only for its deltas.
    pub(crate) fn scan(
        &mut self,
        id: ObjectId,
        kind: ObjectKind,
        bytes: &[u8],
        from: Option<DeltaBase<'_>>,
        report: bool,
    ) -> ScannedObject {
        let mut known = ScannedObject::default();
        let alike = from.as_ref().filter(|from| self.inspector.is_alike(from.bytes, bytes));
        let steps = alike.and_then(|from| from.steps.known());
        match (&from, steps) {
            (Some(from), Some(steps)) => {
                windows(steps, from.bytes.len(), bytes, &mut self.windows);
                // If the base has no mark, a mark in the object touches a new byte or the edge of a copy.
                known.marked = if from.known.marked {
                    self.is_marked(bytes)
                } else {
                    let part = |window: &Range<usize>| bytes.get(window.clone()).unwrap_or_default();
                    self.windows.iter().any(|window| self.is_marked(part(window)))
                };
                // Without the mark, its effects on other lines end too.
                if known.marked || from.known.marked {
                    self.whole(bytes);
                } else {
                    carried(steps, from.bytes, &from.known.hits, bytes.len(), &mut known.hits);
                }
            }
            _ => {
                known.marked = self.is_marked(bytes);
                self.whole(bytes);
            }
        }
        let ranges = std::mem::take(&mut self.windows);
        let blob = Blob { id, kind, bytes, windows: &ranges };
        self.inspector.inspect(&blob, &mut known.hits);
        known.hits.sort_unstable_by(|a, b| {
            (a.span.start, a.span.end, a.tag).cmp(&(b.span.start, b.span.end, b.tag))
        });
        known.hits.dedup();
        if report {
            self.count(&blob, &known);
        }
        self.windows = ranges;
        known
    }

    fn is_marked(&self, part: &[u8]) -> bool {
        self.mark.find(part).is_some() || self.inspector.reaches_far(part)
    }

    fn whole(&mut self, bytes: &[u8]) {
        self.windows.clear();
        if !bytes.is_empty() {
            self.windows.push(0..bytes.len());
        }
    }

    fn count(&mut self, blob: &Blob<'_>, known: &ScannedObject) {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        if !known.hits.is_empty() {
            self.sink.found(blob, &known.hits);
        }
        let windows: u64 = blob.windows.iter().map(|window| count(window.len())).sum();
        match blob.kind {
            ObjectKind::Blob => self.summary.blobs += 1,
            ObjectKind::Commit | ObjectKind::Tag | ObjectKind::Tree => self.summary.messages += 1,
        }
        self.summary.bytes += count(blob.bytes.len());
        self.summary.window_bytes += windows;
        self.summary.with_hits += u64::from(!known.hits.is_empty());
    }
}
