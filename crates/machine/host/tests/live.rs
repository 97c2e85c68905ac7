//! Pending changes that a restart would activate, with real processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_copy::{Format, Slot};
use keyroll_host::{ConsumerSetup, CopySetup, CopySource, FileSetup, Local, Setup, SlotSetup, Write};
use keyroll_manager::{CommandLine, Find, Process, Verb};
use keyroll_port::{AllowedChanges, Applied, Host as _, PendingChanges, Surveyor as _};
use keyroll_rotation::{ConsumerId, Difference, FileId};
use keyroll_secret::FingerprintKey;
use keyroll_testkit::{copy_program, write_program};

/// How long anything that must come may take.
const TIME_MAX: Duration = Duration::from_secs(100);

/// A process that this test started, ended with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn restart_command(&self, text: &str) {
        write_program(&self.path("restart.sh"), text);
    }

    /// A process with the env file as its environment, known by its pid file.
    fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path("")).stdin(Stdio::null());
        let text = fs::read_to_string(self.path("app.env")).unwrap();
        command.env_clear().envs(text.lines().filter_map(|line| line.split_once('=')));
        let child = Running(command.spawn().unwrap());
        self.write("app.pid", &child.0.id().to_string());
        // It has its own environment once it has executed its program.
        let exe = format!("/proc/{}/exe", child.0.id());
        let own = std::env::current_exe().unwrap();
        let end = Instant::now() + TIME_MAX;
        while fs::read_link(&exe).is_ok_and(|runs| runs == own) {
            assert!(Instant::now() < end, "it does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn host(&self, verb: Verb) -> Local {
        let slot = Slot::Variable("KEY".into());
        let source = CopySource::Field("value".into());
        let copies = vec![CopySetup::Value { format: Format::Dotenv, slot, source }];
        let path = self.path("app.env");
        let file = FileSetup {
            path,
            planned: None,
            write: Write::Rename,
            copies,
            generated: false,
            generator: None,
            own: None,
        };
        let find = Find::PidFile { path: self.path("app.pid"), exe: None };
        let run = Arc::new(Process { instances: Vec::new(), find, verb });
        let slot = SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None };
        let slots = vec![slot];
        let consumer = ConsumerSetup {
            succeeded: false,
            name: "app".into(),
            files: vec![FileId(0)],
            fetch: None,
            slots,
            follows: false,
            served: None,
        };
        let setup = Setup {
            host: keyroll_host::LOCAL,
            rotation: "r1".into(),
            files: vec![file],
            consumers: vec![consumer],
            roots: Vec::new(),
            search: keyroll_host::SearchLimits::default(),
            bystanders: Vec::new(),
            own_folders: Vec::new(),
            instance_time_max: std::time::Duration::from_secs(120),
            work: self.path("work"),
            value_format: (b"abc".to_vec(), 64),
            servers: Vec::new(),
            gate: None,
            issuer_at: Vec::new(),
        };
        Local::new(setup, FingerprintKey::new(&[7; 32]))
    }

    fn restarts(&self) -> Local {
        let line = CommandLine::program("./restart.sh", [] as [&str; 0]);
        self.host(Verb::Restart(CommandLine { folder: Some(self.path("")), ..line }))
    }
}

fn place() -> Place {
    let place = Place(tempfile::tempdir().unwrap());
    place.restart_command("#!/bin/sh\ntouch restarted\n");
    place.write("app.env", "KEY=k\nLOG=info\nHERE=$HOME/x\n");
    place.write("work.sh", "while :; do sleep 1; done\n");
    copy_program(Path::new("/bin/sh"), &place.path("own-program"));
    place
}

fn live_now(host: &Local) -> PendingChanges {
    tokio::runtime::Runtime::new().unwrap().block_on(host.live())
}

fn names(host: &Local) -> Vec<Difference> {
    live_now(host).live.into_iter().map(|one| one.difference).collect()
}

