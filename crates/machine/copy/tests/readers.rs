//! Round trips against real readers: shells, python-dotenv, systemd's parser, libpq, Python's URL parser; for the
//! formats with slots in `readers/places.rs`.
//!
//! A reader that is not installed is skipped with a message on stderr, and fails the test where `CI=true`. Values
//! travel in files and on stdin, never in argv.

pub(crate) mod node;
pub(crate) mod places;
pub(crate) mod supervisor;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use keyroll_copy::{Edit, Format, Slot, Template};
use keyroll_secret::{Fields, SecretBytes};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Env files as the text around the value.
const FRAMES: [(&str, &str); 6] =
    [("", ""), ("'", "'"), ("\"", "\""), ("", " # note"), ("'", "'  # it's a note"), ("\"", "\"\t#\"note\"")];

pub(crate) fn left_out(reader: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reader} is needed here: {why}");
    eprintln!("left out: {reader} ({why})");
}

/// The output of a reader, or `None` if it does not exist.
fn run(command: &mut Command, input: &[u8]) -> Option<Vec<u8>> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// Every byte alone and at each end of a word, every pair of marks, and some whole texts.
fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    for byte in 1..=255u8 {
        values.extend([vec![byte], vec![byte, b'x', b'y'], vec![b'x', byte, b'y'], vec![b'x', b'y', byte]]);
    }
    let marks = b"$\"'`\\#~!{}:= \n&;*?";
    for &a in marks {
        values.extend(marks.iter().map(|&b| vec![b'x', a, b, b'y']));
    }
    let texts = [
        "pässwörd",
        "a~b.c~d",
        "x:~y",
        "a\nb\n\nc",
        " lead",
        "trail ",
        "\ttab",
        "a #b",
        "$(id)",
        "{a,b}",
        "x${HOME}y",
    ];
    values.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    values.push((0x20..0x7f).filter(|byte| !b"'\\".contains(byte)).collect());
    values.push((0x20..0x7f).filter(|byte| !b"$`\\".contains(byte)).collect());
    values
}

struct Written {
    frame: (&'static str, &'static str),
    line: Vec<u8>,
    value: Vec<u8>,
}

/// Each value that the format accepts, written over another one by `replace`.
fn written() -> Vec<Written> {
    let mut all = Vec::new();
    for frame in FRAMES {
        let file = format!("KEY={}old-1{}\n", frame.0, frame.1);
        let old = SecretBytes::new(b"old-1".to_vec());
        for value in values() {
            let new = SecretBytes::new(value.clone());
            let edit = Edit { slot: Slot::Variable("KEY".to_owned()), expect_old: &old, new: &new };
            if let Ok(line) = Format::Dotenv.replace(file.as_bytes(), &[edit]) {
                all.push(Written { frame, line: line.expose().to_vec(), value });
            }
        }
    }
    // Far more than letters and digits must be accepted; otherwise the comparison below would show nothing.
    let taken = |left| all.iter().filter(|written: &&Written| written.frame.0 == left).count();
    assert!(taken("") > 500 && taken("'") > 1000 && taken("\"") > 1000, "{} {}", taken("'"), taken("\""));
    all
}

/// One file with every line under its own name, and the values by name.
fn one_file<'a>(
    lines: impl Iterator<Item = &'a Written>,
    prefix: &str,
) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let (mut file, mut expected) = (Vec::new(), BTreeMap::new());
    for (index, written) in lines.enumerate() {
        let name = format!("K{index}");
        file.extend_from_slice(format!("{prefix}{name}").as_bytes());
        file.extend_from_slice(written.line.strip_prefix(b"KEY").unwrap());
        expected.insert(name, written.value.clone());
    }
    (file, expected)
}

fn compare(reader: &str, expected: &BTreeMap<String, Vec<u8>>, seen: &BTreeMap<String, Vec<u8>>) {
    for (name, value) in expected {
        let (wanted, got) =
            (String::from_utf8_lossy(value), seen.get(name).map(|v| String::from_utf8_lossy(v)));
        assert_eq!(seen.get(name), Some(value), "{reader} reads {name} as {got:?}, not {wanted:?}");
    }
}

