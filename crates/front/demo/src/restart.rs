//! The work of a restart script: ends one worker normally, starts it again, and waits until it is ready.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};
use tokio::time::{Instant, sleep};

use crate::cast::Worker;
use crate::folder::Folder;
use crate::http::{Call, Connection};
use crate::pid::{self, Process};

/// How long a worker may take to end after it was asked to; longer than its own limit for draining.
const STOP_MS_MAX: u64 = 8_000;
/// How long a worker may take from its start to the first "ready".
const START_MS_MAX: u64 = 10_000;
/// How often a starting worker is checked.
const LOOK_PAUSE_MS: u64 = 10;

fn failed(cast: &Worker, what: &str) -> Failure {
    Failure::new(Class::Permanent, Code::DemoFailed, format!("{what} worker {} of the demo", cast.name))
}

/// The worker that no configuration names.
pub(crate) fn forgotten() -> Result<Worker, Failure> {
    Worker::named("forgotten").ok_or_else(|| {
        Failure::new(Class::Permanent, Code::UsageWrong, "find the forgotten worker in the cast")
            .kind(FailureKind::UsageWrong)
    })
}

/// Restarts a worker; starts it if it does not run.
pub(crate) async fn run(folder: &Folder, cast: Worker) -> Result<(), Failure> {
    let before = Process::of_part(folder, &folder.pid_file(cast.name));
    let old = before.as_ref().map(|process| process.pid);
    if let Some(process) = before {
        process.terminate();
        if !process.wait(Duration::from_millis(STOP_MS_MAX)) {
            return Err(failed(&cast, "end").because("it still runs; it was left alone"));
        }
    }
    start(folder, cast, old).await
}

/// Starts a worker by its start script, and waits until it is ready.
async fn start(folder: &Folder, cast: Worker, old: Option<u32>) -> Result<(), Failure> {
    let because = |error: io::Error| failed(&cast, "start").because(error);
    let (out, err) = worker_log(folder, cast.name).map_err(because)?;
    let mut child = Command::new(cast.start_script(folder))
        .arg(cast.instance)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(because)?;
    wait_until_ready(folder, &cast, old, &mut child).await
}

/// Waits until a process other than `old` is in the worker's pid file and reports that it is ready.
pub(crate) async fn wait_until_ready(
    folder: &Folder,
    cast: &Worker,
    old: Option<u32>,
    child: &mut Child,
) -> Result<(), Failure> {
    let address = cast.address(folder.ports()?);
    let deadline = Instant::now() + Duration::from_millis(START_MS_MAX);
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            let log = folder.join(format!("log/{}.log", cast.name));
            return Err(failed(cast, "start")
                .because(format!("it ended with {status}"))
                .help(format!("read {}", log.display())));
        }
        let named = pid::read(&folder.pid_file(cast.name)).filter(|pid| Some(*pid) != old);
        if named.is_some()
            && let Ok(mut connection) = Connection::open(address).await
            && let Ok(response) = connection.call(&Call::get("/ready")).await
            && response.status == 200
        {
            return Ok(());
        }
        sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
    }
    Err(failed(cast, "start").because("it was not ready in time"))
}

/// The file that a worker's standard output and error go to.
pub(crate) fn worker_log(folder: &Folder, name: &str) -> io::Result<(Stdio, Stdio)> {
    fs::create_dir_all(folder.join("log"))?;
    let file = OpenOptions::new().create(true).append(true).open(folder.join(format!("log/{name}.log")))?;
    Ok((file.try_clone()?.into(), file.into()))
}
