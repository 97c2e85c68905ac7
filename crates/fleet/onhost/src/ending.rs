//! When the program may end: never in the middle of an order that changes something.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use keyroll_host::remove_own_copies;

/// Whether something is being changed, and whether the program is about to end.
#[derive(Default)]
pub(crate) struct Ending {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// An order that changes something is carried out. A connection has one order at a time.
    changing: bool,
    /// Nothing that changes something begins any more.
    ends: bool,
    /// The folder with copies that checks are given.
    work: Option<PathBuf>,
}

/// An order that changes something, while it is carried out.
#[must_use]
pub(crate) struct Changing(Arc<Ending>);

impl Ending {
    /// Begins an order that changes something; `None` if the program is about to end.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Changing> {
        let mut state = self.state();
        if state.ends {
            return None;
        }
        state.changing = true;
        Some(Changing(Arc::clone(self)))
    }

    /// Where copies for checks are made from now on.
    pub(crate) fn works_in(&self, folder: PathBuf) {
        self.state().work = Some(folder);
    }

    /// Lets nothing begin any more, and waits for the end of the order that changes something, if there is one. A check may
    /// still run, which nobody waits for: its copy is removed here.
    pub(crate) fn wait(&self) {
        let mut state = self.state();
        state.ends = true;
        let idle = self.idle.wait_while(state, |state| state.changing);
        let idle = idle.unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = &idle.work {
            remove_own_copies(work);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.state().changing = false;
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn the_program_ends_after_the_order_that_changes_something_and_none_begins_meanwhile() {
        let (ending, finished) = (Arc::new(Ending::default()), Arc::new(AtomicBool::new(false)));
        let changing = ending.begin().unwrap();
        let (waiting, seen) = (Arc::clone(&ending), Arc::clone(&finished));
        let waits = thread::spawn(move || {
            waiting.wait();
            seen.load(Ordering::SeqCst)
        });
        while !ending.state().ends {
            thread::yield_now();
        }
        assert!(ending.begin().is_none());
        finished.store(true, Ordering::SeqCst);
        drop(changing);
        assert!(waits.join().unwrap(), "it did not wait for the order");
        assert!(ending.begin().is_none());
    }

    #[test]
    fn without_such_an_order_the_program_ends_at_once() {
        let ending = Arc::new(Ending::default());
        drop(ending.begin());
        ending.wait();
    }
}