#[test]
fn shells_read_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let all = written();
    for shell in ["sh", "dash", "bash"] {
        for prefix in ["", "export "] {
            let (file, expected) = one_file(all.iter(), prefix);
            fs::write(folder.path().join("env"), &file).unwrap();
            let script = "set -a; . ./env; exec env -0";
            let Some(output) = run(Command::new(shell).args(["-c", script]).current_dir(folder.path()), b"")
            else {
                left_out(shell, "not installed");
                continue;
            };
            let mut seen = BTreeMap::new();
            for line in output.split(|byte| *byte == 0) {
                let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
                seen.insert(String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec());
            }
            compare(shell, &expected, &seen);
        }
    }
}

/// A Python with packages from its registry, stored in the build folder.
fn python_with(module: &str, package: &str) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{module}-venv"));
    let python = venv.join("bin/python");
    let works = || {
        let probe =
            Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    if !works() {
        Command::new("python3").args(["-m", "venv"]).arg(&venv).status().ok()?;
        Command::new(&python).args(["-m", "pip", "install", "--quiet", package]).status().ok()?;
    }
    works().then_some(python)
}

fn python_with_dotenv() -> Option<PathBuf> {
    // Several tests need it at the same time.
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(|| python_with("dotenv", "python-dotenv")).clone()
}

#[test]
fn python_dotenv_reads_what_was_written() {
    let Some(python) = python_with_dotenv() else {
        return left_out("python-dotenv", "no Python, or it cannot be installed");
    };
    let script = "
import dotenv, sys
for name, value in dotenv.dotenv_values('env').items():
    print(name, (value or '').encode('utf-8').hex())
";
    let folder = tempfile::tempdir().unwrap();
    let all = written();
    for (prefix, end) in [("", "\n"), ("export ", "\n"), ("", "\r\n")] {
        // In CRLF files only values of one line: Python itself makes every line end one byte.
        let lines = all.iter().filter(|written| end == "\n" || !written.value.contains(&b'\n'));
        let (mut file, expected) = one_file(lines, prefix);
        if end == "\r\n" {
            file = file.split_inclusive(|byte| *byte == b'\n').fold(Vec::new(), |mut out, line| {
                out.extend_from_slice(line.strip_suffix(b"\n").unwrap());
                out.extend_from_slice(b"\r\n");
                out
            });
        }
        fs::write(folder.path().join("env"), &file).unwrap();
        let output = run(Command::new(&python).args(["-c", script]).current_dir(folder.path()), b"").unwrap();
        let mut seen = BTreeMap::new();
        for line in String::from_utf8(output).unwrap().lines() {
            let (name, hex) = line.split_once(' ').unwrap();
            seen.insert(name.to_owned(), unhex(hex));
        }
        compare("python-dotenv", &expected, &seen);
    }
}

/// Files from pieces of quotes, comments and escapes: `read` returns the value that python-dotenv reads. After a
/// replacement python-dotenv reads the new value there, and everything else as before.
#[test]
fn python_dotenv_agrees_on_files_of_any_pieces() {
    const PIECES: [&str; 18] = [
        "KEY=",
        "old-1",
        "\nKEY=old-1",
        "\nKEY='old-1'",
        "\nKEY=\"old-1\"",
        "'",
        "\"",
        "\n",
        "\\",
        " # ",
        "#",
        " ",
        "\nexport ",
        "\nA=",
        "x",
        "$",
        "\r\n",
        "=",
    ];
    const FILES: usize = 2_000;
    let Some(python) = python_with_dotenv() else {
        return left_out("python-dotenv", "no Python, or it cannot be installed");
    };
    let folder = tempfile::tempdir().unwrap();
    let strategy = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 3..25);
    let mut runner = TestRunner::deterministic();
    let (old, new) = (SecretBytes::new(b"old-1".to_vec()), SecretBytes::new(b"new-22".to_vec()));
    let mut taken = 0;
    for _ in 0..FILES * 100 {
        let file = strategy.new_tree(&mut runner).unwrap().current().concat();
        let edit = Edit { slot: Slot::Variable("KEY".to_owned()), expect_old: &old, new: &new };
        let Ok(replaced) = Format::Dotenv.replace(file.as_bytes(), &[edit]) else { continue };
        fs::write(folder.path().join(format!("{taken}.before")), &file).unwrap();
        fs::write(folder.path().join(format!("{taken}.after")), replaced.expose()).unwrap();
        taken += 1;
        if taken == FILES {
            break;
        }
    }
    assert_eq!(taken, FILES);
    let script = "
