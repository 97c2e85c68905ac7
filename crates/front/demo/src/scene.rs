use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};

use crate::cast::{FRONTS, Front, WORKERS, Worker};
use crate::environment::without_settings;
use crate::folder::{Folder, Ports};
use crate::lifeline::LIFELINE;
use crate::pid::{self, Process};
use crate::restart::worker_log;
use crate::script;

/// How long a part may take from its start until it has written its pid file.
const START_MS_MAX: u64 = 10_000;
/// How long a short-lived part may take; the first key may need three seconds until it works.
const SHORT_PART_MS_MAX: u64 = 30_000;
/// How often a starting part is checked.
const LOOK_PAUSE_MS: u64 = 10;
/// How long all parts together may take to end normally.
const END_MS_MAX: u64 = 6_000;

/// The demo's world: a folder, an issuer, workers under their scripts, fronts. Dropping it ends every process that
/// belongs to it, by process handle, and removes the folder.
pub struct Scene {
    folder: Folder,
    ports: Ports,
    keep: bool,
}

impl Scene {
    /// Makes the folder below `parent` and starts everything. `program` is an executable that passes the words after
    /// `demo-part` to [`crate::part`].
    pub fn raise(parent: &Path, program: &Path) -> Result<Self, Failure> {
        let ports = Ports::find()?;
        let path = parent.join(format!("keyroll-demo-{}", std::process::id()));
        let making = |error: std::io::Error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("make the folder {}", path.display()))
                .because(error)
                .help("set TMPDIR to a folder that you may write to, then run keyroll demo again")
        };
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(making)?;
        let path = path.canonicalize().map_err(making)?;
        let scene = Self { folder: Folder::new(path), ports, keep: false };
        scene.prepare(program)?;
        scene.start()?;
        Ok(scene)
    }

    /// Does not remove the folder when this is dropped. Its keys are of an issuer that no longer exists.
    pub(crate) fn keep_folder(&mut self) {
        self.keep = true;
    }

    /// The folder with keyroll.toml.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The entrances of the services: the front of `api`, the front of `report`, the `reader`; name and address.
    pub fn entrances(&self) -> Vec<(&'static str, std::net::SocketAddr)> {
        let fronts = FRONTS.iter().map(|front| (front.name, front.address(self.ports)));
        let reader = Worker::named("reader").map(|reader| (reader.name, reader.address(self.ports)));
        fronts.chain(reader).collect()
    }

    /// Mints one more key and writes it into every copy without any check, as a careless rotation does; used by tests.
    pub fn replace_keys(&self) -> Result<(), Failure> {
        self.run_part(&["first-key"])
    }

    /// Runs a worker's restart script, as keyroll does.
    pub fn restart(&self, worker: &str) -> Result<(), Failure> {
        let cast = Worker::named(worker);
        let cast = cast.ok_or_else(|| {
            Failure::new(Class::Permanent, Code::UsageWrong, format!("find worker {worker}"))
                .kind(FailureKind::UsageWrong)
        })?;
        let script = self.folder.join(cast.service).join("restart.sh");
        let mut command = Command::new(&script);
        without_settings(&mut command);
        self.run_short(command.arg(cast.instance), &format!("run {}", script.display()))
    }

    /// The process id in a part's pid file, while the part runs.
    pub fn pid(&self, part: &str) -> Option<u32> {
        Process::of_part(&self.folder, &self.folder.pid_file(part)).map(|process| process.pid)
    }

    fn prepare(&self, program: &Path) -> Result<(), Failure> {
        let folder = &self.folder;
        folder.write(LIFELINE, format!("{}\n", std::process::id()).as_bytes(), 0o600)?;
        folder.set_ports(self.ports)?;
        script::write_all(folder, self.ports)?;
        for (from, to) in
            [(program, folder.worker_program()), (&folder.worker_program(), folder.join("forgotten/mailer"))]
        {
            let copying = |error: std::io::Error| {
                Failure::new(
                    Class::Permanent,
                    Code::DemoFailed,
                    format!("copy the program to {}", to.display()),
                )
                .because(error)
            };
            to.parent().map_or(Ok(()), fs::create_dir_all).map_err(copying)?;
            fs::copy(from, &to).map_err(copying)?;
        }
        Ok(())
    }

    /// Starts all workers but the forgotten one, which its parent starts later.
    fn start(&self) -> Result<(), Failure> {
        self.start_part("janitor", &["janitor"])?;
        self.start_part("issuer", &["issuer"])?;
        self.run_part(&["first-key"])?;
        for worker in WORKERS.iter().filter(|worker| worker.service != "forgotten") {
            self.restart(worker.name)?;
        }
        for Front { name, .. } in FRONTS {
            self.start_part(name, &["front", "--name", name])?;
        }
        self.start_part("parent", &["parent"])
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.folder.worker_program());
        without_settings(&mut command);
        command.arg("demo-part").args(words).arg("--dir").arg(self.folder.path());
        command
    }

    /// Starts a long-running part, and waits until it has written its pid file.
    fn start_part(&self, name: &str, words: &[&str]) -> Result<(), Failure> {
        let failed = || Failure::new(Class::Permanent, Code::DemoFailed, format!("start {name} of the demo"));
        let (out, err) = worker_log(&self.folder, name).map_err(|error| failed().because(error))?;
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let deadline = Instant::now() + Duration::from_millis(START_MS_MAX);
        let mut child = spawn(&mut command, deadline).map_err(|error| failed().because(error))?;
        while pid::read(&self.folder.pid_file(name)) != Some(child.id()) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(failed().because(format!("it ended with {status}")).help(self.said(name)));
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed().because("it did not start in time").help(self.said(name)));
            }
            std::thread::sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// The output of a part before it failed, for the message: the folder will be removed by then.
    pub(crate) fn said(&self, name: &str) -> String {
        let log = fs::read_to_string(self.folder.join(format!("log/{name}.log"))).unwrap_or_default();
        log.lines().last().map_or_else(|| "it said nothing".to_owned(), |line| format!("it said: {line}"))
    }

    fn run_part(&self, words: &[&str]) -> Result<(), Failure> {
        self.run_short(&mut self.command(words), &format!("run {} of the demo", words.join(" ")))
    }

    fn run_short(&self, command: &mut Command, attempted: &str) -> Result<(), Failure> {
        let failed = || Failure::new(Class::Permanent, Code::DemoFailed, attempted.to_owned());
        let (out, err) = worker_log(&self.folder, "short").map_err(|error| failed().because(error))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| failed().because(error))?;
        match wait(&mut child, Duration::from_millis(SHORT_PART_MS_MAX)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed().because(format!("it ended with {status}")).help(self.said("short"))),
            None => Err(failed().because("it did not end in time").help(self.said("short"))),
        }
    }

    /// Ends the workers normally, so that each writes its count. The callers must have stopped before.
    pub fn end_workers(&self) {
        self.end(WORKERS.iter().map(|worker| worker.name));
    }

    fn end<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let running: Vec<Process> =
            names.filter_map(|name| Process::of_part(&self.folder, &self.folder.pid_file(name))).collect();
        running.iter().for_each(Process::terminate);
        let deadline = Instant::now() + Duration::from_millis(END_MS_MAX);
        for process in &running {
            if !process.wait(deadline.saturating_duration_since(Instant::now())) {
                process.kill();
            }
        }
    }
}

/// Waits for a child; kills one that takes too long.
fn wait(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + at_most;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(LOOK_PAUSE_MS)),
            Err(_) => return None,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end(["parent"].into_iter());
        self.end_workers();
        self.end(FRONTS.iter().map(|front| front.name).chain(["issuer", "janitor"]));
        if !self.keep {
            let _ = fs::remove_dir_all(self.folder.path());
        }
    }
}

/// Starts the copied program. Another thread that starts a process right now still holds the file open for writing, until that
/// process executes its own program.
fn spawn(command: &mut Command, deadline: Instant) -> std::io::Result<Child> {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(LOOK_PAUSE_MS));
            }
            started => return started,
        }
    }
}
