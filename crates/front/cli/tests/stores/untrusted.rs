//! A configuration, a program for a store, or a login that others can change or read: nothing of it is used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyroll_testkit::write_program;

use crate::kept::{BINARY, err, kept, out, run, value};

/// The commands that ask a store. Each by itself is enough to run its program.
const ASK: [&[&str]; 3] =
    [&["doctor"], &["secret", "drift", "--memory", "0"], &["secret", "import", "acme", "--anyway"]];

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

/// A folder whose secret stands behind a program that leaves a mark.
fn with_program() -> tempfile::TempDir {
    let folder = kept(&value());
    let dir = folder.path();
    fs::create_dir(dir.join("stores")).unwrap();
    write_program(&dir.join("stores/program"), "#!/bin/sh\ntouch ran\nexit 1\n");
    let config = dir.join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    let issuer = "issuer = \"file:./acme.toml\"\n";
    fs::write(&config, text.replace(issuer, &format!("{issuer}store = \"exec:./stores/program#item\"\n")))
        .unwrap();
    for (path, bits) in [("keyroll.toml", 0o644), ("stores", 0o755), ("stores/program", 0o755)] {
        mode(&dir.join(path), bits);
    }
    folder
}

/// Whether the command ran the program.
fn runs(folder: &Path, words: &[&str]) -> (bool, String) {
    let output = run(folder, words, b"");
    let text = out(&output) + &err(&output);
    (fs::remove_file(folder.join("ran")).is_ok(), text)
}

#[test]
fn a_program_is_run_only_while_nobody_else_can_change_what_says_so() {
    let folder = with_program();
    for words in ASK {
        let (ran, text) = runs(folder.path(), words);
        assert!(ran, "{words:?} asks no store: {text}");
    }
    let module = folder.path().join("stores/module.py");
    fs::write(&module, "").unwrap();
    for (path, open, closed) in [
        ("keyroll.toml", 0o666, 0o644),
        ("stores/program", 0o757, 0o755),
        ("stores", 0o757, 0o755),
        ("stores/module.py", 0o646, 0o644),
    ] {
        mode(&folder.path().join(path), open);
        for words in ASK {
            let (ran, text) = runs(folder.path(), words);
            assert!(!ran, "{words:?} ran the program although others may change {path}");
            assert!(text.contains("K0860"), "{words:?}, {path}: {text}");
        }
        mode(&folder.path().join(path), closed);
    }
}

/// As the command line of Vault: without another login, the token of the last one is in the home folder.
#[test]
fn the_token_of_the_last_login_is_found_and_refused_where_others_may_read_it() {
    let folder = kept(&value());
    let dir = folder.path();
    let config = dir.join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    let issuer = "issuer = \"file:./acme.toml\"\n";
    fs::write(&config, text.replace(issuer, &format!("{issuer}store = \"vault:kv/acme#key\"\n"))).unwrap();
    let token = dir.join(".vault-token");
    let secret = value();
    fs::write(&token, &secret).unwrap();
    let asked = |bits: u32| {
        mode(&token, bits);
        let mut command = std::process::Command::new(BINARY);
        command.args(["--state", "s", "doctor"]).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin");
        let output = command.env("HOME", dir).env("VAULT_ADDR", "http://127.0.0.1:9").output().unwrap();
        out(&output) + &err(&output)
    };
    let open = asked(0o644);
    assert!(open.contains(&format!("chmod 600 {}", token.display())), "{open}");
    // Nobody listens there: it was tried.
    let closed = asked(0o600);
    assert!(closed.contains("K0640") && !closed.contains("chmod 600"), "{closed}");
    assert!(!open.contains(&secret) && !closed.contains(&secret), "the token is shown");
}
