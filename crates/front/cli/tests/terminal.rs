//! The question before a key is revoked, at a real pseudo-terminal: with a right answer, a wrong one, and none.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::hostile::hand;
use crate::hostile::ran::wait;
use crate::hostile::scene::{self, Scene, put};

/// keyroll on a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) keys: Option<File>,
    shown: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
    pub(crate) child: Child,
}

impl Terminal {
    fn start(scene: &Scene, words: &[&str]) -> Self {
        Self::run(scene, &[], words)
    }

    /// With a shell behind it, that says which line it is left.
    fn in_a_shell(scene: &Scene, words: &[&str]) -> Self {
        let script = r#""$@"; echo "it ended with $?"; IFS= read -r left; echo "the shell was left <$left>""#;
        Self::run(scene, &["sh", "-c", script, "sh"], words)
    }

    fn run(scene: &Scene, before: &[&str], words: &[&str]) -> Self {
        Self::at(&scene.dir(), "../state", before, words)
    }

    /// In this folder, with this folder of its state. `before` are the words of a program that starts it.
    pub(crate) fn at(folder: &Path, state: &str, before: &[&str], words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let slave = || OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name).unwrap();
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .args(before)
            .arg(env!("CARGO_BIN_EXE_keyroll"))
            .args(["--state", state])
            .args(words)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", folder)
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave());
        let child = command.spawn().expect("setsid (Debian: util-linux) is there");
        drop(command);
        let keys = File::from(master);
        let (mut screen, shown) = (keys.try_clone().unwrap(), Arc::new(Mutex::new(String::new())));
        let kept = shown.clone();
        let reads = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose other side is closed cannot be read.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&String::from_utf8_lossy(&buffer[..length]));
                if kept.contains(CLOSE) {
                    return;
                }
            }
        });
        Self { keys: Some(keys), shown, reads, child }
    }

    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn asked(&self) {
        self.says("Type `ring` to continue: ");
    }

    pub(crate) fn says(&self, text: &str) {
        wait(text, || self.shown().contains(text));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether what is typed is shown, which a shell relies on.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(self.keys.as_ref().unwrap()).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keys.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn code(&mut self) -> Option<i32> {
        let mut code = None;
        wait("the end of keyroll", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        // What was written last may not be read yet.
        wait("the end of what it shows", || self.reads.is_finished());
        code.unwrap().code()
    }
}

/// Typed so that the reading thread ends, because the thread holds the terminal open too.
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
    assert!(shown.contains("that was not `ring`: nothing is revoked"), "{shown}");
    assert!(shown.contains(&format!("keyroll resume {plan} --confirm=ring")), "{shown}");
    old_is_on(&scene);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Red: it was taken for a mistyped name, and the old key stayed disabled meanwhile.
#[test]
fn a_plain_no_is_not_asked_about_again() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    terminal.types("n\n");
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    assert!(terminal.shown().contains("that was not `ring`: nothing is revoked"), "{}", terminal.shown());
    old_is_on(&scene);
}

/// Red: the old key stayed disabled for as long as the question was open, and `status` called that a pause, with exit 0.
#[test]
fn a_question_without_an_answer_ends_with_its_phase_and_status_names_who_asks() {
    let scene = Scene::made(|config, _| {
        let deadlines = "unit_deadline = \"8s\"\nphase_deadline = \"20s\"\n\n[secrets.ring.revoke]";
        *config = config.replace("[secrets.ring.revoke]", deadlines);
    });
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    assert!(terminal.shown().contains("keyroll enables the key again"), "{}", terminal.shown());
    let status = scene.run(&["status"]);
    status.exits(6).says(&["revoking the old key needs your consent"]);
    assert_eq!(status.of("status")[0]["driver"], terminal.child.id(), "{}", status.text);
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    assert!(terminal.shown().contains("no answer in time: nothing is revoked"), "{}", terminal.shown());
    old_is_on(&scene);
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_word_that_was_typed_before_the_question_answers_nothing() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    wait("the first line", || terminal.shown().contains('\n'));
    terminal.types("ring\n");
    terminal.asked();
    terminal.types("\n");
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    old_is_on(&scene);
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

/// `apply` prompts for the key that it waits for, so that the operator does not paste it into the shell.
#[test]
fn a_key_made_by_hand_is_asked_for_by_apply() {
    let scene = Scene::made(|_, spec| hand::human(spec));
    let plan = scene.plan();
    let prompt = "of the new key of ring (not shown): ";
    let mut terminal = Terminal::start(&scene, &["apply", &plan, "--confirm", "ring"]);
    wait("the prompt", || terminal.shown().contains(prompt));
    let (id, value) = scene.issuer.mint("made at the console");
    let (first, second) = value.split_at(20);
    // A line break in the middle: neither half is accepted, shown, or left for the shell.
    terminal.types(&format!("{first}\n{second}\n"));
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("1. press New key"), "{shown}");
    assert!(shown.contains("the rest of the pasted text was discarded"), "{shown}");
    assert!(!shown.contains(first) && !shown.contains(second), "a part of the value is shown");
    scene.run(&["status"]).exits(6).says(&["waiting for you to make the new key"]);
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
    // The end of input or the hang-up, whichever comes first: there was no answer, or it was interrupted.
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

/// keyroll prompts for a key that was made by hand, does not show it, and accepts it.
#[test]
fn a_key_made_by_hand_is_typed_unseen() {
    let scene = Scene::made(|_, spec| hand::human(spec));
    let plan = scene.plan();
    scene.run(&["apply", &plan]).exits(6);
    let (id, value) = scene.issuer.mint("made at the console");
    let mut terminal = Terminal::start(&scene, &["resume", &plan, "--until", "quiesce"]);
    wait("the prompt", || terminal.shown().contains("of the new key of ring (not shown): "));
    assert!(terminal.shown().contains("1. press New key"), "{}", terminal.shown());
    // As a browser and a terminal may give it: marked as a paste, on a line of its own, with blanks around it.
    terminal.types(&format!("\x1b[200~\r\n \u{a0}{} \r\n\x1b[201~\r", *value));
    assert_eq!(terminal.code(), Some(4), "{}", terminal.shown());
    assert!(!terminal.shown().contains(&value[8..]), "it is shown");
    assert!(terminal.shown().contains("removed the white space around the value"), "{}", terminal.shown());
    drop(value);
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id.as_str()));
    old_is_on(&scene);
}

