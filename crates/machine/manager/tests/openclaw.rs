//! How keyroll treats a gateway that reports success and keeps its old key. The program here prints what OpenClaw
//! 2026.9.6 was seen to print; crates/front/cli/tests/openclaw.rs rotates the program itself.

#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
// Helpers of tests may fail loudly.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_agents::AgentSlot;
use keyroll_manager::{Check, CheckAnswer, OpenClaw, Turn, Workload, apply, check, instances};
use keyroll_observe::process;
use keyroll_port::{Class, Failure};
use keyroll_testkit::{copy_program, write_program};
use tempfile::TempDir;

/// A state folder whose gateway is this test: it reports that it is ready, and its program prints `answer`.
struct Scene {
    folder: TempDir,
    openclaw: OpenClaw,
}

impl Scene {
    fn new(answer: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.read(&mut [0; 1024]));
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"ready\":true}"));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("claw");
        fs::create_dir_all(state.join("tmp/openclaw-0")).unwrap();
        let key = folder.path().join("p.key");
        fs::write(&key, format!("sk-{}", std::process::id())).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = format!(
            "{{\"gateway\":{{\"port\":{port}}},\"secrets\":{{\"providers\":{{\"one\":{{\"source\":\"file\",\
             \"path\":\"{}\",\"mode\":\"singleValue\"}}}}}},\"models\":{{\"providers\":{{\"p\":{{\"apiKey\":\
             {{\"source\":\"file\",\"provider\":\"one\",\"id\":\"value\"}}}}}}}}}}",
            key.display()
        );
        fs::write(state.join("openclaw.json"), settings).unwrap();
        let own = process(std::process::id()).unwrap().id;
        let lock = format!(
            "{{\"pid\":{},\"createdAt\":\"\",\"configPath\":\"\",\"startTime\":{}}}",
            own.pid, own.start_ticks
        );
        fs::write(state.join("tmp/openclaw-0/gateway.state.lock"), lock).unwrap();
        let program = folder.path().join("openclaw");
        let script = format!("#!/bin/sh\necho \"$*\" >>{}/told\necho '{answer}'\n", folder.path().display());
        write_program(&program, script);
        let reads = vec![(key, AgentSlot::Whole)];
        let openclaw = OpenClaw { state, provider: "p".to_owned(), program, start: None, reads };
        Self { folder, openclaw }
    }

    fn run(&self) -> OpenClaw {
        self.openclaw.clone()
    }

    fn apply(&self) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(60);
        apply(&self.run(), None, deadline, &mut |_| {}).map(|applied| applied.done)
    }

    /// The provider's key in another form, and more of the settings.
    fn set(&self, key: &str, more: &str) {
        let path = self.state("openclaw.json");
        let before: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let port = &before["gateway"]["port"];
        let models = format!("\"models\":{{\"providers\":{{\"p\":{{\"apiKey\":{key}}}}}}}");
        fs::write(path, format!("{{\"gateway\":{{\"port\":{port}}},{more}{models}}}")).unwrap();
    }

    fn told(&self) -> String {
        fs::read_to_string(self.folder.path().join("told")).unwrap_or_default()
    }

    fn state(&self, name: &str) -> PathBuf {
        self.openclaw.state.join(name)
    }
}

fn text(failure: &Failure) -> String {
    let cause = failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{} {} {cause}", failure.code.as_str(), failure.attempted)
}

#[test]
fn a_reload_counts_only_without_a_warning() {
    let good = Scene::new("{\"ok\":true,\"warningCount\":0}");
    assert_eq!(good.apply().unwrap(), "openclaw secrets reload: warningCount 0");
    assert_eq!(good.told(), "secrets reload --json\n");
    for answer in
        ["{\"ok\":true,\"warningCount\":1}", "{\"ok\":false,\"warningCount\":0}", "Secrets reloaded."]
    {
        let failure = Scene::new(answer).apply().unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (Class::Unknown, "K0440"),
            "{answer}: {}",
            text(&failure)
        );
    }
}

#[test]
fn the_gateway_is_the_process_that_its_lock_names_and_that_began_then() {
    let scene = Scene::new("");
    let found = instances(&scene.run()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].main && found[0].process.pid == std::process::id());
    let own = process(std::process::id()).unwrap().id;
    let other = format!("{{\"pid\":{},\"startTime\":{}}}", own.pid, own.start_ticks + 1);
    fs::write(scene.state("tmp/openclaw-0/gateway.state.lock"), other).unwrap();
    // A process listens at its port: nobody can say that no gateway runs.
    assert_eq!(instances(&scene.run()).unwrap_err().code, "K0411");
    fs::remove_file(scene.state("tmp/openclaw-0/gateway.state.lock")).unwrap();
    assert_eq!(instances(&scene.run()).unwrap(), []);
}

