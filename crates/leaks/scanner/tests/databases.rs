//! SQLite databases, made by its own command: values that page boundaries split are found, and nothing of a schema is
//! run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Tree};

/// Bytes of a page in these tests.
const PAGE: usize = 512;

fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn scan(root: &Path) -> Report {
    let baseline = Baseline::new([7; 32]);
    let detector = Detector::new(KnownValues::default(), baseline.key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out: true });
    scan.finish()
}

/// `path › table › row › column`, without the root.
fn places(root: &Path, report: &Report) -> Vec<String> {
    let place = |one: &keyroll_scanner::Finding| {
        let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap().display().to_string();
        std::iter::once(path).chain(one.place.inside.iter().cloned()).collect::<Vec<_>>().join(" › ")
    };
    report.findings.iter().map(place).collect()
}

fn sqlite(path: &Path, sql: &str) {
    let mut made =
        Command::new("sqlite3").arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    made.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    assert!(made.wait().unwrap().success());
}

/// With pages of [`PAGE`] bytes.
fn database(path: &Path, sql: &str) {
    sqlite(path, &format!("pragma page_size = {PAGE}; pragma secure_delete = off; {sql}"));
}

fn shell(script: &str, folder: &Path) {
    assert!(Command::new("sh").args(["-ec", script]).current_dir(folder).status().unwrap().success());
}

#[test]
fn a_value_is_found_wherever_pages_cut_it_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut sql = "begin; create table texts(id integer primary key, name text, body text);".to_owned();
    for pad in 400..1_000 {
        sql += &format!(
            "insert into texts values({pad}, 'n', '{} {} {}');",
            "x".repeat(pad),
            token(pad),
            "y".repeat(3 * pad)
        );
    }
    database(&root.join("app.db"), &(sql + "commit;"));
    let report = scan(root);
    let expected: Vec<String> =
        (400..1_000).map(|row| format!("app.db › texts › row {row} › body")).collect();
    let found: BTreeSet<String> = places(root, &report).into_iter().collect();
    assert_eq!(found, expected.into_iter().collect());
    assert_eq!(report.findings.len(), found.len(), "what its bytes tell too is told once");
    assert_eq!((report.texts, report.findings[0].place.start.column), (1, 402));
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    // The raw bytes alone do not have all of them: about twenty of five hundred values are split.
    fs::write(root.join("raw"), [b"x", fs::read(root.join("app.db")).unwrap().as_slice()].concat()).unwrap();
    let raw = scan(&root.join("raw")).findings.len();
    assert!(raw > 500 && raw < 590, "{raw}");
}

#[test]
fn what_is_in_rows_is_opened_and_read_by_its_names_and_what_was_deleted_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let packed = root.join("packed");
    fs::write(&packed, token(1)).unwrap();
    let sql = format!(
        "pragma secure_delete = off;
         create table \"a b\"(\"c d\" text, packed blob, primary key(\"c d\")) without rowid;
         insert into \"a b\" values('{{\"api_key\": \"8f3kQz71LmP0\"}}', readfile('packed.gz'));
         create table gone(t text default '{}', u int);
         insert into gone values('key {}', 1);
         insert into gone values('{}', 2);
         delete from gone where u = 1;
         create table wide(t);
         create virtual table words using fts5(w);
         insert into words values('{}');
         create table computed(t text, u text generated always as (t || 'x') virtual);
         insert into computed(t) values('{}');
         create view seen as select load_extension('none') as x;
         create trigger run after insert on gone begin select load_extension('none'); end;",
        token(2),
        token(3),
        token(4),
        token(5),
        token(6),
    );
    shell("gzip -n packed", root);
    let path = root.join("app.db");
    let made = Command::new("sqlite3").args([path.as_os_str(), sql.as_ref()]).current_dir(root).status();
    assert!(made.unwrap().success());
    fs::remove_file(root.join("packed.gz")).unwrap();
    sqlite(
        &root.join("wide.db"),
        &format!(
            "pragma encoding = 'UTF-16le'; create table w(t text); insert into w values('é {}');",
            token(7)
        ),
    );
    let report = scan(root);
    let mut found = places(root, &report);
    found.sort();
    let expected = [
        "app.db",
        "app.db › a b › c d",
        "app.db › a b › packed",
        "app.db › computed › row 1 › t",
        "app.db › gone › row 2 › t",
        "app.db › sqlite_schema › row 3 › sql",
        "app.db › words_content › row 1 › c0",
        "wide.db › w › row 1 › t",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?} {:?}", report.skipped);
    for place in expected {
        let same =
            |one: &String| *one == place || place.contains("sqlite_schema") && one.contains("sqlite_schema");
        assert!(found.iter().any(same), "{place} is not in {found:?}");
    }
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn a_cell_is_read_under_the_name_of_its_column_or_of_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let value = "8f3kQz71LmP0";
    let sql = format!(
        "create table users(id integer primary key, login text, password text, api_token text);
         insert into users values(1, '{value}a', '{value}b', '{value}c');
         insert into users values(2, 'x', '$2b$12$abcdefghijklmnopqrstuv', '8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e');
         create table wp_options(option_id int, option_name text, option_value text);
         insert into wp_options values(1, 'smtp_password', '{value}d');
         insert into wp_options values(2, 'smtp_host', '{value}e');
         create table config(k text primary key, v text) without rowid;
         insert into config values('API_KEY2', '{value}f');
         create table notes(name text, body text);
         insert into notes values('password', '{value}g');"
    );
    database(&root.join("app.db"), &sql);
    let report = scan(root);
    let expected = [
        "app.db › config › v",
        "app.db › users › row 1 › api_token",
        "app.db › users › row 1 › password",
        "app.db › wp_options › row 1 › option_value",
    ];
    let found: BTreeSet<String> = places(root, &report).into_iter().collect();
    assert_eq!(found, expected.map(str::to_owned).into());
    assert!(report.findings.iter().all(|one| (one.place.start.line, one.place.start.column) == (1, 1)));
}

