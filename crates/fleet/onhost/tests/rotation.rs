//! A rotation on a host that is this machine, with a real file: what is ordered, what is sealed for whom, and who may order
//! it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use keyroll_link::{
    AskedForm, ClassForm, Context, FailureForm, HostHello, IssuerForm, OpenOrder, Order, PlannedForm,
    ReconciledForm, Reply, Sealed, SearchForm, WhichForm, digits_of, seal,
};
use keyroll_port::Values;
use keyroll_secret::{Fields, SecretBytes};

use crate::driver::Driver;

/// The key of the greeting.
const KEY: [u8; 32] = [9; 32];

/// How long a host may take to see that it was overtaken.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"version = 1
[secrets.acme]
issuer = "file:./acme.toml"
admin = "file:./admin.key"
[[secrets.acme.consumers]]
name = "api"
runs = { restart = ["./restart.sh"], pid_file = "./api.pid" }
reads = [{ env_file = "./api.env", variable = "ACME_KEY" }]
"#;

/// Says the value, and fails.
const RESTART: &str = "#!/bin/sh\ncat ./api.env\ncat ./api.env >&2\nexit 3\n";

/// An application on the host, whose folder has the old value for its name.
pub(crate) struct Scene {
    all: tempfile::TempDir,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (old, new) = (keyroll_testkit::alphanumeric(32), keyroll_testkit::alphanumeric(32));
        let scene = Self { all: tempfile::tempdir().unwrap(), old, new };
        fs::create_dir(scene.folder()).unwrap();
        fs::write(scene.file(), scene.text(&scene.old)).unwrap();
        keyroll_testkit::write_program(&scene.folder().join("restart.sh"), RESTART);
        scene
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.all.path().canonicalize().unwrap().join(&self.old)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder().join("api.env")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.all.path().join("state")
    }

    pub(crate) fn text(&self, value: &str) -> String {
        format!("# kept\nACME_KEY={value}\n")
    }

    pub(crate) fn holds(&self, value: &str) -> bool {
        fs::read_to_string(self.file()).unwrap() == self.text(value)
    }

    pub(crate) fn connect(&self) -> Connected {
        let (driver, hello, overtaken) = Driver::in_state(&KEY, self.state());
        Connected { driver, hello, overtaken, open: self.opening(1, 1) }
    }

    /// A connection that has opened the rotation for changes.
    pub(crate) fn opened(&self, epoch: u64, turn: u64) -> Connected {
        let mut host = self.connect();
        host.open = self.opening(epoch, turn);
        assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
        host
    }

    pub(crate) fn opening(&self, epoch: u64, turn: u64) -> OpenOrder {
        OpenOrder {
            installation: "0f".repeat(16),
            secret: "acme".to_owned(),
            rotation: "17ab".to_owned(),
            epoch,
            driver: format!("{epoch:032x}"),
            before: (1..epoch).map(|epoch| (epoch, format!("{epoch:032x}"))).collect(),
            turn,
            changes: true,
            config: CONFIG.to_owned(),
            folder: self.folder().to_str().unwrap().to_owned(),
            issuer: IssuerForm {
                attributes: false,
                alphabet: (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).collect(),
                length_max: 64,
                endpoints: Vec::new(),
            },
            search: SearchForm { memory_bytes_max: 1 << 26, time_ms_max: 10_000 },
            folders: Vec::new(),
            digests: digits_of(&[7; 32]),
            planned: PlannedForm::Unknown,
            reads_required: false,
        }
    }
}

/// A connection to the host.
pub(crate) struct Connected {
    pub(crate) driver: Driver,
    hello: HostHello,
    overtaken: Receiver<()>,
    pub(crate) open: OpenOrder,
}

impl Connected {
    pub(crate) fn opens(&mut self) -> Reply {
        self.driver.order(Order::Open(Box::new(self.open.clone())))
    }

    /// An order with both versions, which are sealed for it; `intent`: for another one, if any.
    pub(crate) fn sealed(&self, scene: &Scene, intent: Option<u64>, make: impl Fn(Sealed) -> Order) -> Order {
        let fields = |value: &String| Fields::single(SecretBytes::from(value.clone()));
        let (old, new) = (fields(&scene.old), fields(&scene.new));
        let order = make(Sealed { enc: String::new(), text: String::new() });
        let context = Context {
            installation: &self.open.installation,
            host: self.hello.machine.as_deref().unwrap_or_default(),
            secret: &self.open.secret,
            rotation: &self.open.rotation,
            epoch: self.open.epoch,
            turn: self.open.turn,
            order: order.kind(),
            intent: intent.unwrap_or(order.intent()),
        };
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        make(seal(&self.hello.seal, &context, &values).unwrap())
    }

    pub(crate) fn delivers(&mut self, scene: &Scene) -> Reply {
        let order = self.sealed(scene, None, deliver);
        self.driver.order(order)
    }
}

fn deliver(values: Sealed) -> Order {
    delivery(41, values)
}

/// A delivery by this intent.
fn delivery(intent: u64, values: Sealed) -> Order {
    let asked = AskedForm { intent, until_ms: u64::MAX };
    Order::Deliver { file: 0, which: WhichForm::New, values, asked }
}

