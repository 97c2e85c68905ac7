//! The process around its commands: folders, pipes, terminals, memory, and values that it never prints.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_keyroll");
/// How long a test waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

const CONFIG: &str = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n";

fn keyroll(folder: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keyroll.toml"), CONFIG).unwrap();
    folder
}

/// A value that exists nowhere else.
fn value() -> String {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().fold("canary-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn given(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = keyroll(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn an_empty_beginning_is_accepted_and_written_over_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = || keyroll(folder.path()).args(["init", "--empty"]).output().unwrap();
    assert_eq!(run().status.code(), Some(0));
    let listed = keyroll(folder.path()).args(["--state", "s", "secret", "list"]).output().unwrap();
    assert_eq!(listed.status.code(), Some(0), "{}", text(&listed));
    assert!(folder.path().join("keyroll.schema.json").is_file());
    let again = run();
    assert!(again.status.code() == Some(1) && text(&again).contains("K0014"), "{}", text(&again));
}

/// Red: the commands that are named do nothing without the options of this call, or something with another installation.
#[test]
fn commands_that_need_the_options_of_a_call_are_followed_by_an_alias_with_them() {
    let folder = folder();
    let path = folder.path().display().to_string();
    let plan = |words: &[&str]| keyroll(folder.path()).args(words).args(["plan", "acme"]).output().unwrap();
    let given = ["--config", "keyroll.toml", "--state", "its state"];
    let said = String::from_utf8(plan(&given).stderr).unwrap();
    assert!(said.contains("keyroll verify acme"), "{said}");
    let alias = said.lines().last().unwrap().strip_prefix("these commands need the options of this one: ");
    let quote = r"'\''";
    let all = format!("keyroll --config {path}/keyroll.toml --state {quote}{path}/its state{quote}");
    assert_eq!(alias, Some(format!("alias keyroll='{all}'").as_str()), "{said}");
    // As it was printed, from another folder.
    let script = format!("{}\nkeyroll secret list\n", alias.unwrap());
    let programs = Path::new(BINARY).parent().unwrap().display();
    let pasted = Command::new("sh")
        .args(["-c", &script])
        .current_dir("/")
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", format!("{programs}:/usr/bin:/bin"))
        .output()
        .unwrap();
    assert!(pasted.status.success() && text(&pasted).contains("acme"), "{}", text(&pasted));
    // Where it would say nothing, or is no text for a person.
    assert!(!text(&plan(&[])).contains("alias"), "no option was given");
    assert!(!text(&plan(&[&given[..], &["--json"]].concat())).contains("alias"));
    let none = keyroll(folder.path()).args(given).args(["secret", "list"]).output().unwrap();
    assert!(none.status.success() && !text(&none).contains("alias"), "no command was named: {}", text(&none));
}

#[test]
fn folders_that_others_may_use_are_refused() {
    let folder = folder();
    let state = folder.path().join("s");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o750)).unwrap();
    let doctor = || keyroll(folder.path()).args(["--state", "s", "doctor"]).output().unwrap();
    let output = doctor();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("other users can access it (mode 0750)"), "{}", text(&output));
    assert!(text(&output).contains(&format!("chmod 700 {}", state.canonicalize().unwrap().display())));
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(text(&doctor()).contains("accessible only to this user"));
}