#[test]
fn what_is_in_a_log_is_read_as_rows_and_nothing_is_written_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let program = "import os, sqlite3, sys
c = sqlite3.connect('app.db', isolation_level=None)
c.execute('pragma page_size=512'); c.execute('pragma journal_mode=wal'); c.execute('pragma wal_autocheckpoint=0')
c.execute('create table t(id integer primary key, body text)')
for pad in range(460, 500):
    c.execute('insert into t values(?, ?)', (pad, 'x' * pad + ' ' + sys.argv[1] + str(pad)))
os._exit(0)";
    let begin = token(1);
    let made =
        Command::new("python3").args(["-c", program, &begin[..23]]).current_dir(root).status().unwrap();
    assert!(made.success() && fs::metadata(root.join("app.db-wal")).unwrap().len() > 0);
    let state = || -> BTreeSet<(String, Vec<u8>, SystemTime)> {
        let files = fs::read_dir(root).unwrap().map(Result::unwrap);
        let of = |file: fs::DirEntry| {
            let bytes = fs::read(file.path()).unwrap();
            (file.file_name().into_string().unwrap(), bytes, file.metadata().unwrap().modified().unwrap())
        };
        files.map(of).collect()
    };
    let before = state();
    let report = scan(&root.join("app.db"));
    assert_eq!(report.findings.len(), 40, "{:?}", report.skipped);
    assert!(report.findings.iter().all(|one| one.place.inside.len() == 3));
    assert_eq!(state(), before);
}

#[test]
fn a_database_in_an_archive_or_a_stream_is_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let body = format!("{} {}", "x".repeat(485), token(1));
    database(&root.join("in.db"), &format!("create table t(b text); insert into t values('{body}');"));
    shell("tar -czf all.tgz in.db; zstd -q in.db -o in.zst", root);
    let report = scan(root);
    let mut found = places(root, &report);
    found.sort();
    assert_eq!(found, ["all.tgz › in.db › t › row 1 › b", "in.db › t › row 1 › b", "in.zst › t › row 1 › b"]);
}

#[test]
fn what_is_no_database_or_a_broken_one_is_scanned_as_raw_bytes_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut sql = "create table t(b text);".to_owned();
    for row in 0..200 {
        sql += &format!("insert into t values('key {}');", token(row));
    }
    database(&root.join("good.db"), &sql);
    let good = fs::read(root.join("good.db")).unwrap();
    fs::remove_file(root.join("good.db")).unwrap();
    fs::write(root.join("called.db"), format!("SQLite format 3\0 {}\n", token(1))).unwrap();
    fs::write(root.join("cut.db"), &good[..good.len() / 2]).unwrap();
    let mut holed = good.clone();
    holed[8 * PAGE..9 * PAGE].fill(0xFF);
    fs::write(root.join("holed.db"), holed).unwrap();
    std::os::unix::fs::symlink("holed.db", root.join("link.db")).unwrap();
    let report = scan(root);
    let names: Vec<&str> = report.skipped.iter().map(|one| one.what.rsplit('/').next().unwrap()).collect();
    assert_eq!(names.len(), 3, "{:?}", report.skipped);
    assert!(
        report.skipped.iter().all(|one| one.why.ends_with("scanned as raw bytes")),
        "{:?}",
        report.skipped
    );
    let count = |name: &str| places(root, &report).iter().filter(|place| place.starts_with(name)).count();
    assert_eq!((count("called.db"), count("link.db")), (1, 0));
    assert!(count("cut.db") > 80 && count("holed.db") > 180, "{} {}", count("cut.db"), count("holed.db"));
    for one in &report.skipped {
        assert!(!one.why.contains("kD93"), "{}", one.why);
    }
}