fn delivered(values: Sealed) -> Order {
    Order::Delivered { file: 0, which: WhichForm::New, values, intent: 41 }
}

/// A failure that certainly had no effect.
fn refused(reply: Reply, code: &str) -> FailureForm {
    let Reply::Failed(failure) = reply else { panic!("it is no failure: {reply:?}") };
    assert_eq!((failure.class, failure.code.as_str()), (ClassForm::Permanent, code), "{failure:?}");
    failure
}

pub(crate) fn is_in(text: &[u8], value: &str) -> bool {
    text.windows(value.len()).any(|part| part == value.as_bytes())
}

fn names_in(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_sealed_value_is_delivered_into_the_real_file_and_seen_there() {
    let scene = Scene::new();
    let mut host = scene.connect();
    host.open.planned = PlannedForm::Now;
    let Reply::Opened { files } = host.opens() else { panic!("it is not opened") };
    // The folder has the value for its name, and no value is known before the first order that brings one.
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].path, scene.file().to_str().unwrap());
    assert!(files[0].real == files[0].path && files[0].digest.len() == 12, "{files:?}");
    assert_eq!(host.delivers(&scene), Reply::Done);
    assert!(scene.holds(&scene.new));
    let look = host.sealed(&scene, None, delivered);
    assert_eq!(host.driver.order(look), Reply::Delivered(ReconciledForm::Executed));
    host.driver.end();
}

#[test]
fn a_value_that_was_sealed_for_another_order_changes_nothing() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    let wrong = host.sealed(&scene, Some(42), deliver);
    refused(host.driver.order(wrong), "K0801");
    // Sealed for the look, and sent as a delivery.
    let Order::Delivered { values, .. } = host.sealed(&scene, None, delivered) else { unreachable!() };
    refused(host.driver.order(deliver(values)), "K0801");
    host.open.turn += 1;
    refused(host.delivers(&scene), "K0801");
    host.open.turn -= 1;
    host.hello.machine = Some("0f".repeat(32));
    refused(host.delivers(&scene), "K0801");
    assert!(scene.holds(&scene.old));
    host.driver.end();
}

#[test]
fn an_order_without_an_open_rotation_is_refused() {
    let scene = Scene::new();
    let mut host = scene.connect();
    refused(host.delivers(&scene), "K0801");
    refused(host.driver.order(Order::Live), "K0801");
    assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
    // The last one counts, also if it fails.
    host.open.folder = "relative".to_owned();
    refused(host.opens(), "K0801");
    refused(host.delivers(&scene), "K0801");
    assert!(scene.holds(&scene.old));
    host.driver.end();
}

#[test]
fn an_older_driver_and_another_installation_are_refused() {
    let scene = Scene::new();
    scene.opened(2, 3).driver.end();
    let mut host = scene.connect();
    for (epoch, turn) in [(2, 2), (1, 9)] {
        host.open = scene.opening(epoch, turn);
        refused(host.opens(), "K0964");
        refused(host.delivers(&scene), "K0801");
    }
    host.open = OpenOrder { installation: "1e".repeat(16), ..scene.opening(9, 9) };
    let help = refused(host.opens(), "K0964").help.unwrap();
    assert!(help.contains(scene.state().to_str().unwrap()), "{help}");
    refused(host.delivers(&scene), "K0801");
    assert!(scene.holds(&scene.old));
    // A state folder that does not know the driver which was here last.
    host.open = OpenOrder { before: scene.opening(2, 1).before, ..scene.opening(9, 9) };
    assert!(refused(host.opens(), "K0964").help.unwrap().contains("newest state folder"));
    host.open = scene.opening(2, 4);
    host.opens();
    assert_eq!(host.delivers(&scene), Reply::Done);
    host.driver.end();
}

#[test]
fn a_newer_connection_takes_over_and_the_older_one_changes_nothing_any_more() {
    let scene = Scene::new();
    let mut older = scene.opened(1, 1);
    // It is not refused: the older one sees the record and releases the lock.
    let mut newer = scene.opened(1, 2);
    older.overtaken.recv_timeout(PATIENCE).expect("the older one ends");
    let failure = refused(older.delivers(&scene), "K0964");
    assert_eq!(failure.causes, ["a newer driver has taken over"]);
    assert!(scene.holds(&scene.old));
    assert_eq!(newer.delivers(&scene), Reply::Done);
    assert!(scene.holds(&scene.new) && newer.overtaken.try_recv().is_err());
    older.driver.end();
    newer.driver.end();
}

#[test]
fn a_connection_that_was_not_opened_for_changes_makes_none_and_leaves_no_record() {
    let scene = Scene::new();
    let mut host = scene.connect();
    host.open.changes = false;
    assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
    refused(host.delivers(&scene), "K0801");
    // Each of these removes a temporary file, or ends a command: it could be that of the driver that may change something.
    let look = host.sealed(&scene, None, delivered);
    refused(host.driver.order(look), "K0801");
    let trial = host.sealed(&scene, None, |values| Order::Trial { values });
    refused(host.driver.order(trial), "K0801");
    refused(host.driver.order(Order::AwaitEnd { intent: 41 }), "K0801");
    assert!(matches!(host.driver.order(Order::Live), Reply::Live(_)));
    assert!(scene.holds(&scene.old));
    assert_eq!(names_in(&scene.state()), 0);
    // And it takes nothing from a driver that is there.
    let mut driver = scene.opened(1, 1);
    host.open.epoch = 7;
    host.opens();
    assert_eq!(driver.delivers(&scene), Reply::Done);
    host.driver.end();
    driver.driver.end();
}

