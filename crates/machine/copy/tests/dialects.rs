//! The data of the dialects is what the real readers do, and keyroll gives a value only where they agree.
//!
//! A reader that is not installed is skipped with a message on stderr, and fails the test where `CI=true`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyroll_copy::{
    DOTENV_FORMS, DOTENV_READERS, DotenvForm, DotenvRead, DotenvReader, Format, Slot, formats_markdown,
};

use crate::readers::left_out;

/// What stands for `@`.
const VALUE: &str = "Val7x9Q";

/// What a reader makes of a file: the value of `K`, none, or an error.
type Seen = Result<Option<Vec<u8>>, ()>;

fn of_reader(begin: &str) -> usize {
    DOTENV_READERS.iter().position(|one| one.starts_with(begin)).unwrap()
}

fn is_as_said(form: &DotenvForm, read: &DotenvRead, seen: &Seen) -> bool {
    let text = |value: &str| {
        seen.as_ref().is_ok_and(|it| it.as_deref() == Some(value.replace('@', VALUE).as_bytes()))
    };
    match read {
        DotenvRead::Written => text(form.written),
        DotenvRead::Value(value) => text(value),
        DotenvRead::Other => seen.as_ref().is_ok_and(|it| it.is_some()) && !text(form.written),
        DotenvRead::Absent => matches!(seen, Ok(None)),
        DotenvRead::Refused => seen.is_err(),
    }
}

/// Compares each cell of one reader. `read` looks at the file `env` of a folder.
fn compare(reader: usize, read: impl Fn(&Path) -> Seen) {
    let mut wrong = Vec::new();
    for form in &DOTENV_FORMS {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("env"), form.file.replace('@', VALUE)).unwrap();
        let seen = read(folder.path());
        if !is_as_said(form, &form.read[reader], &seen) {
            let seen =
                seen.map(|value| value.map(|value| String::from_utf8_lossy(&value).replace(VALUE, "@")));
            wrong.push(format!("{}: {:?} is said, it is {seen:?}", form.name, form.read[reader]));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", DOTENV_READERS[reader], wrong.join("\n"));
}

/// Runs a reader that prints `K` and the value in hex, or fails.
fn hex_of(command: &mut Command, folder: &Path) -> Seen {
    let output = command.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        return Err(());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("K ").or_else(|| (line == "K").then_some("")));
    let unhex = |hex: &str| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    };
    Ok(line.map(unhex))
}

fn is_there(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    let ran = command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

/// A folder that outlives the test, for what a registry gives.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn sh_reads_what_is_said() {
    // dash and bash differ where a quote is not closed: bash goes on behind the file.
    for shell in ["dash", "bash"] {
        if !is_there(shell, "-c") && !is_there(shell, "--version") && !Path::new("/bin").join(shell).exists()
        {
            left_out(shell, "not installed");
            continue;
        }
        compare(of_reader("sh"), |folder| {
            let mut command = Command::new(shell);
            command.args(["-c", "set -a; . ./env; exec env -0"]).env_clear();
            command.env("PATH", "/usr/bin:/bin").env("HOME", "/home/x").current_dir(folder);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let text = fs::read(folder.join("env")).unwrap();
            if !output.status.success() || shell == "bash" && text == format!("K={VALUE}'y\n").as_bytes() {
                return Err(());
            }
            let mut lines = output.stdout.split(|byte| *byte == 0);
            Ok(lines.find_map(|line| line.strip_prefix(b"K=")).map(<[u8]>::to_vec))
        });
    }
}

/// The command sends what it read to an engine; here a socket takes it and answers with an error.
#[test]
fn docker_reads_what_is_said() {
    if !is_there("docker", "--version") {
        return left_out("docker", "not installed");
    }
    compare(of_reader("`docker run"), |folder| {
        let socket = folder.join("engine");
        let engine = UnixListener::bind(&socket).unwrap();
        let mut docker = Command::new("docker");
        docker.args(["create", "--pull", "never", "--env-file", "env", "none"]).current_dir(folder);
        docker.env("DOCKER_HOST", format!("unix://{}", socket.display())).env("DOCKER_CONFIG", folder);
        let mut child =
            docker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (send, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in engine.incoming().flatten() {
                let send = send.clone();
                std::thread::spawn(move || answer(stream, &send));
            }
        });
        child.wait().unwrap();
        let Ok(body) = told.try_recv() else { return Err(()) };
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let all = body["Env"].as_array().cloned().unwrap_or_default();
        // Of two with one name the engine takes the last.
        let last = all.iter().rev().find_map(|one| one.as_str()?.strip_prefix("K="));
        Ok(last.map(|value| value.as_bytes().to_vec()))
    });
}