const PROMPT: &str = "of the new key of ring (not shown): ";

/// A rotation that waits for a key that a person makes.
fn waiting() -> (Scene, String) {
    let scene = Scene::made(|_, spec| hand::human(spec));
    let plan = scene.plan();
    scene.run(&["apply", &plan]).exits(6);
    (scene, plan)
}

/// However a hidden prompt ends, the shell behind it shows what is typed, and nothing is lost.
#[test]
fn a_terminal_is_never_left_without_its_echo() {
    let (scene, plan) = waiting();
    type End = fn(&mut Terminal);
    let ends: [(&str, End); 4] = [
        ("Ctrl-C", |terminal| terminal.types("half a key\x03")),
        ("Ctrl-Z", |terminal| terminal.types("\x1a")),
        ("SIGTERM", |terminal| terminal.signal(Signal::TERM)),
        ("SIGHUP", |terminal| terminal.signal(Signal::HUP)),
    ];
    for (what, end) in ends {
        for words in [&["resume", &plan] as &[&str], &["secret", "add", "ring", "--id", &scene.old]] {
            let mut terminal = Terminal::start(&scene, words);
            terminal.says("(not shown): ");
            assert!(!terminal.echoes(), "{what}");
            end(&mut terminal);
            let (code, shown) = (terminal.code(), terminal.shown());
            assert_eq!(code, Some(130), "{what}: {shown}");
            assert!(terminal.echoes(), "{what}: {shown}");
            let next = format!("keyroll resume {plan}");
            assert!(words[0] != "resume" || shown.contains(&next), "{what}: {shown}");
        }
    }
    scene.run(&["status"]).exits(6).says(&["waiting for you to make the new key"]);
    let keys = scene.issuer.keys();
    assert!(keys.len() == 1 && !keys[0].disabled, "{keys:?}");
}

/// Pasted text after the line, or beyond its limit, does not become a command of the shell.
#[test]
fn nothing_of_a_paste_reaches_the_shell() {
    let (scene, plan) = waiting();
    for (paste, why) in [
        (format!("{}\nreboot\n", "x".repeat(70_000)), "it is larger than 65536 bytes"),
        ("half\x03of it\nreboot\n".to_owned(), "it was cancelled"),
        ("first\nsecond\nreboot\n".to_owned(), "has a line break"),
        ("an\x1b[Darrow\n".to_owned(), "a control character"),
    ] {
        let mut terminal = Terminal::in_a_shell(&scene, &["resume", &plan]);
        terminal.says(PROMPT);
        terminal.types(&paste);
        terminal.says("it ended with ");
        terminal.types("what I typed\n");
        assert_eq!(terminal.code(), Some(0));
        let shown = terminal.shown();
        assert!(shown.contains(why) && shown.contains(&plan), "{shown}");
        assert!(shown.contains("the shell was left <what I typed>"), "{shown}");
    }
}

