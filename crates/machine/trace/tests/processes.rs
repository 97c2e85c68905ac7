//! Which process holds which version, with real processes: each instance is judged current, stale, mixed or unknown
//! correctly.

pub(crate) mod doubts;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::parts::{NAME, Running, Scene, SurveyedScene, generated, id_of, root, until};
use keyroll_needle::Encoding;
use keyroll_observe::After;
use keyroll_testkit::copy_program;
use keyroll_trace::{Doubt, Evidence, Memory, MemoryStage, Opened, Place, StartUnseen, Verdict};

/// Programs that hold their environment and do nothing with it.
const WAITS: [[&str; 3]; 3] = [
    ["python3", "-c", "print('ready', flush=True); input()"],
    ["node", "-e", "console.log('ready'); process.stdin.resume()"],
    ["sh", "-c", "echo ready; read line"],
];

/// The same, but these then read a value from their input and use it.
const READS: [[&str; 3]; 3] = [
    [
        "python3",
        "-c",
        "print('ready', flush=True); v = open(input()).read(); print('read', flush=True); input()",
    ],
    [
        "node",
        "-e",
        "console.log('ready'); process.stdin.once('data', d => { globalThis.v = \
         require('fs').readFileSync(d.toString().trim(), 'utf8').split('=')[1]; console.log('read') })",
    ],
    ["sh", "-c", "echo ready; read file; . \"$file\"; echo read; read line"],
];

#[test]
fn what_was_started_with_the_next_version_is_current() {
    let scene = Scene::new();
    let all = WAITS.map(|program| Running::with(program, &scene.new));
    let ids = all.each_ref().map(Running::id);
    let mut seen = scene.survey();
    assert_eq!(ids.map(|id| seen.verdict(&id)), [Verdict::Current; 3], "by what they were started with");
    seen.search(&ids);
    assert_eq!(ids.map(|id| seen.verdict(&id)), [Verdict::Current; 3], "by their memory too");
}

#[test]
fn what_was_started_with_another_version_is_stale_once_its_memory_was_searched() {
    let scene = Scene::new();
    let all = WAITS.map(|program| Running::with(program, &scene.old));
    let ids = all.each_ref().map(Running::id);
    let mut seen = scene.survey();
    let before = ids.map(|id| seen.verdict(&id));
    assert_eq!(
        before,
        [Verdict::Unknown(Doubt::MemoryNotSearched); 3],
        "it may have read the next one since"
    );
    seen.search(&ids);
    assert_eq!(ids.map(|id| seen.verdict(&id)), [Verdict::Stale; 3], "{:?}", seen.survey.unseen);
}

#[test]
fn what_has_read_the_next_version_beside_another_is_mixed() {
    let scene = Scene::new();
    let mut all = READS.map(|program| Running::with(program, &scene.old));
    for running in &mut all {
        running.tell(scene.file().to_str().expect("text"));
        assert_eq!(running.line(), "read");
    }
    let ids = all.each_ref().map(Running::id);
    let mut seen = scene.survey();
    seen.search(&ids);
    assert_eq!(ids.map(|id| seen.verdict(&id)), [Verdict::Mixed; 3]);
    for id in ids {
        let held = seen.survey.held(&id, &seen.versions()).expect("an instance");
        assert_eq!(held.start, Some(BTreeSet::from([seen.old])));
        assert!(matches!(held.memory, Memory::Whole(found) if found.contains(&seen.new)));
    }
}

#[test]
fn what_never_had_it_in_its_environment_is_told_by_its_memory() {
    let scene = Scene::new();
    let mut running = Running::with(READS[0], "none");
    running.tell(scene.file().to_str().expect("text"));
    assert_eq!(running.line(), "read");
    let mut seen = scene.survey();
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::MemoryNotSearched));
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Current);
    let nobody = Running::with(WAITS[0], "none");
    let mut seen = scene.survey();
    seen.search(&[nobody.id()]);
    assert_eq!(seen.verdict(&nobody.id()), Verdict::Unknown(Doubt::NothingSeen));
}

