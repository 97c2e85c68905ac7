//! Gateways and proxies that are configured by their own keys. Programs with their names stand in for them; other tests
//! rotate the real ones.

use std::fs;
use std::path::Path;

use keyroll_database::rusqlite::Connection;
use keyroll_testkit::copy_program;

use crate::hostile::ran::wait;
use crate::init::merged::Scene;

/// A master that listens, and its workers that have its socket and end with it.
const PROXY: &str = "\
import os, socket, sys, time
one = socket.socket()
one.bind(('127.0.0.1', 0))
one.listen()
ends, stays = os.pipe()
for _ in range(int(sys.argv[-1])):
    if os.fork() == 0:
        os.close(stays)
        os.read(ends, 1)
        os._exit(0)
with open('port.new', 'w') as file:
    file.write(str(one.getsockname()[1]))
os.rename('port.new', 'port')
time.sleep(100000)
";

/// The settings of a gateway with one provider.
fn settings(provider: &str, key: &str) -> String {
    format!(
        "{{\"models\": {{\"providers\": {{\"{provider}\": {{\"apiKey\": \"{key}\"}}}}}}, \"gateway\": {{}}}}\n"
    )
}

/// A program that says by its lock that it is the gateway.
fn gateway(scene: &Scene) {
    copy_program(Path::new("/bin/sleep"), &scene.path("openclaw-gateway"));
    let state = format!("export OPENCLAW_STATE_DIR={}; ", scene.path(".openclaw").display());
    let pid = scene.run("one", &state, "exec ../openclaw-gateway 100000", "openclaw-gateway");
    let id = keyroll_observe::process(pid).unwrap().id;
    let lock = format!("{{\"pid\":{pid},\"role\":\"gateway\",\"startTime\":{}}}", id.start_ticks);
    scene.file(".openclaw/tmp/openclaw-0/gateway.state.lock", &lock);
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_gateway_is_told_in_its_own_words() {
    let scene = Scene::new();
    let variable = scene.variable();
    scene.file(".openclaw/openclaw.json", &settings("acme", &format!("${{{variable}}}")));
    scene.file(".openclaw/.env", &format!("{variable}={}\n", scene.value));
    gateway(&scene);
    let said = scene.init(&["."], 0);
    let text = scene.written();
    has(
        &text,
        &[
            // It has no manager, and reads a variable once.
            "runs  = { openclaw = \"./.openclaw\", provider = \"acme\", restart = [\"./FILL-IN-restart-",
            &format!("reads = {{ env_file = \"./.openclaw/.env\", variable = \"{variable}\" }}"),
            "# check = { exec = [\"./probe.sh\", \"{copy}\"], turn = \"acme/MODEL\" }\n",
        ],
    );
    assert!(!text.contains("pid_file"), "{text}");
    has(&said, &["must still be filled in"]);
    assert!(!said.contains("(K00"), "its form is taken: {said}");
    // The operator's replacement of the draft is the same gateway.
    let at = text.find("restart = [\"./FILL-IN").unwrap();
    let end = at + text[at..].find(']').unwrap() + 1;
    let edited = format!("{}restart = [\"./restart.sh\", \"now\"]{}", &text[..at], &text[end..]);
    fs::write(scene.path("keyroll.toml"), &edited).unwrap();
    has(&scene.init(&["."], 0), &["nothing was changed"]);
    assert_eq!(scene.written(), edited);
    // This time its settings cannot be read, so the draft uses its manager.
    let settings = fs::read_to_string(scene.path(".openclaw/openclaw.json")).unwrap();
    fs::write(scene.path(".openclaw/openclaw.json"), "{").unwrap();
    scene.init(&["."], 0);
    assert_eq!(scene.written().matches("openclaw = ").count(), 1, "{}", scene.written());
    assert_eq!(scene.written(), edited);
    fs::write(scene.path(".openclaw/openclaw.json"), settings).unwrap();
}

/// The test searches for its token in all output and files of `init`.
#[test]
fn a_provider_that_is_called_by_a_key_is_not_written_down() {
    let scene = Scene::new();
    scene.file(".openclaw/openclaw.json", &settings(&scene.token, &scene.value));
    gateway(&scene);
    let said = scene.init(&["."], 0);
    assert!(!scene.written().contains("openclaw ="), "{said}");
    let output = scene.command(&["scan", "--memory", "0", "."]).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("openclaw") && !text.contains(&scene.token), "{text}");
}

