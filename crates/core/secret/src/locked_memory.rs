//! Memory for values: locked, so that the kernel never writes it to swap, and left out of core dumps.
//!
//! Every value has pages of its own. `mlock` does not nest: on a page that two values share, the end of one would
//! unlock the other. `mlockall` is no way either: beyond its limit, every later allocation of the process fails.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// The unit of all mappings. A mapping of one unit is kept for the next value: no system call is needed then.
const UNIT_BYTES: usize = 4096;

/// The longest value that gets pages of its own. What is longer is a file or an answer that holds a value.
const LOCKED_VALUE_BYTES_MAX: usize = 256 * 1024;

/// The most memory that is mapped for values: half of what Linux lets a user lock by default.
const MAPPED_BYTES_MAX: usize = 4 * 1024 * 1024;

static PAGES: Mutex<Pages> =
    Mutex::new(Pages { spare: VecDeque::new(), mapped_bytes: 0, locked_bytes: 0, refused: false });

/// What is mapped for values in this process.
struct Pages {
    /// Mappings of one unit without a value, the locked ones at the back.
    spare: VecDeque<Page>,
    mapped_bytes: usize,
    locked_bytes: usize,
    refused: bool,
}

/// One mapping.
struct Page {
    bytes: MmapMut,
    locked: bool,
}

/// A value in pages of its own; wiped on drop.
pub(crate) struct LockedBytes {
    /// `None` only while it is dropped.
    page: Option<Page>,
    length: usize,
}

/// How much of the memory for values is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedMemory {
    /// Bytes, in whole pages, with those that are ready for the next values.
    pub locked_bytes: usize,
    /// The kernel refused to lock more: values beyond are in pages that may be written to swap.
    pub refused: bool,
}

impl LockedMemory {
    /// The state of this process. Maps a page if no value was in memory yet.
    pub fn now() -> Self {
        drop(LockedBytes::copy_of(&[0]));
        let pages = pages();
        Self { locked_bytes: pages.locked_bytes, refused: pages.refused }
    }
}

impl LockedBytes {
    /// A copy of the bytes; `None` if they are to be on the heap: there are none, or too many, or no memory is left.
    pub(crate) fn copy_of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > LOCKED_VALUE_BYTES_MAX {
            return None;
        }
        let mut page = take(bytes.len().next_multiple_of(UNIT_BYTES))?;
        page.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { page: Some(page), length: bytes.len() })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.page.as_ref().and_then(|page| page.bytes.get(..self.length)).unwrap_or_default()
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        let Some(mut page) = self.page.take() else { return };
        page.bytes.get_mut(..self.length).unwrap_or_default().zeroize();
        give_back(page);
    }
}

fn pages() -> MutexGuard<'static, Pages> {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mapping of whole units.
fn take(size: usize) -> Option<Page> {
    let mut pages = pages();
    if size == UNIT_BYTES
        && let Some(page) = pages.spare.pop_back()
    {
        return Some(page);
    }
    if pages.mapped_bytes + size > MAPPED_BYTES_MAX {
        return None;
    }
    let bytes = MmapMut::map_anon(size).ok()?;
    // Fails only on kernels before 3.4.
    let _ = bytes.advise(Advice::DontDump);
    let locked = bytes.lock().is_ok();
    pages.mapped_bytes += size;
    pages.locked_bytes += if locked { size } else { 0 };
    pages.refused |= !locked;
    Some(Page { bytes, locked })
}

/// One unit waits for the next value; what is larger is unmapped, which unlocks it.
fn give_back(page: Page) {
    let size = page.bytes.len();
    let mut pages = pages();
    if size != UNIT_BYTES {
        pages.mapped_bytes = pages.mapped_bytes.saturating_sub(size);
        pages.locked_bytes = pages.locked_bytes.saturating_sub(if page.locked { size } else { 0 });
    } else if page.locked {
        pages.spare.push_back(page);
    } else {
        pages.spare.push_front(page);
    }
}
