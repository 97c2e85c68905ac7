use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::free_port;
use crate::keeper::Keeper;
use crate::python_tools::python_tools;
use crate::systemd_host::cache;

/// The release that everything said of it was seen with, and what its server needs beside it.
const PIP: [&str; 3] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const FOLDER: &str = "moto-5.2.5";

/// The server: moto, and what AWS documents where moto is not like that.
const SERVER: &str = include_str!("moto/server.py");

/// What the server writes: a line for each request.
const LOG: &str = "log";

const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// The region that tests make their secrets in.
pub const MOTO_REGION: &str = "eu-west-1";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MotoUser {
    /// With the rights that keyroll needs.
    Keyroll,
    /// With the right to read alone.
    Reader,
    /// With the rights to read and to put a version, and without that to move a label.
    Putter,
}

/// A throw-away AWS Secrets Manager on a free loopback port: moto, which checks every signature and every right.
pub struct Moto {
    _keeper: Keeper,
    home: TempDir,
    port: u16,
    keys: Value,
}

impl Moto {
    /// A server without a secret, or `None` with a line that says what is left out, where moto cannot be had.
    ///
    /// # Panics
    /// If it cannot be had although `CI=true`, or if a server cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(what: &str) -> Option<Self> {
        let programs = match python_tools(&cache().join(FOLDER), &PIP) {
            Ok(programs) => programs,
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} needs moto here: {why}");
                eprintln!("left out: {what} ({why})");
                return None;
            }
        };
        match Self::start(&programs) {
            Ok(server) => Some(server),
            Err(error) => panic!("moto could not be started: {error}"),
        }
    }

    fn start(programs: &Path) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-moto-").tempdir()?;
        let (script, ready, log) = (in_home(&home, "server.py"), in_home(&home, "keys"), in_home(&home, LOG));
        fs::write(&script, SERVER)?;
        let port = free_port()?;
        let words = [
            programs.join("python").display().to_string(),
            script.display().to_string(),
            port.to_string(),
            ready.display().to_string(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let keeper = Keeper::start(&words, fs::File::create(&log)?)?;
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while !ready.exists() {
            if Instant::now() >= end {
                return Err(io::Error::other(fs::read_to_string(log).unwrap_or_default()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        let keys = serde_json::from_slice(&fs::read(&ready)?)?;
        Ok(Self { _keeper: keeper, home, port, keys })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has written so far.
    ///
    /// # Panics
    /// If that cannot be read.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn log(&self) -> String {
        match fs::read(in_home(&self.home, LOG)) {
            Ok(log) => String::from_utf8_lossy(&log).into_owned(),
            Err(error) => panic!("moto's log: {error}"),
        }
    }

    /// Another party makes a secret with this text in [`MOTO_REGION`]; with `replica`, also a copy in that region.
    pub fn create(&self, id: &str, text: &str, replica: Option<&str>) {
        self.other(&json!({ "act": "create", "id": id, "text": text, "replica": replica }));
    }

    /// Another party makes a secret of bytes, here in Base64.
    pub fn create_binary(&self, id: &str, base64: &str) {
        self.other(&json!({ "act": "create", "id": id, "binary": base64 }));
    }

    /// Another party makes a version with these labels; its id.
    pub fn put(&self, id: &str, text: &str, labels: &[&str]) -> String {
        let told = self.other(&json!({ "act": "put", "id": id, "text": text, "labels": labels }));
        told.get("version").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The ids of the versions with this label.
    pub fn labelled(&self, id: &str, label: &str) -> Vec<String> {
        let told = self.other(&json!({ "act": "versions", "id": id }));
        let all = told.as_object().into_iter().flatten();
        let has = |labels: &Value| labels.as_array().is_some_and(|all| all.iter().any(|it| it == label));
        all.filter(|(_, labels)| has(labels)).map(|(version, _)| version.clone()).collect()
    }

    /// How many versions there are, with and without labels.
    pub fn count(&self, id: &str) -> usize {
        self.other(&json!({ "act": "versions", "id": id })).as_object().map_or(0, serde_json::Map::len)
    }

    /// The text that is given out.
    pub fn text(&self, id: &str) -> String {
        let told = self.other(&json!({ "act": "current", "id": id }));
        told.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Another party schedules a secret for deletion.
    pub fn delete(&self, id: &str) {
        self.other(&json!({ "act": "delete", "id": id }));
    }

    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    fn other(&self, asked: &Value) -> Value {
        match self.ask(&asked.to_string()) {
            Ok(told) => told,
            Err(error) => panic!("moto's door for another party: {error}"),
        }
    }

    fn ask(&self, asked: &str) -> io::Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        let length = asked.len();
        write!(stream, "POST /another-party HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{asked}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if head.split(' ').nth(1) == Some("200") {
            Ok(serde_json::from_str(body)?)
        } else {
            Err(io::Error::other(answer))
        }
    }

    /// A profile for AWS's configuration file with the credentials of a user. The endpoint is this server, or what stands
    /// before it at another port.
    pub fn profile(&self, name: &str, user: MotoUser, port: u16) -> String {
        let user = match user {
            MotoUser::Keyroll => "keyroll",
            MotoUser::Reader => "reader",
            MotoUser::Putter => "putter",
        };
        let part =
            |what: &str| self.keys.get(user).and_then(|user| user.get(what)?.as_str()).unwrap_or_default();
        format!(
            "[profile {name}]\nregion = {MOTO_REGION}\nendpoint_url = http://127.0.0.1:{port}\n\
             aws_access_key_id = {}\naws_secret_access_key = {}\n",
            part("id"),
            part("secret")
        )
    }
}

fn in_home(home: &TempDir, name: &str) -> PathBuf {
    home.path().join(name)
}
