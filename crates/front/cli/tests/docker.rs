//! Services of a real docker compose, with a key in their environment. The key is replaced while they call their issuer
//! all the time.

pub(crate) mod scene;
pub(crate) mod shop;

use std::fs;

use rustix::process::Signal;
use scene::Scene;

use crate::hostile::ran::{self, Ran};

#[test]
fn services_are_moved_one_by_one_while_they_call() {
    let Some(scene) = Scene::raise("services of docker compose") else { return };
    let other = scene.shop.container("other");
    // An old container that was not started again.
    let variables = scene.path("shop/worker.env").display().to_string();
    let idle = ["create", "--name", "idle", "--env-file", &variables, "--network", "none", shop::IMAGE];
    scene.shop.docker(&[&idle[..], &["/bin/sleep", "1000"]].concat());
    let idle = "the stopped container idle";
    let told = |ran: &Ran| ran.of("not_visible").iter().any(|event| event["what"] == idle);
    let planned = scene.run(&["plan", "ring"]);
    assert!(told(planned.exits(0)), "{}", planned.text);
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    assert!(told(&ran), "{}", ran.text);
    scene.shop.docker(&["rm", "idle"]);
    assert!(!told(&scene.run(&["plan", "ring"])), "it is gone");
    for grade in ["loaded", "exercised"] {
        let shown: Vec<&str> = ran
            .of("evidence")
            .into_iter()
            .filter(|event| event["grade"] == grade)
            .filter_map(|event| event["instance"].as_str())
            .collect();
        for service in ["worker-a", "worker-b"] {
            let pid = format!("pid {}", scene.shop.pid(service));
            assert!(shown.contains(&&*pid), "{service} {grade}: {pid} of {shown:?}\n{}", ran.text);
        }
    }
    scene.rotated();
    assert_eq!(scene.shop.container("other"), other, "the neighbour was left alone");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}

/// The init is the container's first process: it has the value in its environment and calls nobody. What runs below it is
/// the instance.
#[test]
fn services_with_an_init_are_moved_like_any_other() {
    let Some(scene) = Scene::raise("services of docker compose with an init") else { return };
    scene.sh("sed -i 's/^  network_mode: host$/&\\n  init: true/' shop/compose.yaml");
    scene.shop.up();
    let of_init = |service: &str| {
        let pid = scene.shop.pid(service);
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("docker-init")).then_some(pid)
    };
    let inits = || ["worker-a", "worker-b"].map(|service| of_init(service).expect("an init runs"));
    let before = inits();
    scene.issuer.forget();
    let call = || ["a", "b"].iter().all(|name| scene.issuer.last_of(name).is_some());
    ran::wait("both services call", call);
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0);
    assert!(!planned.text.contains("undeclared process"), "{}", planned.text);
    let ran = scene.run(&["apply", &planned.plan(), "--confirm", "ring"]);
    ran.exits(0).ended("done");
    let shown: Vec<&str> =
        ran.of("evidence").into_iter().filter_map(|event| event["instance"].as_str()).collect();
    for pid in before.iter().chain(&inits()) {
        assert!(!shown.contains(&&*format!("pid {pid}")), "nothing is asked of an init: {shown:?}");
    }
    scene.rotated();
}

