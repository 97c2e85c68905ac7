//! A folder with one consumer, `bot`, that a real manager runs: here, in an engine, or in a host with systemd.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_manager::Notice;
use keyroll_testkit::{Engine, ManagerTools, SystemdHost, free_port};
use rustix::process::Signal;

use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::Scene;
use crate::matrix::rows::{At, Row};

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

const IMAGE: &str = "keyroll-test:1";

pub struct Place {
    pub row: &'static Row,
    /// Dropped before the environment of its processes.
    pub scene: Scene,
    /// Of the first instance, of the second, and of a front before them.
    pub ports: [u16; 3],
    tools: Option<ManagerTools>,
    engine: Option<Engine>,
    host: Option<SystemdHost>,
    /// The id of the key that is in use.
    current: String,
}

impl Place {
    /// A service that calls; `None` where a part is missing.
    pub fn raise(row: &'static Row) -> Option<Self> {
        let tools = match row.at {
            At::Here => Some(ManagerTools::or_skip(row.name, env!("CARGO_TARGET_TMPDIR"))?),
            At::Engine | At::Host => None,
        };
        let engine = if row.at == At::Engine { Some(Engine::start_or_skip(row.name)?) } else { None };
        let ports = [(); 3].map(|()| free_port().unwrap());
        let scene = Scene::made(|config, _| {
            let end = config.find("# Reads its file at start").unwrap();
            config.truncate(end);
            *config += &numbered(&row.consumer(), &ports);
        });
        // The other scenes' own worker; this test uses only its value.
        let pid = fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        let home = scene.dir().parent().unwrap().to_owned();
        let host = match row.at {
            At::Host => {
                let programs = Path::new(KEYROLL).parent().unwrap();
                Some(SystemdHost::start_or_skip(row.name, &[&home, programs])?)
            }
            At::Here | At::Engine => None,
        };
        let current = scene.old.clone();
        let place = Self { row, scene, ports, tools, engine, host, current };
        if let Some(engine) = &place.engine {
            let target = std::env::current_exe().unwrap().parent().unwrap().to_owned();
            engine.image(IMAGE, target.strip_prefix("/").unwrap().to_str().unwrap()).unwrap();
        }
        place.sh(&format!(
            "value=$(sed -n 's/^KEY=//p' api/api.env)\nprintf 'KEY=%s\\n' \"$value\" >bot.env\nchmod 600 bot.env\n\
             rm -r api run/api.pid\n{}",
            row.start
        ));
        place.on(&place.current);
        Some(place)
    }

    fn filled(&self, text: &str) -> String {
        let program = std::env::current_exe().unwrap();
        let issuer = self.scene.issuer.port();
        let lifeline = match self.row.at {
            At::Here => std::process::id().to_string(),
            At::Engine => "self".to_owned(),
            At::Host => "1".to_owned(),
        };
        let words = format!(
            "name=bot issuer={issuer} port={issuer} lifeline={lifeline} refused=@DIR@/log/refused taken=@DIR@/run/taken"
        );
        let text = numbered(text, &self.ports)
            .replace("@SERVE@", &format!("serve {words}"))
            .replace("@WORDS@", &words);
        let engine = self.engine.as_ref().map(Engine::host).unwrap_or_default();
        text.replace("@IMAGE@", IMAGE)
            .replace("@ENGINE@", &engine)
            .replace("@DIR@", self.scene.dir().to_str().unwrap())
            .replace("@TARGET@", program.parent().unwrap().to_str().unwrap())
            .replace("@PROGRAM@", program.to_str().unwrap())
    }

