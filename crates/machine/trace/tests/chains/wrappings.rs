//! A value with something around it, as a reader passed it on that does not take it off: one version, and it is said.

use std::process::Command;

use keyroll_secret::SecretBytes;
use keyroll_trace::{MemoryStage, Place, Sighting, Survey, Verdict, rows, secrets};

use crate::chains::scene::{Running, Scene, apart, until};

const KEY: &str = "ACME_API_KEY";

fn is_sleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
}

fn searched(scene: &Scene, pid: u32) -> Survey {
    let mut survey = scene.survey();
    let which = survey.instances.keys().filter(|id| id.pid == pid).copied().collect();
    let ahead = survey.memory_ahead(&which);
    survey.search_memory(&ahead, MemoryStage::default(), &mut |_, _| {});
    survey
}

/// How many values the secret of the key has, the verdict about a process, and what the winning link is called.
fn told(survey: &Survey, pid: u32) -> (Vec<usize>, Vec<Verdict>, String) {
    let found = secrets(survey, &[]);
    let in_process = |at: &Sighting| {
        at.name.as_deref() == Some(KEY) && at.place.process().is_some_and(|process| process.pid == pid)
    };
    let own: Vec<_> = found.iter().filter(|one| one.sightings.iter().any(in_process)).collect();
    let of = own.iter().flat_map(|one| rows(survey, one)).filter(|row| row.process.pid == pid);
    let of: Vec<_> = of.filter(|row| row.chain.is_some_and(|chain| chain.name == KEY)).collect();
    let what = of.iter().filter_map(|row| Some(row.chain?.winner()?.what.clone())).collect();
    (own.iter().map(|one| one.values.len()).collect(), of.iter().map(|row| row.verdict).collect(), what)
}

#[test]
fn a_value_in_a_wrapping_is_one_version_and_what_it_breaks_is_said() {
    for (plain, given, says) in [
        ("{first}", "'{first}'", "in quotes"),
        ("{first}", "\"{first}\"", "in quotes"),
        ("{first}", "`{first}`", "in quotes"),
        ("{first}", "{first}\r", "carriage return"),
        ("{first}", "'{first}'\r", "carriage return"),
        ("{first}", "{first} ", "with blanks around it"),
        ("{first}", "\u{feff}{first}", "byte order mark"),
        ("{first}%2B{third}", "{first}%%2B{third}", "each % doubled"),
        ("{first}", "{first}", ""),
    ] {
        let scene = Scene::new();
        let file =
            |value: &str| format!("PORT=8080\n{KEY}={value}\nDATABASE={}/orders\n", scene.dir().display());
        scene.write("app/.env", &file(plain));
        apart();
        let mut command = Command::new("sleep");
        command.arg("100000").current_dir(scene.path("app")).env(KEY, scene.filled(given));
        command.env("PORT", "8080").env("DATABASE", format!("{}/orders", scene.dir().display()));
        let process = Running::start(&mut command);
        until("it runs", || is_sleep(process.pid()).then_some(()));
        let (values, verdicts, what) = told(&searched(&scene, process.pid()), process.pid());
        assert_eq!((values, verdicts), (vec![1], vec![Verdict::Current]), "{given}");
        assert!(
            what.contains(says) && what.contains("was started with it") != says.is_empty(),
            "{given}: {what}"
        );
        // The value in the file is another one now: in its wrapping, too, the process has the old one.
        apart();
        scene.write("app/.env", &file("{second}"));
        let (_, verdicts, what) = told(&searched(&scene, process.pid()), process.pid());
        assert_eq!(verdicts, [Verdict::Stale], "{given}");
        assert!(!what.contains("was started with it"), "{given}: {what}");
    }
}

