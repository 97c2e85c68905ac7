use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::proc::ProcFolder;
use crate::{NotVisible, Process, ProcessId, process};

/// How often the two clocks are read until their readings are close together: the time of a start must be the same each
/// time it is asked for, because it is compared with times of files.
const CLOCK_READS_MAX: usize = 50;
const CLOCK_GAP_NS: u64 = 5_000;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// Programs that run a file which their command line names, by the beginning of their own names.
const INTERPRETERS: [&str; 12] =
    ["sh", "bash", "dash", "ash", "ksh", "zsh", "python", "perl", "ruby", "node", "php", "lua"];

/// Shells and other programs that pass on an environment. `osh` and `ysh` are links to the last but one; the last one
/// may be any program.
const SHELLS: [&str; 24] = [
    "sh",
    "bash",
    "rbash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "rksh",
    "mksh",
    "lksh",
    "oksh",
    "pdksh",
    "yash",
    "posh",
    "fish",
    "tcsh",
    "csh",
    "nu",
    "pwsh",
    "elvish",
    "osh",
    "ysh",
    "oils-for-unix",
    "busybox",
];

/// Further programs that run any other one, as their arguments or their settings say: virtual machines, application servers
/// and the like. Not every one of them names a file first.
const RUNTIMES: [&str; 42] = [
    "awk",
    "beam",
    "beam.smp",
    "bun",
    "deno",
    "dotnet",
    "electron",
    "erl",
    "erlexec",
    "escript",
    "expect",
    "gawk",
    "graalpy",
    "guile",
    "java",
    "javaw",
    "jruby",
    "julia",
    "luajit",
    "mawk",
    "mono",
    "mono-sgen",
    "nodejs",
    "ocamlrun",
    "php-cgi",
    "php-fpm",
    "pypy",
    "R",
    "racket",
    "Rscript",
    "runghc",
    "sbcl",
    "swipl",
    "tclsh",
    "truffleruby",
    "uwsgi",
    "wasmer",
    "wasmtime",
    "wine",
    "wine-preloader",
    "wine64",
    "wine64-preloader",
];

/// How the names of the system's loader begin, and of emulators: they run the program that is their argument.
const LOADERS: [&str; 4] = ["ld-linux", "ld-musl", "ld64.so", "qemu-"];

/// Options that are followed by program text instead of a file.
const NO_FILE: [&[u8]; 4] = [b"-c", b"-m", b"-e", b"-r"];

/// A file as a process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InProcess {
    /// Its path, as the process names it.
    pub path: PathBuf,
    /// The path from this process, through the other process's root folder.
    pub here: PathBuf,
}

/// The files that a process was started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// When it was started, milliseconds since 1970 by today's clock; at most 10 ms too early.
    pub started_unix_ms: u64,
    /// Its executable.
    pub program: InProcess,
    /// The executable's file was replaced or removed after the start.
    pub replaced: bool,
    /// The script that an interpreter runs, where its command line names one.
    pub script: Option<InProcess>,
    /// It is an interpreter.
    pub interprets: bool,
}

/// The files that this process was started from, as far as the kernel shows them.
///
/// # Errors
/// The process is gone, or closed to this user.
pub fn image(id: &ProcessId) -> Result<Image, NotVisible> {
    let folder = ProcFolder::open_exact(id)?;
    let now = process(id.pid)?;
    if now.id != *id {
        return Err(NotVisible::Replaced);
    }
    let exe = now.exe.clone().ok_or(NotVisible::Permission)?;
    let root = PathBuf::from(format!("/proc/{}/root", id.pid));
    let place = |path: PathBuf| InProcess { here: inside(&root, &path), path };
    let interprets = is_interpreter(&exe);
    let script = if interprets { script(&now) } else { None };
    let script = match script {
        Some(path) if path.is_relative() => Some(folder.link("cwd")?.join(path)),
        other => other,
    };
    Ok(Image {
        started_unix_ms: started_unix_ms(id)?,
        program: place(exe),
        replaced: now.exe_deleted,
        script: script.map(place),
        interprets,
    })
}

/// Whether a program runs a file that its command line names.
pub fn is_interpreter(program: &Path) -> bool {
    named(program, &INTERPRETERS)
}

/// Whether a program is a shell, by its path or its name; a shell of a login is called `-sh`.
pub fn is_shell(program: &Path) -> bool {
    named(program, &SHELLS)
}

/// Whether a program may run any other one, so that its own file does not tell what a process of it does: an interpreter, a
/// shell, a virtual machine, a loader.
pub fn runs_any_program(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let loads = || LOADERS.iter().any(|begin| name.starts_with(begin));
    is_interpreter(program) || is_shell(program) || named(program, &RUNTIMES) || loads()
}

