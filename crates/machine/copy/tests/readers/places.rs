//! The formats with slots: `replace` writes each value that a format accepts into a file with many of them, and a real
//! reader of such files prints what it sees in each slot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use keyroll_copy::{Edit, Format, Slot};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{compare, left_out, python_with, run, unhex, values};

/// The first value of each slot.
const OLD: &str = "old-1";

/// Texts that have another type if they are not quoted.
const WORDS: [&str; 24] = [
    "true",
    "No",
    "y",
    "null",
    "~",
    "123",
    "1e5",
    "0x1f",
    "0o7",
    "1_000",
    "1:30",
    "2001-01-01",
    ".inf",
    "nan",
    "=",
    "<<",
    "- x",
    "a: b",
    "a, b",
    "[x]",
    "{x}",
    "|",
    "%x",
    "key: v #c",
];

/// Every value that a format accepts, each in a slot of its own; the file, and the values by the names of their slots.
pub(super) struct Written {
    file: Vec<u8>,
    pub(super) expected: BTreeMap<String, Vec<u8>>,
}

/// `entry` is the text of the entry `K<number>` with [`OLD`] in it, `place` its slot.
pub(super) fn written(
    format: Format,
    least: usize,
    (head, tail): (&str, &str),
    entry: impl Fn(usize) -> String,
    place: impl Fn(usize) -> Slot,
) -> Written {
    let old = SecretBytes::new(OLD.as_bytes().to_vec());
    let (mut file, mut expected) = (head.as_bytes().to_vec(), BTreeMap::new());
    for value in values().into_iter().chain(WORDS.map(|word| word.as_bytes().to_vec())) {
        let number = expected.len();
        let new = SecretBytes::new(value.clone());
        let edit = Edit { slot: place(number), expect_old: &old, new: &new };
        // Alone between head and tail, so that a file with many entries is not parsed for each.
        let alone = [head, &entry(number), tail].concat();
        let Ok(replaced) = format.replace(alone.as_bytes(), &[edit]) else { continue };
        let inner = &replaced.expose()[head.len()..replaced.len() - tail.len()];
        file.extend_from_slice(inner);
        expected.insert(format!("K{number}"), value);
    }
    file.extend_from_slice(tail.as_bytes());
    // Far more than letters and digits must be accepted; otherwise the comparison would show nothing.
    assert!(expected.len() > least, "{format:?} takes {}", expected.len());
    Written { file, expected }
}

pub(super) fn at(format: Format, place: String) -> Slot {
    format.slot(&place, None).unwrap()
}

/// Lines `NAME HEX` as a reader prints them.
pub(super) fn seen(output: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, hex)| (name.to_owned(), unhex(hex)))
        .collect()
}

/// A reader's program over the file `copy` of a folder.
pub(super) fn ask(reader: &str, command: &mut Command, written: &Written) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("copy"), &written.file).unwrap();
    match run(command.current_dir(folder.path()).env("HOME", folder.path()), b"") {
        Some(output) => compare(reader, &written.expected, &seen(&output)),
        None => left_out(reader, "not installed"),
    }
}

fn json() -> Written {
    let entry = |number| format!("\"K{number}\": \"{OLD}\",\n");
    written(Format::Json, 800, ("{\n", "\"end\": 0}\n"), entry, |n| at(Format::Json, format!("/K{n}")))
}

const PYTHON_PRINTS: &str = "
def show(all):
    for name, value in all.items():
        if isinstance(value, str): print(name, value.encode('utf-8').hex())
";

#[test]
fn json_readers_read_what_was_written() {
    let written = json();
    let script = format!("import json\n{PYTHON_PRINTS}\nshow(json.load(open('copy', encoding='utf-8')))");
    ask("Python's json", Command::new("python3").args(["-c", &script]), &written);
    let script =
        "for (const [name, value] of Object.entries(JSON.parse(require('fs').readFileSync('copy', 'utf8'))))
        if (typeof value === 'string') console.log(name, Buffer.from(value, 'utf8').toString('hex'))";
    ask("Node's JSON", Command::new("node").args(["-e", script]), &written);
}

