//! A host that is this machine, with a real process that uses a generated value.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll_link::{
    Call, End, Item, ManagedHere, VersionHere, digits_of, missed, scan_report, trace_report, why_reports,
};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::driver::Driver;

/// The variable of the scene.
const NAME: &str = "SERVICE_API_KEY";

/// The key of the fingerprints.
const KEY: [u8; 32] = [7; 32];

/// The digits under which the driver knows the value.
const DIGITS: &str = "abcdef012345";

/// How long each stage of a search may take, seconds.
const WAIT_S: u64 = 60;

/// A worker that was started with a value; it ends with this.
struct Worker(Child);

impl Worker {
    fn start(value: &str) -> Self {
        let mut command = Command::new("cat");
        command.env_clear().env("PATH", "/usr/bin:/bin").env(NAME, value);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
        // A program that answers runs.
        child.stdin.as_mut().unwrap().write_all(b"ready\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn look(roots: &[&Path]) -> Call {
    let roots = roots.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    Call::Look { key: digits_of(&KEY), roots, wait_s: WAIT_S }
}

/// The number of the value with this fingerprint.
fn number(items: &[Item], wanted: &str) -> u32 {
    let number = |item: &Item| {
        let Item::Value { id, print } = item else { return None };
        (print == wanted).then_some(*id)
    };
    items.iter().find_map(number).expect("the value's fingerprint is in the answer")
}

fn code(end: End) -> String {
    let End::Failed { code, .. } = end else { panic!("it did not fail") };
    code
}

#[test]
fn no_frame_has_the_value_and_the_reports_have_the_names_that_the_driver_gave() {
    let value = keyroll_testkit::alphanumeric(33);
    let folder = tempfile::tempdir().unwrap();
    // The value is in the file's path too.
    let inner = folder.path().join(&value);
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("api.env"), format!("{NAME}={value}\n")).unwrap();
    let worker = Worker::start(&value);
    let (mut driver, hello) = Driver::new(&[9; 32]);
    assert_eq!(hello.root, rustix::process::geteuid().is_root());
    assert!(hello.now_unix_ms > 0 && !hello.user.is_empty() && hello.boot.len() == 16, "{hello:?}");

    let seen = driver.asked(look(&[folder.path()]));
    assert!(seen.iter().any(|item| matches!(item, Item::Scan(scan) if scan.stage == "files")));
    let print = FingerprintKey::new(&KEY).fingerprint(&SecretBytes::from(value.clone()));
    let id = number(&seen, &digits_of(print.as_bytes()));
    let versions = vec![VersionHere { number: 7, state: "current".to_owned(), values: vec![id] }];
    let managed = vec![ManagedHere { name: "acme".to_owned(), versions }];
    let named = Call::Name { managed, digits: vec![(id, DIGITS.to_owned())] };
    assert!(driver.asked(named.clone()).is_empty());

    let scan = scan_report(driver.asked(Call::Scan));
    let acme = scan.found.iter().find(|found| found.secret == "acme").expect("the secret by its name");
    assert!(acme.managed && acme.copies.len() == 1, "{acme:?}");
    assert!(acme.copies[0].place.contains("[redacted:value]"), "{acme:?}");
    let shown = &acme.values[0];
    assert!(shown.label.contains(&DIGITS[..6]) && shown.version == Some(7), "{shown:?}");
    assert!(acme.used_by.iter().any(|user| user.processes.contains(&worker.0.id())), "{acme:?}");
    assert!(scan.instances.iter().any(|one| one.pid == Some(worker.0.id()) && one.started_ticks > 0));

    driver.asked(Call::Memory { gib: 1, wait_s: WAIT_S });
    driver.asked(named);
    let why = driver.asked(Call::Why { what: "acme".to_owned() });
    assert_eq!(missed(&why).0, scan_report(driver.asked(Call::Scan)).missed);
    let why = why_reports(why);
    assert!(why.iter().flat_map(|one| &one.instances).any(|one| one.pid == Some(worker.0.id())), "{why:?}");
    let traced = driver.asked(Call::Trace { secret: "acme".to_owned(), evidence: true });
    let traced = trace_report(traced).expect("the secret");
    let evidence =
        traced.instances.iter().find(|one| one.pid == Some(worker.0.id())).map(|one| &one.evidence);
    assert!(evidence.is_some_and(|evidence| !evidence.is_empty()), "{traced:?}");

    let sent = driver.end();
    let found = sent.windows(value.len()).any(|part| part == value.as_bytes());
    assert!(!found, "the value is in a frame");
    // The digits are there: what was searched is what was sent.
    assert!(sent.windows(6).any(|part| part == &DIGITS.as_bytes()[..6]));
}

#[test]
fn a_secret_is_found_by_the_name_that_it_had_before_it_got_another() {
    let value = keyroll_testkit::alphanumeric(33);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api.env"), format!("{NAME}={value}\n")).unwrap();
    let (mut driver, _) = Driver::new(&[9; 32]);
    let seen = driver.asked(look(&[folder.path()]));
    let print = FingerprintKey::new(&KEY).fingerprint(&SecretBytes::from(value));
    let id = number(&seen, &digits_of(print.as_bytes()));
    let before = scan_report(driver.asked(Call::Scan));
    let holds = |place: &str| place.contains("api.env");
    let before = before.found.iter().find(|one| one.copies.iter().any(|copy| holds(&copy.place)));
    let before = before.expect("the secret").secret.clone();
    let versions = vec![VersionHere { number: 1, state: "current".to_owned(), values: vec![id] }];
    let managed = vec![ManagedHere { name: "renamed".to_owned(), versions }];
    driver.asked(Call::Name { managed, digits: Vec::new() });
    let why = why_reports(driver.asked(Call::Why { what: before }));
    assert!(why.iter().flat_map(|one| &one.sentences).any(|text| text.starts_with("renamed: ")), "{why:?}");
    driver.end();
}

#[test]
fn what_cannot_be_answered_fails_and_the_next_call_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (mut driver, _) = Driver::new(&[9; 32]);
    for call in [Call::Scan, Call::Memory { gib: 0, wait_s: 1 }, Call::Why { what: "api".to_owned() }] {
        assert_eq!(code(driver.ask(call).1), "K0801");
    }
    let gone = folder.path().join("gone");
    assert_eq!(code(driver.ask(look(&[&gone])).1), "K0934");
    let key = "0f".to_owned();
    assert_eq!(code(driver.ask(Call::Look { key, roots: Vec::new(), wait_s: 1 }).1), "K0801");
    driver.asked(look(&[folder.path()]));
    let secret = keyroll_testkit::alphanumeric(20);
    let trace = Call::Trace { secret: secret.clone(), evidence: false };
    assert_eq!(code(driver.ask(trace).1), "K0805");
    let versions = vec![VersionHere { number: 1, state: "broken".to_owned(), values: Vec::new() }];
    let managed = vec![ManagedHere { name: "acme".to_owned(), versions }];
    assert_eq!(code(driver.ask(Call::Name { managed, digits: Vec::new() }).1), "K0801");
    let facts = driver.asked(Call::Check);
    assert!(facts.len() == 6 && facts.iter().all(|item| matches!(item, Item::Fact(_))), "{facts:?}");
    let sent = driver.end();
    assert!(!sent.windows(secret.len()).any(|part| part == secret.as_bytes()), "what was typed is repeated");
}
