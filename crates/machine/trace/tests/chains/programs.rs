//! Programs without a manager: shells, their children, and a real library that reads `.env`.

use std::process::Command;
use std::time::{Duration, Instant};

use keyroll_testkit::ManagerTools;
use keyroll_trace::{Doubt, MemoryStage, Verdict, rows, secrets};

use crate::chains::scene::{NamedChain, Running, Scene, apart, until};

const KEY: &str = "ACME_API_KEY";

/// Records the value that it uses, then keeps running.
const WORKER: &str = "import dotenv, os, time\ndotenv.load_dotenv('.env'%)\nopen('taken.new', 'w').write(os.environ['ACME_API_KEY'])\n\
    os.rename('taken.new', 'taken')\ntime.sleep(1000)\n";

struct Place {
    scene: Scene,
    tools: ManagerTools,
}

impl Place {
    fn raise(what: &str) -> Option<Self> {
        let tools = ManagerTools::or_skip(what, env!("CARGO_TARGET_TMPDIR"))?;
        let place = Self { scene: Scene::new(), tools };
        place.scene.write("worker.py", &WORKER.replace('%', ""));
        Some(place)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.scene.dir()).env_clear().env("PATH", self.tools.path());
        command
    }

    /// The version that the worker uses, and its process below the one that was started.
    fn taken(&self) -> String {
        let path = self.scene.path("taken");
        let value = until("the worker has begun", || std::fs::read(&path).ok());
        std::fs::remove_file(path).unwrap();
        self.scene.version(&value)
    }

    fn child(&self, parent: &Running) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", parent.pid());
        until("it has a child", || {
            std::fs::read_to_string(&path).ok()?.split_ascii_whitespace().next()?.parse().ok()
        })
    }

    fn python(&self) -> String {
        self.tools.program("python3").display().to_string()
    }

    fn chain(&self, pid: u32) -> NamedChain {
        self.scene.chain_of(pid, KEY)
    }
}

#[test]
fn an_environment_wins_over_a_file_of_a_library_unless_it_overrides() {
    let Some(place) = Place::raise("chains of a library") else { return };
    place.scene.write(".env", &format!("{KEY}={{second}}\n"));
    // Without a variable in the environment the file counts.
    let worker = Running::start(place.command(&place.python()).arg("worker.py"));
    let taken = place.taken();
    let chain = place.chain(worker.pid());
    assert_eq!((chain.next.as_str(), taken.as_str()), ("second", "second"), "{chain:#?}");
    assert_eq!(chain.links[0], "wins second @/.env");
    drop(worker);
    // A shell's export wins.
    let line = format!("export {KEY}={}; {} worker.py; :", place.scene.value("first"), place.python());
    let shell = Running::start(place.command("bash").args(["-c", &line]));
    let taken = place.taken();
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!((chain.next.as_str(), taken.as_str()), ("first", "first"), "{chain:#?}");
    assert!(chain.links[0].starts_with("wins first what the command of shell "), "{chain:#?}");
    assert_eq!(chain.links.last().unwrap(), "shadowed second @/.env");
    end(worker, shell);
    // For a program that shows no sign of reading the file, the file did not lose: it may not be read at all.
    let other = format!("export {KEY}={}; sleep 100000; :", place.scene.value("first"));
    let shell = Running::start(place.command("bash").args(["-c", &other]));
    let sleep = place.child(&shell);
    let name = format!("/proc/{sleep}/comm");
    until("it is executed", || std::fs::read_to_string(&name).ok().filter(|name| name == "sleep\n"));
    let chain = place.chain(sleep);
    assert_eq!(chain.next, "first", "{chain:#?}");
    assert_eq!(chain.links.last().unwrap(), "not visible second @/.env");
    end(sleep, shell);
    // Unless the program overrides the environment.
    place.scene.write("worker.py", &WORKER.replace('%', ", override = True"));
    let shell = Running::start(place.command("bash").args(["-c", &line]));
    let taken = place.taken();
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!((chain.next.as_str(), taken.as_str()), ("second", "second"), "{chain:#?}");
    end(worker, shell);
    // Nobody knows who would start it, and with what.
    place.scene.write("worker.py", &WORKER.replace('%', ""));
    let worker =
        Running::start(place.command(&place.python()).arg("worker.py").env(KEY, place.scene.value("first")));
    assert_eq!(place.taken(), "first");
    let chain = place.chain(worker.pid());
    assert_eq!(chain.next, "-", "{chain:#?}");
    assert!(chain.links[0].starts_with("not visible first what process "), "{chain:#?}");
    assert_eq!(place.scene.chain_of(worker.pid(), KEY).keeper, "not managed");
    // Even if both have the same value: whatever set the variable may set another one next time.
    place.scene.write(".env", &format!("{KEY}={{first}}\n"));
    let chain = place.chain(worker.pid());
    assert_eq!(chain.next, "-", "{chain:#?}");
    drop(worker);
    // A file that overrides says nothing about a name that it does not have.
    place.scene.write(".env", "OTHER=1\n");
    place.scene.write("worker.py", &WORKER.replace('%', ", override = True"));
    let worker =
        Running::start(place.command(&place.python()).arg("worker.py").env(KEY, place.scene.value("first")));
    assert_eq!(place.taken(), "first");
    let chain = place.chain(worker.pid());
    assert_eq!(chain.next, "-", "{chain:#?}");
}

