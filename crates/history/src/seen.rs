//! One object at a time is looked at: its windows, its hits, what is counted.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::delta::Steps;
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::look::{Blob, Hit, Look, Take};
use crate::skipped::Skips;
use crate::windows::{carried, windows};

/// An object with this anywhere is looked at whole: a block of PEM has many lines.
pub const WHOLE_MARK: &[u8] = b"-----BEGIN";

/// What a walk has looked at.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// How many blobs.
    pub blobs: u64,
    /// How many commits and tags.
    pub messages: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// How many of the bytes stand in windows.
    pub window_bytes: u64,
    /// How many of the objects had hits.
    pub with_hits: u64,
    /// What was not looked at.
    pub skipped: Skips,
}

impl Seen {
    pub(crate) fn join(&mut self, other: Seen) {
        self.blobs += other.blobs;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.window_bytes += other.window_bytes;
        self.with_hits += other.with_hits;
        self.skipped.join(other.skipped);
    }
}

/// What is known of an object once it was looked at.
#[derive(Default)]
pub(crate) struct Known {
    /// In order, each once.
    pub(crate) hits: Vec<Hit>,
    /// Whether it is looked at whole, whatever it is made from: it has [`WHOLE_MARK`], or something in it reaches far.
    marked: bool,
}

/// What an object was made from, and how.
pub(crate) struct Base<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) known: &'a Known,
    pub(crate) steps: &'a Steps,
}

/// Looks at one object after the other.
pub(crate) struct Looker<'a, L: ?Sized, T: ?Sized> {
    look: &'a L,
    take: &'a T,
    mark: Finder<'static>,
    windows: Vec<Range<usize>>,
    pub(crate) seen: Seen,
}

impl<'a, L: Look + ?Sized, T: Take + ?Sized> Looker<'a, L, T> {
    pub(crate) fn new(look: &'a L, take: &'a T) -> Self {
        Looker { look, take, mark: Finder::new(WHOLE_MARK), windows: Vec::new(), seen: Seen::default() }
    }

    /// Looks at an object. What it was made from says where, if that is known. If `told` is false it was told already
    /// and is looked at for the sake of those that are made from it.
    pub(crate) fn look(
        &mut self,
        id: ObjectId,
        kind: Kind,
        bytes: &[u8],
        from: Option<Base<'_>>,
        told: bool,
    ) -> Known {
        let mut known = Known::default();
        let alike = from.as_ref().filter(|from| self.look.is_alike(from.bytes, bytes));
        let steps = alike.and_then(|from| from.steps.known());
        match (&from, steps) {
            (Some(from), Some(steps)) => {
                windows(steps, from.bytes.len(), bytes, &mut self.windows);
                // Without a mark in the base, one in the object has a new byte or a new border in it.
                known.marked = if from.known.marked {
                    self.is_marked(bytes)
                } else {
                    let part = |window: &Range<usize>| bytes.get(window.clone()).unwrap_or_default();
                    self.windows.iter().any(|window| self.is_marked(part(window)))
                };
                // What a mark decided about is decided anew where the mark is gone.
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
        self.look.look(&blob, &mut known.hits);
        known.hits.sort_unstable_by(|a, b| {
            (a.span.start, a.span.end, a.tag).cmp(&(b.span.start, b.span.end, b.tag))
        });
        known.hits.dedup();
        if told {
            self.count(&blob, &known);
        }
        self.windows = ranges;
        known
    }

    fn is_marked(&self, part: &[u8]) -> bool {
        self.mark.find(part).is_some() || self.look.reaches_far(part)
    }

    fn whole(&mut self, bytes: &[u8]) {
        self.windows.clear();
        if !bytes.is_empty() {
            self.windows.push(0..bytes.len());
        }
    }

    fn count(&mut self, blob: &Blob<'_>, known: &Known) {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        if !known.hits.is_empty() {
            self.take.found(blob, &known.hits);
        }
        let windows: u64 = blob.windows.iter().map(|window| count(window.len())).sum();
        match blob.kind {
            Kind::Blob => self.seen.blobs += 1,
            Kind::Commit | Kind::Tag | Kind::Tree => self.seen.messages += 1,
        }
        self.seen.bytes += count(blob.bytes.len());
        self.seen.window_bytes += windows;
        self.seen.with_hits += u64::from(!known.hits.is_empty());
    }
}
