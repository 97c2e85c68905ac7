use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use keyroll_database::rusqlite::Connection;
use keyroll_needle::Encoding;
use keyroll_testkit::copy_program;
use keyroll_trace::{Options, Place, survey};

use super::{Home, generated, key, of, why};

const MIB: usize = 1 << 20;

/// The offset at which a large file is cut into pieces, in the file of a test.
const CUT: usize = 18 * MIB;

#[test]
fn a_large_file_is_searched_in_pieces_and_its_holes_cost_nothing() {
    let home = Home::new();
    let value = generated();
    home.write(".env", format!("API_KEY={value}\n"));
    // Lines of 64 bytes; one value across two pieces, one in base64, one in the last bytes.
    let mut text = [b"x".repeat(63), b"\n".to_vec()].concat().repeat(20 * MIB / 64);
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let end = text.len() - value.len();
    for (at, form) in [(CUT - 9, value.as_str()), (19 * MIB, hex.as_str()), (end, value.as_str())] {
        text[at..at + form.len()].copy_from_slice(form.as_bytes());
    }
    home.write("all.log", &text);
    let sparse = std::fs::File::create(home.at("sparse.img")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    sparse.write_all_at(format!("\nAPI_KEY={value}\n").as_bytes(), 9 << 30).unwrap();
    let survey = home.survey();
    let lines = |name: &str| -> Vec<(u64, Encoding)> {
        let found = of(&survey, &value).into_iter().filter_map(|one| {
            let Place::File { path, line } = &one.place else { return None };
            (*path == home.at(name)).then_some((*line, one.encoding))
        });
        found.collect()
    };
    let line = |at: usize| text[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let wanted =
        [(line(CUT - 9), Encoding::Raw), (line(19 * MIB), Encoding::HexLower), (line(end), Encoding::Raw)];
    assert_eq!(lines("all.log"), wanted);
    assert_eq!(lines("sparse.img"), [(2, Encoding::Raw)], "{:?}", survey.unseen);
    assert_eq!((why(&survey, &home.at("all.log")), why(&survey, &home.at("sparse.img"))), ("", ""));
}

#[test]
fn a_large_database_is_searched_by_its_rows() {
    let home = Home::new();
    let (known, named) = (generated(), generated());
    home.write(".env", format!("API_KEY={known}\n"));
    let path = home.at("database.sqlite");
    let open = Connection::open(&path).unwrap();
    open.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE runs (data TEXT);")
        .unwrap();
    open.execute_batch("CREATE TABLE settings (key TEXT, value TEXT);").unwrap();
    open.execute("INSERT INTO settings VALUES ('api_key', ?1)", [&named]).unwrap();
    open.execute("INSERT INTO runs VALUES (?1)", [format!("said {known} to nobody")]).unwrap();
    open.execute("INSERT INTO runs VALUES (?1)", ["x".repeat(17 * MIB)]).unwrap();
    open.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    let late = generated();
    home.write(".env", format!("API_KEY={known}\nAPI_TOKEN={late}\n"));
    open.execute("INSERT INTO runs VALUES (?1)", [&late]).unwrap();
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let survey = home.survey();
    let row = |table: &str, column: &str| {
        let (table, column) = (table.to_owned(), column.to_owned());
        Place::Row { path: path.clone(), table, column, row: 1 }
    };
    let at = |value: &str| -> Vec<Place> {
        of(&survey, value)
            .into_iter()
            .map(|one| one.place.clone())
            .filter(|one| one.file() != Some(&home.at(".env")))
            .collect()
    };
    assert_eq!(at(&named), [row("settings", "value")]);
    assert_eq!(at(&known), [row("runs", "data")]);
    // A value that is only in the log is found there, and the report says that the log's rows were not read.
    assert!(at(&late).contains(&Place::Remains { path: home.at("database.sqlite-wal") }), "{:?}", at(&late));
    assert!(why(&survey, &path).contains("without what only its log has"), "{:?}", survey.unseen);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn a_database_of_a_later_version_is_named_and_its_bytes_are_searched() {
    let home = Home::new();
    let value = generated();
    home.write(".env", format!("API_KEY={value}\n"));
    let path = home.at("agent.db");
    let open = Connection::open(&path).unwrap();
    open.execute_batch("CREATE TABLE keys (api_key TEXT);").unwrap();
    open.execute("INSERT INTO keys VALUES (?1)", [&value]).unwrap();
    drop(open);
    // The version that a reader must support: 2 is the highest one.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[9, 9], 18).unwrap();
    let survey = home.survey();
    assert!(of(&survey, &value).into_iter().any(|one| one.place == Place::Remains { path: path.clone() }));
    assert!(why(&survey, &path).contains("cannot be read"), "{:?}", survey.unseen);
}

#[test]
fn what_ends_no_root_stops_nobody() {
    let home = Home::new();
    let value = generated();
    home.write("a/.env", format!("API_KEY={value}\n"));
    let pipe = home.at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let deep: PathBuf = std::iter::repeat_n("d", 70).collect();
    home.write(&format!("{}/.env", deep.display()), format!("API_KEY={value}\n"));
    let roots = vec![pipe, PathBuf::from("/dev/zero"), home.at("missing"), home.at("a"), home.at("")];
    let survey = survey(&Options { roots, wait: Duration::from_secs(300) }, key()).unwrap();
    assert_eq!(of(&survey, &value).len(), 1);
    assert!(why(&survey, &home.at("missing")).contains("No such file"), "{:?}", survey.unseen);
    assert!(survey.unseen.iter().any(|one| one.reason == "folders nested too deep"), "{:?}", survey.unseen);
}

#[test]
fn where_there_is_no_time_nothing_is_said_to_be_clean() {
    let home = Home::new();
    home.write(".env", format!("API_KEY={}\n", generated()));
    let survey = survey(&Options { roots: vec![home.at("")], wait: Duration::ZERO }, key()).unwrap();
    assert!(why(&survey, &home.at("")).contains("time limit"), "{:?}", survey.unseen);
}

#[test]
fn what_may_not_be_read_is_named() {
    let home = Home::new();
    let open = |path: &str, mode| {
        std::fs::set_permissions(home.at(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let value = generated();
    home.write("open.env", format!("API_KEY={value}\n"));
    home.write("closed.env", format!("API_KEY={value}\n"));
    home.write("closed/.env", format!("API_KEY={value}\n"));
    home.write("closed.db", b"SQLite format 3\0");
    open("", 0o755);
    open("open.env", 0o644);
    for closed in ["closed.env", "closed", "closed.db"] {
        open(closed, 0o000);
    }
    // Another user may not enter the folder in which this program was built.
    let copy = tempfile::tempdir().unwrap();
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy.path().join("look");
    copy_program(&std::env::current_exe().unwrap(), &program);
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    } else {
        command = Command::new("env");
    }
    command.arg(program);
    command.args(["--exact", "files::bad::look_at_what_may_not_be_read", "--ignored", "--nocapture"]);
    let told =
        command.env("KEYROLL_TEST_HOME", home.at("")).env("KEYROLL_TEST_VALUE", &value).output().unwrap();
    open("closed", 0o755);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(!String::from_utf8_lossy(&told.stdout).contains("0 passed"));
}

#[test]
#[ignore = "run by what_may_not_be_read_is_named"]
fn look_at_what_may_not_be_read() {
    let home = PathBuf::from(std::env::var_os("KEYROLL_TEST_HOME").unwrap());
    let value = std::env::var("KEYROLL_TEST_VALUE").unwrap();
    let survey =
        survey(&Options { roots: vec![home.clone()], wait: Duration::from_secs(300) }, key()).unwrap();
    let found: Vec<_> = of(&survey, &value).into_iter().filter_map(|one| one.place.file()).collect();
    assert_eq!(found, [home.join("open.env")]);
    for closed in ["closed.env", "closed", "closed.db"] {
        assert!(why(&survey, &home.join(closed)).to_lowercase().contains("denied"), "{:?}", survey.unseen);
    }
}

fn is_root() -> bool {
    // A process owns its own folder of /proc.
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