/// The verdicts about a process and about its next start, for each name by which it takes the value.
fn verdicts(scene: &Scene, process: &Running) -> Vec<Verdict> {
    let mut survey = scene.survey();
    let holders = survey.instances.keys().filter(|id| id.pid == process.pid()).copied().collect();
    let ahead = survey.memory_ahead(&holders);
    survey.search_memory(&ahead, MemoryStage::default(), &mut |_, _| {});
    // With the values that only memory still has.
    let found = secrets(&survey, &[]);
    let rows = found.iter().flat_map(|found| rows(&survey, found));
    rows.filter(|row| row.process.pid == process.pid()).map(|row| row.verdict).collect()
}

#[test]
fn a_file_that_only_holds_what_a_process_was_started_with_wins_nothing() {
    let unknown = vec![Verdict::Unknown(Doubt::NoChain)];
    for files in [&[".env"][..], &["api.env"], &[".env", "api.env", "z.env.local"]] {
        let scene = Scene::new();
        let line = |version: &str| format!("{KEY}={{{version}}}\n");
        scene.write("real/secret.env", &line("first"));
        files.iter().for_each(|name| scene.write(&format!("app/{name}"), &line("first")));
        // The shell that has read the real file becomes the program.
        let mut command = Command::new("sh");
        command.args(["-c", "set -a; . ../real/secret.env; exec sleep 1000"]).current_dir(scene.path("app"));
        let process = Running::start(&mut command);
        until("it runs", || (scene.started_with(process.pid(), KEY) == "first").then_some(()));
        let chain = scene.chain_of(process.pid(), KEY);
        assert_eq!((chain.keeper.as_str(), chain.next.as_str()), ("not managed", "-"), "{chain:#?}");
        for name in files {
            let link = format!("not visible first @/app/{name}");
            assert!(chain.links.contains(&link), "{link}: {chain:#?}");
        }
        assert_eq!(verdicts(&scene, &process), unknown, "all hold the same");
        scene.write("real/secret.env", &line("second"));
        assert_eq!(verdicts(&scene, &process), unknown, "only what a start reads was changed");
        scene.write("real/secret.env", &line("first"));
        files.iter().for_each(|name| scene.write(&format!("app/{name}"), &line("second")));
        assert_eq!(verdicts(&scene, &process), unknown, "only what no start reads was changed");
    }
}

