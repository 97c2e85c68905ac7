//! What could make a verdict wrong: a version that a careless look would miss, or would believe.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

use keyroll_observe::After;
use keyroll_trace::{
    Chain, Doubt, Evidence, Link, LinkRole, ManagedBy, Opened, Place, Service, Verdict, verdict,
};

use crate::parts::{NAME, Running, Scene, SurveyedScene, generated, root, until};
use crate::processes::{WAITS, elsewhere, told};

/// The library of C, for what Python does not do by itself.
const LIBC: &str = "import ctypes, os
c = ctypes.CDLL(None)
c.mmap.restype = ctypes.c_void_p
c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
print('ready', flush=True)
file = os.open(input(), os.O_RDONLY)
";

fn with_libc(program: &str, value: &str) -> Running {
    Running::with(["python3", "-c", &format!("{LIBC}{program}")], value)
}

/// A chain whose first link is the scene's file.
fn chain(scene: &Scene, seen: &SurveyedScene, read_later: bool) -> Chain {
    let link = Link {
        place: Some(Place::File { path: scene.file(), line: 1 }),
        what: "a file".to_owned(),
        value: Some(seen.new),
        role: LinkRole::Wins,
        basis: keyroll_trace::Basis::Seen,
        read_later,
        applies: None,
        seems: None,
    };
    Chain { name: NAME.to_owned(), links: vec![link] }
}

fn by_chain(scene: &Scene, seen: &SurveyedScene, running: &Running, read_later: bool) -> Verdict {
    let chain = chain(scene, seen, read_later);
    let held = seen.survey.held_by_chain(&running.id(), &seen.versions(), &chain).expect("an instance");
    verdict(chain.next(), &held)
}

#[test]
fn a_value_that_its_program_closed_to_itself_is_found() {
    let scene = Scene::new();
    // Reads a file into a page of its own and removes all access to it, like a library that guards secrets.
    let program = "page = c.mmap(None, 4096, 3, 0x22, -1, 0)
c.read(file, ctypes.c_void_p(page), ctypes.c_size_t(4096)); os.close(file)
c.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 0)
print('read', flush=True); input()";
    let mut running = with_libc(program, &scene.old);
    running.tell(scene.file().to_str().expect("text"));
    assert_eq!(running.line(), "read");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Mixed, "{:?}", seen.survey.unseen);
}

#[test]
fn a_copy_that_is_mapped_into_memory_is_open() {
    let scene = Scene::new();
    let program = "page = c.mmap(None, 4096, 1, 2, file, 0); os.close(file)
print('mapped', flush=True); input()";
    let mut running = with_libc(program, &scene.old);
    running.tell(scene.file().to_str().expect("text"));
    assert_eq!(running.line(), "mapped");
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    let open = seen.survey.instances[&running.id()].open.clone();
    assert_eq!(open, BTreeSet::from([Opened { path: scene.file(), replaced: false }]));
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::ReadSince));
    // Another file replaces it.
    let next = scene.folder.path().join("next");
    std::fs::copy(scene.file(), &next).expect("a copy");
    std::fs::rename(&next, scene.file()).expect("a rename");
    let seen = scene.survey();
    let open = seen.survey.instances[&running.id()].open.clone();
    assert_eq!(open, BTreeSet::from([Opened { path: scene.file(), replaced: true }]));
}

#[test]
fn a_title_in_place_of_the_command_line_is_not_what_it_was_started_with() {
    let scene = Scene::new();
    let program = "title = b'worker: ' + os.read(file, 4096).strip().split(b'=')[1]
text = open('/proc/self/stat').read()
numbers = text[text.rindex(')') + 2:].split()
start, end = int(numbers[45]), int(numbers[46])
ctypes.memset(start, 0, end - start); ctypes.memmove(start, title, len(title))
print('titled', flush=True); input()";
    let mut running = with_libc(program, "none");
    running.tell(scene.file().to_str().expect("text"));
    assert_eq!(running.line(), "titled");
    let seen = scene.survey();
    let place = Place::Arguments { process: running.id() };
    assert!(seen.survey.sightings.iter().any(|one| one.place == place), "everybody can read it there");
    assert_eq!(seen.survey.instances[&running.id()].start, Ok(BTreeSet::new()));
    assert_eq!(seen.verdict(&running.id()), Verdict::Unknown(Doubt::MemoryNotSearched));
}

#[test]
fn what_stands_behind_an_option_that_names_a_secret_is_one() {
    let scene = Scene::new();
    let value = generated();
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read line", "api", "--db-password", &value, "--port", "8080"]);
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "ready");
    let seen = scene.survey();
    let place = Place::Arguments { process: running.id() };
    let names: Vec<_> = seen.survey.sightings.iter().filter(|one| one.place == place).collect();
    assert_eq!(names.iter().map(|one| one.name.as_deref()).collect::<Vec<_>>(), [Some("db-password")]);
    assert!(!format!("{names:?}").contains(&value), "a value is told");
}

