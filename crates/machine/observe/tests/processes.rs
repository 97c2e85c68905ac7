//! Identity, exec and fork, environment and memory, with real processes.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::parts::{Plain, Running, generated, id_of, until};
use keyroll_needle::{NeedleId, Needles};
use keyroll_observe::{
    After, HoldersReport, MemoryLimits, NotVisible, Place, Process, ProcessId, Variable, WrittenAt,
    credential_has, descendants, environment_holds, environment_names, exec_came_after, forked_without_exec,
    memory_holds, parents, process, processes, search_holders, started_after, variables_holding,
};
use keyroll_secret::SecretBytes;
use keyroll_testkit::copy_program;

const HOLD: &str = "
value = input()
print('ready')
input()
";

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until the boot clock has passed this tick, so that a process that starts now is certainly later.
fn past(written: WrittenAt) {
    until("the next tick", || WrittenAt::now().expect("a clock").ticks > written.ticks);
}

/// A write that certainly comes after earlier starts and before later ones.
fn write_after_a_while() -> WrittenAt {
    past(WrittenAt::now().expect("a clock"));
    let written = WrittenAt::now().expect("a clock");
    past(written);
    written
}

#[test]
fn a_process_started_after_the_write_is_later_and_one_before_is_not() {
    let mut before = Running::python("print('ready'); input()");
    before.line();
    let written = write_after_a_while();
    let mut after = Running::python("print('ready'); input()");
    after.line();
    assert_eq!(started_after(&before.id(), written), After::No);
    assert_eq!(exec_came_after(&before.id(), written), After::No);
    assert_eq!(started_after(&after.id(), written), After::Yes);
    assert_eq!(exec_came_after(&after.id(), written), After::Yes);
    let same = WrittenAt { boot: after.id().boot, ticks: after.id().start_ticks };
    assert_eq!(exec_came_after(&after.id(), same), After::Unknown);
}

#[test]
fn a_worker_forked_from_a_preloaded_master_is_never_taken_for_loaded() {
    let mut master = Running::python(
        "import os\nprint('ready'); input()\npid = os.fork()\nif pid == 0:\n  import time; time.sleep(60)\nprint(pid); input(); os.kill(pid, 9); os.wait()",
    );
    master.line();
    let written = write_after_a_while();
    master.tell("fork");
    let worker = id_of(master.line().parse().expect("a number"));
    assert_eq!(started_after(&worker, written), After::Yes, "it was forked after the write");
    assert!(forked_without_exec(&worker).expect("visible"));
    assert!(!forked_without_exec(&master.id()).expect("visible"));
    assert_eq!(exec_came_after(&worker, written), After::No, "but its program was loaded before");
    master.tell("end");
    until("the master ends", || master.child.try_wait().expect("a child").is_some());
}

#[test]
fn an_orphan_of_a_preloaded_master_is_unknown_and_not_taken_for_a_child_of_init() {
    let mut master = Running::python(
        "import os\nprint('ready'); input()\npid = os.fork()\nif pid == 0:\n  os.close(1); os.setsid(); import time; time.sleep(60)\n  os._exit(0)\nprint(pid, flush=True); input(); os._exit(0)",
    );
    master.line();
    let written = write_after_a_while();
    master.tell("fork");
    let worker = id_of(master.line().parse().expect("a number"));
    master.tell("end");
    master.child.wait().expect("the master ends");
    assert_eq!(started_after(&worker, written), After::Yes);
    assert_eq!(exec_came_after(&worker, written), After::Unknown);
    end(worker);
}

#[test]
fn a_thread_that_executes_a_program_makes_the_process_a_new_one_without_a_fork() {
    let mut running = Running::python(
        "import os, threading\nprint('ready'); input()\npid = os.fork()\nif pid == 0:\n  t = threading.Thread(target=lambda: os.execve('/bin/sleep', ['sleep', '60'], {'A': 'b'})); t.start(); t.join()\nprint(pid); input()",
    );
    running.line();
    let written = write_after_a_while();
    running.tell("go");
    let pid: u32 = running.line().parse().expect("a number");
    until("it executes sleep", || {
        process(pid).is_ok_and(|one| one.runs("/bin/sleep".as_ref()) || one.name == "sleep")
    });
    let child = id_of(pid);
    assert!(!forked_without_exec(&child).expect("visible"));
    assert_eq!(exec_came_after(&child, written), After::Yes);
    end(child);
}

