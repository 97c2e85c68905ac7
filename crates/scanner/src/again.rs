//! Objects of a history that are looked at whole, as the files that they were: what is packed, in UTF-16, or a database; and
//! where rules go by paths, all in which they may find something.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use keyroll_history::{Blob, Bounds, History, Hit, Look, ObjectId, Origin, Provenance, Skips, Take};
use keyroll_leak::Text;

use crate::finding::{Finding, Identity, What};
use crate::history::as_path;
use crate::report::{FINDINGS_MAX, SKIPPED_MAX};
use crate::scan::{At, Worker};
use crate::told::{Held, Subject, Told, commit_of, orders_of, short};
use crate::tree::text_of;
use crate::{Scan, Skipped};

/// How many objects a thread takes at once.
const TAKEN: usize = 8;

/// The most threads: what is packed is held in memory, unpacked in part.
const THREADS_MAX: usize = 8;

/// What all threads come to.
#[derive(Default)]
pub(crate) struct Looked {
    pub(crate) told: Told,
    /// What no reference leads to: it has no commit. Each once.
    pub(crate) nowhere: BTreeMap<(What, Identity, Vec<String>), Finding>,
    /// By the way to it and the reason, so that of many versions of one file one is named.
    pub(crate) skipped: BTreeMap<(String, String), String>,
    /// Objects that could not be read, and how many more ways there are.
    pub(crate) more: Skips,
}

impl Scan<'_> {
    /// Looks at these objects, each under every path that it had.
    pub(crate) fn again(
        &self,
        history: &History,
        ids: &BTreeSet<ObjectId>,
        from: &Provenance,
        told: Told,
    ) -> Looked {
        let ids: Vec<ObjectId> = ids.iter().copied().collect();
        let all = Mutex::new(Looked { told, ..Looked::default() });
        let next = AtomicUsize::new(0);
        let work = || {
            let by_path = self.seeker().goes_by_path();
            let again = Again { from, by_path, worker: Mutex::new(Worker::new(self)), all: &all };
            loop {
                let first = next.fetch_add(TAKEN, Ordering::Relaxed);
                let Some(rest) = ids.get(first..).filter(|rest| !rest.is_empty()) else { return };
                let some = rest.get(..TAKEN).unwrap_or(rest);
                let seen = history.look_at(some, &again, &again, &Bounds::default());
                all.lock().unwrap_or_else(PoisonError::into_inner).more.join(seen.skipped);
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        thread::scope(|scope| {
            for _ in 1..threads.min(ids.len().div_ceil(TAKEN)) {
                scope.spawn(work);
            }
            work();
        });
        all.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread.
struct Again<'a, 's> {
    from: &'a Provenance,
    /// Whether what is found depends on the path.
    by_path: bool,
    worker: Mutex<Worker<'s>>,
    all: &'a Mutex<Looked>,
}

impl Look for Again<'_, '_> {
    fn look(&self, blob: &Blob<'_>, _: &mut Vec<Hit>) {
        let origins = self.from.objects.get(&blob.id).map_or(&[][..], |found| &found.origins);
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.is_empty() {
            let source = nowhere(&blob.id);
            worker.whole(At { source: Some(&source), path: None, inside: &[] }, blob.bytes, None);
            let found = worker.taken();
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            found.findings.into_iter().for_each(|one| all.lost(one));
            all.told.left_out += found.findings_left_out;
            all.skip(&source, found.skipped);
        }
        // What is packed is unpacked once for all of its paths, unless rules go by them: but for whether they hold settings.
        let mut known: Vec<(Text, Vec<Finding>)> = Vec::new();
        for origin in origins {
            let within = text_of(&as_path(&origin.path));
            if let Some((_, found)) = known.iter().find(|(kind, _)| !self.by_path && *kind == within) {
                let path = (!origin.path.is_empty()).then(|| as_path(&origin.path));
                let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
                found.iter().for_each(|one| all.add(origin, path.as_deref(), one.clone()));
                continue;
            }
            let first = origin.commit.to_string();
            let source = format!("commit {}", short(&first));
            let path = (!origin.path.is_empty()).then(|| as_path(&origin.path));
            let at = At { source: Some(&source), path: path.as_deref(), inside: &[] };
            worker.whole(at, blob.bytes, Some(&first));
            let found = worker.taken();
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            found.findings.iter().for_each(|one| all.add(origin, path.as_deref(), one.clone()));
            all.told.left_out += found.findings_left_out;
            all.skip(&source, found.skipped);
            known.push((within, found.findings));
        }
    }
}

impl Take for Again<'_, '_> {
    fn found(&self, _: &Blob<'_>, _: &[Hit]) {}
}

impl Looked {
    fn add(&mut self, origin: &Origin, path: Option<&Path>, one: Finding) {
        let place = one.place;
        // A rule that goes by the path alone: in a history it is told of no object.
        if place.start == place.end {
            return;
        }
        let inside = if path.is_none() { vec!["message".to_owned()] } else { place.inside };
        let path = path.map(Path::to_owned);
        self.told.add(
            Subject { what: one.what, identity: one.identity, form: one.form, path, inside },
            Held {
                commit: commit_of(origin),
                orders: orders_of(origin),
                start: place.start,
                end: place.end,
                accepted: one.accepted,
                remark: one.remark,
            },
        );
    }

    fn lost(&mut self, one: Finding) {
        if one.place.start == one.place.end {
            return;
        }
        let subject = (one.what.clone(), one.identity.clone(), one.place.inside.clone());
        if self.nowhere.len() < FINDINGS_MAX || self.nowhere.contains_key(&subject) {
            self.nowhere.entry(subject).or_insert(one);
        } else {
            self.told.left_out += 1;
        }
    }

    fn skip(&mut self, source: &str, skipped: Vec<Skipped>) {
        for Skipped { what, why } in skipped {
            let way = what.strip_prefix(source).unwrap_or(&what).to_owned();
            if self.skipped.len() < SKIPPED_MAX {
                self.skipped.entry((way, why)).or_insert(what);
            } else if !self.skipped.contains_key(&(way, why)) {
                self.more.more += 1;
            }
        }
    }
}

/// What is in no commit.
pub(crate) fn nowhere(id: &ObjectId) -> String {
    format!("git object {id}, in no commit that a reference leads to")
}
