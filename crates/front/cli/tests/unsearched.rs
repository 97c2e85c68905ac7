//! Processes that are too large to be searched, with the shipped program.

use std::fs;

use crate::hostile::scene::Scene;

const LIMITED: &str = "[search]\nmax_memory = \"64MiB\"";

fn scene() -> Scene {
    Scene::made(|config, _| *config = config.replacen("[search]", LIMITED, 1))
}

#[test]
fn a_consumer_that_is_too_large_pauses_until_the_limit_is_raised() {
    let scene = scene();
    scene.sh("sed -i 's/worker name=/worker fat=100 name=/' restart.sh");
    scene.restart("api", "api/api.env");
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0).says(&["api, process", "search.max_memory", "the rotation pauses"]);
    let plan = planned.plan();
    let paused = scene.run(&["apply", &plan, "--confirm", "ring"]);
    paused.exits(6).paused();
    paused.says(&["was not searched completely", "raise `search.max_memory`", "keyroll consumer waive"]);
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled), "both keys work");
    // A mistake in the file changes no limit, and holds nothing up.
    scene.sh("sed -i 's/64MiB/64/' keyroll.toml");
    scene
        .run(&["resume", &plan, "--confirm", "ring"])
        .exits(6)
        .says(&["`search` and `other_keys` are those"]);
    scene.sh("sed -i 's/\"64\"/\"2GiB\"/' keyroll.toml");
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn an_undeclared_process_that_is_too_large_is_named_before_the_consent() {
    let scene = scene();
    fs::write(scene.path("other.env"), "KEY=none\n").unwrap();
    let pid = scene.start_by_hand("two", &scene.path("other.env"), "idle=yes fat=100");
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0).says(&["undeclared process", "also with a standing consent"]);
    let plan = planned.plan();
    // Nobody is there to consent.
    let asked = scene.run(&["apply", &plan]);
    asked.exits(6);
    let consent = asked.of("consent");
    let named =
        |process: &serde_json::Value| process.as_str().unwrap().starts_with(&format!("process {pid} "));
    let all = consent[0]["unsearched"].as_array().unwrap();
    assert!(all.iter().any(named), "{all:?}");
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.end(pid);
    scene.rotated();
}