#[test]
fn a_value_is_seen_in_the_environment_and_nowhere_else_it_is_not() {
    let (held, other) = (generated(), generated());
    let running = Running::start(Command::new("sleep").arg("60").env("API_KEY", &held));
    let found = environment_holds(&running.id(), &Plain::of(&[&held, &other])).expect("visible");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [0]);
}

/// The folder in which systemd puts credentials; removed on drop.
struct Credentials(std::path::PathBuf);

impl Drop for Credentials {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_a_service_was_given_as_a_credential_counts_as_its_environment() {
    if !root() {
        eprintln!("left out: only root may write to /run/credentials");
        return;
    }
    let held = generated();
    let given = Credentials(format!("/run/credentials/keyroll-{}.service", std::process::id()).into());
    std::fs::create_dir_all(&given.0).expect("a folder");
    std::fs::write(given.0.join("key"), &held).expect("a file");
    // A pipe without a writer must not block the reader.
    let pipe = Command::new("mkfifo").arg(given.0.join("pipe")).status().expect("mkfifo");
    assert!(pipe.success());
    let holds = |folder: &std::path::Path| {
        let running = Running::start(Command::new("sleep").arg("60").env("CREDENTIALS_DIRECTORY", folder));
        let id = running.id();
        let found = environment_holds(&id, &Plain::of(&[&held])).expect("visible");
        let names = variables_holding(&id, &Plain::of(&[&held]), 0).expect("visible");
        let same = credential_has(&id, "key", &SecretBytes::from(held.clone())).expect("visible");
        let other = credential_has(&id, "key", &SecretBytes::from(generated())).expect("visible");
        (found.len(), names, same, other)
    };
    let there = (1, vec!["credential:key".to_owned()], Variable::Same, Variable::Other);
    assert_eq!(holds(&given.0), there);
    // Any other folder that a process names there is ignored.
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("key"), &held).expect("a file");
    assert_eq!(holds(elsewhere.path()), (0, Vec::new(), Variable::Absent, Variable::Absent));
    let link = given.0.with_file_name(format!("keyroll-{}-link.service", std::process::id()));
    std::os::unix::fs::symlink(elsewhere.path(), &link).expect("a link");
    let running = Running::start(Command::new("sleep").arg("60").env("CREDENTIALS_DIRECTORY", &link));
    let found = environment_holds(&running.id(), &Plain::of(&[&held]));
    let mut holder = Command::new("sleep");
    holder.arg("60").env("CREDENTIALS_DIRECTORY", &link).env("API_KEY", &held);
    let holder = Running::start(&mut holder);
    let beside = environment_holds(&holder.id(), &Plain::of(&[&held]));
    let named = environment_names(&holder.id());
    std::fs::remove_file(&link).expect("removed");
    assert!(found.is_err(), "a link in the place of the folder: {found:?}");
    assert_eq!(beside.expect("its environment is visible").len(), 1);
    assert!(named.expect("its environment is visible").contains("API_KEY"));
    // The content of a credential is never taken for a variable, and its first part never shown as a name.
    let part: String = generated().chars().filter(char::is_ascii_alphabetic).collect();
    std::fs::write(given.0.join("key"), format!("a\0{part}={held}")).expect("a file");
    let running = Running::start(Command::new("sleep").arg("60").env("CREDENTIALS_DIRECTORY", &given.0));
    let told = variables_holding(&running.id(), &Plain::of(&[&held]), 0).expect("visible");
    assert_eq!(told, ["credential:key"]);
    assert!(!environment_names(&running.id()).expect("visible").contains(&part));
}

#[test]
fn a_process_that_just_executes_its_program_does_not_seem_to_hold_nothing() {
    let held = generated();
    for _ in 0..500 {
        let running = Running::start(Command::new("sleep").arg("60").env("API_KEY", &held));
        // The kernel lets the parent go on just before the child has left the parent's memory.
        until("the program is executed", || !forked_without_exec(&running.id()).expect("visible"));
        let found = environment_holds(&running.id(), &Plain::of(&[&held])).expect("visible");
        assert_eq!(found.len(), 1);
    }
}

/// Red where a process that was given nothing, which is no doubt, is taken for one whose exec never ends.
#[test]
fn a_process_that_was_given_nothing_is_visible() {
    let running = Running::start(Command::new("sleep").arg("60").env_clear());
    until("the program is executed", || !forked_without_exec(&running.id()).expect("visible"));
    let found = environment_holds(&running.id(), &Plain::of(&[&generated()])).expect("visible");
    assert!(found.is_empty());
}

