//! Which files hold credentials, by their names, and how their lines are read: one table for every command that
//! searches files.

pub(crate) mod git_folder;
pub(crate) mod leftover_names;
pub(crate) mod line_formats;
pub(crate) mod search;
pub(crate) mod settings_names;

use std::borrow::Cow;
use std::path::Path;

use crate::confidence::TextKind;
use crate::names_a_secret;
use crate::places::git_folder::{below_git, is_hook_in_git};
use crate::places::leftover_names::{is_marked_as_leftover, original_name};
use crate::places::settings_names::{is_env, reads_as_settings};

/// How the programs that read a file take it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Lines `NAME=value`.
    Dotenv,
    /// `name = value` under `[section]`.
    Ini,
    /// The same of ODBC, where `PWD` is a password.
    OdbcIni,
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// YAML of docker compose.
    Compose,
    /// npm's settings.
    Npmrc,
    /// libpq's password file.
    Pgpass,
    /// Machines with their logins.
    Netrc,
    /// URLs with logins, of git's credential store.
    GitCredentials,
    /// git's configuration: also a URL whose user alone is a token, and headers of requests.
    GitConfig,
    /// git's logs of references, and what was fetched: any text, with addresses.
    GitLog,
    /// PgBouncer's list of logins: `"user" "password"`.
    Userlist,
    /// `user:password`, of web servers; most passwords there are hashes.
    Htpasswd,
    /// Users of Redis and Valkey: `user name on >password`.
    RedisUsers,
    /// `socks5 host port user password`, of proxychains.
    ProxyList,
    /// Secrets of IPsec: `: PSK "secret"`.
    IpsecSecrets,
    /// Client, server, secret, addresses: of pppd.
    PppSecrets,
    /// Options of curl: `user = "name:password"`.
    Curlrc,
    /// `NAME: "user:password"` by the name of a host: Bundler, Yarn.
    HostLogins,
    /// Words, of which some name the next one: fetchmail, msmtp, LDAP.
    Words,
    /// Settings of any other form: the text after a name is its value.
    Settings,
    /// The file is one value.
    Whole,
}

/// Files that hold credentials: `name`, `folder/name`, or `*end`, in lower case, and how they are read. The first that
/// fits counts. Sources: the manuals of the programs.
const PLACES: &[(&str, FileFormat)] = &[
    (".npmrc", FileFormat::Npmrc),
    (".pgpass", FileFormat::Pgpass),
    ("pgpass", FileFormat::Pgpass),
    ("pgpass.conf", FileFormat::Pgpass),
    (".netrc", FileFormat::Netrc),
    ("_netrc", FileFormat::Netrc),
    (".git-credentials", FileFormat::GitCredentials),
    ("git/credentials", FileFormat::GitCredentials),
    (".git/credentials", FileFormat::GitCredentials),
    ("git/config", FileFormat::GitConfig),
    (".gitconfig", FileFormat::GitConfig),
    (".gitmodules", FileFormat::GitConfig),
    ("config.worktree", FileFormat::GitConfig),
    (".kube/config", FileFormat::Yaml),
    ("kubeconfig", FileFormat::Yaml),
    (".aws/credentials", FileFormat::Ini),
    (".aws/config", FileFormat::Ini),
    (".pypirc", FileFormat::Ini),
    (".s3cfg", FileFormat::Ini),
    (".boto", FileFormat::Ini),
    (".odbc.ini", FileFormat::OdbcIni),
    ("odbc.ini", FileFormat::OdbcIni),
    (".dockercfg", FileFormat::Json),
    ("userlist.txt", FileFormat::Userlist),
    (".htpasswd", FileFormat::Htpasswd),
    ("*.htpasswd", FileFormat::Htpasswd),
    ("htpasswd", FileFormat::Htpasswd),
    ("users.acl", FileFormat::RedisUsers),
    ("redis.conf", FileFormat::RedisUsers),
    ("valkey.conf", FileFormat::RedisUsers),
    ("sentinel.conf", FileFormat::RedisUsers),
    ("proxychains.conf", FileFormat::ProxyList),
    ("proxychains4.conf", FileFormat::ProxyList),
    ("ipsec.secrets", FileFormat::IpsecSecrets),
    ("chap-secrets", FileFormat::PppSecrets),
    ("pap-secrets", FileFormat::PppSecrets),
    (".curlrc", FileFormat::Curlrc),
    ("_curlrc", FileFormat::Curlrc),
    (".bundle/config", FileFormat::HostLogins),
    (".yarnrc.yml", FileFormat::HostLogins),
    (".fetchmailrc", FileFormat::Words),
    ("fetchmailrc", FileFormat::Words),
    (".msmtprc", FileFormat::Words),
    ("msmtprc", FileFormat::Words),
    ("ldap.conf", FileFormat::Words),
    ("pam_ldap.conf", FileFormat::Words),
    ("nslcd.conf", FileFormat::Words),
    ("slapd.conf", FileFormat::Words),
    ("sssd.conf", FileFormat::Words),
    ("proftpd.conf", FileFormat::Words),
    (".gem/credentials", FileFormat::Settings),
    (".smbcredentials", FileFormat::Settings),
    ("smbcredentials", FileFormat::Settings),
    ("sasl_passwd", FileFormat::Settings),
    ("muttrc", FileFormat::Settings),
    ("neomuttrc", FileFormat::Settings),
    ("*.nmconnection", FileFormat::Settings),
    (".m2/settings.xml", FileFormat::Settings),
    ("sitemanager.xml", FileFormat::Settings),
    ("recentservers.xml", FileFormat::Settings),
    ("nuget.config", FileFormat::Settings),
];

