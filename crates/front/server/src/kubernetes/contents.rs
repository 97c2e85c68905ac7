//! What was seen in the Secrets of each object last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_controller::{Held, Id};

/// What the Secrets of an object hold, or why they could not be looked at.
pub(super) type Contained = Result<Held, String>;

/// What was seen of Secrets last.
#[derive(Default)]
pub(super) struct Contents(Mutex<All>);

#[derive(Default)]
struct All {
    /// How often what was seen of an object was forgotten, whichever object it was.
    forgotten: u64,
    each: BTreeMap<Id, Entry>,
}

struct Entry {
    /// [`All::forgotten`] when this entry was made: a look that began before that counts for nothing.
    since: u64,
    last: Option<Contained>,
}

impl Contents {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last look.
    pub(super) fn last(&self, id: &Id) -> Option<Contained> {
        self.all().each.get(id).and_then(|entry| entry.last.clone())
    }

    /// What was seen before counts for nothing any more.
    pub(super) fn forget(&self, id: &Id) {
        let mut all = self.all();
        all.forgotten = all.forgotten.wrapping_add(1);
        let since = all.forgotten;
        all.each.insert(id.clone(), Entry { since, last: None });
    }

    /// Drops what was seen of objects that are not there any more.
    pub(super) fn keep(&self, is_there: impl Fn(&Id) -> bool) {
        let mut all = self.all();
        let before = all.each.len();
        all.each.retain(|id, _| is_there(id));
        if all.each.len() < before {
            // A look at one of them may be under way, and another object may get its name.
            all.forgotten = all.forgotten.wrapping_add(1);
        }
    }

    /// A look begins.
    pub(super) fn begin(&self, id: &Id) -> u64 {
        let mut all = self.all();
        let since = all.forgotten;
        all.each.entry(id.clone()).or_insert(Entry { since, last: None }).since
    }

    /// What the look saw that began then.
    pub(super) fn put(&self, id: &Id, begun: u64, looked: Option<Contained>) {
        let mut all = self.all();
        if let Some(entry) = all.each.get_mut(id).filter(|entry| entry.since == begun) {
            entry.last = looked;
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_controller::TakeOver;

    use super::*;

    #[test]
    fn what_a_look_saw_that_began_before_a_rotation_is_not_kept_after_it() {
        let (contents, id) = (Contents::default(), Id { host: "shop".to_owned(), name: "acme".to_owned() });
        let seen = |version: u32| Ok(Held { version, keys: Vec::new(), take_over: TakeOver::Never });
        let begun = contents.begin(&id);
        contents.put(&id, begun, Some(seen(1)));
        assert_eq!(contents.last(&id), Some(seen(1)));
        // Another look has begun when a rotation is seen, which writes the Secret.
        let late = contents.begin(&id);
        contents.forget(&id);
        contents.put(&id, late, Some(seen(2)));
        assert_eq!(contents.last(&id), None);
        contents.put(&id, contents.begin(&id), Some(seen(3)));
        assert_eq!(contents.last(&id), Some(seen(3)));
        // Without a current version nothing is known.
        contents.put(&id, contents.begin(&id), None);
        assert_eq!(contents.last(&id), None);
    }

    /// Red where it stays: in a namespace in which objects are made and deleted, the server would grow for ever.
    #[test]
    fn what_was_seen_of_an_object_is_dropped_with_it_and_a_look_under_way_does_not_bring_it_back() {
        let id = |name: &str| Id { host: "shop".to_owned(), name: name.to_owned() };
        let (contents, gone, stays) = (Contents::default(), id("gone"), id("stays"));
        let seen = |version: u32| Ok(Held { version, keys: Vec::new(), take_over: TakeOver::Never });
        for id in [&gone, &stays] {
            contents.put(id, contents.begin(id), Some(seen(1)));
        }
        let late = contents.begin(&gone);
        contents.keep(|id| *id == stays);
        contents.put(&gone, late, Some(seen(1)));
        assert_eq!(contents.last(&gone), None);
        assert_eq!(contents.last(&stays), Some(seen(1)));
        assert_eq!(contents.all().each.len(), 1, "to ask for one that is not there makes no entry");
        // Another object of that name is looked at before the late look ends.
        let begun = contents.begin(&gone);
        contents.put(&gone, late, Some(seen(1)));
        assert_eq!(contents.last(&gone), None);
        contents.put(&gone, begun, Some(seen(2)));
        assert_eq!(contents.last(&gone), Some(seen(2)));
    }
}