#[test]
fn a_value_is_found_in_memory_in_every_encoding() {
    let (held, other) = (generated(), generated());
    let mut running = Running::python(HOLD);
    running.tell(&held);
    assert_eq!(running.line(), "ready");
    let needles = Needles::builder()
        .add(NeedleId(7), &SecretBytes::from(held.clone()))
        .add(NeedleId(8), &SecretBytes::from(other))
        .build()
        .expect("needles");
    let report = memory_holds(&running.id(), &needles, MemoryLimits::default());
    assert!(report.visible(), "{report:?}");
    assert!(report.count(7) >= 1);
    assert_eq!(report.count(8), 0);
    assert!(environment_holds(&running.id(), &needles).expect("visible").is_empty());
    assert!(report.bytes_read < 1 << 30, "untouched pages are not read: {}", report.bytes_read);
}

#[test]
fn the_limit_in_bytes_leaves_a_gap_and_no_false_absence() {
    let running = Running::python(HOLD);
    let limits = MemoryLimits { bytes_max: 4096, ..MemoryLimits::default() };
    let report = memory_holds(&running.id(), &Plain::of(&["absent value"]), limits);
    assert!(report.gaps.iter().any(|gap| gap.reason == NotVisible::TooLarge && gap.bytes > 0), "{report:?}");
}

#[test]
fn a_huge_untouched_mapping_costs_nothing() {
    let mut running = Running::python(
        "import mmap\nm = mmap.mmap(-1, 6 << 30, flags=mmap.MAP_PRIVATE | 0x4000)\nm[3 << 30:(3 << 30) + 9] = b'far-value'\nprint('ready'); input()",
    );
    running.line();
    let report = memory_holds(&running.id(), &Plain::of(&["far-value"]), MemoryLimits::default());
    assert!(report.count(0) >= 1, "{report:?}");
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
    assert!(report.bytes_read < 1 << 30);
}

#[test]
fn secret_memory_of_the_kernel_is_a_gap_and_not_an_absence() {
    // System call 447 is memfd_secret on every architecture.
    let mut running = Running::python(
        "import ctypes, mmap, os\nfd = ctypes.CDLL(None).syscall(447, 0)\nif fd >= 0:\n  os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); m[0:5] = b'value'\nprint(fd); input()",
    );
    if running.line() == "-1" {
        eprintln!("left out: this kernel has no memfd_secret");
        return;
    }
    let report = memory_holds(&running.id(), &Plain::of(&["absent value"]), MemoryLimits::default());
    assert!(report.gaps.iter().any(|gap| gap.reason == NotVisible::ClosedMemory && gap.bytes == 4096));
}

#[test]
fn a_process_that_is_gone_or_replaced_is_told_as_such() {
    let running = Running::python(HOLD);
    let id = running.id();
    let stranger = ProcessId { start_ticks: id.start_ticks + 1, ..id };
    let plain = Plain::of(&["absent value"]);
    assert_eq!(environment_holds(&stranger, &plain), Err(NotVisible::Replaced));
    assert_eq!(
        memory_holds(&stranger, &plain, MemoryLimits::default()).not_visible,
        Some(NotVisible::Replaced)
    );
    drop(running);
    let gone = environment_holds(&id, &plain);
    assert!(matches!(gone, Err(NotVisible::Vanished | NotVisible::Replaced)), "{gone:?}");
    assert!(!memory_holds(&id, &plain, MemoryLimits::default()).visible());
}

#[test]
fn a_process_that_dies_while_its_memory_is_read_leaves_a_gap() {
    struct Kills(std::cell::Cell<Option<Running>>);
    impl keyroll_observe::Search for Kills {
        fn find(&self, _: &[u8], _: &mut dyn FnMut(u32, usize)) {
            drop(self.0.take());
        }
        fn longest(&self) -> usize {
            16
        }
    }
    let mut running = Running::python("x = bytearray(b'a') * (200 << 20)\nprint('ready'); input()");
    running.line();
    let id = running.id();
    let report = memory_holds(&id, &Kills(std::cell::Cell::new(Some(running))), MemoryLimits::default());
    assert!(report.visible() && report.bytes_read < 200 << 20);
    assert!(report.gaps.iter().any(|gap| gap.reason == NotVisible::Vanished), "{report:?}");
}

