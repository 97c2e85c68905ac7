//! Trees and archives, also broken ones, with archives that other programs made.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, PassedOver, Report, Scan, Tree};

use crate::tars::header;

/// Made here, so that no file has it.
fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn baseline() -> Baseline {
    Baseline::new([7; 32])
}

fn scan_with(root: &Path, ignored_left_out: bool, archives: bool, accepted: &Baseline) -> Report {
    let seeker = Detector::new(KnownValues::default(), accepted.key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let today = "2026-11-21".parse().unwrap();
    let scan = Scan::new(&seeker, today);
    let scan = if archives { scan } else { scan.without_archives() };
    scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out });
    let mut report = scan.finish();
    report.mark(accepted, today);
    report
}

fn scan(root: &Path) -> Report {
    scan_with(root, true, true, &baseline())
}

/// `path › member:line`, without the root.
fn places(root: &Path, report: &Report) -> Vec<String> {
    let place = |one: &keyroll_scanner::Finding| {
        let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap().display().to_string();
        let way: Vec<String> = std::iter::once(path).chain(one.place.inside.iter().cloned()).collect();
        format!("{}:{}", way.join(" › "), one.place.start.line)
    };
    report.findings.iter().map(place).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn made_by(program: &str, arguments: &[&str], folder: &Path) {
    let made = Command::new(program).args(arguments).current_dir(folder).status().unwrap();
    assert!(made.success(), "{program} {arguments:?}");
}

#[test]
fn a_tree_is_scanned_but_for_what_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let line = format!("x\ntoken: {}\n", token(1));
    for name in ["a.rs", ".hidden/b", "ignored/c", "left.tmp", "sub/only.log", "sub/kept.log", ".git/config"]
    {
        write(root, name, &line);
    }
    write(root, ".gitignore", "ignored/\n");
    write(root, ".keyrollignore", "*.tmp\n");
    write(root, "sub/.gitignore", "only.log\n");
    std::os::unix::fs::symlink("a.rs", root.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), [".git/config:2", ".hidden/b:2", "a.rs:2", "sub/kept.log:2"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(report.passed_over, PassedOver { histories: 1, ignored: 3, links: 1, devices: 1, kernel: 0 });
    let all = scan_with(root, false, true, &baseline());
    let kept = [".git/config:2", ".hidden/b:2", "a.rs:2", "ignored/c:2", "left.tmp:2", "sub/kept.log:2"];
    assert_eq!(places(root, &all), [&kept[..], &["sub/only.log:2"]].concat());
    let same: Vec<_> = all.findings.iter().map(|one| &one.identity).collect();
    assert!(same.windows(2).all(|two| two[0] == two[1]), "one value is one identity");
}

#[test]
fn archives_of_other_programs_are_opened_and_those_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "in/etc/app.env", &format!("A=1\nTOKEN={}\n", token(2)));
    write(root, "in/plain.txt", "nothing\n");
    made_by("tar", &["-czf", "one.tar.gz", "-C", "in", "etc", "plain.txt"], root);
    made_by("tar", &["-cf", "two.tar", "one.tar.gz", "in/etc/app.env"], root);
    made_by("python3", &["-m", "zipfile", "-c", "three.jar", "two.tar", "in/etc/app.env"], root);
    made_by("gzip", &["-k", "in/etc/app.env"], root);
    fs::remove_dir_all(root.join("in/plain.txt")).ok();
    let report = scan(root);
    let mut all = places(root, &report);
    all.sort();
    assert_eq!(
        all,
        [
            "in/etc/app.env.gz:2",
            "in/etc/app.env:2",
            "one.tar.gz › etc/app.env:2",
            "three.jar › app.env:2",
            "three.jar › two.tar › in/etc/app.env:2",
            "three.jar › two.tar › one.tar.gz › etc/app.env:2",
            "two.tar › in/etc/app.env:2",
            "two.tar › one.tar.gz › etc/app.env:2",
        ]
    );
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let closed = scan_with(root, true, false, &baseline());
    assert!(!places(root, &closed).iter().any(|place| place.contains('›')));
}

