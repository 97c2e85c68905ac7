//! A manager that is not there, is of another version, or is another user's: refused before anything is changed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use keyroll_testkit::ManagerTools;
use keyroll_testkit::issuer::Ask;
use rustix::process::geteuid;

use crate::bad_days::told;
use crate::hostile::ran::Ran;
use crate::hostile::scene::Scene;
use crate::managers::service::Service;

/// A user without rights on any machine.
const NOBODY: u32 = 65_534;

/// Cases at the same time.
const LANES: usize = 3;

/// Its service is `bot`, whose copy is `bot/bot.env`.
struct Case {
    name: &'static str,
    runs: &'static str,
    /// A script in the scene's folder, before anything else; and one after its files were given to `user`.
    prepared: &'static str,
    then: &'static str,
    /// A program that PATH finds before any other of its name: the name and the script.
    instead: Option<(&'static str, &'static str)>,
    docker_host: Option<&'static str>,
    user: Option<u32>,
    /// The real program that it needs.
    needs: Option<&'static str>,
    code: &'static str,
    why: &'static str,
    next: &'static str,
}

const NOTHING: Case = Case {
    name: "",
    runs: "",
    prepared: "",
    then: "",
    instead: None,
    docker_host: None,
    user: None,
    needs: None,
    code: "",
    why: "",
    next: "",
};

