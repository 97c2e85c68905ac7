//! What one thread needs to read objects in any order: memory, and the bases that were read last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::buffer::Pool;
use crate::inflate::Inflater;
use crate::kind::Kind;

/// The most bytes of bases that are kept.
const CACHE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// The largest base that is kept, bytes.
const CACHED_BYTES_MAX: usize = 256 * 1024;

/// What one thread needs to read objects in any order.
pub(crate) struct Reader {
    pub(crate) inflater: Inflater,
    pub(crate) compressed: Vec<u8>,
    pub(crate) pool: Pool,
    pub(crate) cache: Cache,
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader {
            inflater: Inflater::new(),
            compressed: Vec::new(),
            pool: Pool::default(),
            cache: Cache::default(),
        }
    }
}

/// An object that others are told from.
#[derive(Clone)]
pub(crate) struct Cached {
    pub(crate) kind: Kind,
    pub(crate) bytes: Arc<Zeroizing<Vec<u8>>>,
}

/// The bases that were read last. What came first goes first.
#[derive(Default)]
pub(crate) struct Cache {
    /// By the pack's number and the offset in it.
    by_place: HashMap<(usize, u64), Cached>,
    order: VecDeque<(usize, u64)>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, pack: usize, offset: u64) -> Option<Cached> {
        self.by_place.get(&(pack, offset)).cloned()
    }

    pub(crate) fn add(&mut self, pack: usize, offset: u64, kind: Kind, bytes: &[u8]) {
        // A blob is read once, when its bytes are asked for; trees and commits are what a history is read through.
        if bytes.len() > CACHED_BYTES_MAX || kind == Kind::Blob || self.by_place.contains_key(&(pack, offset))
        {
            return;
        }
        self.bytes += bytes.len();
        while self.bytes > CACHE_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.by_place.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(gone.bytes.len());
            }
        }
        self.order.push_back((pack, offset));
        self.by_place
            .insert((pack, offset), Cached { kind, bytes: Arc::new(Zeroizing::new(bytes.to_vec())) });
    }
}