#[test]
fn what_cannot_be_read_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "in/a.env", &format!("TOKEN={}\n", token(3)));
    made_by("tar", &["-czf", "cut.tar.gz", "in"], root);
    let cut = fs::read(root.join("cut.tar.gz")).unwrap();
    fs::write(root.join("cut.tar.gz"), &cut[..cut.len() / 2]).unwrap();
    made_by("python3", &["-m", "zipfile", "-c", "bad.zip", "in/a.env"], root);
    let mut zip = fs::read(root.join("bad.zip")).unwrap();
    let end = zip.len();
    zip.truncate(end - 10);
    fs::write(root.join("bad.zip"), zip).unwrap();
    fs::write(root.join("some.7z"), b"7z\xbc\xaf\x27\x1crest").unwrap();
    fs::write(root.join("some.rar"), b"Rar!\x1a\x07\x01\0rest").unwrap();
    fs::write(root.join("old.lz4"), b"\x02\x21\x4c\x18rest").unwrap();
    // Five times in itself: deeper than is opened.
    made_by(
        "sh",
        &["-c", "cp in/a.env deep; for i in 1 2 3 4 5; do gzip -c deep > next; mv next deep; done"],
        root,
    );
    let report = scan(root);
    assert_eq!(places(root, &report), ["in/a.env:1"]);
    let why = |name: &str| {
        let one = report.skipped.iter().find(|one| one.what.contains(name));
        one.unwrap_or_else(|| panic!("{name} is not named: {:?}", report.skipped)).why.clone()
    };
    assert!(why("some.7z").contains("7-Zip, which keyroll does not open"));
    assert!(why("some.rar").contains("RAR, which keyroll does not open"));
    assert!(why("old.lz4").contains("not a block of LZ4's legacy format"));
    assert!(why("deep").contains("4 levels deep"));
    assert!(!why("cut.tar.gz").is_empty() && !why("bad.zip").is_empty());
}

#[test]
fn a_bomb_ends_where_the_limit_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Packed three times: 1.5 GiB of zeros in a few kilobytes.
    let script = "head -c 1610612736 /dev/zero | gzip -1 | gzip -9 | gzip -9 > bomb.gz";
    made_by("sh", &["-c", script], root);
    assert!(fs::metadata(root.join("bomb.gz")).unwrap().len() < 1 << 20);
    let report = scan(root);
    assert!(report.findings.is_empty() && report.skipped.len() == 1, "{:?}", report.skipped);
    assert!(report.skipped[0].why.contains("unpacks to far more"), "{:?}", report.skipped);
}

#[test]
fn windows_writes_utf_16() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = format!("a = 1\r\nkey = {}\r\n", token(4));
    let bytes: Vec<u8> = [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(root.join("notes.txt"), bytes).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), ["notes.txt:2"]);
    assert_eq!(report.findings[0].place.start.column, 7);
}

#[test]
fn what_was_accepted_stays_so_when_its_line_moves_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a.rs", &format!("key = {}\n", token(5)));
    let mut accepted = baseline();
    let report = scan_with(root, true, true, &accepted);
    accepted.accept(&report.findings[0], None, "made by a test", None);
    accepted = Baseline::read(&accepted.to_text()).unwrap();
    write(root, "a.rs", &format!("\n\n  other = {}\nkey = {}\n", token(5), token(6)));
    let report = scan_with(root, true, true, &accepted);
    let open: Vec<u64> = report.open().map(|one| one.place.start.line).collect();
    assert_eq!((report.findings.len(), open), (2, vec![4]));
    accepted.accept(&report.findings[1], None, "for a while", Some("2026-11-20".parse().unwrap()));
    let report = scan_with(root, true, true, &accepted);
    let late = report.open().next().unwrap();
    assert_eq!(late.remark.as_deref(), Some("the baseline accepted it until 2026-11-20"));
    assert!(!accepted.to_text().contains("kD93"), "no value is in it");
}

