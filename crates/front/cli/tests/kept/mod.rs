//! A folder with a store that keeps a value, and the program run in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use keyroll_testkit::{alphanumeric, free_port};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_keyroll");

const SPEC: &str = include_str!("../../../demo/scene/acme.toml");

/// A value that exists nowhere else, in the form that the issuer gives.
pub(crate) fn value() -> String {
    let digits = alphanumeric(40).bytes().map(|byte| format!("{:x}", byte % 16)).collect::<String>();
    format!("acme_sk_{digits}")
}

/// A folder with a store that keeps this value as `acme`; its issuer is nowhere.
pub(crate) fn kept(value: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "version = 1\n[secrets.acme]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
                  [[secrets.acme.consumers]]\nname = \"job\"\nruns = { at_rest = true }\nreads = { file = \"./job.key\" }\n";
    fs::write(folder.path().join("keyroll.toml"), config).unwrap();
    let closed = free_port().unwrap();
    fs::write(folder.path().join("acme.toml"), SPEC.replace("@ISSUER@", &closed.to_string())).unwrap();
    let admin = folder.path().join("admin.key");
    fs::write(&admin, self::value()).unwrap();
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
    let added = run(folder.path(), &["secret", "add", "acme", "--id", "key-1", "--anyway"], value.as_bytes());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    folder
}

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command
        .args(["--state", "s"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn run(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = start(folder, arguments);
    let mut input = child.stdin.take().unwrap();
    let owned = stdin.to_vec();
    // A pipe holds less than some texts.
    let writes = std::thread::spawn(move || drop(input.write_all(&owned)));
    let output = child.wait_with_output().unwrap();
    writes.join().unwrap();
    output
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
