//! systemd's answers, read from a script in its place. The formats are those of systemctl(1) `show` and of
//! org.freedesktop.systemd1(5), as systemd 252 prints them; other tests use the real service manager on container
//! hosts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_manager::{Applied, Unit, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::write_program;

struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// `show` prints the file `state`, which `restart` replaces by the file `next`; every call is recorded.
    fn new(state: &str, next: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$*\" >> calls\ncase \"$*\" in\n*show*) cat state; \
                      if [ -e later ]; then mv later state; fi;;\n*restart*) [ -e fail ] && exit 1; [ -e hang ] && sleep 600; cp next state;;\nesac\n";
        write_program(&folder.path().join("systemctl"), script);
        let fake = Self { folder };
        fake.put("state", state);
        fake.put("next", next);
        fake
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unit(&self) -> Unit {
        Unit {
            systemctl: self.path("systemctl"),
            booted: self.folder.path().into(),
            settle: Duration::from_millis(350),
            ..Unit::new("app")
        }
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn apply(&self, unit: Unit) -> Result<Applied, Failure> {
        apply(&unit, None, Instant::now() + Duration::from_secs(20), &mut |_| {})
    }
}

fn shown(active: &str, sub: &str, pid: u32, restarts: u32, invocation: &str) -> String {
    format!(
        "LoadState=loaded\nActiveState={active}\nSubState={sub}\nMainPID={pid}\nControlGroup=/system.slice/app.service\n\
         NRestarts={restarts}\nInvocationID={invocation}\nNeedDaemonReload=no\nResult=success\n"
    )
}

fn why(result: Result<Applied, Failure>) -> (Class, &'static str, String) {
    match result {
        Ok(applied) => panic!("it should have failed: {}", applied.done),
        Err(failure) => (
            failure.class,
            failure.code.as_str(),
            failure.source.map_or_else(String::new, |why| why.to_string()),
        ),
    }
}

#[test]
fn a_unit_is_restarted_and_watched_until_it_has_settled() {
    let fake = Fake::new(&shown("active", "running", 10, 3, "aa"), &shown("active", "running", 11, 0, "bb"));
    let done = fake.apply(fake.unit()).expect("restarted");
    assert_eq!(done.done, "restarted app.service");
    assert!(fake.calls().contains("restart -- app.service\n"));
    assert!(!fake.calls().contains("daemon-reload"));
    assert!(fake.calls().matches("show").count() >= 4, "it is watched: {}", fake.calls());
}

#[test]
fn daemon_reload_comes_first_where_a_unit_file_changed() {
    let before = shown("active", "running", 10, 0, "aa");
    for (state, written) in [(before.replace("Reload=no", "Reload=yes"), false), (before, true)] {
        let fake = Fake::new(&state, &shown("active", "running", 11, 0, "bb"));
        fake.apply(Unit { unit_file_written: written, ..fake.unit() }).expect("restarted");
        let calls = fake.calls();
        assert!(calls.find("daemon-reload").expect("called") < calls.find("restart").expect("called"));
    }
}

#[test]
fn a_unit_that_dies_after_its_start_is_no_success() {
    let before = shown("active", "running", 10, 0, "aa");
    let started = shown("active", "running", 11, 0, "bb");
    for (later, reason) in [
        (shown("failed", "failed", 0, 0, "bb").replace("Result=success", "Result=exit-code"), "it is failed"),
        (shown("activating", "auto-restart", 0, 1, "bb"), "it is activating"),
        (shown("active", "running", 12, 1, "cc"), "systemd had to start it again"),
        (shown("active", "running", 12, 0, "bb"), "its main process changed"),
    ] {
        let fake = Fake::new(&before, &started);
        // The first look before the restart must not count as the result.
        let unit = fake.unit();
        let path = fake.path("later");
        let restarted = fake.path("calls");
        let watch = std::thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(20);
            while !std::fs::read_to_string(&restarted).unwrap_or_default().contains("restart") {
                assert!(Instant::now() < deadline);
                std::thread::sleep(Duration::from_millis(2));
            }
            put_whole(&path, &later);
        });
        let (class, code, text) = why(fake.apply(unit));
        watch.join().expect("put");
        assert_eq!((class, code), (Class::Unknown, "K0407"));
        assert!(text.contains(reason), "{text}");
    }
    let fake = Fake::new(&before, &before);
    let (class, _, text) = why(fake.apply(fake.unit()));
    assert!(class == Class::Unknown && text.contains("old invocation"), "{text}");
}

