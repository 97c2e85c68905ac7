use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::free_port;
use crate::keeper::Keeper;

/// Where Debian puts the server.
const PROGRAM: &str = "/usr/bin/prometheus";
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// A throw-away Prometheus on a free loopback port, that asks for its numbers every second.
pub struct Prometheus {
    _keeper: Keeper,
    _home: TempDir,
    port: u16,
}

impl Prometheus {
    /// A server that asks this port of the loopback address, or `None` with a line that says what is left out, where the
    /// package is missing.
    ///
    /// # Panics
    /// If it is missing although `CI=true`, or if a server cannot be started.
    pub fn start_or_skip(left_out: &str, asked: u16) -> Option<Self> {
        let settings = format!(
            "scrape_configs:\n  - job_name: service\n    static_configs:\n      - targets: [\"127.0.0.1:{asked}\"]\n"
        );
        Self::configured_or_skip(left_out, &settings)
    }

    /// The same with the `scrape_configs` and `rule_files` of a test.
    ///
    /// # Panics
    /// As `start_or_skip`.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn configured_or_skip(left_out: &str, settings: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            if std::env::var("CI").is_ok_and(|ci| ci == "true") {
                panic!("Prometheus is missing in CI");
            }
            eprintln!(
                "left out, because Prometheus is not installed (apt-get install prometheus): {left_out}"
            );
            return None;
        }
        match Self::start(settings) {
            Ok(server) => Some(server),
            Err(error) => panic!("Prometheus could not be started: {error}"),
        }
    }

    fn start(settings: &str) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-prometheus-").tempdir()?;
        let path = |name: &str| home.path().join(name);
        let settings = format!("global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n{settings}");
        fs::write(path("prometheus.yml"), settings)?;
        let (port, log_file) = (free_port()?, path("server.log"));
        let words = [
            PROGRAM.to_owned(),
            format!("--config.file={}", path("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", path("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let keeper = Keeper::start(&words, fs::File::create(&log_file)?)?;
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() >= end {
                return Err(io::Error::other(fs::read_to_string(log_file).unwrap_or_default()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(Self { _keeper: keeper, _home: home, port })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}
