//! A night with a leaked key, with the shipped program: the first commands that an operator types must work, or be
//! refused before anything is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyroll_testkit::issuer::{Ask, ResponseFault};

use crate::hostile::ran;
use crate::hostile::scene::{self, Scene};

/// The new key copies settings that the issuer forgets together with the old one.
const COPIES: &str = r#"
[op.get]
as = "admin"
request = { method = "PATCH", url = "http://127.0.0.1:@PORT@/v1/keys/{current.id}", json = { note = "" } }
ok = [{ status = [200] }]
copy = { off = "/disabled" }

[op.mint]
as      = "admin"
request = { method = "POST", url = "http://127.0.0.1:@PORT@/v1/keys", json = { name = "{label}", disabled = "{copy.off}" } }
"#;

fn copying(spec: &mut String, port: u16) {
    let copies = COPIES.replace("@PORT@", &port.to_string());
    let begin = spec.find("[op.mint]").unwrap();
    let end = begin + spec[begin..].find("ok ").unwrap();
    spec.replace_range(begin..end, &copies);
}

fn port(spec: &str) -> u16 {
    let (_, rest) = spec.split_once("127.0.0.1:").unwrap();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_key_that_is_ended_first_still_passes_its_settings_on() {
    let scene = Scene::made(|_, spec| {
        let port = port(spec);
        copying(spec, port);
    });
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    ran.exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_key_that_makes_its_own_successor_is_not_ended_first() {
    let scene = Scene::made(|_, spec| {
        let at = spec.find("[op.mint]").unwrap();
        let mint = spec[at..].replacen("\"admin\"", "\"self\"", 1);
        spec.replace_range(at.., &mint);
    });
    let plan = scene.plan();
    let before = scene.snapshot();
    let ran = scene.run(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    ran.refused(1, "K0852", &[&format!("keyroll apply {plan} --emergency roll-first --confirm=ring")]);
    assert_eq!(scene.snapshot(), before);
}

#[test]
fn a_first_value_is_shown_to_its_issuer() {
    let scene = Scene::new();
    let (id, value) = scene.issuer.mint("by hand too");
    let words = ["second", "--issuer", "file:./acme.toml", "--admin", "file:./admin.key", "--id", &id];
    let ran = scene.take_in(&words, &value);
    ran.exits(0).says(&["accepted at 127.0.0.1:"]);
    assert!(ran.of("not_visible").is_empty(), "{}", ran.text);
}

#[test]
fn a_mistyped_spec_is_not_written_into_the_configuration() {
    let scene = Scene::new();
    let (id, value) = scene.issuer.mint("by hand too");
    let before = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let words = ["second", "--issuer", "file:./amce.toml", "--admin", "file:./admin.key", "--id", &id];
    scene.take_in(&words, &value).refused(1, "K0140", &["amce.toml"]);
    assert_eq!(fs::read_to_string(scene.path("keyroll.toml")).unwrap(), before);
}

/// Everything below the state folder, each with whether others can access it.
fn open_to_others(scene: &Scene) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![scene.state(), scene.keys_folder()];
    while let Some(folder) = folders.pop() {
        all.push(folder.clone());
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { all.push(entry.path()) }
        }
    }
    assert!(all.len() > 6, "{all:?}");
    all.retain(|path| fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0);
    all
}

#[test]
fn nothing_in_the_state_is_open_to_others_whatever_the_umask_is() {
    let scene = Scene::made(|config, _| {
        config.push_str("check = { exec = [\"./check.sh\", \"KEY\", \"{copy}\"] }\n")
    });
    let binary = env!("CARGO_BIN_EXE_keyroll");
    // A pid file that everybody can write is rightly not trusted.
    scene.sh("sed -i '1a umask 022' restart.sh");
    scene.restart("api", "api/api.env");
    let none = Vec::<std::path::PathBuf>::new();
    scene.sh(&format!("umask 0000; {binary} plan ring --state ../state --json >log/planned"));
    // Before the next command, which would close it.
    assert_eq!(open_to_others(&scene), none);
    let plan = fs::read_to_string(scene.path("log/planned")).unwrap();
    let id =
        plan.split("\"type\":\"plan\",\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    scene.sh(&format!(
        "umask 0000; {binary} apply {id} --state ../state --json --no-input --confirm ring --until quiesce >log/said \
         || [ $? = 4 ]"
    ));
    assert_eq!(open_to_others(&scene), none);
    assert!(!fs::read_to_string(scene.path("log/said")).unwrap().contains("open to others"));
    // Made by an earlier version: closed by the next command, which says so, once.
    scene.sh("chmod 0755 ../state/plans ../state/work; chmod 0644 ../state/plans/*.json");
    // A person's own, in the same folder.
    let own = scene.state().join("notes");
    fs::create_dir(&own).unwrap();
    scene.sh("echo >../state/notes/lock; chmod 0755 ../state/notes; chmod 0644 ../state/notes/lock");
    let wide = open_to_others(&scene).len();
    scene.run(&["doctor"]).says(&["other users can access", "state/plans (mode 0755)"]);
    assert_eq!(open_to_others(&scene).len(), wide, "doctor changes nothing");
    scene.run(&["status"]).says(&["state/plans: other users could access it (mode 0755)"]);
    let mut left = open_to_others(&scene);
    left.sort();
    assert_eq!(left, [own.clone(), own.join("lock")]);
    fs::remove_dir_all(&own).unwrap();
    let again = scene.run(&["abort"]);
    assert!(!again.exits(5).text.contains("open to others"), "{}", again.text);
    assert!(again.of("summary")[0]["mint_to_last_moved_s"].is_null(), "all were taken back: {}", again.text);
    scene.as_before();
}