fn put_whole(path: &Path, text: &str) {
    let part = path.with_extension("part");
    std::fs::write(&part, text).expect("a file");
    std::fs::rename(&part, path).expect("a rename");
}

#[test]
fn what_cannot_be_restarted_is_left_alone() {
    let running = shown("active", "running", 10, 0, "aa");
    for (state, class) in [
        (running.replace("LoadState=loaded", "LoadState=not-found"), Class::Permanent),
        (running.replace("LoadState=loaded", "LoadState=masked"), Class::Permanent),
        (shown("inactive", "dead", 0, 0, ""), Class::Permanent),
        (String::new(), Class::Permanent),
    ] {
        let fake = Fake::new(&state, &running);
        let (seen, code, _) = why(fake.apply(fake.unit()));
        assert_eq!((seen, code), (class, "K0407"));
        assert!(!fake.calls().contains("restart"));
    }
    for name in ["", "-x", "a b", "a;b", "a/b", "é"] {
        let fake = Fake::new(&running, &running);
        assert_eq!(why(fake.apply(Unit { unit: name.into(), ..fake.unit() })).1, "K0407");
        assert_eq!(fake.calls(), "");
    }
}

#[test]
fn a_restart_that_fails_or_hangs_is_unknown() {
    let fake = Fake::new(&shown("active", "running", 10, 0, "aa"), "");
    fake.put("fail", "");
    assert_eq!(why(fake.apply(fake.unit())).0, Class::Unknown);
    std::fs::remove_file(fake.path("fail")).expect("removed");
    fake.put("hang", "");
    let soon = Instant::now() + Duration::from_millis(500);
    let (class, code, _) = why(apply(&fake.unit(), None, soon, &mut |_| {}));
    assert_eq!((class, code), (Class::Unknown, "K0402"));
}

#[test]
fn without_systemd_the_error_says_so() {
    let fake = Fake::new("", "");
    let nowhere = Unit { booted: fake.path("missing"), ..fake.unit() };
    assert_eq!(why(fake.apply(nowhere)).1, "K0407");
    let absent = Unit { systemctl: fake.path("missing"), ..fake.unit() };
    let (class, code, _) = why(fake.apply(absent));
    assert_eq!((class, code), (Class::Permanent, "K0407"));
}

#[test]
fn named_instances_are_asked_for_as_such() {
    let own = std::process::id();
    let fake = Fake::new(&shown("active", "running", own, 0, "aa"), "");
    let unit = Unit { unit: "app@{instance}".into(), instances: vec!["x".into()], ..fake.unit() };
    let found = instances(&unit).expect("found");
    let main = found.iter().find(|one| one.process.pid == own).expect("the main process");
    assert!(main.main && main.instance.as_deref() == Some("x"));
    assert!(fake.calls().contains("-- app@x.service\n"));
}

#[test]
fn a_user_without_a_manager_is_told_how_to_get_one() {
    let fake = Fake::new(&shown("active", "running", 1, 0, "aa"), "");
    // `nobody` is never logged in.
    let unit = |user: &str| Unit { user: Some(user.into()), ..fake.unit() };
    let (class, code, text) = why(fake.apply(unit("nobody")));
    assert_eq!((class, code), (Class::Permanent, "K0407"));
    assert!(
        text.contains("nobody of that name is logged in") || text.contains("only root or nobody may"),
        "{text}"
    );
    let (class, code, _) = why(fake.apply(unit("no-such-user")));
    assert_eq!((class, code), (Class::Permanent, "K0362"));
    assert_eq!(fake.calls(), "", "nothing was asked of another manager");
}
