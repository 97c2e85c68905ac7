//! Restart commands, signals, finding instances, leftover commands and checks, with real processes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use keyroll_manager::{
    Applied, AtRest, Check, CheckAnswer, CommandLine, Find, Leftover, Process, Reread, Verb, Workload, apply,
    check, end_leftover, fetch, instances,
};
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 20;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PATIENCE_S)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn one(find: Find, verb: Verb) -> Process {
    Process { instances: Vec::new(), find, verb }
}

fn nowhere() -> Find {
    Find::Executable { exe: "no-such-program".into(), argument: None }
}

fn restart(line: &str) -> Result<Applied, Failure> {
    restart_by(line, soon()).0
}

fn restart_by(line: &str, deadline: Instant) -> (Result<Applied, Failure>, Vec<ProcessId>) {
    let mut started = Vec::new();
    let run = one(nowhere(), Verb::Restart(CommandLine::shell(line)));
    let done = apply(&run, None, deadline, &mut |process| started.push(process));
    (done, started)
}

fn output(applied: Applied) -> String {
    String::from_utf8_lossy(applied.output.expect("an output").expose()).into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn failure(result: Result<Applied, Failure>) -> Failure {
    match result {
        Ok(applied) => panic!("it should have failed: {}", applied.done),
        Err(failure) => failure,
    }
}

fn alive(pid: u32) -> bool {
    keyroll_observe::process(pid).is_ok()
}

/// A child that is ended with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a process"),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_restart_command_gets_a_cleared_environment_and_no_open_file() {
    // The environment must have something to clear, and an unmarked open file must be there to be leaked.
    let own =
        std::env::vars_os().any(|(name, _)| !["PATH", "HOME", "LANG"].iter().any(|passed| name == *passed));
    assert!(own, "run this test with some more variable");
    let leak = std::fs::File::open("/dev/null").expect("a file");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("unmarked");
    let said = output(restart("env; ls -l /proc/self/fd; ps -o sid= -p $$; echo pid $$").expect("it runs"));
    let names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in &names {
        // The shell itself adds three.
        assert!(["PATH", "HOME", "LANG", "PWD", "SHLVL", "_", "OLDPWD"].contains(name), "{name}");
    }
    assert!(names.contains(&"PATH"));
    let files: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once(" -> ")?.1)).collect();
    assert!(files.iter().all(|file| !file.ends_with("/dev/null") || files[0] == *file), "{files:?}");
    // Input, output, error, and the folder that `ls` itself reads.
    assert_eq!(files.len(), 4, "{files:?}");
    let session = said.lines().find(|line| line.trim().parse::<u32>().is_ok()).expect("a session").trim();
    assert!(said.contains(&format!("pid {session}")), "it leads its own session");
}

#[test]
fn a_service_that_a_command_leaves_running_survives_and_may_go_on_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alive_file, go) = (folder.path().join("alive"), folder.path().join("go"));
    let line = format!(
        "(until [ -e {go} ]; do sleep 0.02; done; i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done; echo wrote > {alive}) & echo started",
        go = go.display(),
        alive = alive_file.display()
    );
    let said = output(restart(&line).expect("it runs"));
    assert_eq!(said, "started\n");
    // The command has long ended; the service writes more than a pipe holds, and must neither block nor be killed.
    std::fs::write(&go, "").expect("a file");
    until("the service got past its output", || read(&alive_file) == "wrote\n");
}

#[test]
fn output_is_bounded() {
    let said = output(restart("head -c 300000 /dev/zero | tr '\\0' x; echo err >&2").expect("it runs"));
    assert!(said.len() <= 64 * 1024 && said.len() > 10_000, "{}", said.len());
}

#[test]
fn a_failing_command_is_unknown_and_a_missing_one_did_nothing() {
    let failed = failure(restart("echo some-output; exit 3"));
    assert_eq!((failed.class, failed.code.as_str()), (Class::Unknown, "K0402"));
    let run = one(nowhere(), Verb::Restart(CommandLine::program("/no/such/program", ["x"])));
    let missing = failure(apply(&run, None, soon(), &mut |_| {}));
    assert_eq!((missing.class, missing.code.as_str()), (Class::Permanent, "K0404"));
    let (late, started) = restart_by("true", Instant::now());
    assert_eq!((failure(late).class, started.len()), (Class::Retryable, 0));
}