#[test]
fn a_memory_that_was_searched_in_part_leaves_it_unknown() {
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    let mut seen = scene.survey();
    seen.search_within(&[running.id()], MemoryStage { bytes_max: 64 << 10, ..MemoryStage::default() });
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::MemoryInPart));
    let what = format!("memory of process {}", running.child.id());
    assert!(seen.survey.unseen.iter().any(|one| one.what.ends_with(&what)), "{:?}", seen.survey.unseen);
    // A process that is not reached at all is reported too.
    let second = Running::with(WAITS[0], &scene.old);
    let mut seen = scene.survey();
    seen.search_within(&[running.id(), second.id()], MemoryStage { bytes_max: 0, ..MemoryStage::default() });
    assert_eq!(seen.verdict(&second.id()), Verdict::Unknown(Doubt::MemoryNotSearched));
    assert!(
        seen.survey.unseen.iter().any(|one| one.what == "memory of 2 processes"),
        "{:?}",
        seen.survey.unseen
    );
}

#[test]
fn what_the_kernel_keeps_of_the_start_is_not_taken_for_memory() {
    let scene = Scene::new();
    // A program that never looks at its environment has no copy of its own.
    let running = Running::start(Command::new("sleep").arg("600").env(NAME, &scene.old));
    until("sleep is executed", || keyroll_observe::process(running.child.id()).is_ok_and(|one| !one.forked));
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    let instance = &seen.survey.instances[&running.id()];
    assert_eq!(instance.start, Ok(BTreeSet::from([seen.old])));
    assert_eq!(instance.memory, Memory::Whole(BTreeSet::new()));
    assert_eq!(seen.verdict(&running.id()), Verdict::Stale);
}

#[test]
fn a_value_is_found_in_memory_in_another_form() {
    let scene = Scene::new();
    let program = "print('ready', flush=True); v = input(); print('read', flush=True); input()";
    let mut running = Running::with(["python3", "-c", program], &scene.old);
    running.tell(&scene.new.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(running.line(), "read");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Mixed);
    let place = Place::Memory { process: running.id() };
    let forms = seen.survey.sightings.iter().filter(|one| one.place == place && one.value == seen.new);
    assert_eq!(forms.map(|one| one.encoding).collect::<Vec<_>>(), [Encoding::HexLower]);
}

/// Overwrites its whole environment with a title, as `setproctitle` does.
const TITLED: &str = "
import ctypes, os
print('ready', flush=True)
title = input().encode()
text = open('/proc/self/stat').read()
numbers = text[text.rindex(')') + 2:].split()
start, end = int(numbers[47]), int(numbers[48])
ctypes.memset(start, 0, end - start)
ctypes.memmove(start, title, min(len(title), end - start - 1))
print('titled', flush=True); input()
";

#[test]
fn a_process_that_wrote_over_its_environment_is_told_by_its_memory_alone() {
    let scene = Scene::new();
    let mut running = Running::with(["python3", "-c", TITLED], &scene.old);
    // The worst title is the next version itself: a survey that believed it would report *current*.
    running.tell(&scene.new);
    assert_eq!(running.line(), "titled");
    let mut seen = scene.survey();
    let instance = &seen.survey.instances[&running.id()];
    assert_eq!(instance.start, Err(StartUnseen::Overwritten));
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::StartHidden));
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Mixed, "it keeps both for itself");
    let told = format!("{:?} {:?}", seen.survey.sightings, seen.survey.unseen);
    assert!(!told.contains(&scene.new) && !told.contains(&scene.old), "a title that is a value is not shown");
}

#[test]
fn a_process_that_ended_meanwhile_is_no_instance_and_is_named() {
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    let id = running.id();
    let mut seen = scene.survey();
    let ahead = seen.survey.memory_ahead(&BTreeSet::from([id]));
    drop(running);
    seen.survey.search_memory(&ahead, MemoryStage::default(), &mut |_, _| {});
    assert!(!seen.survey.instances.contains_key(&id));
    let what = format!("process {}", id.pid);
    assert!(seen.survey.unseen.iter().any(|one| one.what == what && one.reason == "it ended meanwhile"));
}

#[test]
fn a_program_that_was_executed_meanwhile_is_not_judged_by_what_came_before_it() {
    let scene = Scene::new();
    let script = "echo ready; read value; export SERVICE_API_KEY=$value; exec sh -c 'echo again; read line'";
    let mut running = Running::with(["sh", "-c", script], &scene.old);
    let mut seen = scene.survey();
    // The wrapper had the old version; the service that it executes has the next one.
    running.tell(&scene.new);
    assert_eq!(running.line(), "again");
    seen.search(&[running.id()]);
    assert!(!seen.survey.instances.contains_key(&running.id()));
    let what = format!("process {}", running.child.id());
    let named = seen.survey.unseen.iter().find(|one| one.what == what).expect("it is named");
    assert_eq!(named.reason, "it executed another program in the meantime");
}