/// During a prompt nothing is in progress: the rotation pauses at once, with both keys enabled.
#[test]
fn ctrl_c_at_a_question_says_what_stands() {
    let scene = Scene::new();
    let plan = scene.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.asked();
    terminal.types("\x03");
    assert_eq!(terminal.code(), Some(130), "{}", terminal.shown());
    let shown = terminal.shown();
    for said in ["stopping at the next safe point", &format!("keyroll resume {plan}"), "the old key is on"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    // A question before anything is driven.
    let mut terminal = Terminal::start(&scene, &["resume", &plan, "--emergency=revoke-now"]);
    terminal.asked();
    terminal.types("\x03");
    assert_eq!(terminal.code(), Some(130), "{}", terminal.shown());
    assert!(terminal.shown().contains("before the operator consented"), "{}", terminal.shown());
    old_is_on(&scene);
    scene.run(&["abort", &plan]).exits(5);
    scene.as_before();
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let mut terminal = Terminal::start(&scene, &["apply", &plan, "--confirm", "ring"]);
    wait("the restart", || scene.path("run/restarting-api").exists());
    terminal.types("\x03");
    terminal.says("Ctrl-C once more stops at once");
    // The restart is blocked: the rotation does not reach its safe point.
    wait("the end", || {
        terminal.types("\x03");
        terminal.child.try_wait().unwrap().is_some()
    });
    assert_eq!(terminal.code(), Some(130), "{}", terminal.shown());
    assert!(terminal.shown().contains("stopped at once"), "{}", terminal.shown());
    scene.sh("rm run/hold");
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Somebody was asked for a key and went home.
#[test]
fn a_forgotten_prompt_keeps_nobody_out() {
    let (scene, plan) = waiting();
    let mut forgotten = Terminal::start(&scene, &["resume", &plan, "--until", "roll"]);
    forgotten.says(PROMPT);
    let elsewhere = scene.run(&["resume", &plan, "--emergency", "roll-first", "--confirm", "ring"]);
    elsewhere.exits(6).says(&["waiting for you to make the new key"]);
    // An operator who comes back finds it unchanged.
    let (id, value) = scene.issuer.mint("made at the console");
    forgotten.types(&format!("{}\n", *value));
    drop(value);
    forgotten.code();
    let ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done").says(&[r#""emergency":{"#]);
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id.as_str()));
}

/// The lock says which rotation its holder drives; in an emergency the driver pauses for another rotation.
#[test]
fn an_emergency_asks_the_driver_of_another_secret_to_pause() {
    let scene = Scene::made(|config, _| config.push_str(&scene::side("./side.env")));
    let (side, value) = scene.issuer.mint("by hand");
    put(&scene.path("side.env"), &["SIDE=", &value, "\n"], 0o600);
    scene.add("side", &side, &value).exits(0);
    drop(value);
    let plan = scene.plan();
    let mut forgotten = Terminal::start(&scene, &["apply", &plan]);
    forgotten.asked();
    let urgent = scene.plan_of("side");
    let pid = forgotten.child.id();
    let who = format!("process {pid} has been driving rotation {plan} of ring since ");
    scene.run(&["apply", &urgent, "--confirm", "side"]).refused(7, "K0828", &[&who, "keyroll pause"]);
    let ran = scene.run(&["apply", &urgent, "--emergency", "roll-first", "--confirm", "side"]);
    ran.exits(0).ended("done").says(&[&who, "asked it to pause for this emergency"]);
    assert_eq!(forgotten.code(), Some(130), "{}", forgotten.shown());
    let next = format!("keyroll resume {plan}");
    assert!(forgotten.shown().contains(&next), "{}", forgotten.shown());
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
}

const MAIL: &str = r#"
[[secrets.ring.consumers]]
name  = "mail"
runs  = { restart = ["./restart.sh", "mail", "api/mail.env"], pid_file = "./run/mail.pid" }
reads = [{ env_file = "./api/mail.env", variable = "KEY" }]
log   = { file = "./log/refused", failure = "was refused" }
"#;

/// Between two rotations there is no driver, but Ctrl-C still works. keyroll asks only once for the consent to revoke
/// the shared key.
#[test]
fn a_split_stops_between_two_rotations_and_asks_for_its_end() {
    let scene = Scene::made(|config, _| config.push_str(MAIL));
    scene.copy("api/api.env", "api/mail.env");
    scene.restart("mail", "api/mail.env");
    let ran = scene.run(&["split", "ring"]);
    ran.exits(0);
    let plan = ran.plan();
    let mut terminal = Terminal::start(&scene, &["apply", &plan]);
    terminal.says("moved api into [secrets.ring-api]");
    terminal.types("\x03");
    assert_eq!(terminal.code(), Some(130), "{}", terminal.shown());
    let shown = terminal.shown();
    let said = "stopped between two rotations: with their own keys: api; with the shared key: mail; the key of \
                ring stays alive";
    assert!(unwrapped(&shown).contains(said), "{shown}");
    assert!(shown.contains(&format!("keyroll resume {plan}")), "{shown}");
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    let mut terminal = Terminal::start(&scene, &["resume", &plan]);
    terminal.asked();
    let shown = unwrapped(&terminal.shown());
    assert_eq!(shown.matches("Type `").count(), 1, "{shown}");
    for said in [
        "IRREVERSIBLE: keyroll revokes the shared key of ring",
        "uses a key of its own: mail, process",
        "the shared key has been disabled for",
        "2 instances",
        "nothing needs the shared key",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    terminal.types("ring\n");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| key.id != scene.old), "{keys:?}");
    if std::env::var_os("KEYROLL_SHOW").is_some() {
        println!("{}", terminal.shown());
    }
}

/// A text of a terminal as one line.
fn unwrapped(shown: &str) -> String {
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn old_is_on(scene: &Scene) {
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
}