#[test]
fn an_edit_of_the_project_is_made_live_only_by_name() {
    let Some(scene) = Scene::raise("edits of a compose project") else { return };
    scene.sh("sed -i 's/^LOG=info/LOG=debug/' shop/worker.env");
    scene.sh("sed -i 's/name=b /name=b x=1 /' shop/compose.yaml");
    let ran = scene.run(&["plan", "ring"]);
    let mut live: Vec<&str> = ran.exits(0).of("live").iter().map(|it| it["name"].as_str().unwrap()).collect();
    live.sort_unstable();
    assert_eq!(live, ["worker/environment:KEYROLL_TEST_PART", "worker/environment:LOG"], "{}", ran.text);
    assert!(!ran.text.contains("debug"), "{}", ran.text);
    let plan = ran.plan();
    let words = ["apply", &plan, "--confirm", "ring"];
    scene.run(&words).refused(6, "K0851", &["worker/environment:LOG"]);
    let before = scene.shop.container("worker-b");
    let accepted = [&words[..], &["--accept", live[0], "--accept", live[1], "--until", "roll"]].concat();
    scene.run(&accepted).exits(4);
    // An edit after the plan stops the rotation right before the restart that would make it live.
    scene.sh("sed -i 's/^  stop_signal: SIGKILL/  stop_signal: SIGKILL\\n  user: \"0\"/' shop/compose.yaml");
    let ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    ran.paused();
    let refused = ran.of("live").into_iter().find(|it| it["name"] == "worker/service:worker-a");
    assert!(refused.is_some(), "{}", ran.text);
    assert_eq!(scene.shop.container("worker-b"), before, "nothing was restarted");
    let resume = ["resume", &plan, "--confirm", "ring", "--accept"];
    let ran = scene.run(&[&resume[..], &["worker/service:worker-a"]].concat());
    ran.paused();
    // The other service has the same edit, which was not accepted for that service.
    assert_eq!(scene.shop.container("worker-b"), before, "nothing was restarted");
    scene.run(&[&resume[..], &["worker/service:worker-b"]].concat()).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_container_that_ends_at_its_start_is_not_taken_for_moved() {
    let Some(scene) = Scene::raise("a container that ends at its start") else { return };
    let plan = scene.plan();
    scene.sh("touch log/die");
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(0).says(&["K0420", "(exit 3)"]).ended("done");
    scene.rotated();
}

#[test]
fn a_mounted_file_that_would_never_change_is_told_at_plan() {
    let Some(scene) = Scene::raise("a container with a mounted file") else { return };
    scene.sh("sed -n 's/^KEY=//p' shop/worker.env >shop/key; chmod 600 shop/key");
    let mount = format!("{}:/own/key:ro", scene.path("shop/key").display());
    let run = ["run", "--detach", "--name", "plain", "--network", "none", "--volume", "/usr:/usr:ro"];
    scene.shop.docker(&[&run[..], &["--volume", &mount, shop::IMAGE, "/bin/sleep", "100000"]].concat());
    let consumer = "[[secrets.ring.consumers]]\nname = \"plain\"\nruns = { container = \"plain\", rereads = true }\n\
                    reads = { file = \"./shop/key\" }\n";
    scene.append("keyroll.toml", consumer);
    let ran = scene.run(&["plan", "ring"]);
    ran.refused(1, "K0316", &["keeps showing the old file", "in_place"]);
    scene.sh("sed -i 's|\"./shop/key\" }|\"./shop/key\", write = \"in_place\" }|' keyroll.toml");
    let ran = scene.run(&["plan", "ring"]);
    // Its network is not this machine's.
    ran.exits(0).says(&["the network path of 'plain' to the issuer"]);
    assert!(!ran.text.contains("the network path of 'worker'"), "{}", ran.text);
    // A value in the project's own file is an undeclared copy, wherever the project is.
    scene.sh("mkdir elsewhere; mv shop/compose.yaml elsewhere/; ln -s ../elsewhere/compose.yaml shop/");
    scene.sh("{ printf '# '; cat shop/key; } >>elsewhere/compose.yaml");
    let ran = scene.run(&["plan", "ring"]);
    assert!(ran.code != Some(0) && ran.text.contains("elsewhere/compose.yaml"), "{}", ran.text);
}

#[test]
fn services_go_back_with_an_abort() {
    let Some(scene) = Scene::raise("services of docker compose that go back") else { return };
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}

#[test]
fn services_are_moved_although_the_driver_is_killed() {
    let Some(scene) = Scene::raise("services of docker compose under a killed driver") else { return };
    let plan = scene.plan();
    let before = scene.shop.container("worker-a");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    // While the first service is being moved: its container is being removed, or the next one is being created.
    running.enters("roll");
    ran::wait("the first container is being replaced", || scene.shop.container("worker-a") != before);
    running.signal(Signal::KILL);
    drop(running);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}
