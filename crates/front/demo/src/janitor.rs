//! The part that cleans up after a demo that could not do it itself: killed, or ended by a panic.

use std::fs;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use crate::cast::{FRONTS, WORKERS};
use crate::folder::Folder;
use crate::lifeline::{LIFELINE, demo_ended};
use crate::pid::{self, PidFile, Process};

/// How long the other parts may take to end by themselves once the demo's process is gone.
const END_MS_MAX: u64 = 2_000;

/// Waits until the demo's process has ended, however it did, then ends what still runs and removes the folder.
///
/// The demo ends this part first when it cleans up by itself.
pub(crate) async fn run(folder: &Folder) -> Result<(), Failure> {
    let _pid = PidFile::write(folder, "janitor")?;
    if pid::read(&folder.join(LIFELINE)).is_none() {
        return Err(Failure::new(Class::Permanent, Code::DemoFailed, "watch over the demo")
            .because("it does not say who it is"));
    }
    demo_ended(folder).await;
    let others = WORKERS.iter().map(|worker| worker.name).chain(FRONTS.iter().map(|front| front.name));
    for name in others.chain(["parent", "issuer"]) {
        let Some(process) = Process::of_part(folder, &folder.pid_file(name)) else { continue };
        if !process.wait(Duration::from_millis(END_MS_MAX)) {
            process.kill();
        }
    }
    fs::remove_dir_all(folder.path()).map_err(|error| {
        Failure::new(Class::Retryable, Code::DemoFailed, format!("remove {}", folder.path().display()))
            .because(error)
    })
}
