//! Programs that read the store again by themselves: what they held before shows nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use keyroll_host::{CheckSetup, ConsumerSetup, Local, LogSetup, SearchLimits, SlotSetup};
use keyroll_manager::{Check, Find, Reread};
use keyroll_observe::LogSource;
use keyroll_port::{Host as _, Session, Sessions, Surveyor as _};
use keyroll_rotation::{Kinds, Which};
use keyroll_secret::Fields;

use crate::evidence::{Ended, Place, Shown, kinds, script, session};
use crate::local::at_rest;
use crate::{prove, survey};

/// Keeps every line that it is given, and answers each.
const KEEPS: &str = "import sys\nkept = []\nfor line in sys.stdin:\n    kept.append(line.strip())\n    print('kept', flush=True)";

fn value(fields: &Fields) -> Vec<u8> {
    fields.get("value").unwrap().value.expose().to_vec()
}

/// A program that reads the store again by itself: here it is given what it reads.
struct Reader(Ended);

impl Reader {
    fn start(place: &Place) -> Self {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", KEEPS]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        fs::write(place.path("app.pid"), child.id().to_string()).unwrap();
        Self(Ended(child))
    }

    fn pid(&self) -> u32 {
        self.0.0.id()
    }

    fn read(&mut self, fields: &Fields) {
        let child = &mut self.0.0;
        let mut line = value(fields);
        line.push(b'\n');
        child.stdin.as_mut().unwrap().write_all(&line).unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "kept\n");
    }
}

/// A host with that program as a consumer, for one driver.
fn follower(place: &Place) -> Local {
    place.host_with(Vec::new(), consumer(place, None, None))
}

/// The same with a check.
fn checked(place: &Place, check: CheckSetup) -> Local {
    place.host_with(Vec::new(), consumer(place, Some(check), None))
}

fn consumer(place: &Place, check: Option<CheckSetup>, log: Option<LogSetup>) -> ConsumerSetup {
    let path = place.path("app.pid");
    let run = Arc::new(Reread { instances: Vec::new(), find: Find::PidFile { path, exe: None } });
    ConsumerSetup {
        succeeded: false,
        name: "app".into(),
        files: Vec::new(),
        fetch: None,
        slots: vec![SlotSetup { instance: None, run, checks: vec![check], log, ready: None }],
        follows: true,
        served: None,
    }
}

/// The store is about to give out this version; the issuer shows no sessions.
async fn gives(host: &Local, which: Which, place: &Place) {
    host.before_given_out(which, place.values(), &Sessions::default()).await.unwrap();
}

/// The issuer shows no sessions.
fn nothing() -> Shown {
    Shown(Mutex::new(Sessions::default()))
}

async fn is_loaded(host: &Local, which: Which, place: &Place) -> bool {
    kinds(host, which, place, &nothing()).await.has(Kinds::LOADED)
}

/// A session of a process with the new version, and how many calls it has made.
pub(crate) fn session_of(pid: u32, calls: u64) -> Sessions {
    let session =
        Session { client: None, pid: Some(pid), busy: false, handle: "1".into(), calls: Some(calls) };
    Sessions { old: Some(Vec::new()), new: Some(vec![session]) }
}

