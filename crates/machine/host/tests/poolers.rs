//! A pooler between consumers and the issuer, which holds the value itself, and its list of logins.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_host::{
    ConsumerSetup, CopySetup, CopySource, FileSetup, Local, Setup, SlotSetup, SystemClock, Write, process_of,
};
use keyroll_manager::AtRest;
use keyroll_port::{Asked, Class, Clock as _, Host, Session, Sessions, Values};
use keyroll_rotation::{FileId, Holds, Reconciled, Which};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use tempfile::TempDir;

use crate::{step, survey};

/// How long something in progress may take to be seen, seconds.
const SEEN_S_MAX: u64 = 60;

fn login(user: &str, tag: &str) -> Fields {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let mut fields = Fields::new();
    fields.insert("user", SecretBytes::from(user.to_owned()), false);
    fields.insert("password", SecretBytes::from(format!("{tag}{stamp:x}{:x}ZzQ", std::process::id())), true);
    fields
}

fn password(fields: &Fields) -> String {
    String::from_utf8(fields.get("password").unwrap().value.expose().to_vec()).unwrap()
}

struct Scene {
    folder: TempDir,
    old: Fields,
    new: Fields,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), old: login("app", "old"), new: login("app_a", "new") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn values(&self) -> Values<'_> {
        Values { old: &self.old, new: Some(&self.new), old_ended: false }
    }

    fn host(&self, issuer_at: Vec<SocketAddr>) -> Local {
        let slot = SlotSetup {
            instance: None,
            run: Arc::new(AtRest::default()),
            checks: vec![None],
            log: None,
            ready: None,
        };
        let copies =
            vec![CopySetup::Login { user: "user".into(), source: CopySource::Field("password".into()) }];
        let path = self.path("lists/userlist.txt");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = FileSetup {
            path,
            planned: None,
            write: Write::Rename,
            copies,
            generated: false,
            generator: None,
            own: None,
        };
        let pooler = ConsumerSetup {
            succeeded: false,
            name: "pooler".into(),
            files: vec![FileId(0)],
            fetch: None,
            slots: vec![slot],
            follows: false,
            served: None,
        };
        let setup = Setup {
            host: keyroll_host::LOCAL,
            rotation: "r1".into(),
            files: vec![file],
            consumers: vec![pooler],
            roots: Vec::new(),
            search: keyroll_host::SearchLimits::default(),
            bystanders: Vec::new(),
            own_folders: vec![self.path("state")],
            work: self.path("state/work"),
            value_format: (b"abcdef0123456789".to_vec(), 64),
            servers: issuer_at.iter().map(SocketAddr::port).collect(),
            gate: None,
            instance_time_max: std::time::Duration::from_secs(120),
            issuer_at,
        };
        Local::new(setup, FingerprintKey::new(&[7; 32]))
    }
}

/// Holds a value, and listens; with the port of another process it also connects to that one.
const HOLDS: &str = "import socket, sys\n\
    value = open(sys.argv[1]).read()\n\
    listener = socket.create_server(('127.0.0.1', 0))\n\
    out = socket.create_connection(('127.0.0.1', int(sys.argv[2]))) if len(sys.argv) > 2 else listener\n\
    print(listener.getsockname()[1], out.getsockname()[1], flush=True)\n\
    kept = []\n\
    while True: kept.append(listener.accept())\n";

struct Listening {
    child: Child,
    at: SocketAddr,
    out: SocketAddr,
}

