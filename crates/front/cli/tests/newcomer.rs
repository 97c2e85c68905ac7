//! The experience of a user who has only the README: each command that a message names works, and no message promises
//! too much.

use std::fs;
use std::io::{BufRead as _, BufReader, read_to_string};
use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_testkit::issuer::{Ask, ResponseFault};
use keyroll_testkit::{TempDir, write_program};
use rustix::process::{Pid, Signal, kill_process};

use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::{Scene, side};
use crate::init::merged;

/// A command as a person runs it, without JSON.
fn plain(scene: &Scene, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command.args(words).args(["--state", "../state", "--no-input", "--plain"]).current_dir(scene.dir());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", scene.dir());
    Ran::run(command.stdin(Stdio::null()))
}

fn config(scene: &Scene) -> String {
    fs::read_to_string(scene.path("keyroll.toml")).unwrap()
}

fn adopted(scene: &Scene, pid: u32, more: &[&str]) -> Ran {
    let pid = pid.to_string();
    let restart = "./restart.sh two api/api.env";
    let words =
        ["consumer", "adopt", &pid, "--name", "two", "--restart", restart, "--pid-file", "run/two.pid"];
    scene.run(&[&words, more].concat())
}

/// If the issuer shows no sessions, every consumer needs a check.
fn without_sessions(config: &mut String, spec: &mut String) {
    let (begin, end) = (spec.find("[op.sessions]").unwrap(), spec.find("[propagation]").unwrap());
    spec.replace_range(begin..end, "");
    config.push_str("check = { exec = [\"./check.sh\", \"KEY\", \"{copy}\"] }\n");
}

#[test]
fn a_variable_that_ends_in_key_is_found_before_it_is_added() {
    let scene = merged::Scene::new();
    let variable = format!("{}_KEY", scene.word.to_uppercase());
    scene.file("one/app.env", &format!("PORT=80\n{variable}={}\nCACHE_KEY={}\n", scene.value, scene.token));
    scene.start("one");
    scene.init(&["one", "--secret", &scene.word], 0);
    let written = scene.written();
    assert!(written.contains(&format!("[secrets.{}]", scene.word)), "{written}");
    assert!(written.contains(&format!("variable = \"{variable}\"")), "{written}");
    for words in
        [&["scan", "one", "--memory", "0"][..], &["why", &variable, "--in", "one"], &["leaks", "one"]]
    {
        let output = scene.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&scene.word) || text.contains("app.env:2"), "{words:?}: {text}");
    }
}

#[test]
fn an_adoption_during_a_rollback_writes_nothing_and_names_what_works() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let waive = format!("keyroll consumer waive {pid} --reason WHY");
    let ran = scene.run(&["abort", &id]);
    ran.exits(6).says(&[&waive]);
    assert!(!ran.text.contains("consumer adopt"), "{}", ran.text);
    let shown = plain(&scene, &["status"]);
    assert!(!shown.text.contains("consumer adopt"), "{}", shown.text);
    shown.says(&[&waive, "rolling back: the operator asked"]);
    assert!(!shown.text.contains("rolled back"), "{}", shown.text);
    let before = config(&scene);
    let ran = adopted(&scene, pid, &["--env-file", "api/api.env", "--variable", "KEY"]);
    ran.refused(1, "K0811", &["rolls back", &waive, &format!("keyroll resume {id}")]);
    assert_eq!(config(&scene), before);
    let pid_text = pid.to_string();
    let waived = scene.run(&["consumer", "waive", &pid_text, "--reason", "it only tests"]);
    waived.exits(0).says(&["it may keep the new value", &format!("to continue: keyroll resume {id}")]);
    scene.run(&["resume", &id]).exits(5).ended("rolled_back");
    scene.as_before();
    scene.end(pid);
}

#[test]
fn an_adoption_for_which_the_driver_does_not_end_writes_nothing() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    wait("the restart", || scene.path("run/restarting-api").exists());
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let before = config(&scene);
    let ran = adopted(&scene, pid, &["--env-file", "api/api.env", "--variable", "KEY"]);
    ran.exits(1).says(&["keyroll pause"]);
    assert_eq!(config(&scene), before);
    scene.end(pid);
    scene.sh("rm run/hold");
    // It was asked to pause, and was in the middle of a step.
    running.end().exits(130);
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
}