/// Anyone who may write to the folder chooses the content of its lock, and start times of processes are public.
#[test]
fn a_lock_that_names_a_process_of_another_kind_or_user_names_no_gateway() {
    let scene = Scene::new("");
    let lock = scene.state("tmp/openclaw-0/gateway.state.lock");
    let own = fs::read(&lock).unwrap();
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let ticks = process(other.id()).unwrap().id.start_ticks;
    fs::write(&lock, format!("{{\"pid\":{},\"startTime\":{ticks}}}", other.id())).unwrap();
    let answer = instances(&scene.run()).map_err(|failure| failure.code.as_str());
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(answer, Err("K0411"));
    fs::write(&lock, own).unwrap();
    assert_eq!(instances(&scene.run()).unwrap().len(), 1);
    if std::os::unix::fs::chown(&scene.openclaw.state, Some(21_001), None).is_err() {
        return eprintln!("left out: only root gives a folder away");
    }
    assert_eq!(instances(&scene.run()).unwrap_err().code, "K0411");
}

/// The gateway here is this test, which starts itself: the name of a package's script is only a later argument.
#[test]
fn a_process_is_no_helper_by_what_stands_behind_its_script() {
    let scene = Scene::new("");
    let worker = scene.folder.path().join("dist/worker.js");
    fs::create_dir_all(worker.parent().unwrap()).unwrap();
    fs::write(&worker, "").unwrap();
    fs::write(scene.folder.path().join("package.json"), "{}").unwrap();
    let worker = worker.canonicalize().unwrap();
    let start = |words: &[&str]| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(words).env("KEYROLL_STAYS", "1").stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let worker = worker.to_str().unwrap();
    let mut children = [start(&[worker, "stays", "--exact"]), start(&["stays", "--exact", worker])];
    let listing = keyroll_observe::processes(Duration::from_secs(60)).unwrap();
    let helpers = scene.openclaw.helpers(&listing);
    let found = children.each_ref().map(|child| helpers.iter().any(|one| one.pid == child.id()));
    for child in &mut children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    assert_eq!(found, [true, false]);
}

/// The program that the test above starts: it waits until the other end of its input is closed.
#[test]
fn stays() {
    if std::env::var_os("KEYROLL_STAYS").is_some() {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

/// A process that listens at the port while the gateway is down would get the token, and could do what the gateway may.
#[test]
fn the_token_is_shown_to_the_gateway_itself_and_to_nobody_else() {
    let scene = Scene::new("");
    let answers = "\"http\":{\"endpoints\":{\"chatCompletions\":{\"enabled\":true}}}";
    let token = format!("\"auth\":{{\"token\":\"{:x}\"}}", std::process::id());
    let set = |port: u16| {
        let text = format!("{{\"gateway\":{{\"port\":{port},{token},{answers}}}}}");
        fs::write(scene.state("openclaw.json"), text).unwrap();
    };
    let turn = || {
        let state = scene.openclaw.state.clone();
        let turn = Check::Turn(Turn { state, model: "p/m".to_owned(), agent: None });
        check(&turn, None, Instant::now() + Duration::from_secs(60), &mut None).unwrap()
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    set(port);
    let program = scene.folder.path().join("openclaw-sleep");
    copy_program(Path::new("/bin/sleep"), &program);
    let mut other = std::process::Command::new(program).arg("600").spawn().unwrap();
    let lock = |pid: u32| {
        let ticks = process(pid).unwrap().id.start_ticks;
        let lock = format!("{{\"pid\":{pid},\"startTime\":{ticks}}}");
        fs::write(scene.state("tmp/openclaw-0/gateway.state.lock"), lock).unwrap();
    };
    lock(other.id());
    let ready = || {
        let ready = Check::Gateway(scene.openclaw.state.clone());
        check(&ready, None, Instant::now() + Duration::from_secs(60), &mut None).unwrap()
    };
    let answers = [turn(), ready()];
    let asked = listener.accept().map(drop).map_err(|error| error.kind());
    other.kill().unwrap();
    other.wait().unwrap();
    for answer in answers {
        let seen = matches!(&answer, CheckAnswer::Unknown(why) if why.contains("not seen to listen"));
        assert!(seen, "{answer:?}");
    }
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock), "somebody else was asked");
    // The same port, with the gateway itself listening.
    lock(std::process::id());
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A server that answers before it has read everything resets the connection.
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"}") && stream.read(&mut byte).unwrap_or(0) > 0 {
                asked.extend(byte);
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
        }
    });
    assert!(matches!(turn(), CheckAnswer::Passed));
    let scene = Scene::new("");
    let ready = Check::Gateway(scene.openclaw.state.clone());
    let answer = check(&ready, None, Instant::now() + Duration::from_secs(60), &mut None).unwrap();
    assert_eq!(answer, CheckAnswer::Passed);
}

