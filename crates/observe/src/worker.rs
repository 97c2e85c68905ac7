use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::NotVisible;

/// How many reading threads may exist at once, abandoned ones included.
const WORKERS_MAX: usize = 32;

/// The stack of a reading thread, bytes.
const STACK_BYTES: usize = 256 * 1024;

/// The stack of one that may take files apart too, bytes: 128 levels of a document, and SQLite.
const PARSING_STACK_BYTES: usize = 2 * 1024 * 1024;

static WORKERS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        WORKERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that reads for the caller. A read of /proc/PID/mem, of an environment or of a file on a dead network
/// mount can block for ever and cannot be interrupted; so the caller waits here with a limit, and leaves the
/// thread behind when the limit is reached. The thread ends at its next answer, because nobody takes it.
pub(crate) struct Worker<T> {
    answers: Receiver<T>,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts the thread. `read` gives its answers to the sender and ends when sending fails.
    pub(crate) fn start(read: impl FnOnce(&SyncSender<T>) + Send + 'static) -> Result<Self, NotVisible> {
        let (sender, answers) = sync_channel(1);
        start(STACK_BYTES, move || read(&sender))?;
        Ok(Self { answers })
    }

    /// The next answer; `Ok(None)` = the thread has nothing more.
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<T>, NotVisible> {
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(NotVisible::Stuck),
        }
    }
}

/// A thread that counts as one of those that may be left behind, with room for parsers.
pub(crate) fn start_counted(work: impl FnOnce() + Send + 'static) -> Result<(), NotVisible> {
    start(PARSING_STACK_BYTES, work)
}

fn start(stack: usize, work: impl FnOnce() + Send + 'static) -> Result<(), NotVisible> {
    if WORKERS.fetch_add(1, Ordering::SeqCst) >= WORKERS_MAX {
        WORKERS.fetch_sub(1, Ordering::SeqCst);
        return Err(NotVisible::TooManyStuck);
    }
    let counted = Counted;
    let thread = std::thread::Builder::new().name("observe".into()).stack_size(stack);
    let started = thread.spawn(move || {
        let _counted = counted;
        work();
    });
    started.map(drop).map_err(|error| NotVisible::of_io(&error))
}

/// What may block for ever, carried out on a thread of its own and waited for so long: an open on a dead mount, say.
///
/// # Errors
/// It did not answer in time, or too many that never answered are there already.
pub fn within<T: Send + 'static>(
    wait: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotVisible> {
    let (sender, answers) = sync_channel(1);
    // Sending fails when nobody waits any more: then the answer is dropped.
    start(PARSING_STACK_BYTES, move || drop(sender.send(work())))?;
    Worker { answers }.next(wait)?.ok_or(NotVisible::Stuck)
}

/// Reads every item on a worker thread, in order. An item that does not answer within `step` is reported as stuck
/// and a new thread goes on behind it; items that the deadline leaves over are reported as out of time.
pub(crate) fn read_each<I, T>(
    items: &[I],
    step: Duration,
    deadline: Instant,
    read: fn(&I) -> Result<T, NotVisible>,
    take: &mut dyn FnMut(&I, Result<T, NotVisible>),
) where
    I: Clone + Send + 'static,
    T: Send + 'static,
{
    let mut rest = items;
    while !rest.is_empty() {
        let owned = rest.to_vec();
        let worker = Worker::start(move |answers| {
            for item in &owned {
                if answers.send(read(item)).is_err() {
                    return;
                }
            }
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(reason) => return rest.iter().for_each(|item| take(item, Err(reason.clone()))),
        };
        while let Some((item, behind)) = rest.split_first() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return rest.iter().for_each(|item| take(item, Err(NotVisible::OutOfTime)));
            }
            rest = behind;
            match worker.next(step.min(left)) {
                Ok(Some(answer)) => take(item, answer),
                Ok(None) => take(item, Err(NotVisible::Malformed)),
                Err(reason) => {
                    take(item, Err(reason));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_item_is_named_and_the_ones_behind_it_are_read() {
        fn read(item: &u32) -> Result<u32, NotVisible> {
            if *item == 2 {
                // Longer than any limit of this test: stands for a read that never returns.
                std::thread::park_timeout(Duration::from_secs(30));
            }
            Ok(item * 10)
        }
        let mut answers = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        read_each(&[1, 2, 3, 4], Duration::from_millis(200), deadline, read, &mut |item, answer| {
            answers.push((*item, answer));
        });
        assert_eq!(answers, [(1, Ok(10)), (2, Err(NotVisible::Stuck)), (3, Ok(30)), (4, Ok(40))]);
    }

    #[test]
    fn the_deadline_names_what_was_left_over() {
        let mut answers = Vec::new();
        read_each(
            &[1, 2],
            Duration::from_secs(1),
            Instant::now(),
            |item: &u32| Ok(*item),
            &mut |_, answer| {
                answers.push(answer);
            },
        );
        assert_eq!(answers, [Err(NotVisible::OutOfTime), Err(NotVisible::OutOfTime)]);
    }
}