/// A Python with PyYAML.
fn python_with_yaml() -> Option<PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(|| python_with("yaml", "pyyaml")).clone()
}

/// Plain, single-quoted and double-quoted texts, in blocks and in a line: the text before and after a value, and around
/// all.
const YAML: [(&str, &str, &str, &str); 4] = [
    ("'", "'\n", "", ""),
    ("\"", "\"  # a note\n", "", ""),
    ("", " # a note\n", "", ""),
    ("'", "' ,\n", "{", "end: 0}\n"),
];

fn yaml() -> impl Iterator<Item = Written> {
    YAML.iter().map(|(left, right, head, tail)| {
        let entry = |number| format!("K{number}: {left}{OLD}{right}");
        written(Format::Yaml, 800, (head, tail), entry, |n| at(Format::Yaml, format!("/K{n}")))
    })
}

#[test]
fn yaml_readers_read_what_was_written() {
    let Some(python) = python_with_yaml() else { return left_out("PyYAML", "it cannot be installed") };
    let script = format!("import yaml\n{PYTHON_PRINTS}\nshow(yaml.safe_load(open('copy', 'rb')))");
    for written in yaml() {
        ask("PyYAML", Command::new(&python).args(["-c", &script]), &written);
    }
    let Some(modules) = node_with("yaml") else { return left_out("yaml of npm", "it cannot be installed") };
    let script = "const all = require('yaml').parse(require('fs').readFileSync('copy', 'utf8'));
        for (const [name, value] of Object.entries(all))
            if (typeof value === 'string') console.log(name, Buffer.from(value, 'utf8').toString('hex'))";
    for written in yaml() {
        ask("yaml of npm", Command::new("node").args(["-e", script]).env("NODE_PATH", &modules), &written);
    }
}

/// The folder of a package of npm's registry, kept under the build folder.
pub(super) fn node_with(package: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("npm-{package}"));
    let modules = folder.join("node_modules");
    if !modules.join(package).exists() {
        fs::create_dir_all(&folder).ok()?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", package])
            .current_dir(&folder);
        npm.arg("--prefix").arg(&folder).status().ok()?;
    }
    modules.join(package).exists().then_some(modules)
}

/// As a table, and as items of a list. Compose prints the text after its expansion of `$`.
#[test]
fn docker_compose_reads_what_was_written() {
    let head = "version: '3.3'\nservices:\n  api:\n    image: none\n    environment:\n";
    for (left, right, table) in
        [("", "", true), ("'", "'", true), ("\"", "\"", true), ("", "", false), ("'", "'", false)]
    {
        let entry = |number| match table {
            true => format!("      K{number}: {left}{OLD}{right}\n"),
            false => format!("      - {left}K{number}={OLD}{right}\n"),
        };
        let place = |number| at(Format::Compose, format!("/services/api/environment/K{number}"));
        let written = written(Format::Compose, 800, (head, ""), entry, place);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("docker-compose.yml"), &written.file).unwrap();
        // As JSON: its YAML output has unquoted words that readers of YAML 1.1 take for another type.
        let mut config = Command::new("docker-compose");
        config.args(["config", "--format", "json"]).current_dir(folder.path());
        let Some(output) = run(&mut config, b"") else {
            return left_out("docker-compose", "not installed");
        };
        let script = format!(
            "import sys, json\n{PYTHON_PRINTS}\nall = json.load(sys.stdin.buffer)['services']['api']['environment']\n\
             show({{name: value.replace('$$', '$') for name, value in all.items()}})"
        );
        let output = run(Command::new("python3").args(["-c", &script]), &output).unwrap();
        compare("docker-compose", &written.expected, &seen(&output));
    }
}

#[test]
fn toml_readers_read_what_was_written() {
    let script = format!("import tomllib\n{PYTHON_PRINTS}\nshow(tomllib.load(open('copy', 'rb')))");
    for quote in ["'", "\"", "'''"] {
        let entry = |number| format!("K{number} = {quote}{OLD}{quote} # a note\n");
        let written = written(Format::Toml, 800, ("", ""), entry, |n| at(Format::Toml, format!("/K{n}")));
        ask("tomllib", Command::new("python3").args(["-c", &script]), &written);
    }
}

