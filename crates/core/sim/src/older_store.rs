//! A store from before the rotation in the place of the right one, and the right one back in its place.

use crate::scene::Family;
use crate::store::Store;
use crate::world::World;

impl World {
    /// A store from before the rotation takes the place of the right one.
    pub(crate) fn put_back_older_store(&mut self) {
        // Where the key is ended without a new one, the rotation does not change the store.
        if self.store_whole.is_none() && self.scene.family != Family::End {
            let before = Store::new(self.old_id());
            self.store_whole = Some(std::mem::replace(&mut self.store, before));
            let before: Vec<_> = self.procs.iter().map(|it| (it.pid, it.shown_for, it.shown)).collect();
            self.follow(false);
            let moved = |pid, value| self.procs.iter().any(|it| it.pid == pid && it.loaded != value);
            self.shown_before = before.into_iter().filter(|(pid, value, _)| moved(*pid, *value)).collect();
        }
    }

    /// The right store is back in its place, with the values that were sealed meanwhile.
    pub(crate) fn put_back_store(&mut self) {
        let Some(whole) = self.store_whole.take() else { return };
        let meanwhile = std::mem::replace(&mut self.store, whole);
        self.store.merge(meanwhile);
        self.follow(false);
        // No look counted meanwhile: the earlier evidence counts again for processes that are back on its value.
        for proc in &mut self.procs {
            let before =
                self.shown_before.iter().find(|(pid, value, _)| (*pid, *value) == (proc.pid, proc.loaded));
            if let Some((_, value, shown)) = before {
                (proc.shown_for, proc.shown) = (*value, *shown);
            }
        }
    }

    /// An older store is in the place of the right one.
    pub(crate) fn store_is_older(&self) -> bool {
        self.store_whole.is_some()
    }
}
