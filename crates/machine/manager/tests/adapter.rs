//! Adapters that others write: which answers keyroll believes, and the rules that their authors can check.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{Adapter, CommandLine, adapter_schema, apply, check_adapter, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{TempDir, tag, write_program};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 30;

/// A whole adapter for one process that it starts itself.
const GOOD: &str = include_str!("adapter/good.py");

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PATIENCE_S)
}

/// Ends the process that the adapter started, by the number that the adapter recorded.
struct Scene(TempDir);

impl Scene {
    fn with(script: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let scene = Self(folder);
        scene.becomes(script);
        scene
    }

    /// Gives the adapter this text.
    fn becomes(&self, script: &str) {
        write_program(&self.0.path().join("adapter"), script);
    }

    fn good() -> Self {
        let scene = Self::with(GOOD);
        let status = Command::new(scene.path("adapter")).arg("start").stdin(Stdio::null()).status();
        assert!(status.expect("the adapter").success());
        scene
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn adapter(&self) -> Adapter {
        let none: [&str; 0] = [];
        Adapter { command: CommandLine::program(self.path("adapter"), none), instance: None }
    }

    fn apply(&self) -> Result<String, Failure> {
        apply(&self.adapter(), None, soon(), &mut |_| {}).map(|applied| applied.done)
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.path("pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

fn shell(line: &str) -> String {
    format!("#!/bin/sh\nread -r request\n{line}\n")
}

/// What every command gets, and what a shell or Python sets by itself, also where `python3` is a script of pyenv.
fn is_passed_on(name: &str) -> bool {
    ["PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"].contains(&name)
        || name.starts_with("PYENV_")
}

#[test]
fn a_good_adapter_keeps_every_rule_and_applies() {
    let scene = Scene::good();
    let before = scene.pid().expect("it runs");
    let rules = check_adapter(&scene.adapter(), Some(soon()));
    let broken: Vec<_> = rules.iter().filter(|one| one.broken.is_some()).collect();
    assert!(rules.len() == 8 && broken.is_empty(), "{broken:#?}");
    let between = scene.pid().expect("it runs");
    assert_ne!(between, before, "it was not told to apply");
    assert_eq!(scene.apply().expect("applied"), "good 1.0 applied");
    let found = instances(&scene.adapter()).expect("found");
    assert_eq!(found.iter().map(|one| one.process.pid).collect::<Vec<_>>(), [scene.pid().expect("it runs")]);
    // Of keyroll's own environment it gets only what every command gets.
    let seen = fs::read_to_string(scene.path("environment")).expect("written down");
    assert!(seen.lines().any(|name| name == "PATH"), "{seen}");
    let own = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let lost: Vec<String> = own.filter(|name| !is_passed_on(name)).collect();
    assert!(!lost.is_empty(), "this process has no variable to lose");
    assert!(!seen.lines().any(|name| lost.iter().any(|lost| lost == name)), "{seen}");
}

/// Each of these adapters is wrong in another way, and breaks the rule with this number.
#[test]
fn each_broken_rule_is_named() {
    let cases = [
        (0, GOOD.replace("'instances', 'settled'", "'settled'")),
        (0, GOOD.replace("'version': '1.0'", "'version': '1\\n0'")),
        (1, GOOD.replace("'processes': [pid()]", "'processes': [4194304]")),
        (1, GOOD.replace("'processes': [pid()]", "'processes': []")),
        (2, GOOD.replace("'processes': [pid()]", "'processes': [os.getpid()]")),
        (3, GOOD.replace("{'settled': True}", "{'settled': 'yes'}")),
        (4, GOOD.replace("refuse('no such verb')", "say({'applied': True})")),
        (5, GOOD.replace("refuse('another protocol')", "pass")),
        (6, GOOD.replace("refuse('no request')", "sys.exit(3)")),
        (7, GOOD.replace("start()\n        say({'applied", "say({'applied")),
    ];
    for (rule, script) in cases {
        assert_ne!(script, GOOD, "rule {rule}: nothing was planted");
        let scene = Scene::with(&GOOD.replace("sleep 600", "sleep 601"));
        let status = Command::new(scene.path("adapter")).arg("start").stdin(Stdio::null()).status();
        assert!(status.expect("the adapter").success());
        scene.becomes(&script);
        let deadline = Instant::now() + Duration::from_secs(6);
        let rules = check_adapter(&scene.adapter(), (rule == 7).then_some(deadline));
        assert!(rules[rule].broken.is_some(), "rule {rule} is kept: {rules:#?}");
    }
}

#[test]
fn an_answer_that_is_none_is_not_believed() {
    let long = shell("head -c 200000 /dev/zero | tr '\\0' x; echo");
    let described =
        "{\"protocol\":1,\"name\":\"n\",\"version\":\"1\",\"takes\":\"reload\",\"proves\":[\"instances\"]}";
    for script in [
        shell("echo hello"),
        shell("true"),
        shell(&format!("echo '{described}'; echo more")),
        shell(&format!("printf '%s' '{described}'")),
        shell(&format!("echo '{described}'; exit 1")),
        shell(&format!("echo '{}'", described.replace(":1,", ":2,"))),
        shell(&format!("echo '{}'", described.replace("\"name\"", "\"nickname\":\"x\",\"name\""))),
        shell("printf '\\377\\n'"),
        long,
    ] {
        let failure = instances(&Scene::with(&script).adapter()).expect_err(&script);
        assert_eq!((failure.code.as_str(), failure.class), ("K0433", Class::Retryable), "{script}");
        assert!(!format!("{failure:?}").contains("nickname"), "the answer is repeated");
    }
}

/// Readers differ on which of the two counts. What an `apply` did whose answer has a key twice is unknown.
#[test]
fn an_answer_with_a_key_twice_is_not_believed() {
    let scene = Scene::good();
    let why = |failure: &Failure| failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
    for (answer, key, at) in [
        ("{\"protocol\":1,\"applied\":true,\"applied\":true}", "applied", "/applied"),
        (
            "{\"protocol\":1,\"error\":{\"effect\":\"none\",\"message\":\"m\",\"effect\":\"none\"}}",
            "effect",
            "/error/effect",
        ),
    ] {
        let said = format!("print('{answer}')");
        scene.becomes(&GOOD.replace("start()\n        say({'applied': True})", &said));
        let failure = scene.apply().expect_err(answer);
        assert_eq!((failure.code.as_str(), failure.class), ("K0433", Class::Unknown), "{answer}");
        let wanted = format!("its answer is JSON with the key \"{key}\" twice in one object, at {at}");
        assert_eq!(why(&failure), wanted);
    }
}

/// An adapter's own text may contain a value: it is kept for a caller that can redact it, and never shown as it is.
#[test]
fn the_words_of_an_adapter_are_not_shown_as_they_are() {
    let secret = tag();
    let answer =
        format!("{{\"protocol\":1,\"error\":{{\"effect\":\"none\",\"message\":\"with {secret}\"}}}}");
    let scene = Scene::with(&shell(&format!("echo '{answer}'")));
    let failure = scene.apply().expect_err("an error");
    let cause = failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(!format!("{failure:?}{failure}{cause}").contains(&secret), "{failure:?}");
}

#[test]
fn what_was_asked_of_it_and_lost_is_unknown() {
    let good = Scene::good();
    good.becomes(&GOOD.replace("start()\n        say({'applied': True})", "sys.exit(1)"));
    let failure = good.apply().expect_err("no answer");
    assert_eq!((failure.code.as_str(), failure.class), ("K0433", Class::Unknown));
    good.becomes(&GOOD.replace("start()\n        say({'applied': True})", "refuse('not now')"));
    let failure = good.apply().expect_err("an error");
    assert_eq!(
        (failure.code.as_str(), failure.class),
        ("K0433", Class::Retryable),
        "it said that nothing was done"
    );
}

#[test]
fn the_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/exec-adapter.schema.json");
    let now = serde_json::to_string_pretty(&adapter_schema()).expect("text") + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &now).expect("written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == now, "docs/reference/exec-adapter.schema.json is not current: cargo xtask codegen");
}
