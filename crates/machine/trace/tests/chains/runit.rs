//! A service of a real runsv: its `run` script sets the environment anew at each start.

use std::fs;
use std::process::{Child, Command, Stdio};

use keyroll_trace::{MemoryStage, Survey, Verdict, rows, secrets};

use crate::chains::scene::{Scene, apart, until};

const KEY: &str = "ACME_API_KEY";

/// Ends the service and its supervisor.
struct Supervised<'s>(Child, &'s Scene);

impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        // A name that does not begin with a slash is one of the machine's services.
        drop(Command::new("sv").arg("exit").arg(self.1.path("app")).stdout(Stdio::null()).status());
        drop(self.0.wait());
    }
}

fn is_sleep(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
}

fn pid(scene: &Scene) -> u32 {
    until("its program runs", || {
        let pid: u32 = fs::read_to_string(scene.path("app/supervise/pid")).ok()?.trim().parse().ok()?;
        is_sleep(pid).then_some(pid)
    })
}

fn looked(scene: &Scene, pid: u32) -> (Survey, Vec<Verdict>) {
    let mut survey = scene.survey();
    let which = survey.instances.keys().filter(|id| id.pid == pid).copied().collect();
    let ahead = survey.memory_ahead(&which);
    survey.search_memory(&ahead, MemoryStage::default(), &mut |_, _| {});
    let found = secrets(&survey, &[]);
    let rows = found.iter().flat_map(|found| rows(&survey, found));
    let own = |row: &keyroll_trace::Row<'_>| {
        row.process.pid == pid && row.chain.is_some_and(|chain| chain.name == KEY)
    };
    let verdicts = rows.filter(own).map(|row| row.verdict).collect();
    (survey, verdicts)
}

#[test]
fn a_service_whose_script_reads_a_file_is_stale_once_that_is_changed_and_its_own_start_is_no_source() {
    if Command::new("runsv").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "runit is not installed");
        eprintln!("left out: runit is not installed");
        return;
    }
    let scene = Scene::new();
    let file = |version: &str| format!("PORT=8080\n{KEY}={{{version}}}\nDATABASE=@/orders\n");
    scene.write("shop/.env", &file("first"));
    fs::create_dir(scene.path("app")).unwrap();
    scene.program("app/run", "#!/bin/sh\ncd ../shop\nset -a\n. ./.env\nexec sleep 100000\n");
    apart();
    let mut command = Command::new("runsv");
    command.arg("app").current_dir(scene.dir()).env_remove(KEY).stdin(Stdio::null());
    let _runs = Supervised(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), &scene);
    let first = pid(&scene);
    apart();
    assert_eq!(looked(&scene, first).1, [Verdict::Current]);
    scene.write("shop/.env", &file("second"));
    let (survey, verdicts) = looked(&scene, first);
    assert_eq!(verdicts, [Verdict::Stale]);
    let service = survey.services.iter().find(|one| one.processes.iter().any(|id| id.pid == first)).unwrap();
    let applies = service.chain(KEY).unwrap().winner().unwrap().applies.clone().unwrap();
    assert_eq!(applies, format!("sv restart {}", scene.path("app").display()));
    assert!(Command::new("sh").args(["-c", &applies]).stdout(Stdio::null()).status().unwrap().success());
    let second = until("it was restarted", || Some(pid(&scene)).filter(|pid| *pid != first));
    apart();
    assert_eq!(looked(&scene, second).1, [Verdict::Current]);
    assert_eq!(scene.started_with(second, KEY), "second");
    // Nothing explains its environment any more: what it was started with is no source of the next start.
    scene.write("shop/.env", "OTHER=1\n");
    assert!(matches!(looked(&scene, second).1[..], [] | [Verdict::Unknown(_)]));
}