/// Answers the requests of one connection, and passes on the body of a `create`.
fn answer(stream: std::os::unix::net::UnixStream, send: &std::sync::mpsc::Sender<Vec<u8>>) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut input = BufReader::new(stream);
    loop {
        let (mut first, mut length, mut chunked) = (String::new(), 0, false);
        input.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length: ").map_or(length, |it| it.parse().unwrap());
            chunked |= line == "transfer-encoding: chunked";
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        while chunked {
            let mut size = String::new();
            input.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut part = vec![0; size + 2];
            input.read_exact(&mut part).ok()?;
            body.extend_from_slice(&part[..size]);
            chunked = size > 0;
        }
        let status = if first.contains("/create") { "500 Error" } else { "200 OK" };
        if first.contains("/create") {
            send.send(body).ok()?;
        }
        let head = format!("HTTP/1.1 {status}\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\n");
        let rest = if first.starts_with("HEAD") {
            "Content-Length: 0\r\n\r\n"
        } else {
            "Content-Length: 2\r\n\r\n{}"
        };
        out.write_all(format!("{head}{rest}").as_bytes()).ok()?;
    }
}

#[test]
fn compose_reads_what_is_said() {
    if !is_there("docker-compose", "version") {
        return left_out("docker-compose", "not installed");
    }
    compare(of_reader("`env_file`"), |folder| {
        let project = "services:\n  a:\n    image: none\n    env_file: env\n";
        fs::write(folder.join("compose.yaml"), project).unwrap();
        let mut compose = Command::new("docker-compose");
        let output = compose.args(["config", "--format", "json"]).current_dir(folder).output().unwrap();
        if !output.status.success() {
            return Err(());
        }
        let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        // `config` doubles each `$` again.
        let value = all["services"]["a"]["environment"]["K"].as_str().map(|text| text.replace("$$", "$"));
        Ok(value.map(String::into_bytes))
    });
}

/// systemd reads `/etc/os-release` with the parser of an `EnvironmentFile=` (`env-file.c`).
#[test]
fn systemd_reads_what_is_said() {
    if !is_there("systemd-tmpfiles", "--version") {
        return left_out("systemd-tmpfiles", "not installed");
    }
    compare(of_reader("`EnvironmentFile="), |folder| {
        let root = folder.join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        let text = fs::read_to_string(folder.join("env")).unwrap().replace("K", "BUILD_ID");
        fs::write(root.join("etc/os-release"), text).unwrap();
        fs::write(folder.join("rules.conf"), "f+ /seen 0600 - - - %B\n").unwrap();
        let mut command = Command::new("systemd-tmpfiles");
        command.arg(format!("--root={}", root.display())).arg("--create").arg(folder.join("rules.conf"));
        let output = command.output().unwrap();
        let seen = fs::read(root.join("seen")).unwrap_or_default();
        if output.status.success() { Ok((!seen.is_empty()).then_some(seen)) } else { Err(()) }
    });
}

#[test]
fn python_dotenv_reads_what_is_said() {
    let venv = kept("dotenv-1.0.1");
    let python = venv.join("bin/python");
    if !venv.join("done").exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "python-dotenv==1.0.1"]);
        if !made.is_ok_and(|it| it.success()) || !pip.status().is_ok_and(|it| it.success()) {
            return left_out("python-dotenv", "not installed");
        }
        fs::write(venv.join("done"), "").unwrap();
    }
    let script = "import dotenv, logging\nlogging.disable()\nfor name, value in dotenv.dotenv_values('env').items():\n    if name == 'K': print('K', (value or '').encode().hex())";
    compare(of_reader("python-dotenv"), |folder| hex_of(Command::new(&python).args(["-c", script]), folder));
}