fn ini(quote: &str) -> Written {
    let entry = |number| format!("K{number} = {quote}{OLD}{quote}\n");
    written(Format::Ini, 100, ("[s]\n", ""), entry, |n| at(Format::Ini, format!("/s/K{n}")))
}

/// configparser with and without references; it keeps quotes, so that quoted values have other readers.
#[test]
fn ini_readers_read_what_was_written() {
    for class in ["ConfigParser", "RawConfigParser"] {
        let script = format!(
            "import configparser\n{PYTHON_PRINTS}\nall = configparser.{class}(inline_comment_prefixes=(';', '#'))\n\
             all.optionxform = str\nall.read('copy', encoding='utf-8')\nshow(dict(all['s']))"
        );
        ask("configparser", Command::new("python3").args(["-c", &script]), &ini(""));
    }
    for quote in ["", "'", "\""] {
        let written = ini(quote);
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        fs::write(&copy, &written.file).unwrap();
        let mut mysql = Command::new("my_print_defaults");
        let Some(output) = run(mysql.arg(format!("--defaults-file={}", copy.display())).arg("s"), b"") else {
            left_out("my_print_defaults", "not installed");
            break;
        };
        let lines = output.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_prefix(b"--")?;
            let end = line.iter().position(|byte| *byte == b'=')?;
            Some((String::from_utf8_lossy(&line[..end]).into_owned(), line[end + 1..].to_vec()))
        });
        compare("my_print_defaults", &written.expected, &lines.collect());
    }
}

/// The parser that npm uses for its settings, and its rule for `${NAME}`.
#[test]
fn npm_reads_what_was_written() {
    let Some(root) = run(Command::new("npm").args(["root", "--global"]), b"") else {
        return left_out("npm", "not installed");
    };
    // npm's own modules; Debian's npm has them together with all others.
    let modules = format!("{}/npm/node_modules:/usr/share/nodejs", String::from_utf8(root).unwrap().trim());
    let script = "const all = require('ini').parse(require('fs').readFileSync('copy', 'utf8'));
        for (const [name, value] of Object.entries(all)) {
            const text = String(value).replace(/(?<!\\\\)(\\\\*)\\$\\{([^${}]+)\\}/g, 'expanded');
            console.log(name.replace('//r.example/:', ''), Buffer.from(text, 'utf8').toString('hex'))
        }";
    for quote in ["", "'", "\""] {
        let entry = |number| format!("//r.example/:K{number} = {quote}{OLD}{quote}\n");
        let place = |number| at(Format::Npmrc, format!("//r.example/:K{number}"));
        let written = written(Format::Npmrc, 100, ("; a note\n", ""), entry, place);
        ask("npm's ini", Command::new("node").args(["-e", script]).env("NODE_PATH", &modules), &written);
    }
    // npm itself, for one.
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (SecretBytes::new(OLD.into()), SecretBytes::new(b"a=b/c+d:~!?".to_vec()));
    let edit = Edit { slot: at(Format::Npmrc, "init-author-name".to_owned()), expect_old: &old, new: &new };
    let file = Format::Npmrc.replace(b"; a note\ninit-author-name=old-1\n", &[edit]).unwrap();
    let copy = folder.path().join("npmrc");
    fs::write(&copy, file.expose()).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["config", "get", "init-author-name", "--userconfig"]).arg(&copy).current_dir(folder.path());
    let output = run(&mut npm, b"").unwrap();
    assert_eq!(output.trim_ascii(), new.expose(), "npm config get");
}

/// botocore, with which the AWS command and its Python library read their credentials.
#[test]
fn botocore_reads_what_was_written() {
    let Some(python) = python_with("botocore", "botocore") else {
        return left_out("botocore", "it cannot be installed");
    };
    let mut head = String::from("# a note\n[other]\naws_secret_access_key = x\n");
    head.push_str("[default]\n");
    let entry = |number| format!("K{number} = {OLD}\n");
    let written =
        written(Format::Ini, 100, (&head, ""), entry, |n| at(Format::Ini, format!("/default/K{n}")));
    let script = format!(
        "import botocore.configloader\n{PYTHON_PRINTS}\n\
         all = botocore.configloader.raw_config_parse('copy')['default']\n\
         show({{name.upper(): value for name, value in all.items()}})"
    );
    ask("botocore", Command::new(python).args(["-c", &script]), &written);
}