#[test]
fn what_stands_under_another_name_is_held_and_does_not_decide() {
    let scene = Scene::new();
    let program = "print('ready', flush=True); v = open(input()).read(); print('read', flush=True); input()";
    let mut command = Command::new("python3");
    command.args(["-c", program]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let mut running = Running::start(command.env("NEXT_API_KEY", &scene.new));
    assert_eq!(running.line(), "ready");
    running.tell(scene.folder.path().join("api.env.bak").to_str().expect("text"));
    assert_eq!(running.line(), "read");
    let mut seen = scene.survey();
    let before = by_chain(&scene, &seen, &running, false);
    assert_eq!(
        before,
        Verdict::Unknown(Doubt::MemoryNotSearched),
        "it was given it, under a name of its own"
    );
    seen.search(&[running.id()]);
    assert_eq!(by_chain(&scene, &seen, &running, false), Verdict::Mixed);
}

#[test]
fn the_start_decides_nothing_where_the_program_reads_the_copy_by_itself() {
    let scene = Scene::new();
    let (python, sh) = (Running::with(WAITS[0], &scene.new), Running::with(WAITS[2], &scene.new));
    let mut seen = scene.survey();
    let unknown = Verdict::Unknown(Doubt::MemoryNotSearched);
    assert_eq!(by_chain(&scene, &seen, &python, false), Verdict::Current);
    assert_eq!(by_chain(&scene, &seen, &python, true), unknown, "a library may have overridden it");
    assert_eq!(by_chain(&scene, &seen, &sh, false), unknown, "a shell sets its variables itself");
    seen.search(&[python.id(), sh.id()]);
    assert_eq!(by_chain(&scene, &seen, &python, true), Verdict::Current);
    assert_eq!(by_chain(&scene, &seen, &sh, false), Verdict::Current);
}

#[test]
fn a_copy_that_changes_while_processes_are_looked_at_makes_nobody_stale() {
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    let mut seen = scene.survey();
    let service = Service {
        managed_by: ManagedBy::Unmanaged,
        name: "api".to_owned(),
        processes: vec![running.id()],
        chains: vec![chain(&scene, &seen, false)],
        ..Service::default()
    };
    seen.survey.services = vec![service];
    seen.search(&[running.id()]);
    assert_eq!(seen.survey.services[0].chains[0].next(), Some(seen.new), "it says the same as before");
    std::fs::write(scene.file(), format!("{NAME}={}\n", generated())).expect("a file");
    seen.search(&[running.id()]);
    assert_eq!(seen.survey.services[0].chains[0].next(), None);
}

/// Looks at a process with the new password under its name, and with the old one as the name of a user.
fn beside_a_user_of(old: &str) -> SurveyedScene {
    let folder = tempfile::tempdir().expect("a folder");
    let new = generated();
    std::fs::write(folder.path().join("a.env"), format!("DB_PASSWORD={old}\n")).expect("a file");
    std::fs::write(folder.path().join("b.env"), format!("DB_PASSWORD={new}\n")).expect("a file");
    let mut command = Command::new("sleep");
    command.arg("600").env_clear().env("DB_PASSWORD", &new).env("DB_USER", old);
    let running = Running::start(&mut command);
    until("sleep is executed", || keyroll_observe::process(running.child.id()).is_ok_and(|one| !one.forked));
    let seen = SurveyedScene::of(folder.path(), old, &new);
    assert_eq!(seen.survey.instances[&running.id()].start, Ok(BTreeSet::from([seen.new])));
    seen
}

#[test]
fn a_word_in_another_variable_is_not_the_password() {
    beside_a_user_of("administrator");
}

#[test]
fn a_short_value_in_another_variable_is_not_the_password() {
    let old: String = "Kq7".chars().chain(generated().chars().skip(1).take(7)).collect();
    let seen = beside_a_user_of(&old);
    // Unlike a word, it is searched for everywhere.
    let value = seen.survey.values.get(seen.old).expect("it was found");
    assert!(keyroll_leak::is_distinct(old.as_bytes()) && value.common());
}

#[test]
fn a_file_whose_time_was_set_back_is_not_older_than_a_process() {
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    let file = std::fs::File::options().append(true).open(scene.file()).expect("a file");
    let started = SystemTime::now();
    until("a file of now is newer than the process", || {
        file.set_modified(SystemTime::now()).expect("a time");
        let changed = file.metadata().and_then(|data| data.modified()).expect("a time");
        changed.duration_since(started).is_ok_and(|since| since.as_millis() > 100)
    });
    // As `cp -p` and `tar` do.
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("a time");
    let seen = scene.survey();
    let evidence = seen.survey.evidence(&running.id(), &seen.versions());
    let of_file = |one: &&Evidence| matches!(one, Evidence::Started { path, .. } if *path == scene.file());
    let told = evidence.iter().find(of_file).expect("its times are told");
    assert_eq!(*told, Evidence::Started { path: scene.file(), after: After::Unknown });
}

#[test]
fn one_that_ended_and_was_not_waited_for_is_no_instance() {
    let scene = Scene::new();
    let mut child = Command::new("true").env(NAME, &scene.old).spawn().expect("a process");
    let stat = format!("/proc/{}/stat", child.id());
    until("it has ended", || std::fs::read_to_string(&stat).expect("its line").contains(") Z "));
    let seen = scene.survey();
    assert!(seen.survey.instances.keys().all(|one| one.pid != child.id()));
    child.wait().expect("an end");
}

#[test]
fn a_process_whose_first_thread_ended_is_told_by_the_others() {
    let scene = Scene::new();
    let program = "import ctypes, threading, time\nprint('ready', flush=True)\n\
        threading.Thread(target=lambda: time.sleep(600)).start()\nctypes.CDLL(None).syscall(60, 0)";
    let running = Running::with(["python3", "-c", program], &scene.old);
    let stat = format!("/proc/{}/stat", running.child.id());
    until("its first thread has ended", || {
        std::fs::read_to_string(&stat).expect("its line").contains(") Z ")
    });
    let mut seen = scene.survey();
    seen.search(&[running.id()]);
    assert_eq!(seen.verdict(&running.id()), Verdict::Stale, "{:?}", seen.survey.unseen);
}

#[test]
fn what_a_manager_of_the_same_language_starts_is_no_worker_of_it() {
    let scene = Scene::new();
    let script = scene.folder.path().join("app.py");
    std::fs::write(&script, "import os\nprint('app', flush=True)\ninput()").expect("a script");
    let manager =
        "import subprocess, sys\nprint('ready', flush=True)\nsubprocess.run([sys.executable, input()])";
    let mut running = Running::with(["python3", "-c", manager], &scene.old);
    running.tell(script.to_str().expect("text"));
    assert_eq!(running.line(), "app");
    let seen = scene.survey();
    let child =
        seen.survey.instances.values().find(|one| one.parent == Some(running.id())).expect("it is there");
    assert_eq!(child.worker, None);
    running.tell("end");
    until("both end", || running.child.try_wait().expect("a child").is_some());
}

#[test]
fn root_without_the_right_to_look_says_that_others_are_hidden() {
    if !root() {
        return eprintln!("left out: only root can mount");
    }
    let scene = Scene::new();
    let mut command = Command::new("sleep");
    let running = Running::start(command.arg("600").uid(65534).gid(65534));
    elsewhere("processes::doubts::look_without_the_right", running.child.id(), &scene, |program| {
        let mount = "mount -t proc -o hidepid=2 proc /proc && \
                     exec setpriv --bounding-set -sys_ptrace --regid 65534 --clear-groups \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", mount, "sh"]).arg(program);
        command
    });
}