#[test]
fn a_baseline_with_an_error_accepts_nothing() {
    let good = baseline().to_text();
    assert!(Baseline::read(&good).unwrap().is_empty());
    for (bad, says) in [
        (good.replace("version = 1", "version = 2"), "version is 2"),
        (good.replace("key = \"", "key = \"x"), "key"),
        (
            format!("{good}\n[[accepted]]\nidentity = 'x'\nrule = 'r'\nreason = 'r'\n"),
            "number 1 has no valid identity",
        ),
        (
            format!("{good}\n[[accepted]]\nidentity = '{}'\nrule = 'r'\nreason = ' '\n", "a".repeat(32)),
            "no valid reason",
        ),
        (format!("{good}\nother = 1\n"), "unknown field"),
    ] {
        let error = Baseline::read(&bad).map(drop).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn many_files_and_threads_come_to_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut expected: Vec<PathBuf> = Vec::new();
    for number in 0..500 {
        let path = root.join(format!("d{}/f{number:03}", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "x {}", if number % 5 == 0 { token(number) } else { "nothing".to_owned() }).unwrap();
        if number % 5 == 0 {
            expected.push(path);
        }
    }
    expected.sort();
    let report = scan(root);
    let found: Vec<PathBuf> = report.findings.iter().map(|one| one.place.path.clone().unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(report.texts, 500);
}

#[test]
fn the_memory_of_a_process_is_scanned() {
    let value = token(7);
    let mut child = Command::new("sh")
        .args(["-c", "read line; read end"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "x {value} y").unwrap();
    let accepted = baseline();
    let seeker = Detector::new(KnownValues::default(), accepted.key()).with_rules(Rules::shipped().unwrap());
    let look = || {
        let scan = Scan::new(&seeker, "2026-11-21".parse().unwrap());
        scan.process(child.id()).unwrap();
        scan.finish()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let report = loop {
        let report = look();
        if !report.findings.is_empty() || std::time::Instant::now() > until {
            break report;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let one = report.findings.first().expect("its value");
    assert_eq!(one.place.source.as_deref(), Some(format!("process {}", child.id()).as_str()));
    writeln!(input, "end").unwrap();
    child.wait().unwrap();
    let scan = Scan::new(&seeker, "2026-11-21".parse().unwrap());
    assert!(scan.process(child.id()).is_err(), "it has ended");
}

/// Bytes that a reader of the format never reaches.
#[test]
fn what_is_between_the_members_of_an_archive_is_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let line = |number| format!("\nk {} \n", token(number)).into_bytes();
    let mut tar =
        [header("odd", b'0', 512), format!("{:<511}\n", token(1)).into_bytes(), vec![0; 1024]].concat();
    tar.extend(line(2));
    fs::write(root.join("behind.tar"), &tar).unwrap();
    fs::write(root.join("before.zip"), [b"PK\x05\x06".as_slice(), &[0; 18], &line(3)].concat()).unwrap();
    fs::write(root.join("broken.zip"), [b"PK\x03\x04".as_slice(), &line(4)].concat()).unwrap();
    fs::write(root.join("closed.7z"), [b"7z\xbc\xaf\x27\x1c".as_slice(), &line(5)].concat()).unwrap();
    write(root, "in/app.env", "PORT=1\n");
    made_by("tar", &["-cf", "inner.tar", "in/app.env"], root);
    let inner = [fs::read(root.join("inner.tar")).unwrap(), line(6)].concat();
    fs::write(root.join("inner.tar"), inner).unwrap();
    made_by("gzip", &["inner.tar"], root);
    let report = scan(root);
    let found = |name: &str| places(root, &report).iter().filter(|place| place.starts_with(name)).count();
    assert_eq!(found("behind.tar:") + found("behind.tar \u{203a}"), 2, "{:?}", places(root, &report));
    for name in ["before.zip", "broken.zip", "closed.7z", "inner.tar.gz"] {
        assert_eq!(found(name), 1, "{name}: {:?}", places(root, &report));
    }
}

#[test]
fn whatever_a_member_says_that_it_is_its_bytes_are_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = format!("{:<511}\n", token(8));
    let mut tar = Vec::new();
    for kind in [b'5', b'2', b'7', b'Z'] {
        tar.extend(header("odd", kind, 512));
        tar.extend(text.as_bytes());
    }
    tar.extend([0; 1024]);
    fs::write(root.join("odd.tar"), tar).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), vec!["odd.tar › odd:1"; 4]);
    // Long names are reported, and take no more memory than the limit for names.
    let name = format!("{}/app.env", "d".repeat(150));
    write(root, &format!("in/{name}"), &format!("TOKEN={}\n", token(9)));
    fs::remove_file(root.join("odd.tar")).unwrap();
    for form in ["gnu", "pax"] {
        made_by(
            "tar",
            &[&format!("--format={form}"), "-cf", &format!("{form}.tar"), "-C", "in", &name],
            root,
        );
    }
    fs::remove_dir_all(root.join("in")).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), [format!("gnu.tar › {name}:1"), format!("pax.tar › {name}:1")]);
}

#[test]
fn what_was_read_before_it_broke_is_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a", &format!("x {} y\n{}\n", token(10), "more of it\n".repeat(20)));
    made_by("gzip", &["a"], root);
    let mut broken = fs::read(root.join("a.gz")).unwrap();
    let end = broken.len();
    broken[end - 6] ^= 1;
    fs::write(root.join("a.gz"), broken).unwrap();
    // Only called so: it is a text.
    write(root, "b", &format!("BZh {}\n", token(11)));
    fs::write(root.join("c"), [b"\xff\xfe", token(12).as_bytes(), b"\n"].concat()).unwrap();
    write(root, "d.zip", &format!("PK\u{3}\u{4} {}\n", token(13)));
    let report = scan(root);
    assert_eq!(places(root, &report), ["a.gz:1", "b:1", "c:1", "d.zip:1"]);
    let named: Vec<&str> = report.skipped.iter().map(|one| one.what.rsplit('/').next().unwrap()).collect();
    assert_eq!(named, ["a.gz", "d.zip"]);
}

