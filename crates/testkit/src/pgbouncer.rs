use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use crate::postgres::give;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// It refuses to run as root.
const ACCOUNT: &str = "postgres";
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// A PgBouncer with a configuration of the test's; it ends when this is dropped, or when this process dies.
pub struct PgBouncer {
    _keeper: Keeper,
}

impl PgBouncer {
    /// Whether it is installed; else says what is left out.
    ///
    /// # Panics
    /// If it is missing although `CI=true`.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn is_there(left_out: &str) -> bool {
        let there = Path::new(PROGRAM).exists();
        if !there && std::env::var("CI").is_ok_and(|ci| ci == "true") {
            panic!("PgBouncer is missing in CI");
        }
        if !there {
            eprintln!("left out, because PgBouncer is not installed (apt-get install pgbouncer): {left_out}");
        }
        there
    }

    /// Starts it with the files of a folder, of which `pgbouncer.ini` is its configuration and tells it to listen on
    /// this port; the folder and its files become its account's.
    ///
    /// # Errors
    /// If it does not accept connections in time; the error has the end of its log, `pgbouncer.log` in the folder.
    pub fn start(folder: &Path, port: u16) -> io::Result<Self> {
        let given = |path: &Path| give(path).map_err(io::Error::other);
        let log = folder.join("pgbouncer.log");
        let output = fs::File::options().create(true).append(true).open(&log)?;
        given(folder)?;
        for entry in fs::read_dir(folder)? {
            given(&entry?.path())?;
        }
        let ini = folder.join("pgbouncer.ini").display().to_string();
        let (user, group) = (format!("--reuid={ACCOUNT}"), format!("--regid={ACCOUNT}"));
        let mut words = Vec::new();
        if rustix::process::geteuid().is_root() {
            words.extend(["setpriv", &user, &group, "--init-groups", "--"]);
        }
        words.extend([PROGRAM, &ini]);
        let keeper = Keeper::start(&words, output)?;
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() >= end {
                return Err(io::Error::other(fs::read_to_string(&log).unwrap_or_default()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(Self { _keeper: keeper })
    }
}
