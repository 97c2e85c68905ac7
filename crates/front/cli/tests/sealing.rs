//! The sealing key is wrapped with files, pipes, credentials of a unit and passphrases: the key stays the same, nothing
//! else opens it, and no crash loses its file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keyroll_testkit::{Deadline, SystemdHost, alphanumeric};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const BINARY: &str = env!("CARGO_BIN_EXE_keyroll");
const CONFIG: &str = "version = 1\n[secrets.acme]\nissuer = \"file:./acme.toml\"\n";
/// How long a person at the terminal is answered, seconds.
const TERMINAL_S_MAX: u64 = 120;

struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::write(scene.path().join("keyroll.toml"), CONFIG).unwrap();
        scene
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["--state", "s"]).args(words).current_dir(self.path()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    /// With a value on stdin: the first one makes the key.
    fn add(&self, words: &[&str]) -> Output {
        let all = [&["secret", "add", "acme", "--anyway"], words].concat();
        let mut child = self
            .command(&all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(alphanumeric(30).as_bytes());
        child.wait_with_output().unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// A key of 40 bytes in a file of its own.
    fn key(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, alphanumeric(40)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("file:{}", path.display())
    }

    fn sealing_key(&self) -> Vec<u8> {
        fs::read(self.path().join("s.keys/sealing.key")).unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    text(output)
}

#[track_caller]
fn refused(output: &Output, code: &str) -> String {
    let said = text(output);
    assert!(output.status.code() != Some(0) && said.contains(code), "{said}");
    said
}

/// The line with version and fingerprint.
fn fingerprint(shown: &str) -> String {
    let line = shown.lines().find(|line| line.contains("fingerprint"));
    line.unwrap_or_else(|| panic!("no version in: {shown}")).trim().to_owned()
}

const SHOW: &[&str] = &["secret", "show", "acme"];

#[test]
fn a_key_is_wrapped_anew_and_everything_that_it_sealed_stays() {
    let scene = Scene::new();
    good(&scene.add(&[]));
    let bare = scene.sealing_key();
    let print = fingerprint(&good(&scene.run(SHOW)));
    let (one, two) = (scene.key("one"), scene.key("two"));
    let said = good(&scene.run(&["secret", "rewrap", "--to", &one]));
    assert!(said.contains("keyroll secret rewrap --to file"), "{said}");
    let wrapped = scene.sealing_key();
    assert!(!wrapped.windows(32).any(|window| window == bare), "the key stands in its file");
    // The file records the source of its wrapping.
    assert_eq!(fingerprint(&good(&scene.run(SHOW))), print);
    let doctor = text(&scene.run(&["doctor"]));
    assert!(doctor.contains(&format!("{one}, which opens it")), "{doctor}");
    // Another key opens nothing, and changes nothing.
    let said = refused(&scene.run(&[SHOW, &["--sealing-key", &two]].concat()), "K0883");
    assert!(said.contains(&one), "{said}");
    let other = scene.run(&["secret", "rewrap", "--to", "file", "--sealing-key", &two]);
    refused(&other, "K0883");
    refused(&scene.run(&[SHOW, &["--sealing-key", "file"]].concat()), "K0883");
    assert_eq!(scene.sealing_key(), wrapped);
    // A missing wrapping key is reported as missing.
    let away = scene.path().join("away");
    fs::rename(scene.path().join("one"), &away).unwrap();
    refused(&scene.run(SHOW), "K0883");
    fs::rename(&away, scene.path().join("one")).unwrap();
    // From one wrapping to another, and off again.
    good(&scene.run(&["secret", "rewrap", "--to", &two]));
    fs::remove_file(scene.path().join("one")).unwrap();
    assert_eq!(fingerprint(&good(&scene.run(SHOW))), print);
    good(&scene.run(&["secret", "rewrap", "--to", "file"]));
    assert_eq!(scene.sealing_key(), bare, "it is the same key");
    assert_eq!(fingerprint(&good(&scene.run(SHOW))), print);
    refused(&scene.run(&[SHOW, &["--sealing-key", &two]].concat()), "K0883");
}

#[test]
fn doctor_says_what_a_lost_or_foreign_key_leaves_unreadable() {
    let scene = Scene::new();
    good(&scene.add(&[]));
    let (file, away) = (scene.path().join("s.keys/sealing.key"), scene.path().join("away"));
    let told = |why: &str| {
        let output = scene.run(&["doctor"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for words in [why, "unreadable until this is fixed: acme. Their keys still work", "When it is lost"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(
            !said.contains("keyroll creates it on first use") && !said.contains("exist yet; keyroll"),
            "{said}"
        );
    };
    fs::rename(&file, &away).unwrap();
    told("it is missing, but there are sealed values (K0826)");
    assert!(!file.exists(), "no other key was made");
    let other = Scene::new();
    good(&other.add(&[]));
    fs::copy(other.path().join("s.keys/sealing.key"), &file).unwrap();
    told("the store was made with another sealing key (K0826)");
    fs::copy(&away, &file).unwrap();
    let one = scene.key("one");
    good(&scene.run(&["secret", "rewrap", "--to", &one]));
    fs::rename(scene.path().join("one"), scene.path().join("two")).unwrap();
    told("(K0883)");
    fs::rename(scene.path().join("two"), scene.path().join("one")).unwrap();
    let said = text(&scene.run(&["doctor"]));
    assert!(said.contains("the sealing key opens them") && !said.contains("unreadable"), "{said}");
}

#[test]
fn a_key_is_wrapped_neither_with_itself_nor_with_what_keyroll_writes() {
    let scene = Scene::new();
    good(&scene.add(&[]));
    let (bare, print) = (scene.sealing_key(), fingerprint(&good(&scene.run(SHOW))));
    let own = scene.path().join("s.keys/sealing.key");
    fs::hard_link(&own, scene.path().join("again")).unwrap();
    std::os::unix::fs::symlink(&own, scene.path().join("link")).unwrap();
    scene.key("s.keys/other");
    for file in ["s.keys/sealing.key", "again", "link", "s/secrets.db", "s.keys/other"] {
        refused(&scene.run(&["secret", "rewrap", "--to", &format!("file:{file}")]), "K0883");
        assert_eq!(scene.sealing_key(), bare, "{file}");
    }
    assert_eq!(fingerprint(&good(&scene.run(SHOW))), print);
}

#[test]
fn a_new_key_is_wrapped_with_what_was_chosen_and_what_is_no_reference_is_not_repeated() {
    let scene = Scene::new();
    let one = scene.key("one");
    let value = alphanumeric(32);
    for wrong in [value.as_str(), "fd:1", "credential:../x", "vault:x", "fd:", "file:"] {
        let output = scene.run(&["secret", "list", "--sealing-key", wrong]);
        let said = refused(&output, "K0883");
        assert!(output.status.code() == Some(2) && !said.contains(&value), "{said}");
    }
    fs::set_permissions(scene.path().join("one"), fs::Permissions::from_mode(0o640)).unwrap();
    refused(&scene.add(&["--sealing-key", &one]), "other users can access it");
    fs::set_permissions(scene.path().join("one"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(scene.path().join("short"), alphanumeric(31)).unwrap();
    fs::set_permissions(scene.path().join("short"), fs::Permissions::from_mode(0o600)).unwrap();
    refused(&scene.add(&["--sealing-key", "file:short"]), "32 bytes");
    assert!(!scene.path().join("s.keys/sealing.key").exists(), "nothing was made");
    good(&scene.add(&["--sealing-key", &one]));
    assert!(scene.sealing_key().starts_with(b"keyroll sealing key, wrapped"));
    fingerprint(&good(&scene.run(SHOW)));
    // The keys of another store are found out before anything is written.
    let other = Scene::new();
    good(&other.add(&[]));
    fs::copy(other.path().join("s.keys/sealing.key"), scene.path().join("s.keys/sealing.key")).unwrap();
    refused(&scene.run(&["secret", "rewrap", "--to", &one]), "K0826");
}

#[test]
fn a_key_comes_through_a_pipe_and_no_other_descriptor() {
    let scene = Scene::new();
    let one = scene.key("one");
    good(&scene.add(&[]));
    let print = fingerprint(&good(&scene.run(SHOW)));
    let bash = |command: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("keyroll() {{ {BINARY} --state s \"$@\"; }}; {command}")]);
        shell.current_dir(scene.path()).env_remove("KEYROLL_SEALING_KEY").output().unwrap()
    };
    // A source that cannot be read a second time is refused before anything is replaced.
    scene.key("other");
    let before = scene.sealing_key();
    for (command, why) in [
        ("keyroll secret rewrap --to fd:3 3< <(cat one)", "K0883"),
        ("keyroll secret rewrap --to fd:3 --again fd:3 3< <(cat one)", "K0883"),
        ("keyroll secret rewrap --to file --again fd:3 3< <(cat one)", "K0883"),
        ("keyroll secret rewrap --to fd:3 --again fd:4 3< <(cat one) 4< <(cat other)", "K0826"),
        ("keyroll secret rewrap --to fd:3 --again fd:4 3< <(cat one) 4< <(false)", "K0826"),
        ("keyroll secret rewrap --to fd:3 --again fd:9 3< <(cat one)", "K0883"),
    ] {
        refused(&bash(command), why);
        assert!(scene.sealing_key() == before, "{command}: it was replaced");
    }
    good(&bash("keyroll secret rewrap --to fd:3 --again fd:4 3< <(cat one) 4< <(cat one)"));
    let shown = good(&bash("keyroll secret show acme --sealing-key fd:5 5< <(cat one)"));
    assert_eq!(fingerprint(&shown), print);
    let shown = good(&bash("KEYROLL_SEALING_KEY=fd:5 keyroll secret show acme 5< <(cat one)"));
    assert_eq!(fingerprint(&shown), print);
    refused(&bash("keyroll secret show acme"), "fd:3");
    refused(&bash("keyroll secret show acme --sealing-key fd:3 3< <(cat one one)"), "K0883");
    refused(&bash("keyroll secret show acme --sealing-key fd:3 3< one"), "not a pipe");
    refused(&bash("keyroll secret show acme --sealing-key fd:9"), "not open");
    good(&bash("keyroll secret rewrap --sealing-key fd:3 --to file 3< <(cat one)"));
    assert!(one.starts_with("file:") && fingerprint(&good(&scene.run(SHOW))) == print);
}

#[test]
fn a_credential_of_the_unit_opens_it() {
    let scene = Scene::new();
    good(&scene.add(&[]));
    scene.key("keyroll");
    let folder = scene.path().to_str().unwrap();
    refused(&scene.run(&["secret", "rewrap", "--to", "credential:keyroll"]), "CREDENTIALS_DIRECTORY");
    let with = |words: &[&str]| {
        let mut command = scene.command(words);
        command.env("CREDENTIALS_DIRECTORY", folder).output().unwrap()
    };
    good(&with(&["secret", "rewrap", "--to", "credential:keyroll"]));
    fingerprint(&good(&with(SHOW)));
    refused(&scene.run(SHOW), "CREDENTIALS_DIRECTORY");
}

/// keyroll at a terminal of its own, which is answered as often as it asks for a passphrase.
fn at_terminal(scene: &Scene, words: &[&str], answers: &[&str]) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let slave = || OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name).unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", BINARY, "--state", "s"]).args(words).current_dir(scene.path()).env_clear();
    command.stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = File::from(master);
    let (mut shown, mut answered) = (String::new(), 0);
    let mut answers = answers.iter();
    let deadline = Deadline::seconds(TERMINAL_S_MAX);
    let mut buffer = [0; 4096];
    // It ends with an error when the other side is closed.
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        assert!(!deadline.passed(), "{shown}");
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        if shown.matches("(not shown): ").count() > answered {
            answered += 1;
            terminal.write_all(format!("{}\n", answers.next().expect("an answer")).as_bytes()).unwrap();
        }
    }
    assert!(answers.next().is_none(), "it asked less often: {shown}");
    (child.wait().unwrap().code(), shown)
}

#[test]
fn a_passphrase_is_typed_twice_when_it_is_chosen_and_once_after_that() {
    let scene = Scene::new();
    good(&scene.add(&[]));
    let print = fingerprint(&good(&scene.run(SHOW)));
    let (right, wrong) = (alphanumeric(16), alphanumeric(16));
    let rewrap = ["secret", "rewrap", "--to", "passphrase"];
    let bare = scene.sealing_key();
    for (answers, why) in [(vec![right.as_str(), &wrong], "differ"), (vec!["short"], "at least 12")] {
        let (code, shown) = at_terminal(&scene, &rewrap, &answers);
        assert!(code == Some(1) && shown.contains(why), "{shown}");
        assert_eq!(scene.sealing_key(), bare);
    }
    let (code, shown) = at_terminal(&scene, &rewrap, &[&right, &right]);
    assert!(code == Some(0) && !shown.contains(&right), "{shown}");
    assert!(String::from_utf8(scene.sealing_key()).unwrap().contains("\nargon2id 65536 3 4\n"));
    // One command opens it several times, and asks once.
    let (code, shown) = at_terminal(&scene, SHOW, &[&right]);
    assert!(code == Some(0) && fingerprint(&shown) == print, "{shown}");
    let (code, shown) = at_terminal(&scene, SHOW, &[&wrong]);
    assert!(code == Some(1) && shown.contains("K0883") && !shown.contains(&wrong), "{shown}");
    let mut command = scene.command(&["--no-input"]);
    let output = command.args(SHOW).output().unwrap();
    refused(&output, "K0883");
    assert_eq!(output.status.code(), Some(6));
    let (code, shown) = at_terminal(&scene, &["secret", "rewrap", "--to", "file"], &[&right]);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(scene.sealing_key(), bare);
}

/// Killed at each call that makes the change durable or visible: afterwards the key is there, in its old wrapping or
/// the new one, and the next attempt goes through and leaves nothing behind.
#[test]
fn a_rewrap_that_is_killed_leaves_the_old_wrapping_or_the_new() {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").is_err(), "strace is missing in CI");
        return eprintln!("left out, because strace does not work here: kills of a rewrap");
    }
    let scene = Scene::new();
    good(&scene.add(&[]));
    let print = fingerprint(&good(&scene.run(SHOW)));
    let (one, two) = (scene.key("one"), scene.key("two"));
    let mut next = [&one, &two].into_iter().cycle();
    let (mut kills, mut moved, mut left) = (0, 0, 0);
    for call in ["fsync", "rename", "write", "unlink", "openat"] {
        for nth in 1.. {
            let before = scene.sealing_key();
            let to = next.next().unwrap();
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            for name in ["s.keys", "s.keys/sealing.key", "s.keys/sealing.key.new"] {
                strace.arg("-P").arg(scene.path().join(name));
            }
            strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}"), "--", BINARY]);
            strace.args(["--state", "s", "secret", "rewrap", "--to", to]).current_dir(scene.path());
            let ended = strace.env_remove("KEYROLL_SEALING_KEY").output().unwrap();
            if ended.status.success() {
                break;
            }
            kills += 1;
            moved += usize::from(scene.sealing_key() != before);
            left += usize::from(scene.path().join("s.keys/sealing.key.new").exists());
            assert_eq!(fingerprint(&good(&scene.run(SHOW))), print, "{call} {nth}");
            good(&scene.run(&["secret", "rewrap", "--to", to]));
            assert!(!scene.path().join("s.keys/sealing.key.new").exists(), "{call} {nth}");
            assert_eq!(fingerprint(&good(&scene.run(SHOW))), print, "{call} {nth}");
        }
    }
    assert!(
        kills >= 6 && moved >= 1 && left >= 2,
        "{kills} kills, {moved} after the change, {left} before it"
    );
}