/// Set on drop, even by a test that fails.
struct Stop<'f>(&'f AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn processes_that_come_and_go_while_they_are_read_hold_nobody_up() {
    let scene = Scene::new();
    let running = Running::with(WAITS[2], &scene.new);
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = Stop(&stopped);
        scope.spawn(|| {
            while !stopped.load(Ordering::Relaxed) {
                drop(Command::new("true").env(NAME, &scene.old).status());
            }
        });
        for _ in 0..3 {
            let mut seen = scene.survey();
            let short = seen.survey.instances.values().filter(|one| one.values().contains(&seen.old));
            let mut ids: Vec<_> = short.map(|one| one.process).collect();
            ids.push(running.id());
            seen.search(&ids);
            assert_eq!(seen.verdict(&running.id()), Verdict::Current);
        }
        drop(stop);
    });
}

#[test]
fn an_open_copy_is_evidence_of_reading_and_of_nothing_more() {
    let scene = Scene::new();
    let earlier = scene.folder.path().join("api.env.bak");
    let changed = std::fs::metadata(&earlier).and_then(|data| data.modified()).expect("a time");
    let later = || SystemTime::now().duration_since(changed).is_ok_and(|since| since.as_millis() > 100);
    until("the file is older than what starts now", later);
    let program = "print('ready', flush=True)\np = input(); f = open(p)\nprint('open', flush=True); input()";
    let mut running = Running::with(["python3", "-c", program], &scene.old);
    running.tell(scene.file().to_str().expect("text"));
    assert_eq!(running.line(), "open");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    // It may read the copy at each use: another version in its memory does not make it stale.
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::ReadSince));
    let open = |seen: &SurveyedScene| seen.survey.instances[&running.id()].open.clone();
    assert_eq!(open(&seen), BTreeSet::from([Opened { path: scene.file(), replaced: false }]));
    // Another file replaces it: the open file is an earlier one.
    let next = scene.folder.path().join("next");
    std::fs::copy(scene.file(), &next).expect("a copy");
    std::fs::rename(&next, scene.file()).expect("a rename");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    assert_eq!(open(&seen), BTreeSet::from([Opened { path: scene.file(), replaced: true }]));
    assert_eq!(seen.verdict(&running.id()), Verdict::Stale);
    let evidence = seen.survey.evidence(&running.id(), &seen.versions());
    for (path, after) in [(earlier, After::Yes), (scene.file(), After::No)] {
        let started = Evidence::Started { path, after };
        assert!(evidence.contains(&started), "{started:?} in {evidence:?}");
    }
}

#[test]
fn what_a_child_inherited_is_traced_to_whom_it_has_it_from() {
    let scene = Scene::new();
    let script =
        "echo ready; read value; export SERVICE_API_KEY=$value; sh -c 'sleep 60 & echo $!; wait' & wait";
    let mut shell = Running::with(["sh", "-c", script], "none");
    shell.tell(&scene.old);
    let child = shell.line().parse().expect("a number");
    until("sleep is executed", || keyroll_observe::process(child).is_ok_and(|one| one.name == "sleep"));
    let child = id_of(child);
    let mut seen = scene.survey();
    let middle = seen.survey.instances[&child].parent.expect("a parent");
    seen.search(&[child, middle, shell.id()]);
    let evidence = seen.survey.evidence(&child, &seen.versions());
    let from = Evidence::InheritedFrom { process: shell.id(), value: seen.old };
    assert!(evidence.contains(&from), "the export of the shell at the top: {evidence:?}");
    assert!(seen.survey.evidence(&middle, &seen.versions()).contains(&from));
    // The middle one ends with its child.
    for process in [middle, child] {
        let pid = rustix::process::Pid::from_raw(process.pid as i32).expect("a number");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it ends");
    }
}