#[test]
fn an_adoption_says_which_copy_it_took_where_it_was_not_told() {
    let scene = Scene::new();
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let ran = adopted(&scene, pid, &[]);
    let copy = scene.path("api/api.env");
    let copy = copy.to_str().unwrap();
    ran.exits(0).says(&[
        copy,
        "which every other consumer of ring reads",
        "--replace --env-file FILE --variable NAME",
    ]);
    let told = adopted(&scene, pid, &["--replace", "--env-file", "api/api.env", "--variable", "KEY"]);
    assert!(!told.exits(0).text.contains("every other consumer"), "{}", told.text);
    scene.end(pid);
}

#[test]
fn a_pause_that_enables_the_old_key_again_says_so() {
    let scene = Scene::new();
    let plan = scene.plan();
    let again = ["the old key is enabled again", "the soak begins anew"];
    // Without a terminal nobody can consent: the rotation pauses by itself.
    scene.run(&["apply", &plan]).exits(6).says(&["needs your consent"]).says(&again);
    assert!(!scene.issuer.keys().iter().any(|key| key.disabled));
    scene.run(&["pause"]).exits(4).says(&again);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    let other = Scene::new();
    let plan = other.plan();
    other.run(&["apply", &plan, "--confirm", "ring", "--until", "soak"]).exits(4).says(&again);
    let early = other.run(&["abort"]);
    assert!(!early.exits(5).text.contains(again[0]), "{}", early.text);
}

/// Red: the command of the plan is refused, because it names none of the two secrets.
#[test]
fn with_several_secrets_the_commands_of_a_plan_name_theirs() {
    let scene = Scene::made(|config, _| config.push_str(&side("./also/side.env")));
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let plan = scene.run(&["plan", "ring"]);
    let adopt = format!("keyroll consumer adopt {pid} --name NAME --restart COMMAND");
    plan.exits(0).says(&[&adopt, " --secret ring"]);
    scene.end(pid);
    scene.copy("api/api.env", "also/decoy.env");
    let path = scene.path("also/decoy.env").canonicalize().unwrap().display().to_string();
    let waive = format!("keyroll consumer waive {path} --reason WHY --secret ring");
    scene.run(&["plan", "ring"]).refused(6, "K0836", &[&waive]);
    let words = ["consumer", "waive", &path, "--reason", "a test", "--secret", "ring"];
    scene.run(&words).exits(0);
    scene.plan();
}

#[test]
fn a_waived_process_is_listed_with_its_reason_while_the_rotation_is_open_and_after() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let pid_text = pid.to_string();
    let waived = scene.run(&["consumer", "waive", &pid_text, "--reason", "ends tonight"]);
    // Nobody drives it: the command that goes on is named.
    waived.exits(0).says(&["keyroll status", &format!("to continue: keyroll resume {id}")]);
    let named = format!("process {pid} ");
    for words in [&["status"][..], &["status", &id], &["consumer", "waivers"]] {
        plain(&scene, words).says(&[&named, "ends tonight"]);
    }
    scene.run(&["consumer", "waivers"]).exits(0).says(&[&id, "ends tonight"]);
    let refused = scene.run(&["consumer", "waive", &pid_text, "--withdraw"]);
    refused.refused(1, "K0811", &[&format!("keyroll abort {id}")]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.end(pid);
    for words in [&["history"][..], &["history", &id]] {
        plain(&scene, words).says(&[&named, "ends tonight"]);
    }
    scene.rotated();
}

#[test]
fn a_waiver_of_a_copy_stands_until_the_next_rotation_and_can_be_listed_and_withdrawn() {
    let scene = Scene::new();
    scene.copy("api/api.env", "also/decoy.env");
    let path = scene.path("also/decoy.env").canonicalize().unwrap().display().to_string();
    let adopt = format!("keyroll consumer adopt {path} --name NAME");
    let waive = format!("keyroll consumer waive {path} --reason WHY");
    scene.run(&["plan", "ring"]).refused(6, "K0836", &[&adopt, &waive]);
    scene.run(&["consumer", "waivers"]).exits(0).says(&["no waiver"]);
    let waived = scene.run(&["consumer", "waive", &path, "--reason", "only a decoy"]);
    waived.exits(0).says(&["the next rotation of ring", "keyroll consumer waivers"]);
    scene.run(&["consumer", "waivers"]).exits(0).says(&[&path, "only a decoy"]);
    plain(&scene, &["consumer", "waivers"]).exits(0).says(&[&path, "only a decoy", "next rotation"]);
    scene.plan();
    scene.run(&["consumer", "waive", &path, "--withdraw"]).exits(0).says(&["withdrew"]);
    scene.run(&["plan", "ring"]).refused(6, "K0836", &[&path]);
    scene.run(&["consumer", "waive", &path, "--withdraw"]).refused(1, "K0811", &["keyroll consumer waivers"]);
    let both = scene.run(&["consumer", "waive", &path, "--withdraw", "--reason", "no"]);
    both.exits(2);
}

