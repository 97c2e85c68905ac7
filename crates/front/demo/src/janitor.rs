//! The part that cleans up after a demo that was killed or panicked.

use std::fs;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use crate::cast::{FRONTS, WORKERS};
use crate::folder::Folder;
use crate::lifeline::{LIFELINE, demo_ended};
use crate::pid::{self, PidFile, Process};

/// How long the other parts may take to end by themselves after the demo's process has ended.
const END_MS_MAX: u64 = 2_000;

/// Waits until the demo's process has ended for any reason, then ends the remaining parts and removes the folder.
///
/// If the demo cleans up itself, it ends this part first.
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
