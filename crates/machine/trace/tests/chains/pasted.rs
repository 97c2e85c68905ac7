//! The command that moves a process: pasted into a shell, it ends the process and starts its program with the new value.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_trace::{Survey, Verdict, rows, secrets};

use crate::chains::scene::{Scene, apart, until};

const KEY: &str = "ACME_API_KEY";

/// Without what puts a script of its own in the place of Python, which becomes Python only later.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A user id that no machine uses has no name; this one has.
const NOBODY: u32 = 65_534;

fn file(version: &str) -> String {
    format!("PORT=8080\n{KEY}={{{version}}}\nDATABASE=@/orders\n")
}

fn words(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|words| String::from_utf8_lossy(&words).into_owned())
        .unwrap_or_default()
}

/// The processes in this folder or below it whose program is Python.
fn programs(folder: &Path) -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let here = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let runs = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("python"))
    };
    pids.filter(|pid| here(pid) && runs(pid) && words(*pid).contains("run.py")).collect()
}

/// Ends everything that a scene started, whoever its parent is now.
struct Ends<'s>(&'s Scene);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let dir = self.0.dir();
        let inside = || -> Vec<String> {
            let pids = fs::read_dir("/proc").unwrap().flatten();
            let pids = pids.filter_map(|entry| entry.file_name().into_string().ok());
            let here = |pid: &String| {
                fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&dir))
            };
            pids.filter(|pid| pid.parse::<u32>().is_ok() && here(pid)).collect()
        };
        // A script may start another one meanwhile.
        until("everything has ended", || {
            let all = inside();
            drop(Command::new("kill").arg("-9").args(&all).stderr(Stdio::null()).status());
            all.is_empty().then_some(())
        });
    }
}

/// A scene with a program in a folder, which was started by a shell with this text before its file was changed. Nobody
/// waits for its end but the first process.
fn started(scene: &Scene, folder: &str, text: &[&str], user: Option<u32>) -> u32 {
    scene.write(&format!("{folder}/run.py"), "import time\ntime.sleep(100000)\n");
    scene.write(&format!("{folder}/.env"), &file("first"));
    apart();
    let log = || File::options().append(true).create(true).open(scene.path(folder).join("log")).unwrap();
    if let Some(user) = user {
        for name in ["log", ".env", "run.py"] {
            drop(log());
            chown(scene.path(folder).join(name), Some(user), Some(user)).unwrap();
        }
    }
    let mut command = Command::new("setsid");
    command.args(["--fork", "bash"]).args(text).current_dir(scene.path(folder)).env_remove(KEY);
    command.env("PATH", PATH).stdin(Stdio::null()).stdout(log()).stderr(log());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    assert!(command.status().unwrap().success());
    let pid = until("it runs", || programs(&scene.path(folder)).into_iter().next());
    is_orphan(pid);
    apart();
    scene.write(&format!("{folder}/.env"), &file("second"));
    pid
}

/// A program that was started so belongs to the first process. Where another one adopts orphans, such as a service that runs tests,
/// that one may start the program again: then no command is shown.
fn is_orphan(pid: u32) {
    let parent_of = |pid: u32| -> u32 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        parent.trim().parse().unwrap()
    };
    let program_of = |pid: u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut of = parent_of(pid);
    while of > 1 && ["bash", "dash", "sh"].contains(&program_of(of).as_str()) {
        of = parent_of(of);
    }
    let by = "cargo xtask tests trace/chains::pasted gives each test a first process of its own";
    assert!(of <= 1 || program_of(of) == "systemd", "process {of} adopts orphans here: {by}");
}

fn command(survey: &Survey, pid: u32) -> String {
    let of = survey.services.iter().filter(|one| one.processes.iter().any(|id| id.pid == pid));
    let chain = of.flat_map(|one| &one.chains).find(|chain| chain.name == KEY).unwrap();
    chain.likely().unwrap().applies.clone().unwrap()
}

