//! Evidence that would be too easy: older sessions, a check that hangs, a log that is gone, a file in which both
//! versions are the same.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use keyroll_copy::{Format, Slot};
use keyroll_host::{
    CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, Local, LogSetup, Setup, SlotSetup, Write,
};
use keyroll_manager::{CommandLine, Find, Process, Reread, Unit, Verb};
use keyroll_observe::LogSource;
use keyroll_port::{AllowedChanges, Failure, Host, Proving, Session, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Holds, Kinds, Reconciled, Which};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_testkit::write_program;
use tempfile::TempDir;

use crate::{prove, step};

fn fields(value: &str, host: &str) -> Fields {
    let mut fields = Fields::new();
    fields.insert("value", SecretBytes::from(value.to_owned()), true);
    fields.insert("host", SecretBytes::from(host.to_owned()), false);
    fields
}

pub(crate) struct Place {
    folder: TempDir,
    pub(crate) old: Fields,
    pub(crate) new: Fields,
}

impl Place {
    pub(crate) fn new() -> Self {
        let number = std::process::id();
        let value = |tag: &str| format!("val-{tag}-{number}-abcdefghij");
        let (old, new) = (fields(&value("old"), "db.local"), fields(&value("new"), "db.local"));
        Self { folder: tempfile::tempdir().unwrap(), old, new }
    }

    pub(crate) fn values(&self) -> Values<'_> {
        Values { old: &self.old, new: Some(&self.new), old_ended: false }
    }

    /// What to ask the host of the only consumer for, in all its slots.
    pub(crate) fn asks(&self, which: Which) -> Proving<'_> {
        Proving { consumer: ConsumerId(0), slot: None, which, values: self.values(), watched: false }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn env(&self, name: &str, field: &str, fields: &Fields) -> FileSetup {
        let path = self.path(name);
        let value = fields.get(field).unwrap().value.expose().to_vec();
        fs::write(&path, format!("KEY={}\n", String::from_utf8(value).unwrap())).unwrap();
        let slot = Slot::Variable("KEY".into());
        let source = CopySource::Field(field.into());
        let copies = vec![CopySetup::Value { format: Format::Dotenv, slot, source }];
        FileSetup {
            path,
            planned: None,
            write: Write::Rename,
            copies,
            generated: false,
            generator: None,
            own: None,
        }
    }

    pub(crate) fn host(&self, files: Vec<FileSetup>, slot: SlotSetup) -> Local {
        self.host_of(files, vec![slot])
    }

    pub(crate) fn host_of(&self, files: Vec<FileSetup>, slots: Vec<SlotSetup>) -> Local {
        self.host_with(
            files,
            ConsumerSetup {
                succeeded: false,
                name: "app".into(),
                files: vec![FileId(0)],
                fetch: None,
                slots,
                follows: false,
                served: None,
            },
        )
    }

    pub(crate) fn host_with(&self, files: Vec<FileSetup>, consumer: ConsumerSetup) -> Local {
        self.host_within(keyroll_host::SearchLimits::default(), files, consumer)
    }

    pub(crate) fn host_within(
        &self,
        search: keyroll_host::SearchLimits,
        files: Vec<FileSetup>,
        consumer: ConsumerSetup,
    ) -> Local {
        Local::new(
            Setup {
                host: keyroll_host::LOCAL,
                rotation: "r1".into(),
                files,
                consumers: vec![consumer],
                roots: Vec::new(),
                search,
                bystanders: Vec::new(),
                own_folders: Vec::new(),
                instance_time_max: std::time::Duration::from_secs(120),
                work: self.path("work"),
                value_format: (b"abc".to_vec(), 64),
                servers: Vec::new(),
                gate: None,
                issuer_at: Vec::new(),
            },
            FingerprintKey::new(&[7; 32]),
        )
    }

    /// This test itself, as a process that re-reads its file.
    pub(crate) fn rereads(&self, check: Option<CheckSetup>, log: Option<LogSetup>) -> SlotSetup {
        self.rereads_as(std::process::id(), check, log)
    }

    pub(crate) fn rereads_as(&self, pid: u32, check: Option<CheckSetup>, log: Option<LogSetup>) -> SlotSetup {
        self.rereads_by("app.pid", pid, check, log)
    }

    pub(crate) fn rereads_by(
        &self,
        pid_file: &str,
        pid: u32,
        check: Option<CheckSetup>,
        log: Option<LogSetup>,
    ) -> SlotSetup {
        let path = self.path(pid_file);
        fs::write(&path, format!("{pid}\n")).unwrap();
        let run = Arc::new(Reread { instances: Vec::new(), find: Find::PidFile { path, exe: None } });
        SlotSetup { instance: None, run, checks: vec![check], log, ready: None }
    }
}

