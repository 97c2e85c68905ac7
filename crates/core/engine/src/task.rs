use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use keyroll_port::Clock;

use crate::Input;

/// One call to the ports that runs beside the others, and what the driver hears of it; `None` if it gave nothing.
pub type Task = Pin<Box<dyn Future<Output = Option<Input>> + Send>>;

/// When the shell stops waiting for a task, and what the driver hears then.
pub struct Limit {
    /// The clock that decides.
    pub clock: Arc<dyn Clock>,
    /// The end of the time, by [`Clock::monotonic_ms`].
    pub until_ms: u64,
    /// What the driver hears; `None` for a task that gives nothing.
    pub late: Option<Input>,
}

impl Limit {
    /// The task, ended at its limit if it has one.
    pub fn around(limit: Option<Self>, task: Task) -> Task {
        let Some(limit) = limit else { return task };
        Box::pin(async move {
            let ended = until(limit.clock.as_ref(), limit.until_ms, task).await;
            // A task that gave nothing panicked: that is no more than being late.
            ended.flatten().or(limit.late)
        })
    }
}

/// Decides where tasks run.
pub trait Spawner: Send + Sync {
    /// Starts a task. The future that is returned ends with the task, or at the limit. Dropping that future ends the task
    /// at its next await: a task that blocks its thread goes on until then, but nobody waits for it.
    fn spawn(&self, task: Task, limit: Option<Limit>) -> Task;
}

/// Runs each task on the tokio runtime that the shell runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn(&self, task: Task, limit: Option<Limit>) -> Task {
        let mut running = tokio::task::JoinSet::new();
        running.spawn(task);
        // A set ends its tasks when it is dropped.
        let ended: Task = Box::pin(async move { running.join_next().await.and_then(Result::ok).flatten() });
        // The limit stands around the spawned task: inside it, a call that blocks its thread would hold it up too.
        Limit::around(limit, ended)
    }
}

/// The tasks under way. They are polled in the order in which they were started.
#[derive(Default)]
pub(crate) struct Tasks(Vec<Task>);

impl Tasks {
    pub(crate) fn add(&mut self, task: Task) {
        self.0.push(task);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first of them that ended; pending while none did.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        for at in 0..self.0.len() {
            if let Some(Poll::Ready(input)) = self.0.get_mut(at).map(|task| task.as_mut().poll(cx)) {
                drop(self.0.remove(at));
                return Poll::Ready(input);
            }
        }
        Poll::Pending
    }
}

/// What a call comes to until then; `None` once the time has passed.
pub(crate) async fn until<T>(clock: &dyn Clock, ms: u64, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut timer = clock.sleep_until(ms);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}