#[test]
fn a_hung_command_is_ended_with_its_group_and_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = folder.path().join("child");
    let line = format!(
        "trap '' TERM; (trap '' TERM; sleep 600) & echo $! > {}; sleep 600; sleep 600",
        child.display()
    );
    let (done, started) = restart_by(&line, Instant::now() + Duration::from_millis(700));
    let failed = failure(done);
    assert_eq!((failed.class, failed.code.as_str()), (Class::Unknown, "K0402"));
    assert_eq!(started.len(), 1);
    assert!(!alive(started[0].pid));
    let child: u32 = read(&child).trim().parse().expect("it was started");
    until("its child is ended too", || !alive(child));
}

#[test]
fn each_instance_is_restarted_alone_and_names_are_checked_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let run = Process {
        instances: vec!["a".into(), "b".into()],
        find: nowhere(),
        verb: Verb::Restart(CommandLine::shell(format!("echo {{instance}} >> {}", log.display()))),
    };
    apply(&run, Some("b"), soon(), &mut |_| {}).expect("it runs");
    assert_eq!(read(&log), "b\n");
    for refused in [None, Some("c"), Some("a; touch x"), Some("../a")] {
        let failed = failure(apply(&run, refused, soon(), &mut |_| {}));
        assert_eq!((failed.class, failed.code.as_str()), (Class::Permanent, "K0004"));
    }
    assert_eq!(read(&log), "b\n");
}

#[test]
fn a_signal_reaches_the_main_process_and_a_missing_one_did_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (said, pid_file) = (folder.path().join("said"), folder.path().join("pid"));
    // Not HUP: a test may have been started with HUP ignored, and then no shell can trap it.
    let program =
        format!("trap 'echo usr1 >> {0}' USR1; echo set > {0}; while :; do sleep 0.02; done", said.display());
    let running = Running::start(Command::new("sh").args(["-c", &program]));
    std::fs::write(&pid_file, format!("{}\n", running.0.id())).expect("a pid file");
    let find = Find::PidFile { path: pid_file.clone(), exe: None };
    let run = one(find, Verb::Signal(keyroll_manager::signal_by_name("USR1").expect("known")));
    until("the trap is set", || read(&said).contains("set"));
    apply(&run, None, soon(), &mut |_| {}).expect("sent");
    until("the signal arrives", || read(&said).contains("usr1"));
    std::fs::remove_file(&pid_file).expect("removed");
    let failed = failure(apply(&run, None, soon(), &mut |_| {}));
    assert_eq!((failed.class, failed.code.as_str()), (Class::Retryable, "K0405"));
}

#[test]
fn pid_files_are_read_with_care() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(Command::new("sleep").arg("60"));
    let path = folder.path().join("{instance}.pid");
    let file = folder.path().join("a.pid");
    let find = |exe: Option<&str>| {
        let find = Find::PidFile { path: path.clone(), exe: exe.map(Into::into) };
        instances(&Reread { instances: vec!["a".into()], find })
    };
    assert_eq!(find(None).expect("no file, no process"), []);
    std::fs::write(&file, running.0.id().to_string()).expect("a pid file");
    let found = find(None).expect("found");
    assert_eq!((found.len(), found[0].process.pid, found[0].main), (1, running.0.id(), true));
    assert_eq!(found[0].instance.as_deref(), Some("a"));
    assert_eq!(find(Some("/usr/bin/sleep")).expect("found").len(), 1);
    assert_eq!(
        find(Some("/usr/sbin/other")).map_err(|failure| failure.code.as_str()),
        Err("K0405"),
        "a stale file"
    );
    for content in ["", "x", "-1", "0", "99999999999999999999"] {
        std::fs::write(&file, content).expect("a pid file");
        assert!(find(None).is_err(), "{content:?} is no number and not an absence");
    }
    std::fs::remove_file(&file).expect("removed");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    assert!(find(None).is_err(), "a FIFO is refused and does not block");
}

