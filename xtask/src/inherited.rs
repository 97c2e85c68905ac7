//! What this program inherits from whoever starts it, and what of that decides neither what it builds nor what it tests.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::run::in_ci;

/// Beginnings of the names of variables by which a developer selects tests, changes how many cases they draw, or lets them
/// write what they otherwise compare: with most of these a wrong page, recording or transcript passes.
const OF_TESTS: [&str; 7] =
    ["KEYROLL_", "UPDATE_DOCS", "UPDATE_RECORDINGS", "INSTA_", "TRYCMD", "PROPTEST_", "RUST_TEST_"];

/// Beginnings of the names of variables that decide what cargo builds and where, which warnings it tells, which
/// assertions Python leaves out, and which checkout git looks at.
const OF_BUILDS: [&str; 16] = [
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_RUSTDOCFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_DIR",
    "CLIPPY_",
    "PYTHONHOME",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONWARNINGS",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
];

/// The same for one target, `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER`: a program that cargo starts instead of the
/// tests, and flags. Its linker stays.
const OF_TARGET: (&str, [&str; 2]) = ("CARGO_TARGET_", ["_RUNNER", "_RUSTFLAGS"]);

/// Beginnings of the names of other variables that a unit does not inherit: each changes what a program prints, where it
/// keeps its files, or which server it talks to.
const NOT_INHERITED: [&str; 49] = [
    "PYTHON",
    "VIRTUAL_ENV",
    "LC_",
    "LANGUAGE",
    "XDG_",
    "NO_COLOR",
    "CLICOLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "DOCKER_",
    "COMPOSE_",
    "PG",
    "MYSQL_",
    "MARIADB_",
    "REDIS",
    "RABBITMQ_",
    "DATABASE_URL",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_",
    "WATCHDOG_",
    "CREDENTIALS_DIRECTORY",
    "DBUS_",
    "AWS_",
    "BAO_",
    "VAULT_",
    "KUBECONFIG",
    // In a pod, these are the cluster that it runs in.
    "KUBERNETES_",
    // The keys of a person.
    "SSH_",
    "GNUPGHOME",
    "OPENAI_",
    "ANTHROPIC_",
    "LITELLM_",
    "OPENCLAW_",
    // A hook of git says which repository it is for; other variables configure git.
    "GIT_",
    "BASH_ENV",
    "CDPATH",
    "POSIXLY_CORRECT",
    "LD_PRELOAD",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PM2_",
    "RUBYLIB",
    "RUBYOPT",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
];

/// Those of them that are inherited all the same: by which authorities a download is checked.
const INHERITED: [&str; 1] = ["GIT_SSL_"];

/// Beginnings of the names, in capital letters, of variables that name a proxy. An installer may need one.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Where no proxy is asked: all servers of the tests.
const LOOPBACK: &str = "127.0.0.1,localhost,::1";

/// How many files the programs of a run may open unless they raise the limit themselves, and how large the stack of a
/// thread is, bytes.
const FILES: u64 = 20_000;
const STACK_BYTES: u64 = 8 << 20;

