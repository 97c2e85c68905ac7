//! Sees to it that a program whose driver was overtaken ends.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::fence::Fence;
use crate::ending::Ending;

/// How often the record is read.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What is done when a newer driver has taken over.
pub(crate) type Overtaken = Arc<dyn Fn() + Send + Sync>;

/// The fence of the rotation that is open for changes, if there is one.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<Option<Fence>>>);

impl Held {
    /// The fence.
    pub(super) fn fence(&self) -> MutexGuard<'_, Option<Fence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the fence, if there is one.
    pub(super) fn release(&self) {
        drop(self.fence().take());
    }

    /// Whether another driver has the record now. One that cannot be read shows nothing: each order reads it again.
    fn is_lost(&self) -> bool {
        self.fence().as_ref().is_some_and(|fence| matches!(fence.stands(), Ok(false)))
    }
}

/// Watches the fence until the returned sender is dropped. Once the fence is lost, nothing that changes something begins
/// any more; the order in hand is finished, the lock is released, and `overtaken` is called.
///
/// # Errors
/// The system has no room for another thread.
pub(super) fn watch(held: Held, ending: Arc<Ending>, overtaken: Overtaken) -> io::Result<Sender<()>> {
    let (stops, stopped) = mpsc::channel::<()>();
    thread::Builder::new().name("fence".to_owned()).spawn(move || {
        while stopped.recv_timeout(WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
            if held.is_lost() {
                ending.wait();
                held.release();
                overtaken();
                return;
            }
        }
    })?;
    Ok(stops)
}