    /// The environment of the row's commands.
    fn surround(&self, command: &mut Command) {
        if let Some(tools) = &self.tools {
            command.env("PATH", tools.path()).env("PM2_HOME", self.scene.path("pm2"));
        }
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine.host());
        }
    }

    /// A script in the scene's folder, where the service runs.
    fn script(&self, text: &str) -> Command {
        let words = ["sh", "-euc", &self.filled(text)].map(str::to_owned);
        match &self.host {
            Some(host) => {
                let dir = self.scene.dir().display().to_string();
                let mut all = vec!["env", "-C", &dir];
                all.extend(words.iter().map(String::as_str));
                host.command(&all)
            }
            None => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).current_dir(self.scene.dir()).stdin(Stdio::null());
                self.surround(&mut command);
                command
            }
        }
    }

    #[track_caller]
    fn sh(&self, text: &str) {
        let output = self.script(text).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {text}: {said}", self.row.name);
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let Some(host) = &self.host else {
            let mut command = self.scene.command(words);
            self.surround(&mut command);
            return command;
        };
        let dir = self.scene.dir().display().to_string();
        // It is ended by its process id inside the container.
        let begin = "echo $$ >../driver; exec \"$0\" \"$@\"";
        let fixed =
            ["env", "-C", &dir, "sh", "-c", begin, KEYROLL, "--state", "../state", "--no-input", "--json"];
        let mut command = host.command(&[&fixed, words].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    pub fn kill(&self, running: &Running, signal: Signal) {
        match self.host {
            Some(_) => self.sh("kill -KILL $(cat ../driver)"),
            None => running.signal(signal),
        }
    }

    /// What changes as soon as the service is being restarted or reloaded.
    pub fn told(&self) -> Vec<u8> {
        // Between two of its processes there may be none.
        self.script(self.row.told).output().unwrap().stdout
    }

    /// Runs the command that seems to apply a value and does not.
    pub fn trap(&self) {
        if !self.row.trap.is_empty() {
            self.sh(self.row.trap);
        }
    }

    /// The service calls with this key, and no call was refused.
    #[track_caller]
    fn on(&self, id: &str) {
        self.scene.issuer.forget();
        if self.row.notice() == Notice::Job {
            self.sh(self.row.job);
        }
        wait("the service calls", || {
            if self.row.notice() != Notice::Job {
                // The service calls the issuer only for requests that it gets.
                ask(self.ports[0]);
            }
            self.scene.issuer.last_of("bot").as_deref() == Some(id)
        });
        self.nobody_was_refused();
    }

    /// No call of the service was refused; a check with a wrong copy is.
    #[track_caller]
    pub fn nobody_was_refused(&self) {
        let mut refused = self.scene.issuer.refused_workers();
        refused.retain(|one| !one.starts_with("try "));
        assert_eq!(refused, [] as [String; 0], "{}: a call was refused", self.row.name);
    }

    /// One key, made by keyroll, in use; the next course begins from it.
    #[track_caller]
    pub fn rotated(&mut self) {
        let keys = self.scene.issuer.keys();
        let good = keys.len() == 1 && keys[0].id != self.current && !keys[0].disabled;
        assert!(good, "{}: exactly one new credential: {keys:?}", self.row.name);
        self.on(&keys[0].id);
        self.closed();
        self.current.clone_from(&keys[0].id);
    }

    #[track_caller]
    pub fn as_before(&self) {
        let keys = self.scene.issuer.keys();
        let good = keys.len() == 1 && keys[0].id == self.current && !keys[0].disabled;
        assert!(good, "{}: the credential of before: {keys:?}", self.row.name);
        self.on(&self.current);
        self.closed();
    }

    #[track_caller]
    fn closed(&self) {
        let open = self.run(&["status"]);
        assert!(open.exits(0).of("paused").is_empty(), "a rotation is open: {}", open.text);
    }

    /// How often the job ran.
    pub fn jobs(&self) -> String {
        let ran = fs::read_to_string(self.scene.path("run/jobs")).unwrap_or_default();
        let failed = ran.lines().filter(|line| *line != "0").count();
        assert_eq!(failed, 0, "a job failed");
        format!("{} jobs, 0 failed", ran.lines().count())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.row.stop.is_empty() {
            let _ = self.script(self.row.stop).output();
        }
    }
}

fn numbered(text: &str, ports: &[u16; 3]) -> String {
    text.replace("@PORT1@", &ports[0].to_string()).replace("@PORT2@", &ports[1].to_string())
}

/// One request, whatever its result.
fn ask(port: u16) {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
    let limit = Some(std::time::Duration::from_secs(5));
    if stream.set_read_timeout(limit).is_ok()
        && stream.write_all(b"GET /q HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n").is_ok()
    {
        let _ = stream.read_to_end(&mut Vec::new());
    }
}
