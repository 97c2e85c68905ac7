//! The port's own suite over a link that can be cut, with the real program of a host in this process, on real files and with a
//! real process.

use std::fs;
use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_fleet::{Dial, Dialled, Remote};
use keyroll_host::SystemClock;
use keyroll_link::{IssuerForm, Link, OpenOrder, PlannedForm, SearchForm};
use keyroll_port::conformance::host::{
    self, Calling, Cut, HostHarness, LinkHarness, ProcessHarness, SweepHarness,
};
use keyroll_port::{Failure, Host};
use keyroll_rotation::Which;
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::{Deadline, Service, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long the test waits for what the host does, seconds.
const PATIENCE_S: u64 = 60;

const CONFIG: &str = r#"version = 1
[secrets.acme]
issuer = "file:./acme.toml"
admin = "file:./admin.key"
[[secrets.acme.consumers]]
name = "api"
runs = { restart = ["./restart.sh"], pid_file = "./service.pid" }
reads = [{ env_file = "./app.env", variable = "KEY" }]
[[secrets.acme.consumers]]
name = "job"
runs = { at_rest = true }
fetch = ["./fetch.sh"]
reads = [{ env_file = "./pulled.env", variable = "KEY" }]
"#;

/// Both ways of a connection.
struct Wire {
    ways: [UnixStream; 2],
    /// What the host says does not arrive any more.
    is_deaf: AtomicBool,
}

impl Wire {
    fn cut(&self) {
        for way in &self.ways {
            drop(way.shutdown(Shutdown::Both));
        }
    }
}

/// Cuts a connection when its driver does not use it any more: this test has it open too.
struct CutsAtEnd(Arc<Wire>);

impl Drop for CutsAtEnd {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// Starts the host's program in a thread of this process, with its records in this folder.
struct InProcess {
    state: PathBuf,
    last: Arc<Mutex<Option<Arc<Wire>>>>,
}

#[async_trait]
impl Dial for InProcess {
    async fn dial(&self) -> Result<Dialled, Failure> {
        let pair = || UnixStream::pair().unwrap();
        let ((orders, input), (output, mut answers), (mut forward, heard)) = (pair(), pair(), pair());
        let ways = [orders.try_clone().unwrap(), heard.try_clone().unwrap()];
        let wire = Arc::new(Wire { ways, is_deaf: AtomicBool::new(false) });
        let state = self.state.clone();
        thread::spawn(move || keyroll_onhost::serve_in(state, || {}, input, output, |_| {}));
        let between = Arc::clone(&wire);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = answers.read(&mut bytes) {
                let hears = !between.is_deaf.load(Ordering::SeqCst);
                if hears && forward.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
        });
        *self.last.lock().unwrap() = Some(Arc::clone(&wire));
        let (read, write) = (asynchronous(heard), asynchronous(orders));
        let (link, hello) = Link::open(read, write, &[1; 32], PATIENCE).await.unwrap();
        Ok(Dialled { link, hello, keeps: Box::new(CutsAtEnd(wire)) })
    }
}

fn asynchronous(stream: UnixStream) -> tokio::net::UnixStream {
    stream.set_nonblocking(true).unwrap();
    tokio::net::UnixStream::from_std(stream).unwrap()
}

/// A program that a script restarts, and a job whose own command fetches its file, on a host whose own program is ended and
/// started again by each new driver.
struct OverLink {
    folder: tempfile::TempDir,
    service: Service,
    texts: [String; 2],
    versions: [Fields; 2],
    epoch: u64,
    wire: Arc<Mutex<Option<Arc<Wire>>>>,
    host: Option<Remote>,
}

impl OverLink {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::new(folder.path().canonicalize().unwrap().join("app"));
        let texts = [(); 2].map(|()| keyroll_testkit::alphanumeric(32));
        let versions = texts.clone().map(|text| Fields::single(SecretBytes::from(text)));
        Self { folder, service, texts, versions, epoch: 0, wire: Arc::default(), host: None }
    }

    /// The folder of the host's records.
    fn state(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("state")
    }

    fn text(&self, which: Which) -> &str {
        match which {
            Which::Old => &self.texts[0],
            Which::New => &self.texts[1],
        }
    }

    /// What the host's orders have changed so far.
    fn done(&self) -> (Vec<u8>, usize) {
        (fs::read(self.service.file()).unwrap(), self.service.starts())
    }

    fn opening(&self) -> OpenOrder {
        OpenOrder {
            installation: "0f".repeat(16),
            secret: "acme".to_owned(),
            rotation: "17ab".to_owned(),
            epoch: self.epoch,
            driver: format!("{:032x}", self.epoch),
            before: (1..self.epoch).map(|epoch| (epoch, format!("{epoch:032x}"))).collect(),
            turn: 0,
            changes: true,
            config: CONFIG.to_owned(),
            folder: self.service.file().parent().unwrap().to_str().unwrap().to_owned(),
            issuer: IssuerForm {
                attributes: false,
                alphabet: (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).collect(),
                length_max: 64,
                endpoints: Vec::new(),
            },
            search: SearchForm { memory_bytes_max: 1 << 30, time_ms_max: 10_000 },
            folders: Vec::new(),
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
        drop(fs::remove_dir_all(self.state()));
        self.service.fresh(&self.texts[0]);
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        self.epoch += 1;
        let dial = Arc::new(InProcess { state: self.state(), last: Arc::clone(&self.wire) });
        let clock = Arc::new(SystemClock::new());
        self.host = Some(Remote::new("web-2".to_owned(), dial, self.opening(), clock));
    }

    fn host(&self) -> &dyn Host {
        self.host.as_ref().unwrap()
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions[0], &self.versions[1])
    }

    async fn overwrite(&mut self) {
        fs::write(self.service.file(), "A=1\nKEY=theirs\n").unwrap();
    }
}

#[async_trait]
impl ProcessHarness for OverLink {
    async fn start(&mut self) {
        self.service.start();
    }

    async fn gives_out(&mut self, which: Which) {
        self.service.gives_out(self.text(which));
    }
}

#[async_trait]
impl SweepHarness for OverLink {
    async fn copied(&mut self) -> String {
        self.service.copied(&self.texts[0])
    }

    async fn left(&self) -> Vec<String> {
        self.service.left(&self.state(), &[&self.texts[0], &self.texts[1]])
    }
}

#[async_trait]
impl LinkHarness for OverLink {
    async fn cut(&self, at: Cut, call: Calling<'_>) -> Result<(), Failure> {
        let wire = self.wire.lock().unwrap().clone().unwrap();
        let before = self.done();
        match at {
            Cut::Before => {
                wire.cut();
                return call.await;
            }
            Cut::During => self.service.holds_up(),
            Cut::After => wire.is_deaf.store(true, Ordering::SeqCst),
        }
        let has_come = || match at {
            Cut::During => self.service.waits(),
            Cut::Before | Cut::After => self.done() != before,
        };
        let cuts = async {
            let look = || ready(has_come().then_some(()));
            until(Deadline::seconds(PATIENCE_S), look).await.unwrap();
            wire.cut();
        };
        let (heard, ()) = tokio::join!(call, cuts);
        self.service.goes_on();
        heard
    }

    async fn starts(&self) -> usize {
        self.service.starts()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_program_at_the_other_end_of_a_link_keeps_the_ports_promises() {
    host::serving(&mut OverLink::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_link_that_is_cut_nothing_is_said_to_be_done_and_nothing_is_done_twice() {
    host::over_link(&mut OverLink::new()).await.unwrap();
}
