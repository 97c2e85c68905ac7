//! Values that are found only by fingerprint have the same locations and reports as stored values.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_leak::Rules;
use keyroll_needle::{FingerprintLabel, FingerprintSet, FingerprintState, NeedleId, Needles};
use keyroll_scanner::{
    Baseline, Detector, Finding, FindingKind, KnownValues, LeakState, Position, Report, Scan, SecretVersion,
    Tree,
};
use keyroll_secret::SecretBytes;

/// A text that no rule or name would report; made here, so that no file has it.
fn value(number: usize) -> String {
    format!("tR9vWq2LxZ7n/B5cY{}{number:04}", "+hJ4kPd8Gs")
}

const SECRET: &str = "openai";

fn state(number: usize) -> FingerprintState {
    if number.is_multiple_of(2) { FingerprintState::Current } else { FingerprintState::Retired }
}

fn needles(count: usize) -> KnownValues {
    let mut builder = Needles::builder();
    let mut versions = Vec::new();
    for number in 0..count {
        let id = NeedleId(u32::try_from(number).unwrap());
        builder = builder.add(id, &SecretBytes::from(value(number)));
        let retired = state(number) == FingerprintState::Retired;
        let (number, state) = (number as u64, state(number).name());
        versions.push(SecretVersion { secret: SECRET.into(), number, state, retired });
    }
    KnownValues { needles: Some(builder.build().unwrap()), versions, ..KnownValues::default() }
}

fn prints(count: usize) -> KnownValues {
    let mut builder = FingerprintSet::builder().unwrap();
    for number in 0..count {
        let label =
            FingerprintLabel { name: SECRET.to_owned(), version: number as u64, state: state(number) };
        builder.add(label, &SecretBytes::from(value(number))).unwrap();
    }
    let written = builder.build().to_bytes();
    KnownValues { prints: Some(FingerprintSet::from_bytes(&written).unwrap()), ..KnownValues::default() }
}

