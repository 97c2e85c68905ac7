//! PgBouncers of this machine: the server behind each, and whether its list of logins has a login.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use keyroll_copy::{FILE_BYTES_MAX, Userlist};
use keyroll_observe::{Process, ProcessId, read_small, shown, working_folder};
use keyroll_secret::SecretBytes;

use crate::consumer_draft::Context;

const PROGRAM: &str = "pgbouncer";

/// Where the guide says how a pooler is declared.
const GUIDE: &str = "docs/guides/rotate-a-postgresql-login.md, \"Behind PgBouncer\"";

/// The port of a server that `[databases]` names without one.
const SERVER_PORT: u16 = 5432;

/// The hexadecimal digits of an MD5 verifier, behind `md5`.
const MD5_DIGITS: usize = 32;

/// A user at a server, as its consumers reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub user: String,
    pub host: String,
    pub port: u16,
    pub dbname: Option<String>,
}

/// Notes on the PgBouncers that a user goes through or that list it. The server is then the one behind.
pub(crate) fn poolers(
    around: &Context<'_>,
    reached: &mut Reached,
    known: &dyn Fn(&SecretBytes) -> bool,
) -> Vec<String> {
    let is_pooler =
        |one: &&Process| one.exe.as_deref().and_then(Path::file_name).is_some_and(|name| name == PROGRAM);
    let mut notes = Vec::new();
    for process in around.survey.listing.seen.iter().filter(is_pooler) {
        let listens = around.sockets.map(|sockets| sockets.listening_of(&process.id)).unwrap_or_default();
        let through = is_here(&reached.host) && listens.iter().any(|at| at.port() == reached.port);
        let Some(settings) = Settings::of(&process.id) else {
            notes.push(format!(
                "not visible: the settings of PgBouncer (process {}), and whether it lists {}: {GUIDE}",
                process.id.pid, reached.user
            ));
            continue;
        };
        notes.extend(through.then(|| behind(&settings, reached)));
        notes.extend(listed(&settings, &reached.user, through, known));
    }
    notes
}

/// Whether a host is this machine, by its loopback names.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Takes the server behind a pooler, as its `[databases]` name it, and says so.
fn behind(settings: &Settings, reached: &mut Reached) -> String {
    let dbname = reached.dbname.clone().unwrap_or_default();
    let entry = settings.get("databases", &dbname).or_else(|| settings.get("databases", "*"));
    let all: Vec<(&str, &str)> = entry.into_iter().flat_map(words).filter_map(pair).collect();
    let word = |key: &str| all.iter().find(|(own, _)| *own == key).map(|(_, value)| (*value).to_owned());
    let (host, port) = (reached.host.clone(), reached.port);
    let which = match word("host").filter(|host| is_host(host)) {
        Some(server) => {
            reached.host = server;
            reached.port = word("port").and_then(|port| port.parse().ok()).unwrap_or(SERVER_PORT);
            reached.dbname = word("dbname").filter(|name| is_plain(name)).or_else(|| reached.dbname.take());
            "`host` and `port` are those of the server behind it"
        }
        None => "correct `host` and `port`: they must be those of the server behind it",
    };
    format!(
        "consumers log in through PgBouncer ({}): {which}. so that keyroll can ask PgBouncer for its clients, add \
         poolers = [{{ host = \"{host}\", port = {port}, admin = \"file:./pgbouncer.key\" }}]: {GUIDE}",
        shown(&settings.path)
    )
}

/// What a pooler's list of logins says of a user.
fn listed(
    settings: &Settings,
    user: &str,
    through: bool,
    known: &dyn Fn(&SecretBytes) -> bool,
) -> Option<String> {
    let asks = settings.get("pgbouncer", "auth_query").is_some()
        || settings.get("pgbouncer", "auth_user").is_some()
        || settings
            .entries
            .iter()
            .any(|(section, _, text)| section == "databases" && text.contains("auth_user="));
    let asks = || {
        (asks && through)
            .then(|| "PgBouncer asks the server who may log in (auth_query): nothing to do there".to_owned())
    };
    let Some(list) = settings.get("pgbouncer", "auth_file") else { return asks() };
    let list = settings.folder.join(list);
    let path = shown(&list);
    let logins = content(&list).and_then(|bytes| Userlist::logins(bytes.expose()).ok());
    let Some(logins) = logins else {
        return Some(format!("not visible: whether PgBouncer's list {path} has {user}: it cannot be read"));
    };
    let Some((_, _, value)) = logins.into_iter().find(|(name, _, _)| name == user) else { return asks() };
    Some(if known(&value) {
        format!(
            "a copy: PgBouncer's list {path} holds the password of {user}. declare PgBouncer as the first consumer, or \
             let it ask the server (auth_query): {GUIDE}"
        )
    } else if is_verifier(value.expose()) {
        format!(
            "not visible: whether PgBouncer's list {path} has this password: for {user} it holds a verifier, which \
             keyroll cannot write. let PgBouncer ask the server (auth_query), or write the password itself: {GUIDE}"
        )
    } else {
        format!("PgBouncer's list {path} holds another password of {user}: {GUIDE}")
    })
}

fn is_verifier(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"md5").unwrap_or_default();
    text.starts_with(b"SCRAM-SHA-256$")
        || digits.len() == MD5_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
}

