//! The two interfaces of a scan's caller: one finds hits, one receives them.

use std::ops::Range;

use crate::object::id::ObjectId;
use crate::object::kind::ObjectKind;
use crate::scan::changed_windows::around;
use crate::scan::hit::Hit;

/// One object with its bytes. Has no `Debug`, so nothing prints the bytes.
pub struct Blob<'a> {
    /// Its name.
    pub id: ObjectId,
    /// A blob, commit or tag; trees are not scanned.
    pub kind: ObjectKind,
    /// All of its bytes. They are wiped by the next object, or when the memory is freed.
    pub bytes: &'a [u8],
    /// The ranges that may have unknown hits: in order, not overlapping, none empty.
    pub windows: &'a [Range<usize>],
}

impl Blob<'_> {
    /// A window with all bytes that decide about hits in it: the lines that it touches and the lines around them. A
    /// search that works on its own text searches these bytes and drops hits that are not completely in the window.
    pub fn around(&self, window: &Range<usize>) -> Range<usize> {
        let around = around(self.bytes, window);
        around.start.unwrap_or(0)..around.end.unwrap_or(self.bytes.len())
    }
}

/// Finds hits in objects.
pub trait Inspector: Sync {
    /// Adds the hits of an object.
    ///
    /// It must add every hit that is completely in one of the windows, and may add others that are true. The object's
    /// bytes decide, not the edges of a window: see [`Blob::around`]. Searching the windows is enough for hits of at
    /// most [`HIT_LINES_MAX`](crate::HIT_LINES_MAX) lines and [`HIT_BYTES_MAX`](crate::HIT_BYTES_MAX) bytes that
    /// depend only on their lines and those beside them, up to [`AROUND_BYTES_MAX`](crate::AROUND_BYTES_MAX) bytes on
    /// each side: copied ones are known already. It is also enough in an object with
    /// [`WHOLE_MARK`](crate::WHOLE_MARK), or with text that reaches far ([`Self::reaches_far`]): its window is the
    /// whole object. Other hits must be searched in all bytes. Of overlapping hits both are added; [`HitSink::found`]
    /// chooses.
    ///
    /// Called once for each object, by any thread, in no order. An object in two packs is scanned twice if both have
    /// deltas against it.
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>);

    /// Whether equal bytes have equal hits in an object and its delta base; false if one is text and the other is
    /// not. Then the object is scanned whole.
    fn is_alike(&self, base: &[u8], object: &[u8]) -> bool {
        let _ = (base, object);
        true
    }

    /// Whether text within a line of `part` can decide about hits beyond the adjacent line. Then the object, and its
    /// deltas, are scanned whole.
    fn reaches_far(&self, part: &[u8]) -> bool {
        let _ = part;
        false
    }
}

/// Receives the objects with hits.
pub trait HitSink: Sync {
    /// Receives all hits of an object, sorted and distinct, while its bytes are in memory. Called once for each
    /// object with hits, by any thread, in no order.
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]);
}