#[test]
fn a_pid_file_that_cannot_be_the_processs_own_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(Command::new("sleep").arg("60"));
    let path = folder.path().join("pid");
    std::fs::write(&path, running.0.id().to_string()).expect("a pid file");
    let find = || {
        let find = Find::PidFile { path: path.clone(), exe: None };
        instances(&Reread { instances: Vec::new(), find }).map_err(|failure| failure.code.as_str())
    };
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("changed");
    assert_eq!(find().map(|found| found.len()), Ok(1));
    mode(0o666);
    assert_eq!(find(), Err("K0405"), "anybody may have written it");
    mode(0o664);
    if std::fs::metadata(&path).expect("there").uid() == 0 {
        assert_eq!(find(), Err("K0405"), "a group chose whom root signals");
    } else {
        assert_eq!(find().map(|found| found.len()), Ok(1), "the group of this user");
    }
    mode(0o644);
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    let hour = Duration::from_secs(3_600);
    file.set_modified(SystemTime::now() - hour).expect("older than the process");
    assert_eq!(find(), Err("K0405"), "the number was given again");
    file.set_modified(SystemTime::now() + hour).expect("set");
    assert_eq!(find().map(|found| found.len()), Ok(1), "a clock that was set back says nothing");
    // Whoever may write its folder may put the file of another service in its place.
    let of_folder = |mode| {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).expect("changed");
    };
    of_folder(0o777);
    assert_eq!(find(), Err("K0405"), "anybody may have put it there");
    of_folder(0o1777);
    assert_eq!(find().map(|found| found.len()), Ok(1), "only its owner may rename it");
    of_folder(0o775);
    let root = std::fs::metadata(&path).expect("there").uid() == 0;
    let found = find().map(|found| found.len());
    assert_eq!(found, if root { Err("K0405") } else { Ok(1) }, "a group chose whom root signals");
    of_folder(0o755);
    if std::os::unix::fs::chown(folder.path(), Some(65_534), None).is_ok() {
        assert_eq!(find(), Err("K0405"), "the owner of the folder chose whom root signals");
        std::os::unix::fs::chown(folder.path(), Some(0), None).expect("changed");
    }
    // Nor may anybody else replace the folder itself.
    let (above, below) = (folder.path().join("above"), folder.path().join("above/below"));
    std::fs::create_dir_all(&below).expect("folders");
    let deep = below.join("pid");
    std::fs::copy(&path, &deep).expect("a pid file");
    let deep_find = || {
        let find = Find::PidFile { path: deep.clone(), exe: None };
        instances(&Reread { instances: Vec::new(), find }).map_err(|failure| failure.code.as_str())
    };
    assert_eq!(deep_find().map(|found| found.len()), Ok(1));
    std::fs::set_permissions(&above, PermissionsExt::from_mode(0o777)).expect("changed");
    assert_eq!(deep_find(), Err("K0405"), "anybody may have put another folder there");
    std::fs::set_permissions(&above, PermissionsExt::from_mode(0o755)).expect("changed");
    // Its owner decides where a link leads: for example to the file of another service.
    let named = folder.path().join("other");
    std::fs::rename(&path, &named).expect("renamed");
    std::os::unix::fs::symlink(&named, &path).expect("a link");
    assert_eq!(find().map(|found| found.len()), Ok(1), "a link of our own");
    if std::os::unix::fs::lchown(&path, Some(65_534), None).is_ok() {
        assert_eq!(find(), Err("K0405"), "another user chose whom root signals, by a link");
    }
    std::fs::rename(&named, &path).expect("renamed");
    // Only root can give a file away.
    if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
        assert_eq!(find(), Err("K0405"), "another user chose whom root signals");
    }
}

/// The mode of a file with an access list shows only what its group and all users in the list may do together.
#[test]
fn a_pid_file_that_a_listed_user_may_write_or_replace_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let mut sleep = Command::new("sleep");
    if std::fs::metadata(&inner).expect("there").uid() == 0 {
        sleep.uid(65_534);
    }
    let running = Running::start(sleep.arg("60"));
    let path = inner.join("pid");
    std::fs::write(&path, running.0.id().to_string()).expect("a pid file");
    let find = || {
        let find = Find::PidFile { path: path.clone(), exe: None };
        let found = instances(&Reread { instances: Vec::new(), find });
        found.map(|found| found.len()).map_err(|failure| failure.code.as_str())
    };
    assert_eq!(find(), Ok(1));
    for listed in [&inner, &path] {
        let list = |words: &[&str]| {
            assert!(Command::new("setfacl").args(words).arg(listed).status().expect("setfacl").success());
        };
        list(&["-m", "u:65533:rwx"]);
        assert_eq!(find(), Err("K0405"), "by the list of {}", listed.display());
        list(&["-m", "mask::r-x"]);
        assert_eq!(find(), Ok(1), "the mask takes the permission away");
        list(&["-b"]);
    }
}