#[test]
fn a_plan_promises_to_watch_for_refused_calls_only_where_something_shows_them() {
    let blind = Scene::made(|config, _| {
        let at = config.rfind("log   =").unwrap();
        config.truncate(at);
    });
    let steps = |scene: &Scene| scene.run(&["plan", "ring"]).exits(0).of("plan")[0]["steps"].to_string();
    let said = steps(&blind);
    assert!(
        said.contains("disable the old key for ") && said.contains("refused calls are not visible"),
        "{said}"
    );
    assert!(!said.contains("watch for refused calls"), "{said}");
    assert!(steps(&Scene::new()).contains("disable the old key, and watch for refused calls for "));
}

/// The command of a consumer, as the plan prints it.
fn command_of(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("runs "));
    line.unwrap_or_else(|| panic!("no command: {text}"))
}

#[test]
fn a_plan_prints_the_command_of_each_consumer_which_can_be_pasted_in_any_folder() {
    let scene = Scene::new();
    let ran = plain(&scene, &["plan", "ring"]);
    ran.exits(0).says(&["restart its only instance: DOWNTIME", "restart.sh api api/api.env"]);
    let pid = || fs::read_to_string(scene.path("run/api.pid")).unwrap_or_default();
    let (before, command) = (pid(), command_of(&ran.text));
    let status = Command::new("sh").args(["-c", command]).current_dir("/").stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command}");
    wait("another process of the consumer", || !pid().is_empty() && pid() != before);
    let steps = scene.run(&["plan", "ring"]).exits(0).of("plan")[0]["steps"].to_string();
    assert!(steps.contains("restart.sh api api/api.env"), "{steps}");
}

#[test]
fn the_plan_of_a_recovery_promises_neither_two_keys_nor_a_rollback() {
    let scene = Scene::new();
    assert!(plain(&scene, &["plan", "ring"]).exits(0).text.contains("both work from here on"));
    scene.issuer.end(&scene.old.clone());
    let ran = plain(&scene, &["plan", "ring"]);
    ran.exits(0).says(&["refused already", "there is no rollback", "the issuer still refuse the old one"]);
    for other in ["both work from here on", "can be rolled back", "IRREVERSIBLE", "disable the old key"] {
        assert!(!ran.text.contains(other), "{other}: {}", ran.text);
    }
}

/// A scene whose restart command fails. `run/before` has the digest of the file before the rotation.
fn with_wrong_restart(command: &str, on_failure: &str) -> Scene {
    let (right, admin) = (r#"["./restart.sh", "api", "api/api.env"]"#, "admin  = \"file:./admin.key\"\n");
    let scene = Scene::made(|config, _| {
        *config = config.replace(right, r#"["./wrong.sh"]"#);
        *config = config.replace(admin, &format!("{admin}on_failure = \"{on_failure}\"\n"));
    });
    scene.sh("sha256sum api/api.env >run/before");
    write_program(
        &scene.path("wrong.sh"),
        format!("#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\n{command}\n"),
    );
    // The command is no newer than the process.
    scene.restart("api", "api/api.env");
    scene
}

#[test]
fn a_plan_is_applied_with_a_pause_after_a_failure_where_the_configuration_has_a_rollback() {
    // Only the new key makes it fail.
    let command = "sha256sum --check --status run/before\nexec ./restart.sh api api/api.env";
    let scene = with_wrong_restart(command, "rollback");
    let plan = scene.plan();
    let apply = ["apply", &plan, "--confirm", "ring", "--on-failure"];
    scene.run(&[&apply[..], &["sometimes"]].concat()).exits(2);
    scene.run(&[&apply[..], &["pause"]].concat()).paused();
    // Whoever drives it later, the answer stays.
    scene.run(&["retry", &plan]).paused();
    scene.run(&["abort", &plan]).exits(5).ended("rolled_back");
    scene.as_before();
}

#[test]
fn a_plan_is_applied_with_a_rollback_after_a_failure_where_the_configuration_has_a_pause() {
    let scene = with_wrong_restart("exit 3", "pause");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring", "--on-failure", "rollback"]);
    ran.ended("rolled_back");
    scene.as_before();
}

#[test]
fn an_admin_that_is_refused_at_plan_is_no_reason_to_resume_something() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::List, ResponseFault::Forbidden, 99);
    let ran = scene.run(&["plan", "ring"]);
    ran.exits(1).says(&["K0103", "; then: keyroll plan ring"]);
}

