//! The folder of all scenes, and what runs in it: each process is ended by the number of the group that it was started in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use keyroll_testkit::command::{Ran, wait};
use keyroll_testkit::{ManagerTools, TempDir};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::scenes::truth::{Values, Version};

pub const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

pub struct Stage {
    folder: TempDir,
    started: Mutex<Vec<Child>>,
    pub tools: Option<ManagerTools>,
}

/// The folder of one scene.
pub struct Scene<'s> {
    pub stage: &'s Stage,
    pub values: Values,
    folder: PathBuf,
}

impl Stage {
    pub fn new() -> Self {
        let tools = ManagerTools::or_skip("scenes of managers", env!("CARGO_TARGET_TMPDIR"));
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder, started: Mutex::default(), tools }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A scene is a project of its own.
    pub fn scene(&self, name: &str) -> Scene<'_> {
        let scene = Scene { stage: self, values: Values::new(), folder: self.root().join(name) };
        scene.write("compose.yaml", "services: {}\n");
        scene
    }

    /// A program that is run to its end or until the test is over.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        let path = self.tools.as_ref().map_or_else(|| "/usr/bin:/bin".to_owned(), ManagerTools::path);
        command.current_dir(folder).env_clear().env("PATH", path).env("HOME", self.root().join("home"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn start(&self, command: &mut Command) -> u32 {
        use std::os::unix::process::CommandExt as _;
        let child = command.process_group(0).spawn().unwrap();
        let pid = child.id();
        self.started.lock().unwrap().push(child);
        pid
    }

    /// What the program says, for machines or for people.
    pub fn keyroll(&self, words: &[&str], engine: Option<&str>) -> Ran {
        let mut command = Command::new(KEYROLL);
        command.args(words).current_dir(self.root()).env_clear().env("HOME", self.root().join("home"));
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("COLUMNS", "100000").stdin(Stdio::null());
        if let Some(engine) = engine {
            command.env("DOCKER_HOST", engine);
        }
        Ran::run(&mut command)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.started.lock().unwrap().iter_mut() {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let _ = Command::new("cp").arg("-a").arg(self.root()).arg("/tmp/kept-scenes").status();
        }
    }
}

impl Scene<'_> {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file; `@/` is the scene's folder.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.filled(text)).unwrap();
    }

    pub fn filled(&self, text: &str) -> String {
        self.values.fill(text).replace("@/", &format!("{}/", self.folder.display()))
    }

    /// A copy's place, as it is shown.
    pub fn at(&self, place: &str) -> String {
        self.path(place).display().to_string()
    }

    /// The line of a file that holds a version.
    pub fn line(&self, name: &str, version: Version) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let line = text.lines().position(|line| line.contains(self.values.of(version))).unwrap();
        self.at(&format!("{name}:{}", line + 1))
    }

    /// Starts `start.sh` of a folder by a shell, which waits for what it starts: the shell and its child.
    pub fn script(&self, folder: &str, text: &str) -> [u32; 2] {
        self.write(&format!("{folder}/start.sh"), text);
        let shell = self.stage.start(self.stage.command("bash", &self.path(folder)).arg("start.sh"));
        [shell, child(shell)]
    }
}

/// The child of a shell, once it runs its own program.
pub fn child(shell: u32) -> u32 {
    let path = format!("/proc/{shell}/task/{shell}/children");
    let mut found = None;
    wait("a shell has a child that runs its own program", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        found = text.split_ascii_whitespace().next().and_then(|pid| pid.parse::<u32>().ok());
        found.is_some_and(|pid| program(pid).is_some_and(|name| name != program(shell).unwrap_or_default()))
    });
    found.unwrap()
}

/// What a process executes.
pub fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