#[test]
fn a_process_whose_first_thread_ended_is_still_searched() {
    let held = generated();
    let mut running = Running::python(
        "import ctypes, threading, time\nv = input()\nt = threading.Thread(target=lambda: (print('ready'), time.sleep(60), v)); t.start()\nctypes.CDLL(None).pthread_exit(None)",
    );
    running.tell(&held);
    running.line();
    let pid = running.child.id();
    until("its first thread ends", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a stat").contains(") Z ")
    });
    let listing = processes(Duration::from_secs(20)).expect("a listing");
    assert!(listing.seen.iter().any(|one| one.id == running.id()), "it is listed");
    let report = memory_holds(&running.id(), &Plain::of(&[&held]), MemoryLimits::default());
    assert!(report.count(0) >= 1, "{report:?}");
}

#[test]
fn the_listing_tells_parents_children_and_programs() {
    let mut running = Running::start(Command::new("sh").args(["-c", "sleep 60 & echo $!; wait"]));
    let child = id_of(running.line().parse().expect("a number"));
    // The shell prints the number before its child executes the program.
    let line = format!("/proc/{}/cmdline", child.pid);
    until("it is executed", || std::fs::read(&line).is_ok_and(|line| line == b"sleep\x0060\0"));
    let listing = processes(Duration::from_secs(20)).expect("a listing");
    let sleep = listing.seen.iter().find(|one| one.id == child).expect("the child");
    assert!(
        sleep.runs("sleep".as_ref()) || sleep.runs("coreutils".as_ref()) || sleep.runs("busybox".as_ref())
    );
    assert!(sleep.args.holds("60".as_ref()));
    assert_eq!(sleep.uid, Some(rustix::process::geteuid().as_raw()));
    let chain = parents(&listing, sleep);
    assert_eq!(chain.first().map(|one| one.id), Some(running.id()));
    assert!(chain.iter().any(|one| one.id.pid == std::process::id()));
    let below = descendants(&listing, running.id());
    assert_eq!(below.iter().map(|one| one.id).collect::<Vec<_>>(), [child]);
    assert!(listing.seen.iter().all(|one| one.name != "kthreadd"));
    end(child);
}

#[test]
fn holders_are_found_by_value_and_a_waiting_shell_is_told_apart() {
    let held = generated();
    let environment = Running::start(Command::new("sleep").arg("60").env("KEY", &held));
    let mut memory = Running::python(HOLD);
    memory.tell(&held);
    memory.line();
    // A shell at a terminal waits for a person; a shell that reads a pipe executes its input.
    let mut terminal = Running::python(
        "import os, pty, subprocess\nmaster, slave = pty.openpty()\nkey = input()\n\
         shell = subprocess.Popen(['sh'], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, \
         env={'KEY': key, 'PATH': os.environ['PATH']})\nprint(shell.pid)\ninput()",
    );
    terminal.tell(&held);
    let waiting: u32 = terminal.line().parse().expect("a number");
    until("the shell is executed", || !forked_without_exec(&id_of(waiting)).expect("visible"));
    let waiting = id_of(waiting);
    let shell = Running::start(Command::new("sh").env("KEY", &held));
    let fed = Running::start(Command::new("bash").arg("-s").env("KEY", &held));
    let mut script = Running::start(Command::new("sh").args(["-c", "echo ready; read x"]).env("KEY", &held));
    script.line();
    let mut ours: Vec<u32> =
        [&environment, &memory, &shell, &fed, &script].iter().map(|running| running.child.id()).collect();
    ours.push(waiting.pid);
    let needles = Plain::of(&[&generated(), &held]);
    let mut report = HoldersReport::default();
    // The kernel shows that a program is executed before it shows the program's arguments, and on a busy machine a
    // process may not answer in time: then the report says itself that it does not know, and is asked again.
    until("the programs are executed and were all seen", || {
        let mut listing = processes(Duration::from_secs(20)).expect("a listing");
        // Only processes of this test are searched: other tests run in parallel, and their processes end during the search.
        listing.seen.retain(|one| ours.contains(&one.id.pid));
        let executed = |one: &Process| !one.forked && one.args.program().is_some();
        let ready = listing.seen.len() == ours.len() && listing.seen.iter().all(executed);
        let limits = Some(MemoryLimits::default());
        report = search_holders(&listing, &needles, &BTreeSet::new(), limits, Duration::from_secs(60));
        ready && report.not_seen.is_empty()
    });
    let of = |running: &Running| report.holders.iter().find(|holder| holder.process.id == running.id());
    let place =
        |running: &Running, place| of(running).is_some_and(|holder| holder.places.contains_key(&place));
    assert!(place(&environment, Place::Environment));
    assert!(place(&memory, Place::Memory) && !place(&memory, Place::Environment));
    let person = report.holders.iter().find(|holder| holder.process.id == waiting);
    let known = person.map(|holder| (holder.shell, holder.places.contains_key(&Place::Environment)));
    assert_eq!(known, Some((true, true)), "a shell, with the value in its environment");
    for working in [&shell, &fed, &script] {
        assert!(place(working, Place::Environment) && !of(working).is_some_and(|holder| holder.shell));
    }
    assert!(
        report.holders.iter().all(|holder| holder.process.id.pid != std::process::id()),
        "never keyroll itself"
    );
    assert!(report.holders.iter().flat_map(|holder| holder.places.values()).all(|ids| !ids.contains(&0)));
}