fn begins(name: &str, all: &[&str]) -> bool {
    all.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether a developer selects, extends or rewrites tests by this variable.
pub(crate) fn is_of_tests(name: &str) -> bool {
    begins(name, &OF_TESTS)
}

/// Whether this variable decides what is built, or which tests are run and what they compare.
fn decides(name: &str) -> bool {
    let (beginning, ends) = OF_TARGET;
    let of_target = name.starts_with(beginning) && ends.iter().any(|end| name.ends_with(end));
    is_of_tests(name) || begins(name, &OF_BUILDS) || of_target
}

/// Whether a unit gets this variable of whoever started the runner.
pub(crate) fn is_inherited(name: &str) -> bool {
    !decides(name) && (begins(name, &INHERITED) || !begins(name, &NOT_INHERITED))
}

/// The value of `NO_PROXY` for a unit, if a proxy is named by one of these variables: none is asked for a test's server.
pub(crate) fn no_proxy(all: &[(String, String)]) -> Option<String> {
    let of = |wanted: &[&str]| {
        let named = |(name, value): &&(String, String)| {
            !value.is_empty() && wanted.contains(&name.to_ascii_uppercase().as_str())
        };
        all.iter().find(named).map(|(_, value)| value.as_str())
    };
    of(&PROXIES)?;
    Some(match of(&["NO_PROXY"]) {
        None => LOOPBACK.to_owned(),
        // All servers; beside others it would be none.
        Some("*") => "*".to_owned(),
        Some(others) => format!("{others},{LOOPBACK}"),
    })
}

/// Starts this program anew without the variables that decide what is tested, if one is set: the gate says the same
/// whoever starts it. Parts of a night also skip nothing: a part that was left out would be recorded as passed.
///
/// # Errors
/// The program cannot be started. It does not return if it could.
pub(crate) fn leave_behind(is_night: bool) -> Result<(), String> {
    let all = env::vars_os().map(|(name, _)| name);
    let decisive: Vec<OsString> = all.filter(|name| decides(&name.to_string_lossy())).collect();
    let may_skip = is_night && !in_ci();
    if decisive.is_empty() && !may_skip {
        return Ok(());
    }
    let own = env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let mut command = Command::new(own);
    command.args(env::args_os().skip(1));
    for name in decisive {
        println!("not inherited: {}", name.to_string_lossy());
        command.env_remove(name);
    }
    if may_skip {
        command.env("CI", "true");
    }
    Err(format!("could not start this program anew: {}", command.exec()))
}

/// Sets the limits that this program and all that it starts have; what the system does not allow stays as it is. No core is
/// written, but a test may ask for one.
pub(crate) fn set_limits() {
    let endless = [Resource::As, Resource::Cpu, Resource::Data, Resource::Fsize, Resource::Rss];
    // `None` is no limit.
    let all = endless.map(|resource| (resource, None, None)).into_iter().chain([
        (Resource::Core, Some(0), None),
        (Resource::Nofile, Some(FILES), Some(FILES)),
        (Resource::Stack, Some(STACK_BYTES), Some(STACK_BYTES)),
    ]);
    for (resource, current, least) in all {
        let had = getrlimit(resource).maximum;
        let maximum = had.zip(least).map(|(had, least): (u64, u64)| had.max(least));
        if setrlimit(resource, Rlimit { current, maximum }).is_err() {
            // Only root raises what another may have at most.
            let current = current.map_or(had, |wanted| Some(had.map_or(wanted, |had| had.min(wanted))));
            let _ = setrlimit(resource, Rlimit { current, maximum: had });
        }
    }
}

/// Awaits children whoever started this: while the signal of their end is ignored, the kernel forgets how they ended.
///
/// # Errors
/// The signal cannot be handled.
pub(crate) fn hear_children() -> Result<(), String> {
    let heard = Arc::new(AtomicBool::new(false));
    let handled = signal_hook::flag::register(signal_hook::consts::SIGCHLD, heard);
    handled.map(drop).map_err(|error| format!("SIGCHLD: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::Output;

    use super::*;
    use crate::run::root;
    use crate::world;

    /// Red if one of them is left out of the lists above.
    #[test]
    fn what_selects_rewrites_or_weakens_tests_reaches_none() {
        for name in [
            "KEYROLL_CASE",
            "KEYROLL_LANE",
            "UPDATE_DOCS",
            "UPDATE_RECORDINGS",
            "TRYCMD",
            "INSTA_UPDATE",
            "INSTA_FORCE_PASS",
            "PROPTEST_CASES",
            "RUST_TEST_THREADS",
            "RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "CARGO_PROFILE_DEV_DEBUG_ASSERTIONS",
            "CLIPPY_ARGS",
            "PYTHONOPTIMIZE",
        ] {
            assert!(decides(name) && !is_inherited(name), "{name}");
        }
        for name in [
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_GLOBAL",
            "GIT_AUTHOR_NAME",
            "KUBERNETES_SERVICE_HOST",
            "SSH_AUTH_SOCK",
            "PGHOST",
            "AWS_PROFILE",
            "DOCKER_HOST",
            "RUST_BACKTRACE",
        ] {
            assert!(!is_inherited(name), "{name}");
        }
        for name in [
            "PATH",
            "CI",
            "CARGO_HOME",
            "CARGO_INCREMENTAL",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "GIT_SSL_CAINFO",
            "HTTPS_PROXY",
            "PIP_CERT",
            "RUSTUP_TOOLCHAIN",
            "SSL_CERT_FILE",
        ] {
            assert!(is_inherited(name), "{name}");
        }
    }

    #[test]
    fn no_proxy_is_asked_for_the_servers_of_tests() {
        let of = |all: &[(&str, &str)]| {
            let all = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            no_proxy(&all.collect::<Vec<(String, String)>>())
        };
        assert_eq!(of(&[("NO_PROXY", "a.example"), ("http_proxy", "")]), None);
        assert_eq!(of(&[("https_proxy", "http://p.example")]).as_deref(), Some(LOOPBACK));
        let both = of(&[("ALL_PROXY", "http://p.example"), ("no_proxy", "a.example")]);
        assert_eq!(both, Some(format!("a.example,{LOOPBACK}")));
        let all = of(&[("HTTPS_PROXY", "http://p.example"), ("NO_PROXY", "*")]);
        assert_eq!(all.as_deref(), Some("*"), "red if a proxy is asked although a person wants none");
    }

    /// This program, started by a shell with these limits.
    fn limited(limits: &str, words: &[&str], folder: &Path) -> Output {
        let own = root().join("target/debug/xtask");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]).arg(own).args(words);
        command.current_dir(folder).output().unwrap()
    }

    /// Red if `main` does not set the limits: the program then says 256, 1, and that it may ask for no core.
    #[test]
    fn a_unit_may_open_as_many_files_and_write_as_much_whoever_starts_the_runner() {
        let folder = tempfile::tempdir().unwrap();
        let script = "ulimit -n; ulimit -f; ulimit -S -c; ulimit -H -c";
        let words = [world::CHORE, folder.path().to_str().unwrap(), "sh", "-c", script];
        let output = limited("ulimit -S -n 256; ulimit -S -f 1; ulimit -c 0", &words, folder.path());
        let told = String::from_utf8(output.stdout).unwrap();
        // Only with a right of root can a limit be raised again.
        let raise =
            Command::new("sh").args(["-c", "ulimit -c 0 && ulimit -H -c unlimited"]).output().unwrap();
        let (files, core) = match raise.status.success() {
            true => (FILES, "unlimited"),
            false => (getrlimit(Resource::Nofile).maximum.unwrap_or(FILES).min(FILES), "0"),
        };
        let wanted = format!("{files}\nunlimited\n0\n{core}\n");
        assert_eq!(told, wanted, "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Red if `main` leaves SIGCHLD ignored: then no child can be awaited.
    #[test]
    fn children_are_awaited_although_whoever_started_the_runner_ignores_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let told = r#"{"outcome":"done","failed":0,"dead_confirmed":true,"blocked_by":"one"}"#;
        fs::write(&program, format!("#!/bin/sh\necho '{told}'\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let ignores = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); \
                       os.execv(sys.argv[1], sys.argv[1:])";
        let own = root().join("target/debug/xtask");
        let output = Command::new("python3")
            .args(["-c", ignores])
            .arg(own)
            .arg("demo")
            .arg(&program)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Red if the program keeps the variable, or starts itself for ever.
    #[test]
    fn the_gate_leaves_behind_what_decides_what_it_tests() {
        let own = root().join("target/debug/xtask");
        let mut command = Command::new(own);
        command.args(["test", "--list"]).env("KEYROLL_CASE", "openai").env("UPDATE_DOCS", "1");
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{told}");
        for line in ["not inherited: KEYROLL_CASE\n", "not inherited: UPDATE_DOCS\n"] {
            assert_eq!(told.matches(line).count(), 1, "{told}");
        }
    }
}