#[test]
fn instances_are_found_by_executable_and_argument_with_their_forked_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (script, workers) = (folder.path().join("worker.py"), folder.path().join("workers"));
    std::fs::write(
        &script,
        "import os, sys, time\nown = os.getpid(); pid = os.fork()\nwhile pid == 0 and os.getppid() == own:\n  time.sleep(0.05)\nif pid == 0: os._exit(0)\nopen(sys.argv[2], 'a').write(f'{pid}\\n')\ntime.sleep(600)\n",
    )
    .expect("a script");
    let start = |name: &str| {
        let out = workers.with_extension(name);
        Running::start(Command::new("python3").arg(&script).arg(name).arg(&out))
    };
    let (a, b) = (start("a"), start("b"));
    let worker = |name: &str| read(&workers.with_extension(name)).trim().parse::<u32>().ok();
    until("both have forked", || worker("a").is_some() && worker("b").is_some());
    let exe = keyroll_observe::process(a.0.id()).expect("it runs").exe.expect("visible");
    let find = Find::Executable { exe, argument: Some("{instance}".into()) };
    let run = Reread { instances: vec!["a".into(), "b".into()], find };
    let found = instances(&run).expect("found");
    let ours = |pid: u32| found.iter().find(|one| one.process.pid == pid).expect("listed");
    for (main, name) in [(&a, "a"), (&b, "b")] {
        assert!(ours(main.0.id()).main && ours(main.0.id()).instance.as_deref() == Some(name));
        let forked = ours(worker(name).expect("a worker"));
        assert!(!forked.main && forked.instance.as_deref() == Some(name));
    }
    // A pid file names only the first process; the worker belongs to it all the same.
    let pid_file = folder.path().join("a.pid");
    std::fs::write(&pid_file, a.0.id().to_string()).expect("a pid file");
    let find = Find::PidFile { path: pid_file, exe: None };
    let by_file = instances(&Reread { instances: Vec::new(), find }).expect("found");
    let found: Vec<(u32, bool)> = by_file.iter().map(|one| (one.process.pid, one.main)).collect();
    assert_eq!(found, [(a.0.id(), true), (worker("a").expect("a worker"), false)]);
}

#[test]
fn instances_that_cannot_be_told_apart_are_refused() {
    let find = Find::Executable { exe: "sleep".into(), argument: None };
    let run = Reread { instances: vec!["a".into(), "b".into()], find };
    assert_eq!(instances(&run).map_err(|failure| failure.code.as_str()), Err("K0004"));
}

#[test]
fn a_dead_drivers_command_is_found_by_its_record_and_ended_and_a_stranger_is_not() {
    let mut leader = Command::new("sh");
    leader.args(["-c", "sleep 600 & wait"]);
    let running = Running::start(keyroll_observe::detach(&mut leader));
    let id = keyroll_observe::process(running.0.id()).expect("it runs").id;
    let stranger = ProcessId { start_ticks: id.start_ticks + 1, ..id };
    assert_eq!(end_leftover(&stranger, Instant::now()).expect("told"), Leftover::Gone);
    assert!(alive(id.pid), "another process of that number is left alone");
    let mut inside = 0;
    until("its child runs", || {
        let listing = keyroll_observe::processes(Duration::from_secs(20)).expect("a listing");
        inside = keyroll_observe::descendants(&listing, id).first().map_or(0, |one| one.id.pid);
        inside != 0
    });
    assert_eq!(end_leftover(&id, Instant::now()).expect("ended"), Leftover::Killed);
    until("its group is ended too", || !alive(inside));
    assert_eq!(end_leftover(&id, Instant::now()).expect("told"), Leftover::Gone);
}

