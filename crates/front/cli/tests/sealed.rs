//! A secret is added, listed, verified and waived; its value is stored nowhere but sealed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

const BINARY: &str = env!("CARGO_BIN_EXE_keyroll");
const SPEC: &str = include_str!("../../demo/scene/acme.toml");

/// A value that exists nowhere else, in the form that the issuer gives.
fn value() -> String {
    let mut bytes = [0; 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().fold("acme_sk_".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn run(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(["--state", "s"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An issuer on loopback that knows these values; `anything` makes it accept every value.
fn issuer(known: Vec<String>, anything: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let accepted =
                anything || known.iter().any(|value| head.iter().any(|line| line.ends_with(value.as_str())));
            let (status, body) = match accepted {
                true => ("200 OK", r#"{"id":"key-1","account":"a"}"#),
                false => ("401 Unauthorized", r#"{"error":{"code":"invalid_key"}}"#),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    port
}

fn scene(port: u16) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "version = 1\n[secrets.acme]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
                  [[secrets.acme.consumers]]\nname = \"job\"\nruns = { at_rest = true }\nreads = { file = \"./job.key\" }\n";
    fs::write(folder.path().join("keyroll.toml"), config).unwrap();
    fs::write(folder.path().join("acme.toml"), SPEC.replace("@ISSUER@", &port.to_string())).unwrap();
    let admin = folder.path().join("admin.key");
    fs::write(&admin, value()).unwrap();
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

#[test]
fn a_secret_is_kept_and_its_value_stands_nowhere() {
    let secret = value();
    let folder = scene(issuer(vec![secret.clone()], false));
    let added = run(folder.path(), &["secret", "add", "acme", "--id", "key-1"], &format!("{secret}\n"));
    assert_eq!(added.status.code(), Some(0), "{}", text(&added));
    let more = "[secrets.other]\nissuer = \"openrouter\"\n";
    let config = fs::read_to_string(folder.path().join("keyroll.toml")).unwrap();
    fs::write(folder.path().join("keyroll.toml"), config + more).unwrap();
    let shown = run(folder.path(), &["secret", "show", "acme"], "");
    assert!(text(&shown).contains("v1") && text(&shown).contains("key-1"), "{}", text(&shown));
    let listed = run(folder.path(), &["--json", "secret", "list"], "");
    assert!(
        text(&listed).contains(r#""versions":[{"version":1,"label":"current","id":"key-1""#),
        "{}",
        text(&listed)
    );
    assert!(
        text(&listed).contains(r#""name":"other","issuer":"openrouter","versions":[]"#),
        "{}",
        text(&listed)
    );
    let again = run(folder.path(), &["secret", "add", "acme"], &value());
    assert_ne!(again.status.code(), Some(0), "a second first version was taken: {}", text(&again));
    for output in [&added, &shown, &listed, &again] {
        assert!(!text(output).contains(&secret));
    }
    for path in files(folder.path()) {
        let content = fs::read(&path).unwrap();
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the value stands in {}", path.display());
        if path.starts_with(folder.path().join("s")) || path.starts_with(folder.path().join("s.keys")) {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:04o}", path.display());
        }
    }
    let key = fs::metadata(folder.path().join("s.keys/sealing.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o7777, 0o600);
    fs::remove_file(folder.path().join("s.keys/sealing.key")).unwrap();
    let without = run(folder.path(), &["secret", "show", "acme"], "");
    assert!(text(&without).contains("K0826"), "{}", text(&without));
}

#[test]
fn verify_tells_alive_from_dead_and_from_a_call_that_cannot_fail() {
    let secret = value();
    for (known, anything, code, words) in [
        (vec![secret.clone()], false, 0, "alive"),
        (Vec::new(), false, 3, "dead"),
        (vec![secret.clone()], true, 3, "cannot prove that a credential is dead"),
    ] {
        let folder = scene(issuer(known, anything));
        assert_eq!(
            run(folder.path(), &["secret", "add", "acme", "--id", "key-1", "--anyway"], &secret)
                .status
                .code(),
            Some(0)
        );
        let output = run(folder.path(), &["verify", "acme"], "");
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(shown.contains(words) && !shown.contains(&secret), "{shown}");
    }
    let folder = scene(issuer(Vec::new(), false));
    let before = run(folder.path(), &["verify", "acme"], "");
    assert!(text(&before).contains("K0816"), "{}", text(&before));
}

#[test]
fn a_place_is_waived_before_a_rotation_and_a_process_is_not() {
    let folder = scene(issuer(Vec::new(), false));
    fs::write(folder.path().join("old.env"), "x").unwrap();
    let place = run(folder.path(), &["consumer", "waive", "old.env", "--reason", "a decoy"], "");
    assert_eq!(place.status.code(), Some(0), "{}", text(&place));
    let waivers = fs::read_to_string(folder.path().join("s/waivers.json")).unwrap();
    assert!(waivers.contains("a decoy") && waivers.contains("old.env"), "{waivers}");
    let pid = std::process::id().to_string();
    let process = run(folder.path(), &["consumer", "waive", &pid, "--reason", "a test"], "");
    assert!(process.status.code() == Some(1) && text(&process).contains("K0811"), "{}", text(&process));
    let nothing = run(folder.path(), &["consumer", "waive", "nothing", "--reason", "a test"], "");
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));
}

#[test]
fn what_nobody_owes_is_not_revoked_and_a_journal_is_not_accepted_unasked() {
    let folder = scene(issuer(Vec::new(), false));
    let revoke = run(folder.path(), &["revoke", "acme", "--version", "previous", "--confirm=acme"], "");
    assert!(revoke.status.code() == Some(1) && text(&revoke).contains("K0817"), "{}", text(&revoke));
    let accept = run(folder.path(), &["--yes", "doctor", "--accept-journal"], "accept\n");
    assert!(accept.status.code() == Some(6) && text(&accept).contains("K0604"), "{}", text(&accept));
    let status = run(folder.path(), &["status", "nothing"], "");
    assert!(status.status.code() == Some(1) && text(&status).contains("K0805"), "{}", text(&status));
}

/// The job's file, a service's env file, and a URL in another one.
const THREE_COPIES: &str = "[[secrets.acme.consumers]]\nname = \"api\"\nruns = { at_rest = true }\n\
    reads = [{ env_file = \"./api.env\", variable = \"ACME_KEY\" },\n\
    { file = \"./api.conf\", template = \"http://svc:{value}@127.0.0.1/\" }]\n";

fn three_copies(folder: &Path, values: [&str; 3]) {
    let [job, env, url] = values;
    let path = folder.join("keyroll.toml");
    let config = fs::read_to_string(&path).unwrap();
    if !config.contains("api.env") {
        fs::write(path, config + THREE_COPIES).unwrap();
    }
    fs::write(folder.join("job.key"), format!("{job}\n")).unwrap();
    fs::write(folder.join("api.env"), format!("PORT=80\nACME_KEY=\"{env}\"\n")).unwrap();
    fs::write(folder.join("api.conf"), format!("# api\nurl = http://svc:{url}@127.0.0.1/x\n")).unwrap();
}

/// The table would stay without a value, and every later command would ask for one.
#[test]
fn a_secret_whose_value_is_refused_by_the_store_is_not_written_into_the_configuration() {
    let secret = value();
    let folder = scene(issuer(Vec::new(), true));
    let added = run(folder.path(), &["secret", "add", "acme", "--id", "key-1"], &secret);
    assert_eq!(added.status.code(), Some(0), "{}", text(&added));
    let config = || fs::read_to_string(folder.path().join("keyroll.toml")).unwrap();
    let before = config();
    let twin = ["secret", "add", "twin", "--issuer", "file:./acme.toml", "--admin", "file:./admin.key"];
    let add = |more: &[&str], value: &str| run(folder.path(), &[&twin[..], more].concat(), value);
    for more in [&["--anyway"][..], &["--anyway", "--id", "key-1"]] {
        let refused = add(more, &secret);
        let said = text(&refused);
        assert!(refused.status.code() == Some(1) && said.contains("K0613"), "{said}");
        assert!(!said.contains("wrote [secrets.twin]") && !said.contains(&secret), "{said}");
        assert_eq!(config(), before);
    }
    // There is nothing to replace.
    let refused = add(&["--anyway", "--replace"], &value());
    assert_ne!(refused.status.code(), Some(0), "{}", text(&refused));
    assert_eq!(config(), before);
    let taken = add(&["--anyway"], &value());
    assert_eq!(taken.status.code(), Some(0), "{}", text(&taken));
    assert!(config().contains("[secrets.twin]"), "{}", config());
}

#[test]
fn a_value_that_all_copies_hold_is_taken_in_with_the_id_that_the_issuer_says() {
    let secret = value();
    let folder = scene(issuer(vec![secret.clone()], false));
    three_copies(folder.path(), [&secret; 3]);
    let before = fs::read(folder.path().join("api.env")).unwrap();
    let taken = run(folder.path(), &["secret", "import", "acme"], "");
    assert_eq!(taken.status.code(), Some(0), "{}", text(&taken));
    assert!(text(&taken).contains("3 configured copies hold it"), "{}", text(&taken));
    let shown = run(folder.path(), &["secret", "show", "acme"], "");
    assert!(text(&shown).contains("v1") && text(&shown).contains("key-1"), "{}", text(&shown));
    let verified = run(folder.path(), &["verify", "acme"], "");
    assert!(verified.status.code() == Some(0) && text(&verified).contains("alive"), "{}", text(&verified));
    let again = run(folder.path(), &["secret", "import", "acme"], "");
    assert!(again.status.code() == Some(1) && text(&again).contains("K0613"), "{}", text(&again));
    for output in [&taken, &shown, &again] {
        assert!(!text(output).contains(&secret), "a value was printed");
    }
    assert_eq!(fs::read(folder.path().join("api.env")).unwrap(), before);
}

#[test]
fn copies_that_differ_are_named_by_fingerprint_and_none_is_taken() {
    let [one, other] = [value(), value()];
    let folder = scene(issuer(vec![one.clone(), other.clone()], false));
    three_copies(folder.path(), [&one, &one, &other]);
    let refused = run(folder.path(), &["secret", "import", "acme"], "");
    let said = text(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("K0302"), "{said}");
    let groups: Vec<&str> = said.lines().filter(|line| line.contains("fingerprint")).collect();
    assert_eq!(groups.len(), 2, "{said}");
    assert!(groups[0].contains("job.key") && groups[0].contains("api.env (ACME_KEY)"), "{said}");
    assert!(groups[1].contains("api.conf") && !groups[1].contains("job.key"), "{said}");
    assert!(!said.contains(&one) && !said.contains(&other));
    let shown = run(folder.path(), &["secret", "show", "acme"], "");
    assert!(text(&shown).contains("no value"), "{}", text(&shown));
    let from = ["secret", "import", "acme", "--from", "api.conf"];
    let refused = run(folder.path(), &from, "");
    let said = text(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("K0806") && said.contains("job.key"), "{said}");
    let taken = run(folder.path(), &[&from[..], &["--anyway"]].concat(), "");
    assert_eq!(taken.status.code(), Some(0), "{}", text(&taken));
    three_copies(folder.path(), [&other; 3]);
    let verified = run(folder.path(), &["verify", "acme"], "");
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
}

#[test]
fn all_secrets_are_taken_in_but_those_that_something_speaks_against() {
    let [secret, dead] = [value(), value()];
    let folder = scene(issuer(vec![secret.clone()], false));
    three_copies(folder.path(), [&secret; 3]);
    let path = folder.path().join("keyroll.toml");
    let config = fs::read_to_string(&path).unwrap();
    let own = |name: &str| {
        format!(
            "[secrets.{name}]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n[[secrets.{name}.consumers]]\n\
             name = \"job\"\nruns = {{ at_rest = true }}\nreads = {{ file = \"./{name}.key\" }}\n"
        )
    };
    fs::write(&path, format!("{config}{}{}", own("dead"), own("gone"))).unwrap();
    fs::write(folder.path().join("dead.key"), &dead).unwrap();
    let all = run(folder.path(), &["secret", "import", "--all"], "");
    let said = text(&all);
    assert_eq!(all.status.code(), Some(3), "{said}");
    assert!(said.contains("added") && said.contains("K0806") && said.contains("K0301"), "{said}");
    assert!(!said.contains(&secret) && !said.contains(&dead));
    let listed = text(&run(folder.path(), &["--json", "secret", "list"], ""));
    assert_eq!(listed.matches(r#""versions":[]"#).count(), 2, "{listed}");
    let again = text(&run(folder.path(), &["secret", "import", "--all"], ""));
    assert!(again.contains("already has a value"), "{again}");
}