/// Whether a process runs a shell. One program may be many (busybox): then the name that it was started under decides.
pub fn runs_shell(process: &Process) -> bool {
    let Some(exe) = process.exe.as_deref().filter(|exe| is_shell(exe)) else { return false };
    if !is_many(exe) {
        return true;
    }
    match process.args.program() {
        Some(name) if is_many(name) => {
            let mut first = None;
            process.args.any(|word| {
                first = Some(is_shell(Path::new(OsStr::from_bytes(word))));
                true
            });
            first.unwrap_or(false)
        }
        Some(name) => is_shell(name),
        None => true,
    }
}

fn is_many(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "busybox")
}

fn named(program: &Path, all: &[&str]) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix('-').unwrap_or(&name);
    all.iter().any(|known| {
        let version = name.strip_prefix(known);
        version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    })
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The file that an interpreter runs, from its command line: the first argument that is not an option, unless the
/// command line itself contains the program text.
pub fn script(process: &Process) -> Option<PathBuf> {
    let (mut found, mut next) = (None, false);
    // For these it is followed by a module, which is loaded before the script.
    let loads = |argument: &[u8]| {
        let exe = process.exe.as_deref();
        argument == b"-r" && exe.is_some_and(|exe| named(exe, &["node", "ruby"]))
    };
    process.args.any(|argument| {
        if std::mem::take(&mut next) {
            return false;
        }
        next = loads(argument);
        if NO_FILE.contains(&argument) && !next {
            return true;
        }
        if argument.is_empty() || argument.starts_with(b"-") {
            return false;
        }
        found = Some(PathBuf::from(OsStr::from_bytes(argument)));
        true
    });
    found
}

/// What a person calls a process: the script or module that an interpreter runs, or the title that it gave itself;
/// otherwise its program.
pub fn called(process: &Process) -> String {
    let of = |path: PathBuf| path.file_name().map(|name| crate::shown(Path::new(name)));
    let exe = process.exe.clone().filter(|_| !process.args.overwritten());
    let runs = || script(process).and_then(of).or_else(|| module(process)).or_else(|| titled(process));
    let name = if exe.as_deref().is_some_and(is_interpreter) { runs() } else { None };
    // A shell that runs no script is called as it was started: `sh`, whichever shell that is.
    let own = exe.filter(|exe| !is_shell(exe)).and_then(of);
    let name = name.or(own).filter(|name| !name.is_empty());
    let name = name.or_else(|| titled(process).filter(|_| says_nothing(&process.name)));
    name.unwrap_or_else(|| process.name.clone())
}

/// The same, with the folder that an interpreter's program runs in: only that tells programs of one name apart. A shell
/// without a script runs nothing of its own, and `/` says nothing.
pub fn called_in_folder(process: &Process) -> String {
    let interprets = process.exe.as_deref().is_some_and(is_interpreter);
    let runs = interprets && (!runs_shell(process) || script(process).is_some());
    let folder = if runs { crate::working_folder(&process.id).ok() } else { None };
    let folder = folder.filter(|folder| folder.parent().is_some());
    let name = called(process);
    folder.map_or_else(|| name.clone(), |folder| format!("{name} in {}", crate::shown(&folder)))
}

/// Whether a short name is that of an interpreter, or of the thread that Node calls so in every program.
fn says_nothing(name: &str) -> bool {
    name == "MainThread" || is_interpreter(Path::new(name))
}

/// The program that a title names: `openclaw-gateway`, `gunicorn` of `gunicorn: master [shop]`. None for the name of an
/// interpreter, and for a word that is no plain name.
fn titled(process: &Process) -> Option<String> {
    let first = process.args.program()?.as_os_str().as_bytes();
    let word = first.split(|byte| matches!(byte, b' ' | b':')).next().unwrap_or_default();
    let name = Path::new(OsStr::from_bytes(word)).file_name()?.to_str()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (name.chars().all(plain) && !is_interpreter(Path::new(name))).then(|| name.to_owned())
}

/// The module that Python runs as a program: `uvicorn` of `python3 -m uvicorn app:main`.
fn module(process: &Process) -> Option<String> {
    let (mut next, mut found) = (false, None);
    process.args.any(|word| {
        if next {
            found = std::str::from_utf8(word).ok().map(|name| name.escape_debug().to_string());
        }
        next = word == b"-m";
        found.is_some() || !word.starts_with(b"-")
    });
    found
}

