//! How `scan`, `why`, `trace` and `init` name what they show: each process that nobody keeps, by its script and its folder;
//! each worker of a master; no value in the place of a name; and not the issuer's own server as a user.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_testkit::command::wait;
use keyroll_testkit::free_port;
use serde_json::Value;

use crate::kept::{kept, out, run, value};
use crate::scenes::stage::{Scene, Stage, child};

const SLEEPS: &str = "import time\ntime.sleep(100000)\n";

/// A master that holds nothing, and two workers; each reads its file when it is forked, the second after `go` is there.
const SPLIT: &str = "\
import os, time
def worker():
    if os.fork() == 0:
        os.environ.update(line.rstrip('\\n').split('=', 1) for line in open('.env'))
        open('worker-%d' % os.getpid(), 'w').close()
        time.sleep(100000)
worker()
while not os.path.exists('go'):
    time.sleep(0.05)
worker()
time.sleep(100000)
";

impl Stage {
    /// What a command about the folder of a scene says.
    fn says(&self, words: &[&str]) -> String {
        let ran = self.keyroll(words, None);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.text);
        ran.text
    }
}

/// Waits until a change of a file is surely later than what was started before: both times are only that exact.
fn apart() {
    let began = Instant::now();
    wait("the clock has gone on", || began.elapsed() > Duration::from_millis(100));
}

/// Starts a script in each folder, from a file there; then another value is put into the files.
fn workers<'s>(scene: &Scene<'_>, folders: &[&'s str]) -> Vec<(&'s str, u32)> {
    let start = |folder: &&'s str| {
        scene.write(&format!("{folder}/.env"), "NAMED_API_KEY={old}\n");
        scene.write(&format!("{folder}/worker.py"), SLEEPS);
        (*folder, scene.script(folder, "set -a\n. ./.env\npython3 worker.py\n:\n")[1])
    };
    let all = folders.iter().map(start).collect();
    apart();
    folders.iter().for_each(|folder| scene.write(&format!("{folder}/.env"), "NAMED_API_KEY={new}\n"));
    all
}

#[test]
fn programs_of_one_name_are_told_apart_by_their_folders_and_none_is_hidden() {
    let stage = Stage::new();
    let scene = stage.scene("named");
    let all = workers(&scene, &["a", "b", "c", "d", "e"]);
    let root = scene.at("");
    let scan = stage.says(&["scan", &root, "--wait", "300"]);
    let row = scan.lines().find(|line| line.starts_with("named ")).expect(&scan);
    assert!(!row.contains(" more"), "{row}");
    let why = stage.says(&["why", "worker.py", "--in", &root, "--wait", "300"]);
    let trace = stage.says(&["trace", "named", "--in", &root, "--wait", "300"]);
    for (folder, pid) in all {
        let called = format!("worker.py in {}", scene.at(folder));
        assert!(row.contains(&called), "{called}: {row}");
        for text in [&scan, &why] {
            assert!(text.contains(&format!("{called} (pid {pid})")), "{called}: {text}");
        }
        assert!(trace.contains(&format!("{called} {pid}")), "{called}: {trace}");
        // Every name that is shown may be asked about.
        let one = stage.says(&["why", &called, "--in", &root, "--memory", "0"]);
        assert!(one.contains(&format!("(pid {pid})")), "{one}");
    }
}

/// The file beside the other one still holds the value that both were started with: that is no reason to believe it current.
#[test]
fn a_process_whose_file_was_changed_is_not_hidden_by_the_unchanged_file_of_another() {
    let stage = Stage::new();
    let scene = stage.scene("twin");
    let start = |folder: &str| {
        scene.write(&format!("{folder}/.env"), "TWIN_API_KEY={old}\n");
        scene.write(&format!("{folder}/worker.py"), SLEEPS);
        // What is typed into a shell stands in none of its words.
        scene.write(&format!("{folder}/typed"), "set -a; . ./.env; set +a\npython3 worker.py\n");
        let typed = File::open(scene.path(&format!("{folder}/typed"))).unwrap();
        child(stage.start(stage.command("bash", &scene.path(folder)).stdin(typed)))
    };
    let [unchanged, pid] = ["a", "b"].map(start);
    apart();
    scene.write("b/.env", "TWIN_API_KEY={new}\n");
    let root = scene.at("");
    for words in [&["scan", &root][..], &["why", "twin", "--in", &root], &["trace", "twin", "--in", &root]] {
        let text = stage.says(&[words, &["--wait", "300"]].concat());
        let stale = |pid: u32| {
            let of = format!("(pid {pid})");
            text.lines().any(|line| line.contains(&of) && line.contains("uses a STALE value"))
        };
        assert!(stale(pid) && !stale(unchanged), "{words:?}: {text}");
    }
}