#[test]
fn rules_of_a_tree_that_are_no_files_leave_nothing_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "good/a", &token(14));
    write(root, "bad/b", &token(15));
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("bad/.gitignore"), rustix::fs::Mode::RWXU).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), ["good/a:1"]);
    assert!(report.skipped.iter().any(|one| one.what.ends_with("/bad")), "{:?}", report.skipped);
    std::os::unix::fs::symlink("/dev/zero", root.join(".gitignore")).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), ["bad/b:1", "good/a:1"]);
    assert!(report.skipped[0].why.contains("nothing is ignored"), "{:?}", report.skipped);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let report = scan(&root.join("pipe"));
    assert!(
        report.texts == 0 && report.skipped.iter().any(|one| one.why.contains("--stdin")),
        "{:?}",
        report.skipped
    );
}

#[test]
fn a_reason_with_a_value_in_it_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let value = "kD93hfQ0plm4XyT7bQe1";
    let lines = format!(
        "a /* keyroll:allow old */ connect(\"postgres://app:{value}@db/x\");\n{} # keyroll:allow like {}\n",
        token(16),
        token(17)
    );
    write(root, "a.rs", &lines);
    let report = scan(root);
    assert!(report.findings.len() >= 2);
    for one in &report.findings {
        let reason = &one.accepted.as_ref().unwrap().reason;
        assert!(!reason.contains(value) && !reason.contains("kD93"), "{reason}");
    }
    let error = Baseline::read(&format!("DB_PASSWORD = {value}\nkey = '{value}'\n")).map(drop).unwrap_err();
    assert!(!error.to_string().contains("kD93") && error.to_string().contains("line 1"), "{error}");
    let unknown = Baseline::read(&format!("{value} = 1\n")).map(drop).unwrap_err();
    assert!(!unknown.to_string().contains("kD93"), "{unknown}");
}

