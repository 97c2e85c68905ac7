use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use amqprs::connection::{Connection, OpenConnectionArguments};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::keeper::Keeper;
use crate::{alphanumeric, free_port};

/// Where Debian puts the server, and the daemon by which its nodes find each other.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const EPMD: &str = "/usr/bin/epmd";
/// Its runtime alone takes ten seconds on a busy machine.
const START_MS_MAX: u64 = 180_000;
const LOOK_PAUSE_MS: u64 = 50;

/// A throw-away RabbitMQ on free loopback ports, with the management API, and with a daemon of its own for its name.
pub struct RabbitMq {
    // The server goes before the daemon.
    server: Option<Keeper>,
    _epmd: Keeper,
    home: TempDir,
    port: u16,
    management_port: u16,
    ports: [u16; 2],
    password: String,
}

impl RabbitMq {
    /// A server, or `None` with a line that says what is left out, where the package is missing.
    ///
    /// # Panics
    /// If it is missing although `CI=true`, or if a server cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            if std::env::var("CI").is_ok_and(|ci| ci == "true") {
                panic!("RabbitMQ is missing in CI");
            }
            eprintln!(
                "left out, because RabbitMQ is not installed (apt-get install rabbitmq-server): {left_out}"
            );
            return None;
        }
        match Self::start() {
            Ok(server) => Some(server),
            Err(error) => panic!("RabbitMQ could not be started: {error}"),
        }
    }

    fn start() -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-rabbitmq-").tempdir()?;
        let password = alphanumeric(24);
        let (port, management_port) = (free_port()?, free_port()?);
        let ports @ [epmd_port, _] = [free_port()?, free_port()?];
        let settings = format!(
            "listeners.tcp.default = 127.0.0.1:{port}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management_port}\n\
             default_user = admin\n\
             default_pass = {password}\n\
             default_user_tags.administrator = true\n\
             collect_statistics_interval = 1000\n\
             disk_free_limit.absolute = 1MB\n"
        );
        fs::write(home.path().join("rabbitmq.conf"), settings)?;
        fs::write(home.path().join("plugins"), "[rabbitmq_management].\n")?;
        let log = fs::File::create(home.path().join("epmd.log"))?;
        let epmd = Keeper::start(&[EPMD, "-address", "127.0.0.1", "-port", &epmd_port.to_string()], log)?;
        let mut server = Self { server: None, _epmd: epmd, home, port, management_port, ports, password };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> io::Result<()> {
        let path = |name: &str| self.home.path().join(name).display().to_string();
        let [epmd_port, distribution_port] = self.ports;
        let settings = [
            ("HOME", path("")),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", epmd_port.to_string()),
            // The shell gives way to the server, which so is who is stopped.
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", path("none")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_DIST_PORT", distribution_port.to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_NODENAME", "keyroll@localhost".to_owned()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-noinput +S 2:2 -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ];
        let mut words = vec!["env".to_owned()];
        words.extend(settings.map(|(name, value)| format!("{name}={value}")));
        words.push(PROGRAM.to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.server = Some(Keeper::start(&words, fs::File::create(self.log_file())?)?);
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while !fs::read_to_string(self.log_file())?.contains("Server startup complete") {
            if Instant::now() >= end {
                return Err(io::Error::other(fs::read_to_string(self.log_file())?));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// Stops it in good order and starts it again on the same ports.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.server = None;
        self.run()
    }

    /// The port that consumers connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the management API.
    pub fn management_port(&self) -> u16 {
        self.management_port
    }

    /// The user that may do everything.
    pub fn admin(&self) -> &'static str {
        "admin"
    }

    /// Its password, generated for this server.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its log since it was started last.
    pub fn log_file(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// A connection as this user, by a client that others wrote.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect(&self, user: &str, password: &str) -> Result<Connection, amqprs::error::Error> {
        Connection::open(&OpenConnectionArguments::new("127.0.0.1", self.port, user, password)).await
    }

    /// One request to the management API as the admin; its status and the body of its answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn manage(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let api = ManagementApi { port: self.management_port, user: self.admin(), password: &self.password };
        api.request(method, path, body).await
    }
}

/// A management API and the login that requests to it carry.
#[derive(Clone, Copy)]
pub struct ManagementApi<'a> {
    /// Its port on loopback.
    pub port: u16,
    /// The user.
    pub user: &'a str,
    /// The user's password.
    pub password: &'a str,
}

impl ManagementApi<'_> {
    /// Sends one request; returns the status and body of its response.
    ///
    /// # Errors
    /// If there is no whole response.
    pub async fn request(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        request(self, method, path, body).await
    }
}

async fn request(
    ManagementApi { port, user, password }: &ManagementApi<'_>,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", *port)).await?;
    let login = BASE64.encode(format!("{user}:{password}"));
    // The older version, so that the answer comes in one piece and ends with the connection.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    let odd = || io::Error::other("no whole answer");
    let (head, body) = said.split_once("\r\n\r\n").ok_or_else(odd)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(odd)?;
    Ok((status, body.to_owned()))
}