/// The real thing: a unit of systemd with an encrypted credential, and one without.
#[test]
fn a_unit_with_an_encrypted_credential_opens_it_and_nothing_else_does() {
    let scene = Scene::new();
    let mounts = [scene.path(), Path::new(BINARY).parent().unwrap()];
    let Some(host) = SystemdHost::start_or_skip("credentials of a unit", &mounts) else { return };
    let inside = |words: &[&str]| host.command(words).output().unwrap();
    let folder = scene.path().to_str().unwrap();
    let config = format!("{folder}/keyroll.toml");
    let state = format!("{folder}/s");
    let keyroll = [BINARY, "--config", &config, "--state", &state];
    let made =
        "head -c 32 /dev/urandom | systemd-creds encrypt --with-key=host --name=keyroll - /root/keyroll.cred";
    good(&inside(&["sh", "-c", made]));
    let unit = |words: &[&str]| {
        let load = "LoadCredentialEncrypted=keyroll:/root/keyroll.cred";
        let run = ["systemd-run", "--quiet", "--wait", "--pipe", "-p", load, "--"];
        inside(&[&run[..], &keyroll, words].concat())
    };
    let add = format!(
        "head -c 20 /dev/urandom | base64 | {} secret add acme --anyway",
        [BINARY, "--config", &config, "--state", &state].join(" ")
    );
    good(&inside(&["sh", "-c", &add]));
    let print = fingerprint(&good(&inside(&[&keyroll[..], SHOW].concat())));
    good(&unit(&["secret", "rewrap", "--to", "credential:keyroll"]));
    assert!(scene.sealing_key().starts_with(b"keyroll sealing key, wrapped"));
    assert_eq!(fingerprint(&good(&unit(SHOW))), print);
    refused(&inside(&[&keyroll[..], SHOW].concat()), "CREDENTIALS_DIRECTORY");
}
