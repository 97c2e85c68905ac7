//! The command that moves a process: pasted into a shell, it ends the process and starts its program with the new value.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_trace::{Survey, Verdict, rows, secrets};

use crate::chains::scene::{Scene, until};

const KEY: &str = "ACME_API_KEY";

/// How far apart a start and a change must be to be told apart, milliseconds: more than twice what keyroll asks for.
const APART_MS: u64 = 60;

/// A user id that no machine uses has no name; this one has.
const NOBODY: u32 = 65_534;

fn file(version: &str) -> String {
    format!("PORT=8080\n{KEY}={{{version}}}\nDATABASE=@/orders\n")
}

fn apart() {
    let since = Instant::now();
    until("time passes", || (since.elapsed() > Duration::from_millis(APART_MS)).then_some(()));
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
        for pid in programs(&self.0.dir()) {
            drop(Command::new("kill").arg(pid.to_string()).status());
        }
    }
}

/// A scene with a program in a folder, which was started by a shell with this text before its file was changed.
fn started(scene: &Scene, folder: &str, text: &[&str], user: Option<u32>) -> u32 {
    scene.write(&format!("{folder}/run.py"), "import time\ntime.sleep(100000)\n");
    scene.write(&format!("{folder}/.env"), &file("first"));
    apart();
    let log = File::create(scene.path(folder).join("log")).unwrap();
    let mut command = Command::new("bash");
    command.args(text).current_dir(scene.path(folder)).env_remove(KEY).stdin(Stdio::null()).stdout(log);
    if let Some(user) = user {
        command.uid(user);
    }
    let mut child = command.spawn().unwrap();
    // Whoever waits for its end must see it.
    thread::spawn(move || child.wait());
    let pid = until("it runs", || programs(&scene.path(folder)).into_iter().next());
    apart();
    scene.write(&format!("{folder}/.env"), &file("second"));
    pid
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

/// Pastes the command somewhere else, and checks that what runs then has the new value and nothing has the old one.
fn paste(scene: &Scene, folder: &str, pid: u32) {
    let (command, before) = (command(&scene.survey(), pid), words(pid));
    let told = [scene.value("first"), scene.value("second")].iter().any(|value| command.contains(*value));
    assert!(!told, "it shows a value");
    let status = Command::new("sh").args(["-c", &command]).current_dir("/").env_remove(KEY).status().unwrap();
    assert!(status.success(), "{command}");
    let new = until(&format!("it runs again: {command}"), || {
        let all = programs(&scene.path(folder));
        all.iter().find(|one| **one != pid).copied().filter(|_| !all.contains(&pid))
    });
    assert_eq!(words(new), before, "{command}");
    assert_eq!(scene.started_with(new, KEY), "second", "{command}");
    assert_eq!(fs::read_link(format!("/proc/{new}/cwd")).unwrap(), scene.path(folder), "{command}");
    assert_eq!(fs::read_link(format!("/proc/{new}/fd/1")).unwrap(), scene.path(folder).join("log"));
    assert_eq!(verdicts(&scene.survey(), new), [Verdict::Current], "{command}");
    assert_eq!(programs(&scene.path(folder)), BTreeSet::from([new]), "{command}");
}

#[test]
fn it_moves_a_program_that_its_shell_became_whatever_the_words_of_its_command_line() {
    for (folder, text) in [
        ("app", "set -a; . ./.env; set +a; exec python3 run.py"),
        ("app", "exec env $(xargs <.env) python3 run.py"),
        ("an app's $HOME", "set -a; . ./.env; exec python3 ./run.py \"it's\" '$HOME' 'a  b' '' '*' '#'"),
        ("app", "set -a; . ./.env; exec python3 -X dev \"$PWD/run.py\" --port=80"),
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
        // The script that was started again, too.
        let parent =
            fs::read_to_string(format!("/proc/{}/stat", programs(&scene.path("app")).first().unwrap()));
        let parent = parent.unwrap().split(' ').nth(3).unwrap().to_owned();
        drop(Command::new("kill").arg(parent).status());
    }
}

#[test]
fn it_moves_a_program_whose_shell_waits_for_it() {
    let scene = Scene::new();
    let _ends = Ends(&scene);
    let pid = started(&scene, "app", &["--norc", "-c", "set -a; . ./.env; python3 run.py; :"], None);
    paste(&scene, "app", pid);
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
    let text = "set -a; . ./.env; exec python3 run.py 'a b'";
    let pid = started(&scene, "app", &["--norc", "-c", text], Some(NOBODY));
    paste(&scene, "app", pid);
    let new = *programs(&scene.path("app")).first().unwrap();
    let status = fs::read_to_string(format!("/proc/{new}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{NOBODY}\t{NOBODY}\t")), "{status}");
}

#[test]
fn it_is_not_shown_where_it_would_show_a_value_or_read_another_one() {
    let scene = Scene::new();
    let _ends = Ends(&scene);
    let text = scene.filled("set -a; . ./.env; exec python3 run.py --old {first}");
    let pid = started(&scene, "app", &["--norc", "-c", &text], None);
    let shown = command(&scene.survey(), pid);
    assert_eq!(shown, format!("kill {pid}, then start it again as before (its command line has a value)"));
    // A shell takes this line in another way than a library.
    let scene = Scene::new();
    let _ends = Ends(&scene);
    let pid = started(&scene, "app", &["--norc", "-c", "set -a; . ./.env; exec python3 run.py"], None);
    scene.write("app/.env", &format!("{}TITLE=the shop\n", file("second")));
    let shown = command(&scene.survey(), pid);
    let from = scene.path("app/.env");
    assert_eq!(
        shown,
        format!("kill {pid}, then start it again from a shell that reads {} anew", from.display())
    );
}