#[test]
fn a_plan_and_its_rotation_are_named_by_the_first_characters_of_their_id() {
    let scene = Scene::new();
    let plan = scene.plan();
    let short = &plan[..plan.len() - 2];
    scene.run(&["apply", short, "--confirm", "ring", "--until", "quiesce"]).exits(4);
    scene.run(&["status", short]).says(&[&plan]);
    scene.run(&["pause", short]);
    scene.run(&["abort", short]).exits(5).ended("rolled_back");
    scene.run(&["history", short]).exits(0).says(&[&plan]);
}

#[test]
fn a_resume_does_not_repeat_what_blocked_before_it_looks_again() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let aborted = scene.run(&["abort", &id]);
    aborted.exits(6).says(&[&format!("undeclared process {pid} ")]);
    scene.end(pid);
    let ran = scene.run(&["resume", &id]);
    assert!(ran.exits(5).of("blocked").is_empty(), "{}", ran.text);
    scene.as_before();
}

#[test]
fn a_consent_that_names_another_secret_is_an_error_of_usage() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "rung"]).refused(2, "K0802", &["--confirm=ring"]);
    assert_eq!(scene.issuer.keys().len(), 1);
}

#[test]
fn what_names_an_adoption_has_the_check_where_one_is_needed() {
    let scene = Scene::made(without_sessions);
    let pid = scene.start_by_hand("two", &scene.path("api/api.env"), "idle=yes");
    let check = format!(
        "keyroll consumer adopt {pid} --name NAME --restart COMMAND --check \\\"COMMAND {{copy}}\\\""
    );
    let ran = scene.run(&["plan", "ring"]);
    ran.exits(0).says(&[&check]);
    let plan = ran.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(6).says(&[&check]);
    assert!(ran.of("blocked").iter().all(|one| one.to_string().contains("--check")), "{}", ran.text);
    plain(&scene, &["status"]).says(&["--check \"COMMAND {copy}\""]);
    scene.end(pid);
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    let other = Scene::new();
    let pid = other.start_by_hand("two", &other.path("api/api.env"), "idle=yes");
    let ran = other.run(&["plan", "ring"]);
    assert!(!ran.exits(0).says(&["consumer adopt"]).text.contains("--check"), "{}", ran.text);
    other.end(pid);
}

#[test]
fn the_help_of_an_adoption_shows_a_check_with_its_copy() {
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll")).args(["consumer", "adopt", "--help"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("--check \"COMMAND {copy}\""), "{text}");
}

/// The environment of a process, by the names of its variables.
fn variables(pid: &str) -> Vec<String> {
    let all = fs::read(Path::new("/proc").join(pid).join("environ")).unwrap_or_default();
    let names = all.split(|byte| *byte == 0).filter_map(|one| one.split(|byte| *byte == b'=').next());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn a_demo_gives_its_parts_no_setting_of_keyroll_and_says_what_ctrl_c_leaves() {
    let (tmp, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["demo", "--plain"])
        .env("TMPDIR", tmp.path())
        .env("HOME", home.path())
        .env("KEYROLL_STATE", "/nowhere/state")
        .env("KEYROLL_CONFIG", "/nowhere/keyroll.toml")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let runs = lines.by_ref().any(|line| line.contains("requests a second"));
    // One that does not begin ends, and says why.
    let why = if runs { String::new() } else { read_to_string(child.stderr.take().unwrap()).unwrap() };
    assert!(runs, "{why}");
    let folder = fs::read_dir(tmp.path()).unwrap().flatten().next().unwrap().path();
    let parts = fs::read_dir(folder.join("run")).unwrap().flatten();
    let pids: Vec<String> = parts.filter_map(|one| fs::read_to_string(one.path()).ok()).collect();
    let all: Vec<String> = pids.iter().flat_map(|pid| variables(pid.trim())).collect();
    assert!(all.iter().any(|name| name == "TMPDIR"), "{all:?}");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let left: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!folder.exists());
    let said = left.join("\n");
    assert!(
        said.contains("stopped: ") && said.contains("removes") && said.contains(folder.to_str().unwrap()),
        "{said}"
    );
    let own: Vec<&String> = all.iter().filter(|name| name.starts_with("KEYROLL_")).collect();
    assert!(own.is_empty(), "{own:?}");
}
