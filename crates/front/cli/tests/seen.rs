//! What `scan`, `why`, `trace` and `graph` show of a machine with real processes and files: every place is found, no
//! value is shown, and nothing is changed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use keyroll_testkit::{alphanumeric, copy_program};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_keyroll");

/// A machine of its own as far as files go: a project with copies, leftovers and a repository, and processes that hold values.
struct Scene {
    dir: tempfile::TempDir,
    /// What its secret is called: other scenes run beside this one, and others' processes have names of their own.
    word: String,
    /// What `.env` has now, what it had, another secret, one of a file with a hostile name.
    new: String,
    old: String,
    other: String,
    hostile: String,
    processes: Vec<Child>,
}

impl Scene {
    fn new() -> Self {
        let value = || keyroll_testkit::github_token();
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (value(), value());
        let (other, hostile) = (alphanumeric(30), alphanumeric(30));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let letters = alphanumeric(200).chars().filter(char::is_ascii_lowercase).take(8).collect();
        let mut scene = Self { dir, word: letters, new, old, other, hostile, processes: Vec::new() };
        let (name, password) = (scene.variable(), format!("{}DB_PASSWORD", scene.word.to_uppercase()));
        fs::create_dir_all(scene.shop().join("deep")).unwrap();
        scene.file("shop/compose.yaml", "services: {}\n", 0o644);
        scene.file("shop/keys.age", "age-encryption.org/v1\n-> X25519 a\n", 0o600);
        scene.file("shop/.env", &format!("LOG=info\n{name}={}\n", scene.new), 0o644);
        scene.file("shop/.env.bak", &format!("{name}={}\n", scene.old), 0o600);
        scene.file("shop/db.env", &format!("{password}={}\n", scene.other), 0o600);
        let url = format!("DATABASE_URL=postgres://app:{}@127.0.0.1/shop\n", scene.other);
        scene.file("shop/deep/url.env", &url, 0o600);
        let hostile = format!("MAILER_API_KEY={}\n", scene.hostile);
        scene.file("shop/deep/a\u{1b}[2J\u{1b}]0;owned\u{7}\nb\u{202e}.env", &hostile, 0o600);
        // A value in the name of a place, not in its content.
        scene.file(&format!("shop/deep/{}.env", scene.hostile), &hostile, 0o600);
        for words in [&["init", "-q"][..], &["add", "-f", ".env"]] {
            let done = Command::new("git").arg("-C").arg(scene.shop()).args(words).output().unwrap();
            assert!(done.status.success());
        }
        for value in [scene.old.clone(), scene.new.clone()] {
            scene.start(Command::new("sleep").arg("100000").env(&name, value));
        }
        let argument = format!("--password={}", scene.other);
        let folder = scene.shop();
        scene.start(Command::new("sh").args(["-c", "read line; :", "sh", &argument]).current_dir(folder));
        scene
    }

    /// The variable of its secret.
    fn variable(&self) -> String {
        format!("{}_TOKEN", self.word.to_uppercase())
    }

