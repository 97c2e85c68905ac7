use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use tempfile::TempDir;

use crate::keeper::Keeper;
use crate::{alphanumeric, free_port};

/// Where Debian puts the server.
const PROGRAM: &str = "/usr/bin/redis-server";
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// A throw-away Redis on a free loopback port, with a file of users: nobody gets in but by a password.
pub struct Redis {
    keeper: Option<Keeper>,
    home: TempDir,
    port: u16,
    password: String,
    settings: Vec<String>,
}

impl Redis {
    /// A server, or `None` with a line that says what is left out, where the package is missing.
    ///
    /// # Panics
    /// If it is missing although `CI=true`, or if a server cannot be started.
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        Self::start_or_skip_with(left_out, &[])
    }

    /// The same with further words of its command line; `--aclfile ""` leaves the file of users out.
    ///
    /// # Panics
    /// As [`Redis::start_or_skip`].
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip_with(left_out: &str, settings: &[&str]) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            if std::env::var("CI").is_ok_and(|ci| ci == "true") {
                panic!("Redis is missing in CI");
            }
            eprintln!("left out, because Redis is not installed (apt-get install redis-server): {left_out}");
            return None;
        }
        match Self::start(settings) {
            Ok(server) => Some(server),
            Err(error) => panic!("Redis could not be started: {error}"),
        }
    }

    fn start(settings: &[&str]) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-redis-").tempdir()?;
        let password = alphanumeric(24);
        let users = format!("user default off\nuser admin on #{} ~* &* +@all\n", sha256(&password));
        fs::write(home.path().join("users.acl"), users)?;
        let settings = settings.iter().map(|word| (*word).to_owned()).collect();
        let mut server = Self { keeper: None, home, port: free_port()?, password, settings };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> io::Result<()> {
        let path = |name: &str| self.home.path().join(name).display().to_string();
        let (port, users, home) = (self.port.to_string(), path("users.acl"), path(""));
        let mut words = vec![PROGRAM, "--port", &port, "--bind", "127.0.0.1", "--dir", &home, "--save", ""];
        words.extend(["--appendonly", "no", "--daemonize", "no"]);
        if !self.settings.iter().any(|word| word == "--aclfile") {
            words.extend(["--aclfile", &users]);
        }
        words.extend(self.settings.iter().map(String::as_str));
        let log = fs::File::options().create(true).append(true).open(self.log_file())?;
        self.keeper = Some(Keeper::start(&words, log)?);
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() >= end {
                return Err(io::Error::other(fs::read_to_string(self.log_file()).unwrap_or_default()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// Stops it in good order and starts it again on the same port: what it did not write down is gone.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.keeper = None;
        self.run()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user that may do everything.
    pub fn admin(&self) -> &'static str {
        "admin"
    }

    /// Its password, generated for this server.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its file of users.
    pub fn users_file(&self) -> PathBuf {
        self.home.path().join("users.acl")
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// A connection of the admin's.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect_admin(&self) -> Result<MultiplexedConnection, RedisError> {
        self.connect(self.admin(), &self.password).await
    }

    /// A connection as this user, by a client that others wrote.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect(&self, user: &str, password: &str) -> Result<MultiplexedConnection, RedisError> {
        let url = format!("redis://{user}:{password}@127.0.0.1:{}/0", self.port);
        Client::open(url)?.get_multiplexed_async_connection().await
    }

    /// One command as the admin, its words apart by spaces.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn admin_says(&self, words: &str) -> Result<redis::Value, RedisError> {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connect_admin().await?).await
    }
}

/// The hash of a password, as Redis keeps it: no test sends the password itself.
fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