#[test]
fn libpq_finds_what_was_written() {
    // PQpass returns the password that the connection took from the password file, whether or not a server answers.
    let script = r#"
import ctypes, os, sys
try: pq = ctypes.CDLL('libpq.so.5')
except OSError: sys.exit(3)
os.chmod('copy', 0o600)
pq.PQconnectdb.restype = ctypes.c_void_p
pq.PQpass.restype = ctypes.c_char_p
pq.PQpass.argtypes = pq.PQfinish.argtypes = [ctypes.c_void_p]
for number in range(int(sys.argv[1])):
    there = pq.PQconnectdb(f"host=127.0.0.1 port=1 user=u dbname=K{number} passfile={os.path.abspath('copy')}".encode())
    print(f"K{number}", (pq.PQpass(there) or b'').hex())
    pq.PQfinish(there)
"#;
    if !Command::new("python3")
        .args(["-c", "import ctypes; ctypes.CDLL('libpq.so.5')"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
    {
        return left_out("libpq", "no Python or no libpq.so.5");
    }
    let entry = |number| format!("127.0.0.1:1:K{number}:u:{OLD}\n");
    let place = |number| at(Format::Pgpass, format!("127.0.0.1:1:K{number}"));
    let written = written(Format::Pgpass, 500, ("# a note\n", ""), entry, place);
    let count = written.expected.len().to_string();
    ask("libpq", Command::new("python3").args(["-c", script, &count]), &written);
}

pub(super) fn netrc() -> Written {
    let entry = |number| format!("machine K{number}\n  login svc\n  password {OLD}\n");
    let place = |number| at(Format::Netrc, format!("K{number}"));
    written(Format::Netrc, 300, ("", "machine z login a password b\n"), entry, place)
}

#[test]
fn netrc_readers_read_what_was_written() {
    let written = netrc();
    let script = format!(
        "import netrc\n{PYTHON_PRINTS}\nshow({{name: entry[2] for name, entry in netrc.netrc('copy').hosts.items()}})"
    );
    ask("Python's netrc", Command::new("python3").args(["-c", &script]), &written);
}

#[test]
fn git_reads_what_was_written() {
    let entry = |number| format!("https://svc:{OLD}@k{number}.example\n");
    let place = |number| at(Format::GitCredentials, format!("https://k{number}.example"));
    let written = written(Format::GitCredentials, 800, ("", ""), entry, place);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::write(&copy, &written.file).unwrap();
    // Not all values: git must be called for each.
    for (name, value) in written.expected.iter().step_by(17) {
        let host = name.replace('K', "k");
        let mut git = Command::new("git");
        git.arg("credential-store").arg("--file").arg(&copy).arg("get").current_dir(folder.path());
        let Some(output) = run(&mut git, format!("protocol=https\nhost={host}.example\n\n").as_bytes())
        else {
            return left_out("git", "not installed");
        };
        let line = output.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"password="));
        assert_eq!(line, Some(value.as_slice()), "git reads {name}");
    }
}