#[test]
#[ignore = "run by root_without_the_right_to_look_says_that_others_are_hidden"]
fn look_without_the_right() {
    let (pid, seen) = told();
    assert!(seen.survey.listing.seen.iter().all(|one| one.id.pid != pid), "it is not listed");
    let unseen = &seen.survey.unseen;
    assert!(unseen.iter().any(|one| one.what == "processes" && one.reason.contains("hidepid")), "{unseen:?}");
}

#[test]
fn from_within_a_pid_namespace_it_is_said_that_there_is_an_outside() {
    if !root() {
        return eprintln!("left out: only root can make a namespace");
    }
    let scene = Scene::new();
    let running = Running::with(WAITS[0], &scene.old);
    let seen = scene.survey();
    let outside =
        |seen: &SurveyedScene| seen.survey.unseen.iter().any(|one| one.reason.contains("namespace"));
    assert_eq!(outside(&seen), keyroll_observe::extent() == keyroll_observe::Extent::Part);
    // A statement about the namespace of this test is none about one within it.
    elsewhere("processes::doubts::look_from_within", running.child.id(), &scene, |program| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]).arg(program);
        command
    });
}

#[test]
#[ignore = "run by from_within_a_pid_namespace_it_is_said_that_there_is_an_outside"]
fn look_from_within() {
    let (_, seen) = told();
    let unseen = &seen.survey.unseen;
    assert!(
        unseen.iter().any(|one| one.what == "processes" && one.reason.contains("namespace")),
        "{unseen:?}"
    );
}