/// Documents, by the ends of their names.
const DOCUMENTS: &[(&str, FileFormat)] = &[
    (".json", FileFormat::Json),
    (".jsonc", FileFormat::Json),
    (".json5", FileFormat::Json),
    (".tfstate", FileFormat::Json),
    (".toml", FileFormat::Toml),
    (".ini", FileFormat::Ini),
    (".cfg", FileFormat::Ini),
    (".cnf", FileFormat::Ini),
];

/// Folders whose files are one value each, as programs get them from a manager.
const FOLDERS_OF_VALUES: [&str; 2] = ["secrets", "credstore"];

/// Files for people in such folders, without their ends.
const NOT_VALUES: [&str; 5] = ["readme", "version", "license", "changelog", "notice"];

/// Ends of the names of files that are one value.
const VALUE_ENDS: [&str; 2] = [".key", ".secret"];

/// The name of a file in small letters, as it was before the file became a leftover: `openclaw.json.bak.1` was
/// `openclaw.json`.
fn plain_name(path: &Path) -> Option<String> {
    Some(original_name(&path.file_name()?.to_string_lossy()).to_ascii_lowercase())
}

fn folder_of(path: &Path) -> Cow<'_, str> {
    path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy()
}

/// How a file is read, by its name; `None` if nothing is known of it. A file that may be one value ([`FileFormat::Whole`])
/// is one only if its content is.
pub fn file_format(path: &Path) -> Option<FileFormat> {
    format_of(path, &plain_name(path)?)
}

fn format_of(path: &Path, name: &str) -> Option<FileFormat> {
    let folder = folder_of(path);
    let listed = PLACES.iter().find(|(pattern, _)| fits(pattern, &folder, name));
    let document = || match DOCUMENTS.iter().find(|(end, _)| name.ends_with(end)) {
        None if name.ends_with(".yaml") || name.ends_with(".yml") => {
            Some(if name.contains("compose") { FileFormat::Compose } else { FileFormat::Yaml })
        }
        known => known.map(|(_, format)| *format),
    };
    listed
        .map(|(_, format)| *format)
        .or_else(|| in_git(path, &folder, name))
        .or_else(document)
        .or_else(|| is_env(name).then_some(FileFormat::Dotenv))
        .or_else(|| may_be_one_value(&folder, name).then_some(FileFormat::Whole))
}

/// How git's own files are read, also those of a bare repository; hooks are programs like any other.
fn in_git(path: &Path, folder: &str, name: &str) -> Option<FileFormat> {
    let below = below_git(path, usize::MAX);
    if name == "config" && (below.is_some() || folder.ends_with(".git")) {
        return Some(FileFormat::GitConfig);
    }
    (!is_hook_in_git(below?)).then_some(FileFormat::GitLog)
}

fn fits(pattern: &str, folder: &str, name: &str) -> bool {
    // Most files end in another letter than most patterns.
    if pattern.as_bytes().last() != name.as_bytes().last() {
        return false;
    }
    match (pattern.split_once('/'), pattern.strip_prefix('*')) {
        (Some((above, own)), _) => own == name && above == folder,
        (None, Some(end)) => name.ends_with(end),
        (None, None) => pattern == name,
    }
}

/// Settings may be in a folder of values too.
fn may_be_one_value(folder: &str, name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let held = || FOLDERS_OF_VALUES.contains(&folder) && !NOT_VALUES.contains(&stem);
    is_called_value(name) || held() && !reads_as_settings(name)
}

