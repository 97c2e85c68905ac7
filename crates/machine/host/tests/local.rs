//! This machine as a host: real files, real processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_copy::{Format, Slot, Template};
use keyroll_host::{
    CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, Local, SearchLimits, Setup, SlotSetup,
    SystemClock, Write, place_digest,
};
use keyroll_manager::{AtRest, CommandLine, Find, Process, Reread, Unit, Verb};
use keyroll_port::{
    Asked, Class, Clock as _, CopySeen, Host, Proving, Sessions, Surveyor as _, Touched, Values,
};
use keyroll_rotation::{
    ConsumerId, FileId, Holds, InstanceIdentity, Kinds, Reconciled, SearchLimit, Visibility, Which,
};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_testkit::write_program;

use crate::{prove, step, survey};

/// A value that no other test has.
pub(crate) fn value(tag: &str) -> String {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{tag}{stamp:x}{:x}ZzQ", std::process::id())
}

pub(crate) fn fields(value: &str) -> Fields {
    Fields::single(SecretBytes::from(value.to_owned()))
}

pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), old: value("old"), new: value("new") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn host(&self, files: Vec<FileSetup>, consumers: Vec<ConsumerSetup>) -> Local {
        self.host_with(files, consumers, SearchLimits::default())
    }

    pub(crate) fn host_with(
        &self,
        files: Vec<FileSetup>,
        consumers: Vec<ConsumerSetup>,
        search: SearchLimits,
    ) -> Local {
        Local::new(
            Setup {
                host: keyroll_host::LOCAL,
                rotation: "r1".into(),
                files,
                consumers,
                roots: Vec::new(),
                search,
                bystanders: Vec::new(),
                own_folders: vec![self.path("state")],
                instance_time_max: std::time::Duration::from_secs(120),
                work: self.path("state/work"),
                value_format: (b"abcdef0123456789".to_vec(), 64),
                servers: Vec::new(),
                gate: None,
                issuer_at: Vec::new(),
            },
            FingerprintKey::new(&[7; 32]),
        )
    }
}

pub(crate) fn file(path: &Path, copies: Vec<CopySetup>) -> FileSetup {
    FileSetup {
        path: path.to_owned(),
        planned: None,
        write: Write::Rename,
        copies,
        generated: false,
        own: None,
        generator: None,
    }
}

pub(crate) fn variable(name: &str) -> CopySetup {
    let slot = Slot::Variable(name.into());
    CopySetup::Value { format: Format::Dotenv, slot, source: CopySource::Field("value".into()) }
}

pub(crate) fn at_rest(files: Vec<FileId>, check: Option<CheckSetup>) -> ConsumerSetup {
    let slot = SlotSetup {
        instance: None,
        run: Arc::new(AtRest::default()),
        checks: vec![check],
        log: None,
        ready: None,
    };
    ConsumerSetup {
        name: "job".into(),
        files,
        fetch: None,
        slots: vec![slot],
        follows: false,
        served: None,
        succeeded: false,
    }
}

/// Evidence about the new version, where the issuer shows no sessions.
async fn proved(
    host: &Local,
    consumer: ConsumerId,
    slot: Option<u8>,
    values: Values<'_>,
) -> keyroll_port::Proved {
    prove(host, Proving { consumer, slot, which: Which::New, values, watched: false }, Sessions::default)
        .await
}