#[test]
fn a_library_looks_for_its_file_from_where_its_caller_stands() {
    let Some(place) = Place::raise("chains of a library's search") else { return };
    let start = |folder: &str| {
        let line = format!("cd @/{folder} && exec {} @/src/app/worker.py", place.python());
        Running::start(place.command("bash").args(["-c", &place.scene.filled(&line)]))
    };
    let worker = |call: &str| {
        let text = WORKER.replace("load_dotenv('.env'%)", call).replace("'taken", "'@/taken");
        place.scene.write("src/app/worker.py", &text);
    };
    place.scene.write("elsewhere/.env", &format!("{KEY}={{first}}\n"));
    place.scene.write("src/.env", &format!("{KEY}={{second}}\n"));
    for (call, wins, file) in [
        ("load_dotenv()", "second", "src/.env"),
        ("load_dotenv(dotenv.find_dotenv(usecwd=True))", "first", "elsewhere/.env"),
        ("load_dotenv('../src/.env')", "second", "elsewhere/../src/.env"),
    ] {
        worker(call);
        let process = start("elsewhere");
        assert_eq!(place.taken(), wins, "{call}");
        let chain = place.chain(process.pid());
        assert_eq!(
            (chain.next.as_str(), chain.links[0].as_str()),
            (wins, &*format!("wins {wins} @/{file}")),
            "{call} {chain:#?}"
        );
    }
    // A computed path is not guessed, and the nearer of two files wins.
    worker("load_dotenv('/'.join(['..', 'src', '.env']))");
    let process = start("elsewhere");
    assert_eq!(place.taken(), "second");
    let chain = place.chain(process.pid());
    assert_eq!(chain.next, "-", "{chain:#?}");
    drop(process);
    place.scene.write("src/app/.env", &format!("{KEY}={{third}}\n"));
    worker("load_dotenv()");
    let process = start("elsewhere");
    assert_eq!((place.taken().as_str(), place.chain(process.pid()).next.as_str()), ("third", "third"));
}

/// A server names a module, which imports another one that calls the library.
#[test]
fn what_a_module_imports_is_read_and_what_is_only_beside_it_is_not() {
    let Some(place) = Place::raise("modules that call a library") else { return };
    place.scene.write(".env", &format!("{KEY}={{second}}\n"));
    place.scene.write("shop/config.py", "import dotenv\ndotenv.load_dotenv('.env')\n");
    place.scene.write(
        "shop/main.py",
        "import os, time\nfrom shop import config\nopen('ready', 'w').close()\ntime.sleep(1000)\n",
    );
    place.scene.write("shop/alone.py", "import time\nopen('ready', 'w').close()\ntime.sleep(1000)\n");
    let ready = place.scene.path("ready");
    for (module, link) in [("shop.main", "wins second @/.env"), ("shop.alone", "not visible second @/.env")] {
        let worker = Running::start(place.command(&place.python()).args(["-m", module]));
        until("the module runs", || ready.exists().then_some(()));
        std::fs::remove_file(&ready).unwrap();
        assert_eq!(place.chain(worker.pid()).links, [link], "{module}");
    }
}

/// A value that only the file may have had, in a program of which nothing shows that it reads the file.
#[test]
fn a_program_that_may_read_a_file_is_likely_stale_unless_its_value_is_in_another_copy() {
    let Some(place) = Place::raise("programs that may read a file") else { return };
    place.scene.write(".env", &format!("{KEY}={{first}}\n"));
    let reads = "import time\nname = '.e' + 'nv'\nkey = open(name).read().strip()\nopen('ready', 'w').close()\ntime.sleep(1000)\n";
    place.scene.write("odd.py", reads);
    apart();
    let program = Running::start(place.command(&place.python()).arg("odd.py"));
    until("it has read its file", || place.scene.path("ready").exists().then_some(()));
    apart();
    place.scene.write(".env", &format!("{KEY}={{second}}\n"));
    let of_key = || {
        let all = verdicts(&place.scene, &program);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    };
    assert_eq!(of_key(), Verdict::LikelyStale(Doubt::NoChain));
    place.scene.write("elsewhere/app.toml", &format!("{KEY} = \"{{first}}\"\n"));
    assert_eq!(of_key(), Verdict::Unknown(Doubt::NoChain), "it may be from there");
}