/// Whether a file's own name is that of a value: `db_password.txt`, `admin.key`.
fn is_called_value(name: &str) -> bool {
    let stem = VALUE_ENDS.iter().fold(name.trim_end_matches(".txt"), |stem, end| stem.trim_end_matches(end));
    names_a_secret(stem) || stem.len() < name.len() && !name.ends_with(".txt")
}

/// Those names in the table of places that none of these files has, as patterns: for a check that each one was tried.
pub fn untried_places<P: AsRef<Path>>(tried: &[P]) -> Vec<&'static str> {
    let names = PLACES.iter().map(|(pattern, _)| *pattern);
    names.filter(|pattern| !tried.iter().any(|path| is_called(path.as_ref(), pattern))).collect()
}

fn is_called(path: &Path, pattern: &str) -> bool {
    plain_name(path).is_some_and(|name| fits(pattern, &folder_of(path), &name))
}

/// Whether a file is one value by its own name, and not only by its folder.
pub fn names_one_value(path: &Path) -> bool {
    plain_name(path).is_some_and(|name| is_called_value(&name))
}

/// Whether a file is one in which programs keep credentials, a settings file, or an old version of a file, by its name.
pub fn holds_settings(path: &Path) -> bool {
    let Some(name) = plain_name(path) else { return false };
    let folder = folder_of(path);
    settings_names::holds_settings(&name)
        || PLACES.iter().any(|(pattern, _)| fits(pattern, &folder, &name))
        || path.file_name().is_some_and(|name| is_marked_as_leftover(&name.to_string_lossy()))
}

/// How the text of a file is read, by its name.
pub fn text_kind(path: &Path) -> TextKind {
    reading_of(path).0
}

/// How the text of a file is read, and its format, by its name.
pub fn reading_of(path: &Path) -> (TextKind, Option<FileFormat>) {
    let Some(name) = plain_name(path) else { return (TextKind::Program, None) };
    let format = format_of(path, &name);
    let settings = match format {
        Some(FileFormat::Json | FileFormat::Whole | FileFormat::GitLog | FileFormat::Dotenv) | None => {
            reads_as_settings(&name)
        }
        Some(_) => true,
    };
    (if settings { TextKind::Settings } else { TextKind::Program }, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_its_folder_or_its_end() {
        let format = |path: &str| file_format(Path::new(path));
        for (path, wanted) in [
            ("/h/.npmrc", FileFormat::Npmrc),
            ("/h/.config/git/credentials", FileFormat::GitCredentials),
            ("repo/.git/config", FileFormat::GitConfig),
            (".git/modules/lib/config", FileFormat::GitConfig),
            ("/srv/git/shop.git/config", FileFormat::GitConfig),
            (".git/logs/HEAD", FileFormat::GitLog),
            (".git/FETCH_HEAD", FileFormat::GitLog),
            (".git/credentials", FileFormat::GitCredentials),
            ("/etc/pgbouncer/userlist.txt", FileFormat::Userlist),
            ("/etc/pgbouncer/userlist.txt.bak", FileFormat::Userlist),
            ("/h/.pgpass~", FileFormat::Pgpass),
            ("/etc/nginx/admin.htpasswd", FileFormat::Htpasswd),
            ("/h/.m2/settings.xml", FileFormat::Settings),
            ("NuGet.Config", FileFormat::Settings),
            ("docker-compose.override.yml", FileFormat::Compose),
            ("values.yaml", FileFormat::Yaml),
            (".env.production", FileFormat::Dotenv),
            ("/run/secrets/one", FileFormat::Whole),
            ("/run/secrets/versions", FileFormat::Whole),
            ("db_password.txt", FileFormat::Whole),
            ("admin.key", FileFormat::Whole),
        ] {
            assert_eq!(format(path), Some(wanted), "{path}");
        }
        for path in [
            "settings.xml",
            "main.rs",
            "README",
            "notes.txt",
            "config",
            ".git/hooks/pre-push",
            "secrets/app.conf",
            "secrets/README",
            "secrets/VERSION",
            "credstore/license.txt",
        ] {
            assert_eq!(format(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_behind_a_name_in_settings_is_its_value() {
        for path in
            ["a.env", ".env.bak", "/h/.git/config", "userlist.txt", "x.service", "Makefile", "env.local"]
        {
            assert_eq!(text_kind(Path::new(path)), TextKind::Settings, "{path}");
        }
        for path in ["a.json", "main.rs", "env.go", "app.env.ts", "token.txt", "secrets/one", "README"] {
            assert_eq!(text_kind(Path::new(path)), TextKind::Program, "{path}");
        }
    }
}