#[test]
fn texts_of_another_form_open_nothing_and_name_no_file() {
    let scene = Scene::new();
    let mut host = scene.connect();
    let with = |change: &dyn Fn(&mut OpenOrder)| {
        let mut open = scene.opening(1, 1);
        change(&mut open);
        open
    };
    let garbled = [
        with(&|open| open.installation = "../../../../../../../../../tmp/xx".to_owned()),
        with(&|open| open.installation.clear()),
        with(&|open| open.rotation = "../17ab".to_owned()),
        with(&|open| open.rotation = "0".repeat(65)),
        with(&|open| open.secret = "../acme".to_owned()),
        with(&|open| open.folder = format!("{}/../x", open.folder)),
        with(&|open| open.config = " ".repeat((1 << 20) + 1)),
        with(&|open| open.digests = "0f".to_owned()),
        with(&|open| open.search.time_ms_max = u64::MAX),
    ];
    for open in garbled {
        host.open = open;
        refused(host.opens(), "K0801");
    }
    host.open = with(&|open| open.secret = "other".to_owned());
    refused(host.opens(), "K0805");
    host.open = with(&|open| open.folder.push_str("/none"));
    refused(host.opens(), "K0310");
    host.open = with(&|open| open.config.push_str("[secrets.acme.none]\n"));
    refused(host.opens(), "K0004");
    assert_eq!(names_in(&scene.state()), 0);
    host.driver.end();
}

/// Only root sees opens: as another user it is refused, and as root it is not.
#[test]
fn where_opens_are_not_visible_a_rotation_that_needs_them_is_not_opened() {
    let scene = Scene::new();
    let mut host = scene.connect();
    host.open.reads_required = true;
    let reply = host.opens();
    if keyroll_observe::sees_opens() {
        assert_eq!(reply, Reply::Opened { files: Vec::new() });
    } else {
        refused(reply, "K0844");
        refused(host.delivers(&scene), "K0801");
        assert_eq!(names_in(&scene.state()), 0);
    }
    host.driver.end();
}

#[test]
fn a_state_folder_that_others_can_access_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.state()).unwrap();
    fs::set_permissions(scene.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut host = scene.connect();
    let help = refused(host.opens(), "K0803").help.unwrap();
    assert!(help.starts_with("chmod 700 "), "{help}");
    assert_eq!(names_in(&scene.state()), 0);
    host.driver.end();
}

#[test]
fn no_reply_has_the_value_though_a_command_says_it_and_a_path_has_it() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    assert_eq!(host.delivers(&scene), Reply::Done);
    let asked = AskedForm { intent: 43, until_ms: u64::MAX };
    let apply = Order::Apply { consumer: 0, slot: 0, asked, accepted: None };
    let Reply::Failed(restart) = host.driver.order(apply) else { panic!("the restart succeeds") };
    assert_eq!(restart.code, "K0402", "{restart:?}");
    // What failed is named by its path.
    fs::write(scene.file(), "ACME_KEY=somebody-elses\n").unwrap();
    let next = host.sealed(&scene, None, |values| delivery(44, values));
    let Reply::Failed(other) = host.driver.order(next) else { panic!("it is delivered") };
    let said = format!("{other:?}");
    assert!(said.contains("[redacted:value]/api.env"), "{said}");
    let sent = host.driver.end();
    assert!(!is_in(&sent, &scene.old) && !is_in(&sent, &scene.new), "a value is in a frame");
}

#[test]
fn a_command_that_another_user_can_change_is_not_run_and_holds_up_nothing_else() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    fs::set_permissions(scene.folder().join("restart.sh"), fs::Permissions::from_mode(0o777)).unwrap();
    let asked = AskedForm { intent: 43, until_ms: u64::MAX };
    refused(host.driver.order(Order::Apply { consumer: 0, slot: 0, asked, accepted: None }), "K0860");
    // The file is written all the same: a rollback must not wait for a mode.
    assert_eq!(host.delivers(&scene), Reply::Done);
    host.driver.end();
}

#[test]
fn what_a_killed_program_left_for_a_check_is_removed_by_the_next_connection() {
    let scene = Scene::new();
    let work = scene.state().join("0f".repeat(16)).join("work");
    fs::create_dir_all(&work).unwrap();
    for folder in [&scene.state(), &scene.state().join("0f".repeat(16))] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    // Above the largest id that a kernel gives.
    let left = work.join(format!("control-{}-0-0", (1_u32 << 22) + 1));
    fs::write(&left, &scene.old).unwrap();
    scene.opened(1, 1).driver.end();
    assert!(!left.exists());
}