#[test]
fn on_the_way_back_it_is_the_new_key_that_somebody_holds() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let pid = scene.start_by_hand("keeper", &scene.path("api/api.env"), "idle=yes");
    let ran = scene.run(&["abort", &id]);
    ran.exits(6).says(&[&format!("undeclared process {pid} "), "still uses the new key"]);
    let gates: Vec<_> = ran.of("blocked").iter().map(|one| one["gate"].clone()).collect();
    assert!(!gates.is_empty() && gates.iter().all(|gate| gate == "rolling_back"), "{}", ran.text);
    scene.end(pid);
    scene.run(&["resume", &id]).exits(5).ended("rolled_back");
    scene.as_before();
}

#[test]
fn a_lost_sealing_key_is_begun_anew_from_the_copies() {
    let scene = Scene::new();
    fs::remove_file(scene.keys_folder().join("sealing.key")).unwrap();
    scene.run(&["doctor"]).exits(3).says(&["unreadable until this is fixed: ring", "K0826"]);
    scene.sh("mv ../state ../state.lost; mv ../state.keys ../state.keys.lost");
    scene.run(&["secret", "import", "--all"]).exits(0).says(&["added ring"]);
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_command_that_cannot_be_run_is_told_at_plan() {
    let scene = Scene::new();
    let before = scene.snapshot();
    scene.sh("chmod -x restart.sh");
    let script = scene.path("restart.sh").display().to_string();
    let said = [format!("{script} is not executable"), format!("chmod +x {script}")];
    let ran = scene.run(&["plan", "ring"]);
    ran.refused(1, "K0404", &[&said[0], &said[1]]);
    scene.run(&["doctor"]).exits(3).says(&[&said[0]]);
    scene.sh("chmod +x restart.sh; mv restart.sh elsewhere.sh");
    scene.run(&["plan", "ring"]).refused(1, "K0404", &[&format!("{script} does not exist")]);
    scene.sh("mv elsewhere.sh restart.sh");
    assert_eq!(scene.snapshot(), before);
    scene.plan();
}

/// A consumer beside the first, with a restart command.
fn adopt(scene: &Scene, pid: u32, restart: &str, more: &[&str]) -> ran::Ran {
    let pid = pid.to_string();
    let words =
        ["consumer", "adopt", &pid, "--name", "two", "--restart", restart, "--pid-file", "run/two.pid"];
    scene.run(&[&words, ["--env-file", "api/api.env", "--variable", "KEY"].as_slice(), more].concat())
}

#[test]
fn an_adoption_is_refused_if_it_cannot_be_run_and_replaced_by_name_alone() {
    let scene = Scene::new();
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let config = || fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let before = config();
    adopt(&scene, pid, "./restrat.sh two api/api.env", &[]).refused(
        1,
        "K0404",
        &["restrat.sh does not exist"],
    );
    assert_eq!(config(), before);
    adopt(&scene, pid, "./restart.sh too api/api.env", &[]).exits(0);
    let adopted = config();
    adopt(&scene, pid, "./restart.sh two api/api.env", &[]).refused(1, "K0811", &["--replace"]);
    assert_eq!(config(), adopted);
    adopt(&scene, pid, "./restart.sh two api/api.env", &["--replace"]).exits(0);
    assert_eq!(config(), adopted.replace("\"too\"", "\"two\""));
    scene.end(pid);
}

/// What a killed `adopt` leaves: its table is written, and the open rotation does not know of it.
#[test]
fn an_adoption_that_was_killed_is_finished_by_the_same_command() {
    let scene = Scene::new();
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "");
    scene.sh("cp run/two.ready run/two.pid");
    let id = scene.until("quiesce");
    let table = "\n[[secrets.ring.consumers]]\nname = \"two\"\n\
                 runs = { restart = [\"./restart.sh\", \"two\", \"api/api.env\"], pid_file = \"run/two.pid\" }\n\
                 reads = [{ env_file = \"api/api.env\", variable = \"KEY\" }]\n";
    scene.sh(&format!("cat >>keyroll.toml <<'END'{table}END"));
    let config = || fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let before = config();
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(6).says(&["consumer adopt"]);
    let go_on = format!("keyroll resume {id}");
    for _ in 0..2 {
        adopt(&scene, pid, "./restart.sh two api/api.env", &[])
            .exits(0)
            .says(&["already a consumer", &go_on]);
    }
    // Another command under the same name is another consumer.
    adopt(&scene, pid, "./restart.sh too api/api.env", &[]).refused(1, "K0811", &["--replace"]);
    assert_eq!(config(), before);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn an_adoption_is_recorded_while_a_driver_waits() {
    let scene = Scene::new();
    let (driver, id) = scene.waits_for_api();
    // It has the new key, and blocks nothing.
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "");
    scene.sh("cp run/two.ready run/two.pid");
    let restart = "./restart.sh two api/api.env";
    let config = || fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let before = config();
    // It could never prove the new key, so nothing is written and the driver goes on.
    adopt(&scene, pid, "./restrat.sh two api/api.env", &[]).refused(1, "K0404", &["does not exist"]);
    assert_eq!((config(), scene.lock_holder()), (before, driver.pid().as_raw_nonzero().to_string()));
    let ended = scene::ended_for_this(&driver, &id);
    adopt(&scene, pid, restart, &[]).exits(0).says(&["adopted two", &ended]);
    driver.end().exits(130);
    let again = adopt(&scene, pid, restart, &[]);
    again.exits(0).says(&["already a consumer", &format!("to continue: keyroll resume {id}")]);
    scene.restart("api", "api/api.env");
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    let now = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    assert_ne!(now.trim(), pid.to_string(), "it was moved as a consumer is");
    scene.rotated();
}

