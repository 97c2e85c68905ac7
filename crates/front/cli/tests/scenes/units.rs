//! Scenes of a real systemd in a host of its own.

use std::path::{Path, PathBuf};

use keyroll_testkit::SystemdHost;
use keyroll_testkit::command::Ran;

use crate::scenes::stage::{KEYROLL, Scene, Stage};
use crate::scenes::truth::{Line, Runs, Truth, Version};

use Version::{New, Old};

const CACHED: &str =
    "[Service]\nExecStart=/bin/sleep 100000\nExecReload=/bin/true\nEnvironmentFile=@/api.env\nType=exec\n";

/// The old file, and an optional one that would win.
const FALLS: &str = "[Service]\nExecStart=/bin/sleep 100000\nEnvironmentFile=@/default.env\nEnvironmentFile=-@/run/primary.env\nType=exec\n";

const LOADED: &str = "[Service]\nExecStart=/bin/sleep 100000\nEnvironment=LOADED_API_KEY={old}\nType=exec\n";

pub struct Host {
    /// Dropped before the folder.
    host: SystemdHost,
    stage: Stage,
    all: Vec<Truth>,
}

impl Host {
    pub fn raise() -> Option<Self> {
        let stage = Stage::new();
        let programs = Path::new(KEYROLL).parent().unwrap();
        let host = SystemdHost::start_or_skip("scenes of units", &[&stage.root(), programs])?;
        let mut all = Self { host, stage, all: Vec::new() };
        all.all = vec![all.cached(), all.falls(), all.loaded()];
        Some(all)
    }

    pub fn root(&self) -> PathBuf {
        self.stage.root()
    }

    pub fn keyroll(&self, words: &[&str]) -> Ran {
        let root = self.root();
        let home = format!("HOME={}", root.join("home").display());
        let fixed = ["env", "-C", root.to_str().unwrap(), &home, "COLUMNS=100000", KEYROLL];
        Ran::run(&mut self.host.command(&[&fixed, words].concat()))
    }

    pub fn truths(&self) -> Vec<Truth> {
        self.all.clone()
    }

    fn sh(&self, line: &str) -> String {
        let output = self.host.command(&["sh", "-euc", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn start(&self, scene: &Scene<'_>, name: &str, unit: &str) {
        scene.write(&format!("{name}.service"), unit);
        let from = scene.at(&format!("{name}.service"));
        self.sh(&format!("mv {from} /etc/systemd/system/; systemctl daemon-reload; systemctl start {name}"));
    }

    /// The unit's process as it is numbered inside.
    fn pid(&self, name: &str) -> u32 {
        self.sh(&format!("systemctl show --property MainPID --value {name}")).parse().unwrap()
    }

    fn truth(
        &self,
        cause: &'static str,
        name: &'static str,
        scene: &Scene<'_>,
        runs: Runs,
        says: &[&str],
    ) -> Truth {
        let line = Line::of(runs.pid, says).within(scene);
        Truth { cause, name, copies: Vec::new(), instances: vec![runs], line }
    }

    /// Edited, and reloaded: `systemctl reload` succeeds.
    fn cached(&self) -> Truth {
        let scene = self.stage.scene("cached");
        scene.write("api.env", "CACHED_API_KEY={old}\n");
        self.start(&scene, "cached", CACHED);
        scene.write("api.env", "CACHED_API_KEY={new}\n");
        self.sh("systemctl reload cached");
        let says = [
            "STALE",
            "@/api.env:1 now holds",
            "systemctl restart cached.service",
            "(not: systemctl reload cached.service)",
        ];
        let runs = Runs::new(self.pid("cached"), &[Old], New);
        let copies = vec![(scene.at("api.env:1"), New)];
        let cause = "11 a reload of a unit that went well";
        Truth { copies, ..self.truth(cause, "CACHED_API_KEY", &scene, runs, &says) }
    }

    /// The file that would win is not where the unit looks for it, and may be missing.
    fn falls(&self) -> Truth {
        let scene = self.stage.scene("falls");
        scene.write("default.env", "FALLS_API_KEY={old}\n");
        scene.write("runs/primary.env", "FALLS_API_KEY={new}\n");
        self.start(&scene, "falls", FALLS);
        let says = ["take from @/default.env:1", "@/run/primary.env", "does not exist"];
        let runs = Runs::new(self.pid("falls"), &[Old], Old);
        let copies = vec![(scene.at("default.env:1"), Old), (scene.at("runs/primary.env:1"), New)];
        let cause = "3 broken fallback path (unit)";
        Truth { copies, ..self.truth(cause, "FALLS_API_KEY", &scene, runs, &says) }
    }

    /// A drop-in that systemd has not loaded: a restart uses the loaded settings.
    fn loaded(&self) -> Truth {
        let scene = self.stage.scene("loaded");
        self.start(&scene, "loaded", LOADED);
        let text = scene.values.fill("[Service]\\nEnvironment=LOADED_API_KEY={new}\\n");
        let folder = "/etc/systemd/system/loaded.service.d";
        self.sh(&format!("mkdir -p {folder}; printf '{text}' >{folder}/key.conf; systemctl restart loaded"));
        let says = [
            "take from LOADED_API_KEY kept by loaded.service",
            "key.conf:2 holds",
            "is not read",
            "daemon-reload",
        ];
        let runs = Runs::new(self.pid("loaded"), &[Old], Old);
        let kept = "LOADED_API_KEY kept by loaded.service".to_owned();
        let copies = vec![
            (kept, Old),
            ("/etc/systemd/system/loaded.service:3".to_owned(), Old),
            (format!("{folder}/key.conf:2"), New),
        ];
        let cause = "5 a service manager that was not told";
        Truth { copies, ..self.truth(cause, "LOADED_API_KEY", &scene, runs, &says) }
    }
}