#[test]
fn dotenv_of_npm_reads_what_is_said() {
    let folder = kept("npm-dotenv-16");
    let modules = folder.join("node_modules");
    if !modules.join("dotenv").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "dotenv@16.6.1"]);
        drop(npm.arg("--prefix").arg(&folder).current_dir(&folder).status());
    }
    if !modules.join("dotenv").exists() {
        return left_out("dotenv of npm", "not installed");
    }
    let script = "const all = require('dotenv').parse(require('fs').readFileSync('env'));
        if ('K' in all) console.log('K', Buffer.from(all.K, 'utf8').toString('hex'))";
    let ask = || {
        let mut node = Command::new("node");
        node.args(["-e", script]).env("NODE_PATH", &modules);
        node
    };
    compare(of_reader("dotenv of npm"), |folder| hex_of(&mut ask(), folder));
}

#[test]
fn node_reads_what_is_said() {
    let version = Command::new("node").args(["-p", "process.versions.node.split('.')[0]"]).output();
    if !version.is_ok_and(|it| it.stdout == b"20\n") {
        return left_out("node 20", "not installed, or another version");
    }
    let script =
        "if ('K' in process.env) console.log('K', Buffer.from(process.env.K, 'utf8').toString('hex'))";
    compare(of_reader("`node"), |folder| {
        hex_of(Command::new("node").args(["--env-file=env", "-e", script]).env_remove("K"), folder)
    });
}

#[test]
fn dotenv_of_go_reads_what_is_said() {
    let folder = kept("go-dotenv");
    let program = folder.join("reader");
    if !program.exists() {
        let source = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\n\t\"github.com/joho/godotenv\"\n)\n\n\
            func main() {\n\tall, err := godotenv.Read(\"env\")\n\tif err != nil {\n\t\tos.Exit(1)\n\t}\n\
            \tif value, there := all[\"K\"]; there {\n\t\tfmt.Printf(\"K %x\\n\", value)\n\t}\n}\n";
        fs::write(folder.join("main.go"), source).unwrap();
        fs::write(
            folder.join("go.mod"),
            "module reader\n\ngo 1.20\n\nrequire github.com/joho/godotenv v1.5.1\n",
        )
        .unwrap();
        let mut go = Command::new("go");
        go.args(["build", "-mod=mod", "-o", "reader", "."]).current_dir(&folder);
        if !go.env("HOME", &folder).status().is_ok_and(|it| it.success()) {
            return left_out("Go, or its dotenv", "not installed");
        }
    }
    compare(of_reader("godotenv"), |folder| hex_of(&mut Command::new(&program), folder));
}

#[test]
fn dotenv_of_ruby_reads_what_is_said() {
    let script = "require 'dotenv'; require 'dotenv/environment'
        all = Dotenv::Environment.new('env', true)
        puts 'K ' + all['K'].unpack1('H*') if all.key?('K')";
    let version =
        Command::new("ruby").args(["-e", "require 'dotenv/version'; print Dotenv::VERSION"]).output();
    if !version.is_ok_and(|it| it.stdout == b"2.4.0") {
        return left_out("dotenv of Ruby, version 2.4.0", "not installed");
    }
    compare(of_reader("dotenv of Ruby"), |folder| hex_of(Command::new("ruby").args(["-e", script]), folder));
}

/// Whether a reader that reads a line so has this value, apart from a wrapping: quotes, blanks or a carriage return that
/// it leaves around it.
fn has(form: &DotenvForm, read: &DotenvRead, value: &str) -> bool {
    let around = |letter: char| matches!(letter, '\'' | '"' | ' ' | '\r');
    match read {
        DotenvRead::Written => value == form.written,
        DotenvRead::Value(seen) => *seen == value || seen.trim_matches(around) == value,
        DotenvRead::Other | DotenvRead::Absent | DotenvRead::Refused => false,
    }
}

