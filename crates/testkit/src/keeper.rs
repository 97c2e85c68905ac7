use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The keeper of a server: it stops the server when our end of its standard input closes, however we ended; or ends it with
/// the signal that it reads there.
const SCRIPT: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; read -r how <&3; kill -"${how:-TERM}" $server 2>/dev/null; wait $server"#;
const STOP_MS_MAX: u64 = 20_000;
const LOOK_PAUSE_MS: u64 = 20;

/// A server that ends when this is dropped, or when this process dies.
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Starts the server of this command line, in a process group of its own; its environment is empty but for a path.
    pub(crate) fn start(words: &[&str], log: std::fs::File) -> io::Result<Self> {
        Self::of(&[&["-c", SCRIPT, "keeper"][..], words].concat(), log)
    }

    /// The same with a keeper of one's own, a script by these words for the shell: it must end when its standard input does.
    pub(crate) fn of(words: &[&str], log: std::fs::File) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("sh");
        command.args(words).process_group(0);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir("/");
        let again = log.try_clone()?;
        Ok(Self(command.stdin(Stdio::piped()).stdout(log).stderr(again).spawn()?))
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill(mut self) {
        // One that has ended does not read.
        let _ = self.0.stdin.as_mut().map(|input| input.write_all(b"KILL\n"));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The keeper's `read` ends with the pipe; it then stops the server and waits for it.
        drop(self.0.stdin.take());
        let end = Instant::now() + Duration::from_millis(STOP_MS_MAX);
        while Instant::now() < end {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