#[test]
fn a_waiver_is_recorded_while_a_driver_waits() {
    let scene = Scene::new();
    let (driver, id) = scene.waits_for_api();
    let ended = scene::ended_for_this(&driver, &id);
    let waive = ["consumer", "waive", "api", "--reason", "its machine is gone"];
    scene.run(&waive).exits(0).says(&["waived for ring", &ended]);
    driver.end().exits(130);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.restart("api", "api/api.env");
    scene.rotated();
}

#[test]
fn a_consumer_of_an_open_rotation_is_not_replaced_under_it() {
    let scene = Scene::new();
    let id = scene.until("roll");
    let before = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let words = ["consumer", "adopt", "api/api.env", "--name", "api", "--replace"];
    scene.run(&words).refused(1, "K0811", &[&format!("keyroll abort {id}")]);
    assert_eq!(fs::read_to_string(scene.path("keyroll.toml")).unwrap(), before);
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
}

#[test]
fn a_plan_says_how_long_it_takes_and_the_one_command() {
    let scene =
        Scene::made(|config, _| *config = config.replace("soak         = \"0s\"", "soak         = \"7m\""));
    let ran = scene.run(&["plan", "ring"]);
    let plan = ran.of("plan")[0];
    assert_eq!(plan["least_s"], 420, "{}", ran.text);
    assert_eq!(plan["apply_with"], format!("keyroll apply {}", plan["id"].as_str().unwrap()));
    scene.sh("touch restart.sh; echo '# edited' >> restart.sh");
    let ran = scene.run(&["plan", "ring"]);
    let with = ran.of("plan")[0]["apply_with"].as_str().unwrap().to_owned();
    assert!(with.ends_with(" --accept api/restart:restart.sh"), "{}", ran.text);
}