/// The sessions that the issuer shows, as the test sets them.
pub(crate) struct Shown(pub(crate) Mutex<Sessions>);

impl Shown {
    pub(crate) fn now(&self) -> Sessions {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) fn session(of: &TcpStream, handle: &str) -> Session {
    Session {
        client: Some(of.local_addr().unwrap()),
        pid: None,
        busy: false,
        handle: handle.into(),
        calls: None,
    }
}

pub(crate) async fn kinds(host: &Local, which: Which, place: &Place, source: &Shown) -> Kinds {
    kinds_and_remarks(host, which, place, source).await.0
}

async fn kinds_and_remarks(
    host: &Local,
    which: Which,
    place: &Place,
    source: &Shown,
) -> (Kinds, Vec<Failure>) {
    let proved = prove(host, place.asks(which), || source.now()).await;
    let proofs = proved.evidence.unwrap().proofs;
    (proofs.first().unwrap().paths[0], proved.remarks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_before_the_change_back_proves_nothing() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (before, after) = (
        TcpStream::connect(listener.local_addr().unwrap()).unwrap(),
        TcpStream::connect(listener.local_addr().unwrap()).unwrap(),
    );
    let host = place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(None, None));
    let shown = Shown(Mutex::new(Sessions { old: Some(vec![session(&before, "1")]), new: Some(Vec::new()) }));
    host.enumerate(place.values(), &shown.now(), Which::Old).await.unwrap();
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    host.deliver(FileId(0), Which::Old, place.values(), step(2)).await.unwrap();
    assert!(!kinds(&host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED), "an old session counts");
    shown.0.lock().unwrap().old.as_mut().unwrap().push(session(&after, "2"));
    assert!(kinds(&host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED), "a new one does not");
}

pub(crate) fn script(place: &Place, name: &str, text: &str) -> CommandLine {
    let path = place.path(name);
    write_program(&path, format!("#!/bin/sh\n{text}\n"));
    CommandLine::program(path.display().to_string(), ["{copy}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_its_log_does_not_keep_a_check_from_being_made() {
    let place = Place::new();
    let wanted = String::from_utf8(place.new.get("value").unwrap().value.expose().to_vec()).unwrap();
    // Only this test's script contains the value: a real check would ask the issuer.
    let command = script(&place, "check.sh", &format!("grep -q '{wanted}' \"$1\""));
    let log = place.path("app.log");
    fs::write(&log, "").unwrap();
    let setup = LogSetup {
        source: LogSource::File(log.clone()),
        success: "accepted".into(),
        failure: "refused".into(),
    };
    let check = CheckSetup::Exec { command, copy: Some(FileId(0)), turn: None };
    let host =
        place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(Some(check), Some(setup)));
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    fs::write(&log, "accepted\n").unwrap();
    let shown = Shown(Mutex::new(Sessions::default()));
    let kinds = kinds(&host, Which::New, &place, &shown).await;
    assert!(kinds.has(Kinds::REPORTED.and(Kinds::CHECKED)), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_while_its_process_is_watched_takes_its_evidence_away() {
    let place = Place::new();
    let wanted = String::from_utf8(place.new.get("value").unwrap().value.expose().to_vec()).unwrap();
    let (runs, broken) = (place.path("runs"), place.path("broken"));
    let text = format!(
        "echo run >> '{}'; test ! -e '{}' && grep -q '{wanted}' \"$1\"",
        runs.display(),
        broken.display()
    );
    let check =
        CheckSetup::Exec { command: script(&place, "check.sh", &text), copy: Some(FileId(0)), turn: None };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(Some(check), None));
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    let of = place.asks(Which::New);
    let shown = async |of: Proving<'_>| {
        let half = host.prepare(of, &Sessions::default()).await.unwrap();
        host.go(half, of, &Sessions::default()).await.evidence.unwrap().proofs[0].paths[0]
    };
    let count = || fs::read_to_string(&runs).unwrap().lines().count();
    assert!(shown(of).await.has(Kinds::CHECKED));
    let before = count();
    assert!(shown(of).await.has(Kinds::CHECKED));
    assert_eq!(count(), before, "what is known is not checked again");
    let watched = Proving { watched: true, ..of };
    assert!(shown(watched).await.has(Kinds::CHECKED));
    assert_eq!(count(), before + 1, "while it is watched, it is");
    fs::write(&broken, "").unwrap();
    // What it holds is known still. It stays so when the watch is over, until the check succeeds.
    for asked in [watched, of] {
        let seen = shown(asked).await;
        assert!(seen.has(Kinds::DELIVERED), "{seen:?}");
        assert!(!seen.has(Kinds::CHECKED) && !seen.has(Kinds::REPORTED), "{seen:?}");
    }
    fs::remove_file(&broken).unwrap();
    assert!(shown(of).await.has(Kinds::CHECKED.and(Kinds::DELIVERED)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_from_the_mark_by_any_driver_and_lost_lines_stay_lost() {
    let place = Place::new();
    let log = place.path("app.log");
    fs::write(&log, "refused before\n").unwrap();
    let host = || {
        let setup = LogSetup {
            source: LogSource::File(log.clone()),
            success: "accepted".into(),
            failure: "refused".into(),
        };
        place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(None, Some(setup)))
    };
    let first = host();
    first.watch_refusals(None).await.unwrap();
    assert_eq!(first.refusals().await.unwrap().count, 0);
    // Its name is gone: later lines may go to another file.
    fs::rename(&log, place.path("app.log.1")).unwrap();
    assert!(first.refusals().await.is_err(), "nobody looked, and no refusal was told");
    assert!(host().refusals().await.is_err());
    fs::write(&log, "nothing\n").unwrap();
    assert_eq!(host().refusals().await.unwrap().count, 0);
    // The log was gone for good before a new driver looked: no look of this driver may report silence.
    fs::remove_file(place.path("app.log.1")).unwrap();
    let later = host();
    for look in 0..3 {
        let failure = later.refusals().await.unwrap_err();
        assert_eq!(failure.code.as_str(), "K0116", "look {look}");
    }
    // The driver that held it open has read it to its end.
    assert_eq!(first.refusals().await.unwrap().count, 0);
    fs::write(&log, "nothing\nrefused\n").unwrap();
    assert_eq!((first.refusals().await.unwrap().count, later.refusals().await.unwrap().count), (1, 1));
    // Marks that a power loss emptied must not look like logs without refusals.
    fs::write(place.path("work/r1-logs"), "").unwrap();
    assert_eq!(host().refusals().await.unwrap_err().code, "K0116");
    // A log that did not exist when the key was disabled is read from its beginning.
    fs::remove_file(&log).unwrap();
    host().watch_refusals(None).await.unwrap();
    fs::write(&log, "refused\n").unwrap();
    assert_eq!(host().refusals().await.unwrap().count, 1);
}

/// A log that could not be followed when the value was changed: earlier counts are from before the change.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_before_a_change_show_nothing_after_it() {
    let place = Place::new();
    let (log, aside) = (place.path("app.log"), place.path("aside"));
    fs::write(&log, "").unwrap();
    let setup = LogSetup {
        source: LogSource::File(log.clone()),
        success: "accepted".into(),
        failure: "refused".into(),
    };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(None, Some(setup)));
    let shown = Shown(Mutex::new(Sessions::default()));
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    fs::write(&log, "accepted\n").unwrap();
    assert!(kinds(&host, Which::New, &place, &shown).await.has(Kinds::REPORTED));
    // A folder with its name is not a log.
    fs::rename(&log, &aside).unwrap();
    fs::create_dir(&log).unwrap();
    host.deliver(FileId(0), Which::Old, place.values(), step(2)).await.unwrap();
    fs::remove_dir(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    assert!(
        !kinds(&host, Which::Old, &place, &shown).await.has(Kinds::REPORTED),
        "the line was of the new value"
    );
}

fn held(looked: &keyroll_port::Looked) -> Vec<Holds> {
    looked.enumeration.files.iter().map(|(_, holds)| *holds).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_which_both_versions_read_the_same_holds_the_one_that_stays() {
    let place = Place::new();
    let host = place.host(vec![place.env("app.env", "host", &place.old)], place.rereads(None, None));
    for (stays, holds) in [(Which::New, Holds::New), (Which::Old, Holds::Old)] {
        let looked = host.enumerate(place.values(), &Sessions::default(), stays).await.unwrap();
        assert_eq!(held(&looked), [holds], "{}", Path::new("app.env").display());
    }
}

/// Opens the file that it is given, and keeps running.
const OPENS: &str = "import sys, time\nopen(sys.argv[1]).read()\nprint('read', flush=True)\ntime.sleep(600)";

#[tokio::test(flavor = "multi_thread")]
async fn only_a_process_that_opened_the_file_after_the_write_has_read_it() {
    if !keyroll_observe::sees_opens() {
        eprintln!("left out: only root is told who opens a file");
        return;
    }
    for write in [Write::Rename, Write::InPlace] {
        let place = Place::new();
        let setup = FileSetup { write, ..place.env("app.env", "value", &place.old) };
        let pid_file = place.path("app.pid");
        let start = || {
            let mut child = std::process::Command::new("python3")
                .args(["-c", OPENS, place.path("app.env").to_str().unwrap()])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            std::io::BufRead::read_line(
                &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
                &mut line,
            )
            .unwrap();
            fs::write(&pid_file, child.id().to_string()).unwrap();
            Ended(child)
        };
        let host = place.host(vec![setup], place.rereads(None, None));
        let shown = Shown(Mutex::new(Sessions::default()));
        let check = async || kinds(&host, Which::New, &place, &shown).await;
        // It opened the file before the new value was in it.
        let before = start();
        host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
        let kinds = check().await;
        assert!(kinds.has(Kinds::DELIVERED) && !kinds.has(Kinds::READ), "{write:?}: {kinds:?}");
        drop(before);
        let after = start();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !check().await.has(Kinds::READ) {
            assert!(std::time::Instant::now() < deadline, "{write:?}: its open was not seen");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        drop(after);
        // The same value, written away and back, is another content: the earlier open does not count for it.
        host.deliver(FileId(0), Which::Old, place.values(), step(2)).await.unwrap();
        host.deliver(FileId(0), Which::New, place.values(), step(3)).await.unwrap();
    }
}

/// Reads the file as most libraries for env files do: a variable that the environment has is not changed.
const READS: &str = "import os, sys, time\nname, value = open(sys.argv[1]).read().strip().split('=', 1)\n\
                     os.environ.setdefault(name, value)\nprint('read', flush=True)\ntime.sleep(600)";

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_process_that_has_the_other_value_in_its_environment_has_not_loaded_this_one() {
    let place = Place::new();
    let text =
        |fields: &Fields| String::from_utf8(fields.get("value").unwrap().value.expose().to_vec()).unwrap();
    let find = Find::PidFile { path: place.path("app.pid"), exe: None };
    let verb = Verb::Restart(CommandLine::program("true", Vec::<String>::new()));
    let run = Arc::new(Process { instances: Vec::new(), find, verb });
    let slot = SlotSetup { run, ..place.rereads(None, None) };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], slot);
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    let shown = Shown(Mutex::new(Sessions::default()));
    for (exported, loads) in [(None, true), (Some(text(&place.old)), false), (Some(text(&place.new)), true)] {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", READS, place.path("app.env").to_str().unwrap()]);
        command.stdout(std::process::Stdio::piped()).env_remove("KEY");
        if let Some(value) = &exported {
            command.env("KEY", value);
        }
        let mut child = Ended(command.spawn().unwrap());
        let mut line = String::new();
        let told = child.0.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(told), &mut line).unwrap();
        fs::write(place.path("app.pid"), child.0.id().to_string()).unwrap();
        let (kinds, told) = kinds_and_remarks(&host, Which::New, &place, &shown).await;
        assert_eq!(kinds.has(Kinds::LOADED), loads, "exported: {}: {kinds:?}", exported.is_some());
        // Reported once for each process, with the variable and without its value.
        assert_eq!(
            told.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(),
            if loads { vec![] } else { vec!["K0364"] }
        );
        if let Some(told) = told.first() {
            let said = format!("{told:?}");
            assert!(
                said.contains(&format!("process {} of 'app'", child.0.id())) && said.contains("KEY"),
                "{said}"
            );
            assert!(!said.contains(&text(&place.old)) && !said.contains(&text(&place.new)));
            let again = kinds_and_remarks(&host, Which::New, &place, &shown).await.1;
            assert!(again.is_empty(), "said twice");
        }
    }
}

/// Holds the content of another file in its memory.
const HOLDS: &str =
    "import sys, time\nheld = open(sys.argv[1]).read()\nprint('read', flush=True)\ntime.sleep(600)";

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_process_with_only_the_other_value_in_its_memory_is_told() {
    let place = Place::new();
    let value = place.old.get("value").unwrap().value.expose().to_vec();
    let find = Find::PidFile { path: place.path("app.pid"), exe: None };
    let verb = Verb::Restart(CommandLine::program("true", Vec::<String>::new()));
    let run = Arc::new(Process { instances: Vec::new(), find, verb });
    let slot = SlotSetup { run, ..place.rereads(None, None) };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], slot);
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    fs::write(place.path("elsewhere"), value).unwrap();
    let start = || {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", HOLDS, place.path("elsewhere").to_str().unwrap()]);
        let mut child =
            Ended(command.stdout(std::process::Stdio::piped()).env_remove("KEY").spawn().unwrap());
        let mut line = String::new();
        let told = child.0.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(told), &mut line).unwrap();
        fs::write(place.path("app.pid"), child.0.id().to_string()).unwrap();
        child
    };
    let shown = Shown(Mutex::new(Sessions::default()));
    let before = start();
    // Ticks are 10 ms: only a process of an earlier tick is certainly from before the restart.
    let began = keyroll_observe::process(before.0.id()).unwrap().id.start_ticks;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while keyroll_observe::WrittenAt::now().unwrap().ticks <= began {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    host.apply(ConsumerId(0), 0, step(2), AllowedChanges::Anything).await.unwrap();
    let (kinds, told) = kinds_and_remarks(&host, Which::New, &place, &shown).await;
    assert!(!kinds.has(Kinds::LOADED));
    assert!(told.is_empty(), "it ran before the restart, and is on its way out");
    drop(before);
    let after = start();
    let (kinds, told) = kinds_and_remarks(&host, Which::New, &place, &shown).await;
    assert!(!kinds.has(Kinds::LOADED));
    assert_eq!(told.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["K0364"]);
    let said = format!("{told:?}");
    assert!(
        said.contains(&format!("process {} of 'app'", after.0.id())) && said.contains("memory"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_did_not_come_back_is_no_job_at_rest() {
    let place = Place::new();
    let systemctl = place.path("systemctl");
    let dead = "#!/bin/sh\necho LoadState=loaded\necho ActiveState=activating\necho SubState=auto-restart\necho MainPID=0\n";
    write_program(&systemctl, dead);
    let unit = Unit { systemctl, booted: place.folder.path().to_owned(), ..Unit::new("app") };
    let check = CheckSetup::Exec {
        command: script(&place, "check.sh", "grep -q val-new \"$1\""),
        copy: Some(FileId(0)),
        turn: None,
    };
    let slot = SlotSetup { run: Arc::new(unit), ..place.rereads(Some(check), None) };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], slot);
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    let shown = Shown(Mutex::new(Sessions::default()));
    let of = Proving { slot: Some(0), ..place.asks(Which::New) };
    let proved = prove(&host, of, || shown.now()).await;
    let proofs = proved.evidence.unwrap().proofs;
    assert!(proofs.is_empty(), "{proofs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_place_that_ended_in_its_middle_is_neither_version() {
    let place = Place::new();
    let driver = || {
        let setup = FileSetup { write: Write::InPlace, ..place.env("app.env", "value", &place.old) };
        place.host(vec![setup], place.rereads(None, None))
    };
    let (path, first) = (place.path("app.env"), driver());
    let before = fs::read(&path).unwrap();
    first.deliver(FileId(0), Which::New, place.values(), step(4)).await.unwrap();
    let after = fs::read(&path).unwrap();
    // The new content was shorter, and the driver was killed before it truncated the file.
    let mixture = [after.as_slice(), b"tail\n"].concat();
    for (content, found) in
        [(&before, Reconciled::Absent), (&after, Reconciled::Executed(None)), (&mixture, Reconciled::Foreign)]
    {
        let another = driver();
        fs::write(&path, content).unwrap();
        assert_eq!(another.delivered(FileId(0), Which::New, place.values(), 4).await.unwrap(), found);
    }
}

pub(crate) struct Ended(pub(crate) std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuers_mark_is_kept_beside_those_of_the_logs() {
    let place = Place::new();
    let log = place.path("app.log");
    fs::write(&log, "refused before\n").unwrap();
    let host = || {
        let setup = LogSetup {
            source: LogSource::File(log.clone()),
            success: "accepted".into(),
            failure: "refused".into(),
        };
        place.host(vec![place.env("app.env", "value", &place.old)], place.rereads(None, Some(setup)))
    };
    assert_eq!(host().refusals_mark().await.unwrap_err().code, "K0116", "no mark is not an empty one");
    let mark = r#"{"at_ms":7,"known":["1 2 3","r\n"]}"#;
    host().watch_refusals(Some(mark)).await.unwrap();
    assert_eq!(host().refusals_mark().await.unwrap().as_deref(), Some(mark));
    assert_eq!(host().refusals().await.unwrap().count, 0);
    fs::write(&log, "refused before\nrefused\n").unwrap();
    assert_eq!(host().refusals().await.unwrap().count, 1);
    host().watch_refusals(None).await.unwrap();
    assert_eq!(host().refusals_mark().await.unwrap(), None);
}
