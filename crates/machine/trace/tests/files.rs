//! Values at rest are found with their places, by name and by value, in every kind of file; and nothing else is found.

pub(crate) mod bad;
pub(crate) mod hostile;
pub(crate) mod kinds;
pub(crate) mod lookalikes;
pub(crate) mod names;
pub(crate) mod parity;
pub(crate) mod templates;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_copy::Slot;
use keyroll_database::rusqlite::Connection;
use keyroll_needle::Encoding;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_trace::{Options, Place, Sighting, Survey, survey};

fn key() -> FingerprintKey {
    FingerprintKey::new(&[7; 32])
}

/// A value that nobody has, made now.
fn generated() -> String {
    let mut bytes = [0_u8; 12];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("Zq{hex}")
}

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn survey(&self) -> Survey {
        let options = Options { roots: vec![self.at("")], wait: Duration::from_secs(300) };
        survey(&options, key()).unwrap()
    }
}

fn of<'s>(survey: &'s Survey, value: &str) -> Vec<&'s Sighting> {
    let wanted = key().fingerprint(&SecretBytes::new(value.as_bytes().to_vec()));
    let same =
        |one: &&Sighting| survey.values.get(one.value).is_some_and(|value| value.fingerprint == wanted);
    survey.sightings.iter().filter(same).collect()
}

/// The findings in files below a folder.
fn below<'s>(survey: &'s Survey, folder: &Path) -> Vec<(&'s Path, Option<&'s str>)> {
    let here = survey.sightings.iter().filter_map(|one| Some((one.place.file()?, one.name.as_deref())));
    here.filter(|(path, _)| path.starts_with(folder)).collect()
}

/// Why something was not visible; empty if it was.
fn why<'s>(survey: &'s Survey, path: &Path) -> &'s str {
    let shown = path.display().to_string();
    survey.unseen.iter().find(|one| one.what == shown).map_or("", |one| one.reason.as_str())
}

#[test]
fn a_value_that_is_known_is_found_in_every_form_and_in_any_file() {
    let home = Home::new();
    let value = format!("{}/+\"é", generated());
    let json = |text: &str| text.replace('"', "\\\"");
    let percent =
        |text: &str| text.replace('/', "%2F").replace('+', "%2B").replace('"', "%22").replace('é', "%C3%A9");
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    home.write(".pgpass", format!("h:5432:d:u:{value}\n"));
    home.write("workspace/notes", format!("said: {value}\n"));
    home.write("main.rs", format!("let key = {hex};\n"));
    home.write("a.json", format!("{{\"x\":\"{}\"}}", json(&value)));
    home.write("config.php", format!("$db = 'mysql://u:{}@h';", percent(&value)));
    home.write("node_modules/x/.env", format!("A={value}\n"));
    let survey = home.survey();
    let mut seen: Vec<(String, Encoding)> = of(&survey, &value)
        .into_iter()
        .map(|one| {
            let path = one.place.file().unwrap().strip_prefix(home.at("")).unwrap();
            (path.display().to_string(), one.encoding)
        })
        .collect();
    seen.sort();
    let wanted = [
        (".pgpass", Encoding::Raw),
        ("a.json", Encoding::Json),
        ("config.php", Encoding::Percent),
        ("main.rs", Encoding::HexLower),
        ("workspace/notes", Encoding::Raw),
    ];
    assert_eq!(seen, wanted.map(|(path, encoding)| (path.to_owned(), encoding)));
    let json = of(&survey, &value).into_iter().find(|one| one.encoding == Encoding::Json).unwrap();
    assert!(matches!(&json.slot, Some(Slot::At(pointer)) if pointer.steps() == ["x"]));
    let left = survey.unseen.iter().filter(|one| one.reason == "installed or built files");
    assert_eq!(left.map(|one| one.what.as_str()).collect::<Vec<_>>(), ["1 folders or files"]);
}

#[test]
fn a_login_in_one_word_is_a_copy_of_its_password() {
    let home = Home::new();
    let password = generated();
    let login = STANDARD.encode(format!("ada:{password}"));
    home.write(
        ".docker/config.json",
        format!("{{\"auths\":{{\"https://h/v1/\":{{\"auth\":\"{login}\"}}}}}}"),
    );
    home.write(".npmrc", format!("//h/:_auth={login}\n"));
    home.write("call.sh", format!("curl -H 'Authorization: Basic {login}' h\n"));
    let survey = home.survey();
    let found = of(&survey, &password);
    let places: Vec<(&Path, Encoding)> =
        found.iter().map(|one| (one.place.file().unwrap(), one.encoding)).collect();
    let wanted = [".docker/config.json", ".npmrc", "call.sh"].map(|path| home.at(path));
    assert_eq!(places, wanted.iter().map(|path| (path.as_path(), Encoding::Base64)).collect::<Vec<_>>());
}