/// The wall clock time at which a process started, derived from the boot clock of its start: milliseconds since 1970,
/// at most 10 ms too early.
///
/// # Errors
/// The two clocks could not be read together.
pub fn started_unix_ms(id: &ProcessId) -> Result<u64, NotVisible> {
    let ns = |clock| {
        let now = clock_gettime(clock);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        seconds.saturating_mul(NS_PER_S).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
    };
    let mut closest: Option<(u64, u64)> = None;
    for _ in 0..CLOCK_READS_MAX {
        let before = ns(ClockId::Boottime);
        let wall = ns(ClockId::Realtime);
        let gap = ns(ClockId::Boottime).saturating_sub(before);
        if closest.is_none_or(|(least, _)| gap < least) {
            closest = Some((gap, wall.saturating_sub(before.saturating_add(gap / 2))));
        }
        if gap <= CLOCK_GAP_NS {
            break;
        }
    }
    let (_, booted) = closest.filter(|(gap, _)| *gap <= NS_PER_MS).ok_or(NotVisible::Stuck)?;
    let started = id.start_ticks.saturating_mul(NS_PER_S) / clock_ticks_per_second().max(1);
    Ok(booted.saturating_add(started) / NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough calls for many milliseconds. The two clocks tick at the same rate, and each is read to the nanosecond.
    #[test]
    fn the_time_of_a_start_is_the_same_each_time_it_is_asked_for() {
        const CALLS: usize = 200_000;
        let own = process(std::process::id()).unwrap().id;
        let first = started_unix_ms(&own).unwrap();
        let other = (0..CALLS).filter(|_| started_unix_ms(&own).unwrap() != first).count();
        assert!(other < CALLS / 100, "{other} of {CALLS} differ");
    }

    #[test]
    fn interpreters_are_known_with_their_versions() {
        for name in ["/bin/sh", "/usr/bin/python3.11", "bash", "perl5"] {
            assert!(is_interpreter(Path::new(name)), "{name}");
        }
        for name in ["/usr/bin/sha256sum", "pythonista", "/bin/true", ""] {
            assert!(!is_interpreter(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_file_that_runs_any_program_is_known() {
        for name in [
            "/usr/lib/jvm/java-21-openjdk-amd64/bin/java",
            "/usr/lib/dotnet/dotnet",
            "/usr/lib/erlang/erts-14.2/bin/beam.smp",
            "/usr/bin/mono-sgen",
            "/usr/bin/ruby3.1",
            "/usr/sbin/php-fpm8.2",
            "/usr/bin/perl",
            "/usr/bin/node",
            "/usr/bin/python3.11",
            "/usr/bin/pypy3.10",
            "/usr/local/bin/bun",
            "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            "/usr/bin/qemu-aarch64-static",
            "/bin/busybox",
        ] {
            assert!(runs_any_program(Path::new(name)), "{name}");
        }
        for name in ["/usr/local/bin/gateway", "/usr/bin/javac", "/usr/bin/monolith", "/usr/sbin/nginx", ""] {
            assert!(!runs_any_program(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn an_interpreters_program_is_called_by_its_script_or_its_title_and_by_its_folder() {
        use std::os::unix::process::CommandExt as _;
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        std::fs::write(folder.join("worker.sh"), "read -r end").unwrap();
        let of = |change: &dyn Fn(&mut Command)| {
            let mut command = Command::new("sh");
            command.current_dir(&folder).stdin(Stdio::piped()).env_clear();
            change(&mut command);
            let mut child = command.spawn().unwrap();
            let one = process(child.id()).unwrap();
            let names = [called(&one), called_in_folder(&one)];
            child.kill().unwrap();
            child.wait().unwrap();
            names
        };
        let here = format!("worker.sh in {}", folder.display());
        assert_eq!(
            of(&|sh| {
                sh.arg("worker.sh");
            }),
            ["worker.sh".to_owned(), here]
        );
        let titled = |title: &'static str| {
            of(&move |sh| {
                sh.arg0(title).args(["-c", "read -r end; :"]);
            })
        };
        for title in ["gateway", "/opt/bin/gateway", "gateway: master [shop]"] {
            assert_eq!(titled(title)[0], "gateway", "{title}");
        }
        // It runs nothing of its own, so that its folder says nothing.
        let [name, whole] = of(&|sh| {
            sh.args(["-c", "read -r end; :"]);
        });
        assert!(name == whole && is_shell(Path::new(&name)), "{name} {whole}");
    }

    #[test]
    fn shells_are_known_under_every_name() {
        for name in [
            "/bin/sh",
            "-bash",
            "/usr/bin/dash",
            "/usr/bin/ksh93",
            "/bin/busybox",
            "fish",
            "/opt/bash-5/bash5.2",
            "/opt/microsoft/powershell/7/pwsh",
            "elvish",
            "/usr/local/bin/osh",
            "ysh",
            "/usr/local/bin/oils-for-unix",
        ] {
            assert!(is_shell(Path::new(name)), "{name}");
        }
        for name in ["/usr/bin/ssh", "mosh", "/usr/bin/python3", "sh-agent", "bashful", "-", ""] {
            assert!(!is_shell(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_process_was_started_from_its_program_in_the_past() {
        let own = image(&process(std::process::id()).unwrap().id).unwrap();
        assert_eq!(own.program.path, std::env::current_exe().unwrap());
        assert!(own.program.here.exists() && !own.interprets && own.script.is_none());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert!(u128::from(own.started_unix_ms) <= now, "{} {now}", own.started_unix_ms);
    }
}