fn looked(known: KnownValues, look: impl FnOnce(&Scan<'_>)) -> Report {
    let detector = Detector::new(known, Baseline::new([7; 32]).key());
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

/// What was found, and where it begins and ends.
type KnownFinding = (String, Position, Position, String, LeakState);

fn told(report: &Report) -> Vec<KnownFinding> {
    let mut all: Vec<_> = report.findings.iter().map(one).collect();
    all.sort();
    all
}

fn one(one: &Finding) -> KnownFinding {
    let FindingKind::Known(version) = &one.what else { panic!("{}", one.what.rule()) };
    let commit = one.place.commit.as_ref().map(|commit| commit.first.clone()).unwrap_or_default();
    let path = one.place.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let way = format!("{commit} {path} {} v{}", one.place.inside.join("!"), version.number);
    // UTF-16 can be read in both orders, a byte apart.
    let wide = one.form.as_ref().is_some_and(|form| form.starts_with("UTF-16"));
    let at = |place: Position| if wide { Position { column: 0, ..place } } else { place };
    (way, at(one.place.start), at(one.place.end), one.identity.to_string(), one.what.state())
}

/// In another form for each number, one in two lines.
fn written(number: usize) -> String {
    let value = value(number);
    match number % 6 {
        0 => value,
        1 => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        2 => STANDARD.encode(format!("{}{value}:", "u".repeat(number % 3))),
        3 => value.replace('/', "\\/"),
        4 => value.replace('/', "%2F").replace('+', "%2B"),
        _ => {
            let (first, rest) = value.split_at(13);
            format!("{first}\\\n    {rest}")
        }
    }
}

#[test]
fn a_stream_of_many_windows_reports_the_same_by_fingerprint_as_by_value() {
    let mut text = String::new();
    for number in 0..600 {
        text.push_str(&"x ".repeat(4_000 + 7 * (number % 13)));
        text.push_str(&format!("\n{} end\n", written(number % 40)));
    }
    assert!(text.len() > 4 << 20);
    let by = |known: KnownValues| looked(known, |scan| scan.stream("stdin", &mut text.as_bytes()));
    let (values, prints) = (by(needles(40)), by(prints(40)));
    assert_eq!(values.findings.len(), 600);
    assert_eq!(told(&prints), told(&values));
    assert!(prints.findings.iter().all(|one| one.accepted.is_none()));
}

#[test]
fn a_long_value_is_found_where_windows_meet() {
    // Longer than what a rule matches, and written in lines.
    let mut bytes = vec![0_u8; 24_000];
    let mut draw = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut bytes {
        draw = draw.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        *byte = (draw >> 56) as u8;
    }
    let value = STANDARD.encode(bytes);
    let mut builder = FingerprintSet::builder().unwrap();
    let label = FingerprintLabel { name: SECRET.to_owned(), version: 1, state: FingerprintState::Previous };
    builder.add(label, &SecretBytes::from(value.clone())).unwrap();
    let lines: Vec<&str> =
        value.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let text = format!("{}{}\nend\n", "x\n".repeat((1 << 19) - 15_000), lines.join("\n"));
    let known = KnownValues { prints: Some(builder.build()), ..KnownValues::default() };
    let found = looked(known, |scan| scan.stream("stdin", &mut text.as_bytes()));
    assert_eq!(found.findings.len(), 1);
    let place = &found.findings[0].place;
    assert_eq!(
        (place.start.line, place.end.line),
        ((1 << 19) - 14_999, (1 << 19) - 15_000 + lines.len() as u64)
    );
}

#[test]
fn trees_and_archives_report_the_same_by_fingerprint_as_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 0..12 {
        fs::write(root.join(format!("{number}.txt")), format!("a\n{}\nb", written(number))).unwrap();
    }
    let wide: Vec<u8> = value(0).encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(root.join("wide.bin"), [b"\x01\x02\x03".as_slice(), &wide, b"\x05"].concat()).unwrap();
    let packed = Command::new("tar").args(["-czf", "all.tgz", "3.txt", "5.txt"]).current_dir(root).status();
    assert!(packed.unwrap().success());
    let tree = || Tree { paths: vec![root.to_owned()], ignored_left_out: true };
    let by = |known: KnownValues| looked(known, |scan| scan.tree(&tree()));
    let (values, prints) = (by(needles(12)), by(prints(12)));
    assert_eq!(values.findings.len(), 15);
    assert_eq!(told(&prints), told(&values));
}

fn git(folder: &Path, arguments: &[&str]) {
    let made = Command::new("git")
        .args(["-c", "user.name=One Person", "-c", "user.email=one@example.org", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn histories_report_the_same_by_fingerprint_as_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let filler: String = (0..300).map(|number| format!("line {number} of the file\n")).collect();
    for number in 0..12 {
        // Each differs little from the one before, so most objects are stored as deltas.
        let text = format!("{number}\n{filler}key {}\n{filler}{}\n", written(number), written(0));
        fs::write(root.join("a.txt"), text).unwrap();
        git(root, &["add", "--all"]);
        git(root, &["commit", "--quiet", "--message", "a change"]);
    }
    git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
    let by = |known: KnownValues| looked(known, |scan| scan.history(root).unwrap());
    let (values, prints) = (by(needles(12)), by(prints(12)));
    assert!(values.findings.len() >= 11, "{}", values.findings.len());
    assert_eq!(told(&prints), told(&values));
}

#[test]
fn what_a_value_a_fingerprint_and_a_rule_find_at_one_place_is_reported_once() {
    let token = value(0);
    let mut builder = FingerprintSet::builder().unwrap();
    // The file was written before the version was retired.
    let label = FingerprintLabel { name: "api".to_owned(), version: 7, state: FingerprintState::Current };
    let other = FingerprintLabel { name: "other".to_owned(), version: 1, state: FingerprintState::Previous };
    let value = SecretBytes::from(token.clone());
    builder.add(label, &value).unwrap();
    builder.add(other, &SecretBytes::from(self::value(1))).unwrap();
    let written = builder.build().to_bytes();
    let prints = || FingerprintSet::from_bytes(&written).ok();
    let version = SecretVersion { secret: "api".into(), number: 7, state: "retired", retired: true };
    let needles = Needles::builder().add(NeedleId(0), &value).build().unwrap();
    let both = KnownValues {
        needles: Some(needles),
        versions: vec![version],
        prints: prints(),
        ..KnownValues::default()
    };
    let alone = KnownValues { prints: prints(), ..KnownValues::default() };
    let coded = STANDARD.encode(format!("u{token}:"));
    let text = format!("api_token = \"{token}\"\nkey = \"{}\"\nsent {coded} to x\n", self::value(1));
    let scan = |known: KnownValues| {
        let detector = Detector::new(known, Baseline::new([7; 32]).key())
            .with_rules(Rules::shipped().unwrap())
            .with_names();
        let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
        scan.stream("stdin", &mut text.as_bytes());
        scan.finish()
    };
    let (both, alone, none) = (scan(both), scan(alone), scan(KnownValues::default()));
    let states = |report: &Report| -> Vec<_> {
        report.findings.iter().map(|one| (one.what.rule().to_owned(), one.what.state())).collect()
    };
    let told = |api: LeakState| {
        [("api", api), ("other", LeakState::Live), ("api", api)].map(|(name, state)| (name.to_owned(), state))
    };
    assert_eq!(states(&both), told(LeakState::Retired));
    assert_eq!(states(&alone), told(LeakState::Live));
    assert_eq!(states(&none)[0], ("named-secret".to_owned(), LeakState::Unknown));
    assert_eq!(both.findings[0].identity, alone.findings[0].identity);
    assert_ne!(both.findings[0].identity, none.findings[0].identity);
}
