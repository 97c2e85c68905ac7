//! A request to stop, by a signal or a front. It reaches the whole process, also between two rotations and during a
//! prompt.
//!
//! After the request a drive pauses at its next safe point, a prompt is withdrawn, and nothing else starts.

use std::sync::LazyLock;

use keyroll_codes::Code;
use tokio::sync::watch;

use crate::exit::Exit;
use crate::problem::Problem;

static REQUESTED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Requests a stop.
pub fn ask() {
    REQUESTED.send_replace(true);
}

/// True once a stop was requested.
pub fn is_asked() -> bool {
    *REQUESTED.borrow()
}

/// Returns when a stop is requested.
pub async fn asked() {
    // The sender lives as long as the process.
    let _ = REQUESTED.subscribe().wait_for(|requested| *requested).await;
}

/// Refuses to start anything after a stop was requested; `next` is the command to run later.
///
/// # Errors
/// A stop was requested.
pub fn refuse_more(attempted: &str, next: &str) -> Result<(), Problem> {
    match is_asked() {
        false => Ok(()),
        true => Err(Problem::new(Code::Stopped, attempted)
            .because(
                "keyroll was asked to stop (Ctrl-C or a signal) before it began this: nothing was changed",
            )
            .help(next)
            .exits(Exit::Interrupted)),
    }
}
