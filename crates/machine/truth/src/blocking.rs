use keyroll_port::Failure;
use tokio::task::spawn_blocking;

use crate::attempt::Attempt;

/// Does work that may wait for a disk or a program on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    attempt: &Attempt<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(attempt.unclear("its thread ended before it".to_owned())))
}
