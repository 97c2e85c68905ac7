//! A scene with a running server, and curl.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use keyroll_testkit::command::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::hostile::hand::human;
use crate::hostile::scene::{Scene, files, put};

/// A scene whose consumers use one secret, with a server. Dropping it ends the server.
pub struct Served {
    pub scene: Scene,
    consumers: usize,
    server: Option<Child>,
    port: u16,
}

/// What curl got.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: Value,
}

impl Served {
    /// With so many consumers, and more lines for the table of the secret. A person makes the keys.
    pub fn start(consumers: usize, secret: &str) -> Self {
        let mut served = Self::made(consumers, secret, |_, spec| human(spec));
        served.serve();
        served
    }

    /// The same with an issuer that makes keys by its API, and with changes to keyroll.toml.
    pub fn with(consumers: usize, secret: &str, change: impl FnOnce(&mut String)) -> Self {
        let mut served = Self::made(consumers, secret, |config, _| change(config));
        served.serve();
        served
    }

    /// No server yet.
    pub fn made(consumers: usize, secret: &str, change: impl FnOnce(&mut String, &mut String)) -> Self {
        let scene = Scene::made(|config, spec| {
            let (head, first) = config.split_once("# Reads its file at start").unwrap();
            let (_, first) = first.split_once("[[secrets").unwrap();
            let head = head.replace("[secrets.ring]\n", &format!("[secrets.ring]\n{secret}\n"));
            let first = format!("[[secrets{first}");
            let more: String = (1..consumers)
                .map(|at| {
                    let name = format!("a{at}");
                    first
                        .replace("\"api\"", &format!("\"{name}\""))
                        .replace("api/api.env", &format!("{name}/api.env"))
                        .replace("run/api.pid", &format!("run/{name}.pid"))
                })
                .collect();
            *config = format!(
                "{head}\n[server]\nlisten = \"127.0.0.1:0\"\n[server.emergency]\n\
                 admin_token = \"file:./admin-token\"\naliases = {{ THE_RING = \"ring\" }}\n\n{first}\n{more}"
            );
            change(config, spec);
        });
        for at in 1..consumers {
            let name = format!("a{at}");
            fs::create_dir_all(scene.path(&name)).unwrap();
            scene.copy("api/api.env", &format!("{name}/api.env"));
            scene.restart(&name, &format!("{name}/api.env"));
        }
        let served = Self { scene, consumers, server: None, port: 0 };
        served.scene.run(&["token", "new", "ada", "--out", "ada.token"]).exits(0);
        served.header("ada");
        served
    }

    /// curl reads the header from a file: a token is not in its arguments.
    pub fn header(&self, name: &str) {
        self.scene.sh(&format!("(printf 'X-Admin-Token: '; cat {name}.token) > {name}.header"));
    }

    /// The names of the consumers.
    pub fn consumers(&self) -> Vec<String> {
        (0..self.consumers).map(|at| if at == 0 { "api".to_owned() } else { format!("a{at}") }).collect()
    }

    /// The processes that drive, children of the server.
    pub fn drivers(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
            .collect()
    }

    /// Ends a driver; it may have ended by itself.
    pub fn kill(&self, pid: u32) {
        let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
    }

    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Neither the arguments nor the environment of these processes have one of the values.
    #[track_caller]
    pub fn not_shown_by(&self, pids: &[u32], values: &[&Zeroizing<String>]) {
        for pid in pids {
            for file in ["cmdline", "environ"] {
                let text = Zeroizing::new(fs::read(format!("/proc/{pid}/{file}")).unwrap());
                for value in values {
                    let shown = text.windows(value.len()).any(|part| part == value.as_bytes());
                    assert!(!shown, "{file} of process {pid}");
                }
            }
        }
    }

    /// No log, journal, plan or file of the state folder has one of these values.
    #[track_caller]
    pub fn nothing_leaked(&self, values: &[&Zeroizing<String>]) {
        let mut needles = Needles::builder();
        for (value, id) in values.iter().zip(0..) {
            needles = needles.add(NeedleId(id), &SecretBytes::from(value.to_string()));
        }
        let needles = needles.build().unwrap();
        let mut all = files(&self.scene.state());
        all.extend(files(&self.scene.path("log")));
        assert!(all.iter().any(|path| path.ends_with("journal.db")));
        for path in all {
            needles.find(&fs::read(&path).unwrap(), &mut |hit| {
                panic!("value {} in {}", hit.id.0, path.display())
            });
        }
    }

    fn log_file(&self) -> PathBuf {
        self.scene.path("log/serve")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// Starts the server, and waits until it listens.
    pub fn serve(&mut self) {
        assert!(self.server.is_none());
        let log = fs::File::create(self.log_file()).unwrap();
        let mut command = self.scene.command(&["serve"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.server = Some(child);
        let mut port = None;
        wait("the server listens", || {
            port =
                self.log().split("127.0.0.1:").nth(1).and_then(|rest| rest.split(':').next()?.parse().ok());
            port.is_some()
        });
        self.port = port.unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Sends a signal, and waits for the end of the server; returns its exit code.
    pub fn end(&mut self, signal: Signal) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        kill_process(Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap(), signal).unwrap();
        server.wait().unwrap().code()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `POST /rotate-secret`, as the issue of a person on a bad night has it: no content type.
    pub fn rotate(&self, name: &str, value: &Zeroizing<String>, words: &[&str]) -> Answer {
        let body =
            Zeroizing::new(serde_json::json!({"secret_name": name, "new_value": value.as_str()}).to_string());
        self.post(body.as_bytes(), words)
    }

    pub fn post(&self, body: &[u8], words: &[&str]) -> Answer {
        let words = [&["-X", "POST", "-H", "@ada.header", "--data-binary", "@-"], words].concat();
        self.curl("/rotate-secret", &words, body)
    }

    pub fn status(&self) -> Value {
        let answer = self.curl("/secret-status", &["-H", "@ada.header"], b"");
        assert_eq!(answer.code, 200, "{answer:?}");
        answer.body
    }

    /// curl itself, with the body on its stdin.
    pub fn curl(&self, path: &str, words: &[&str], body: &[u8]) -> Answer {
        let mut child = self.begin(path, words);
        // A server that refuses before it reads closes the connection, and curl its stdin.
        let _ = child.stdin.take().unwrap().write_all(body);
        Answer::of(child)
    }

    pub fn begin(&self, path: &str, words: &[&str]) -> Child {
        Command::new("curl")
            .args(["-sS", "-i", "--max-time", "120"])
            .args(words)
            .arg(self.url(path))
            .current_dir(self.scene.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub fn put(&self, name: &str, text: &str) {
        put(&self.scene.path(name), &[text], 0o600);
    }
}

impl Answer {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.rsplit_once("\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer: {text} {}", String::from_utf8_lossy(&output.stderr));
        });
        let head = head.rsplit("\r\n\r\n").next().unwrap().to_owned();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
        Self { code, head, body }
    }

    pub fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_default()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", fs::read_to_string(self.log_file()).unwrap_or_default());
        }
    }
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