/// Anyone who may write to the folder chooses the content of its lock.
#[test]
fn a_process_of_another_start_or_of_another_user_is_not_asked_whether_it_is_ready() {
    let scene = Scene::new("");
    let ready = || {
        let ready = Check::Gateway(scene.openclaw.state.clone());
        check(&ready, None, Instant::now() + Duration::from_secs(60), &mut None).unwrap()
    };
    let is_none = |answer: CheckAnswer| {
        let seen = matches!(&answer, CheckAnswer::Unknown(why) if why.contains("is not its gateway"));
        assert!(seen, "{answer:?}");
    };
    let own = process(std::process::id()).unwrap().id;
    let lock = |ticks: u64| {
        let lock = format!("{{\"pid\":{},\"startTime\":{ticks}}}", own.pid);
        fs::write(scene.state("tmp/openclaw-0/gateway.state.lock"), lock).unwrap();
    };
    lock(own.start_ticks + 1);
    is_none(ready());
    lock(own.start_ticks);
    assert_eq!(ready(), CheckAnswer::Passed);
    // Only root can give a folder away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&scene.openclaw.state, Some(4_321), None).unwrap();
        is_none(ready());
    }
}

#[test]
fn a_key_that_is_taken_from_elsewhere_is_named_and_nothing_is_told() {
    let mut scene = Scene::new("{\"ok\":true,\"warningCount\":0}");
    assert!(scene.openclaw.objections().is_empty());
    scene.openclaw.reads = vec![(scene.state("openclaw.json"), AgentSlot::Whole)];
    let failure = scene.apply().unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0364"), "{}", text(&failure));
    assert!(text(&failure).contains("p.key"), "{}", text(&failure));
    assert_eq!(scene.openclaw.objections().len(), 1);
    assert_eq!(scene.told(), "");
}

/// A profile would win over the key in the settings, and `.env` over `env`: if one of them cannot be read, that does
/// not mean that it is empty.
#[test]
fn what_may_win_and_is_not_visible_holds_everything_up() {
    let mut scene = Scene::new("");
    let settings = scene.state("openclaw.json");
    let literal = format!("\"sk-{:x}\"", std::process::id());
    let vars = format!("\"env\":{{\"vars\":{{\"KEYROLL_P\":{literal}}}}},");
    let hide: [(&str, &str, &str, PathBuf); 2] = [
        (&literal, "", "/models/providers/p/apiKey", scene.state("state/openclaw.sqlite")),
        ("\"${KEYROLL_P}\"", &vars, "/env/vars/KEYROLL_P", scene.state(".env")),
    ];
    for (key, more, at, hidden) in hide {
        scene.set(key, more);
        scene.openclaw.reads = vec![(settings.clone(), AgentSlot::Pointer(at.to_owned()))];
        assert!(scene.openclaw.objections().is_empty(), "{at}");
        fs::create_dir_all(&hidden).unwrap();
        let found = scene.openclaw.objections();
        assert_eq!(found.len(), 1, "{at}");
        assert_eq!(
            (found[0].class, found[0].code.as_str()),
            (Class::Permanent, "K0364"),
            "{}",
            text(&found[0])
        );
        assert!(text(&found[0]).contains("not visible"), "{}", text(&found[0]));
    }
}

/// OpenClaw reads no such file: its reload would keep the old key, and in a rollback the new one.
#[test]
fn a_referenced_file_that_openclaw_would_not_read_is_refused_before_anything_is_made() {
    let refused = |scene: &Scene, said: &str, help: &str| {
        let found = scene.openclaw.objections();
        assert_eq!(found.len(), 1, "{said}");
        assert_eq!(
            (found[0].class, found[0].code.as_str()),
            (Class::Permanent, "K0440"),
            "{}",
            text(&found[0])
        );
        assert!(text(&found[0]).contains(said), "{}", text(&found[0]));
        assert!(found[0].help.as_deref().is_some_and(|it| it.starts_with(help)), "{:?}", found[0].help);
    };
    let scene = Scene::new("{\"ok\":true,\"warningCount\":0}");
    let key = scene.folder.path().join("p.key");
    let mode = |bits| fs::set_permissions(&key, fs::Permissions::from_mode(bits)).unwrap();
    for bits in [0o644, 0o640, 0o602] {
        mode(bits);
        refused(&scene, &format!("its mode is {bits:04o}"), "chmod 600 ");
    }
    // Neither a rollback nor anything else tells the gateway what it would answer with a warning.
    assert_eq!(scene.apply().unwrap_err().class, Class::Permanent);
    assert_eq!(scene.told(), "");
    // Its settings may allow the mode.
    let settings = fs::read_to_string(scene.state("openclaw.json")).unwrap();
    let allowing = settings.replace("\"mode\"", "\"allowInsecurePath\":true,\"mode\"");
    fs::write(scene.state("openclaw.json"), allowing).unwrap();
    assert!(scene.openclaw.objections().is_empty());
    fs::write(scene.state("openclaw.json"), settings).unwrap();
    mode(0o600);
    assert!(scene.openclaw.objections().is_empty());
    fs::rename(&key, scene.folder.path().join("real.key")).unwrap();
    std::os::unix::fs::symlink(scene.folder.path().join("real.key"), &key).unwrap();
    refused(&scene, "is a link", "name the file itself");
}

