//! OpenClaw itself, with one key for each mechanism by which its gateway reads keys: rotated by the shipped program
//! while turns are asked for. The provider's own log is the judge: which key, which process, accepted or not.

pub(crate) mod gateway;
mod in_place;

use std::time::Duration;

use gateway::Claw;

use crate::hostile::scene;

/// A literal key, which the gateway reads again by itself; a file, by a reload; a variable, by a new process. Where
/// OpenClaw reports `applied` without effect (a reload for the variable), keyroll refuses or completes the rotation
/// properly.
#[test]
fn openclaw_moves_under_load() {
    let Some(claw) = Claw::start("openclaw_moves_under_load") else { return };
    for key in claw.keys.clone() {
        let calls = claw.calls(key.provider);
        let ran = claw.rotate(key);
        let (sent, failed, downtimes) = calls.end();
        println!("{}: {sent} turns, {failed} failed", key.provider);
        assert!(sent > 0, "no turn was asked for");
        let away = ran.events.iter().any(|event| event["downtimes"].is_array());
        assert_eq!(away, key.away, "{}: {}", key.provider, ran.text);
        // Turns fail only during the one restart that a source requires; with other sources none fails.
        assert!(downtimes <= usize::from(key.away), "{}: {downtimes} times: {}", key.provider, ran.text);
        claw.on_its_new_key(key);
        assert!(claw.scene.path("claw/agents/work/agent").exists(), "the second agent had a turn as well");
        if key.provider == "ref" {
            claw.there_and_back(key);
        }
    }
    // With all sources only: this takes a minute.
    if let Some(key) = claw.keys.iter().find(|key| key.provider == "ref" && claw.keys.len() > 1) {
        after_a_cool_down(&claw, key);
    }
    if ["lit", "vars"].iter().all(|name| claw.keys.iter().any(|key| key.provider == *name)) {
        turns_hold_a_restart_up(&claw);
    }
    if ["lit", "env"].iter().all(|name| claw.keys.iter().any(|key| key.provider == *name)) {
        copies_are_found_by_value(&claw);
    }
}

/// Two turns of another provider are in flight all the time, and each takes 40 s: the gateway goes on with the old key until
/// they have ended, or it gives up waiting for them.
fn turns_hold_a_restart_up(claw: &Claw) {
    claw.ask("lit").expect("a turn");
    claw.scene.issuer.slow(&claw.last_key(), Duration::from_secs(40));
    let key = claw.keys.iter().find(|key| key.provider == "vars").expect("it is chosen");
    let (slow, calls) = ([claw.calls("lit"), claw.calls("lit")], claw.calls("vars"));
    claw.rotate(key);
    claw.scene.issuer.slow("nobody", Duration::ZERO);
    let (sent, ..) = calls.end();
    for calls in slow {
        let _ = calls.end();
    }
    assert!(sent > 0, "no turn was asked for");
    claw.on_its_new_key(key);
}

/// keyroll finds by value what the program's own audit misses: its copies of the settings, what an agent wrote, and
/// what its children were started with.
fn copies_are_found_by_value(claw: &Claw) {
    claw.scene.sh("cp claw/openclaw.json claw/workspace/notes.txt");
    let ran = claw.scene.run(&["scan", "."]);
    let found = ran.exits(0).of("found");
    let of = |name: &str| {
        let one = found.iter().find(|one| one["secret"] == name && one["managed"] == true);
        *one.unwrap_or_else(|| panic!("{name}: {}", ran.text))
    };
    for file in ["claw/openclaw.json:", "claw/openclaw.json.last-good:", "claw/workspace/notes.txt:"] {
        let mut copies = of("lit")["copies"].as_array().unwrap().iter();
        assert!(copies.any(|one| one["place"].as_str().unwrap().contains(file)), "{file}: {}", ran.text);
    }
    let gateway = std::fs::read_to_string(claw.scene.path("run/claw.pid")).unwrap();
    let line = format!("PPid:\t{}", gateway.trim());
    let is_child = |pid: &serde_json::Value| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|one| one == line)
    };
    let mut users = of("env")["used_by"].as_array().unwrap().iter();
    assert!(users.any(|one| one["processes"].as_array().unwrap().iter().any(is_child)), "{}", ran.text);
}

/// An answer about billing disables a provider for ten minutes, whatever its key is, and a new key inherits that.
fn after_a_cool_down(claw: &Claw, key: &gateway::Key) {
    claw.scene.issuer.spend(true);
    claw.ask(key.provider).expect_err("nothing is left to spend");
    claw.scene.issuer.spend(false);
    let before = claw.scene.issuer.model_calls().len();
    claw.ask(key.provider).expect_err("it is left alone");
    assert_eq!(claw.scene.issuer.model_calls().len(), before, "the gateway answers by itself");
    claw.rotate(key);
    claw.on_its_new_key(key);
}

/// The gateway was started with the variable in its environment: what stands in `.env` is read and loses, also after a
/// restart. keyroll says so before anything is made.
#[test]
fn a_copy_that_loses_is_named_before_anything_is_made() {
    let Some(claw) = Claw::start_with_its_variable("a_copy_that_loses_is_named_before_anything_is_made")
    else {
        return;
    };
    let made = claw.scene.issuer.made();
    let ran = claw.scene.run(&["plan", "env"]);
    ran.refused(1, "K0364", &["the environment that the gateway is started with", "wins over"]);
    assert_eq!(claw.scene.issuer.made(), made);
    why_names_it(&claw);
}

/// Somebody edits the file: the gateway goes on as it is, and `why` names the copy that wins over it.
fn why_names_it(claw: &Claw) {
    let (_, value) = claw.scene.issuer.mint("by hand");
    std::fs::remove_file(claw.scene.path("claw/.env")).unwrap();
    scene::put(&claw.scene.path("claw/.env"), &["ENV_KEY=", &value, "\n"], 0o600);
    let pid = std::fs::read_to_string(claw.scene.path("run/claw.pid")).unwrap();
    let pid = pid.trim();
    let ran = claw.scene.run(&["why", pid, "--in", "."]);
    let chains = ran.exits(0).of("chain");
    let chain = chains.iter().find(|chain| chain["name"] == "ENV_KEY").expect(&ran.text);
    let (first, second) = (&chain["links"][0], &chain["links"][1]);
    let start = format!("what OpenClaw's gateway {pid} was started with");
    assert!(first["what"] == start.as_str() && first["standing"] == "not visible", "{chain}");
    assert!(second["what"].as_str().unwrap().ends_with("claw/.env"), "{chain}");
    assert!(first["value"].is_string() && second["value"].is_string(), "{chain}");
    assert_ne!(first["value"], second["value"], "{chain}");
}
