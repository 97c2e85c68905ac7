//! Who still has the old value: programs that a shell started from a file, and that file was changed since.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll_testkit::ManagerTools;
use keyroll_trace::{Basis, Doubt, MemoryStage, Sighting, Survey, Verdict, rows, secrets};

use crate::chains::scene::{Running, Scene, apart, until};

const KEY: &str = "ACME_API_KEY";

/// A program that keeps its environment, and nothing else, for as long as the test runs.
const PROGRAM: &str = "exec sleep 100000";

/// A file of three names, of which one is the key and one has a value that no other scene has.
fn file(version: &str) -> String {
    format!("PORT=8080\n{KEY}={{{version}}}\nDATABASE=@/orders\n")
}

/// Starts a shell with this text in a folder of the scene, and waits until it became `sleep`.
fn start(scene: &Scene, folder: &str, text: &str) -> Running {
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", text]).current_dir(scene.path(folder)).env_remove(KEY);
    let running = Running::start(&mut command);
    until("it runs", || is_sleep(running.pid()).then_some(()));
    apart();
    running
}

fn is_sleep(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
}

/// A survey of the scene, with the memory of these processes.
fn searched(scene: &Scene, pids: &[u32]) -> Survey {
    let mut survey = scene.survey();
    let which = survey.instances.keys().filter(|id| pids.contains(&id.pid)).copied().collect();
    let ahead = survey.memory_ahead(&which);
    survey.search_memory(&ahead, MemoryStage::default(), &mut |_, _| {});
    survey
}

/// The verdicts about the key in one process.
fn verdicts_in(survey: &Survey, pid: u32) -> Vec<Verdict> {
    let found = secrets(survey, &[]);
    let rows = found.iter().flat_map(|found| rows(survey, found));
    let rows = rows.filter(|row| row.process.pid == pid && row.chain.is_none_or(|chain| chain.name == KEY));
    rows.map(|row| row.verdict).collect()
}

/// The names of the secrets whose values stand in a process under the name of the key.
fn secrets_of(survey: &Survey, pid: u32) -> Vec<String> {
    let of = |one: &Sighting| {
        one.name.as_deref() == Some(KEY) && one.place.process().is_some_and(|process| process.pid == pid)
    };
    let found = secrets(survey, &[]).into_iter().filter(|found| found.sightings.iter().any(of));
    found.map(|found| found.name).collect()
}

fn verdicts(scene: &Scene, process: &Running) -> Vec<Verdict> {
    verdicts_in(&searched(scene, &[process.pid()]), process.pid())
}

#[test]
fn a_program_that_was_started_from_a_file_is_stale_once_the_file_is_changed_and_current_before() {
    for text in [
        "set -a; . ./.env; set +a; exec sleep 100000",
        "set -a && source .env && exec sleep 100000",
        "exec env $(grep -v '^#' .env | xargs) sleep 100000",
        "export $(xargs <.env); exec sleep 100000",
        "while IFS== read -r name value; do export \"$name=$value\"; done <.env; exec sleep 100000",
    ] {
        let scene = Scene::new();
        scene.write("app/.env", &file("first"));
        apart();
        let process = start(&scene, "app", text);
        assert_eq!(verdicts(&scene, &process), [Verdict::Current], "{text}");
        // Written anew with the same content: only its time is another one.
        scene.write("app/.env", &file("first"));
        assert_eq!(verdicts(&scene, &process), [Verdict::Current], "{text}");
        scene.write("app/.env", &file("second"));
        assert_eq!(verdicts(&scene, &process), [Verdict::Stale], "{text}");
        // A name more, and another value of a second name: still the same file.
        scene.write("app/.env", &format!("{}LOG_LEVEL=info\n", file("second").replace("8080", "9090")));
        assert_eq!(verdicts(&scene, &process), [Verdict::Stale], "{text}");
        // One that was started since is current, beside the first.
        apart();
        let second = start(&scene, "app", text);
        let survey = searched(&scene, &[process.pid(), second.pid()]);
        assert_eq!(verdicts_in(&survey, process.pid()), [Verdict::Stale], "{text}");
        assert_eq!(verdicts_in(&survey, second.pid()), [Verdict::Current], "{text}");
        assert_eq!(secrets_of(&survey, process.pid()), secrets_of(&survey, second.pid()), "{text}");
    }
}

