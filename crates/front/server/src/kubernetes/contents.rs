//! What was seen in the Secrets of each object last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use keyroll_controller::{Held, Id};

/// What the Secrets of an object hold, or why they could not be looked at.
pub(super) type Contained = Result<Held, String>;

/// What was seen of Secrets last.
#[derive(Default)]
pub(super) struct Contents(Mutex<BTreeMap<Id, Entry>>);

#[derive(Default)]
struct Entry {
    /// How often it was forgotten: a look that began before that counts for nothing.
    forgotten: u64,
    last: Option<Contained>,
}

impl Contents {
    fn with<T>(&self, id: &Id, work: impl FnOnce(&mut Entry) -> T) -> T {
        work(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default())
    }

    /// The last look.
    pub(super) fn last(&self, id: &Id) -> Option<Contained> {
        self.with(id, |entry| entry.last.clone())
    }

    /// What was seen before counts for nothing any more.
    pub(super) fn forget(&self, id: &Id) {
        self.with(id, |entry| *entry = Entry { forgotten: entry.forgotten.wrapping_add(1), last: None });
    }

    /// A look begins.
    pub(super) fn begin(&self, id: &Id) -> u64 {
        self.with(id, |entry| entry.forgotten)
    }

    /// What the look saw that began then.
    pub(super) fn put(&self, id: &Id, begun: u64, looked: Option<Contained>) {
        self.with(id, |entry| {
            if entry.forgotten == begun {
                entry.last = looked;
            }
        });
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
}
