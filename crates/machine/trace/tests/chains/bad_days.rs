//! Managers that hang, are missing, or have the name of none.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use keyroll_manager::Docker;

use crate::chains::scene::{Running, Scene, until};

const KEY: &str = "ACME_API_KEY";

/// A process with a manager's title, and below it a program with the first version; it ends with its input.
fn manager(scene: &Scene, title: &str) -> Running {
    let mut command = Command::new("sh");
    command.arg0(title).args(["-c", "exec 3<&0; cat <&3 & echo $! >child; wait"]);
    command.current_dir(scene.dir()).env(KEY, scene.value("first"));
    Running::start(&mut command)
}

#[test]
fn a_manager_that_never_answers_takes_its_time_and_no_more_and_its_programs_are_nobody_elses() {
    let mut scene = Scene::new();
    scene.program("docker", "#!/bin/sh\nexec sleep 1000\n");
    let _docker = UnixListener::bind(scene.path("d.sock")).unwrap();
    scene.managers.docker =
        Docker { program: scene.path("docker"), host: format!("unix://{}", scene.path("d.sock").display()) };
    // A pm2 that accepts the question and does not answer, and a file with exactly what its program was started with.
    fs::create_dir(scene.path("home")).unwrap();
    let _pm2 = UnixListener::bind(scene.path("home/rpc.sock")).unwrap();
    let home = scene.path("home").display().to_string();
    let manager = manager(&scene, &format!("PM2 v7.0.4: God Daemon ({home})"));
    scene.write("api.env", &format!("{KEY}={{first}}\n"));
    let child: u32 =
        until("its program has begun", || fs::read_to_string(scene.path("child")).ok()?.trim().parse().ok());
    let survey = scene.survey();
    let why = |what: &str| {
        let found = survey.unseen.iter().find(|one| one.what == what);
        found.unwrap_or_else(|| panic!("{what}: {:#?}", survey.unseen)).reason.clone()
    };
    assert_eq!(why("containers of docker"), "keyroll ended it with its process group at its deadline");
    let apps = format!("the apps of pm2 in {home}");
    assert!(!why(&apps).is_empty());
    let of = survey.services.iter().find(|one| one.processes.iter().any(|id| id.pid == child)).unwrap();
    assert_eq!((of.name.as_str(), of.chains.len()), (apps.as_str(), 0), "{of:#?}");
    assert!(Command::new("kill").arg(child.to_string()).status().unwrap().success());
    drop(manager);
}

#[test]
fn a_machine_without_an_engine_is_not_told_of_one() {
    let mut scene = Scene::new();
    scene.managers.docker =
        Docker { host: format!("unix://{}", scene.path("none.sock").display()), ..Docker::default() };
    let unseen = scene.survey().unseen;
    assert!(!unseen.iter().any(|one| one.what.contains("docker")), "{unseen:#?}");
}

#[test]
fn a_name_with_escape_codes_is_shown_without_them_and_no_command_is_made_of_one() {
    let scene = Scene::new();
    let folder = "a\u{1b}[31m$(touch x);b";
    scene.write(&format!("{folder}/.env"), &format!("{KEY}={{second}}\n"));
    scene.write(&format!("{folder}/start.sh"), "set -a\n. ./.env\ncat <&0 & wait\n");
    let mut command = Command::new("bash");
    command.arg(scene.path(folder).join("start.sh")).current_dir(scene.path(folder));
    let shell = Running::start(&mut command);
    let children = format!("/proc/{0}/task/{0}/children", shell.pid());
    let child: u32 = until("it has a child", || {
        fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
    });
    let survey = scene.survey();
    let of = survey.services.iter().find(|one| one.processes.iter().any(|id| id.pid == child)).unwrap();
    let chain = of.chain(KEY).unwrap();
    for link in &chain.links {
        let texts = [Some(&link.what), link.applies.as_ref(), link.seems.as_ref()];
        for text in texts.into_iter().flatten() {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
    let applies = chain.links[0].applies.as_deref().unwrap();
    // The path is one quoted word, and no command of the two runs it.
    assert!(applies.contains(", then run '/") && applies.ends_with("b/start.sh' again"), "{applies}");
    assert!(applies.starts_with("end process ") && applies.contains("touch"), "{applies}");
}