/// The settings file of a PgBouncer. It may have passwords in it: no text of it is shown.
struct Settings {
    path: PathBuf,
    /// The folder that its relative paths begin in.
    folder: PathBuf,
    /// Section, key and value, in the order of the file.
    entries: Vec<(String, String, String)>,
}

impl Settings {
    /// Those of a process: the file that its command line names.
    fn of(process: &ProcessId) -> Option<Self> {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
        let folder = working_folder(process).ok()?;
        let mut words = line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
        let file = words.rfind(|word| !word.is_empty() && !word.starts_with('-'))?;
        let path = folder.join(file);
        let text = content(&path)?;
        let text = std::str::from_utf8(text.expose()).ok()?;
        Some(Self { path, folder, entries: entries(text) })
    }

    /// The last value of a key, as PgBouncer takes it.
    fn get(&self, section: &str, key: &str) -> Option<&str> {
        let of = |(own, name, _): &&(String, String, String)| own == section && name == key;
        self.entries.iter().rfind(of).map(|(_, _, value)| value.as_str())
    }
}

fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut all = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with([';', '#'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_ascii_lowercase();
        } else if let Some((key, value)) = pair(line) {
            all.push((section.clone(), key.trim_matches('"').to_owned(), value.to_owned()));
        }
    }
    all
}

/// The bytes of a small file.
pub(crate) fn content(path: &Path) -> Option<SecretBytes> {
    read_small(path, FILE_BYTES_MAX).ok()
}

/// A host name, an address, or the folder of a socket.
pub(crate) fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:/".contains(&byte))
}

/// A name that can be written anywhere: other texts may be secrets.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The words of a connection string. A password in quotes may have blanks in it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let ends = move |letter: char| {
        quoted ^= letter == '\'';
        letter.is_whitespace() && !quoted
    };
    text.split(ends).filter(|word| !word.is_empty())
}

/// Splits `key = value`.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    Some((key.trim(), value.trim().trim_matches('\'')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, more: &str) -> Settings {
        let text = format!(
            "; a comment\n[databases]\nshop = host=10.0.0.5 port=5433 dbname=orders\n[pgbouncer]\nlisten_port = 6432\n{more}"
        );
        Settings { path: folder.join("pgbouncer.ini"), folder: folder.to_owned(), entries: entries(&text) }
    }

    #[test]
    fn a_list_is_a_copy_or_not_visible_and_a_pooler_that_asks_needs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let known = |value: &SecretBytes| value.expose() == b"value";
        let said = |list: &str, more: &str| {
            std::fs::write(folder.path().join("userlist.txt"), list).unwrap();
            listed(
                &settings(folder.path(), &format!("auth_file = userlist.txt\n{more}")),
                "shop",
                true,
                &known,
            )
        };
        let begins =
            |said: Option<String>, wanted: &str| assert!(said.unwrap_or_default().starts_with(wanted));
        begins(said("\"shop\" \"value\"\n", ""), "a copy: PgBouncer's list ");
        begins(said("\"shop\" \"SCRAM-SHA-256$4096:abc\"\n", ""), "not visible: whether ");
        begins(said(&format!("\"shop\" \"md5{}\"\n", "a".repeat(32)), ""), "not visible: whether ");
        begins(said("\"shop\" \"other\"\n", ""), "PgBouncer's list ");
        assert_eq!(said("\"stats\" \"other\"\n", ""), None);
        begins(said("\"asker\" \"other\"\n", "auth_user = asker\n"), "PgBouncer asks the server");
    }

    #[test]
    fn the_server_is_the_one_behind_the_pooler() {
        let folder = tempfile::tempdir().unwrap();
        let shop = || "shop".to_owned();
        let (host, port) = ("127.0.0.1".to_owned(), 6432);
        let mut reached = Reached { user: shop(), host, port, dbname: Some(shop()) };
        let said = behind(&settings(folder.path(), ""), &mut reached);
        assert_eq!(
            (reached.host.as_str(), reached.port, reached.dbname.as_deref()),
            ("10.0.0.5", 5433, Some("orders"))
        );
        assert!(said.contains("host = \"127.0.0.1\", port = 6432"), "{said}");
    }

    #[test]
    fn no_part_of_a_password_is_taken_for_the_server() {
        let folder = tempfile::tempdir().unwrap();
        for entry in [
            "password='4f1d host=4f1d0c9b dbname=4f1d0c9b' port=5433",
            "port=5433 password='it''s host=4f1d0c9b'",
            "host=u:4f1d0c9b@db port=5433",
            "host=10.0.0.5\"4f1d0c9b dbname=orders",
        ] {
            let entries = entries(&format!("[databases]\nshop = {entry}\n"));
            let (path, folder) = (folder.path().join("pgbouncer.ini"), folder.path().to_owned());
            let shop = || "shop".to_owned();
            let mut reached =
                Reached { user: shop(), host: "127.0.0.1".to_owned(), port: 6432, dbname: Some(shop()) };
            let before = reached.clone();
            let said = behind(&Settings { path, folder, entries }, &mut reached);
            assert_eq!(reached, before, "{entry}");
            assert!(said.contains("correct `host` and `port`") && !said.contains("4f1d"), "{said}");
        }
        let all: Vec<&str> = words("host='10.0.0.5'  dbname=orders").collect();
        assert_eq!(all, ["host='10.0.0.5'", "dbname=orders"]);
    }
}