#[test]
fn doctor_says_where_the_key_is_and_who_may_read_it() {
    let folder = folder();
    let keys = folder.path().join("s.keys");
    for made in [&folder.path().join("s"), &keys] {
        fs::create_dir(made).unwrap();
        fs::set_permissions(made, fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(keys.join("sealing.key"), [0; 32]).unwrap();
    fs::set_permissions(keys.join("sealing.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = keyroll(folder.path()).args(["--state", "s", "doctor"]).output().unwrap();
    let shown = text(&output);
    assert!(shown.contains("sealing.key: other users can access it (mode 0644)"), "{shown}");
    assert!(
        shown.contains("back up ") && shown.contains("not visible whether they are backed up separately"),
        "{shown}"
    );
}

/// A spec of one's own that is broken, and a shipped one whose fields are not those of the secret.
const UNFIT: &str = r#"version = 1
[secrets.own]
issuer = "file:./own.toml"
[[secrets.own.consumers]]
name  = "nightly"
runs  = { at_rest = true }
reads = { env_file = "./own.env", variable = "KYE" }
check = { exec = ["/bin/true", "{copy}"] }
[secrets.forge]
issuer = "gitlab"
admin  = "file:./admin.key"
[[secrets.forge.consumers]]
name  = "nightly"
runs  = { at_rest = true }
reads = { env_file = "./own.env", variable = "KEY" }
"#;

#[test]
fn what_plan_would_refuse_is_told_by_doctor_and_before_a_value_is_taken_in() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("keyroll.toml", UNFIT);
    write("own.toml", "spec = 1\nid = \"own\"\ntitel = \"Own\"\n");
    write("own.env", &format!("KEY={}\n", value()));
    write("admin.key", &value());
    let doctor = keyroll(folder.path()).args(["--state", "s", "doctor"]).output().unwrap();
    let shown = text(&doctor);
    assert_eq!(doctor.status.code(), Some(3), "{shown}");
    for said in [
        "own: issuer: ",
        "own.toml:3:1: unknown key `titel` (K0100)",
        "forge: fields: its issuer needs the field `user_id`, which it does not have (K0140)",
        "the variable KYE is missing or empty",
        "`user_id = { secret = false }`",
        "forge: consumers: the old key could never be revoked",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    for (words, code) in [
        (["--state", "s", "secret", "add", "own"], "K0100"),
        (["--state", "s", "secret", "add", "forge"], "K0140"),
        (["--state", "s", "secret", "import", "forge"], "K0140"),
    ] {
        let refused = given(folder.path(), &words, &value());
        assert!(refused.status.code() == Some(1) && text(&refused).contains(code), "{}", text(&refused));
    }
    assert!(!folder.path().join("s").exists(), "nothing was kept");
    let mended = format!("{UNFIT}[secrets.forge.fields]\nvalue = {{}}\nuser_id = {{ secret = false }}\n");
    write("keyroll.toml", &mended.replace("KYE", "KEY"));
    let shown = text(&keyroll(folder.path()).args(["--state", "s", "doctor"]).output().unwrap());
    assert!(!shown.contains("K0140") && !shown.contains("KYE"), "{shown}");
}

#[test]
fn state_goes_where_the_flags_the_environment_and_the_user_say() {
    let folder = folder();
    let shown = |command: &mut Command| text(&command.arg("doctor").output().unwrap());
    let flag =
        shown(keyroll(folder.path()).args(["--state", "a/s/", "--keys", "k"]).env("KEYROLL_STATE", "/never"));
    assert!(flag.contains("/a/s does not exist") && flag.contains("/k does not exist"), "{flag}");
    let variable = shown(keyroll(folder.path()).env("KEYROLL_STATE", "/x/y"));
    assert!(
        variable.contains("/x/y does not exist") && variable.contains("/x/y.keys does not exist"),
        "{variable}"
    );
    let root = shown(keyroll(folder.path()).arg("--state").arg("/"));
    assert!(root.contains("K0803"), "{root}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = folder();
    let mut child = keyroll(folder.path()).arg("schema").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(wait(&mut child).code(), Some(0));
}

/// A truncated unit or completion script would be used without a warning.
#[test]
fn what_cannot_be_written_is_a_failure() {
    let folder = folder();
    for words in [&["schema"] as &[&str], &["completion", "bash"], &["due", "--timer"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = keyroll(folder.path()).args(words).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", text(&output));
        assert!(text(&output).contains("error[K0886]"), "{words:?}: {}", text(&output));
    }
}

#[test]
fn an_edit_goes_through_a_link_and_keeps_the_mode() {
    let folder = folder();
    fs::create_dir(folder.path().join("real")).unwrap();
    let real = folder.path().join("real/k.toml");
    fs::write(&real, CONFIG).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/k.toml", folder.path().join("link.toml")).unwrap();
    fs::write(folder.path().join("worker.key"), "x").unwrap();
    let arguments =
        ["--config", "link.toml", "--state", "s", "consumer", "adopt", "worker.key", "--name", "w"];
    let output = keyroll(folder.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(fs::read_to_string(&real).unwrap().contains("name = \"w\""));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(fs::symlink_metadata(folder.path().join("link.toml")).unwrap().is_symlink());
}

#[test]
fn a_process_is_adopted_by_its_executable_and_its_script_alone() {
    let folder = folder();
    let secret = value();
    fs::write(folder.path().join("worker.sh"), "read -r _\n").unwrap();
    fs::write(folder.path().join("w.env"), "KEY=x\n").unwrap();
    fs::write(folder.path().join("restart.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.path().join("restart.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut worker = Command::new("sh")
        .args(["worker.sh", &secret])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = worker.id().to_string();
    let adopt = ["--state", "s", "consumer", "adopt", &pid, "--name", "w", "--restart", "./restart.sh 'a b'"];
    let unclear = keyroll(folder.path()).args(adopt).output().unwrap();
    assert!(unclear.status.code() == Some(2) && text(&unclear).contains("--env-file"), "{}", text(&unclear));
    let output = keyroll(folder.path())
        .args(adopt)
        .args(["--env-file", "w.env", "--variable", "KEY"])
        .output()
        .unwrap();
    drop(worker.stdin.take());
    wait(&mut worker);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let config = fs::read_to_string(folder.path().join("keyroll.toml")).unwrap();
    assert!(
        config.contains("restart = [\"./restart.sh\", \"a b\"]") && config.contains("arg = \"worker.sh\""),
        "{config}"
    );
    assert!(!config.contains(&secret), "a word of the command line was written down");
}

#[test]
fn values_are_taken_in_and_never_shown() {
    let folder = folder();
    let secret = value();
    for arguments in [
        &["--state", "s", "secret", "add", "acme"][..],
        &["--state", "s", "--json", "secret", "add", "acme"],
        &["--state", "s", "secret", "add", "acme", "--field", &format!("value={secret}")],
        &["--state", "s", "secret", "add", "acme", &secret],
        &["--state", "s", "secret", "add", &secret],
        &["--state", "s", "secret", "ad", &secret],
        &["--state", "s", "plan", &secret],
        &["--state", "s", "pause", &format!("{secret}/")],
        &["--state", "s", "apply", "x", "--confirm", &secret],
        &["--state", "s", "apply", "x", "--until", &secret],
        &["--state", "s", "secret", "add", "mail", "--issuer", &format!("{secret} "), "--admin", &secret],
        &[&secret],
    ] {
        let output = given(folder.path(), arguments, &format!("{secret}\n"));
        assert!(!text(&output).contains(&secret), "{}", text(&output));
    }
}

#[test]
fn a_newcomer_is_led_to_the_end_of_taking_in_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let add = |arguments: &[&str]| {
        let all = [&["--state", "s", "secret", "add", "calls"], arguments].concat();
        let output =
            given(folder.path(), &all, &format!("aA1{}", value()).chars().take(24).collect::<String>());
        (output.status.code(), text(&output))
    };
    assert!(add(&[]).1.contains("make one with `keyroll init`"));
    assert!(keyroll(folder.path()).args(["init", "--empty"]).status().unwrap().success());
    // Each help text names the next missing part, until nothing is missing.
    let (_, said) = add(&[]);
    assert!(
        said.contains("--issuer ISSUER --admin file:./FILE") && said.contains("keyroll issuers list"),
        "{said}"
    );
    let (_, said) = add(&["--issuer", "vonage"]);
    assert!(said.contains("--admin file:./admin.key"), "{said}");
    let admin = folder.path().join("admin.key");
    fs::write(&admin, value()).unwrap();
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
    let words = ["--issuer", "vonage", "--admin", "file:./admin.key", "--anyway"];
    let (_, said) = add(&words);
    assert!(
        said.contains("the field `api_key` is missing") && said.contains("--field api_key=TEXT"),
        "{said}"
    );
    let config = || fs::read_to_string(folder.path().join("keyroll.toml")).unwrap();
    assert!(!config().contains("secrets.calls]"), "nothing is written before all is there");
    // The shipped issuer is not contacted: this issuer's host does not exist.
    let nowhere = include_str!("../../../../issuers/vonage.toml")
        .replace("https://api.nexmo.com/", "http://127.0.0.1:9/");
    fs::write(folder.path().join("v.toml"), nowhere.replace("\"api.nexmo.com\"", "\"127.0.0.1:9\"")).unwrap();
    let words = [
        "--issuer",
        "file:./v.toml",
        "--admin",
        "file:./admin.key",
        "--id",
        "1",
        "--field",
        "api_key=k",
        "--anyway",
    ];
    let (code, said) = add(&words);
    assert_eq!(code, Some(0), "{said}");
    assert!(config().contains("[secrets.calls.fields]\napi_key = { secret = false }"), "{}", config());
}

/// Starts keyroll on a terminal of its own, and types once it asks.
fn typed(folder: &Path, keys: &[u8]) -> (Option<i32>, String) {
    let line = format!("{BINARY} --state s secret add acme");
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (Debian: bsdutils) is there");
    let (sender, chunks) = mpsc::channel();
    let mut out = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = out.read(&mut buffer) {
            let _ = sender.send(buffer[..length].to_vec());
        }
    });
    let mut seen = Vec::new();
    let asked = |seen: &[u8]| String::from_utf8_lossy(seen).contains("(not shown): ");
    while !asked(&seen) {
        seen.extend(chunks.recv_timeout(DEADLINE).expect("it asks"));
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(keys).unwrap();
    let code = wait(&mut child).code();
    drop(input);
    reader.join().unwrap();
    seen.extend(chunks.try_iter().flatten());
    (code, String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_typed_value_is_not_shown() {
    let folder = folder();
    let secret = value();
    let (_, shown) = typed(folder.path(), format!("{secret}x\u{7f}\r").as_bytes());
    assert!(!shown.contains("canary") && !shown.contains("it is empty"), "{shown}");
    let (code, shown) = typed(folder.path(), b"abc\x03");
    assert!(
        code == Some(130) && shown.contains("it was cancelled") && !shown.contains("abc"),
        "{code:?} {shown}"
    );
    let (code, shown) = typed(folder.path(), b"\r");
    assert!(code == Some(1) && shown.contains("it is empty"), "{code:?} {shown}");
}

/// Ends a process with a signal that dumps core, where the limit allows dumps. Whether one was made.
fn dumped(folder: &Path, program: &str) -> bool {
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -c unlimited 2>/dev/null; exec {program}")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // One byte more than the pipe holds: it can be written only when the process reads, so the process has started by
    // then. And one byte less than keyroll's limit.
    input.write_all(&vec![b'x'; 65_537]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Not QUIT, which a test that was started in the background of a shell hands on as ignored.
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    wait(&mut child).core_dumped()
}

#[test]
fn no_core_is_dumped_while_a_value_is_in_memory() {
    let folder = folder();
    if !dumped(folder.path(), "sort") {
        return eprintln!("left out: this system dumps no core of any process");
    }
    assert!(!dumped(folder.path(), &format!("{BINARY} --state s secret add acme")));
    let doctor = keyroll(folder.path()).args(["--state", "s", "doctor"]).output().unwrap();
    assert!(text(&doctor).contains("writes no core dump"), "{}", text(&doctor));
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