#[test]
fn what_needs_nothing_does_nothing() {
    let reread = Reread { instances: Vec::new(), find: nowhere() };
    for run in [&reread as &dyn Workload, &AtRest::default()] {
        assert!(apply(run, None, soon(), &mut |_| panic!("nothing is started")).is_ok());
        assert_eq!(instances(run).expect("none"), []);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fetched");
    let line = CommandLine::shell(format!("echo new > {}", file.display()));
    fetch(&line, None, soon(), &mut |_| {}).expect("fetched");
    assert_eq!(read(&file), "new\n");
}

fn exec(line: &str, user: Option<&str>, deadline: Instant) -> Result<CheckAnswer, Failure> {
    check(
        &Check::Exec { command: CommandLine::shell(line), user: user.map(str::to_owned) },
        None,
        deadline,
        &mut None,
    )
}

#[test]
fn an_exec_check_can_pass_fail_and_hang() {
    assert_eq!(exec("true", None, soon()).expect("an answer"), CheckAnswer::Passed);
    let Ok(CheckAnswer::Failed(why)) = exec("echo a-value; exit 4", None, soon()) else {
        panic!("it must fail")
    };
    assert!(!why.contains("a-value"));
    let hung = exec("sleep 600", None, Instant::now() + Duration::from_millis(300)).expect("an answer");
    assert!(matches!(hung, CheckAnswer::Unknown(_)));
    assert!(matches!(exec("read x", None, soon()), Ok(CheckAnswer::Failed(_))), "its input is empty");
    assert_eq!(
        exec("true", Some("no such user"), soon()).map_err(|failure| failure.code.as_str()),
        Err("K0362")
    );
    let program = Check::Exec { command: CommandLine::program("/no/such", ["x"]), user: None };
    assert_eq!(
        check(&program, None, soon(), &mut None).map_err(|failure| failure.code.as_str()),
        Err("K0404")
    );
    if rustix::process::geteuid().is_root() {
        let line = "[ $(id -un) = nobody ] && [ $(id -G) = $(id -g) ] && [ \"$HOME\" != /root ]";
        assert_eq!(exec(line, Some("nobody"), soon()).expect("an answer"), CheckAnswer::Passed);
    }
}

/// Answers one request and returns the request.
fn serve(answer: &'static [u8], hold: bool) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/ready?x=1", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut asked, mut piece) = (Vec::new(), [0; 1024]);
        while !asked.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut piece).expect("a request");
            asked.extend_from_slice(&piece[..read]);
        }
        drop(stream.write_all(answer));
        if hold {
            // Until the other side gives up.
            drop(stream.read(&mut piece));
        }
        String::from_utf8(asked).expect("text")
    });
    (url, server)
}

fn http(answer: &'static [u8], contains: Option<&str>, hold: bool, deadline: Instant) -> CheckAnswer {
    let (url, server) = serve(answer, hold);
    let check_of = Check::Http { url, contains: contains.map(str::to_owned) };
    let answer = check(&check_of, None, deadline, &mut None).expect("an answer");
    assert!(server.join().expect("served").starts_with("GET /ready?x=1 HTTP/1.0\r\nHost: 127.0.0.1:"));
    answer
}

#[test]
fn an_http_check_reads_status_and_body_within_its_limits() {
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nauth: accepted";
    assert_eq!(http(ok, None, false, soon()), CheckAnswer::Passed);
    assert_eq!(http(ok, Some("accepted"), true, soon()), CheckAnswer::Passed);
    assert!(matches!(http(ok, Some("denied"), false, soon()), CheckAnswer::Failed(_)));
    let away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n";
    assert!(matches!(http(away, None, false, soon()), CheckAnswer::Failed(_)));
    let refused = b"HTTP/1.1 503 No\r\n\r\n";
    assert!(matches!(http(refused, None, false, soon()), CheckAnswer::Failed(_)));
    assert!(matches!(http(b"garbage\r\n\r\n", None, false, soon()), CheckAnswer::Unknown(_)));
    let silent = http(b"", None, true, Instant::now() + Duration::from_millis(300));
    assert_eq!(silent, CheckAnswer::Unknown("no answer in time".into()));
    let closed = keyroll_testkit::free_port().expect("a port");
    let nobody = Check::Http { url: format!("http://127.0.0.1:{closed}/"), contains: None };
    assert!(matches!(check(&nobody, None, soon(), &mut None), Ok(CheckAnswer::Unknown(_))));
    let named = Check::Http { url: "http://example.test/".into(), contains: None };
    assert_eq!(check(&named, None, soon(), &mut None).map_err(|failure| failure.code.as_str()), Err("K0362"));
}