#[test]
fn a_database_is_searched_by_its_rows_its_log_and_what_is_left_of_old_ones() {
    let home = Home::new();
    let (profile, stored, old, token) = (generated(), generated(), generated(), generated());
    let path = home.at("state.sqlite");
    let open = Connection::open(&path).unwrap();
    open.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = OFF;
         CREATE TABLE machine_state (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
         CREATE TABLE entries (name TEXT, api_key TEXT); CREATE VIEW all_of_it AS SELECT * FROM entries;
         CREATE TABLE credentials_entity (name TEXT, data TEXT);",
    )
    .unwrap();
    let document = format!("{{\"profiles\":{{\"p\":{{\"apiKey\":\"{profile}\"}}}}}}");
    open.execute("INSERT INTO machine_state VALUES ('authProfiles.store', ?1)", [&document]).unwrap();
    open.execute("INSERT INTO machine_state VALUES ('gateway.token', ?1)", [&token]).unwrap();
    open.execute("INSERT INTO entries VALUES ('primary', ?1)", [&old]).unwrap();
    open.execute("UPDATE entries SET api_key = ?1", [&stored]).unwrap();
    let sealed = format!("{}{}", "U2FsdGVkX1", generated());
    open.execute("INSERT INTO credentials_entity VALUES ('n8n', ?1)", [&sealed]).unwrap();
    // Another copy makes the old value known.
    home.write(".env.old", format!("API_KEY={old}\n"));
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(home.at("")).unwrap().map(|one| one.unwrap().file_name()).collect()
    };
    let before = names();
    let survey = home.survey();
    let place = |value: &str| -> Vec<(&Place, Option<&str>)> {
        of(&survey, value).into_iter().map(|one| (&one.place, one.name.as_deref())).collect()
    };
    let row = |table: &str, column: &str, row| Place::Row {
        path: path.clone(),
        table: table.to_owned(),
        column: column.to_owned(),
        row,
    };
    assert_eq!(place(&profile), [(&row("machine_state", "value", 1), Some("profiles.p.apiKey"))]);
    assert_eq!(place(&token), [(&row("machine_state", "value", 2), Some("gateway.token"))]);
    assert_eq!(place(&stored), [(&row("entries", "api_key", 1), Some("api_key"))]);
    let remains = Place::Remains { path: home.at("state.sqlite-wal") };
    assert!(place(&old).contains(&(&remains, None)), "{:?}", place(&old));
    assert_eq!(survey.stores.len(), 1);
    assert_eq!(survey.stores[0].path, path);
    assert_eq!(before, names(), "nothing is written beside a database");
    // A writer with an exclusive lock on the database blocks nobody.
    open.execute_batch("BEGIN EXCLUSIVE; DELETE FROM entries;").unwrap();
    assert_eq!(of(&home.survey(), &stored).len(), 1);
    open.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    home.write(".env.old", format!("API_KEY={old}\nAPI_TOKEN={stored}\n"));
    let survey = home.survey();
    let remains = Place::Remains { path: path.clone() };
    assert!(of(&survey, &stored).into_iter().any(|one| one.place == remains), "a free page");
}

#[test]
fn a_damaged_database_is_named_and_its_bytes_are_searched() {
    let home = Home::new();
    let value = generated();
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.extend([7; 4096]);
    bytes.extend(value.as_bytes());
    let path = home.write("broken.db", &bytes);
    home.write(".env", format!("API_KEY={value}\n"));
    let survey = home.survey();
    assert!(of(&survey, &value).into_iter().any(|one| one.place == Place::Remains { path: path.clone() }));
    let shown = path.display().to_string();
    assert!(survey.unseen.iter().any(|one| one.what == shown && one.reason.contains("cannot be read")));
}

#[test]
fn a_bad_folder_stops_nobody() {
    let home = Home::new();
    let value = generated();
    home.write(".env", format!("API_KEY={value}\n"));
    home.write("deep/er/.env", b"\xff\xfe\nAPI_KEY=\xff\xff\xff\xff\xff\xff\xff\xff\n");
    symlink(home.at(""), home.at("deep/ring")).unwrap();
    symlink("/dev/zero", home.at("zero.env")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(home.at("pipe.env")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(home.at("socket.env")).unwrap();
    std::fs::File::create(home.at("sparse.json")).unwrap().set_len(10 << 30).unwrap();
    home.write("large.json", vec![b' '; (1 << 20) + 1]);
    home.write("old.tar.gz", "x");
    let hostile = std::ffi::OsStr::from_bytes(b"\x1b[2Jodd\n\xff.env");
    std::fs::write(home.at("").join(hostile), format!("API_KEY={value}\n")).unwrap();
    for number in 0..3_000 {
        home.write(&format!("many/{number}.json"), "{}");
    }
    home.write("many/last.env", format!("API_KEY={value}\n"));
    let survey = home.survey();
    assert_eq!(of(&survey, &value).len(), 3);
    let why = |name: &str| {
        let at = home.at(name).display().to_string();
        survey.unseen.iter().find(|one| one.what == at).map(|one| one.reason.clone()).unwrap_or_default()
    };
    assert_eq!(why("sparse.json"), "", "a hole is nothing to be read");
    assert!(why("large.json").contains("larger than 1 MiB"));
    assert!(why("old.tar.gz").contains("archive"));
    assert!(survey.unseen.iter().all(|one| !one.what.contains(char::is_control)));
    assert_eq!(survey.files, 3_000 + 6, "{:?}", survey.unseen);
}