/// An edit is distinguished from a start by its time: the edit is repeated until it is later.
fn edited(host: &Local, name: &str, edit: impl Fn()) -> Difference {
    let end = Instant::now() + TIME_MAX;
    loop {
        edit();
        if let Some(found) = names(host).into_iter().find(|one| *one.name == *name) {
            return found;
        }
        assert!(Instant::now() < end, "{name} is not seen: {:?}", live_now(host));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_edited_since_the_start_is_named_and_nothing_else() {
    let place = place();
    let _running = place.start("/bin/sh", &["./work.sh"]);
    let host = place.restarts();
    let calm = live_now(&host);
    assert!(calm.live.is_empty(), "{calm:?}");
    assert!(calm.not_visible.iter().any(|line| line.starts_with("HERE in ")), "{calm:?}");
    let first = edited(&host, "app/script:work.sh", || place.write("work.sh", "while :; do sleep 2; done\n"));
    let second = edited(&host, "app/script:work.sh", || place.write("work.sh", "exit 0\n"));
    assert_ne!(first.digest, second.digest, "another edit is the same");
    edited(&host, "app/restart:restart.sh", || place.restart_command("#!/bin/sh\ntouch restarted\n#\n"));
    place.write("app.env", "KEY=other\nLOG=debug\nNEW=1\n");
    let all: Vec<String> = names(&host).iter().map(|one| one.name.to_string()).collect();
    assert_eq!(all, ["app/script:work.sh", "app/restart:restart.sh", "app/app.env:LOG", "app/app.env:NEW"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_would_bring_more_is_not_made() {
    let place = place();
    let program = place.path("own-program");
    let _running = place.start(program.to_str().unwrap(), &["-c", "while :; do sleep 1; done"]);
    let host = place.restarts();
    // A file with the same name replaces it, as in an update.
    fs::copy("/bin/sleep", place.path("newer")).unwrap();
    fs::rename(place.path("newer"), &program).unwrap();
    let apply = |brings| host.apply(ConsumerId(0), 0, crate::step(7), brings);
    let Applied::Refused(live) = apply(AllowedChanges::Accepted(&[])).await.unwrap() else {
        panic!("it was made")
    };
    let live: Vec<Difference> = live.into_iter().map(|one| one.difference).collect();
    assert_eq!(live.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["app/program:own-program"]);
    let other = [Difference { digest: live[0].digest ^ 1, ..live[0].clone() }];
    let Applied::Refused(again) = apply(AllowedChanges::Accepted(&other)).await.unwrap() else {
        panic!("by its name")
    };
    assert!(again[0].what.contains("K0851"), "{again:?}");
    assert!(!place.path("restarted").exists());
    assert_eq!(apply(AllowedChanges::Accepted(&live)).await.unwrap(), Applied::Done(Vec::new()));
    assert!(place.path("restarted").exists());
    // A restart that is not held up reports the changes.
    let Applied::Done(told) = apply(AllowedChanges::Anything).await.unwrap() else {
        panic!("it was held up")
    };
    assert_eq!(told.len(), 1);
}

#[test]
fn what_is_signalled_is_not_visible() {
    let place = place();
    let _running = place.start("/bin/sh", &["./work.sh"]);
    place.write("app.env", "KEY=k\nLOG=debug\n");
    let seen = live_now(&place.host(Verb::Signal(1)));
    assert!(seen.live.is_empty() && seen.not_visible[0].contains("signalled"), "{seen:?}");
}

#[test]
fn a_variable_that_was_taken_out_is_named() {
    let place = place();
    place.write("app.env", "KEY=k\nLOG=info\nPOOL=4\nMODE=fast\n");
    let _running = place.start("/bin/sh", &["./work.sh"]);
    let host = place.restarts();
    assert!(live_now(&host).live.is_empty(), "{:?}", live_now(&host));
    place.write("app.env", "KEY=k\nLOG=info\n# POOL=4\n#NEVER=1\n");
    let now = live_now(&host);
    let named: Vec<&str> = now.live.iter().map(|one| &*one.difference.name).collect();
    assert_eq!(named, ["app/app.env:POOL"], "{now:?}");
    assert!(now.live[0].what.ends_with("is commented out: the running process still has it"), "{now:?}");
    let told = now.not_visible.iter().any(|line| line.starts_with("whether 'app' has MODE after a restart"));
    assert!(told, "{now:?}");
}