impl Listening {
    fn start(scene: &Scene, behind: Option<SocketAddr>) -> Self {
        let value = scene.path("state/value");
        fs::create_dir_all(value.parent().unwrap()).unwrap();
        fs::write(&value, password(&scene.old)).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", HOLDS]).arg(&value).args(behind.map(|at| at.port().to_string()));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = |text: &str| SocketAddr::from(([127, 0, 0, 1], text.parse::<u16>().unwrap()));
        let (at, out) = line.trim().split_once(' ').unwrap();
        Self { at: port(at), out: port(out), child }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Only sessions on the new login: every holder is found by what it holds.
fn shown(client: SocketAddr) -> Sessions {
    let session = Session { client: Some(client), pid: None, busy: false, handle: "1".into(), calls: None };
    Sessions { old: Some(Vec::new()), new: Some(vec![session]) }
}

async fn is_holder(host: &Local, scene: &Scene, sessions: &Sessions, process: &Listening) -> bool {
    let looked = host.enumerate(scene.values(), sessions, Which::New).await.unwrap();
    let unexplained = looked.enumeration.instances.iter().filter(|seen| seen.consumer.is_none());
    unexplained.filter_map(|seen| process_of(seen.who)).any(|found| found.pid == process.child.id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_the_issuers_place_is_a_holder() {
    let scene = Scene::new();
    let server = Listening::start(&scene, None);
    let pooler = Listening::start(&scene, Some(server.at));
    // The session that the server shows is the pooler's own.
    let sessions = shown(pooler.out);
    let host = scene.host(vec![server.at]);
    assert!(
        is_holder(&host, &scene, &Sessions::default(), &server).await,
        "nothing shows that it is the server"
    );
    let end = Instant::now() + Duration::from_secs(SEEN_S_MAX);
    while is_holder(&host, &scene, &sessions, &server).await {
        assert!(Instant::now() < end, "the server is never known by its session");
    }
    assert!(!is_holder(&host, &scene, &Sessions::default(), &server).await, "it is what it was seen to be");
    assert!(is_holder(&host, &scene, &sessions, &pooler).await);
    let host = scene.host(vec![pooler.at]);
    let client = std::net::TcpStream::connect(pooler.at).unwrap();
    assert!(
        is_holder(&host, &scene, &sessions, &pooler).await,
        "it listens where the issuer was asked, that is all"
    );
    assert!(is_holder(&host, &scene, &sessions, &server).await, "nobody listens there but the pooler");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_login_stays_until_that_was_ended() {
    let scene = Scene::new();
    let host = scene.host(Vec::new());
    let list = scene.path("lists/userlist.txt");
    let (old, new) = (password(&scene.old), password(&scene.new));
    let before = format!("; people\n\"ada\" \"x\"\n\"app\" \"{old}\"\n\"bob\" \"y\"");
    fs::write(&list, &before).unwrap();
    let read = || fs::read_to_string(&list).unwrap();
    let seen = async |stays, values| {
        let looked = host.enumerate(values, &Sessions::default(), stays).await.unwrap();
        assert_eq!(looked.enumeration.strangers, [0_u64; 0], "{:?}", looked.names);
        looked.enumeration.files[0].1
    };
    let found = async |which, values| host.delivered(FileId(0), which, values, 9).await.unwrap();
    assert!(host.trial(Values { old: &scene.old, new: None, old_ended: false }).await.unwrap().is_empty());
    host.carries(&scene.new).await.unwrap();
    assert_eq!(seen(Which::New, scene.values()).await, Holds::Old);
    assert_eq!(found(Which::New, scene.values()).await, Reconciled::Absent);

    host.deliver(FileId(0), Which::New, scene.values(), step(1)).await.unwrap();
    let both = format!("; people\n\"ada\" \"x\"\n\"app\" \"{old}\"\n\"app_a\" \"{new}\"\n\"bob\" \"y\"");
    assert_eq!(read(), both);
    // Both logins work: the pooler holds the one that stays.
    assert_eq!(
        (seen(Which::New, scene.values()).await, seen(Which::Old, scene.values()).await),
        (Holds::New, Holds::Old)
    );
    for which in [Which::New, Which::Old] {
        assert_eq!(found(which, scene.values()).await, Reconciled::Executed(None));
    }
    host.deliver(FileId(0), Which::New, scene.values(), step(2)).await.unwrap();
    assert_eq!(read(), both, "however often");

    // In a rollback a consumer may still log in with the new login: its line goes after the login was deleted.
    host.deliver(FileId(0), Which::Old, scene.values(), step(3)).await.unwrap();
    assert_eq!(read(), both);
    let late = Asked { intent: 19, until_ms: SystemClock::new().monotonic_ms() };
    assert_eq!(host.remove_superseded(scene.values(), late).await.unwrap_err().class, Class::Retryable);
    assert_eq!(read(), both, "nothing begins after its time");
    host.remove_superseded(scene.values(), step(20)).await.unwrap();
    assert_eq!(read(), before);
    host.remove_superseded(scene.values(), step(21)).await.unwrap();
    assert_eq!(read(), before, "however often");
    assert_eq!(found(Which::Old, scene.values()).await, Reconciled::Executed(None));
    // A line with its name and another password is never removed.
    let theirs = before.replace("\"bob\"", "\"app_a\" \"theirs\"\n\"bob\"");
    fs::write(&list, &theirs).unwrap();
    host.remove_superseded(scene.values(), step(22)).await.unwrap();
    assert_eq!(survey(&host, &scene.old, Some(&scene.new), false).await.unwrap_err().code, "K0144");
    assert_eq!(host.trial(scene.values()).await.unwrap()[0].code, "K0144");
    assert_eq!(host.deliver(FileId(0), Which::New, scene.values(), step(4)).await.unwrap_err().code, "K0144");
    assert_eq!(read(), theirs);
    fs::write(&list, &before).unwrap();
    survey(&host, &scene.old, Some(&scene.new), false).await.unwrap();

    host.deliver(FileId(0), Which::New, scene.values(), step(4)).await.unwrap();
    let ended = Values { old_ended: true, ..scene.values() };
    assert_eq!(seen(Which::New, ended).await, Holds::Old, "it has to be delivered once more");
    assert_eq!(found(Which::New, ended).await, Reconciled::Absent);
    let residues = host.sweep(ended).await.unwrap().residues;
    assert!(!residues.iter().any(|one| one.place.contains("userlist")), "{residues:?}");
    host.deliver(FileId(0), Which::New, ended, step(5)).await.unwrap();
    assert_eq!(read(), both.replace(&format!("\"app\" \"{old}\"\n"), ""));
    assert_eq!(seen(Which::New, ended).await, Holds::New);
    assert_eq!(found(Which::New, ended).await, Reconciled::Executed(None));
    // Another party's edit stays.
    fs::write(&list, format!("\"app\" \"other\"\n\"app_a\" \"{new}\"\n")).unwrap();
    assert_eq!(host.deliver(FileId(0), Which::New, ended, step(6)).await.unwrap_err().code, "K0302");
}