/// The commonest trap: somebody read the file in a shell, started a program there, and edited the file.
#[test]
fn a_process_that_is_likely_stale_is_told_with_the_reasons_for_and_against() {
    let stage = Stage::new();
    let scene = stage.scene("likely");
    scene.write(".env", "LIKELY_API_KEY={old}\n");
    scene.write("app.py", SLEEPS);
    // What is typed into a shell stands in none of its words.
    scene.write("typed", "set -a; . ./.env; set +a\npython3 app.py\n");
    let typed = File::open(scene.path("typed")).unwrap();
    let pid = child(stage.start(stage.command("bash", scene.folder()).stdin(typed)));
    apart();
    scene.write(".env", "LIKELY_API_KEY={new}\n");
    let root = scene.at("");
    for words in
        [&["scan", &root][..], &["why", "likely", "--in", &root], &["trace", "likely", "--in", &root]]
    {
        let text = stage.says(&[words, &["--wait", "300"]].concat());
        let of = format!("(pid {pid})");
        let told = text.lines().find(|line| line.contains(&of) && line.contains("LIKELY uses a STALE value"));
        let told = told.unwrap_or_else(|| panic!("{words:?}: {text}"));
        for part in ["its environment at start holds ", " now holds ", "(file changed ", "; not proven: "] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

/// The variable in capitals hides the password that it is made of.
#[test]
fn a_value_stands_neither_for_a_name_nor_in_a_command() {
    const PASSWORD: &str = "correcthorse9";
    let stage = Stage::new();
    let scene = stage.scene("login");
    let variable = PASSWORD.to_uppercase();
    scene.write(".env", &format!("LOGIN_PASSWORD={PASSWORD}\n{variable}_TOKEN={{new}}\n"));
    let here = format!("OTHER_PASSWORD={PASSWORD}\n{variable}_TOKEN={{old}}\n");
    scene.write(&format!("{PASSWORD}/api.env"), &here);
    let folder = scene.at(PASSWORD);
    let ran = stage.keyroll(&["scan", &scene.at(""), "--all", "--memory", "0", "--json"], None);
    let names: Vec<&str> = ran.of("found").into_iter().filter_map(|one| one["secret"].as_str()).collect();
    assert!(names.len() >= 2, "{}", ran.text);
    assert!(names.iter().all(|name| !name.contains("redacted") && !name.contains(PASSWORD)), "{names:?}");
    let text = stage.says(&["scan", &folder, "--memory", "0"]);
    let commands: Vec<&str> = text.lines().filter(|line| line.contains(": keyroll ")).collect();
    assert!(!commands.is_empty() && commands.iter().all(|line| !line.contains("[redacted")), "{text}");
    assert!(commands.iter().any(|line| line.contains(" FOLDER")), "{text}");
}

#[test]
fn each_worker_of_a_split_proxy_is_shown_and_its_master_leads_to_them() {
    let stage = Stage::new();
    let scene = stage.scene("split");
    let models = "model_list:\n- {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/SPLIT_API_KEY}}\n";
    scene.write("config.yaml", models);
    scene.write("litellm", SPLIT);
    scene.write(".env", "SPLIT_API_KEY={old}\n");
    let [_, master] = scene.script(".", "python3 litellm --config config.yaml --num_workers 2\n:\n");
    let workers = || {
        let names = std::fs::read_dir(scene.folder()).unwrap().flatten().map(|one| one.file_name());
        let of = |name: std::ffi::OsString| name.to_str()?.strip_prefix("worker-")?.parse::<u32>().ok();
        names.filter_map(of).collect::<Vec<_>>()
    };
    wait("the first worker", || workers().len() == 1);
    apart();
    scene.write(".env", "SPLIT_API_KEY={new}\n");
    scene.write("go", "");
    wait("the second worker", || workers().len() == 2);
    let root = scene.at("");
    let of_variable = stage.says(&["why", "SPLIT_API_KEY", "--in", &root, "--wait", "300"]);
    let of_master = stage.says(&["why", &master.to_string(), "--in", &root, "--wait", "300"]);
    for worker in workers() {
        for text in [&of_variable, &of_master] {
            assert!(text.contains(&format!("(pid {worker})")), "{worker}: {text}");
        }
    }
    assert!(of_variable.contains("uses a STALE value"), "{of_variable}");
    let itself = format!("process {master} was not seen to use any of the values itself");
    assert!(of_master.contains(&itself), "{of_master}");
}

/// A gateway has one name, whatever runs it: an interpreter's name says nothing.
#[test]
fn a_gateway_is_called_by_its_own_name() {
    let stage = Stage::new();
    let scene = stage.scene("titled");
    scene.write(".env", "TITLED_API_KEY={new}\n");
    let mut command = stage.command("python3", scene.folder());
    command.arg0("acme-gateway").args(["-c", SLEEPS]).env("TITLED_API_KEY", &scene.values.new);
    let pid = stage.start(&mut command);
    let ran = stage.keyroll(&["scan", &scene.at(""), "--memory", "0", "--json"], None);
    let one = ran.of("instance").into_iter().find(|one| one["pid"] == pid).expect(&ran.text);
    let called = format!("acme-gateway in {}", scene.folder().display());
    assert_eq!(one["program"], called.as_str(), "{}", ran.text);
}

/// A server that knows the value from what clients present: it listens, and has it in its memory alone. Ends with the test.
struct Server {
    shell: Child,
    pid: u32,
}

impl Server {
    fn start(folder: &Path, value: &str, port: u16) -> Self {
        const SERVES: &str = "import os, socket, sys\nknown = sys.stdin.readline()\nat = socket.socket()\n\
            at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\nat.bind(('127.0.0.1', int(sys.argv[1])))\n\
            at.listen()\nprint(os.getpid(), flush=True)\nsys.stdin.read()\n";
        std::fs::write(folder.join("accepts.py"), SERVES).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "python3 accepts.py \"$0\"; :", &port.to_string()]).current_dir(folder);
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        writeln!(shell.stdin.as_mut().unwrap(), "{value}").unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        Self { shell, pid: pid.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The port that the spec of a folder names.
fn issuer_port(folder: &Path) -> u16 {
    let spec = std::fs::read_to_string(folder.join("acme.toml")).unwrap();
    let (_, rest) = spec.split_once("http://127.0.0.1:").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn what_listens_where_the_issuer_is_is_no_consumer() {
    let value = value();
    let home = kept(&value);
    let folder = home.path();
    // A copy that no consumer declares: whoever holds the value is taken for its reader.
    std::fs::write(folder.join("more.env"), format!("ACME_API_KEY={value}\n")).unwrap();
    let free = free_port().unwrap();
    for (port, apart) in [(issuer_port(folder), true), (free, false)] {
        let server = Server::start(folder, &value, port);
        let pid = server.pid;
        let scan = out(&run(folder, &["scan", ".", "--json"], b""));
        let all: Vec<Value> = scan.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let uses = |one: &Value| one["type"] == "instance" && one["pid"] == pid;
        assert_eq!(all.iter().any(uses), !apart, "{scan}");
        let said = format!("(pid {pid}) listens where the secret's issuer is");
        assert_eq!(scan.contains(&said), apart, "{scan}");
        let init = out(&run(folder, &["init", ".", "--dry-run", "--json"], b""));
        assert_eq!(init.contains(&said), apart, "{init}");
        let mut drafts = init.lines().filter(|line| line.contains("\"type\":\"draft\""));
        let draft: Value = serde_json::from_str(drafts.next_back().expect(&init)).unwrap();
        assert_eq!(draft["text"].as_str().unwrap().contains("accepts"), !apart, "{init}");
    }
}

/// Without a store the digits of a value change with the next boot, and a ticket should not say otherwise.
#[test]
fn it_is_said_how_long_the_digits_of_a_value_stay_the_same() {
    let (with_store, without) = (kept(&value()), tempfile::tempdir().unwrap());
    for (home, said) in [(&with_store, false), (&without, true)] {
        std::fs::write(home.path().join("more.env"), format!("MORE_API_KEY={}\n", value())).unwrap();
        let output = run(home.path(), &["scan", ".", "--memory", "0", "--json"], b"");
        let text = out(&output);
        assert!(text.contains("more.env"), "{text}");
        assert_eq!(text.contains("the digits of a value"), said, "{text}");
    }
}