/// Where nobody knows the reader, a line counts with the value that it shows; these readers do not have it.
const SHOWN: [(&str, &str); 10] = [
    ("`export` before the name", "`docker run"),
    ("`export` before the name", "`EnvironmentFile="),
    ("blanks around the `=`", "sh"),
    ("blanks around the `=`", "`docker run"),
    ("a comment behind the value", "`docker run"),
    ("a comment behind the value", "`EnvironmentFile="),
    ("a comment behind the quotes", "`docker run"),
    ("a comment behind the quotes", "`EnvironmentFile="),
    ("a line end inside quotes", "`docker run"),
    ("a line end inside quotes", "dotenv of Ruby"),
];

/// keyroll gives a value for a reader that nobody knows only where every reader has it, apart from a wrapping, or where
/// the line is one of those above.
#[test]
fn a_value_is_given_only_where_readers_agree() {
    let (mut given, mut without) = (0, Vec::new());
    for form in &DOTENV_FORMS {
        let file = form.file.replace('@', VALUE);
        let all: BTreeMap<String, _> =
            Format::Dotenv.variables(file.as_bytes()).unwrap().into_iter().collect();
        let Ok(value) = &all["K"] else { continue };
        given += 1;
        let value = String::from_utf8(value.expose().to_vec()).unwrap().replace(VALUE, "@");
        assert_eq!(value, form.written, "{}", form.name);
        let readers = form.read.iter().enumerate().filter(|(_, read)| !has(form, read, &value));
        without.extend(readers.map(|(at, _)| (form.name, at)));
    }
    assert_eq!(without, SHOWN.map(|(name, reader)| (name, of_reader(reader))));
    assert!(given >= 14, "{given}");
}