#[test]
fn a_plan_for_an_issuer_with_one_value_speaks_of_no_second_key() {
    let scene = Scene::made(|_, spec| {
        *spec = spec.replace("{ kind = \"independent\", max = 0 }", "{ kind = \"none\" }");
    });
    let ran = scene.run(&["plan", "ring"]);
    let steps = ran.exits(0).of("plan")[0]["steps"].to_string();
    assert!(steps.contains("REVOKES THE OLD ONE AT ONCE"), "{steps}");
    assert!(!steps.contains("second key") && !steps.contains("disable the old key"), "{steps}");
}

#[test]
fn a_key_that_was_ended_is_still_told_by_verify() {
    let scene = Scene::new();
    let ran = scene.apply();
    let id = ran.exits(0).rotation();
    let told = scene.run(&["verify", "ring"]);
    told.exits(0)
        .says(&[&format!("revoked, and seen dead by rotation {id}"), "the issuer no longer lists it"]);
    assert!(!told.text.contains("has ended"), "{}", told.text);
}

#[test]
fn verify_says_whether_an_issuer_lists_a_key_as_one_that_has_ended() {
    let scene = Scene::new();
    scene.apply().exits(0);
    // From now on the old key's name is the mark of a key that has ended.
    let spec = fs::read_to_string(scene.path("acme.toml")).unwrap();
    let marked = spec.replace("[op.list]\n", "[op.list]\nended = { at = \"/name\", is = [\"by hand\"] }\n");
    assert_ne!(spec, marked);
    fs::write(scene.path("acme.toml"), marked).unwrap();
    let gone = scene.run(&["verify", "ring"]);
    gone.exits(0).says(&["the issuer no longer lists it"]);
    assert!(!gone.text.contains("has ended"), "{}", gone.text);
    // The list has it again.
    scene.issuer.restore(&scene.old);
    let ended = scene.run(&["verify", "ring"]);
    ended.exits(0).says(&["the issuer lists it as one that has ended"]);
    assert!(!ended.text.contains("no longer lists it"), "{}", ended.text);
}

#[test]
fn past_the_point_of_no_return_no_error_leads_back_to_another() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    ran::wait("the restart", || scene.path("run/restarting-api").exists());
    let resume = format!("keyroll resume {plan}");
    let abort = scene.run(&["abort", &plan]);
    abort.refused(1, "K0846", &[&resume]);
    let other = scene.run(&["plan", "ring"]);
    other.refused(7, "K0846", &[&resume]);
    assert!(!other.text.contains("keyroll abort"), "{}", other.text);
    scene.sh("rm run/hold");
    running.end().exits(0).ended("done");
}

#[test]
fn an_adoption_accepts_its_restart_script_as_it_is_and_no_later_edit() {
    let scene = Scene::new();
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "");
    scene.sh("cp restart.sh second.sh; cp run/two.ready run/two.pid");
    adopt(&scene, pid, "./second.sh two api/api.env", &[]).exits(0);
    let planned = scene.run(&["plan", "ring"]);
    assert!(planned.exits(0).of("live").is_empty(), "{}", planned.text);
    scene.sh("echo '# another edit' >> second.sh");
    let edited = scene.run(&["plan", "ring"]);
    assert_eq!(edited.exits(0).of("live")[0]["name"], "two/restart:second.sh", "{}", edited.text);
    scene.end(pid);
}

