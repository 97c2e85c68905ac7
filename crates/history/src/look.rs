//! What a caller gives: how objects are looked at, and what becomes of those in which something was seen.

use std::ops::Range;

use crate::id::ObjectId;
use crate::kind::Kind;
use crate::windows::around;

/// One object with its bytes. It has no Debug: nothing shows the bytes.
pub struct Blob<'a> {
    /// Its name.
    pub id: ObjectId,
    /// A blob, commit or tag; trees are not looked at.
    pub kind: Kind,
    /// All of its bytes. They are overwritten later, by the next object or when the memory is given back.
    pub bytes: &'a [u8],
    /// Where hits may stand that are not known yet: in order, not overlapping, empty ones left out.
    pub windows: &'a [Range<usize>],
}

impl Blob<'_> {
    /// A window with all that decides which hits stand in it: the lines that it touches, and those beside them. What searches a text
    /// of its own searches this part of the bytes and leaves out what does not stand wholly in the window.
    pub fn around(&self, window: &Range<usize>) -> Range<usize> {
        let around = around(self.bytes, window);
        around.start.unwrap_or(0)..around.end.unwrap_or(self.bytes.len())
    }
}

/// Something that was seen in an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hit {
    /// Where it stands, bytes from the object's beginning.
    pub span: Range<usize>,
    /// What it is: the caller's own number.
    pub tag: u64,
}

/// How objects are looked at.
pub trait Look: Sync {
    /// Adds what is seen in an object.
    ///
    /// At least every hit that stands wholly in one of the windows is added; what else is added must be true too.
    /// It is judged by the object's bytes, not by the window's edges: see [`Blob::around`]. A hit that stands in no more than
    /// [`HIT_LINES_MAX`](crate::HIT_LINES_MAX) lines and [`HIT_BYTES_MAX`](crate::HIT_BYTES_MAX) bytes, and depends
    /// on no more than its lines and those beside them, up to [`AROUND_BYTES_MAX`](crate::AROUND_BYTES_MAX) bytes before
    /// and behind it, may be looked for in the windows alone: where it was copied from another object it is known already.
    /// So may what stands in an object with [`WHOLE_MARK`](crate::WHOLE_MARK) anywhere, whatever its length, or in one in
    /// which something reaches far ([`Self::reaches_far`]): the window is the whole object. Any other must be looked for in
    /// all of the bytes. Two hits that overlap are both added; which of them is told is decided in [`Take::found`].
    ///
    /// It is called once for an object, by any of the threads, in no order. An object that stands in two packs is
    /// looked at twice if others are told from both.
    fn look(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>);

    /// Whether the same bytes are the same hits in an object and in the one that it is told as a difference from: not where
    /// one is a text and the other is none. Then the object is looked at whole.
    fn is_alike(&self, base: &[u8], object: &[u8]) -> bool {
        let _ = (base, object);
        true
    }

    /// Whether something in a part of an object, within a line, may decide about hits further away than the line beside it.
    /// Then the object is looked at whole, and so is what is told as a difference from it.
    fn reaches_far(&self, part: &[u8]) -> bool {
        let _ = part;
        false
    }
}

/// What becomes of objects in which something was seen.
pub trait Take: Sync {
    /// Takes all hits of an object, in order, each once, while its bytes are there. Called once for an object with
    /// hits, by any of the threads, in no order.
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]);
}
