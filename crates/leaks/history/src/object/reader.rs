use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::object::buffer::Pool;
use crate::object::inflate::Inflater;
use crate::object::kind::ObjectKind;

/// The most bytes of delta bases in the cache.
const CACHE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// The largest delta base in the cache, bytes.
const CACHED_BYTES_MAX: usize = 256 * 1024;

/// What one thread needs to read objects in any order: buffers, a decoder, and a cache of delta bases.
pub(crate) struct Reader {
    pub(crate) inflater: Inflater,
    pub(crate) compressed: Vec<u8>,
    pub(crate) pool: Pool,
    pub(crate) cache: BaseCache,
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader {
            inflater: Inflater::new(),
            compressed: Vec::new(),
            pool: Pool::default(),
            cache: BaseCache::default(),
        }
    }
}

/// A delta base.
#[derive(Clone)]
pub(crate) struct CachedBase {
    pub(crate) kind: ObjectKind,
    pub(crate) bytes: Arc<Zeroizing<Vec<u8>>>,
}

/// The delta bases that were read last; the oldest is evicted first.
#[derive(Default)]
pub(crate) struct BaseCache {
    /// By the pack's number and the offset in it.
    by_place: HashMap<(usize, u64), CachedBase>,
    order: VecDeque<(usize, u64)>,
    bytes: usize,
}

impl BaseCache {
    pub(crate) fn get(&self, pack: usize, offset: u64) -> Option<CachedBase> {
        self.by_place.get(&(pack, offset)).cloned()
    }

    pub(crate) fn add(&mut self, pack: usize, offset: u64, kind: ObjectKind, bytes: &[u8]) {
        // Blobs are read once. Trees and commits are read again and again while a history is walked.
        if bytes.len() > CACHED_BYTES_MAX
            || kind == ObjectKind::Blob
            || self.by_place.contains_key(&(pack, offset))
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
            .insert((pack, offset), CachedBase { kind, bytes: Arc::new(Zeroizing::new(bytes.to_vec())) });
    }
}