#[test]
fn what_another_user_may_not_see_is_not_visible_and_never_absent() {
    if !root() {
        eprintln!("left out: only root can become another user");
        return;
    }
    let held = generated();
    let mut running = Running::python(HOLD);
    running.tell(&held);
    running.line();
    // This test program itself looks, run again as another user.
    let own = std::env::current_exe().expect("this program");
    let copy = tempfile::Builder::new().prefix("observe").tempdir_in("/tmp").expect("a folder");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let program = copy.path().join("look");
    copy_program(&own, &program);
    use std::os::unix::process::CommandExt;
    let mut look = Command::new(program);
    look.args(["--exact", "processes::look_as_another_user", "--nocapture", "--ignored"])
        .env("LOOK_AT", running.child.id().to_string())
        .current_dir("/")
        .uid(65534)
        .gid(65534);
    let looked = look.output().expect("it ran");
    assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stdout));
    assert!(String::from_utf8_lossy(&looked.stdout).contains("1 passed"));
}

#[test]
#[ignore = "run by what_another_user_may_not_see_is_not_visible_and_never_absent, as another user"]
fn look_as_another_user() {
    let pid: u32 = std::env::var("LOOK_AT").expect("a number").parse().expect("a number");
    let seen = process(pid).expect("that it exists is visible");
    assert_eq!(seen.uid, Some(0));
    assert_eq!(seen.exe, None);
    let plain = Plain::of(&["absent value"]);
    assert_eq!(environment_holds(&seen.id, &plain), Err(NotVisible::Permission));
    assert_eq!(
        memory_holds(&seen.id, &plain, MemoryLimits::default()).not_visible,
        Some(NotVisible::Permission)
    );
    let listing = processes(Duration::from_secs(20)).expect("a listing");
    let report = search_holders(
        &listing,
        &plain,
        &BTreeSet::new(),
        Some(MemoryLimits::default()),
        Duration::from_secs(20),
    );
    for place in [Place::Environment, Place::Memory] {
        assert!(report.not_seen.iter().any(|missed| missed.process == seen.id && missed.place == place));
    }
}

#[test]
fn the_memory_that_matters_most_is_searched_first_and_what_is_left_out_is_named() {
    let running = [(); 3].map(|()| Running::start(Command::new("sleep").arg("60")));
    let mut listing = processes(Duration::from_secs(20)).expect("a listing");
    listing.seen.retain(|one| running.iter().any(|running| running.id() == one.id));
    let limits = MemoryLimits { bytes_max: 1, ..MemoryLimits::default() };
    for first in [&running[2], &running[1], &running[0]] {
        let first = BTreeSet::from([first.id()]);
        let plain = Plain::of(&[&generated()]);
        let report = search_holders(&listing, &plain, &first, Some(limits), Duration::from_secs(60));
        let missed = report.not_seen.iter().filter(|it| it.reason == NotVisible::TooLarge);
        let mut order: Vec<ProcessId> = missed.map(|missed| missed.process).collect();
        order.dedup();
        assert_eq!(order.len(), 3, "{:?}", report.not_seen);
        assert!(first.contains(&order[0]));
    }
}

fn end(process: ProcessId) {
    let pid = rustix::process::Pid::from_raw(process.pid as i32).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it ends");
}
