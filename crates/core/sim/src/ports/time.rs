use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use keyroll_engine::{Input, Limit, Spawner, Task};
use keyroll_port::{Clock, Sleep};

use super::{Port, locked};
use crate::schedule::Run;

thread_local! {
    /// The action whose task is polled on this thread.
    static SCOPE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The action that a call belongs to; `None` for calls of the shell itself.
pub(crate) fn scope() -> Option<usize> {
    SCOPE.get()
}

impl Clock for Port {
    fn monotonic_ms(&self) -> u64 {
        self.run().world.mono()
    }

    fn boot(&self) -> u64 {
        self.run().world.boot
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn sleep_until(&self, ms: u64) -> Sleep {
        Box::pin(Sleeping { run: self.run.clone(), slot: self.slot, ms })
    }
}

struct Sleeping {
    run: Arc<Mutex<Run>>,
    slot: usize,
    ms: u64,
}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let mut run = locked(&self.run);
        if run.world.mono() >= self.ms {
            return Poll::Ready(());
        }
        if let Some(slot) = run.slots.get_mut(self.slot) {
            slot.wake = Some(slot.wake.map_or(self.ms, |before| before.min(self.ms)));
        }
        Poll::Pending
    }
}

impl Spawner for Port {
    fn spawn(&self, task: Task, limit: Option<Limit>) -> Task {
        let scope = self.run().next_scope(self.slot);
        let task = Limit::around(limit, task);
        Box::pin(Scoped { run: self.run.clone(), scope, task, ended: false })
    }
}

/// A task that knows which action it is.
struct Scoped {
    run: Arc<Mutex<Run>>,
    scope: Option<usize>,
    task: Task,
    /// The driver died before it got the result.
    ended: bool,
}

impl Future for Scoped {
    type Output = Option<Input>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        if self.ended {
            return Poll::Pending;
        }
        SCOPE.set(self.scope);
        let polled = self.task.as_mut().poll(cx);
        SCOPE.set(None);
        let (Poll::Ready(Some(input)), Some(scope)) = (&polled, self.scope) else { return polled };
        if locked(&self.run).task_ended(scope, input) {
            return polled;
        }
        self.ended = true;
        Poll::Pending
    }
}