#[test]
fn a_line_of_any_length_is_read_by_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let filler = |count: usize| {
        (0..count).map(|at| format!("\"n{at}\": \"some words of text\", ")).collect::<String>()
    };
    let line = |before: usize| {
        format!("{{{}\"password\": \"kD93hfQ0plm4\", {}\"z\": 1}}", filler(before), filler(9))
    };
    write(root, "short.json", &line(50));
    write(root, "long.json", &line(1_000));
    // Longer than what is read at once.
    write(root, "longer.json", &line(90_000));
    assert_eq!(places(root, &scan(root)), ["long.json:1", "longer.json:1", "short.json:1"]);
}

#[test]
fn what_is_piped_in_is_read_as_settings() {
    let accepted = baseline();
    let seeker = Detector::new(KnownValues::default(), accepted.key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let scan = Scan::new(&seeker, "2026-11-21".parse().unwrap());
    scan.stream("stdin", &mut "password: lake-house7\n".as_bytes());
    assert_eq!(scan.finish().findings.len(), 1);
}

#[test]
fn what_a_zip_has_beside_its_members_or_under_the_name_of_a_folder_is_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let script = format!(
        "import zipfile
def made(name, member, text):
    with zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr(member, 'some words ' * 50 + text)
made('behind.zip', 'a', '')
with open('behind.zip', 'ab') as z: z.write(b'\\nk {} \\n')
made('folder.zip', 'x/', '{}')
made('closed.zip', 'a', '')
z = bytearray(open('closed.zip', 'rb').read())
z[6] = z[z.find(b'PK\\x01\\x02') + 8] = 1
open('closed.zip', 'wb').write(z)",
        token(1),
        token(2)
    );
    made_by("python3", &["-c", &script], root);
    made_by("gzip", &["behind.zip"], root);
    let report = scan(root);
    let found = places(root, &report);
    assert!(found.len() == 2 && found[0].starts_with("behind.zip.gz:"), "{found:?}");
    assert_eq!(found[1], "folder.zip \u{203a} x/:1");
    assert!(
        report.skipped.iter().any(|one| one.what.ends_with("closed.zip \u{203a} a")),
        "{:?}",
        report.skipped
    );
}

#[test]
fn what_only_begins_as_if_it_was_packed_is_a_text() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", &format!("BZh9 {}\n", token(1)));
    let report = scan(folder.path());
    assert_eq!(places(folder.path(), &report), ["a:1"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn holes_in_a_tar_are_not_filled() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let script = format!(
        "truncate -s 1G sparse; echo 'k {}' >> sparse; tar --format=gnu -cSf sparse.tar sparse; rm sparse",
        token(1)
    );
    made_by("sh", &["-c", &script], root);
    let report = scan(root);
    assert_eq!(places(root, &report), ["sparse.tar \u{203a} sparse:1"]);
    assert!(report.bytes < 1 << 20, "{}", report.bytes);
}

#[test]
fn rules_that_are_too_large_leave_nothing_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "bad/.gitignore", &"# nothing\n".repeat(500_000));
    write(root, "bad/a", &token(1));
    write(root, ".git/config", &token(2));
    let report = scan(root);
    assert_eq!(places(root, &report), [".git/config:1"]);
    assert!(report.skipped.iter().any(|one| one.what.ends_with("/bad")), "{:?}", report.skipped);
    assert_eq!(places(root, &scan(&root.join(".git"))), [".git/config:1"]);
}

#[test]
fn a_baseline_that_is_too_large_is_none() {
    let error = Baseline::read(&" ".repeat((64 << 20) + 1)).map(drop).unwrap_err().to_string();
    assert_eq!(error, "it is larger than 64 MiB");
}