#[test]
fn without_its_memory_or_with_an_older_file_renamed_into_place_it_is_only_likely() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write("new", &file("second"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    fs::rename(scene.path("new"), scene.path("app/.env")).unwrap();
    let survey = scene.survey();
    let unsearched = Verdict::LikelyStale(Doubt::MemoryNotSearched);
    assert_eq!(verdicts_in(&survey, process.pid()), [Verdict::LikelyStale(Doubt::NoChain)]);
    assert_eq!(
        verdicts(&scene, &process),
        [Verdict::LikelyStale(Doubt::NoChain)],
        "chmod leaves the same times, and then nothing was changed"
    );
    drop((process, unsearched));
    // New rights alone, of a file over which the program has a value of its own.
    scene.write("app/.env", &file("first"));
    apart();
    let text = format!("set -a; . ./.env; {KEY}={{third}}; {PROGRAM}");
    let process = start(&scene, "app", &scene.filled(&text));
    fs::set_permissions(scene.path("app/.env"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(verdicts(&scene, &process), [Verdict::Stale]);
}

#[test]
fn a_value_of_its_own_is_not_the_former_value_of_the_file() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    apart();
    // Nothing else of the file is in its environment.
    let process = start(&scene, "app", &scene.filled(&format!("{KEY}={{third}} {PROGRAM}")));
    scene.write("app/.env", &file("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Unknown(Doubt::NoChain)]);
    drop(process);
    // Everything else is, and the file was not changed since: the key was set on top of it.
    let text = format!("set -a; . ./.env; {KEY}={{third}}; {PROGRAM}");
    apart();
    let process = start(&scene, "app", &scene.filled(&text));
    assert_eq!(verdicts(&scene, &process), [Verdict::Unknown(Doubt::NoChain)]);
}

#[test]
fn of_two_files_the_one_that_agrees_counts_and_a_decoy_makes_nobody_stale() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write("app/.env.production", &file("first"));
    scene.write("app/.env.bak", &file("third"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    scene.write("app/.env.production", &file("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Current], "the file that nobody reads was changed");
    // Two that agree alike, neither of which is the default: nobody can tell which one it was.
    fs::remove_file(scene.path("app/.env")).unwrap();
    scene.write("app/.env.staging", &file("first"));
    apart();
    let torn = start(&scene, "app", &format!("set -a; . ./.env.staging; {PROGRAM}"));
    scene.write("app/.env.production", &file("fourth"));
    assert_eq!(verdicts(&scene, &torn), [Verdict::Unknown(Doubt::NoChain)]);
    // A copy that was made after the start cannot be where it was started from.
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    fs::copy(scene.path("app/.env"), scene.path("app/yesterday.env")).unwrap();
    scene.write("app/.env", &file("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Stale]);
    // A second copy of the program beside it: its file differs in the key alone, and was changed.
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write("twin/.env", &file("third"));
    apart();
    let text = format!("set -a; . ./.env; {KEY}={{fourth}}; {PROGRAM}");
    let own = start(&scene, "app", &scene.filled(&text));
    scene.write("twin/.env", &file("second"));
    assert_eq!(verdicts(&scene, &own), [Verdict::Unknown(Doubt::NoChain)]);
    // Where no file of its own has the name, it is likely.
    fs::remove_file(scene.path("app/.env")).unwrap();
    assert_eq!(verdicts(&scene, &own), [Verdict::LikelyStale(Doubt::NoChain)]);
    // The file of another program with names of the same kind says nothing.
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write("other/.env", &file("third").replace("orders", "letters"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    scene.write("other/.env", &file("second").replace("orders", "letters"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Current]);
}

#[test]
fn a_file_with_the_name_alone_makes_it_likely_unless_another_copy_has_its_value() {
    let line = |version: &str| format!("{KEY}={{{version}}}\n");
    let scene = Scene::new();
    scene.write("app/.env", &line("first"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    scene.write("app/.env", &line("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::LikelyStale(Doubt::NoChain)]);
    scene.write("another/.env", &line("first"));
    let of_another = "another program was given the same value by a file of the same name";
    assert_eq!(verdicts(&scene, &process), [Verdict::LikelyStale(Doubt::NoChain)], "{of_another}");
    scene.write("elsewhere/real.env", &line("first"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Unknown(Doubt::NoChain)], "it may be from there");
    fs::rename(scene.path("elsewhere/real.env"), scene.path("app/.env.bak")).unwrap();
    assert_eq!(verdicts(&scene, &process), [Verdict::LikelyStale(Doubt::NoChain)], "a leftover is no source");
}

#[test]
fn a_link_counts_with_the_file_behind_it() {
    let scene = Scene::new();
    scene.write("shared/.env", &file("first"));
    fs::create_dir_all(scene.path("app")).unwrap();
    std::os::unix::fs::symlink("../shared/.env", scene.path("app/.env")).unwrap();
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Current]);
    scene.write("shared/.env", &file("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Stale], "the file behind the link was changed");
    // Another file behind the link, which is older than the process.
    scene.write("next/.env", &file("third"));
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    fs::remove_file(scene.path("app/.env")).unwrap();
    std::os::unix::fs::symlink("../next/.env", scene.path("app/.env")).unwrap();
    assert_eq!(verdicts(&scene, &process), [Verdict::Stale], "the link was made anew");
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./.env; {PROGRAM}"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Current]);
}

/// A folder with a file for each variable, as `envdir` and `chpst -e` read it.
#[test]
fn a_folder_of_values_is_a_source_as_a_file_of_variables_is() {
    let scene = Scene::new();
    let write = |version: &str| scene.write(&format!("app/env/{KEY}"), &format!("{{{version}}}\n"));
    write("first");
    scene.write("app/env/DATABASE", "@/orders\n");
    apart();
    let text = format!("for one in env/*; do export \"${{one#env/}}=$(cat $one)\"; done; {PROGRAM}");
    let process = start(&scene, "app", &text);
    write("first");
    assert_eq!(verdicts(&scene, &process), [Verdict::Current]);
    write("second");
    let survey = searched(&scene, &[process.pid()]);
    assert_eq!(verdicts_in(&survey, process.pid()), [Verdict::Stale]);
    let chains = chains_in(&survey, process.pid());
    let place = chains[0].links[0].place.clone().unwrap();
    assert_eq!(place.file(), Some(scene.path(&format!("app/env/{KEY}")).as_path()));
    // Another file of the folder is newer, and says nothing about this one.
    let text = format!(
        "for one in env/*; do export \"${{one#env/}}=$(cat $one)\"; done; {KEY}={{third}}; {PROGRAM}"
    );
    apart();
    let process = start(&scene, "app", &scene.filled(&text));
    scene.write("app/env/DATABASE", "@/orders\n");
    assert_ne!(verdicts(&scene, &process), [Verdict::Stale]);
}

/// The program itself has none of the variables: what it starts has them from the file.
#[test]
fn a_program_that_reads_a_file_for_what_it_starts_is_judged_by_that() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write(
        "app/start.py",
        "import os\nown = dict(os.environ)\nfor line in open('.env'):\n    name, value = line.strip().split('=', 1)\n    \
         own[name] = value\nos.spawnvpe(os.P_WAIT, 'sleep', ['sleep', '100000'], own)\n",
    );
    apart();
    let mut command = Command::new("python3");
    let mut parent = Running::start(command.arg("start.py").current_dir(scene.path("app")).env_remove(KEY));
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", parent.pid())).unwrap();
    let child = until("it has a child", || children().trim().parse().ok().filter(|pid| is_sleep(*pid)));
    apart();
    assert_eq!(verdicts_in(&searched(&scene, &[child]), child), [Verdict::Current]);
    scene.write("app/.env", &file("second"));
    let survey = searched(&scene, &[child]);
    assert_eq!(verdicts_in(&survey, child), [Verdict::Stale]);
    let applies = chains_in(&survey, child)[0].likely().unwrap().applies.clone().unwrap();
    let wanted = format!("end process {}, then start it again as before", parent.pid());
    assert_eq!(applies, wanted, "the parent reads it");
    drop(Command::new("kill").arg(child.to_string()).status());
    drop(parent.0.wait());
}

#[test]
fn what_a_shell_read_before_the_file_was_changed_is_current_beside_an_edit_that_is_not_read() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    apart();
    let mut shell = Typed::begin(&scene.path("app"));
    let before = shell.starts("set -a; . ./.env; set +a; sleep 100000 &");
    scene.write("app/.env", &file("second"));
    apart();
    let after = shell.starts("sleep 100000 &");
    let survey = searched(&scene, &[before, after, shell.0.id()]);
    assert_eq!(verdicts_in(&survey, before), [Verdict::Stale]);
    assert_eq!(verdicts_in(&survey, after), [Verdict::Current]);
    let links = links(&survey, after);
    let unread = format!("NotRead {}", scene.path("app/.env").display());
    assert!(links.first().unwrap().starts_with("Wins what shell") && links.contains(&unread), "{links:?}");
    // A file that was not changed since the shell began has another value for another reason.
    let mut shell = Typed::begin(&scene.path("app"));
    let own =
        shell.starts(&scene.filled(&format!("set -a; . ./.env; set +a; {KEY}={{third}}; sleep 100000 &")));
    let links = self::links(&searched(&scene, &[own, shell.0.id()]), own);
    assert!(!links.contains(&unread), "{links:?}");
}

/// The file that was read is in a folder below, and the one that was changed is where programs usually look.
#[test]
fn the_default_makes_nobody_stale_where_a_file_below_explains_everything() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    scene.write("app/config/production.env", &file("first"));
    apart();
    let process = start(&scene, "app", &format!("set -a; . ./config/production.env; {PROGRAM}"));
    scene.write("app/.env", &file("second"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Unknown(Doubt::NoChain)]);
    scene.write("app/config/production.env", &file("third"));
    assert_eq!(verdicts(&scene, &process), [Verdict::Stale], "neither has its value any more");
}

#[test]
fn nobody_of_fifty_is_called_stale_while_all_are_current() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    apart();
    let all: Vec<Running> =
        (0..50).map(|_| start_soon(&scene, &format!("set -a; . ./.env; {PROGRAM}"))).collect();
    all.iter().for_each(|one| until("it runs", || is_sleep(one.pid()).then_some(())));
    scene.write("app/.env", &file("first"));
    scene.write("app/.env.old", &file("second"));
    scene.write("app/.env.example", &file("third"));
    let pids: Vec<u32> = all.iter().map(Running::pid).collect();
    let survey = searched(&scene, &pids);
    for pid in pids {
        assert_eq!(verdicts_in(&survey, pid), [Verdict::Current], "{pid}");
    }
}

fn start_soon(scene: &Scene, text: &str) -> Running {
    let mut command = Command::new("bash");
    Running::start(command.args(["--norc", "-c", text]).current_dir(scene.path("app")).env_remove(KEY))
}

/// An interactive shell, which is typed to; its children end with it.
struct Typed(Child);

impl Typed {
    fn begin(folder: &Path) -> Self {
        let mut command = Command::new("bash");
        command.args(["--norc", "-s"]).current_dir(folder).env_remove(KEY);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Types a line; returns its new child, which is `sleep`.
    fn starts(&mut self, line: &str) -> u32 {
        let before = self.children();
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        let child = until("a child", || {
            self.children().into_iter().find(|one| !before.contains(one) && is_sleep(*one))
        });
        apart();
        child
    }

    fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.0.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|one| one.parse().ok()).collect()
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        for child in self.children() {
            drop(Command::new("kill").arg(child.to_string()).status());
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_shell_is_a_source_only_if_its_memory_has_the_value() {
    let scene = Scene::new();
    scene.write("app/.env", &file("first"));
    apart();
    let mut shell = Typed::begin(&scene.path("app"));
    // The shell itself never has it.
    let once = shell.starts("env $(cat .env | xargs) sleep 100000 &");
    let survey = searched(&scene, &[once, shell.0.id()]);
    assert_eq!(verdicts_in(&survey, once), [Verdict::Current], "the file has it");
    scene.write("app/.env", &file("second"));
    let survey = searched(&scene, &[once, shell.0.id()]);
    assert_eq!(verdicts_in(&survey, once), [Verdict::Stale]);
    let links = links(&survey, once);
    assert!(links.iter().all(|link| !link.contains("shell")), "{links:?}");
    // What it was told to export has another value than the file, and no file says so.
    let mut shell = Typed::begin(&scene.path(""));
    let own = shell.starts(&scene.filled(&format!("export {KEY}={{fourth}}; sleep 100000 &")));
    let before = verdicts_in(&scene.survey(), own);
    assert_eq!(before, [Verdict::Unknown(Doubt::NoChain)], "its memory was not searched yet");
    let survey = searched(&scene, &[own, shell.0.id()]);
    assert_eq!(verdicts_in(&survey, own), [Verdict::Current]);
    // Two children with different values do not both take theirs from it.
    let other = shell.starts(&scene.filled(&format!("{KEY}={{third}} sleep 100000 &")));
    let survey = searched(&scene, &[own, other, shell.0.id()]);
    for pid in [own, other] {
        assert_ne!(verdicts_in(&survey, pid), [Verdict::Stale]);
        assert!(links_of(&survey, pid).iter().all(|basis| *basis != Basis::Names), "{pid}");
    }
    assert_ne!(verdicts_in(&survey, other), [Verdict::Current], "it was given to this one alone");
}

/// What replaced itself by the program, or set a variable for it alone, is not there any more: nobody knows what gives
/// the next start its value, and no command is advised.
#[test]
fn what_was_set_between_a_shell_and_its_program_has_no_winner() {
    for (line, known) in [
        (format!("{KEY}={{fourth}} sleep 100000 &"), false),
        (format!("env {KEY}={{fourth}} sleep 100000 &"), false),
        ("(set -a; . ./key.env; exec sleep 100000) &".to_owned(), false),
        ("./run.sh &".to_owned(), false),
        (format!("export {KEY}={{fourth}}; sleep 100000 &"), true),
        ("set -a; . ./key.env; set +a; sleep 100000 &".to_owned(), true),
    ] {
        let scene = Scene::new();
        scene.write("app/key.env", &format!("{KEY}={{fourth}}\n"));
        scene.write("app/.env", &file("first"));
        scene.program("app/run.sh", "#!/bin/sh\nset -a\n. ./.env\n. ./key.env\nexec sleep 100000\n");
        apart();
        let mut shell = Typed::begin(&scene.path("app"));
        let pid = shell.starts(&scene.filled(&line));
        let survey = searched(&scene, &[pid, shell.0.id()]);
        let [chain] = chains_in(&survey, pid)[..] else { panic!("{line}") };
        assert_eq!(chain.winner().is_some(), known, "{line}: {chain:#?}");
        if known {
            assert!(chain.links[0].what.contains("has exported since it began"), "{line}: {chain:#?}");
            continue;
        }
        assert_eq!(verdicts_in(&survey, pid), [Verdict::Unknown(Doubt::NoChain)], "{line}");
        let advised: Vec<_> = chain.links.iter().filter_map(|link| link.applies.as_ref()).collect();
        assert!(advised.is_empty(), "{line}: {advised:?}");
    }
}

/// The same below a shell that runs a text, which does not set the name; and a shell's own value is not that of a program
/// that was started with another.
#[test]
fn a_shell_is_no_source_of_a_value_that_it_does_not_have() {
    for own in [None, Some("third")] {
        let scene = Scene::new();
        scene.write("app/key.env", &format!("{KEY}={{fourth}}\n"));
        scene.program("app/run.sh", "#!/bin/sh\nset -a\n. ./key.env\nexec sleep 100000\n");
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", "./run.sh; :"]).current_dir(scene.path("app")).env_remove(KEY);
        if let Some(own) = own {
            command.env(KEY, scene.value(own));
        }
        let shell = Running::start(&mut command);
        let pid = until("it runs", || {
            let path = format!("/proc/{0}/task/{0}/children", shell.pid());
            let child = fs::read_to_string(path).ok()?.trim().parse().ok()?;
            is_sleep(child).then_some(child)
        });
        let _ends = Ends(pid);
        let survey = searched(&scene, &[pid, shell.pid()]);
        let [chain] = chains_in(&survey, pid)[..] else { panic!("{own:?}") };
        assert!(chain.winner().is_none() && chain.next().is_none(), "{own:?}: {chain:#?}");
        assert_eq!(verdicts_in(&survey, pid), [Verdict::Unknown(Doubt::NoChain)], "{own:?}");
        assert!(chain.links.iter().all(|link| link.applies.is_none()), "{own:?}: {chain:#?}");
    }
}

/// Ends a process with its test.
struct Ends(u32);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.0.to_string()).status());
    }
}

fn chains_in(survey: &Survey, pid: u32) -> Vec<&keyroll_trace::Chain> {
    let own = survey.services.iter().filter(|one| one.processes.iter().any(|id| id.pid == pid));
    own.flat_map(|one| &one.chains).filter(|chain| chain.name == KEY).collect()
}

fn links(survey: &Survey, pid: u32) -> Vec<String> {
    let links = chains_in(survey, pid).into_iter().flat_map(|chain| &chain.links);
    links.map(|link| format!("{:?} {}", link.role, link.what)).collect()
}

fn links_of(survey: &Survey, pid: u32) -> Vec<Basis> {
    chains_in(survey, pid).into_iter().flat_map(|chain| &chain.links).map(|link| link.basis).collect()
}

/// Reads its file with the real library, and keeps the value as this expression makes it.
const READER: &str = "import base64, dotenv, os, time\ndotenv.load_dotenv()\nkey = %\nfor name in list(os.environ):\n    if name.startswith('ACME'):\n        del os.environ[name]\nopen('ready', 'w').close()\ntime.sleep(100000)\n";

#[test]
fn a_value_of_which_no_copy_is_left_is_found_where_its_reader_has_it() {
    let Some(tools) = ManagerTools::or_skip("values without a copy", env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    for (kept, wanted) in [
        ("os.environ.pop('ACME_API_KEY')", Verdict::Stale),
        ("'ACME_API_KEY=' + os.environ['ACME_API_KEY']", Verdict::Stale),
    ] {
        let scene = Scene::new();
        scene.write("app/.env", &file("first"));
        scene.write("app/reader.py", &READER.replace('%', kept));
        apart();
        let mut command = Command::new(tools.program("python3"));
        command.arg("reader.py").current_dir(scene.path("app")).env_remove(KEY);
        let process = Running::start(&mut command);
        until("it has read its file", || scene.path("app/ready").exists().then_some(()));
        assert_eq!(verdicts(&scene, &process), [Verdict::Current], "{kept}");
        apart();
        scene.write("app/.env", &file("second"));
        let found = verdicts(&scene, &process);
        assert_eq!(found, [wanted], "{kept}");
        let survey = searched(&scene, &[process.pid()]);
        assert_eq!(secrets_of(&survey, process.pid()).len(), 1, "both values are one secret");
    }
}
