//! Apps of a real pm2: the daemon keeps using its record.

use std::fs;
use std::process::{Command, Stdio};

use keyroll_testkit::ManagerTools;
use keyroll_trace::{Doubt, Verdict, rows, secrets};

use crate::chains::scene::{NamedChain, Scene, until};

const KEY: &str = "ACME_API_KEY";

struct Pm2 {
    scene: Scene,
    tools: ManagerTools,
}

impl Pm2 {
    fn ran(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.tools.program("pm2"));
        command.args(words).current_dir(self.scene.dir()).env("PM2_HOME", self.scene.path("home"));
        command.env("PATH", self.tools.path()).env("HOME", self.scene.dir()).stdin(Stdio::null());
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ecosystem(&self, version: &str) {
        self.scene.write(
            "ecosystem.config.js",
            &format!(
                "module.exports = {{ apps: [{{ name: 'bot', script: '/bin/sleep', args: '1000', interpreter: 'none',\n  \
                 env: {{ {KEY}: '{{{version}}}' }} }}] }};\n"
            ),
        );
    }

    fn pid(&self) -> u32 {
        until("the app runs", || self.ran(&["pid", "bot"]).trim().parse().ok().filter(|pid| *pid > 0))
    }

    fn chain(&self) -> NamedChain {
        self.scene.chain("pm2", "bot", KEY)
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        self.ran(&["kill"]);
    }
}

#[test]
fn pm2_starts_what_its_daemon_keeps_and_takes_the_file_only_when_told() {
    let Some(tools) = ManagerTools::or_skip("chains of pm2", env!("CARGO_TARGET_TMPDIR")) else { return };
    let pm2 = Pm2 { scene: Scene::new(), tools };
    fs::create_dir(pm2.scene.path("home")).unwrap();
    pm2.ecosystem("first");
    pm2.ran(&["start", "ecosystem.config.js"]);
    pm2.ran(&["save"]);
    pm2.ecosystem("second");
    let daemon = |told: &NamedChain| told.links[0].starts_with("wins first what pm2's daemon ");
    let chain = pm2.chain();
    assert!(chain.next == "first" && daemon(&chain), "{chain:#?}");
    assert_eq!(chain.links[1], "not read second the ecosystem file @/ecosystem.config.js");
    assert_eq!(chain.links[2], "not read first @/home/dump.pm2, from which a boot starts");
    assert_eq!(chain.pids, [pm2.pid()]);
    // A line of the app's own script wins over the daemon's record.
    pm2.scene.write("odd.sh", &format!("export {KEY}={{third}}\nexec /bin/sleep 1000\n"));
    let mut odd = Command::new(pm2.tools.program("pm2"));
    odd.args(["start", "odd.sh", "--name", "odd", "--interpreter", "bash"]).current_dir(pm2.scene.dir());
    odd.env("PM2_HOME", pm2.scene.path("home")).env("PATH", pm2.tools.path()).env("HOME", pm2.scene.dir());
    assert!(odd.env(KEY, pm2.scene.value("first")).stdin(Stdio::null()).output().unwrap().status.success());
    let odd = until("its script has begun", || {
        let pid: u32 = pm2.ran(&["pid", "odd"]).trim().parse().ok()?;
        (pm2.scene.started_with(pid, KEY) == "third").then(|| pm2.scene.chain("pm2", "odd", KEY))
    });
    assert_eq!(odd.next, "-", "{odd:#?}");
    assert!(odd.links[0].starts_with("not visible third whatever set it "), "{odd:#?}");
    pm2.ran(&["delete", "odd"]);
    // What seems to apply it, and what does.
    let before = pm2.pid();
    pm2.ran(&["restart", "bot"]);
    assert_ne!(pm2.pid(), before);
    assert_eq!(pm2.scene.started_with(pm2.pid(), KEY), chain.next);
    pm2.ran(&["restart", "ecosystem.config.js", "--only", "bot", "--update-env"]);
    let chain = pm2.chain();
    assert_eq!((chain.next.as_str(), pm2.scene.started_with(pm2.pid(), KEY).as_str()), ("second", "second"));
    assert_eq!(chain.links[2], "not read first @/home/dump.pm2, from which a boot starts");
    // A boot restores the old one.
    pm2.ran(&["kill"]);
    pm2.ran(&["resurrect"]);
    assert_eq!(pm2.scene.started_with(pm2.pid(), KEY), "first");
    assert_eq!(pm2.chain().next, "first");
}

#[test]
fn an_app_that_a_shell_started_from_a_file_is_likely_stale_until_the_file_is_given_to_it_again() {
    let Some(tools) = ManagerTools::or_skip("pm2 and files", env!("CARGO_TARGET_TMPDIR")) else { return };
    let pm2 = Pm2 { scene: Scene::new(), tools };
    fs::create_dir(pm2.scene.path("home")).unwrap();
    let file = |version: &str| format!("PORT=8080\n{KEY}={{{version}}}\nDATABASE=@/orders\n");
    pm2.scene.write("app/.env", &file("first"));
    let shell = |text: &str| {
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", text]).current_dir(pm2.scene.path("app")).env("PATH", pm2.tools.path());
        command.env("PM2_HOME", pm2.scene.path("home")).env("HOME", pm2.scene.dir()).env_remove(KEY);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    };
    shell("set -a; . ./.env; set +a; pm2 start /bin/sleep --name bot --interpreter none -- 1000");
    let verdicts = || {
        let pid = until("its program runs", || {
            let pid = pm2.pid();
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n").then_some(pid)
        });
        let survey = pm2.scene.survey();
        let found = secrets(&survey, &[]);
        let rows: Vec<_> = found.iter().flat_map(|found| rows(&survey, found)).collect();
        let own = rows.iter().filter(|row| row.process.pid == pid);
        let links = own.clone().filter_map(|row| row.chain?.likely()?.applies.clone()).collect::<Vec<_>>();
        (own.map(|row| row.verdict).collect::<Vec<_>>(), links)
    };
    assert_eq!(verdicts().0, [Verdict::Current]);
    pm2.scene.write("app/.env", &file("first"));
    assert_eq!(verdicts().0, [Verdict::Current], "its time alone is another one");
    pm2.scene.write("app/.env", &file("second"));
    pm2.ran(&["restart", "bot"]);
    assert_eq!(pm2.scene.started_with(pm2.pid(), KEY), "first");
    let (stale, commands) = verdicts();
    assert_eq!(stale, [Verdict::LikelyStale(Doubt::NoChain)]);
    shell(&commands[0]);
    assert_eq!(pm2.scene.started_with(pm2.pid(), KEY), "second", "{commands:?}");
    assert_eq!(verdicts().0, [Verdict::Current]);
}