#[test]
fn what_a_failing_check_and_restart_say_is_shown_without_the_value() {
    let scene = Scene::made(|config, _| config.push_str("check = { exec = [\"./say.sh\", \"{copy}\"] }\n"));
    scene.sh("printf '#!/bin/sh\\ncat \"$1\" >&2\\nexit 3\\n' > say.sh; chmod +x say.sh");
    let ran = scene.run(&["plan", "ring"]);
    ran.exits(0).says(&["exit status: 3; it said: LOG=info", "POOL=4"]);
    assert!(!ran.text.contains("hostile_sk_"), "a value is shown");
    let plan = ran.plan();
    scene.sh("printf '#!/bin/sh\\ncat api/api.env >&2\\nexit 4\\n' > restart.sh");
    let with = ["apply", &plan, "--emergency", "roll-first", "--confirm", "ring"];
    let ran = scene.run(&with);
    ran.says(&["exit status: 4; it said: LOG=info"]);
    assert!(!ran.text.contains("hostile_sk_"), "a value is shown");
}

#[test]
fn a_mistyped_variable_is_called_so() {
    let scene = Scene::new();
    scene.sh("sed -i 's/variable = \"KEY\"/variable = \"KYE\"/' keyroll.toml");
    scene.run(&["plan", "ring"]).refused(1, "K0302", &["the variable KYE is not in the file"]);
}

#[test]
fn a_gate_says_what_it_waits_for_while_it_waits() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let pid = fs::read_to_string(scene.path("run/api.pid")).unwrap().trim().parse().unwrap();
    scene.end(pid);
    let running = scene.start(&["resume", &id, "--confirm", "ring"]);
    let go_on = format!("keyroll resume {id}");
    running.says("what it waits for", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting"
            && what.contains("api")
            && what.contains("it has no running process")
            && what.contains(&go_on)
    });
    scene.restart("api", "api/api.env");
    running.end().exits(0).ended("done");
    scene.rotated();
}

#[test]
fn status_and_the_driver_say_what_is_waited_for_since_when_and_until_when() {
    let scene = Scene::new();
    let id = scene.until("roll");
    let waiting = |ran: &ran::Ran| ran.of("status")[0]["waiting"].clone();
    let paused = scene.run(&["status", &id]);
    let told = waiting(paused.exits(4));
    assert_eq!((&told["person"], &told["until"]), (&true.into(), &serde_json::Value::Null), "{told}");
    assert_eq!(
        (&told["forward"], &told["back"]),
        (&format!("keyroll resume {id}").into(), &format!("keyroll abort {id}").into())
    );
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["resume", &id, "--confirm", "ring"]);
    let what = "the operation in progress: make `api` load the new key";
    running.says("what it waits for", |event| {
        event["type"] == "waiting" && event["what"] == what && event["since"].is_string()
    });
    let driven = scene.run(&["status", &id]);
    let told = waiting(driven.exits(0));
    assert_eq!(
        (&told["what"], &told["person"], &told["forward"]),
        (&what.into(), &false.into(), &format!("keyroll status -w {id}").into())
    );
    assert!(told["since"].as_str() > paused.of("status")[0]["began"].as_str(), "{told}");
    scene.run(&["retry", &id]).refused(7, "K0828", &[&format!("keyroll pause {id}")]);
    // The restart fails, forward and back: only the operator can help, and there is one way.
    scene.sh("touch run/fail; kill $(cat run/api.pid); rm run/hold");
    running.end().exits(6);
    let told = waiting(scene.run(&["status", &id]).exits(6));
    assert_eq!((&told["person"], &told["back"]), (&true.into(), &serde_json::Value::Null), "{told}");
    let forward = told["forward"].as_str().unwrap();
    assert!(forward.contains(&format!("; then keyroll retry {id}")), "{told}");
    // It is stuck: only what lets the consumer go releases that.
    let (_, after) = forward.split_once("keyroll consumer let-go api").unwrap();
    let resumed = forward.matches("keyroll resume").count();
    assert_eq!((resumed, after.matches("keyroll resume").count()), (1, 1), "{told}");
    let kinds: Vec<_> =
        told["forward_steps"].as_array().unwrap().iter().map(|step| &step["commands"][0]["kind"]).collect();
    assert_eq!(kinds[0], "retry", "{told}");
    assert!(["correct", "waive"].iter().all(|kind| kinds.iter().any(|it| it == kind)), "{told}");
    scene.sh("rm run/fail");
    scene.run(&["retry", &id]).exits(5).ended("rolled_back");
    let ended = scene.run(&["status", &id]);
    assert_eq!(waiting(&ended), serde_json::Value::Null, "it waits for nothing");
}