#[test]
fn workers_of_one_master_are_told_apart_and_are_forks_of_it() {
    let scene = Scene::new();
    let program = "import ctypes, os, signal\nprint('ready', flush=True); input()\npids = []\nfor _ in range(3):\n  \
         pid = os.fork()\n  if pid == 0:\n    ctypes.CDLL(None).prctl(1, 9); signal.pause()\n  pids.append(pid)\nprint(*pids, flush=True); input()\n\
         for pid in pids: os.kill(pid, 9)";
    let mut master = Running::with(["python3", "-c", program], &scene.old);
    master.tell("go");
    let line = master.line();
    let workers: Vec<_> = line.split(' ').map(|pid| id_of(pid.parse().expect("a number"))).collect();
    let mut seen = scene.survey();
    seen.search(&workers);
    for (index, worker) in workers.iter().enumerate() {
        let instance = &seen.survey.instances[worker];
        let place = instance.worker.expect("a worker");
        assert_eq!((place.of, place.index, place.count), (master.id(), index + 1, 3));
        assert_eq!(seen.verdict(worker), Verdict::Stale);
        let evidence = seen.survey.evidence(worker, &seen.versions());
        assert!(evidence.contains(&Evidence::ForkOf(master.id())), "{evidence:?}");
    }
    assert_eq!(seen.survey.instances[&master.id()].worker, None);
    master.tell("end");
    until("the master ends", || master.child.try_wait().expect("a child").is_some());
}

#[test]
fn a_command_line_and_a_credential_are_part_of_the_start() {
    let scene = Scene::new();
    let script = "echo ready; read line";
    let mut command = Command::new("sh");
    command.args(["-c", script, "api", &format!("--api-key={}", scene.new)]).env_clear();
    let mut by_argument = Running::start(command.env("PATH", "/usr/bin:/bin"));
    assert_eq!(by_argument.line(), "ready");
    let seen = scene.survey();
    assert_eq!(seen.verdict(&by_argument.id()), Verdict::Current);
    let place = Place::Arguments { process: by_argument.id() };
    let named = seen.survey.sightings.iter().find(|one| one.place == place).expect("a sighting");
    assert_eq!(named.name.as_deref(), Some("api-key"));
    if !root() {
        return eprintln!("left out: only root may write to /run/credentials");
    }
    let given = format!("/run/credentials/keyroll-trace-{}.service", std::process::id());
    std::fs::create_dir_all(&given).expect("a folder");
    std::fs::write(Path::new(&given).join("api-key"), &scene.old).expect("a file");
    let running = Running::start(Command::new("sleep").arg("600").env("CREDENTIALS_DIRECTORY", &given));
    until("sleep is executed", || keyroll_observe::process(running.child.id()).is_ok_and(|one| !one.forked));
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    std::fs::remove_dir_all(&given).expect("removed");
    assert_eq!(seen.verdict(&running.id()), Verdict::Stale);
    let place = Place::Credential { process: running.id(), name: "api-key".to_owned() };
    assert!(seen.survey.sightings.iter().any(|one| one.place == place && one.value == seen.old));
}

#[test]
fn a_word_that_stands_everywhere_is_not_looked_for_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = ("administrator", generated());
    std::fs::write(folder.path().join("a.env"), format!("DB_PASSWORD={old}\n")).expect("a file");
    std::fs::write(folder.path().join("b.env"), format!("DB_PASSWORD={new}\n")).expect("a file");
    let mut running = Running::with(READS[0], "none");
    running.tell(folder.path().join("a.env").to_str().expect("text"));
    assert_eq!(running.line(), "read");
    let mut seen = SurveyedScene::of(folder.path(), old, &new);
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::CommonValue));
}

#[test]
fn nothing_that_is_told_holds_a_value() {
    let scene = Scene::new();
    // Values where a name could be shown.
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo ready; read line", &scene.old, &scene.new])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.env(NAME, &scene.old).env("DATABASE_URL", format!("postgres://app:{}@db/x", scene.new));
    command.env("PAIRS", format!("x\n{}: {}\n", scene.old, scene.new));
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "ready");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    let ours = seen.survey.sightings.iter().filter(|one| one.place.process() == Some(&running.id()));
    let told = format!(
        "{:?} {:?} {:?} {:?}",
        ours.collect::<Vec<_>>(),
        seen.survey.instances[&running.id()],
        seen.survey.evidence(&running.id(), &seen.versions()),
        seen.survey.unseen,
    );
    for value in [&scene.old, &scene.new] {
        assert!(!told.contains(value.as_str()), "a value is told");
    }
    assert_eq!(seen.verdict(&running.id()), Verdict::Mixed);
}