#[test]
fn a_shell_hands_on_what_it_was_started_with_and_a_script_reads_its_files_again() {
    let Some(place) = Place::raise("chains of shells") else { return };
    place.scene.write(".env", "");
    let line = format!("{} worker.py; :", place.python());
    let shell =
        Running::start(place.command("bash").args(["-c", &line]).env(KEY, place.scene.value("first")));
    let taken = place.taken();
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!((chain.next.as_str(), taken.as_str()), ("first", "first"), "{chain:#?}");
    assert_eq!(chain.links[0], format!("wins first what shell {} exports since it began", shell.pid()));
    end(worker, shell);
    place.scene.write("api.env", &format!("{KEY}={{first}}\n"));
    place.scene.write("start.sh", &format!("set -a\n. ./api.env\n{line}\n"));
    let start = || Running::start(place.command("bash").arg("start.sh"));
    let shell = start();
    assert_eq!(place.taken(), "first");
    place.scene.write("api.env", &format!("{KEY}={{second}}\n"));
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!(chain.links[0], "wins second @/api.env as @/start.sh reads it", "{chain:#?}");
    assert_eq!(chain.next, "second");
    end(worker, shell);
    let shell = start();
    assert_eq!(place.taken(), chain.next);
    let worker = place.child(&shell);
    end(worker, shell);
    // A line of the script after that wins over the file.
    place.scene.write("start.sh", &format!("set -a\n. ./api.env\n{KEY}={{third}}\n{line}\n"));
    let shell = start();
    assert_eq!(place.taken(), "third");
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!((chain.next.as_str(), chain.links[0].as_str()), ("third", "wins third what @/start.sh sets"));
    assert_eq!(chain.links[1], "shadowed second @/api.env as @/start.sh reads it", "{chain:#?}");
    end(worker, shell);
    // One whose value the text does not have contradicts the file: nothing is predicted.
    place.scene.write("third", "{third}\n");
    place.scene.write("start.sh", &format!("set -a\n. ./api.env\n{KEY}=$(cat third)\n{line}\n"));
    let written = Instant::now();
    until("the file is surely older", || (written.elapsed() > Duration::from_millis(100)).then_some(()));
    let shell = start();
    assert_eq!(place.taken(), "third");
    let worker = place.child(&shell);
    let chain = place.chain(worker);
    assert_eq!(chain.next, "-", "{chain:#?}");
    assert!(chain.links[0].starts_with("not visible "), "{chain:#?}");
    end(worker, shell);
}

#[test]
fn a_line_that_wins_over_the_files_is_not_taken_for_a_file_that_was_never_there() {
    let scene = Scene::new();
    let start = |line: &str| {
        let text = "set -a\n. ./app.env\n[ -r ./local.env ] && . ./local.env\n%\nsleep 100000\n:\n";
        scene.write("app/start.sh", &text.replace('%', line));
        scene.write("app/app.env", &format!("{KEY}={{first}}\n"));
        let written = Instant::now();
        until("the file is surely older", || (written.elapsed() > Duration::from_millis(100)).then_some(()));
        let mut command = Command::new("bash");
        let shell = Running::start(command.arg("start.sh").current_dir(scene.path("app")).env_remove(KEY));
        let sleep = until("its program is executed", || {
            let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.pid()));
            let child: u32 = children.ok()?.split_ascii_whitespace().next()?.parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name == "sleep\n").then_some(child)
        });
        // A new file in the folder: another file that would have won may also be gone.
        scene.write("app/another", "");
        std::fs::remove_file(scene.path("app/another")).unwrap();
        (shell, sleep)
    };
    let (shell, sleep) = start(&format!("{KEY}={{second}}"));
    let chain = scene.chain_of(sleep, KEY);
    assert_eq!(
        (chain.next.as_str(), chain.links[0].as_str()),
        ("second", "wins second what @/app/start.sh sets")
    );
    end(sleep, shell);
    scene.write("app/second", "{second}\n");
    let (shell, sleep) = start(&format!("read -r {KEY} <second; export {KEY}"));
    assert_eq!(scene.started_with(sleep, KEY), "second");
    let chain = scene.chain_of(sleep, KEY);
    assert_eq!(chain.next, "-", "a start from the same script takes it again: {chain:#?}");
    assert!(chain.links[0].starts_with("not visible "), "{chain:#?}");
    end(sleep, shell);
    // If nothing contradicts the file, the file counts.
    let (shell, sleep) = start(":");
    let chain = scene.chain_of(sleep, KEY);
    assert_eq!(
        (scene.started_with(sleep, KEY).as_str(), chain.next.as_str()),
        ("first", "first"),
        "{chain:#?}"
    );
    end(sleep, shell);
}

/// Ends a worker, then the shell that waits for it.
fn end(worker: u32, mut shell: Running) {
    let status = Command::new("kill").arg(worker.to_string()).status().unwrap();
    assert!(status.success());
    shell.0.wait().unwrap();
}