/// A process that this test started, ended with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rename_changes_every_copy_of_a_file_and_only_those() {
    let place = Place::new();
    let (old, new) = (&place.old, &place.new);
    let text = format!("# kept\nKEY={old}\nURL=http://svc:{old}@127.0.0.1:1/v1\nOTHER=x\n");
    let path = place.write("app.env", &text);
    let url = Template::parse("http://svc:{value}@127.0.0.1:1/v1").unwrap();
    let slot = Slot::Variable("URL".into());
    let derived = CopySetup::Value { format: Format::Dotenv, slot, source: CopySource::Text(url) };
    let host = place.host(vec![file(&path, vec![variable("KEY"), derived])], Vec::new());
    let (before, after) = (fields(old), fields(new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    host.deliver(FileId(0), Which::New, values, step(7)).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text.replace(old.as_str(), new));
    // A repetition is harmless, and a rollback restores the very same bytes.
    host.deliver(FileId(0), Which::New, values, step(8)).await.unwrap();
    assert_eq!(host.delivered(FileId(0), Which::New, values, 8).await.unwrap(), Reconciled::Executed(None));
    assert_eq!(host.delivered(FileId(0), Which::Old, values, 8).await.unwrap(), Reconciled::Absent);
    host.deliver(FileId(0), Which::Old, values, step(9)).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// The value is there, but not every reader finds it: that is said, and not that another value is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_readers_read_differently_is_no_other_value() {
    for (before, says) in [("\u{feff}KEY=", "byte order mark"), ("KEY: ", "colon")] {
        let place = Place::new();
        let path = place.write("app.env", &format!("{before}{}\n", place.old));
        let host = place.host(vec![file(&path, vec![variable("KEY")])], Vec::new());
        let old = fields(&place.old);
        let seen = host.copies(Values { old: &old, new: None, old_ended: false }).await;
        let why = seen[0].unclear.clone().unwrap_or_default();
        assert!(seen[0].holds != Holds::Old && why.contains(says), "{seen:?}");
        assert!(!why.contains(&place.old), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_value_is_never_overwritten() {
    let place = Place::new();
    let foreign = value("foreign");
    let path = place.write("app.env", &format!("KEY={foreign}\n"));
    let host = place.host(vec![file(&path, vec![variable("KEY")])], Vec::new());
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    assert!(host.deliver(FileId(0), Which::New, values, step(7)).await.is_err());
    assert_eq!(host.delivered(FileId(0), Which::New, values, 7).await.unwrap(), Reconciled::Foreign);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("KEY={foreign}\n"));
    assert_eq!(host.copies(values).await, [CopySeen { path, holds: Holds::Other, unclear: None }]);
    assert_eq!(host.trial(Values { old: &before, new: None, old_ended: false }).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_link_is_refused() {
    let place = Place::new();
    let first = place.write("a/key", &place.old);
    let second = place.write("b/key", &place.old);
    let link = place.path("key");
    std::os::unix::fs::symlink(&first, &link).unwrap();
    let whole = CopySetup::Value {
        format: Format::Whole,
        slot: Slot::Whole,
        source: CopySource::Field("value".into()),
    };
    let setup = FileSetup { planned: Some(first.clone()), ..file(&link, vec![whole]) };
    let host = place.host(vec![setup], Vec::new());
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&second, &link).unwrap();
    let (before, after) = (fields(&place.old), fields(&place.new));
    let failure = host
        .deliver(FileId(0), Which::New, Values { old: &before, new: Some(&after), old_ended: false }, step(7))
        .await
        .unwrap_err();
    assert_eq!(failure.code.as_str(), "K0314");
    assert_eq!(
        (fs::read_to_string(&first).unwrap(), fs::read_to_string(&second).unwrap()),
        (place.old.clone(), place.old.clone())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_and_strangers_are_found_by_value_and_configured_processes_are_not_holders() {
    let place = Place::new();
    let path = place.write("app.env", &format!("KEY={}\n", place.old));
    // The name of a file must not be able to add lines to the output.
    let stranger = place.write("backup\n✓ done.txt", &format!("saved {}\n", place.old));
    let sleep = |pid_file: Option<&Path>| {
        let child =
            Command::new("sleep").arg("300").env("KEY", &place.old).stdin(Stdio::null()).spawn().unwrap();
        if let Some(pid_file) = pid_file {
            fs::write(pid_file, child.id().to_string()).unwrap();
        }
        Running(child)
    };
    let pid_file = place.path("known.pid");
    let (known, unknown) = (sleep(Some(&pid_file)), sleep(None));
    let find = Find::PidFile { path: pid_file, exe: None };
    let run = Arc::new(Reread { instances: Vec::new(), find });
    let slot = SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None };
    let consumer = ConsumerSetup {
        name: "known".into(),
        files: vec![FileId(0)],
        fetch: None,
        slots: vec![slot],
        follows: false,
        served: None,
        succeeded: false,
    };
    let host = place.host(vec![file(&path, vec![variable("KEY")])], vec![consumer]);
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let looked = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    let pid_of = |who| keyroll_host::process_of(who).map(|process| process.pid);
    let of = |pid: u32| looked.enumeration.instances.iter().find(|it| pid_of(it.who) == Some(pid)).copied();
    let (known, unknown) = (of(known.0.id()).unwrap(), (of(unknown.0.id()).unwrap(), unknown.0.id()));
    assert_eq!((known.consumer, known.old), (Some(ConsumerId(0)), Visibility::Yes));
    assert_eq!((unknown.0.consumer, unknown.0.old, unknown.0.new), (None, Visibility::Yes, Visibility::No));
    assert_eq!(looked.enumeration.strangers, [place_digest(&stranger)]);
    // In a rollback, undeclared copies of the new value are reported.
    let copied = place.write("copied.txt", &format!("saved {}\n", place.new));
    let back = host.enumerate(values, &Sessions::default(), Which::Old).await.unwrap();
    assert_eq!(back.enumeration.strangers, [place_digest(&copied)]);
    assert!(looked.names.iter().all(|named| !named.name.contains('\n')), "{:?}", looked.names);
    let described = host.describe(unknown.0.who).await.unwrap();
    assert_eq!((described.pid, described.name.as_str()), (Some(unknown.1), "sleep"));
    assert!(described.found_by.contains("holds the old version"), "{}", described.found_by);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_counts_as_checked_only_if_it_can_fail() {
    let place = Place::new();
    let path = place.write("job.env", &format!("KEY={}\n", place.new));
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let expected = place.write("expected", &format!("KEY={}\n", place.new));
    let proof = |program: &'static str, arguments: Vec<String>| {
        let command = CommandLine::program(program, arguments);
        let check = CheckSetup::Exec { command, copy: Some(FileId(0)), turn: None };
        place.host(vec![file(&path, vec![variable("KEY")])], vec![at_rest(vec![FileId(0)], Some(check))])
    };
    let kinds = async |host: &Local| {
        let proved = proved(host, ConsumerId(0), None, values).await;
        let evidence = proved.evidence.unwrap();
        assert!(!evidence.against);
        evidence.proofs[0].paths[0]
    };
    let honest = proof("cmp", vec!["-s".into(), "{copy}".into(), expected.display().to_string()]);
    assert!(kinds(&honest).await.has(Kinds::CHECKED.and(Kinds::DELIVERED)));
    let blind = proof("test", vec!["-e".into(), "{copy}".into()]);
    let seen = kinds(&blind).await;
    assert!(seen.has(Kinds::REPORTED) && !seen.has(Kinds::CHECKED), "{seen:?}");
    let failing = proof("false", vec!["{copy}".into()]);
    assert!(!kinds(&failing).await.has(Kinds::REPORTED));
    // No wrong copy is left behind.
    let left: Vec<_> =
        fs::read_dir(place.path("state/work")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("control")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_did_not_come_back_is_no_job_at_rest() {
    let place = Place::new();
    let path = place.write("app.env", &format!("KEY={}\n", place.new));
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let expected = place.write("expected", &format!("KEY={}\n", place.new));
    let check = || {
        let words = [expected.display().to_string(), "{copy}".to_owned()];
        CheckSetup::Exec { command: CommandLine::program("cmp", words), copy: Some(FileId(0)), turn: None }
    };
    let find = Find::PidFile { path: place.path("app.pid"), exe: None };
    let restart = Verb::Restart(CommandLine::program("true", Vec::<String>::new()));
    let run = Arc::new(Process { instances: Vec::new(), find, verb: restart });
    let slot = SlotSetup { instance: None, run, checks: vec![Some(check())], log: None, ready: None };
    let service = ConsumerSetup {
        name: "app".into(),
        files: vec![FileId(0)],
        fetch: None,
        slots: vec![slot],
        follows: false,
        served: None,
        succeeded: false,
    };
    let job = at_rest(vec![FileId(0)], Some(check()));
    let host = place.host(vec![file(&path, vec![variable("KEY")])], vec![service, job]);
    let proofs = async |consumer| {
        let proved = proved(&host, consumer, Some(0), values).await;
        proved.evidence.unwrap().proofs
    };
    let service = proofs(ConsumerId(0)).await;
    assert!(service.is_empty(), "{service:?}");
    let job = proofs(ConsumerId(1)).await;
    assert!(job.iter().all(|proof| proof.paths[0].has(Kinds::CHECKED)) && job.len() == 1, "{job:?}");
}

/// A timer whose service is this process: what `systemctl show` prints of both.
fn timer(place: &Place, pid: u32) -> Unit {
    let text = format!("LoadState=loaded\nActiveState=active\nMainPID={pid}\nUnit=job.service\n");
    let shown = place.write("shown", &text);
    let systemctl = place.path("systemctl");
    write_program(&systemctl, format!("#!/bin/sh\ncat '{}'\n", shown.display()));
    Unit { systemctl, booted: place.path(""), ..Unit::new("job.timer") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_started_with_the_old_value_has_not_loaded_the_new_one_by_reading_it() {
    let place = Place::new();
    let path = place.write("job.env", &format!("KEY={}\n", place.new));
    let expected = place.write("expected", &format!("KEY={}\n", place.new));
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    // It reads its file late, like a library that keeps variables that are already set.
    let started = |value: &str| {
        let script = "read -r LINE < job.env; : > ready; while :; do sleep 1; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("KEY", value).current_dir(place.path("")).stdin(Stdio::null());
        let running = Running(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::remove_file(place.path("ready")).is_err() {
            assert!(Instant::now() < deadline, "it does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    };
    let shown = async |pid: u32| {
        let words = [expected.display().to_string(), "{copy}".to_owned()];
        let command = CommandLine::program("cmp", words);
        let mut job =
            at_rest(vec![FileId(0)], Some(CheckSetup::Exec { command, copy: Some(FileId(0)), turn: None }));
        job.slots[0].run = Arc::new(AtRest { timer: Some(timer(&place, pid)) });
        let host = place.host(vec![file(&path, vec![variable("KEY")])], vec![job]);
        let looked = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
        let seen: Vec<_> = looked.enumeration.instances.iter().filter(|one| one.consumer.is_some()).collect();
        assert!(seen.len() == 1 && matches!(seen[0].who.life, InstanceIdentity::Process { .. }), "{seen:?}");
        let who = seen[0].who;
        let proved = proved(&host, ConsumerId(0), None, values).await;
        let proofs = proved.evidence.unwrap().proofs;
        let kinds = proofs.iter().find(|proof| proof.who == who).map(|proof| proof.paths[0]);
        kinds.is_some_and(|kinds| kinds.has(Kinds::LOADED))
    };
    let job = started(&place.old);
    assert!(!shown(job.0.id()).await, "it still presents what it was started with");
    drop(job);
    let job = started(&place.new);
    assert!(shown(job.0.id()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_place_in_a_configured_file_is_named() {
    let place = Place::new();
    let (old, new) = (&place.old, &place.new);
    let encoded: String = old.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url = |value: &str| format!("KEY={value}\nURL=http://svc:{value}@127.0.0.1:1/\n");
    let text = format!("{}# before: {old}\nOTHER={old}\nHEX={encoded}\n", url(old));
    let path = place.write("app.env", &text);
    let template = Template::parse("http://svc:{value}@127.0.0.1:1/").unwrap();
    let slot = Slot::Variable("URL".into());
    let derived = CopySetup::Value { format: Format::Dotenv, slot, source: CopySource::Text(template) };
    let host = place.host(vec![file(&path, vec![variable("KEY"), derived])], Vec::new());
    let (before, after) = (fields(old), fields(new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    // As planned, and after the named copies were written.
    for written in [false, true] {
        if written {
            host.deliver(FileId(0), Which::New, values, step(7)).await.unwrap();
        }
        let looked = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
        assert_eq!(looked.enumeration.strangers, [place_digest(&path)], "written: {written}");
        let name = &looked.names[0].name;
        assert!(name.contains("(lines 3, 4, 5,") && !name.contains(old.as_str()), "{name}");
    }
    let residues = host.sweep(values).await.unwrap().residues;
    assert!(residues.iter().any(|one| one.place.contains("lines 3, 4, 5")), "{residues:?}");
    // The named copies themselves are declared, in either version.
    for text in [url(old), url(new)] {
        fs::write(&path, text).unwrap();
        let looked = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
        assert!(looked.enumeration.strangers.is_empty(), "{:?}", looked.names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_two_names_is_replaced_only_in_place() {
    let place = Place::new();
    let path = place.write("app.env", &format!("KEY={}\n", place.old));
    // Whichever name the search meets first, the other is the same file.
    let others = ["aaa.env", "zzz.env"].map(|name| place.path(name));
    others.iter().for_each(|other| fs::hard_link(&path, other).unwrap());
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let setup = FileSetup { write: Write::InPlace, ..file(&path, vec![variable("KEY")]) };
    let in_place = place.host(vec![setup], Vec::new());
    assert_eq!(survey(&in_place, &before, None, false).await.unwrap().linked.len(), 1);
    let looked = in_place.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    assert!(looked.enumeration.strangers.is_empty(), "{:?}", looked.names);
    let renamed = place.host(vec![file(&path, vec![variable("KEY")])], Vec::new());
    assert_eq!(survey(&renamed, &before, None, false).await.unwrap_err().code, "K0316");
    let against = renamed.trial(Values { old: &before, new: None, old_ended: false }).await.unwrap();
    assert_eq!(against.iter().map(|one| one.code).collect::<Vec<_>>(), ["K0316"]);
    assert_eq!(renamed.deliver(FileId(0), Which::New, values, step(7)).await.unwrap_err().code, "K0316");
    assert!(fs::read_to_string(&path).unwrap().contains(&place.old));
    in_place.deliver(FileId(0), Which::New, values, step(8)).await.unwrap();
    for name in others.iter().chain([&path]) {
        assert!(fs::read_to_string(name).unwrap().contains(&place.new), "{}", name.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_shows_nothing_is_told_before_anything_is_made() {
    let place = Place::new();
    let path = place.write("job.env", &format!("KEY={}\n", place.old));
    let expected = place.write("expected", &format!("KEY={}\n", place.old));
    let before = fields(&place.old);
    let told = async |program: &str, arguments: &[&str]| {
        let command = CommandLine::program(program, arguments.iter().copied());
        let check = CheckSetup::Exec { command, copy: Some(FileId(0)), turn: None };
        let consumers = vec![at_rest(vec![FileId(0)], Some(check))];
        let host = place.host(vec![file(&path, vec![variable("KEY")])], consumers);
        let survey = survey(&host, &before, None, true);
        survey.await.unwrap().checks.into_iter().map(|one| one.code).collect::<Vec<_>>()
    };
    let expected = expected.display().to_string();
    assert!(told("cmp", &["-s", "{copy}", &expected]).await.is_empty());
    assert_eq!(told("true", &[]).await, ["K0362"], "it is not told which copy");
    assert_eq!(told("test", &["-e", "{copy}"]).await, ["K0362"], "it never looks into it");
    assert_eq!(told("sh", &["-c", "test ! -e \"$0\"", "{copy}"]).await, ["K0362"], "it cannot read it");
    assert_eq!(told("/no/such/program", &["{copy}"]).await, ["K0404"]);
}

/// A generator that copies the value from another file; keyroll reads its file back and writes nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_command_makes_is_never_written() {
    let place = Place::new();
    let source = place.write("source.env", &format!("KEY={}\n", place.old));
    let made = place.write("made.env", &format!("# made\nKEY={}\n", place.old));
    let script =
        place.write("make.sh", "printf '# made\\n' >\"$2\"; cat \"$1\" >>\"$2\"; echo once >>\"$3\"\n");
    let runs = place.path("runs");
    let words = [&script, &source, &made, &runs].map(|path| path.display().to_string());
    let generator = Some(CommandLine::program("sh", words));
    let generated = FileSetup { generated: true, generator, ..file(&made, vec![variable("KEY")]) };
    let host = place.host(vec![file(&source, vec![variable("KEY")]), generated], Vec::new());
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let early = host.deliver(FileId(1), Which::New, values, step(1)).await.unwrap_err();
    assert_eq!(early.code, "K0302", "its source does not hold the value yet");
    assert_eq!(host.delivered(FileId(1), Which::New, values, 1).await.unwrap(), Reconciled::Absent);
    host.deliver(FileId(0), Which::New, values, step(2)).await.unwrap();
    host.deliver(FileId(1), Which::New, values, step(3)).await.unwrap();
    assert_eq!(fs::read_to_string(&made).unwrap(), format!("# made\nKEY={}\n", place.new));
    assert_eq!(host.delivered(FileId(1), Which::New, values, 3).await.unwrap(), Reconciled::Executed(None));
    assert_eq!(fs::read_to_string(&runs).unwrap(), "once\nonce\n");
    // Only the generator overwrites another party's edit of it.
    fs::write(&made, "KEY=other\n").unwrap();
    host.deliver(FileId(0), Which::Old, values, step(4)).await.unwrap();
    host.deliver(FileId(1), Which::Old, values, step(5)).await.unwrap();
    assert_eq!(fs::read_to_string(&made).unwrap(), format!("# made\nKEY={}\n", place.old));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_that_nobody_waits_for_any_more() {
    let place = Place::new();
    let path = place.write("api.env", &format!("KEY={}\n", place.old));
    let ran = place.path("ran");
    let fetch = CommandLine::program("touch", [ran.display().to_string()]);
    let mut consumer = at_rest(vec![FileId(0)], None);
    consumer.fetch = Some(fetch);
    let host = place.host(vec![file(&path, vec![variable("KEY")])], vec![consumer]);
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let late = Asked { intent: 7, until_ms: SystemClock::new().monotonic_ms() };
    let written = host.deliver(FileId(0), Which::New, values, late).await.unwrap_err();
    assert_eq!((written.code.as_str(), written.class), ("K0315", Class::Retryable));
    let fetched = host.fetch(ConsumerId(0), Which::New, values, late).await.unwrap_err();
    assert_eq!((fetched.code.as_str(), fetched.class), ("K0402", Class::Retryable));
    assert!(fs::read_to_string(&path).unwrap().contains(&place.old) && !ran.exists());
    assert_eq!(host.delivered(FileId(0), Which::New, values, 7).await.unwrap(), Reconciled::Absent);
}

/// The command that makes the file waits for a reader of its pipe: until it has ended, nobody knows what it made.
#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_effect_is_not_known_while_it_goes_on() {
    let place = Place::new();
    let made = place.write("made.env", &format!("KEY={}\n", place.old));
    let (begun, pipe) = (place.path("begun"), place.path("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = place.write(
        "make.sh",
        &format!("touch \"$1\"; read -r _ <\"$2\"; printf 'KEY={}\\n' >\"$3\"\n", place.new),
    );
    let words = [&script, &begun, &pipe, &made].map(|path| path.display().to_string());
    let generator = Some(CommandLine::program("sh", words));
    let generated = FileSetup { generated: true, generator, ..file(&made, vec![variable("KEY")]) };
    let host = Arc::new(place.host(vec![generated], Vec::new()));
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let delivered = {
        let (host, old, new) = (host.clone(), before.duplicate(), after.duplicate());
        tokio::spawn(async move {
            let values = Values { old: &old, new: Some(&new), old_ended: false };
            host.deliver(FileId(0), Which::New, values, step(7)).await
        })
    };
    while !begun.exists() {
        assert!(!delivered.is_finished());
        tokio::task::yield_now().await;
    }
    let unknown = host.delivered(FileId(0), Which::New, values, 7).await.unwrap_err();
    assert_eq!(unknown.class, Class::Retryable);
    assert!(host.deliver(FileId(0), Which::New, values, step(7)).await.is_err(), "one at a time");
    assert_eq!(host.await_end(Touched::All, 7).await.unwrap_err().class, Class::Retryable);
    host.await_end(Touched::All, 8).await.unwrap();
    fs::write(&pipe, "on\n").unwrap();
    delivered.await.unwrap().unwrap();
    host.await_end(Touched::All, 7).await.unwrap();
    assert_eq!(host.delivered(FileId(0), Which::New, values, 7).await.unwrap(), Reconciled::Executed(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_the_limit_is_named_by_its_process() {
    let place = Place::new();
    let path = place.write("api.env", &format!("KEY={}\n", place.old));
    let pid_file = place.path("known.pid");
    let sleep = || Running(Command::new("sleep").arg("1000").spawn().unwrap());
    let (known, other) = (sleep(), sleep());
    fs::write(&pid_file, known.0.id().to_string()).unwrap();
    let find = Find::PidFile { path: pid_file, exe: None };
    let run = Arc::new(Reread { instances: Vec::new(), find });
    let consumer = || ConsumerSetup {
        name: "known".into(),
        files: vec![FileId(0)],
        fetch: None,
        follows: false,
        served: None,
        succeeded: false,
        slots: vec![SlotSetup {
            instance: None,
            run: run.clone(),
            checks: vec![None],
            log: None,
            ready: None,
        }],
    };
    let (before, after) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &before, new: Some(&after), old_ended: false };
    let unsearched = async |memory_bytes_max| {
        let search = SearchLimits { memory_bytes_max, ..SearchLimits::default() };
        let host = place.host_with(vec![file(&path, vec![variable("KEY")])], vec![consumer()], search);
        let seen = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap().enumeration;
        assert!(seen.complete);
        let instance = seen.instances.iter().find(|it| it.consumer == Some(ConsumerId(0))).unwrap().who;
        let pid_of = |who| keyroll_host::process_of(who).unwrap().pid;
        assert_eq!(pid_of(instance), known.0.id());
        let of = |pid| seen.unsearched.iter().find(|it| pid_of(it.who) == pid);
        assert!(of(known.0.id()).is_none_or(|it| it.who == instance), "the same life");
        [known.0.id(), other.0.id()].map(|pid| of(pid).map(|it| it.limit))
    };
    assert_eq!(unsearched(1).await, [Some(SearchLimit::Size); 2]);
    assert_eq!(unsearched(1 << 30).await, [None; 2]);
}
