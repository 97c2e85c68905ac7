use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use keyroll_scanner::{Scan, Tree};

use crate::args::LeaksArgs;

/// The most of what a program says about its failure, bytes.
const SAID_BYTES_MAX: u64 = 300;

/// Where leaks are looked for.
pub(crate) enum Source {
    Tree(Tree),
    Stdin,
    /// The memory of a process.
    Process(u32),
    /// What a program writes, by what people call that.
    Program(String, Vec<String>),
}

impl Source {
    pub(crate) fn of(args: &LeaksArgs) -> Self {
        let program = |name: String, words: &[&str]| {
            Self::Program(name, words.iter().map(|word| (*word).to_owned()).collect())
        };
        match (args.stdin, args.pid, &args.image, &args.container, &args.journal) {
            (true, ..) => Self::Stdin,
            (_, Some(pid), ..) => Self::Process(pid),
            (_, _, Some(image), ..) => program(format!("image {image}"), &["docker", "save", "--", image]),
            (_, _, _, Some(name), _) => program(format!("container {name}"), &["docker", "logs", "--", name]),
            (_, _, _, _, Some(since)) => {
                let since = format!("--since={since}");
                program(
                    "the journal".to_owned(),
                    &["journalctl", "--no-pager", "--quiet", "-a", "-o", "short-iso", &since],
                )
            }
            (false, None, None, None, None) => {
                let here = || vec![PathBuf::from(".")];
                let paths = if args.paths.is_empty() { here() } else { args.paths.clone() };
                Self::Tree(Tree { paths, ignored_left_out: !args.no_ignore })
            }
        }
    }

    pub(crate) fn scan(&self, scan: &Scan<'_>) {
        match self {
            Self::Tree(tree) => scan.tree(tree),
            Self::Stdin => scan.stream("stdin", &mut io::stdin().lock()),
            Self::Process(pid) => scan.process(*pid),
            Self::Program(name, words) => {
                if let Err(error) = written(name, words, scan) {
                    scan.skip(name.clone(), error.to_string());
                }
            }
        }
    }
}

/// What a program writes to both of its outputs: containers log to both.
fn written(name: &str, words: &[String], scan: &Scan<'_>) -> io::Result<()> {
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    let (read, write) = io::pipe()?;
    let logs = rest.first().is_some_and(|word| word == "logs");
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(write.try_clone()?);
    let said = match logs {
        true => {
            command.stderr(write);
            None
        }
        false => {
            let (read, beside) = io::pipe()?;
            command.stderr(beside);
            Some(read)
        }
    };
    let mut child =
        command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    // Its ends of the pipes are closed here, or what it writes would never end.
    drop(command);
    let said = said.map(|mut said| {
        std::thread::spawn(move || {
            let mut first = Vec::new();
            let _ = said.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut first);
            let _ = io::copy(&mut said, &mut io::sink());
            first
        })
    });
    scan.stream(name, &mut &read);
    let ended = child.wait()?;
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    match ended.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
            Err(io::Error::other(format!("{program} ended with {ended}: {said}")))
        }
    }
}
