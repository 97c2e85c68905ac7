//! Keys that an agent keeps in rows of its own database: the present content of the rows, and leftovers in the
//! database.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use keyroll_agents::AgentSlot;
use keyroll_copy::{Format, Slot};
use keyroll_database::rusqlite::Connection;
use keyroll_host::{ConsumerSetup, CopySetup, CopySource, FileSetup, Local, Setup, SlotSetup, Write};
use keyroll_manager::{CommandLine, OpenClaw};
use keyroll_observe::process;
use keyroll_port::{AllowedChanges, Host, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Which};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_testkit::write_program;

use crate::step;

/// A gateway of OpenClaw whose key is in a profile or in its store, delivered through a file.
struct Claw {
    folder: tempfile::TempDir,
    old: String,
    new: String,
}

const PROFILE: &str = "p:manual";

fn value(tag: &str, of: &tempfile::TempDir) -> String {
    format!("{tag}{:016x}{of:p}ZzQ", std::process::id())
}

impl Claw {
    /// `api_key`: how the settings refer to the row.
    fn new(api_key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let claw = Self { old: value("old", &folder), new: value("new", &folder), folder };
        fs::create_dir_all(claw.path("claw/state")).unwrap();
        let settings = format!(
            "{{\"agents\":{{\"entries\":{{\"work\":{{}},\"main\":{{}}}}}},\
             \"models\":{{\"providers\":{{\"p\":{{\"apiKey\":{api_key}}}}}}}}}"
        );
        fs::write(claw.path("claw/openclaw.json"), settings).unwrap();
        claw.database()
            .execute_batch(
                "PRAGMA secure_delete = OFF;\
                 CREATE TABLE config_machine_state (state_key TEXT PRIMARY KEY, value_json TEXT) STRICT;\
                 CREATE TABLE secret_store_entries (name TEXT PRIMARY KEY, value TEXT) STRICT;",
            )
            .unwrap();
        fs::write(claw.path("p.key"), &claw.old).unwrap();
        claw
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn database(&self) -> Connection {
        Connection::open(self.path("claw/state/openclaw.sqlite")).unwrap()
    }

    fn profiles(&self, all: &[(&str, &str)]) {
        let one = |(id, key): &(&str, &str)| {
            let provider = id.split(':').next().unwrap();
            format!("\"{id}\":{{\"type\":\"api_key\",\"provider\":\"{provider}\",\"key\":\"{key}\"}}")
        };
        let all: Vec<String> = all.iter().map(one).collect();
        let json = format!("{{\"profiles\":{{{}}}}}", all.join(","));
        let row = "INSERT OR REPLACE INTO config_machine_state VALUES ('authProfiles.store', ?1)";
        self.database().execute(row, [json]).unwrap();
    }

    fn store(&self, name: &str, value: &str) {
        let row = "INSERT OR REPLACE INTO secret_store_entries VALUES (?1, ?2)";
        self.database().execute(row, [name, value]).unwrap();
    }

    fn host(&self) -> Local {
        self.host_with(None, None)
    }

    /// A host with a command that makes the file, or fetches it.
    fn host_with(&self, generator: Option<CommandLine>, fetch: Option<CommandLine>) -> Local {
        let key = self.path("p.key");
        let copy = CopySetup::Value {
            format: Format::Whole,
            slot: Slot::Whole,
            source: CopySource::Field("value".into()),
        };
        let file = FileSetup {
            path: key.clone(),
            planned: None,
            write: Write::Rename,
            copies: vec![copy],
            generated: generator.is_some() || fetch.is_some(),
            own: None,
            generator,
        };
        let openclaw = OpenClaw {
            state: self.path("claw"),
            provider: "p".into(),
            program: self.path("openclaw"),
            start: None,
            reads: vec![(key, AgentSlot::Whole)],
        };
        let run = Arc::new(openclaw);
        let slot = SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None };
        let slots = vec![slot];
        let setup = Setup {
            host: keyroll_host::LOCAL,
            rotation: "r1".into(),
            files: vec![file],
            consumers: vec![ConsumerSetup {
                name: "claw".into(),
                files: vec![FileId(0)],
                fetch,
                slots,
                follows: false,
                served: None,
                succeeded: false,
            }],
            roots: Vec::new(),
            search: keyroll_host::SearchLimits::default(),
            bystanders: Vec::new(),
            own_folders: vec![self.path("own")],
            instance_time_max: std::time::Duration::from_secs(120),
            work: self.path("own/work"),
            value_format: (b"abcdefghijklmnopqrstuvwxyz".to_vec(), 4),
            servers: Vec::new(),
            gate: None,
            issuer_at: Vec::new(),
        };
        Local::new(setup, FingerprintKey::new(&[7; 32]))
    }

