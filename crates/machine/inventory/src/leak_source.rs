use std::error::Error as _;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keyroll_scanner::{OpenError, Scan, Tree};
use serde::{Deserialize, Serialize};

/// Cuts the values out of a text.
type Clean<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// How often the progress of a scan is shown.
const SAID_EVERY: Duration = Duration::from_millis(200);
/// How much of a failed program's error output is read, bytes.
const SAID_BYTES_MAX: u64 = 4 << 10;
/// How much of it is shown, characters.
const SAID_CHARS_MAX: usize = 300;

/// A source to scan for leaks, on the machine that this runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakSource {
    /// Files and folders.
    Tree(Tree),
    /// The histories of repositories.
    Histories(Vec<PathBuf>),
    /// The staged changes of repositories.
    Staged {
        /// The repositories.
        paths: Vec<PathBuf>,
        /// The index, if it is not that of the repository.
        index: Option<PathBuf>,
    },
    /// Standard input.
    Stdin,
    /// The memory of a process.
    Process(u32),
    /// Every layer of a container image.
    Image(String),
    /// The output of a container.
    Container(String),
    /// The journal of this machine since a time, as `journalctl --since` reads it.
    Journal(String),
}

impl LeakSource {
    /// The named files, folders or repositories.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Tree(tree) => &tree.paths,
            Self::Histories(paths) | Self::Staged { paths, .. } => paths,
            Self::Stdin | Self::Process(_) | Self::Image(_) | Self::Container(_) | Self::Journal(_) => &[],
        }
    }

    /// The operator's next step if nothing of this source could be scanned.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Histories(_) | Self::Staged { .. } => "run it in a git repository, or name one as PATH",
            Self::Process(_) => "name an existing process; only root can read another user's",
            Self::Image(_) => "see what docker reports: docker image inspect NAME",
            Self::Container(_) => "see what docker reports: docker logs NAME",
            Self::Journal(_) => "see what journalctl reports: journalctl -n 1",
            Self::Tree(_) | Self::Stdin => "what can be scanned: keyroll leaks --help",
        }
    }

    /// Scans it in a thread of its own, and tells the progress meanwhile. What a failed program said is cleaned before it is
    /// cut to its length.
    ///
    /// # Errors
    /// Nothing of the source could be scanned: its name, and why, without values.
    pub fn scan(
        &self,
        scan: &Scan<'_>,
        clean: Clean<'_>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        let (end, ended) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || end.send(self.scanned(scan, clean)));
            loop {
                match ended.recv_timeout(SAID_EVERY) {
                    Ok(scanned) => return scanned,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        let (texts, bytes) = scan.so_far();
                        progress(&format!("read {texts} texts, {} MiB …", bytes >> 20));
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Err("its thread ended".to_owned()),
                }
            }
        })
    }

    /// The first path that cannot be reached, by its number from 1 on. It is not named: it may be a value. Of several hosts, not
    /// each may have every path: with `some`, one that can be reached is enough, and the scan names the others.
    ///
    /// # Errors
    /// There is one.
    pub fn reachable(&self, some: bool) -> Result<(), String> {
        let Self::Tree(tree) = self else { return Ok(()) };
        if some && tree.paths.iter().any(|path| path.exists()) {
            return Ok(());
        }
        tree.paths.iter().zip(1..).try_for_each(|(path, number)| {
            let why = |error| format!("path number {number} cannot be reached: {error}");
            path.metadata().map(drop).map_err(why)
        })
    }

    fn scanned(&self, scan: &Scan<'_>, clean: Clean<'_>) -> Result<(), String> {
        let refused = |error: OpenError| {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{source}")
        };
        let program = |name: &str, words: &[&str]| {
            written(name, words, scan, clean).map_err(|error| format!("{name}: {error}"))
        };
        match self {
            Self::Tree(tree) => scan.tree(tree),
            Self::Histories(paths) => {
                paths.iter().try_for_each(|path| scan.history(path)).map_err(refused)?;
            }
            Self::Staged { paths, index } => {
                paths.iter().try_for_each(|path| scan.staged(path, index.as_deref())).map_err(refused)?;
            }
            Self::Stdin => scan.stream("stdin", &mut io::stdin().lock()),
            Self::Process(pid) => {
                scan.process(*pid).map_err(|error| format!("process {pid}: {error}"))?;
            }
            Self::Image(name) => program(&format!("image {name}"), &["docker", "save", "--", name])?,
            Self::Container(name) => program(&format!("container {name}"), &["docker", "logs", "--", name])?,
            Self::Journal(since) => {
                let since = format!("--since={since}");
                // Not --quiet: it says which messages this user may not see.
                let words = ["journalctl", "--no-pager", "-a", "-o", "short-iso", &since];
                program("the journal", &words)?;
            }
        }
        Ok(())
    }
}

/// Scans the output of a program. Container logs use stdout and stderr, so both are scanned.
#[expect(
    clippy::disallowed_methods,
    reason = "docker and journalctl write what is scanned; no value goes to them"
)]
fn written(name: &str, words: &[&str], scan: &Scan<'_>, clean: Clean<'_>) -> io::Result<()> {
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    let (read, write) = io::pipe()?;
    let logs = rest.first() == Some(&"logs");
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null());
    // The command owns every write end of the pipe and closes it when it ends. Otherwise its output would never end.
    let said = if logs {
        command.stdout(write.try_clone()?).stderr(write);
        None
    } else {
        let (read, beside) = io::pipe()?;
        command.stdout(write).stderr(beside);
        Some(read)
    };
    let mut child =
        command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    drop(command);
    let said = said.map(|mut said| {
        thread::spawn(move || {
            let mut first = Vec::new();
            let _ = said.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut first);
            let _ = io::copy(&mut said, &mut io::sink());
            first
        })
    });
    scan.stream(name, &mut &read);
    // Read the rest: otherwise the program would wait for ever.
    let _ = io::copy(&mut &read, &mut io::sink());
    let ended = child.wait()?;
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let said = clean(said.lines().next().unwrap_or_default().trim());
    let said: String = said.chars().take(SAID_CHARS_MAX).collect();
    if ended.success() {
        // What it leaves out.
        if !said.is_empty() {
            scan.skip(name, format!("{program} said: {said}"));
        }
        return Ok(());
    }
    let said = if said.is_empty() { said } else { format!(": {said}") };
    Err(io::Error::other(format!("{program} ended with {ended}{said}")))
}