fn verdicts(survey: &Survey, pid: u32) -> Vec<Verdict> {
    let found = secrets(survey, &[]);
    let rows = found.iter().flat_map(|found| rows(survey, found));
    let rows = rows.filter(|row| row.process.pid == pid && row.chain.is_some_and(|chain| chain.name == KEY));
    rows.map(|row| row.verdict).collect()
}

/// What runs in this folder, with the environment of the first version.
fn old(scene: &Scene) -> Vec<String> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let old = pids.filter(|pid| scene.started_with(*pid, KEY) == "first");
    old.map(|pid| format!("{pid} {}", words(pid))).collect()
}

/// Pastes the command somewhere else, twice, and checks that what runs then has the new value and nothing has the old
/// one.
fn paste(scene: &Scene, folder: &str, pid: u32) {
    let (command, before) = (command(&scene.survey(), pid), words(pid));
    let told = [scene.value("first"), scene.value("second")].iter().any(|value| command.contains(*value));
    assert!(!told, "it shows a value");
    assert!(command.starts_with("kill "), "{command}");
    let log = scene.path(folder).join("log");
    fs::write(&log, "before\n").unwrap();
    let run = || {
        let mut sh = Command::new("sh");
        sh.args(["-c", &command])
            .current_dir("/")
            .env("PATH", PATH)
            .env_remove(KEY)
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    assert!(run().success(), "{command}");
    let new = until(&format!("it runs again: {command}"), || {
        let all = programs(&scene.path(folder));
        all.iter().find(|one| **one != pid).copied().filter(|_| !all.contains(&pid))
    });
    // There is nothing to end any more, so nothing is started.
    assert!(!run().success(), "{command}");
    assert_eq!(words(new), before, "{command}");
    assert_eq!(scene.started_with(new, KEY), "second", "{command}");
    assert_eq!(fs::read_link(format!("/proc/{new}/cwd")).unwrap(), scene.path(folder), "{command}");
    assert_eq!(fs::read_link(format!("/proc/{new}/fd/1")).unwrap(), log);
    assert!(fs::read_to_string(&log).unwrap().starts_with("before\n"), "the log is continued");
    assert_eq!(verdicts(&scene.survey(), new), [Verdict::Current], "{command}");
    assert_eq!(programs(&scene.path(folder)), BTreeSet::from([new]), "{command}");
    assert_eq!(old(scene), Vec::<String>::new(), "{command}");
}

/// The sentence in place of a command.
fn sentence(scene: &Scene, pid: u32) -> String {
    let text = command(&scene.survey(), pid);
    assert!(text.starts_with("end process "), "{text}");
    text
}

#[test]
fn it_moves_a_program_that_its_shell_became_whatever_the_words_of_its_command_line() {
    for (folder, text) in [
        ("app", "set -a; . ./.env; set +a; exec python3 run.py"),
        ("app", "exec env $(xargs <.env) python3 run.py"),
        (
            "an app's $HOME",
            "set -a; . ./.env; touch \"it's\" '$HOME' 'a  b' '*'; exec python3 ./run.py \"it's\" '$HOME' 'a  b' '*'",
        ),
        ("app", "set -a; . ./.env; exec python3 \"$PWD/run.py\" --port=80 -w 4 127.0.0.1:8080"),
    ] {
        let scene = Scene::new();
        let _ends = Ends(&scene);
        let pid = started(&scene, folder, &["--norc", "-c", text], None);
        paste(&scene, folder, pid);
    }
}

#[test]
fn it_ends_a_script_that_would_start_the_program_again_with_the_old_value() {
    for (mode, last) in [
        (0o755, "python3 run.py"),
        (0o644, "while :; do python3 run.py; done"),
        (0o755, "python3 run.py & wait"),
    ] {
        let scene = Scene::new();
        let _ends = Ends(&scene);
        let script = format!("#!/bin/bash\ncd \"$(dirname \"$0\")\"\nset -a\nsource .env\nset +a\n{last}\n");
        scene.write("app/run.sh", &script);
        fs::set_permissions(scene.path("app/run.sh"), Permissions::from_mode(mode)).unwrap();
        let pid = started(&scene, "app", &["./run.sh"], None);
        paste(&scene, "app", pid);
    }
}

#[test]
fn it_starts_the_program_of_another_user_as_that_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root starts programs of others");
        return;
    }
    let scene = Scene::new();
    let _ends = Ends(&scene);
    fs::set_permissions(scene.dir(), Permissions::from_mode(0o755)).unwrap();
    let pid =
        started(&scene, "app", &["--norc", "-c", "set -a; . ./.env; exec python3 run.py"], Some(NOBODY));
    paste(&scene, "app", pid);
    let new = *programs(&scene.path("app")).first().unwrap();
    let status = fs::read_to_string(format!("/proc/{new}/status")).unwrap();
    for ids in ["Uid", "Gid"] {
        assert!(status.contains(&format!("{ids}:\t{NOBODY}\t{NOBODY}\t")), "{status}");
    }
}