/// Pieces that quotes, escapes, comments and tables of each format are made of.
const PIECES: [(Format, &str, &[&str]); 4] = [
    (
        Format::Json,
        "json.loads(text)",
        &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"k\":",
            "\"old-1\"",
            "\"k\":\"old-1\"",
            "\"k\" : \"old-1\",",
            ",\"a\":[1]",
            "\"b\":{\"k\":\"x\"},",
            "\"k\\u0041\":\"old-1\",",
            "\"c\":\"\\\",",
            "\"a\":1",
            "\"",
            "\\",
            "\n",
            " ",
            "\"\\u006fld-1\"",
            "{}",
            "null",
        ],
    ),
    (
        Format::Yaml,
        "yaml.safe_load(text)",
        &[
            "k: ",
            "old-1",
            "k: old-1\n",
            "k: 'old-1'\n",
            "k: \"old-1\"\n",
            "a: ",
            "'",
            "\"",
            "\n",
            "  ",
            "- ",
            "# ",
            " #",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ": ",
            "\\",
            "|\n",
            "&x ",
            "*x",
            "? ",
            "!!str ",
            "---\n",
            "\t",
            "\"\\x6fld-1\"",
            "<<: ",
            "''",
        ],
    ),
    (
        Format::Toml,
        "tomllib.loads(text)",
        &[
            "k = ",
            "\"old-1\"",
            "'old-1'",
            "\nk = \"old-1\"",
            "\n",
            "[a]\n",
            "a.b = 1",
            "\"\"\"",
            "'''",
            "\"",
            "'",
            "\\",
            "#",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "\"\\u006fld-1\"",
            " ",
            "a = 1\n",
        ],
    ),
    (
        Format::Ini,
        "ini(text)",
        &[
            "k=",
            "k = old-1",
            "\nk: old-1",
            "\nk='old-1'",
            "old-1",
            "\n",
            "[s]\n",
            "[t]\n",
            " ",
            ";",
            "#",
            " ; x",
            "=",
            ":",
            "a=1\n",
            "\r\n",
            "K",
            "\t",
            "%",
        ],
    ),
];

/// `read` returns the value that a real reader reads. After a replacement the reader reads the new value there, and
/// everything else as before. Files that the real reader refuses are no copies.
#[test]
fn readers_agree_on_files_of_any_pieces() {
    const FILES: usize = 1_500;
    let Some(python) = python_with_yaml() else { return left_out("PyYAML", "it cannot be installed") };
    let (old, new) = (SecretBytes::new(OLD.into()), SecretBytes::new(b"new-22".to_vec()));
    for (format, load, pieces) in PIECES {
        let folder = tempfile::tempdir().unwrap();
        let strategy = prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..14);
        let mut runner = TestRunner::deterministic();
        let (head, tail, place) = match format {
            Format::Json => ("{", "}", "/k"),
            Format::Ini => ("[s]\n", "", "/s/k"),
            _ => ("", "", "/k"),
        };
        let mut taken = 0;
        for _ in 0..FILES * 400 {
            let pieces = strategy.new_tree(&mut runner).unwrap().current().concat();
            let file = [head, &pieces, tail].concat();
            let edit = Edit { slot: at(format, place.to_owned()), expect_old: &old, new: &new };
            let Ok(replaced) = format.replace(file.as_bytes(), &[edit]) else { continue };
            fs::write(folder.path().join(format!("{taken}.before")), &file).unwrap();
            fs::write(folder.path().join(format!("{taken}.after")), replaced.expose()).unwrap();
            taken += 1;
            if taken == FILES {
                break;
            }
        }
        assert_eq!(taken, FILES, "{format:?}");
        let script = format!(
            "
import configparser, glob, json, tomllib, yaml
def ini(text):
    all = configparser.RawConfigParser()
    all.optionxform = str
    all.read_string(text)
    inner = dict(all['s'])
    # Quotes are a part of the value here, so such a file has other readers.
    inner['k'] = inner['k'].strip('\\'\"') if 'k' in inner else None
    return inner | {{'others': {{name: dict(all[name]) for name in all.sections() if name != 's'}}}}
read = 0
for path in glob.glob('*.before'):
    try:
        text = open(path, newline='').read()
        before = {load}
    except Exception: continue
    text = open(path.replace('before', 'after'), newline='').read()
    read += 1
    try: after = {load}
    except Exception as error: after = {{'k': repr(error)}}
    was, now = before.pop('k', None), after.pop('k', None)
    if was != 'old-1' or now != 'new-22' or before != after:
        print(repr(open(path, newline='').read()), repr(was), repr(now))
if read < 300: print('only', read, 'were read')
"
        );
        let output =
            run(Command::new(&python).args(["-c", &script]).current_dir(folder.path()), b"").unwrap();
        assert!(output.is_empty(), "{format:?}: it disagrees on\n{}", String::from_utf8_lossy(&output));
    }
}