/// A process that has only the wrapping of a value, and that in its memory alone, has the value.
#[test]
fn a_wrapping_in_memory_alone_is_the_value() {
    for (plain, wrapped) in [
        ("{first}%{third}", "{first}%%{third}"),
        ("{first}#{third}", "{first}\\\\#{third}"),
        ("{first}", "'{first}'"),
    ] {
        let scene = Scene::new();
        scene.write("a.json", &format!("{{\"db_password\":\"{wrapped}\"}}\n"));
        scene.write("b.json", &format!("{{\"db_password\":\"{plain}\"}}\n"));
        let text = "import json,time\nv=json.load(open('a.json'))['db_password']\nopen('read','w').close()\ntime.sleep(100000)\n";
        scene.write("p.py", text);
        let mut command = Command::new("python3");
        let process = Running::start(command.arg("p.py").current_dir(scene.dir()).env_remove(KEY));
        until("it has read the value", || scene.path("read").exists().then_some(()));
        let survey = searched(&scene, process.pid());
        let inner = SecretBytes::from(scene.filled(plain));
        let value = survey.values.of(&inner).unwrap();
        let holds = survey.sightings.iter().any(|one| {
            one.value == value
                && matches!(one.place, Place::Memory { process: seen } if seen.pid == process.pid())
        });
        assert!(holds, "{wrapped}");
    }
}

/// A shell that reads a file with line ends of Windows has a carriage return in each value.
#[test]
fn a_file_with_line_ends_of_windows_is_one_version_for_a_shell() {
    let scene = Scene::new();
    scene.write("app/.env", &format!("PORT=8080\r\nexport {KEY}={{first}}\r\nDATABASE=@/orders\r\n"));
    apart();
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", "set -a; . ./.env; exec sleep 100000"]).current_dir(scene.path("app"));
    let process = Running::start(command.env_remove(KEY));
    until("it runs", || is_sleep(process.pid()).then_some(()));
    let (values, verdicts, what) = told(&searched(&scene, process.pid()), process.pid());
    assert_eq!((values, verdicts), (vec![1], vec![Verdict::Current]));
    assert!(what.contains("with a carriage return or a line end behind it"), "{what}");
}

/// A file that is read differently by different readers counts as its own reader reads it; where nobody knows the
/// reader, or the reader does not see the name, it is said who reads what.
#[test]
fn a_line_that_readers_read_differently_counts_as_its_reader_reads_it() {
    for (line, known, says) in [
        (format!("{KEY}={{first}}#{{second}}"), true, ""),
        (
            format!("\u{feff}{KEY}={{first}}"),
            false,
            "a byte order mark before the name: read as it is written by",
        ),
        (format!("{KEY} = {{first}}"), false, "blanks around the `=`: read as it is written by"),
        (format!("{KEY}= {{first}}"), false, "blanks around the `=`: read as it is written by"),
        (format!("{KEY}: {{first}}"), false, "a colon in place of the `=`: read as it is written by"),
        // The shell has what is before the `;`, and the environment of the program shows it.
        (format!("{KEY}={{first}};{{second}}"), true, ""),
    ] {
        let scene = Scene::new();
        scene.write("app/.env", &format!("{line}\nB=1\n"));
        scene.write("app/start.sh", "set -a\n. ./.env 2>/dev/null\nsleep 100000\n:\n");
        let mut command = Command::new("bash");
        command.arg("start.sh").current_dir(scene.path("app")).env_remove(KEY);
        let shell = Running::start(&mut command);
        let pid = until("its program is executed", || {
            let path = format!("/proc/{0}/task/{0}/children", shell.pid());
            let child = std::fs::read_to_string(path).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
            is_sleep(child).then_some(child)
        });
        let survey = scene.survey();
        let of = |one: &&keyroll_trace::Service| one.processes.iter().any(|id| id.pid == pid);
        let chains: Vec<_> = survey.services.iter().filter(of).flat_map(|one| &one.chains).collect();
        let [chain] = chains[..] else { panic!("{line}: {chains:?}") };
        assert_eq!(chain.name, KEY, "{line}");
        assert_eq!(chain.winner().is_some(), known, "{line}: {chain:?}");
        let told = chain
            .links
            .iter()
            .any(|link| matches!(link.role, keyroll_trace::LinkRole::NotVisible(why) if why.contains(says)));
        assert!(known || told, "{line}: {chain:?}");
        let ended = Command::new("kill").arg(pid.to_string()).status().unwrap();
        assert!(ended.success());
    }
}
