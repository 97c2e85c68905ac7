//! Scenes of process managers that keep the values that they once read.

use std::fs;
use std::process::{Command, Stdio};

use keyroll_testkit::ManagerTools;
use keyroll_testkit::command::wait;

use crate::scenes::stage::{Scene, Stage};
use crate::scenes::truth::{Line, Runs, Truth, Version};

use Version::{New, Old};

/// How many programs of one kind there are.
const FLEET: usize = 6;

const SUPERVISOR: &str = "[supervisord]\nlogfile=@/run/s.log\npidfile=@/run/s.pid\n\
    [unix_http_server]\nfile=@/run/s.sock\n\
    [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
    [supervisorctl]\nserverurl=unix://@/run/s.sock\n\
    [program:bot]\ncommand=/bin/sleep 100000\nenvironment=LITERAL_API_KEY=\"{old}\"\nstartsecs=0\n";

const FLEET_OF: &str = "[program:fleet]\ncommand=/bin/sleep 100000\nenvironment=FLEET_API_KEY=\"{new}\"\nstartsecs=0\n\
    numprocs=6\nprocess_name=%(program_name)s_%(process_num)d\n";

const ECOSYSTEM: &str = "module.exports = { apps: [{ name: 'bot', script: '/bin/sleep', args: '100000', interpreter: 'none',\n  \
    env: { DUMP_API_KEY: '{%}' } }] };\n";

/// Ends its managers.
pub struct Managers<'s> {
    tools: ManagerTools,
    pm2: Scene<'s>,
    supervisord: Scene<'s>,
    fleet: Scene<'s>,
}

impl<'s> Managers<'s> {
    pub fn raise(stage: &'s Stage) -> Option<Self> {
        let tools = stage.tools.clone()?;
        let [pm2, supervisord, fleet] = ["dump", "literal", "fleet"].map(|name| stage.scene(name));
        let all = Self { tools, pm2, supervisord, fleet };
        std::thread::scope(|scope| {
            scope.spawn(|| all.raise_pm2());
            scope.spawn(|| all.raise_supervisord());
        });
        Some(all)
    }

    fn ran(&self, mut command: Command) -> String {
        let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pm2(&self, words: &[&str]) -> String {
        let mut command = self.pm2.stage.command(self.tools.program("pm2"), self.pm2.folder());
        command.args(words).env("PM2_HOME", self.pm2.path("home"));
        self.ran(command)
    }

    /// An app is started, its file is edited, and it is restarted: pm2 reports success.
    fn raise_pm2(&self) {
        fs::create_dir(self.pm2.path("home")).unwrap();
        self.pm2.write("ecosystem.config.js", &ECOSYSTEM.replace('%', "old"));
        self.pm2(&["start", "ecosystem.config.js"]);
        self.pm2(&["save"]);
        self.pm2.write("ecosystem.config.js", &ECOSYSTEM.replace('%', "new"));
        self.pm2(&["restart", "bot"]);
    }

    fn ctl(&self, words: &[&str]) -> String {
        let mut command =
            self.supervisord.stage.command(self.tools.program("supervisorctl"), self.supervisord.folder());
        command.arg("-c").arg(self.supervisord.path("supervisord.conf")).args(words);
        self.ran(command)
    }

    /// The value was changed in the file of the project, and the manager's manifest also contains it.
    fn raise_supervisord(&self) {
        let (literal, fleet) = (&self.supervisord, &self.fleet);
        fs::create_dir(literal.path("run")).unwrap();
        literal.write("app/api.env", "LITERAL_API_KEY={new}\n");
        fleet.write("fleet.conf", FLEET_OF);
        let include = format!("[include]\nfiles = {}\n", fleet.path("fleet.conf").display());
        literal.write("supervisord.conf", &format!("{SUPERVISOR}{include}"));
        let mut daemon = literal.stage.command(self.tools.program("supervisord"), literal.folder());
        daemon.arg("-c").arg(literal.path("supervisord.conf"));
        assert!(daemon.status().unwrap().success());
        wait("all programs run", || self.pids("fleet:").len() == FLEET && self.pids("bot").len() == 1);
    }

    /// The processes of the programs whose name begins so.
    fn pids(&self, name: &str) -> Vec<u32> {
        let status = self.ctl(&["status"]);
        let running = status.lines().filter(|line| line.starts_with(name) && line.contains("RUNNING"));
        running.filter_map(|line| line.split("pid ").nth(1)?.split(',').next()?.parse().ok()).collect()
    }

    pub fn truths(&self) -> Vec<Truth> {
        vec![self.dump(), self.literal(), self.fleet()]
    }

    fn dump(&self) -> Truth {
        let scene = &self.pm2;
        let pid = self.pm2(&["pid", "bot"]).parse().unwrap();
        let says =
            ["uses ", "ecosystem.config.js:2 holds", "is not read", "--update-env", "(not: pm2 restart bot)"];
        let mut copies = vec![
            (scene.at("ecosystem.config.js:2"), New),
            (format!("DUMP_API_KEY kept by pm2 in {}", scene.at("home")), Old),
        ];
        copies.extend(self.dumped(scene));
        Truth {
            cause: "5 a process manager that caches (pm2)",
            name: "DUMP_API_KEY",
            copies,
            instances: vec![Runs::new(pid, &[Old], Old)],
            line: Line::of(pid, &says).within(scene),
        }
    }

    /// Every line of the dump that holds the value: pm2 writes an environment twice.
    fn dumped(&self, scene: &Scene<'_>) -> Vec<(String, Version)> {
        let text = fs::read_to_string(scene.path("home/dump.pm2")).unwrap();
        let lines = text.lines().zip(1..).filter(|(line, _)| line.contains(scene.values.of(Old)));
        lines.map(|(_, number)| (scene.at(&format!("home/dump.pm2:{number}")), Old)).collect()
    }

    fn literal(&self) -> Truth {
        let scene = &self.supervisord;
        let pid = self.pids("bot")[0];
        let at = scene.line("supervisord.conf", Old);
        let from = format!("take from {at}");
        let says = ["uses ", &from, "@/app/api.env:1 holds"];
        Truth {
            cause: "8 a literal copy in a second manifest",
            name: "LITERAL_API_KEY",
            copies: vec![(scene.at("app/api.env:1"), New), (at.clone(), Old)],
            instances: vec![Runs::new(pid, &[Old], Old)],
            line: Line::of(pid, &says).within(scene),
        }
    }

    fn fleet(&self) -> Truth {
        let scene = &self.fleet;
        let pids = self.pids("fleet:");
        Truth {
            cause: "- a fleet where all is well",
            name: "FLEET_API_KEY",
            copies: vec![(scene.at("fleet.conf:3"), New)],
            instances: pids.iter().map(|pid| Runs::new(*pid, &[New], New)).collect(),
            line: Line::of(pids[0], &["uses ", "take from @/fleet.conf:3"]).within(scene),
        }
    }
}

impl Drop for Managers<'_> {
    fn drop(&mut self) {
        self.pm2(&["kill"]);
        self.ctl(&["shutdown"]);
    }
}
