//! The port's own suite over a link, with the real program of a host in this process, on a real file.

use std::fs;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_fleet::{Dial, Dialled, Remote};
use keyroll_host::SystemClock;
use keyroll_link::{IssuerForm, Link, OpenOrder, PlannedForm, SearchForm};
use keyroll_port::conformance::host::{self, HostHarness};
use keyroll_port::{Failure, Host};
use keyroll_secret::{Fields, SecretBytes};
use tokio::net::unix::pipe::{Receiver, Sender};

const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"version = 1
[secrets.acme]
issuer = "file:./acme.toml"
admin = "file:./admin.key"
[[secrets.acme.consumers]]
name = "job"
runs = { at_rest = true }
reads = [{ env_file = "./app.env", variable = "KEY" }]
"#;

/// Starts the host's program in a thread of this process, with its records in this folder.
struct InProcess(PathBuf);

#[async_trait]
impl Dial for InProcess {
    async fn dial(&self) -> Result<Dialled, Failure> {
        let ((input, to_host), (from_host, output)) = (pipe().unwrap(), pipe().unwrap());
        let state = self.0.clone();
        thread::spawn(move || keyroll_onhost::serve_in(state, || {}, input, output, |_| {}));
        let read = Receiver::from_owned_fd(OwnedFd::from(from_host)).unwrap();
        let write = Sender::from_owned_fd(OwnedFd::from(to_host)).unwrap();
        let (link, hello) = Link::open(read, write, &[1; 32], PATIENCE).await.unwrap();
        Ok(Dialled { link, hello, keeps: Box::new(()) })
    }
}

/// A file of variables on the host, whose program is ended and started again by each new driver.
struct OverLink {
    folder: tempfile::TempDir,
    versions: (Fields, Fields),
    epoch: u64,
    host: Option<Remote>,
}

impl OverLink {
    fn new() -> Self {
        let made = || Fields::single(SecretBytes::from(keyroll_testkit::alphanumeric(32)));
        let folder = tempfile::tempdir().unwrap();
        Self { folder, versions: (made(), made()), epoch: 0, host: None }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn opening(&self) -> OpenOrder {
        OpenOrder {
            installation: "0f".repeat(16),
            secret: "acme".to_owned(),
            rotation: "17ab".to_owned(),
            epoch: self.epoch,
            since: self.epoch,
            turn: 0,
            changes: true,
            config: CONFIG.to_owned(),
            folder: self.path().to_str().unwrap().to_owned(),
            issuer: IssuerForm {
                attributes: false,
                alphabet: (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).collect(),
                length_max: 64,
                endpoints: Vec::new(),
            },
            search: SearchForm { memory_bytes_max: 1 << 26, time_ms_max: 10_000 },
            digests: "07".repeat(32),
            planned: PlannedForm::Unknown,
            reads_required: false,
        }
    }
}

#[async_trait]
impl HostHarness for OverLink {
    async fn fresh(&mut self) {
        // A program of another case ends with its connection, and is remembered nowhere.
        self.host = None;
        drop(fs::remove_dir_all(self.path().join("state")));
        let old = self.versions.0.get("value").unwrap().value.expose().to_vec();
        fs::write(self.path().join("app.env"), [b"A=1\nKEY=", &*old, b"\n"].concat()).unwrap();
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        self.epoch += 1;
        let dial = Arc::new(InProcess(self.path().join("state")));
        let clock = Arc::new(SystemClock::new());
        self.host = Some(Remote::new("web-2".to_owned(), dial, self.opening(), clock));
    }

    fn host(&self) -> &dyn Host {
        self.host.as_ref().unwrap()
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions.0, &self.versions.1)
    }

    async fn overwrite(&mut self) {
        fs::write(self.path().join("app.env"), "A=1\nKEY=theirs\n").unwrap();
    }
}

/// All cases but that of the issuer's mark, which the driver's side keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_at_the_other_end_of_a_link_keeps_the_ports_promises() {
    let mut harness = OverLink::new();
    host::delivered(&mut harness).await.unwrap();
    host::foreign(&mut harness).await.unwrap();
    host::too_late(&mut harness).await.unwrap();
    host::unmade(&mut harness).await.unwrap();
    host::looked(&mut harness).await.unwrap();
}
