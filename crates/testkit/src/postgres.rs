use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use crate::debian_host::cache;
use crate::managers::ran;
use crate::{alphanumeric, free_port};

/// Where Debian puts the server's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The account that Debian's package makes; the server refuses to run as root.
const ACCOUNT: &str = "postgres";
/// The folder of the new cluster in the cache; its name ends with the user to whom it belongs.
const CLUSTER: &str = "postgresql-15-of-";
const START_MS_MAX: u64 = 60_000;
const STOP_MS_MAX: u64 = 20_000;
const LOOK_PAUSE_MS: u64 = 20;

/// The server's keeper: it stops the server when our end of its standard input closes, however we ended.
const KEEPER: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; read -r _ <&3; kill -INT $server 2>/dev/null; wait $server"#;

/// A throw-away PostgreSQL 15 cluster on a free loopback port, its sockets and data in a folder of its own,
/// `scram-sha-256` for every TCP connection; it is stopped and deleted on drop, or when this process dies.
///
/// It logs every statement, so that a test can look for what must not stand there.
pub struct Postgres {
    keeper: Child,
    home: TempDir,
    port: u16,
    password: String,
}

/// Why a throw-away cluster could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Debian's package `postgresql-15` is not installed: what needs it is left out.
    #[error("PostgreSQL 15 is not installed (apt-get install postgresql-15)")]
    Missing,
    /// A step of its start failed.
    #[error("could not {step}")]
    Start {
        /// The step, as a clause.
        step: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The server did not accept connections in time.
    #[error("the server did not accept connections in time; its log ends: {0}")]
    NotReady(String),
}

impl Postgres {
    /// Makes a cluster and waits until it accepts connections.
    ///
    /// # Errors
    /// [`PostgresError::Missing`] where the package is not installed.
    pub fn start() -> Result<Self, PostgresError> {
        Self::start_with(&[])
    }

    /// The same with further settings, such as `logging_collector=on`; then the server's log is in `data/log`.
    ///
    /// # Errors
    /// [`PostgresError::Missing`] where the package is not installed.
    pub fn start_with(settings: &[&str]) -> Result<Self, PostgresError> {
        if !Path::new(PROGRAMS).join("initdb").exists() {
            return Err(PostgresError::Missing);
        }
        let home =
            tempfile::Builder::new().prefix("keyroll-pg-").tempdir().map_err(failed("make a folder"))?;
        let password = alphanumeric(24);
        let port = free_port().map_err(failed("find a free port"))?;
        make_cluster(home.path(), &password)?;
        let keeper = start_server(home.path(), port, settings)?;
        let server = Self { keeper, home, port, password };
        server.wait_ready()?;
        Ok(server)
    }

