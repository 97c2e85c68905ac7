//! When a part of the demo must end: it is asked to stop, or the demo's own process has ended.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::folder::Folder;
use crate::pid::{self, Process};

/// The file with the process id of the demo itself; every part ends when that process does.
pub(crate) const LIFELINE: &str = "demo.pid";

/// The longest life of a part: no demo takes an hour.
const DEMO_MS_MAX: u64 = 3_600_000;

/// Returns when this part is asked to stop (SIGTERM, SIGINT), or when the demo's own process has ended.
pub(crate) async fn stop_requested(folder: &Folder) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = demo_ended(folder) => {}
    }
}

/// Returns when the demo's own process has ended for any reason.
pub(crate) async fn demo_ended(folder: &Folder) {
    let demo = pid::read(&folder.join(LIFELINE)).and_then(Process::open);
    let Some(demo) = demo else { return };
    let (ended, wait) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime's blocking threads would keep this part from ending normally.
    let watch = move || {
        demo.wait(Duration::from_millis(DEMO_MS_MAX));
        let _ = ended.send(());
    };
    if std::thread::Builder::new().spawn(watch).is_ok() {
        let _ = wait.await;
    }
}