/// A profile has a key in place of its name, and that value was found nowhere else.
#[test]
fn a_profile_that_is_called_by_a_key_is_not_told_where_it_is_not_known_which_is_used() {
    let scene = Scene::new();
    scene.file(".openclaw/openclaw.json", &settings("acme", &scene.value));
    let form = format!("sk-or-v1-{}", "0123456789abcdef".repeat(4));
    let word = "a1b2".repeat(5);
    let one = |id: &String| {
        format!("\"acme:{id}\":{{\"type\":\"api_key\",\"provider\":\"acme\",\"key\":\"{id}\"}}")
    };
    let profiles = [&form, &word].map(one).join(",");
    scene.file(".openclaw/state/none", "");
    let database = Connection::open(scene.path(".openclaw/state/openclaw.sqlite")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE config_machine_state (state_key TEXT PRIMARY KEY, value_json TEXT) STRICT;",
        )
        .unwrap();
    let row = "INSERT INTO config_machine_state VALUES ('authProfiles.store', ?1)";
    database.execute(row, [format!("{{\"profiles\":{{{profiles}}}}}")]).unwrap();
    drop(database);
    gateway(&scene);
    let output = scene.command(&["scan", "--memory", "0", "."]).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    has(&text, &["names none of the profiles of", "which has …"]);
    assert!(!text.contains(&form) && !text.contains(&word), "{text}");
}

#[test]
fn a_proxy_whose_workers_can_be_replaced_is_told_so_and_another_one_is_restarted() {
    let scene = Scene::new();
    let variable = scene.variable();
    scene.file("bin/litellm", PROXY);
    let models = format!(
        "model_list:\n- {{model_name: a, litellm_params: {{model: openai/x, api_key: os.environ/{variable}}}}}\n"
    );
    scene.file("one/config.yaml", &models);
    scene.file("one/.env", &format!("{variable}={}\n", scene.value));
    let start = |before: &str, workers: u32| {
        let _ = fs::remove_file(scene.path("one/port"));
        let then = format!("exec python3 ../bin/litellm --config config.yaml --num_workers {workers}");
        scene.run("one", before, &then, "python");
        wait("the proxy", || scene.path("one/port").exists());
        format!("http://127.0.0.1:{}", fs::read_to_string(scene.path("one/port")).unwrap())
    };
    let check = |at: &str| {
        format!(
            "# check = {{ litellm = \"{at}\", config = \"./one/config.yaml\", key = \"file:./proxy.key\" }}\n"
        )
    };
    let at = start("", 2);
    let said = scene.init(&["."], 0);
    has(
        &scene.written(),
        &[
            &format!("runs  = {{ litellm = \"{at}\" }}\n"),
            &format!("reads = {{ env_file = \"./one/.env\", variable = \"{variable}\" }}"),
            &check(&at),
            "# write the file proxy.key, mode 0600",
        ],
    );
    assert!(!said.contains("(K00"), "its form is taken: {said}");
    has(&scene.init(&["."], 0), &["nothing was changed"]);
    // With one worker, the draft uses its manager; and it may move to another port.
    let text = scene.written();
    scene.end("one");
    let moved = start("", 1);
    assert_ne!(moved, at);
    has(&scene.init(&["."], 0), &["nothing was changed"]);
    let again = text.replace(&at, &moved);
    fs::write(scene.path("keyroll.toml"), &again).unwrap();
    has(&scene.init(&["."], 0), &["nothing was changed"]);
    scene.end("one");
    let moved = start("", 2);
    has(&scene.init(&["."], 0), &["nothing was changed"]);
    assert_eq!(scene.written(), again);
    // Something answers at the configured address, so the found proxy is a second one.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = format!("http://{}", other.local_addr().unwrap());
    fs::write(scene.path("keyroll.toml"), text.replace(&at, &held)).unwrap();
    scene.init(&["."], 0);
    has(&scene.written(), &[&held, &format!("runs  = {{ litellm = \"{moved}\" }}\n")]);
    drop(other);
    // The same variable in its environment: a new worker would inherit the old key. And one that is alone answers nobody while it
    // is replaced.
    for (before, workers) in [("set -a; . ./.env; ", 2), ("", 1)] {
        scene.end("one");
        fs::remove_file(scene.path("keyroll.toml")).unwrap();
        let at = start(before, workers);
        scene.init(&["."], 0);
        let text = scene.written();
        has(&text, &["restart = [\"./FILL-IN-restart-", "pid_file = \"./one/run/app.pid\"", &check(&at)]);
        assert!(!text.contains("runs  = { litellm"), "{workers}: {text}");
    }
}