#[test]
fn profiles_of_an_older_release_hold_everything_up() {
    let scene = Scene::new("{\"ok\":true,\"warningCount\":0}");
    fs::create_dir_all(scene.state("agents/main/agent")).unwrap();
    fs::write(scene.state("agents/main/agent/auth-profiles.json"), "{}").unwrap();
    let failure = scene.apply().unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0440"), "{}", text(&failure));
    assert_eq!(scene.told(), "");
}

/// A cool-down of the provider, one of another key of it, and one of another provider.
fn cool_downs(scene: &Scene) -> PathBuf {
    let folder = scene.state("agents/main/agent");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("openclaw-agent.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    let table = "CREATE TABLE auth_profile_state (state_key TEXT NOT NULL PRIMARY KEY, state_json TEXT NOT NULL, \
                 updated_at INTEGER NOT NULL) STRICT";
    database.execute(table, []).unwrap();
    let json = "{\"usageStats\":{\"inline-api-key:p\":{\"disabledUntil\":9e15,\"disabledReason\":\"billing\"},\
                \"p:other\":{\"disabledUntil\":9e15},\"inline-api-key:q\":{\"disabledUntil\":9e15}},\"order\":[1]}";
    database.execute("INSERT INTO auth_profile_state VALUES ('primary', ?1, 1)", [json]).unwrap();
    for one in path.ancestors().take_while(|it| it.starts_with(&scene.openclaw.state)) {
        let mode = if one == path { 0o600 } else { 0o700 };
        fs::set_permissions(one, fs::Permissions::from_mode(mode)).unwrap();
    }
    path
}

fn kept(database: &Path) -> String {
    let database = rusqlite::Connection::open(database).unwrap();
    database.query_row("SELECT state_json FROM auth_profile_state", [], |row| row.get(0)).unwrap()
}

/// A new key would inherit it; the entries of other keys stay.
#[test]
fn a_cool_down_of_the_key_is_ended_and_no_other_one() {
    let scene = Scene::new("{\"ok\":true,\"warningCount\":0}");
    let path = cool_downs(&scene);
    assert_eq!(scene.apply().unwrap(), "openclaw secrets reload: warningCount 0");
    assert_eq!(scene.told(), "secrets reload --json\nsecrets reload --json\n", "it looks again");
    let now = kept(&path);
    assert!(!now.contains("inline-api-key:p") && now.contains("inline-api-key:q"), "{now}");
    assert!(now.contains("p:other") && now.contains("[1]"), "{now}");
}

/// A process that opens a database for writing applies the journal file beside it, with its own rights.
#[test]
fn a_database_that_others_may_write_is_never_opened_for_writing_and_what_it_says_is_told() {
    type Spoil = fn(&Path);
    let open_folder: Spoil = |path| {
        let folder = path.parent().unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    };
    let link: Spoil = |path| {
        fs::rename(path, path.with_extension("elsewhere")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("elsewhere"), path).unwrap();
    };
    let two_names: Spoil = |path| fs::hard_link(path, path.with_extension("again")).unwrap();
    let another: Spoil = |path| std::os::unix::fs::chown(path, Some(4_321), None).unwrap();
    let mut all = vec![open_folder, link, two_names];
    // Only root can give a file away.
    let root = rustix::process::geteuid().is_root();
    all.extend(root.then_some(another));
    for spoil in all {
        let scene = Scene::new("{\"ok\":true,\"warningCount\":0}");
        let path = cool_downs(&scene);
        spoil(&path);
        let done = scene.apply().unwrap();
        assert!(done.contains("it leaves p alone for") || path.is_symlink(), "{done}");
        assert_eq!(scene.told(), "secrets reload --json\n");
        assert!(kept(&path).contains("inline-api-key:p"), "{}", kept(&path));
    }
}