    fn shop(&self) -> PathBuf {
        self.dir.path().join("shop")
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn start(&mut self, command: &mut Command) {
        // What a test runner has in its environment is not part of the scene.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(command.spawn().unwrap());
    }

    fn command(&self, words: &[&str]) -> Command {
        self.under(Command::new(BINARY), words)
    }

    fn under(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    fn needles(&self) -> Needles {
        let all = [&self.new, &self.old, &self.other, &self.hostile];
        let all = (0u32..).zip(all).fold(Needles::builder(), |all, (id, value)| {
            all.add(NeedleId(id), &SecretBytes::from(value.clone()))
        });
        all.build().unwrap()
    }

    /// Runs a read-only command, and checks its output: no value in any encoding, and no terminal codes.
    fn look(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {text}");
        for bytes in [&output.stdout, &output.stderr] {
            let mut leaks = Vec::new();
            self.needles().find(bytes, &mut |hit| leaks.push((hit.id.0, hit.encoding)));
            assert_eq!(leaks, [], "{words:?} shows a value");
        }
        // In JSON output, a character that reverses the text direction is kept as a part of a name.
        let turns = |letter: char| letter == '\u{202e}' && !words.contains(&"--json");
        let written = |letter: char| letter.is_control() && letter != '\n' || turns(letter);
        assert!(!text.contains(written), "{words:?}: {text:?}");
        output
    }

    fn events(&self, words: &[&str]) -> Vec<Value> {
        let output = self.look(&[words, &["--json"]].concat());
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

/// A label can be quoted in a ticket, and found again by the next command.
#[test]
fn a_label_is_the_same_from_one_command_to_the_next_and_another_for_others() {
    let scene = Scene::new();
    let labels = |events: &[Value]| -> Vec<String> {
        let found = of(events, "found");
        let token = found.iter().find(|one| one["secret"] == *scene.word).unwrap();
        let label = |value: &Value| value["label"].as_str().unwrap().to_owned();
        token["values"].as_array().unwrap().iter().map(label).collect()
    };
    let first = labels(&scene.events(&["scan", "shop", "--memory", "0"]));
    assert_eq!(first.len(), 2);
    assert_eq!(labels(&scene.events(&["scan", "shop", "--memory", "0"])), first);
    assert_eq!(labels(&scene.events(&["trace", &scene.word, "--in", "shop"])), first);
    // Named by its label.
    let digits = first[0].rsplit('·').next().unwrap().to_owned();
    let named = scene.events(&["trace", &digits, "--in", "shop", "--memory", "0"]);
    assert_eq!(labels(&named), first);
    // The same values with the key of another user: nobody can compare labels with guesses of his own.
    if rustix::process::geteuid().is_root() {
        // Another user may not enter the folder in which the program was built.
        let program = scene.dir.path().join("keyroll");
        copy_program(Path::new(BINARY), &program);
        let program = program.to_str().unwrap();
        let of_user = |_| {
            let user = Command::new("setpriv");
            let words =
                ["--reuid=65534", "--clear-groups", program, "scan", "shop", "--memory", "0", "--json"];
            let output = scene.under(user, &words).output().unwrap();
            let lines = String::from_utf8(output.stdout).unwrap();
            labels(&lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        };
        let mut oldest = Command::new("setpriv");
        oldest.args(["--reuid=65534", "--clear-groups", "sleep", "100000"]).stdin(Stdio::null());
        let mut oldest = oldest.spawn().unwrap();
        while !fs::read_to_string(format!("/proc/{}/comm", oldest.id())).unwrap().starts_with("sleep") {
            std::thread::yield_now();
        }
        let [own, again] = [0, 1].map(of_user);
        drop(oldest.kill());
        drop(oldest.wait());
        assert_eq!(own, again);
        assert!(own.iter().all(|label| !first.contains(label)), "{own:?} {first:?}");
    }
}

#[test]
fn every_copy_and_every_process_is_shown_and_no_value() {
    let scene = Scene::new();
    let events = scene.events(&["scan", "shop", "--memory", "0"]);
    assert_eq!(events[0]["type"], "start");
    let found = of(&events, "found");
    let token = found.iter().find(|one| one["secret"] == *scene.word).unwrap();
    assert_eq!(token["values"].as_array().unwrap().len(), 2, "{token}");
    assert!(token["values"][0]["label"].as_str().unwrap().starts_with("ghp_…·"), "{token}");
    let places: Vec<&str> =
        token["copies"].as_array().unwrap().iter().filter_map(|copy| copy["place"].as_str()).collect();
    let wanted = [".env:2", ".env.bak:1"].map(|name| format!("{}/{name}", scene.shop().display()));
    assert!(wanted.iter().all(|place| places.contains(&place.as_str())), "{places:?}");
    let risks = texts(&token["risks"]).join("\n");
    for risk in ["world-readable", "tracked by git", "leftover", "copies differ"] {
        assert!(risks.contains(risk), "{risk}: {risks}");
    }
    assert!(!risks.contains("perhaps") && !risks.contains("more"), "{risks}");
    let pids: Vec<u64> = scene.processes.iter().map(|one| u64::from(one.id())).collect();
    let instances = of(&events, "instance");
    for pid in &pids[..2] {
        assert!(
            instances.iter().any(|one| one["pid"] == *pid && one["secret"] == *scene.word),
            "{instances:?}"
        );
    }
    // A connection string is a copy of its password.
    let password = found.iter().find(|one| one["secret"] == format!("{}db", scene.word)).unwrap();
    assert_eq!(
        (password["values"].as_array().unwrap().len(), password["copies"].as_array().unwrap().len()),
        (1, 2)
    );
    let risks = texts(&password["risks"]).join("\n");
    assert!(risks.contains(&format!("in the command line of process {}", pids[2])), "{risks}");
    // Encrypted stores are named, with the processes that seem to use them.
    let store = of(&events, "store")[0];
    assert!(store["path"].as_str().unwrap().ends_with("/shop/keys.age"), "{store}");
    let user = format!("sh (pid {})", pids[2]);
    assert!(store["encrypted_with"] == "age" && texts(&store["used_by"]) == [user.as_str()], "{store}");
    // For people.
    let text = shown(&scene.look(&["scan", "shop", "--memory", "0"]));
    for part in [
        "SECRET",
        scene.word.as_str(),
        "ghp_…·",
        "world-readable",
        "×2",
        "keyroll why ",
        " --in shop",
        "keyroll leaks shop",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("searched the memory"), "{text}");
}

#[test]
fn what_is_asked_about_is_answered_and_never_repeated() {
    let scene = Scene::new();
    let quick = ["--memory", "0", "--in", "shop"];
    let run = |words: &[&str]| shown(&scene.look(&[words, &quick].concat()));
    let pid = scene.processes[0].id().to_string();
    let of_several = format!(", {}:", scene.word);
    for (what, secret) in [(scene.word.as_str(), ""), (pid.as_str(), &of_several)] {
        let text = run(&["why", what]);
        let said =
            format!("sleep (pid {pid}){secret} version unknown: its environment at start holds ghp_…·");
        assert!(text.contains(&said), "{text}");
    }
    let text = run(&["why", "shop/.env"]);
    assert!(text.contains("/shop/.env:2 holds ghp_…·"), "{text}");
    assert!(text.contains("no known service reads it"), "{text}");
    let text = run(&["why", &scene.word]);
    assert!(text.contains("copies differ: ghp_…·"), "{text}");
    let text = run(&["trace", &scene.word]);
    for part in ["COPY", ".env.bak:1", &scene.variable(), "INSTANCE", "not searched", "unknown"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (all, of_process) =
        (run(&["trace", &scene.word, "--evidence"]), format!("\nsleep (pid {pid}): unknown\n"));
    let threads = all.split_once(&of_process).map(|(_, behind)| behind).unwrap_or_default();
    assert!(threads.starts_with("  was started with ghp_…·"), "{all}");
    assert!(!text.contains("  was started"), "{text}");
    let text = run(&["trace", &format!("{}db", scene.word)]);
    assert!(text.contains("url.env:1"), "{text}");
    let (near, meant) = (format!("{}x", scene.word), format!("did you mean {}?", scene.word));
    // A value instead of a name, and a name with a letter wrong.
    for (word, said) in [(scene.new.as_str(), "keyroll scan lists"), (near.as_str(), meant.as_str())] {
        let output = scene.command(&[&["trace", word], &quick[..]].concat()).output().unwrap();
        let text = shown(&output);
        assert!(output.status.code() == Some(1) && text.contains("K0805") && text.contains(said), "{text}");
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn what_is_not_there_is_refused_before_anything_is_looked_at() {
    let scene = Scene::new();
    for (words, code) in [
        (&["scan", "shop", "gone"][..], "K0934"),
        (&["graph", "--in", "./gone"], "K0934"),
        (&["trace", &scene.word, "--in", "gone"], "K0934"),
        (&["init", "gone", "--dry-run"], "K0934"),
        (&["why", "./gone", "--in", "shop"], "K0805"),
    ] {
        let output = scene.command(words).output().unwrap();
        let text = shown(&output);
        assert!(output.status.code() == Some(1) && text.contains(code), "{words:?}: {text}");
        assert!(!text.contains("searched") && !text.contains("gone"), "{words:?}: {text}");
    }
}

/// What memory shows may give secrets other names: those of before and those of after may be asked about.
#[test]
fn a_name_may_be_from_before_the_memory_was_searched_or_from_after() {
    let mut scene = Scene::new();
    let (two, name) = (scene.dir.path().join("two"), format!("{}X_API_KEY", scene.word.to_uppercase()));
    // A shell makes the values: else the memory of this process may have them at one search and not at the next.
    let script = "printf '%s=%s\n' \"$0\" \"$(tr -dc a-z0-9 </dev/urandom | head -c 32)\" >.env";
    for folder in ["a", "b"] {
        fs::create_dir_all(two.join(folder)).unwrap();
        let mut shell = Command::new("sh");
        assert!(shell.args(["-c", script, &name]).current_dir(two.join(folder)).status().unwrap().success());
    }
    let held = "read -r held < b/.env; echo ready; read -r end; :";
    let mut bash = Command::new("bash");
    bash.args(["-c", held]).current_dir(&two).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut bash = bash.spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(bash.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    scene.processes.push(bash);
    let names = |words: &[&str]| -> Vec<String> {
        let events = scene.events(&[&["scan", "two"], words].concat());
        let all = of(&events, "found").into_iter().filter_map(|one| one["secret"].as_str());
        all.filter(|name| name.starts_with(&scene.word)).map(str::to_owned).collect()
    };
    let (before, after) = (names(&["--memory", "0"]), names(&[]));
    assert!(before != after, "{before:?}");
    for name in before.iter().chain(&after) {
        scene.look(&["why", name, "--in", "two"]);
    }
}

#[test]
fn every_name_that_is_shown_may_be_asked_about() {
    let scene = Scene::new();
    let quick = ["--memory", "0", "--in", "shop"];
    let events = scene.events(&["scan", "shop", "--memory", "0"]);
    let token = *of(&events, "found").iter().find(|one| one["secret"] == *scene.word).unwrap();
    let instance = *of(&events, "instance").iter().find(|one| one["secret"] == *scene.word).unwrap();
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let pid = scene.processes[0].id();
    let (copy, label) = (&token["copies"][0]["place"], &token["values"][0]["label"]);
    for word in [
        scene.variable(),
        format!("sleep (pid {pid})"),
        name(&instance["program"]),
        format!("{} ×2", name(&instance["program"])),
        name(&instance["used_by"]),
        format!("({})", name(&instance["keeper"])),
        name(copy),
    ] {
        let text = shown(&scene.look(&[&["why", word.as_str()], &quick[..]].concat()));
        assert!(text.contains(scene.word.as_str()) || text.contains(&format!("pid {pid}")), "{word}: {text}");
    }
    let text = shown(&scene.look(&[&["trace", &scene.variable()], &quick[..]].concat()));
    assert!(text.contains(&format!("{}: ghp_", scene.word)), "{text}");
    // The label, whole and by its digits; other digits are no label.
    let label = name(label);
    for word in [label.as_str(), label.rsplit('·').next().unwrap()] {
        let text = shown(&scene.look(&[&["trace", word], &quick[..]].concat()));
        assert!(text.contains(&format!("{}: ghp_", scene.word)), "{word}: {text}");
    }
    let output = scene.command(&[&["trace", "ghp_…·0123ab45"], &quick[..]].concat()).output().unwrap();
    assert!(shown(&output).contains("K0805"), "{}", shown(&output));
}

#[test]
fn whoever_cannot_be_told_about_is_listed_with_the_reason() {
    let scene = Scene::new();
    let text = shown(&scene.look(&["scan", "shop", "--all", "--memory", "0"]));
    let line = format!("{}, version in use unknown for sleep ×2: ", scene.word);
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_configuration_that_would_be_written_is_one_event() {
    let scene = Scene::new();
    for words in [&["init", "shop", "--dry-run", "--memory", "0"][..], &["init", "--empty", "--dry-run"]] {
        let events = scene.events(words);
        let drafts = of(&events, "draft");
        assert!(drafts.len() == 1, "{events:?}");
        assert!(drafts[0]["path"].as_str().unwrap().ends_with("keyroll.toml"), "{}", drafts[0]);
        assert!(drafts[0]["text"].as_str().unwrap().contains("version = 1\n"), "{}", drafts[0]);
    }
    assert!(!scene.dir.path().join("keyroll.toml").exists());
}

#[test]
fn what_nothing_uses_is_shown_in_full_where_it_is_asked_for() {
    let scene = Scene::new();
    fs::create_dir(scene.dir.path().join("many")).unwrap();
    let names: Vec<String> = (10..35).map(|number| format!("{}{number}", scene.word)).collect();
    for name in &names {
        let line = format!("{}_TOKEN={}\n", name.to_uppercase(), alphanumeric(30));
        scene.file(&format!("many/{name}.env"), &line, 0o600);
    }
    let run = |words: &[&str]| shown(&scene.look(&[&["scan", "many", "--memory", "0"], words].concat()));
    let rows = |text: &str| names.iter().filter(|name| text.contains(&format!("\n{name} "))).count();
    let (short, whole) = (run(&[]), run(&["--all"]));
    assert!(rows(&short) < names.len(), "{short}");
    assert!(short.contains(" more that no process was seen to use: keyroll scan --all"), "{short}");
    assert_eq!(rows(&whole), names.len(), "{whole}");
    assert!(!whole.contains("--all"), "{whole}");
}

#[test]
fn drawings_hold_every_place_and_no_name_leaves_its_quotes() {
    let scene = Scene::new();
    for format in ["dot", "mermaid", "svg"] {
        let output = scene.look(&["graph", "--in", "shop", "--memory", "0", "--format", format]);
        let text = String::from_utf8(output.stdout).unwrap();
        let pid = format!("{} (unknown)", scene.processes[0].id());
        for part in ["shop/.env:2", "url.env:1", "ghp_…·", "is in", &pid] {
            assert!(text.contains(part), "{format} {part}: {text}");
        }
    }
    let events = scene.events(&["graph", &scene.word, "--in", "shop", "--memory", "0"]);
    let graph = of(&events, "graph")[0];
    let nodes = graph["nodes"].as_array().unwrap();
    let count = |kind: &str| nodes.iter().filter(|node| node["kind"] == kind).count();
    assert_eq!((count("value"), count("process")), (2, 2), "{graph}");
}

#[test]
fn the_memory_is_a_second_stage_that_is_announced() {
    let scene = Scene::new();
    // Only memory that this user may read is searched. One GiB is enough for the processes started here, because they
    // come first.
    let events = scene.events(&["scan", "shop", "--memory", "1"]);
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| match event["type"].as_str()? {
            "scan" => event["stage"].as_str(),
            kind @ ("found" | "waiting") => Some(kind),
            _ => None,
        })
        .collect();
    let at = |kind: &str| kinds.iter().position(|one| *one == kind).unwrap();
    assert!(
        at("files") < at("found") && at("found") < at("waiting") && at("waiting") < at("memory"),
        "{kinds:?}"
    );
    let pid = scene.processes[0].id();
    let instances = of(&events, "instance");
    let one = instances.iter().find(|one| one["pid"] == pid).unwrap();
    assert_ne!(one["memory"]["searched"], "not searched", "{one}");
}

/// Calls that change something, by their beginning in a record.
const CHANGES: [&str; 22] = [
    "mkdir",
    "rmdir",
    "unlink",
    "rename",
    "link(",
    "linkat",
    "symlink",
    "chmod",
    "fchmod",
    "chown",
    "fchown",
    "lchown",
    "truncate",
    "ftruncate",
    "utimensat",
    "setxattr",
    "fsetxattr",
    "mknod",
    "process_vm_writev",
    "ptrace",
    "creat(",
    "fallocate",
];

#[test]
fn a_whole_look_writes_nothing_ends_nothing_and_calls_nobody() {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").is_err(), "strace is missing in CI");
        return eprintln!("left out, because strace does not work here: the calls of a look");
    }
    let scene = Scene::new();
    let record = tempfile::NamedTempFile::new().unwrap();
    for words in [
        &["scan", "shop", "--memory", "1"][..],
        &["why", &scene.word, "--in", "shop", "--memory", "0"],
        &["trace", &scene.word, "--in", "shop", "--memory", "0"],
        &["graph", "--in", "shop", "--memory", "0"],
    ] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-yy", "-s", "0", "-o"]).arg(record.path());
        strace.args([
            "-e",
            "trace=%file,%network,write,pwrite64,writev,ftruncate,fallocate,fchmod,fchown,fsetxattr,kill,tgkill,tkill,ptrace,process_vm_writev",
            "--",
            BINARY,
        ]);
        let output = scene.under(strace, words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        let lines = fs::read_to_string(record.path()).unwrap();
        let calls =
            || lines.lines().filter_map(|line| line.split_once(' ').map(|(_, call)| call.trim_start()));
        assert!(
            calls().any(|call| call.starts_with("openat") && call.contains("shop")),
            "the record shows the files"
        );
        for call in calls() {
            assert!(!changes(call), "{words:?}: {call}");
        }
        assert_eq!(calls().filter(|call| call.starts_with("execve(")).count(), 1, "{words:?}: only itself");
    }
}

/// Whether a call changes a file, ends or touches a process, or speaks with another machine.
fn changes(call: &str) -> bool {
    if call.ends_with("(No such file or directory)") && !call.contains("O_CREAT") {
        return false;
    }
    let opens = call.starts_with("open")
        && ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|way| call.contains(way));
    let device = call.contains("/dev/null") || call.contains("/dev/tty");
    let writes =
        ["write(", "pwrite64(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.starts_with(name));
    // Its own outputs, what wakes its own threads, and the local socket of a manager that is asked.
    let own = ["(1<", "(2<", "eventfd]", "(3<pipe:", "<UNIX-"].iter().any(|own| call.contains(own));
    let speaks = (call.starts_with("connect(") || call.starts_with("bind(")) && !call.contains("AF_UNIX");
    let ends = ["kill(", "tgkill(", "tkill("].iter().any(|name| call.starts_with(name));
    CHANGES.iter().any(|name| call.starts_with(name))
        || (opens && !device)
        || (writes && !own)
        || speaks
        || ends
}

#[test]
fn configured_secrets_have_their_names_and_versions() {
    let scene = Scene::new();
    let config = "version = 1\n[secrets.acme]\nissuer = \"file:./acme.toml\"\n";
    scene.file("keyroll.toml", config, 0o600);
    let mut add = scene.command(&["--state", "s", "secret", "add", "acme", "--anyway"]);
    let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(scene.new.as_bytes()).unwrap();
    let added = child.wait_with_output().unwrap();
    assert!(added.status.success(), "{}", shown(&added));
    let before = tree(&scene.dir.path().join("s"));
    let events = scene.events(&["--state", "s", "trace", "acme", "--in", "shop", "--memory", "0"]);
    let found = of(&events, "found")[0];
    assert!(found["managed"] == true && found["secret"] == "acme", "{found}");
    assert_eq!(
        (&found["values"][0]["version"], &found["values"][0]["state"]),
        (&1.into(), &"current".into())
    );
    assert_eq!(found["values"].as_array().unwrap().len(), 2, "with the older one of its leftover: {found}");
    let show = shown(&scene.look(&["--state", "s", "secret", "show", "acme"]));
    let label = found["values"][0]["label"].as_str().unwrap();
    let digits = label.rsplit('·').next().unwrap();
    assert!(show.contains(digits), "{label} is not the fingerprint of {show}");
    assert_eq!(tree(&scene.dir.path().join("s")), before, "the state was changed");
    // A sealing key that needs an operator is not prompted for.
    fs::remove_file(scene.dir.path().join("s.keys/sealing.key")).unwrap();
    let events = scene.events(&["--state", "s", "scan", "shop", "--memory", "0"]);
    assert!(of(&events, "found").iter().all(|one| one["managed"] == false));
}

/// The files below a folder with their contents.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(tree(&entry.path())),
            false => all.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    all.sort();
    all
}
