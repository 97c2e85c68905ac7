use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};
use tempfile::TempDir;

use crate::keeper::Keeper;
use crate::{alphanumeric, free_port};

/// Where Debian puts the server.
const PROGRAM: &str = "/usr/sbin/mariadbd";
const INSTALL: &str = "/usr/bin/mariadb-install-db";
const START_MS_MAX: u64 = 90_000;
const LOOK_PAUSE_MS: u64 = 50;

/// A throw-away MariaDB on a free loopback port, with one database, `shop`.
pub struct MariaDb {
    keeper: Option<Keeper>,
    home: TempDir,
    port: u16,
    password: String,
}

impl MariaDb {
    /// A server, or `None` with a line that says what is left out, where the package is missing.
    ///
    /// # Panics
    /// If it is missing although `CI=true`, or if a server cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            if std::env::var("CI").is_ok_and(|ci| ci == "true") {
                panic!("MariaDB is missing in CI");
            }
            eprintln!(
                "left out, because MariaDB is not installed (apt-get install mariadb-server): {left_out}"
            );
            return None;
        }
        match Self::start() {
            Ok(server) => Some(server),
            Err(error) => panic!("MariaDB could not be started: {error}"),
        }
    }

    fn start() -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-mariadb-").tempdir()?;
        let password = alphanumeric(24);
        let made = Command::new(INSTALL)
            .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", home.path().join("data").display()))
            // Two of them beside each other take each other's files away in /tmp.
            .arg(format!("--tmpdir={}", home.path().display()))
            .args(["--user=root", "--force"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        // Only what is in this file is done before anybody can connect.
        let first = format!(
            "CREATE DATABASE shop;\nCREATE TABLE shop.requests (n INT);\n\
             CREATE USER admin@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION;\n"
        );
        fs::write(home.path().join("first.sql"), first)?;
        let mut server = Self { keeper: None, home, port: free_port()?, password };
        server.run(true)?;
        fs::remove_file(server.home.path().join("first.sql"))?;
        Ok(server)
    }

    fn run(&mut self, first: bool) -> io::Result<()> {
        let path = |name: &str| self.home.path().join(name).display().to_string();
        let mut words = vec![
            PROGRAM.to_owned(),
            "--no-defaults".to_owned(),
            format!("--datadir={}", path("data")),
            format!("--tmpdir={}", path("")),
            format!("--socket={}", path("socket")),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--user=root".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--general-log".to_owned(),
            format!("--general-log-file={}", path("general.log")),
        ];
        words.extend(first.then(|| format!("--init-file={}", path("first.sql"))));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let path = self.home.path().join("server.log");
        let log = fs::File::create(&path)?;
        self.keeper = Some(Keeper::start(&words, log)?);
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        // It listens before it is ready: the first statements come in between.
        loop {
            let said = fs::read_to_string(&path)?;
            if said.contains("ready for connections") {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(io::Error::other(said));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }

    /// Stops it in good order and starts it again on the same port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.keeper = None;
        self.run(false)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The account that may do everything.
    pub fn admin(&self) -> &'static str {
        "admin"
    }

    /// Its password, generated for this server.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The log of every statement.
    pub fn general_log(&self) -> PathBuf {
        self.home.path().join("general.log")
    }

    /// A connection as this user.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect(&self, user: &str, password: &str) -> Result<Conn, Error> {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false);
        Conn::new(options).await
    }

    /// A connection of the admin's.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect_admin(&self) -> Result<Conn, Error> {
        self.connect(self.admin(), &self.password).await
    }

    /// Statements as the admin.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn admin_says(&self, statements: &[&str]) -> Result<(), Error> {
        let mut admin = self.connect_admin().await?;
        for statement in statements {
            admin.query_drop(*statement).await?;
        }
        admin.disconnect().await
    }
}