/// Its restart command succeeds and starts nothing, so the consumer cannot prove the old key.
#[test]
fn an_abort_that_waits_says_since_when_until_when_and_the_commands_that_work() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    scene.sh("touch run/nothing");
    let running = scene.start(&["abort", &id]);
    let goes_on = format!("; then keyroll resume {id}");
    running.says("what it waits for, and what can be done", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting"
            && what.starts_with("evidence that `api` uses the old key")
            && event["since"].is_string()
            && event["until"].is_string()
            && event["forward"].as_str().is_some_and(|way| {
                way.contains("keyroll consumer waive api --reason WHY") && way.ends_with(&goes_on)
            })
    });
    let driven = scene.run(&["status", &id]);
    let row = driven.exits(0).of("status")[0].clone();
    let told = &row["waiting"];
    assert!(told["what"].as_str().unwrap().starts_with("evidence that `api` uses the old key"), "{row}");
    assert!(told["since"].is_string() && told["until"].is_string(), "{row}");
    assert_eq!(row["next"], format!("keyroll status -w {id}"), "{row}");
    scene.run(&["consumer", "waive", "api", "--reason", "it is gone"]).exits(0);
    running.end().exits(130);
    scene.run(&["resume", &id]).exits(5).ended("rolled_back");
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    let keys = scene.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id == scene.old, "{keys:?}");
}

/// The cause is mended between two drivers. The second one is held up before it has looked, for longer than any wait is kept
/// back: what the first one saw is not said again.
#[test]
fn a_resume_does_not_say_again_what_is_mended() {
    let scene = Scene::new();
    scene.sh("cp -p api/api.env ../late.env");
    let id = scene.until("quiesce");
    scene.sh("mv ../late.env also/");
    let resume = ["resume", &id, "--confirm", "ring"];
    let blocks = |ran: &ran::Ran| {
        let said = ["blocked", "paused", "waiting"].into_iter().flat_map(|kind| ran.of(kind));
        said.filter(|event| event.to_string().contains("undeclared copy")).count()
    };
    let paused = scene.run(&resume);
    paused.exits(6).says(&["also/late.env"]);
    assert!(blocks(&paused) > 0, "{}", paused.text);
    scene.sh("rm also/late.env");
    scene.issuer.mood(Ask::Sessions, ResponseFault::Silence, 4);
    let resumed = scene.run(&resume);
    resumed.exits(0).ended("done");
    assert_eq!(blocks(&resumed), 0, "{}", resumed.text);
}

/// Nobody looks again while a rotation is paused, but what is gone is seen to be gone.
#[test]
fn a_blocker_that_has_ended_is_not_shown() {
    let scene = Scene::new();
    let keeper = scene.start_by_hand("keeper", &scene.path("api/api.env"), "idle=yes");
    let id = scene.until("quiesce");
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(6).says(&[&format!("process {keeper}")]);
    let blocked = || scene.run(&["status", &id]).of("status")[0]["blocked_by"].clone();
    assert_eq!(blocked()[0]["pid"], keeper);
    scene.end(keeper);
    assert_eq!(blocked(), serde_json::json!([]));
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
}

