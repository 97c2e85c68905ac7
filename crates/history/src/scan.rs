//! Every object is looked at once: packs, then loose objects, then what could not be read where it was looked for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bounds::Bounds;
use crate::delta_tree::{DeltaTree, Failed};
use crate::history::History;
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::look::{Look, Take};
use crate::loose;
use crate::reader::Reader;
use crate::seen::{Looker, Seen};
use crate::skipped::{What, Why};
use crate::store::Store;
use crate::walk::{Spent, walk};

impl History {
    /// Looks at every blob, commit and tag that is in the repository, reachable or not, each once.
    ///
    /// What cannot be read is named in [`Seen::skipped`], and the rest is looked at all the same. Nothing is written,
    /// so nothing is left behind by a crash.
    pub fn scan<L: Look + ?Sized, T: Take + ?Sized>(&self, look: &L, take: &T, bounds: &Bounds) -> Seen {
        let spent = Spent::new(bounds);
        let store = self.store();
        let mut seen = Seen::default();
        seen.skipped.join(self.skipped().clone());
        let mut failed = Vec::new();
        for (number, pack) in store.packs.iter().enumerate().take_while(|_| spent.may()) {
            let told = |id: &ObjectId| !store.packs.iter().take(number).any(|earlier| earlier.has(id));
            let mut faults = Vec::new();
            let tree = DeltaTree::of(pack, told, &mut faults);
            let (part, more) = walk((number, pack), &tree, look, take, &spent);
            seen.join(part);
            let named = |fault: &Failed| pack.index.id(fault.position).is_none_or(|id| told(&id));
            failed.extend(faults.into_iter().chain(more).filter(named).map(|fault| (number, fault)));
        }
        seen.join(loose_objects(store, look, take, &spent));
        seen.join(again(store, failed, look, take, &spent));
        self.at_head(&mut seen.skipped);
        seen
    }

    /// Looks at these objects alone, each whole.
    pub fn look_at<L: Look + ?Sized, T: Take + ?Sized>(
        &self,
        ids: &[ObjectId],
        look: &L,
        take: &T,
        bounds: &Bounds,
    ) -> Seen {
        let mut looker = Looker::new(look, take);
        let mut reader = Reader::new();
        for id in ids {
            match self.store().read(id, bounds.object_bytes_max, &mut reader, None) {
                Ok((kind, object)) => {
                    looker.look(*id, kind, object.bytes(), None, true);
                    reader.pool.give(object);
                }
                Err(why) => looker.seen.skipped.add(What::Object(*id), why),
            }
        }
        looker.seen
    }
}

/// Looks at the loose objects that are in no pack.
fn loose_objects<L: Look + ?Sized, T: Take + ?Sized>(
    store: &Store,
    look: &L,
    take: &T,
    spent: &Spent<'_>,
) -> Seen {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Seen::default());
    let work = || {
        let mut looker = Looker::new(look, take);
        let mut reader = Reader::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (folder, first) = (turn / loose::FOLDERS, turn % loose::FOLDERS);
            let Some(objects) = store.folders.get(folder).filter(|_| spent.may()) else { break };
            for id in loose::list(objects, first, store.format, &mut looker.seen.skipped) {
                let before =
                    || store.folders.iter().take(folder).any(|other| loose::path(other, &id).exists());
                if store.packs.iter().any(|pack| pack.has(&id)) || before() {
                    continue;
                }
                let path = loose::path(objects, &id);
                match loose::read(&path, spent.bounds.object_bytes_max, &mut reader) {
                    Ok((Kind::Tree, object)) => reader.pool.give(object),
                    Ok((kind, object)) => {
                        spent.add(object.bytes().len());
                        looker.look(id, kind, object.bytes(), None, true);
                        reader.pool.give(object);
                    }
                    Err(why) => looker.seen.skipped.add(What::Object(id), why),
                }
            }
        }
        if let Ok(mut all) = all.lock() {
            all.join(looker.seen);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..spent.bounds.threads() {
            scope.spawn(work);
        }
        work();
    });
    let mut seen = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !spent.may() {
        seen.skipped.add(What::History, Why::Spent { bytes_max: spent.bounds.total_bytes_max });
    }
    seen
}

/// Looks for what one pack did not give in the other places.
fn again<L: Look + ?Sized, T: Take + ?Sized>(
    store: &Store,
    failed: Vec<(usize, Failed)>,
    look: &L,
    take: &T,
    spent: &Spent<'_>,
) -> Seen {
    let mut looker = Looker::new(look, take);
    let mut reader = Reader::new();
    for (number, Failed { position, why }) in failed {
        let Some(pack) = store.packs.get(number) else { continue };
        let id = pack.index.id(position);
        let other = id.filter(|_| spent.may() && !matches!(why, Why::Large { .. })).and_then(|id| {
            let read = store.read(&id, spent.bounds.object_bytes_max, &mut reader, Some(number));
            read.ok().map(|(kind, object)| (id, kind, object))
        });
        match other {
            Some((_, Kind::Tree, _)) => {}
            Some((id, kind, object)) => {
                spent.add(object.bytes().len());
                looker.look(id, kind, object.bytes(), None, true);
                reader.pool.give(object);
            }
            None => looker.seen.skipped.add(pack.what(position), why),
        }
    }
    looker.seen
}