/// What is wrong with a line is said, with the readers; it is never called missing.
#[test]
fn a_line_that_some_readers_do_not_see_is_told_with_their_names() {
    let slot = Slot::Variable("API_KEY".to_owned());
    for (file, says) in [
        (
            "\u{feff}API_KEY=abc\nB=1\n",
            "line 1 is read differently by different readers: a byte order mark before the name: read as it is written by docker, Compose, dotenv of npm, dotenv of Ruby; not seen by sh, systemd, python-dotenv, node; the whole file is refused by dotenv of Go",
        ),
        (
            "A=1\nAPI_KEY: abc\n",
            "line 2 is read differently by different readers: a colon in place of the `=`: read as it is written by Compose, dotenv of npm, dotenv of Go, dotenv of Ruby; not seen by sh, systemd, python-dotenv, node; the whole file is refused by docker",
        ),
        ("API_KEY='a'b\n", "more behind the closing quote"),
        (
            "API_KEY=\"a\\b\"\n",
            "a backslash in double quotes: read as it is written by sh, Compose, systemd, python-dotenv, dotenv of npm, node",
        ),
    ] {
        let error = Format::Dotenv.read(file.as_bytes(), &slot).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Neither a list, nor a sentence, nor the second line of a file with a mark is taken for such a line.
    for (file, value) in [
        ("\u{feff}# note\nAPI_KEY=abc\n", Some("abc")),
        ("# x\nNote: see below\nAPI_KEY=abc\n", Some("abc")),
        ("API_KEY:abc\n", None),
        ("API_KEY:\n", None),
        ("http://API_KEY: x\n", None),
    ] {
        let read = Format::Dotenv.read(file.as_bytes(), &slot).unwrap();
        assert_eq!(read.as_ref().map(|it| it.expose()), value.map(str::as_bytes), "{file}");
    }
    let told: Vec<_> = Format::Dotenv.variables(b"A=x#y\nB=$2a$10$z\nC=`x`\nD='${x}'\n").unwrap();
    let why = |at: usize| told[at].1.as_ref().err().unwrap().to_string();
    assert!(why(0).contains(
        "a `#` inside the value: read as it is written by sh, docker, Compose, systemd, python-dotenv, dotenv of Go"
    ));
    assert!(
        why(1).contains("a `$` and a digit")
            && why(2).contains("backticks")
            && why(3).contains("in single quotes")
    );
}

/// Of a reader that is known, its own reading counts: `value_for` gives what the real reader was seen to read, or none.
#[test]
fn a_value_for_one_reader_is_what_that_reader_reads() {
    const READERS: [DotenvReader; DOTENV_READERS.len()] = [
        DotenvReader::Sh,
        DotenvReader::Docker,
        DotenvReader::Compose,
        DotenvReader::Systemd,
        DotenvReader::Python,
        DotenvReader::Npm,
        DotenvReader::Node,
        DotenvReader::Go,
        DotenvReader::Ruby,
    ];
    let mut more = 0;
    for form in &DOTENV_FORMS {
        let file = form.file.replace('@', VALUE);
        let every = Format::Dotenv.variables(file.as_bytes()).unwrap().pop().unwrap().1;
        for (at, reader) in READERS.into_iter().enumerate() {
            let own = Format::Dotenv.variables_for(file.as_bytes(), reader).unwrap().pop().unwrap().1;
            let (read, of) = (&form.read[at], DOTENV_READERS[at]);
            let Ok(own) = own else {
                assert!(every.is_err() || *read != DotenvRead::Written, "{}: {of} reads it", form.name);
                continue;
            };
            let own = String::from_utf8(own.expose().to_vec()).unwrap().replace(VALUE, "@");
            assert!(has(form, read, &own), "{}: {of}: {read:?}, keyroll {own}", form.name);
            more += usize::from(every.is_err());
        }
    }
    assert!(more >= 50, "{more}");
}

/// The lines around a value count too, and a line that makes a reader refuse the file counts for all its variables.
#[test]
fn a_line_that_its_reader_does_not_see_has_no_value_for_it() {
    let all = |text: &str, reader| -> Vec<Result<Vec<u8>, String>> {
        let read = Format::Dotenv.variables_for(text.as_bytes(), reader).unwrap().into_iter();
        read.map(|(_, value)| value.map(|it| it.expose().to_vec()).map_err(|it| it.to_string())).collect()
    };
    for (text, reader, says) in [
        ("K = v\n", DotenvReader::Sh, "blanks around the `=`"),
        ("K= v\n", DotenvReader::Sh, "blanks around the `=`"),
        ("K =v\n", DotenvReader::Sh, "blanks around the `=`"),
        ("export K = 'v'\n", DotenvReader::Sh, "blanks around the `=`"),
        ("K=v \r\n", DotenvReader::Sh, "a blank inside the value"),
        ("K='v' \r\n", DotenvReader::Sh, "a blank inside the value"),
        ("export K=v\n", DotenvReader::Systemd, "`export` before the name"),
        ("export K='v'\n", DotenvReader::Systemd, "`export` before the name"),
        ("K=v # note\n", DotenvReader::Systemd, "a comment behind the value"),
        ("K=\"v\" # note\n", DotenvReader::Systemd, "a comment behind the quotes"),
        ("K=\"v\nw\"\n", DotenvReader::Ruby, "a line end inside quotes"),
    ] {
        let read = all(text, reader);
        let [Err(why)] = &read[..] else { panic!("{text}: it has a value") };
        assert!(why.contains(says), "{text}: {why}");
    }
    for (text, reader) in [
        ("K=v # note\r\n", DotenvReader::Sh),
        ("K=v\r\n", DotenvReader::Sh),
        ("export K='v'  # note\n", DotenvReader::Sh),
        ("K = v\n", DotenvReader::Systemd),
        ("export K = v # note\n", DotenvReader::Npm),
        ("K=\"v\"\n", DotenvReader::Docker),
        ("K=v  \n", DotenvReader::Docker),
    ] {
        assert_eq!(all(text, reader), [Ok::<_, String>(b"v".to_vec())], "{text}");
    }
    // The shell goes on behind the quote until it finds another one.
    assert!(all("A=1\nB=it's\nK=v\n", DotenvReader::Sh).iter().all(Result::is_err));
    assert!(all("A=1\nexport B=2\nK=v\n", DotenvReader::Docker).iter().all(Result::is_err));
    assert_eq!(all("B=x\"y\"z\nK=v\n", DotenvReader::Sh).iter().filter(|it| it.is_ok()).count(), 1);
    assert!(all("A=1\nB=it's\nK=v\n", DotenvReader::Docker).iter().all(Result::is_ok));
}

#[test]
fn the_page_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/formats.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, formats_markdown()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == formats_markdown(), "docs/reference/formats.md is not current: cargo xtask codegen");
}