    /// This test plays the gateway: its first thread has the gateway's name, and its program records that it was
    /// called.
    fn gateway(&self) {
        fs::write(format!("/proc/{}/comm", std::process::id()), "openclaw-gateway").unwrap();
        let own = process(std::process::id()).unwrap().id;
        let lock = format!("{{\"pid\":{},\"startTime\":{}}}", own.pid, own.start_ticks);
        fs::create_dir_all(self.path("claw/tmp/openclaw-0")).unwrap();
        fs::write(self.path("claw/tmp/openclaw-0/gateway.state.lock"), lock).unwrap();
        let script = format!("#!/bin/sh\necho \"$@\" >>{}\nexit 1\n", self.path("told").display());
        write_program(&self.path("openclaw"), script);
    }

    /// The present content of the file.
    fn file(&self) -> String {
        fs::read_to_string(self.path("p.key")).unwrap()
    }

    async fn strangers(&self, stays: Which) -> Vec<String> {
        let (old, new) = (fields(&self.old), fields(&self.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        let looked = self.host().enumerate(values, &Sessions::default(), stays).await.unwrap();
        looked.names.into_iter().map(|named| named.name).collect()
    }
}

fn fields(value: &str) -> Fields {
    Fields::single(SecretBytes::from(value.to_owned()))
}

/// OpenClaw's own command would overwrite the key of another account that a person put there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_holds_another_key_is_named_and_nothing_is_changed() {
    let store = "{\"source\":\"store\",\"provider\":\"default\",\"id\":\"P_KEY\"}";
    for (api_key, row) in [("\"p:manual\"", "profile p:manual in "), (store, "entry P_KEY of the store in ")]
    {
        let claw = Claw::new(api_key);
        let put = |value: &str| {
            claw.profiles(&[(PROFILE, value)]);
            claw.store("P_KEY", value);
        };
        let (old, new) = (fields(&claw.old), fields(&claw.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        let foreign = value("foreign", &claw.folder);
        for stands in [foreign.as_str(), ""] {
            put(stands);
            let host = claw.host();
            let failure = host.deliver(FileId(0), Which::New, values, step(7)).await.unwrap_err();
            assert_eq!(failure.code.as_str(), "K0440", "{failure}");
            assert!(failure.attempted.contains(row), "{failure}");
            assert!(failure.help.as_deref().is_some_and(|help| help.contains("openclaw ")), "{failure}");
            let text = format!("{failure} {failure:?}");
            assert!(!text.contains(&foreign) && !text.contains(&claw.old), "{text}");
            let tried = host.trial(Values { old: &old, new: None, old_ended: false }).await.unwrap();
            assert_eq!(tried.iter().map(|one| one.code).collect::<Vec<_>>(), ["K0440"]);
            // A rollback is possible: it changes nothing.
            host.deliver(FileId(0), Which::Old, values, step(9)).await.unwrap();
            assert_eq!(claw.file(), claw.old);
        }
        // A run that ended before its command has delivered the file, or the row, already.
        for stands in [&claw.old, &claw.new] {
            fs::write(claw.path("p.key"), &claw.old).unwrap();
            put(stands);
            claw.host().deliver(FileId(0), Which::New, values, step(8)).await.unwrap();
            assert_eq!(claw.file(), claw.new);
        }
    }
}

/// A file that a command makes ends up in the row, as a file that keyroll writes does.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_holds_another_key_is_named_where_a_command_makes_the_file() {
    let claw = Claw::new("\"p:manual\"");
    let (old, new) = (fields(&claw.old), fields(&claw.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    fs::write(claw.path("next"), &claw.new).unwrap();
    let copies = || {
        let words = ["next", "p.key"].map(|name| claw.path(name).display().to_string());
        CommandLine::program("cp", words)
    };
    let foreign = value("foreign", &claw.folder);
    claw.profiles(&[(PROFILE, &foreign)]);
    let host = claw.host_with(Some(copies()), None);
    let failure = host.deliver(FileId(0), Which::New, values, step(7)).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0440", "{failure}");
    assert_eq!(claw.file(), claw.old);
    for host in [host, claw.host_with(None, Some(copies()))] {
        let tried = host.trial(Values { old: &old, new: None, old_ended: false }).await.unwrap();
        assert_eq!(tried.iter().map(|one| one.code).collect::<Vec<_>>(), ["K0440"]);
    }
    claw.profiles(&[(PROFILE, &claw.old)]);
    let host = claw.host_with(Some(copies()), None);
    assert!(host.trial(Values { old: &old, new: None, old_ended: false }).await.unwrap().is_empty());
    host.deliver(FileId(0), Which::New, values, step(8)).await.unwrap();
    assert_eq!(claw.file(), claw.new);
}

/// Much may happen between the delivery and the command, and another driver may run the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_since_the_delivery_is_not_overwritten() {
    for fetched in [false, true] {
        let claw = Claw::new("\"p:manual\"");
        claw.gateway();
        let (old, new) = (fields(&claw.old), fields(&claw.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        fs::write(claw.path("next"), &claw.new).unwrap();
        let words = ["next", "p.key"].map(|name| claw.path(name).display().to_string());
        let fetch = fetched.then(|| CommandLine::program("cp", words));
        let host = || claw.host_with(None, fetch.clone());
        claw.profiles(&[(PROFILE, &claw.old)]);
        match fetched {
            true => {
                // The values that may be replaced are recorded before anything is made, because the consumer has a
                // timer of its own.
                assert!(
                    host().trial(Values { old: &old, new: None, old_ended: false }).await.unwrap().is_empty()
                );
                fs::write(claw.path("p.key"), &claw.new).unwrap();
                host().fetch(ConsumerId(0), Which::New, values, step(7)).await.unwrap();
            }
            false => host().deliver(FileId(0), Which::New, values, step(7)).await.unwrap(),
        }
        assert_eq!(claw.file(), claw.new);
        let kept = claw.path("own/work/r1-rows-0");
        let text = fs::read_to_string(&kept).unwrap();
        assert!(!text.contains(&claw.old) && !text.contains(&claw.new));
        let foreign = value("foreign", &claw.folder);
        let forgotten = value("forgotten", &claw.folder);
        for (stands, asked) in [(&foreign, false), (&claw.old, true), (&claw.new, true)] {
            claw.profiles(&[(PROFILE, stands), ("q:other", &forgotten)]);
            let failure =
                host().apply(ConsumerId(0), 0, step(8), AllowedChanges::Anything).await.err().unwrap();
            assert_eq!(failure.code.as_str(), "K0440", "{failure}");
            // The program is called where nothing can be lost, and refuses here.
            let told = fs::read_to_string(claw.path("told")).unwrap_or_default();
            let paste = "models auth paste-api-key --provider p --profile-id p:manual --agent main\n";
            assert_eq!(told, if asked { paste } else { "" }, "{failure}");
            let text = format!("{failure} {failure:?}");
            assert!(!text.contains(&foreign) && !text.contains(&claw.old), "{text}");
            drop(fs::remove_file(claw.path("told")));
        }
        // Without the record nobody knows which key that is.
        fs::remove_file(kept).unwrap();
        claw.profiles(&[(PROFILE, &claw.old)]);
        let failure = host().apply(ConsumerId(0), 0, step(9), AllowedChanges::Anything).await.err().unwrap();
        assert_eq!((failure.code.as_str(), claw.path("told").exists()), ("K0440", false), "{failure}");
    }
}

/// The gateway's user chooses these names, and root may copy the command that a message names.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_named_only_with_names_that_are_plain_words() {
    for (id, plain) in [("p:manual", true), ("p:x;id", false), ("p:$(id)", false), ("p:a b", false)] {
        let claw = Claw::new(&format!("\"{id}\""));
        let (old, new) = (fields(&claw.old), fields(&claw.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        claw.profiles(&[(id, &value("foreign", &claw.folder))]);
        let failure = claw.host().deliver(FileId(0), Which::New, values, step(7)).await.unwrap_err();
        let help = failure.help.clone().unwrap_or_default();
        assert_eq!(
            (failure.code.as_str(), help.contains("--profile-id")),
            ("K0440", plain),
            "{failure}: {help}"
        );
        assert!(plain || !help.contains(id), "{help}");
    }
}

/// A profile's name may itself be a key. Two such profiles must still be two rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_a_key_is_not_told_and_tells_rows_apart() {
    let claw = Claw::new("\"p:manual\"");
    let keys = [0, 1].map(|at| format!("p:a1{at}b2c3d4e5{:08x}", std::process::id()));
    claw.profiles(&[(PROFILE, &claw.new), (&keys[0], &claw.old), (&keys[1], &claw.old)]);
    fs::write(claw.path("p.key"), &claw.new).unwrap();
    let database = claw.path("claw/state/openclaw.sqlite");
    let (old, new) = (fields(&claw.old), fields(&claw.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let looked = claw.host().enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    let names: Vec<&str> = looked.names.iter().map(|named| named.name.as_str()).collect();
    let hidden = format!("profile … in {}", database.display());
    assert_eq!(names, [&hidden, &hidden]);
    assert_ne!(looked.names[0].digest, looked.names[1].digest);
    // The same for the row that a command would overwrite.
    let claw = Claw::new(&format!("\"{}\"", keys[0]));
    claw.profiles(&[(&keys[0], &value("foreign", &claw.folder))]);
    let (old, new) = (fields(&claw.old), fields(&claw.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let failure = claw.host().deliver(FileId(0), Which::New, values, step(7)).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0440", "{failure}");
    let text = format!("{failure} {failure:?} {}", failure.help.clone().unwrap_or_default());
    assert!(!text.contains(&keys[0]) && failure.attempted.contains("profile … in "), "{text}");
}

/// A file that a command makes may be missing, or another party's, before the command runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_fetched_says_nothing_of_what_may_be_replaced_before_it_is_fetched() {
    let claw = Claw::new("\"p:manual\"");
    claw.gateway();
    let (old, new) = (fields(&claw.old), fields(&claw.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    fs::write(claw.path("next"), &claw.new).unwrap();
    let words = ["next", "p.key"].map(|name| claw.path(name).display().to_string());
    let host = || claw.host_with(None, Some(CommandLine::program("cp", words.clone())));
    claw.profiles(&[(PROFILE, &claw.old)]);
    assert!(host().trial(Values { old: &old, new: None, old_ended: false }).await.unwrap().is_empty());
    fs::remove_file(claw.path("p.key")).unwrap();
    host().fetch(ConsumerId(0), Which::New, values, step(7)).await.unwrap();
    assert_eq!(claw.file(), claw.new);
    // A person has logged in with another account, from that file.
    let foreign = value("foreign", &claw.folder);
    fs::write(claw.path("p.key"), &foreign).unwrap();
    claw.profiles(&[(PROFILE, &foreign)]);
    host().fetch(ConsumerId(0), Which::New, values, step(8)).await.unwrap();
    let failure = host().apply(ConsumerId(0), 0, step(9), AllowedChanges::Anything).await.err().unwrap();
    assert_eq!((failure.code.as_str(), claw.path("told").exists()), ("K0440", false), "{failure}");
}

/// A request that names a second profile uses the key in it: it would fail once the old key is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_holds_the_old_key_is_a_stranger_and_what_was_only_left_in_the_database_is_not() {
    let claw = Claw::new("\"p:manual\"");
    let database = claw.path("claw/state/openclaw.sqlite");
    claw.profiles(&[(PROFILE, &claw.old), ("q:other", "another")]);
    assert_eq!(claw.strangers(Which::New).await, [""; 0], "its own row, before it is told");
    claw.profiles(&[(PROFILE, &claw.old), ("q:other", &claw.old)]);
    claw.store("SECOND", &claw.old);
    let names = claw.strangers(Which::New).await;
    let expected = ["entry SECOND of the store", "profile q:other"];
    let expected = expected.map(|row| format!("{row} in {}", database.display()));
    assert_eq!(names, expected);
    // The file is delivered; the row must follow.
    fs::write(claw.path("p.key"), &claw.new).unwrap();
    assert_eq!(claw.strangers(Which::New).await.len(), 3);
    claw.database().execute("DELETE FROM secret_store_entries", []).unwrap();
    claw.profiles(&[(PROFILE, &claw.new), ("q:other", "another")]);
    let bytes = fs::read(&database).unwrap();
    let old = claw.old.as_bytes();
    assert!(bytes.windows(old.len()).any(|window| window == old), "it stands in a page that was freed");
    assert_eq!(claw.strangers(Which::New).await, [""; 0]);
    // If its rows are not visible, neither are its leftovers.
    claw.database().execute("UPDATE config_machine_state SET value_json = '[]'", []).unwrap();
    assert_eq!(claw.strangers(Which::New).await, [database.display().to_string()]);
}