    /// A cluster, or `None` with a line that says what is left out, where the package is missing.
    ///
    /// # Panics
    /// If it is missing although `CI=true`, or if a cluster cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        Self::start_or_skip_with(left_out, &[])
    }

    /// The same with further settings.
    ///
    /// # Panics
    /// As [`Postgres::start_or_skip`].
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip_with(left_out: &str, settings: &[&str]) -> Option<Self> {
        match Self::start_with(settings) {
            Ok(server) => Some(server),
            Err(PostgresError::Missing) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                panic!("PostgreSQL 15 is missing in CI")
            }
            Err(PostgresError::Missing) => {
                eprintln!("left out, because PostgreSQL 15 is not installed: {left_out}");
                None
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// The address that it listens on.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser.
    pub fn superuser(&self) -> &'static str {
        "postgres"
    }

    /// The superuser's password, generated for this cluster.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The folder of its Unix socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    /// The folder of the log's files, where `logging_collector` is on.
    pub fn log_folder(&self) -> PathBuf {
        self.home.path().join("data/log")
    }

    /// The folder of the cluster's data and keys.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The server's log so far.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.log_file())
    }

    /// The file of that log; the server's account may read it, as on Debian.
    pub fn log_file(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// Replaces pg_hba.conf: these lines come first, then the usual ones. [`Postgres::reload`] makes it count.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_hba(&self, first: &str) -> io::Result<()> {
        fs::write(self.home.path().join("data/pg_hba.conf"), format!("{first}\n{HBA}"))
    }

    /// Makes the server read its configuration again, and waits until it has.
    ///
    /// # Errors
    /// If it does not answer, or has not read it in time.
    pub async fn reload(&self) -> Result<(), PostgresError> {
        let asked = |error: tokio_postgres::Error| failed("reload the server")(io::Error::other(error));
        let admin = self.connect_admin("postgres").await.map_err(asked)?;
        let loaded = "SELECT pg_conf_load_time()::text";
        let before: String = admin.query_one(loaded, &[]).await.map_err(asked)?.get(0);
        admin.batch_execute("SELECT pg_reload_conf()").await.map_err(asked)?;
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        loop {
            // A new connection: its process starts from the postmaster's newest configuration.
            let fresh = self.connect_admin("postgres").await.map_err(asked)?;
            let later: String = fresh.query_one(loaded, &[]).await.map_err(asked)?.get(0);
            if later != before {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(failed("reload the server")(io::Error::other("it has not read it in time")));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
        }
    }

    /// A connection as the superuser. It closes when the client is dropped.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect_admin(&self, dbname: &str) -> Result<Client, tokio_postgres::Error> {
        self.connect(self.superuser(), &self.password, dbname).await
    }

    /// A connection over TCP as this user. It closes when the client is dropped.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect(
        &self,
        user: &str,
        password: &str,
        dbname: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host(self.host()).port(self.port).user(user).password(password).dbname(dbname);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// The postmaster's process id.
    ///
    /// # Errors
    /// If it is not running.
    pub fn pid(&self) -> io::Result<i32> {
        let text = fs::read_to_string(self.home.path().join("data/postmaster.pid"))?;
        let line = text.lines().next().unwrap_or_default();
        line.parse().map_err(|_| io::Error::other("postmaster.pid holds no number"))
    }

    fn wait_ready(&self) -> Result<(), PostgresError> {
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        loop {
            // The last line of the file says `ready` only once connections are accepted.
            let file = fs::read_to_string(self.home.path().join("data/postmaster.pid")).unwrap_or_default();
            if file.lines().last().is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if Instant::now() >= end {
                let log = self.log().unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(3).collect();
                return Err(PostgresError::NotReady(tail.join(" | ")));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let server = self.pid().ok().and_then(Pid::from_raw);
        // The keeper's `read` ends with the pipe; it then stops the server and waits for it.
        drop(self.keeper.stdin.take());
        let end = Instant::now() + Duration::from_millis(STOP_MS_MAX);
        while Instant::now() < end {
            if matches!(self.keeper.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        if let Some(server) = server {
            let _ = kill_process(server, Signal::KILL);
        }
        let _ = self.keeper.wait();
    }
}

const HBA: &str = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";

fn make_cluster(home: &Path, password: &str) -> Result<(), PostgresError> {
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).map_err(failed("open the folder"))?;
    fs::create_dir(home.join("socket")).map_err(failed("make a folder"))?;
    give(&home.join("socket"))?;
    copy_new_cluster(&home.join("data"))?;
    set_password(&home.join("data"), password)?;
    fs::write(home.join("data/pg_hba.conf"), HBA).map_err(failed("write pg_hba.conf"))
}

/// A cluster as `initdb` makes it, in this folder. It is made once and kept in the user's cache: that takes a second of
/// processor time, and a run of all tests needs a hundred clusters.
fn copy_new_cluster(data: &Path) -> Result<(), PostgresError> {
    let user = if geteuid().is_root() { account().map(|(uid, _)| uid) } else { Ok(geteuid().as_raw()) };
    let user = user.map_err(failed("find the server's account"))?;
    let kept = cache().join(format!("{CLUSTER}{user}"));
    if !kept.exists() {
        make_new_cluster(&kept)?;
    }
    copy_folder(&kept, data)
}

fn make_new_cluster(kept: &Path) -> Result<(), PostgresError> {
    // The server's account may not enter the cache.
    let home = tempfile::tempdir().map_err(failed("make a folder"))?;
    give(home.path())?;
    let data = home.path().join("data");
    let mut initdb = as_account(&format!("{PROGRAMS}/initdb"))?;
    // Its superuser has no password yet.
    initdb.arg("-D").arg(&data).args(["--no-sync", "-U", "postgres", "-A", "trust", "-E", "UTF8"]);
    ran(initdb.arg("--locale=C")).map_err(said("make the cluster"))?;
    fs::create_dir_all(cache()).map_err(failed("make the cache"))?;
    let work = tempfile::tempdir_in(cache()).map_err(failed("make a folder"))?;
    copy_folder(&data, &work.path().join("data"))?;
    // What is kept must be whole, also after a power failure.
    ran(Command::new("sync").arg("--file-system").arg(work.path())).map_err(said("keep the cluster"))?;
    // Two tests may make it at once: the second finds the first one's, and leaves it.
    match fs::rename(work.path().join("data"), kept) {
        Err(error) if !kept.exists() => Err(failed("keep the cluster")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), PostgresError> {
    ran(Command::new("cp").arg("--archive").args([from, to])).map_err(said("copy the cluster"))
}

/// By the server's single-user mode: it asks for no password, and writes no log.
fn set_password(data: &Path, password: &str) -> Result<(), PostgresError> {
    let mut single = as_account(&format!("{PROGRAMS}/postgres"))?;
    single.args(["--single", "-F", "-D"]).arg(data).args(["-c", "shared_buffers=1MB", "postgres"]);
    single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = single.spawn().map_err(failed("set the password"))?;
    let statement = format!("ALTER ROLE postgres PASSWORD '{password}'\n");
    let told = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(statement.as_bytes()));
    let output = child.wait_with_output().and_then(|output| told.map(|()| output));
    let output = output.map_err(failed("set the password"))?;
    // A statement that fails does not fail the program.
    if output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("ERROR:") {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).replace(password, "(the password)");
    Err(said("set the password")(why))
}

fn start_server(home: &Path, port: u16, more: &[&str]) -> Result<Child, PostgresError> {
    let path = home.join("server.log");
    let log = fs::File::options().create(true).append(true).open(&path).map_err(failed("make the log"))?;
    give(&path)?;
    let mut keeper = as_account("sh")?;
    keeper
        .args(["-c", KEEPER, "keeper"])
        .arg(format!("{PROGRAMS}/postgres"))
        .arg("-D")
        .arg(home.join("data"));
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", home.join("socket").display()),
        // A throw-away cluster has no power loss to survive.
        "fsync=off".to_owned(),
        "log_statement=all".to_owned(),
        "log_connections=on".to_owned(),
        "log_line_prefix=%p %u@%d %e ".to_owned(),
        "max_connections=50".to_owned(),
        "superuser_reserved_connections=3".to_owned(),
        "shared_buffers=16MB".to_owned(),
    ];
    for setting in settings.iter().map(String::as_str).chain(more.iter().copied()) {
        keeper.arg("-c").arg(setting);
    }
    let again = log.try_clone().map_err(failed("share the log"))?;
    keeper.stdin(Stdio::piped()).stdout(log).stderr(again).spawn().map_err(failed("start the server"))
}

/// A command that runs as the server's account, if we are root.
fn as_account(program: &str) -> Result<Command, PostgresError> {
    let mut command;
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.args([
            &format!("--reuid={ACCOUNT}"),
            &format!("--regid={ACCOUNT}"),
            "--init-groups",
            "--",
            program,
        ]);
    } else {
        command = Command::new(program);
    }
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    Ok(command)
}

pub(crate) fn give(path: &Path) -> Result<(), PostgresError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = account().map_err(failed("find the server's account"))?;
    chown(path, Some(uid), Some(gid)).map_err(failed("give a folder to the server"))
}

fn account() -> io::Result<(u32, u32)> {
    let text = fs::read_to_string("/etc/passwd")?;
    let line = text.lines().find(|line| line.split(':').next() == Some(ACCOUNT));
    let mut numbers = line.unwrap_or_default().split(':').skip(2).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(io::Error::other("no account named postgres")),
    }
}

pub(crate) fn failed(step: &'static str) -> impl Fn(io::Error) -> PostgresError {
    move |source| PostgresError::Start { step, source }
}

/// The same for a program that said why.
fn said(step: &'static str) -> impl Fn(String) -> PostgresError {
    move |why| failed(step)(io::Error::other(why))
}
