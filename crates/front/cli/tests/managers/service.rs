//! A scene with one more consumer, `bot`, that a real manager runs.

use std::process::Command;

use keyroll_testkit::ManagerTools;
use rustix::process::Signal;

use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::Scene;

/// The parts that differ between managers.
pub struct Service {
    pub scene: Scene,
    pub tools: ManagerTools,
    stop: &'static str,
}

impl Service {
    /// `runs` and `reads` are the consumer's; `start` is a script that brings the manager up, and `stop` ends it. In both
    /// `@PART@` stands for the worker's part and `$value` for what the copy of the other consumer holds.
    pub fn start(what: &str, runs: &str, reads: &str, start: &str, stop: &'static str) -> Option<Self> {
        let tools = ManagerTools::or_skip(what, env!("CARGO_TARGET_TMPDIR"))?;
        let consumer = format!(
            "\n[[secrets.ring.consumers]]\nname = \"bot\"\nruns = {runs}\nreads = {reads}\n\
             log = {{ file = \"./log/refused\", failure = \"was refused\" }}\n"
        );
        let scene = Scene::made(|config, _| *config += &consumer);
        let service = Self { scene, tools, stop };
        let part = format!("worker name=bot copy=/dev/null environment=KEY {}", service.scene.words());
        let program = std::env::current_exe().unwrap();
        let text = start
            .replace("@PART@", &part)
            .replace("@WORDS@", &service.scene.words())
            .replace("@PROGRAM@", program.to_str().unwrap());
        service.sh(&format!("value=$(sed -n 's/^KEY=//p' api/api.env)\n{text}"));
        service.on(&service.scene.old);
        Some(service)
    }

    pub fn sh(&self, text: &str) {
        let text = text.replace("@DIR@", self.scene.dir().to_str().unwrap());
        let mut command = Command::new("sh");
        command.args(["-euc", &text]).current_dir(self.scene.dir()).env("PATH", self.tools.path());
        assert!(command.env("PM2_HOME", self.scene.path("pm2")).status().unwrap().success(), "{text}");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.scene.command(words);
        command.env("PATH", self.tools.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    pub fn plan(&self) -> String {
        let ran = self.run(&["plan", "ring"]);
        ran.exits(0);
        assert!(ran.of("live").is_empty(), "{}", ran.text);
        ran.plan()
    }

    /// The service calls with this key, and no call was refused.
    #[track_caller]
    pub fn on(&self, id: &str) {
        self.scene.issuer.forget();
        wait("the service calls", || self.scene.issuer.last_of("bot").as_deref() == Some(id));
        assert_eq!(self.scene.issuer.refused_workers(), [] as [String; 0], "a call was refused");
    }

    #[track_caller]
    pub fn rotated(&self) {
        self.scene.rotated();
        self.on(&self.scene.issuer.keys()[0].id);
    }

    /// A rotation, with keyroll killed as soon as the service is being restarted or reloaded.
    #[track_caller]
    pub fn is_moved_through_a_kill(&self, told: impl FnMut() -> bool) {
        let plan = self.plan();
        let running = Running::start(self.command(&["apply", &plan, "--confirm", "ring"]));
        wait("the service is told", told);
        running.signal(Signal::KILL);
        running.end();
        self.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
        self.rotated();
    }

    /// A rotation and its rollback.
    #[track_caller]
    pub fn comes_back(&self) {
        let plan = self.plan();
        self.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
        self.run(&["abort", &plan]).exits(5).ended("rolled_back");
        self.scene.as_before();
        self.on(&self.scene.old);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let text = self.stop.replace("@DIR@", self.scene.dir().to_str().unwrap());
        let mut command = Command::new("sh");
        command.args(["-uc", &text]).current_dir(self.scene.dir()).env("PATH", self.tools.path());
        let _ = command.env("PM2_HOME", self.scene.path("pm2")).status();
    }
}