const COMPOSE: Case = Case { runs: r#"{ compose = "./shop", service = "web" }"#, ..NOTHING };
const SUPERVISOR: Case = Case {
    runs: r#"{ supervisor = "bot", config = "./supervisord.conf" }"#,
    prepared: SUPERVISORD,
    needs: Some("supervisorctl"),
    code: "K0407",
    ..NOTHING
};
const PM2: Case = Case {
    runs: r#"{ pm2 = "./ecosystem.config.js", app = "bot", home = "./pm2" }"#,
    prepared: "mkdir -m 700 pm2; echo 'module.exports = { apps: [] };' >ecosystem.config.js",
    needs: Some("pm2"),
    code: "K0407",
    ..NOTHING
};

const SUPERVISORD: &str = "cat >supervisord.conf <<END
[supervisord]
logfile=$PWD/run/s.log
pidfile=$PWD/run/supervisord
[unix_http_server]
file=$PWD/run/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://$PWD/run/s.sock
END";

/// A socket at which nobody listens, that its owner alone may use.
const DEAD_SOCKET: &str = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"run/docker.sock\")'; \
                           chmod 600 run/docker.sock";

const CASES: &[Case] = &[
    Case {
        name: "docker's socket is absent",
        docker_host: Some("unix://@DIR@/run/none.sock"),
        code: "K0420",
        why: "its socket is not there",
        next: "start the engine",
        ..COMPOSE
    },
    Case {
        name: "nobody answers at docker's socket",
        prepared: DEAD_SOCKET,
        docker_host: Some("unix://@DIR@/run/docker.sock"),
        needs: Some("docker"),
        code: "K0420",
        why: "nothing answers at its socket",
        next: "start the engine",
        ..COMPOSE
    },
    Case {
        name: "docker's socket is root's",
        then: DEAD_SOCKET,
        docker_host: Some("unix://@DIR@/run/docker.sock"),
        user: Some(NOBODY),
        needs: Some("docker"),
        code: "K0420",
        why: "this user may not use its socket",
        next: "run keyroll as root",
        ..COMPOSE
    },
    Case {
        name: "docker is on another machine",
        docker_host: Some("tcp://127.0.0.1:2375"),
        code: "K0420",
        why: "not behind a socket of this machine",
        next: "run keyroll on the machine of the containers",
        ..COMPOSE
    },
    Case {
        name: "docker answers in a form that is not known",
        prepared: "touch run/docker.sock",
        instead: Some((
            "docker",
            r#"case "$*" in *" ps "*) echo 0123456789ab;; *) echo '{"form":"of tomorrow"}';; esac"#,
        )),
        docker_host: Some("unix://@DIR@/run/docker.sock"),
        code: "K0420",
        why: "docker answered in a form that is not known",
        next: "docker compose version",
        ..COMPOSE
    },
    Case {
        name: "docker has no compose of version 2",
        prepared: "touch run/docker.sock",
        instead: Some(("docker", r#"echo "docker: 'compose' is not a docker command." >&2; exit 1"#)),
        docker_host: Some("unix://@DIR@/run/docker.sock"),
        code: "K0420",
        why: "no compose plugin here, or an old one",
        next: "install the plugin docker-compose-plugin",
        ..COMPOSE
    },
    Case {
        name: "supervisord does not run",
        why: "it does not run, or its socket is elsewhere",
        next: "start supervisord; then: keyroll plan ring",
        ..SUPERVISOR
    },
    Case {
        name: "supervisorctl answers in a form that is not known",
        instead: Some(("supervisorctl", "echo 'bot: well, thank you'")),
        needs: None,
        why: "its answer has another form",
        next: "supervisorctl -c ",
        ..SUPERVISOR
    },
    Case {
        name: "supervisord is root's",
        then: "supervisord -c supervisord.conf; while [ ! -S run/s.sock ]; do sleep 0.02; done; chmod 700 run/s.sock",
        user: Some(NOBODY),
        why: "belongs to another user",
        next: "run keyroll as that user or as root",
        ..SUPERVISOR
    },
    Case {
        name: "pm2's daemon does not run",
        why: "its daemon does not run",
        next: "in `runs.home`; then: keyroll plan ring",
        ..PM2
    },
    Case {
        name: "pm2 answers in a form that is not known",
        then: "PM2_HOME=$PWD/pm2 pm2 ping >/dev/null",
        instead: Some(("pm2", "echo 'bot: well, thank you'")),
        why: "its answer has another form: is it another version of pm2?",
        next: "pm2 pm2 pid bot` shows what keyroll sees",
        ..PM2
    },
    Case {
        name: "pm2 is root's",
        then: "chown 0:0 pm2",
        user: Some(NOBODY),
        needs: None,
        why: "belongs to user 0",
        next: "run keyroll as that user, or as root",
        ..PM2
    },
    Case {
        name: "there is no systemd",
        runs: r#"{ unit = "bot.service" }"#,
        code: "K0407",
        why: "this machine was not started with systemd",
        next: "use `runs.restart` with a command",
        ..NOTHING
    },
];

#[test]
fn managers_that_cannot_be_used_are_refused_with_nothing_changed() {
    let tools = ManagerTools::or_skip("managers on bad days", env!("CARGO_TARGET_TMPDIR"));
    let chosen = std::env::var("KEYROLL_CASE").unwrap_or_default();
    let left = Mutex::new(CASES.iter().filter(|case| case.name.contains(&chosen)));
    let lane = || {
        loop {
            let Some(case) = left.lock().unwrap().next() else { return };
            match left_out(case, tools.as_ref()) {
                Some(why) => eprintln!("left out: {} ({why})", case.name),
                None => Day::begin(case, tools.as_ref()).refused(),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(lane);
        }
    });
}

fn left_out(case: &Case, tools: Option<&ManagerTools>) -> Option<&'static str> {
    if case.user.is_some() && !geteuid().is_root() {
        return Some("only root can be another user");
    }
    if case.runs.contains("unit = ") && std::path::Path::new("/run/systemd/system").exists() {
        return Some("this machine was started with systemd");
    }
    match case.needs {
        Some("docker") => {
            let found = Command::new("docker").arg("--version").output().is_ok();
            assert!(found || std::env::var("CI").as_deref() != Ok("true"), "docker is missing in CI");
            (!found).then_some("docker is not installed")
        }
        Some(_) if tools.is_none() => Some("the managers are not installed"),
        Some(name) if case.user.is_some_and(|user| !may_run(tools, name, user)) => {
            Some("another user may not run what is installed")
        }
        _ => None,
    }
}

fn may_run(tools: Option<&ManagerTools>, name: &str, user: u32) -> bool {
    let mut command = Command::new(tools.map_or_else(|| name.into(), |tools| tools.program(name)));
    command.arg("--help").uid(user).gid(user).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

struct Day<'a> {
    case: &'a Case,
    scene: Scene,
    path: String,
}

impl<'a> Day<'a> {
    fn begin(case: &'a Case, tools: Option<&ManagerTools>) -> Self {
        let scene = Scene::made(|config, _| {
            let end = config.find("# Reads its file at start").unwrap();
            config.truncate(end);
            *config += &consumer(case.runs);
        });
        // The scene's own worker would be an undeclared process.
        let pid = std::fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        let path = tools.map_or(system, ManagerTools::path);
        let path = format!("{}:{path}", scene.path("bin").display());
        let day = Self { case, scene, path };
        day.sh("mkdir bin bot shop; mv api/api.env bot/bot.env; rm -r api run/*");
        day.sh(case.prepared);
        if let Some((name, script)) = case.instead {
            // Another process writes the script: a process that this one forks meanwhile would keep the file open for
            // writing.
            let file = format!("bin/{name}.new");
            day.sh(&format!("cat >{file} <<'END'\n#!/bin/sh\n{script}\nEND\nchmod 755 {file}"));
        }
        if let Some(user) = case.user {
            day.sh(&format!("cp {} ../keyroll", env!("CARGO_BIN_EXE_keyroll")));
            day.sh(&format!("chown -R {user}:{user} ../../$(basename $(dirname $PWD))"));
        }
        day.sh(case.then);
        if let Some((name, _)) = case.instead {
            // The real program of that name prepared this case.
            day.sh(&format!("mv bin/{name}.new bin/{name}"));
        }
        day
    }

    fn sh(&self, text: &str) {
        let mut command = Command::new("sh");
        command.args(["-euc", text]).current_dir(self.scene.dir()).env("PATH", &self.path);
        assert!(command.status().unwrap().success(), "{}: {text}", self.case.name);
    }

    fn keyroll(&self, words: &[&str]) -> Ran {
        let mut command = self.scene.command(words);
        if let Some(user) = self.case.user {
            // Another user may not enter the folder in which the program was built.
            let own = self.scene.dir().with_file_name("keyroll");
            let mut copied = Command::new(&own);
            copied.args(command.get_args()).env_clear().uid(user).gid(user).current_dir(self.scene.dir());
            copied.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = copied;
        }
        command.env("PATH", &self.path);
        if let Some(host) = self.case.docker_host {
            command.env("DOCKER_HOST", host.replace("@DIR@", self.scene.dir().to_str().unwrap()));
        }
        Ran::run(&mut command)
    }

    fn refused(&self) {
        let (case, scene) = (self.case, &self.scene);
        let before = scene.snapshot();
        let ran = self.keyroll(&["plan", "ring"]);
        ran.refused(1, case.code, &[case.why, case.next]);
        told(scene, &ran, case.code, case.why, case.next);
        assert_eq!(scene.snapshot(), before, "{}", case.name);
        assert_eq!(scene.issuer.asked(Ask::Mint), 0, "{}", case.name);
        self.keyroll(&["status"]).exits(0);
        // The rotation continues as soon as the cause is fixed; here with another manager.
        let config = scene.path("keyroll.toml");
        let text = std::fs::read_to_string(&config).unwrap().replace(case.runs, "{ at_rest = true }");
        std::fs::write(&config, text).unwrap();
        self.keyroll(&["plan", "ring"]).exits(0);
    }
}

const START: &str = r#"
cat >supervisord.conf <<END
[supervisord]
logfile=@DIR@/run/s.log
pidfile=@DIR@/run/supervisord
[unix_http_server]
file=@DIR@/run/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://@DIR@/run/s.sock
[program:bot]
command=@PROGRAM@ hostile::part --exact --nocapture
environment=KEY="$value",KEYROLL_TEST_PART="@PART@"
startsecs=1
stdout_logfile=NONE
stderr_logfile=NONE
END
sed -i 's/^\[secrets.ring\]$/[secrets.ring]\nunit_deadline = "20s"\nphase_deadline = "25s"/' keyroll.toml
supervisord -c supervisord.conf
until supervisorctl -c supervisord.conf status bot | grep -q RUNNING; do sleep 0.05; done
"#;

const STOP: &str = "if [ -s run/supervisord ]; then kill $(cat run/supervisord); \
                    while [ -e run/supervisord ]; do sleep 0.05; done; fi";

/// The manager ends in the middle of a rotation, and its program with it, so no process can be inspected, forward or in
/// a rollback. Both keys work until the operator has started it again.
#[test]
fn a_manager_that_ends_in_the_middle_leaves_both_keys_and_a_person_is_told() {
    let reads = r#"{ file = "./supervisord.conf", template = 'KEY="{value}"' }"#;
    let runs = r#"{ supervisor = "bot", config = "./supervisord.conf" }"#;
    let what = "a program of a supervisord that ends";
    let Some(service) = Service::start(what, runs, reads, START, STOP) else { return };
    let plan = service.plan();
    service.run(&["apply", &plan, "--confirm", "ring", "--until", "roll"]).exits(4).paused();
    service.sh(STOP);
    let ran = service.run(&["resume", &plan, "--confirm", "ring"]);
    ran.exits(6);
    told(&service.scene, &ran, "K0407", "it does not run", "start supervisord");
    let keys = service.scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    let next = ran.paused()["resume_with"].as_str().unwrap().to_owned();
    assert!(next.contains(&plan), "{}", ran.text);
    // Only the pause names a command, the one that works then: the failure says what to mend.
    let of_the_failure = |line: &&str| line.contains("K0407") && line.contains("start supervisord");
    let mut failures = ran.text.lines().filter(of_the_failure);
    assert!(failures.all(|line| !line.contains("keyroll resume")), "{}", ran.text);
    service.sh("supervisord -c supervisord.conf");
    service.run(&["retry", &plan]).exits(5).ended("rolled_back");
    service.scene.as_before();
    service.on(&service.scene.old);
}

impl Drop for Day<'_> {
    fn drop(&mut self) {
        // The processes that were started for this case; each has its own pid file.
        let script = "for file in run/supervisord pm2/pm2.pid; do \
                      if [ -s $file ]; then kill -KILL $(cat $file); fi; done";
        let _ = Command::new("sh").args(["-c", script]).current_dir(self.scene.dir()).status();
    }
}

fn consumer(runs: &str) -> String {
    format!(
        "[[secrets.ring.consumers]]\nname  = \"bot\"\nruns  = {runs}\n\
         reads = [{{ env_file = \"./bot/bot.env\", variable = \"KEY\" }}]\n\
         check = {{ exec = [\"./check.sh\", \"KEY\", \"{{copy}}\"] }}\n"
    )
}
