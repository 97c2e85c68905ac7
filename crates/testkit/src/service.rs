use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::write_program;

/// The file with the variable that the program takes at its start, and the variable.
const OWN: &str = "app.env";
const VARIABLE: &str = "KEY";

/// The file that a consumer's own command writes, and the one that it copies.
const PULLED: &str = "pulled.env";
const GIVEN: &str = "given.env";

/// The program's number, a line for each of its starts, and the file that holds a restart up.
const PID: &str = "service.pid";
const STARTS: &str = "starts";
const HOLD: &str = "hold";
const BEGUN: &str = "begun";

/// What another party leaves.
const COPY: &str = "backup.txt";

/// How long to wait between two looks at a process that was ended.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// The programs.
const RESTART: &str = "restart.sh";
const FETCH: &str = "fetch.sh";

/// Starts the program anew, with the value that its file holds now in its environment. It has ended the one that ran, and the
/// new one has begun, when this ends. While there is a file `hold`, it waits before all of that.
const RESTART_TEXT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
if [ -e hold ]; then
    : >begun
    while [ -e hold ]; do sleep 0.01; done
fi
if [ -s service.pid ]; then
    old=$(cat service.pid)
    kill -9 "$old" 2>/dev/null
    # The entry of a process may stay after its end.
    while read -r _ _ state _ 2>/dev/null <"/proc/$old/stat" && [ "$state" != Z ]; do sleep 0.01; done
fi
KEY=$(sed -n 's/^KEY=//p' app.env) sleep 600 </dev/null >/dev/null 2>&1 &
new=$!
# Until then it is a copy of this shell.
until tr '\0' '\n' <"/proc/$new/environ" | grep -q '^KEY='; do sleep 0.01; done
echo "$new" >service.pid
echo started >>starts
"#;

const FETCH_TEXT: &str = "#!/bin/sh\ncd \"$(dirname \"$0\")\" && cat given.env >pulled.env\n";

/// A program that takes its value from a file when it starts, and a file that a command fetches: what a host's consumers
/// are. The program ends with this.
pub struct Service {
    folder: PathBuf,
}

impl Service {
    /// The programs, in a folder that is made for them. Nothing runs yet, and no file holds a value.
    ///
    /// # Panics
    /// If the folder or a program cannot be written.
    pub fn new(folder: PathBuf) -> Self {
        done("make the folder of a service", fs::create_dir(&folder));
        write_program(&folder.join(RESTART), RESTART_TEXT);
        write_program(&folder.join(FETCH), FETCH_TEXT);
        Self { folder }
    }

    /// The program's own file, with the variable `KEY`.
    pub fn file(&self) -> PathBuf {
        self.folder.join(OWN)
    }

    /// The file that the command fetches, with the variable `KEY`.
    pub fn pulled(&self) -> PathBuf {
        self.folder.join(PULLED)
    }

    /// The file with the program's process id.
    pub fn pid_file(&self) -> PathBuf {
        self.folder.join(PID)
    }

    /// What restarts the program.
    pub fn restart(&self) -> PathBuf {
        self.folder.join(RESTART)
    }

    /// What fetches.
    pub fn fetch(&self) -> PathBuf {
        self.folder.join(FETCH)
    }

    /// Ends the program, and puts this value into both files; nothing else of before is left.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn fresh(&self, value: &str) {
        self.end();
        for name in [PID, STARTS, HOLD, BEGUN, COPY, GIVEN] {
            drop(fs::remove_file(self.folder.join(name)));
        }
        for path in [self.file(), self.pulled()] {
            done("write a file of a service", fs::write(path, text(value)));
        }
    }

    /// Starts the program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self) {
        let mut command = Command::new(self.restart());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        let ended = done("start a service", command.status());
        done(
            "start a service",
            if ended.success() { Ok(()) } else { Err(io::Error::other(ended.to_string())) },
        );
    }

    /// How often the program was started.
    pub fn starts(&self) -> usize {
        fs::read_to_string(self.folder.join(STARTS)).map_or(0, |text| text.lines().count())
    }

    /// From now on a fetch writes this value.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn gives_out(&self, value: &str) {
        done("write a file of a service", fs::write(self.folder.join(GIVEN), text(value)));
    }

    /// A restart waits before it ends anything, until [`Self::goes_on`].
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn holds_up(&self) {
        done("hold a restart up", fs::write(self.folder.join(HOLD), ""));
    }

    /// Whether a restart waits.
    pub fn waits(&self) -> bool {
        self.folder.join(BEGUN).exists()
    }

    /// A restart that waits goes on.
    pub fn goes_on(&self) {
        drop(fs::remove_file(self.folder.join(HOLD)));
        drop(fs::remove_file(self.folder.join(BEGUN)));
    }

    /// Another party copies this value to a file in the folder, which nobody reads; its name.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn copied(&self, value: &str) -> String {
        done("write a copy", fs::write(self.folder.join(COPY), format!("saved {value}\n")));
        COPY.to_owned()
    }

    /// What is in the folder and is not of these programs, and which files below keyroll's own folder hold one of the values.
    pub fn left(&self, own: &Path, values: &[&str]) -> Vec<String> {
        let known = [OWN, PULLED, GIVEN, PID, STARTS, HOLD, BEGUN, COPY, RESTART, FETCH];
        let mut left: Vec<String> = names(&self.folder);
        left.retain(|name| !known.contains(&name.as_str()));
        let mut folders = vec![own.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in names(&folder).into_iter().map(|name| folder.join(name)) {
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path).is_ok_and(|bytes| values.iter().any(|value| is_in(&bytes, value))) {
                    left.push(path.display().to_string());
                }
            }
        }
        left
    }

    /// Ends the program that this started, or that a restart put in its place.
    fn end(&self) {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let number = text.trim();
        let Some(pid) = number.parse().ok().and_then(Pid::from_raw) else { return };
        let _ = kill_process(pid, Signal::KILL);
        // The entry of a process may stay after its end.
        let stat = Path::new("/proc").join(number).join("stat");
        while fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            sleep(LOOK_PAUSE);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

/// The text of a file with this value.
fn text(value: &str) -> String {
    format!("A=1\n{VARIABLE}={value}\n")
}

/// The names in a folder; none if there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_in(bytes: &[u8], value: &str) -> bool {
    bytes.windows(value.len()).any(|part| part == value.as_bytes())
}

#[track_caller]
#[allow(clippy::panic, reason = "a test without its service has failed")]
fn done<T>(what: &str, result: io::Result<T>) -> T {
    match result {
        Ok(done) => done,
        Err(error) => panic!("could not {what}: {error}"),
    }
}