import dotenv, glob, logging
logging.disable()
for path in glob.glob('*.before'):
    before = dict(dotenv.dotenv_values(path, interpolate=False))
    after = dict(dotenv.dotenv_values(path.replace('before', 'after'), interpolate=False))
    if before.pop('KEY', None) != 'old-1' or after.pop('KEY', None) != 'new-22' or before != after:
        print(repr(open(path, newline='').read()))
";
    let output = run(Command::new(&python).args(["-c", script]).current_dir(folder.path()), b"").unwrap();
    assert!(output.is_empty(), "it disagrees on\n{}", String::from_utf8_lossy(&output));
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// systemd reads `/etc/os-release` with the same parser as an `EnvironmentFile=` (`env-file.c`), and `systemd-tmpfiles`
/// prints four of its fields into files, without a running manager.
#[test]
fn systemd_reads_what_was_written() {
    const FIELDS: [(&str, char); 4] =
        [("BUILD_ID", 'B'), ("VARIANT_ID", 'W'), ("ID", 'o'), ("VERSION_ID", 'w')];
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    let rules: String =
        FIELDS.iter().map(|(name, letter)| format!("f+ /{name} 0600 - - - %{letter}\n")).collect();
    fs::write(folder.path().join("rules.conf"), rules).unwrap();
    // For systemd a comment after a value is a part of it: such lines have other readers.
    let all: Vec<_> = written().into_iter().filter(|written| !written.frame.1.contains('#')).collect();
    for lines in all.chunks(FIELDS.len()) {
        let mut file = Vec::new();
        for (written, (name, _)) in lines.iter().zip(FIELDS) {
            file.extend_from_slice(name.as_bytes());
            file.extend_from_slice(written.line.strip_prefix(b"KEY").unwrap());
        }
        fs::write(root.join("etc/os-release"), &file).unwrap();
        let mut root_flag = std::ffi::OsString::from("--root=");
        root_flag.push(&root);
        let mut command = Command::new("systemd-tmpfiles");
        let command = command.arg(root_flag).arg("--create").arg(folder.path().join("rules.conf"));
        if run(command, b"").is_none() {
            return left_out("systemd-tmpfiles", "not installed");
        }
        for (written, (name, _)) in lines.iter().zip(FIELDS) {
            let seen = fs::read(root.join(name)).unwrap_or_default();
            let (wanted, got) = (String::from_utf8_lossy(&written.value), String::from_utf8_lossy(&seen));
            assert_eq!(seen, written.value, "systemd reads {got:?}, not {wanted:?}");
            fs::remove_file(root.join(name)).unwrap();
        }
    }
}

/// `docker run --env-file`: a line is split at its first `=`, and the rest is the value, untrimmed (docker/cli
/// `pkg/kvfile/kvfile.go`). No daemon is needed: its rule is repeated here.
#[test]
fn docker_would_read_what_was_written_unquoted() {
    for written in written().iter().filter(|written| written.frame == ("", "")) {
        let line = written.line.strip_prefix(b"KEY=").unwrap().strip_suffix(b"\n").unwrap();
        assert_eq!(line, written.value);
    }
}

/// Users and passwords of every byte but NUL.
fn credentials() -> Vec<Pair> {
    let mut all: Vec<_> = (1..=255u8).map(|byte| (vec![b'u', byte], vec![byte, b'p', byte])).collect();
    all.push((b"svc".to_vec(), (1..=255u8).collect()));
    all
}

