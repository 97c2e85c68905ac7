//! The question before the end of a key, at a real pseudo-terminal: answered rightly, wrongly, and not at all.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "hostile/hand.rs"]
mod hand;
#[path = "hostile/ran.rs"]
mod ran;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "hostile/worker.rs"]
mod worker;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use ran::wait;
use scene::Scene;

/// A name and what it does.
type Case = (&'static str, fn());

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

/// keyroll on a terminal of its own.
struct Terminal {
    keys: Option<File>,
    shown: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    fn start(scene: &Scene, words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let slave = || OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name).unwrap();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", env!("CARGO_BIN_EXE_keyroll")])
            .args(words)
            .args(["--state", "../state"])
            .current_dir(scene.dir())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", scene.dir())
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave());
        let child = command.spawn().expect("setsid (Debian: util-linux) is there");
        drop(command);
        let keys = File::from(master);
        let (mut screen, shown) = (keys.try_clone().unwrap(), Arc::new(Mutex::new(String::new())));
        let kept = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal that nobody has open any more cannot be read.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&String::from_utf8_lossy(&buffer[..length]));
                if kept.contains(CLOSE) {
                    return;
                }
            }
        });
        Self { keys: Some(keys), shown, child }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn asked(&self) {
        wait("the question", || self.shown().contains("Type `ring` to go on: "));
    }

    fn types(&mut self, text: &str) {
        self.keys.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        let mut code = None;
        wait("the end of keyroll", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code()
    }
}

/// Typed to end the reading thread, which holds the terminal open too.
const CLOSE: &str = "close-this-terminal";

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_right_word_ends_the_key() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    terminal.types("ring\n");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    scene.rotated();
}

#[test]
fn another_word_ends_nothing() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    terminal.types("yes\n");
    wait("the question again", || terminal.shown().contains("that was not `ring`. Type it again"));
    terminal.types("\n");
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("that was not `ring`: nothing is ended"), "{shown}");
    assert!(shown.contains(&format!("keyroll resume {plan} --confirm=ring")), "{shown}");
    old_is_on(&scene);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_mistyped_word_is_typed_again_twice_at_most() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan, "--until", "decide"]);
    assert_eq!(terminal.code(), Some(4), "{}", terminal.shown());
    let mut terminal = Terminal::start(&scene, &["resume", &plan]);
    terminal.asked();
    terminal.types("rign\nrnig\ngnir\nring\n");
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    old_is_on(&scene);
    let mut terminal = Terminal::start(&scene, &["resume", &plan]);
    terminal.asked();
    terminal.types("rign\nrnig\nring\n");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    scene.rotated();
}

/// What `apply` waits for it asks for: nobody pastes a key into the shell behind it.
#[test]
fn a_key_made_by_hand_is_asked_for_by_apply() {
    let scene = Scene::made(|_, spec| hand::human(spec));
    let plan = scene.plan();
    let prompt = "of the new key of ring (not shown): ";
    let mut terminal = Terminal::start(&scene, &["apply", &plan, "--confirm", "ring"]);
    wait("the prompt", || terminal.shown().contains(prompt));
    let (id, value) = scene.issuer.mint("made at the console");
    let (first, second) = value.split_at(20);
    // A line break in the middle: neither half is taken in, shown, or left for the shell.
    terminal.types(&format!("{first}\n{second}\n"));
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("1. press New key"), "{shown}");
    assert!(shown.contains("the rest of what was pasted was thrown away"), "{shown}");
    assert!(!shown.contains(first) && !shown.contains(second), "a part of the value is shown");
    scene.run(&["status"]).exits(6).says(&["a person makes the new key"]);
    let mut terminal = Terminal::start(&scene, &["resume", &plan, "--until", "quiesce"]);
    wait("the prompt", || terminal.shown().contains(prompt));
    terminal.types(&format!("{}\n", *value));
    assert_eq!(terminal.code(), Some(4), "{}", terminal.shown());
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id.as_str()));
}

#[test]
fn a_terminal_that_is_closed_ends_nothing_and_leaves_both_keys_on() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    terminal.types(CLOSE);
    wait("the echo", || terminal.shown().contains(CLOSE));
    // With the last descriptor of its master the terminal is hung up.
    wait("the reading thread", || Arc::strong_count(&terminal.shown) == 1);
    drop(terminal.keys.take());
    // The end of its input or the hang-up, whichever is heard first: nobody answered, or it was interrupted.
    let code = terminal.code();
    assert!(matches!(code, Some(6 | 130)), "{code:?}");
    old_is_on(&scene);
    // Without a word it waits for consent, which is a person's. Interrupted it merely stands still, or waits too: the end
    // of the input may have been heard before the hang-up.
    let status = scene.run(&["status"]);
    assert!(
        status.code == Some(6) || (status.code, code) == (Some(4), Some(130)),
        "{code:?}: {}",
        status.text
    );
    status.says(&[&format!("keyroll resume {plan}")]);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// A key that was made by hand is asked for without showing it, and taken in.
#[test]
fn a_key_made_by_hand_is_typed_unseen() {
    let scene = Scene::made(|_, spec| hand::human(spec));
    let plan = scene.plan();
    scene.run(&["apply", &plan]).exits(6);
    let (id, value) = scene.issuer.mint("made at the console");
    let mut terminal = Terminal::start(&scene, &["resume", &plan, "--until", "quiesce"]);
    wait("the prompt", || terminal.shown().contains("of the new key of ring (not shown): "));
    assert!(terminal.shown().contains("1. press New key"), "{}", terminal.shown());
    terminal.types(&format!("{}\r", *value));
    assert_eq!(terminal.code(), Some(4), "{}", terminal.shown());
    assert!(!terminal.shown().contains(&value[8..]), "it is shown");
    drop(value);
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id.as_str()));
    old_is_on(&scene);
}

#[track_caller]
fn old_is_on(scene: &Scene) {
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
}