/// Another secret beside the first, each with its own file and consumer.
fn two_secrets() -> Scene {
    let scene = Scene::made(|config, _| {
        *config += &scene::side("./also/side.env");
    });
    let (side, value) = scene.issuer.mint("by hand");
    scene::put(&scene.path("also/side.env"), &["SIDE=", &value, "\n"], 0o600);
    scene.add("side", &side, &value).exits(0);
    scene
}

#[test]
fn a_waiver_reaches_the_rotation_that_it_is_about_where_two_are_open() {
    let scene = two_secrets();
    let pid = scene.start_by_hand("keeper", &scene.path("api/api.env"), "idle=yes").to_string();
    let side = scene.plan_of("side");
    scene.run(&["apply", &side, "--confirm", "side", "--until", "quiesce"]).exits(4).paused();
    let ring = scene.until("quiesce");
    let waive = ["consumer", "waive", &pid, "--reason", "it never calls"];
    let said = [ring.clone(), side.clone(), "--secret ring".to_owned(), "--secret side".to_owned()];
    scene.run(&waive).refused(1, "K0805", &said.each_ref().map(String::as_str));
    scene.run(&["resume", &ring, "--confirm", "ring"]).exits(6).says(&[&format!("process {pid}")]);
    // Now it blocks only one rotation.
    scene.run(&waive).exits(0).says(&["waived for ring"]);
    scene.run(&[&waive[..], &["--secret", "side"]].concat()).exits(0).says(&["waived for side"]);
    let ran = scene.run(&["resume", &ring, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    scene.run(&["abort", &side]).exits(5).ended("rolled_back");
}

#[test]
fn a_driver_is_not_disturbed_by_a_word_to_another_rotation() {
    let scene = two_secrets();
    let side = scene.plan_of("side");
    scene.run(&["apply", &side, "--confirm", "side", "--until", "quiesce"]).exits(4).paused();
    let ring = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["apply", &ring, "--confirm", "ring"]);
    ran::wait("the restart", || scene.path("run/restarting-api").exists());
    scene.run(&["resume"]).refused(1, "K0805", &[&ring, &side]);
    scene.run(&["resume", &side]).refused(7, "K0828", &[&format!("keyroll status -w {ring}")]);
    let pause = format!("keyroll pause {ring}");
    scene.run(&["abort", &side]).refused(7, "K0828", &[&pause]);
    let waive = ["consumer", "waive", "nightly", "--secret", "side", "--reason", "a test"];
    scene.run(&waive).refused(1, "K0828", &[&pause, "keyroll did not interrupt it"]);
    assert_eq!(scene.lock_holder(), running.pid().as_raw_nonzero().to_string());
    // Its status says what comes before the commands that it names.
    let shown = scene.run(&["status", &side]);
    assert_eq!(shown.of("status")[0]["first"], pause, "{}", shown.text);
    scene.sh("rm run/hold");
    running.end().exits(0).ended("done");
    scene.run(&["abort", &side]).exits(5).ended("rolled_back");
    assert_eq!(scene.issuer.keys().len(), 2);
}

#[test]
fn all_that_blocks_is_named_and_the_own_shell_is_called_so() {
    let scene = Scene::new();
    let keeper = scene.start_by_hand("keeper", &scene.path("api/api.env"), "idle=yes");
    let plan = scene.plan();
    let inner = scene.command(&["apply", &plan, "--confirm", "ring"]);
    let mut shell = std::process::Command::new("/bin/sh");
    // It reads the old value into a variable, which it does not export.
    shell.args(["-c", ". ./api/api.env; \"$0\" \"$@\"; exit $?"]).arg(inner.get_program());
    shell.args(inner.get_args()).current_dir(scene.dir()).env_clear();
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = ran::Ran::run(shell.stdin(std::process::Stdio::null()));
    ran.exits(6).says(&["is your shell, or the program that started it"]);
    let blocked = ran.of("blocked");
    let of = |pid: u32| blocked.iter().any(|event| event["holder"]["pid"] == pid);
    assert!(of(keeper) && blocked.len() >= 2, "{}", ran.text);
    scene.end(keeper);
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
}
