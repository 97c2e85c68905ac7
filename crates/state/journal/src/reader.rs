//! The one reader thread: it answers questions in parallel with the writer and never waits for an fsync of the writer.

use keyroll_database::rusqlite::Connection;
use keyroll_port::JournalError;
use tokio::sync::{mpsc, oneshot};

/// How many questions may wait for the reader; further callers wait.
pub(crate) const QUEUE_QUESTIONS_MAX: usize = 64;

/// A question and the channel for its answer.
pub(crate) type Question = Box<dyn FnOnce(&mut Connection) + Send>;

/// Answers until every sender is dropped.
pub(crate) fn serve(mut connection: Connection, mut questions: mpsc::Receiver<Question>) {
    while let Some(question) = questions.blocking_recv() {
        question(&mut connection);
    }
}

/// Asks, and waits for the answer.
pub(crate) async fn ask<T: Send + 'static>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(&mut Connection) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let (answer, answered) = oneshot::channel();
    let question = Box::new(move |connection: &mut Connection| drop(answer.send(question(connection))));
    let gone = || JournalError::Unavailable("the journal's reader has ended".into());
    questions.send(question).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}
