use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::NotVisible;

/// How many reading threads may exist at once, abandoned ones included.
const WORKERS_MAX: usize = 32;

/// The stack of a reading thread, bytes.
const STACK_BYTES: usize = 256 * 1024;

/// The stack of a thread that may also parse files, bytes: 128 levels of a document, and SQLite.
const PARSING_STACK_BYTES: usize = 2 * 1024 * 1024;

static WORKERS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        WORKERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that reads for the caller. A read of /proc/PID/mem, of an environment or of a file on a dead network mount
/// can block for ever and cannot be interrupted. Therefore the caller waits here with a limit, and abandons the thread
/// at the limit. The thread ends at its next answer, because nobody takes it.
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

/// A thread that counts against the limit of reading threads, with a stack for parsers.
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

/// Runs something that may block for ever, such as an open on a dead mount, on a thread of its own, and waits for it up
/// to a limit.
///
/// # Errors It did not answer in time, or too many abandoned threads exist already.
pub fn within<T: Send + 'static>(
    wait: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotVisible> {
    let (sender, answers) = sync_channel(1);
    // Sending fails when the caller no longer waits: the answer is dropped.
    start(PARSING_STACK_BYTES, move || drop(sender.send(work())))?;
    Worker { answers }.next(wait)?.ok_or(NotVisible::Stuck)
}

/// How many answers wait for the caller at most: one transfer between threads carries up to this many.
const ANSWERS_MAX: usize = 16;

/// The answers of one reading thread, in the order of the items.
struct Answers<T> {
    state: Mutex<Reading<T>>,
    changed: Condvar,
}

struct Reading<T> {
    ready: Vec<T>,
    /// Since when the present item is read; `None` while the thread waits for space, or has ended.
    since: Option<Instant>,
    ended: bool,
    /// The caller takes no more.
    left_behind: bool,
}

/// The result of a wait for answers.
enum Waited {
    /// It ended, or has as many as it keeps.
    Answered,
    /// One item takes longer than its limit.
    Stuck,
    OutOfTime,
}

impl<T> Answers<T> {
    fn new() -> Self {
        let reading =
            Reading { ready: Vec::new(), since: Some(Instant::now()), ended: false, left_behind: false };
        Self { state: Mutex::new(reading), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Reading<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` = the caller takes no more.
    fn put(&self, answer: T) -> bool {
        let mut state = self.lock();
        state.ready.push(answer);
        if state.ready.len() >= ANSWERS_MAX {
            state.since = None;
            self.changed.notify_all();
            let full = |state: &mut Reading<T>| state.ready.len() >= ANSWERS_MAX && !state.left_behind;
            state = self.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        }
        state.since = Some(Instant::now());
        !state.left_behind
    }

    /// The available answers, once there is a reason to take them.
    fn take(&self, step: Duration, deadline: Instant) -> (Vec<T>, Waited) {
        let mut state = self.lock();
        let waited = loop {
            let now = Instant::now();
            let reading = state.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            let left = step.saturating_sub(reading).min(deadline.saturating_duration_since(now));
            if state.ended || state.ready.len() >= ANSWERS_MAX {
                break Waited::Answered;
            } else if now >= deadline {
                break Waited::OutOfTime;
            } else if left.is_zero() {
                break Waited::Stuck;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        let ready = std::mem::take(&mut state.ready);
        state.left_behind = !matches!(waited, Waited::Answered);
        drop(state);
        self.changed.notify_all();
        (ready, waited)
    }
}

/// Marks the end of the answers, even if reading panics.
struct Ending<T>(Arc<Answers<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// Reads every item on a worker thread, in order. An item that does not answer within `step` is reported as stuck and a
/// new thread continues after it; items that remain at the deadline are reported as out of time.
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
        if Instant::now() >= deadline {
            return rest.iter().for_each(|item| take(item, Err(NotVisible::OutOfTime)));
        }
        let owned = rest.to_vec();
        let answers = Arc::new(Answers::new());
        let ending = Ending(Arc::clone(&answers));
        let started = start(STACK_BYTES, move || {
            for item in &owned {
                if !ending.0.put(read(item)) {
                    return;
                }
            }
        });
        if let Err(reason) = started {
            return rest.iter().for_each(|item| take(item, Err(reason.clone())));
        }
        loop {
            let (ready, waited) = answers.take(step, deadline);
            let count = ready.len();
            rest.iter().zip(ready).for_each(|(item, answer)| take(item, answer));
            rest = rest.get(count..).unwrap_or_default();
            let Some((item, behind)) = rest.split_first() else { return };
            match waited {
                Waited::Answered if count > 0 => {}
                // The thread panicked.
                Waited::Answered => {
                    return rest.iter().for_each(|item| take(item, Err(NotVisible::Malformed)));
                }
                Waited::OutOfTime => break,
                Waited::Stuck => {
                    take(item, Err(NotVisible::Stuck));
                    rest = behind;
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
                // Longer than any limit of this test, like a read that never returns.
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
    fn more_answers_than_wait_at_once_come_whole_and_in_their_order() {
        fn read(item: &u32) -> Result<u32, NotVisible> {
            if *item == 700 { Err(NotVisible::Vanished) } else { Ok(item * 2) }
        }
        let items: Vec<u32> = (0..1_000).collect();
        let mut answers = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        read_each(&items, Duration::from_secs(10), deadline, read, &mut |item, answer| {
            answers.push((*item, answer));
        });
        assert_eq!(answers.len(), items.len());
        for (at, (item, answer)) in (0..).zip(answers) {
            assert_eq!(item, at);
            assert_eq!(answer, read(&at));
        }
    }

    #[test]
    fn a_read_that_panics_leaves_no_answer_for_the_rest() {
        fn read(item: &u32) -> Result<u32, NotVisible> {
            assert_ne!(*item, 2, "a test's own panic");
            Ok(*item)
        }
        let mut answers = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        read_each(&[1, 2, 3], Duration::from_secs(10), deadline, read, &mut |_, answer| answers.push(answer));
        assert_eq!(answers, [Ok(1), Err(NotVisible::Malformed), Err(NotVisible::Malformed)]);
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
