//! A value with something around it, as a reader passed it on that does not take it off: one version, and it is said.

use std::process::Command;

use keyroll_trace::{MemoryStage, Sighting, Survey, Verdict, rows, secrets};

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
