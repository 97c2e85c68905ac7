use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::debian_host::cache;
use crate::free_port;
use crate::keeper::Keeper;
use crate::python_tools::python_tools;

/// The release that everything said of it was seen with, and what its server needs beside it.
const PIP: [&str; 3] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const FOLDER: &str = "moto-5.2.5";

/// The region of the tests.
pub const MOTO_REGION: &str = "eu-west-1";

/// What the server writes: a line for each request.
const LOG: &str = "log";

const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// A script that runs moto on a free loopback port, with a door for another party. It ends when this is dropped.
pub(super) struct Server {
    _keeper: Keeper,
    home: TempDir,
    port: u16,
    keys: Value,
}

impl Server {
    /// `None` with a line that says what is left out, where moto cannot be had.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub(super) fn start_or_skip(script: &str, what: &str) -> Option<Self> {
        let programs = match python_tools(&cache().join(FOLDER), &PIP) {
            Ok(programs) => programs,
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} needs moto here: {why}");
                eprintln!("left out: {what} ({why})");
                return None;
            }
        };
        match Self::start(&programs, script) {
            Ok(server) => Some(server),
            Err(error) => panic!("moto could not be started: {error}"),
        }
    }

    fn start(programs: &Path, text: &str) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-moto-").tempdir()?;
        let (script, ready, log) = (in_home(&home, "server.py"), in_home(&home, "keys"), in_home(&home, LOG));
        fs::write(&script, text)?;
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

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the server has written so far.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub(super) fn log(&self) -> String {
        match fs::read(in_home(&self.home, LOG)) {
            Ok(log) => String::from_utf8_lossy(&log).into_owned(),
            Err(error) => panic!("moto's log: {error}"),
        }
    }

    /// The key of a user that the script made: its id and its secret.
    pub(super) fn login(&self, user: &str) -> (String, String) {
        let part = |what: &str| self.keys.get(user).and_then(|user| user.get(what)?.as_str());
        let [id, secret] = ["id", "secret"].map(|what| part(what).unwrap_or_default().to_owned());
        (id, secret)
    }

    /// What another party does, who has every right.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub(super) fn other(&self, asked: &Value) -> Value {
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
}

/// A profile for AWS's configuration file with this endpoint and this key.
pub(super) fn profile(name: &str, port: u16, key: (&str, &str)) -> String {
    let (id, secret) = key;
    format!(
        "[profile {name}]\nregion = {MOTO_REGION}\nendpoint_url = http://127.0.0.1:{port}\n\
         aws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    )
}

fn in_home(home: &TempDir, name: &str) -> PathBuf {
    home.path().join(name)
}
