//! A gateway that restarts within its process: until then it has the old key, is ready, and answers turns. What such a
//! generation says proves nothing about the key that was written after it began. The gateway here is a program that does
//! what OpenClaw was seen to do, always the slow way; `openclaw_moves_under_load` rotates OpenClaw itself.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyroll_testkit::{free_port, issuer::without};
use rustix::process::Signal;

use super::gateway::asked;
use crate::hostile::ran::wait;
use crate::hostile::scene::{Scene, put};

/// How long the old generation goes on after the file was written, seconds.
const GOES_ON_S: u64 = 10;

/// Longer than any rollback here takes.
const FOR_LONG_S: u64 = 3_600;

const CONSUMER: &str = "\n[secrets.vars]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
    [secrets.vars.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n\
    [[secrets.vars.consumers]]\nname = \"claw\"\n\
    runs = { openclaw = \"./claw\", provider = \"vars\", program = \"/bin/false\" }\n\
    reads = { file = \"./claw/openclaw.json\", format = \"json\", at = \"/env/vars/VARS_KEY\" }\n\
    check = { exec = [\"./claw-check.sh\", \"{copy}\"], turn = \"vars/fake-1\" }\n";

struct Claw {
    scene: Scene,
    gateway: Child,
    port: u16,
    old: String,
}

impl Drop for Claw {
    fn drop(&mut self) {
        drop(self.gateway.kill());
        drop(self.gateway.wait());
    }
}

impl Claw {
    /// The issuer does not show which process made a call: what the gateway has loaded and what checks say is all there is.
    fn start(goes_on_s: u64) -> Self {
        let scene = Scene::made(|config, spec| {
            *config += CONSUMER;
            *spec = without(&without(spec, "op.sessions"), "op.end_session");
        });
        scene.sh("kill $(cat run/api.pid); mkdir -m 700 claw");
        let (port, (old, value)) = (free_port().unwrap(), scene.issuer.mint("by hand"));
        let text = |around: &str| {
            around.replace("@PORT@", &port.to_string()).replace("@ISSUER@", &scene.issuer.port().to_string())
        };
        let before = text(
            "{\"gateway\":{\"port\":@PORT@,\"auth\":{\"mode\":\"token\",\"token\":\"t\"},\
             \"http\":{\"endpoints\":{\"chatCompletions\":{\"enabled\":true}}}},\
             \"models\":{\"providers\":{\"vars\":{\"baseUrl\":\"http://127.0.0.1:@ISSUER@/v1\",\
             \"api\":\"openai-completions\",\"apiKey\":\"${VARS_KEY}\",\"models\":[{\"id\":\"fake-1\"}]}}},\
             \"env\":{\"vars\":{\"VARS_KEY\":\"",
        );
        put(&scene.path("claw/openclaw.json"), &[&before, &value, "\"}}}\n"], 0o600);
        put(&scene.path("claw.py"), &[include_str!("in_place.py")], 0o644);
        let check = format!("#!/bin/sh\nexec python3 {}/claw.py check \"$1\"\n", scene.dir().display());
        put(&scene.path("claw-check.sh"), &[&check], 0o755);
        scene.fed(&["secret", "add", "vars", "--id", &old], &value).exits(0);
        let ready = scene.path("run/claw.ready");
        let gateway = Command::new("python3")
            .arg(scene.path("claw.py"))
            .arg(scene.path("claw"))
            .arg(goes_on_s.to_string())
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let claw = Self { scene, gateway, port, old };
        wait("the gateway listens", || ready.exists());
        claw.ask().expect("a turn on the old key");
        claw
    }

    fn ask(&self) -> Result<(), String> {
        asked(self.port, "t", "vars")
    }

    /// Whoever asks for turns all the time; no call of a turn may be refused.
    fn callers(&self) -> (Arc<AtomicBool>, JoinHandle<()>) {
        let (over, port) = (Arc::new(AtomicBool::new(false)), self.port);
        let shared = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !shared.load(Ordering::Relaxed) {
                drop(asked(port, "t", "vars"));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        (over, thread)
    }

    fn none_was_refused(&self) {
        let calls = self.scene.issuer.model_calls();
        // The check is seen to fail with a value that is no key's.
        let refused = calls.iter().filter(|call| !call.accepted && call.key != "nobody").count();
        assert_eq!(refused, 0, "of {} calls", calls.len());
    }

    /// The key of the gateway's last turn.
    fn key(&self) -> String {
        self.ask().expect("a turn");
        self.scene.issuer.model_calls().pop().unwrap().key
    }
}

#[test]
fn the_old_generation_of_a_gateway_proves_nothing_of_the_key_that_was_written_after_it_began() {
    let claw = Claw::start(GOES_ON_S);
    let (over, calls) = claw.callers();
    let plan = claw.scene.plan_of("vars");
    let ran = claw.scene.run(&["apply", &plan, "--confirm", "vars", "--until", "quiesce"]);
    ran.exits(4).paused();
    let moved = claw.key();
    assert_ne!(moved, claw.old, "nothing was proved before the gateway had the new key");
    let back = claw.scene.run(&["abort", &plan]);
    let now = claw.key();
    let plan = claw.scene.plan_of("vars");
    let ran = claw.scene.run(&["apply", &plan, "--confirm", "vars"]);
    over.store(true, Ordering::Relaxed);
    calls.join().unwrap();
    claw.none_was_refused();
    back.exits(5).ended("rolled_back");
    assert_eq!(now, claw.old, "nothing was proved before the gateway had the old key again");
    ran.exits(0).ended("done");
    assert_ne!(claw.key(), claw.old);
    assert!(claw.scene.is_ended(&claw.old));
}

/// keyroll is killed while it waits, and the key is put back before the gateway has taken the new one: the gateway never
/// restarts, and has the old key all the time.
#[test]
fn a_generation_that_never_took_the_new_key_counts_when_the_old_one_is_put_back() {
    let claw = Claw::start(FOR_LONG_S);
    let plan = claw.scene.plan_of("vars");
    let settings = claw.scene.path("claw/openclaw.json");
    let inode = || fs::metadata(&settings).unwrap().ino();
    let before = inode();
    let apply = claw.scene.start(&["apply", &plan, "--confirm", "vars"]);
    wait("the new key is written", || inode() != before);
    apply.signal(Signal::KILL);
    apply.end();
    claw.scene.run(&["abort", &plan]).exits(5).ended("rolled_back");
    assert_eq!(claw.key(), claw.old);
    claw.none_was_refused();
}