/// What cannot be compared of it, in words: it has no file.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_named_of_a_program_that_reads_the_store() {
    let live = follower(&Place::new()).live().await;
    assert_eq!(live.not_visible, ["what 'app' loads beside the value: it reads the store again by itself"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_held_before_the_store_gave_it_out_shows_nothing() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    let loaded = async |host: &Local, which| is_loaded(host, which, &place).await;
    reader.read(&place.old);
    let host = follower(&place);
    // Nothing is known of what the store gives out.
    reader.read(&place.new);
    assert!(!loaded(&host, Which::New).await);
    drop(reader);

    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    gives(&host, Which::New, &place).await;
    assert!(!loaded(&host, Which::New).await);
    reader.read(&place.new);
    assert!(loaded(&host, Which::New).await, "it took the value, and keeps the former one");
    // Another driver knows it too.
    assert!(loaded(&follower(&place), Which::New).await);
    assert!(!loaded(&host, Which::Old).await, "the store was not seen to begin to give that out");
    assert!(!kinds(&host, Which::New, &place, &nothing()).await.has(Kinds::DELIVERED), "it has no file");
    // It has held both: that the old one is there shows nothing, to no driver.
    gives(&host, Which::Old, &place).await;
    for host in [&host, &follower(&place)] {
        assert!(!loaded(host, Which::Old).await);
        assert!(!loaded(host, Which::New).await);
    }
    reader.read(&place.old);
    assert!(!loaded(&host, Which::Old).await);
    // One that was started anew holds the old one only.
    drop(reader);
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    for host in [&host, &follower(&place)] {
        assert!(loaded(host, Which::Old).await);
    }
    // What was remembered is damaged: no guess.
    fs::write(place.path("work/r1-given-out"), "").unwrap();
    let proved = prove(&follower(&place), place.asks(Which::Old), Sessions::default).await;
    assert!(proved.evidence.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_before_the_store_gave_the_value_out_proves_nothing() {
    let place = Place::new();
    fs::write(place.path("app.pid"), std::process::id().to_string()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (before, after) = (connect(), connect());
    let host = follower(&place);
    let sessions =
        Sessions { old: Some(vec![session(&before, "a handle\nin two lines")]), new: Some(Vec::new()) };
    host.before_given_out(Which::Old, place.values(), &sessions).await.unwrap();
    let shown = Shown(Mutex::new(sessions));
    for host in [&host, &follower(&place)] {
        assert!(
            !kinds(host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED),
            "an old session counts"
        );
    }
    shown.0.lock().unwrap().old.as_mut().unwrap().push(session(&after, "2"));
    for host in [&host, &follower(&place)] {
        assert!(kinds(host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED), "a new one does not");
    }
}

/// The fork of a program that held both holds both too.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_began_later_may_have_no_trace_of_the_other_value_either() {
    let place = Place::new();
    let host = follower(&place);
    let before = Reader::start(&place);
    gives(&host, Which::New, &place).await;
    drop(before);
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    reader.read(&place.new);
    for host in [&host, &follower(&place)] {
        assert!(!is_loaded(host, Which::New, &place).await);
    }
    drop(reader);
    let mut reader = Reader::start(&place);
    reader.read(&place.new);
    for host in [&host, &follower(&place)] {
        assert!(is_loaded(host, Which::New, &place).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_did_not_see_everything_may_have_missed_the_value() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    reader.read(&place.new);
    let search = SearchLimits { memory_bytes_max: 1, ..SearchLimits::default() };
    let limited = place.host_within(search, Vec::new(), consumer(&place, None, None));
    gives(&limited, Which::New, &place).await;
    assert!(!is_loaded(&follower(&place), Which::New, &place).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_was_started_with_shows_nothing() {
    use std::os::unix::ffi::OsStringExt as _;

    let place = Place::new();
    let started_with = std::ffi::OsString::from_vec(value(&place.new));
    let child = std::process::Command::new("sleep").arg("1000").env("KEY", started_with).spawn().unwrap();
    fs::write(place.path("app.pid"), child.id().to_string()).unwrap();
    let _child = Ended(child);
    let host = follower(&place);
    gives(&host, Which::New, &place).await;
    assert!(!is_loaded(&host, Which::New, &place).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_before_the_store_gave_the_value_out_again_counts_no_more() {
    let place = Place::new();
    let path = place.path("app.log");
    fs::write(&path, "").unwrap();
    let source = LogSource::File(path.clone());
    let log = LogSetup { source, success: "accepted".into(), failure: "refused".into() };
    let host = place.host_with(Vec::new(), consumer(&place, None, Some(log)));
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    gives(&host, Which::New, &place).await;
    reader.read(&place.new);
    fs::write(&path, "accepted\n").unwrap();
    let seen = kinds(&host, Which::New, &place, &nothing()).await;
    assert!(seen.has(Kinds::LOADED.and(Kinds::REPORTED)), "{seen:?}");
    // The store gives out the old value, and then the new one again.
    gives(&host, Which::Old, &place).await;
    gives(&host, Which::New, &place).await;
    let seen = kinds(&host, Which::New, &place, &nothing()).await;
    assert!(!seen.has(Kinds::LOADED), "it has held both: {seen:?}");
    assert!(!seen.has(Kinds::REPORTED), "a line of before counts: {seen:?}");
    fs::write(&path, "accepted\naccepted\n").unwrap();
    assert!(kinds(&host, Which::New, &place, &nothing()).await.has(Kinds::REPORTED), "a later one does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_proves_nothing_where_the_store_was_not_seen_to_begin_to_give_the_value_out() {
    let place = Place::new();
    let reader = Reader::start(&place);
    let host = follower(&place);
    let shown = Shown(Mutex::new(session_of(reader.pid(), 7)));
    assert!(!kinds(&host, Which::New, &place, &shown).await.has(Kinds::EXERCISED), "nothing is known");
    gives(&host, Which::Old, &place).await;
    let seen = kinds(&follower(&place), Which::New, &place, &shown).await;
    assert!(!seen.has(Kinds::EXERCISED), "it gives out the old one");
}

/// A pool goes on with the connections that it has, whatever the program has read meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_a_session_of_before_counts_only_once_the_program_has_the_value() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    let host = follower(&place);
    let sessions = session_of(reader.pid(), 1);
    host.before_given_out(Which::New, place.values(), &sessions).await.unwrap();
    let shown = Shown(Mutex::new(session_of(reader.pid(), 2)));
    for host in [&host, &follower(&place)] {
        assert!(!kinds(host, Which::New, &place, &shown).await.has(Kinds::EXERCISED), "it has not read it");
    }
    reader.read(&place.new);
    for host in [&host, &follower(&place)] {
        assert!(
            kinds(host, Which::New, &place, &shown).await.has(Kinds::EXERCISED),
            "its calls do not count"
        );
    }
    *shown.0.lock().unwrap() = sessions;
    assert!(
        !kinds(&follower(&place), Which::New, &place, &shown).await.has(Kinds::EXERCISED),
        "no call since"
    );
}

/// The program may make the call on a connection that it had before.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_program_that_reads_again_does_not_show_which_value_it_used() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/check", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.is_empty()), "a request has an end");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let host = checked(&place, CheckSetup::Http(Check::Http { url, contains: None }));
    // The issuer shows one more call on a session at each look.
    let mut calls = 0;
    let mut sessions = || {
        calls += 1;
        session_of(reader.pid(), calls)
    };
    host.before_given_out(Which::New, place.values(), &sessions()).await.unwrap();
    let proved = prove(&host, place.asks(Which::New), sessions).await;
    let seen = proved.evidence.unwrap().proofs[0].paths[0];
    assert!(seen.has(Kinds::REPORTED) && !seen.has(Kinds::EXERCISED), "{seen:?}");
    served.join().unwrap();
}

/// A command with `{copy}`, where the consumer has no file.
fn exec(place: &Place, name: &str, text: &str) -> CheckSetup {
    CheckSetup::Exec { command: script(place, name, text), copy: None, turn: None }
}

/// The names of the files for checks that are left in the work folder.
fn left(place: &Place) -> Vec<String> {
    let all = fs::read_dir(place.path("work")).unwrap().flatten();
    let names = all.map(|it| it.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("control")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_gets_a_private_file_with_the_value_while_it_runs_and_must_fail_on_a_wrong_one() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    let (modes, expected) = (place.path("modes"), place.path("expected"));
    fs::write(&expected, value(&place.new)).unwrap();
    let compares =
        format!("stat -c %a \"$1\" >> '{}'\ncmp -s \"$1\" '{}'", modes.display(), expected.display());
    let honest = checked(&place, exec(&place, "compares.sh", &compares));
    gives(&honest, Which::New, &place).await;
    let seen = kinds(&honest, Which::New, &place, &nothing()).await;
    assert!(seen.has(Kinds::CHECKED.and(Kinds::REPORTED)), "{seen:?}");
    let modes = fs::read_to_string(&modes).unwrap();
    assert_eq!(modes, "600\n600\n", "once with the value, and once with a wrong one");
    assert_eq!(left(&place), [] as [String; 0]);
    // One that passes on any file shows that it ran.
    let blind = checked(&place, exec(&place, "blind.sh", "test -s \"$1\""));
    let seen = kinds(&blind, Which::New, &place, &nothing()).await;
    assert!(seen.has(Kinds::REPORTED) && !seen.has(Kinds::CHECKED), "{seen:?}");
    // It gets the version that is asked for.
    gives(&honest, Which::Old, &place).await;
    assert!(!kinds(&honest, Which::Old, &place, &nothing()).await.has(Kinds::REPORTED));
    assert_eq!(left(&place), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_a_job_that_reads_the_store_gets_such_a_file_too_also_before_anything_is_made() {
    let place = Place::new();
    let (old, new) = (place.path("old"), place.path("new"));
    fs::write(&old, value(&place.old)).unwrap();
    fs::write(&new, value(&place.new)).unwrap();
    let job = |name: &str, text: &str| {
        let consumer = at_rest(Vec::new(), Some(exec(&place, name, text)));
        place.host_with(Vec::new(), ConsumerSetup { follows: true, ..consumer })
    };
    let host = job("new.sh", &format!("cmp -s \"$1\" '{}'", new.display()));
    let seen = kinds(&host, Which::New, &place, &nothing()).await;
    assert!(seen.has(Kinds::CHECKED) && !seen.has(Kinds::DELIVERED), "{seen:?}");
    let told = async |host: Local| {
        let survey = survey(&host, &place.old, None, true).await.unwrap();
        survey.checks.into_iter().map(|one| one.code).collect::<Vec<_>>()
    };
    assert!(told(job("old.sh", &format!("cmp -s \"$1\" '{}'", old.display()))).await.is_empty());
    assert_eq!(told(job("blind.sh", "test -s \"$1\"")).await, ["K0362"], "it never looks into it");
    assert_eq!(left(&place), [] as [String; 0]);
}