/// Runs one of the ignored tests below in a copy of this program, started as `command` says.
fn elsewhere(test: &str, pid: u32, scene: &Scene, command: impl Fn(&Path) -> Command) {
    let copy = tempfile::Builder::new().prefix("trace").tempdir_in("/tmp").expect("a folder");
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    std::fs::set_permissions(scene.folder.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let program = copy.path().join("look");
    copy_program(&std::env::current_exe().expect("this program"), &program);
    let mut command = command(&program);
    command.args(["--exact", test, "--nocapture", "--ignored"]).current_dir("/");
    command.env("LOOK_AT", pid.to_string()).env("LOOK_IN", scene.folder.path());
    let looked = command.output().expect("it ran");
    let out = String::from_utf8_lossy(&looked.stdout);
    assert!(out.contains("1 passed"), "{out}{}", String::from_utf8_lossy(&looked.stderr));
}

/// The scene that the other process gets.
fn told() -> (u32, SurveyedScene) {
    let folder = std::env::var("LOOK_IN").expect("a folder");
    let value = |file: &str| {
        let text = std::fs::read_to_string(Path::new(&folder).join(file)).expect("a file");
        text.trim().split_once('=').expect("an assignment").1.to_owned()
    };
    let seen = SurveyedScene::of(folder.as_ref(), &value("api.env.bak"), &value("api.env"));
    (std::env::var("LOOK_AT").expect("a number").parse().expect("a number"), seen)
}

#[test]
fn what_another_user_may_not_see_is_unknown_and_named() {
    if !root() {
        return eprintln!("left out: only root can become another user");
    }
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    elsewhere("processes::look_as_another_user", running.child.id(), &scene, |program| {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        command.uid(65534).gid(65534);
        command
    });
}

#[test]
#[ignore = "run by what_another_user_may_not_see_is_unknown_and_named"]
fn look_as_another_user() {
    let (pid, mut seen) = told();
    let id = id_of(pid);
    assert_eq!(seen.verdict(&id), Verdict::Unknown(Doubt::StartHidden));
    seen.search(&[id]);
    assert_eq!(seen.verdict(&id), Verdict::Unknown(Doubt::StartHidden));
    for part in ["environment", "open files", "memory"] {
        let what = format!("{part} of process {pid}");
        let named = seen.survey.unseen.iter().find(|one| one.what == what).expect("it is named");
        assert_eq!((named.reason.as_str(), named.uid), ("permission denied", Some(0)));
    }
}

#[test]
fn where_proc_hides_others_the_survey_says_so() {
    if !root() {
        return eprintln!("left out: only root can mount");
    }
    let mount = ["-m", "mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"];
    if !Command::new("unshare").args(mount).status().is_ok_and(|status| status.success()) {
        return eprintln!("left out: this kernel does not let us mount /proc");
    }
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    for (level, test) in
        [("1", "processes::look_where_others_are_closed"), ("2", "processes::look_where_others_are_hidden")]
    {
        elsewhere(test, running.child.id(), &scene, |program| {
            let mount = "mount -t proc -o hidepid=\"$0\" proc /proc && \
                         exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", mount, level]).arg(program);
            command
        });
    }
}

#[test]
#[ignore = "run by where_proc_hides_others_the_survey_says_so"]
fn look_where_others_are_closed() {
    let (pid, seen) = told();
    assert!(seen.survey.instances.keys().all(|one| one.pid != pid), "nothing of it is told");
    let what = format!("process {pid}");
    let named = seen.survey.unseen.iter().find(|one| one.what == what).expect("that it runs is told");
    assert_eq!(named.reason, "permission denied");
}

#[test]
#[ignore = "run by where_proc_hides_others_the_survey_says_so"]
fn look_where_others_are_hidden() {
    let (pid, seen) = told();
    assert!(seen.survey.listing.seen.iter().all(|one| one.id.pid != pid), "it is not listed");
    assert!(seen.survey.unseen.iter().any(|one| one.what == "processes" && one.reason.contains("hidepid")));
}

#[test]
fn without_proc_files_are_still_surveyed() {
    if !root() {
        return eprintln!("left out: only root can mount");
    }
    let scene = Scene::new();
    elsewhere("processes::look_without_proc", 1, &scene, |program| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]).arg(program);
        command
    });
}

#[test]
#[ignore = "run by without_proc_files_are_still_surveyed"]
fn look_without_proc() {
    let (_, seen) = told();
    assert!(seen.survey.instances.is_empty());
    let unseen = &seen.survey.unseen;
    assert!(unseen.iter().any(|one| one.what == "processes" && one.reason.contains("/proc")), "{unseen:?}");
}