/// An interior page of a table, all of whose cells name one other page.
fn interior(next: u32) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let cells = (PAGE - 12) / 7;
    page[0] = 5;
    page[3..5].copy_from_slice(&u16::try_from(cells).unwrap().to_be_bytes());
    page[5..7].copy_from_slice(&u16::try_from(PAGE - 5 * cells).unwrap().to_be_bytes());
    page[8..12].copy_from_slice(&next.to_be_bytes());
    for cell in 0..cells {
        let at = PAGE - 5 * (cell + 1);
        page[12 + 2 * cell..14 + 2 * cell].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
        page[at..at + 4].copy_from_slice(&next.to_be_bytes());
        page[at + 4] = u8::try_from(cell).unwrap();
    }
    page
}

/// With so many pages, as its header says.
fn finished(mut pages: Vec<u8>) -> Vec<u8> {
    let count = u32::try_from(pages.len() / PAGE).unwrap();
    pages[28..32].copy_from_slice(&count.to_be_bytes());
    let version = pages[24..28].to_vec();
    pages[92..96].copy_from_slice(&version);
    pages
}

#[test]
fn pages_that_name_each_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let made = root.join("made");
    database(&made, "create table t(b); insert into t values(null); insert into t values(1);");
    let plain = fs::read(&made).unwrap();
    fs::remove_file(&made).unwrap();
    assert_eq!(plain.len(), 2 * PAGE);
    let leaf = plain[PAGE..].to_vec();
    // Sixteen levels of 71 names each: more rows than anybody reads, in nine kilobytes.
    let mut fan = plain[..PAGE].to_vec();
    for level in 3..=18 {
        fan.extend(interior(level));
    }
    fan.extend(leaf);
    fs::write(root.join("fan.db"), finished(fan)).unwrap();
    let mut cycle = plain[..PAGE].to_vec();
    cycle.extend(interior(2));
    fs::write(root.join("cycle.db"), finished(cycle)).unwrap();
    // A long value whose last pages name the first again.
    let long = format!("create table t(b text); insert into t values('{}');", "x".repeat(200_000));
    database(&made, &long);
    let mut chain = fs::read(&made).unwrap();
    fs::remove_file(&made).unwrap();
    let pages = chain.len() / PAGE;
    for page in pages / 2..pages {
        chain[page * PAGE..page * PAGE + 4].copy_from_slice(&3_u32.to_be_bytes());
    }
    fs::write(root.join("chain.db"), chain).unwrap();
    let report = scan(root);
    assert!(report.findings.is_empty());
    let why =
        |name: &str| report.skipped.iter().find(|one| one.what.contains(name)).map(|one| one.why.as_str());
    assert!(
        why("fan.db").is_some_and(|why| why.contains("names pages more than once")),
        "{:?}",
        report.skipped
    );
    assert!(why("cycle.db").is_some(), "{:?}", report.skipped);
    assert!(report.bytes < 4 << 20, "{} bytes were read", report.bytes);
}

#[test]
fn a_cut_database_in_something_else_is_read_as_far_as_it_goes_and_a_log_that_is_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let rows: String = (0..200).map(|row| format!("insert into t values('key {}');", token(row))).collect();
    database(&root.join("cut.db"), &format!("create table t(b text);{rows}"));
    database(&root.join("app.db"), &format!("create table t(b text); insert into t values('{}');", token(1)));
    fs::File::create(root.join("app.db-wal")).unwrap().set_len(65 << 20).unwrap();
    shell("gzip -n cut.db", root);
    let whole = fs::read(root.join("cut.db.gz")).unwrap();
    fs::write(root.join("cut.db.gz"), &whole[..whole.len() / 2]).unwrap();
    let report = scan(root);
    let found = places(root, &report);
    assert!(found.iter().filter(|place| place.starts_with("cut.db.gz")).count() > 10, "{found:?}");
    assert!(found.iter().any(|place| place == "app.db › t › row 1 › b"), "{found:?}");
    let named = |name: &str, why: &str| {
        report.skipped.iter().any(|one| one.what.ends_with(name) && one.why.contains(why))
    };
    assert!(named("cut.db.gz", "") && named("app.db", "only in the log"), "{:?}", report.skipped);
}

#[test]
fn a_log_that_is_too_large_for_a_copy_is_scanned_as_raw_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, &format!("create table t(v); insert into t values('{}');", token(1)));
    let mut log = fs::File::create(folder.path().join("app.db-wal")).unwrap();
    log.set_len(65 << 20).unwrap();
    log.seek(SeekFrom::End(0)).unwrap();
    writeln!(log, " {} {} ", token(1), token(2)).unwrap();
    let report = scan(&path);
    assert_eq!(places(folder.path(), &report), ["app.db › -wal", "app.db › t › row 1 › v"]);
    assert!(
        report.skipped[0].why.contains("rows only in the log are scanned as raw bytes"),
        "{:?}",
        report.skipped
    );
}