/// A user and a password.
type Pair = (Vec<u8>, Vec<u8>);

fn rendered(template: &str) -> (Vec<u8>, Vec<Pair>) {
    let template = Template::parse(template).unwrap();
    let mut lines = Vec::new();
    for (user, password) in credentials() {
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::new(user), false);
        fields.insert("password", SecretBytes::new(password), true);
        let url = template.render(&fields).unwrap();
        assert!(template.says(&url, &fields));
        lines.extend_from_slice(url.expose());
        lines.push(b'\n');
    }
    (lines, credentials())
}

fn python(script: &str, input: &[u8]) -> Option<Vec<Pair>> {
    let output = run(Command::new("python3").args(["-c", script]), input)?;
    let text = String::from_utf8(output).unwrap();
    if text.starts_with("absent") {
        return None;
    }
    let pair = |line: &str| line.split_once(' ').map(|(a, b)| (unhex(a), unhex(b)));
    Some(text.lines().map(|line| pair(line).unwrap()).collect())
}

#[test]
fn libpq_reads_a_rendered_url() {
    // PQconninfoParse only parses. The option is a struct of five strings that begins with keyword, envvar,
    // compiled, val (libpq-fe.h).
    let script = r#"
import ctypes, ctypes.util, sys
try: pq = ctypes.CDLL('libpq.so.5')
except OSError: print('absent'); sys.exit()
class Option(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ('keyword', 'envvar', 'compiled', 'val', 'label', 'dispchar')] + [('dispsize', ctypes.c_int)]
pq.PQconninfoParse.restype = ctypes.POINTER(Option)
for line in sys.stdin.buffer.read().splitlines():
    error = ctypes.c_char_p()
    options = pq.PQconninfoParse(line, ctypes.byref(error))
    assert options, error.value
    seen, i = {}, 0
    while options[i].keyword:
        seen[options[i].keyword] = options[i].val or b''
        i += 1
    assert seen[b'host'] == b'127.0.0.1' and seen[b'dbname'] == b'orders' and seen[b'port'] == b'5432', seen
    print(seen[b'user'].hex(), seen[b'password'].hex())
"#;
    for template in [
        "postgres://{user}:{password}@127.0.0.1:5432/orders?sslmode=disable",
        "postgres://127.0.0.1:5432/orders?user={user}&password={password}",
    ] {
        let (lines, expected) = rendered(template);
        match python(script, &lines) {
            Some(seen) => assert_eq!(seen, expected, "{template}"),
            None => return left_out("libpq", "no Python or no libpq.so.5"),
        }
    }
}

#[test]
fn urllib_reads_a_rendered_url() {
    let userinfo = "
import sys, urllib.parse as u
for line in sys.stdin.buffer.read().splitlines():
    url = u.urlsplit(line.decode())
    assert url.hostname == 'host' and url.port == 8080 and url.path == '/v1' and not url.query, line
    print(u.unquote_to_bytes(url.username).hex(), u.unquote_to_bytes(url.password).hex())
";
    let query = "
import sys, urllib.parse as u
for line in sys.stdin.buffer.read().splitlines():
    url = u.urlsplit(line.decode())
    pairs = dict(u.parse_qsl(url.query, encoding='latin-1', strict_parsing=True))
    path = url.path.split('/')
    assert len(path) == 3 and path[2] == 'end' and len(pairs) == 2 and not url.fragment, line
    print(u.unquote_to_bytes(path[1]).hex(), pairs['key'].encode('latin-1').hex())
";
    for (script, template) in [
        (userinfo, "http://{user}:{password}@host:8080/v1"),
        (query, "http://host/{user}/end?key={password}&x=1"),
    ] {
        let (lines, expected) = rendered(template);
        match python(script, &lines) {
            Some(seen) => assert_eq!(seen, expected, "{template}"),
            None => return left_out("urllib", "no Python"),
        }
    }
}