/// Where a command could show a value, run something else, or leave something with the old value, there is none.
#[test]
fn where_a_command_could_do_something_else_there_is_a_sentence() {
    let with = |text: &str| {
        let scene = Scene::new();
        let pid = started(&scene, "app", &["--norc", "-c", &scene.filled(text)], None);
        (scene, pid)
    };
    let anew = |scene: &Scene, pid: u32| {
        let from = scene.path("app/.env");
        format!("end process {pid}, then start it again from a shell that reads {} anew", from.display())
    };
    for text in [
        // A value, known or not.
        "set -a; . ./.env; exec python3 run.py --old {first}",
        "set -a; . ./.env; exec python3 run.py -pGx7kQ9mZ",
        "set -a; . ./.env; exec python3 run.py --pin 482913",
        // Another name than its program's.
        "set -a; . ./.env; exec -a other /usr/bin/python3 run.py",
        // A variable that the file does not have.
        "set -a; . ./.env; REGION=eu exec python3 run.py",
        // Its output goes to a pipe, or to two places.
        "set -a; . ./.env; exec python3 run.py | cat",
        "set -a; . ./.env; exec python3 run.py 2>/dev/null",
    ] {
        let (scene, pid) = with(text);
        let _ends = Ends(&scene);
        let shown = sentence(&scene, pid);
        assert!(!shown.contains("Gx7k") && !shown.contains("482913"), "{shown}");
        if !text.contains('|') {
            assert_eq!(shown, anew(&scene, pid), "{text}");
        }
    }
    // Others can write the file, or a shell takes it in another way than a library, or carries out a line of it.
    let plain = "set -a; . ./.env; exec python3 run.py";
    for (mode, more) in [(0o666, ""), (0o600, "TITLE=the shop\n"), (0o600, "true >/dev/null\n")] {
        let (scene, pid) = with(plain);
        let _ends = Ends(&scene);
        scene.write("app/.env", &format!("{}{more}", file("second")));
        fs::set_permissions(scene.path("app/.env"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(sentence(&scene, pid), anew(&scene, pid), "{mode:o} {more}");
    }
    // The text of a shell that waits for it, and a script inside another one.
    let (scene, pid) = with("set -a; . ./.env; python3 run.py; :");
    let _ends = Ends(&scene);
    assert!(sentence(&scene, pid).ends_with("and everything that it started, then run its command again"));
    let scene = Scene::new();
    let _ends = Ends(&scene);
    scene.write("app/inner.sh", "set -a\n. ./.env\npython3 run.py\n");
    let pid = started(&scene, "app", &["--norc", "-c", "while :; do bash ./inner.sh; done"], None);
    let shown = sentence(&scene, pid);
    assert!(!shown.contains(&format!("process {pid} ")), "the outer one would start it again: {shown}");
}
