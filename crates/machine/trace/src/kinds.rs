use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use keyroll_copy::Format;
use keyroll_leak::{
    FileFormat, TextKind, file_format, is_distinct, names_one_value, one_value, original_name, reading_of,
};

/// The largest text that is searched for encrypted parts, bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The name that a file had before it became a leftover, in small letters: `openclaw.json.bak.1` was `openclaw.json`.
pub(crate) fn original(name: &str) -> String {
    original_name(name).to_ascii_lowercase()
}

/// The file's format, by its name and first bytes; `None` = it is read line by line.
pub(crate) fn format_of(path: &Path, bytes: &[u8]) -> Option<Format> {
    let name = original(&path.file_name()?.to_string_lossy());
    match file_format(path) {
        Some(FileFormat::Whole) | None => by_content(path, &name, bytes),
        Some(FileFormat::Dotenv) => Some(Format::Dotenv),
        Some(FileFormat::Ini | FileFormat::OdbcIni | FileFormat::GitConfig) => Some(Format::Ini),
        Some(FileFormat::Json) => Some(Format::Json),
        Some(FileFormat::Toml) => Some(Format::Toml),
        Some(FileFormat::Yaml) => Some(Format::Yaml),
        Some(FileFormat::Compose) => Some(Format::Compose),
        Some(FileFormat::Npmrc) => Some(Format::Npmrc),
        Some(FileFormat::Pgpass) => Some(Format::Pgpass),
        Some(FileFormat::Netrc) => Some(Format::Netrc),
        Some(FileFormat::GitCredentials) => Some(Format::GitCredentials),
        Some(FileFormat::HostLogins) => Some(Format::Yaml),
        Some(
            FileFormat::GitLog
            | FileFormat::Userlist
            | FileFormat::Htpasswd
            | FileFormat::RedisUsers
            | FileFormat::ProxyList
            | FileFormat::IpsecSecrets
            | FileFormat::PppSecrets
            | FileFormat::Curlrc
            | FileFormat::Words
            | FileFormat::Settings,
        ) => None,
    }
}

/// Whether a file is also searched as `leaks` does: one whose format has no slots, or more in it than slots.
pub(crate) fn has_more_than_slots(path: &Path, format: Option<Format>) -> bool {
    let (kind, named) = reading_of(path);
    match named {
        Some(
            FileFormat::GitConfig
            | FileFormat::GitLog
            | FileFormat::GitCredentials
            | FileFormat::HostLogins
            | FileFormat::OdbcIni,
        ) => true,
        _ => format.is_none() && kind == TextKind::Settings,
    }
}

/// The format, from the content: one word, the beginning of a document, a section.
fn by_content(path: &Path, name: &str, bytes: &[u8]) -> Option<Format> {
    let text = bytes.trim_ascii();
    // A folder of values may have other files too.
    let called = names_one_value(path) || file_format(path).is_some() && is_distinct(text);
    if called && one_value(bytes).is_some() {
        return Some(Format::Whole);
    }
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !matches!(line.first(), Some(b'#' | b';')))?;
    let inner = first.get(1..)?.trim_ascii_start().first();
    match (first.first()?, first.last()?) {
        (b'{', _) => Some(Format::Json),
        // A list of documents; the name of a section would be a word.
        (b'[', _) if matches!(inner, None | Some(b'{' | b'[' | b'"')) => Some(Format::Json),
        (b'[', b']') if !is_unit(name) || is_supervisors(first) => Some(Format::Ini),
        _ => None,
    }
}

/// Whether a name is that of a systemd unit or drop-in, in which one name may occur many times.
fn is_unit(name: &str) -> bool {
    [".service", ".timer", ".socket", ".mount", ".path", ".target"].iter().any(|end| name.ends_with(end))
        || name.ends_with(".conf") && !name.contains("supervisor")
}

/// Whether a section is supervisord's: what it includes has names of all kinds.
fn is_supervisors(first: &[u8]) -> bool {
    let own: [&[u8]; 4] = [b"[supervisord]", b"[program:", b"[fcgi-program:", b"[eventlistener:"];
    own.iter().any(|begin| first.starts_with(begin))
}

/// Whether a file is a translation of a program's texts: under the name of a secret it has a word of that language. An
/// app that is itself called `lang` has settings, so the path must name the language: `locales/de.json`,
/// `lang/pt-BR/login.yml`, `messages_fr.properties`.
pub(crate) fn is_translation(path: &Path) -> bool {
    const FOLDERS: [&str; 7] = ["locales", "locale", "i18n", "l10n", "lang", "langs", "translations"];
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let below = |folder: Option<&Path>| FOLDERS.contains(&text(folder.and_then(Path::file_name)).as_str());
    let (stem, folder) = (text(path.file_stem()), path.parent());
    let above = folder.and_then(Path::parent);
    let messages = stem.split_once('_').is_some_and(|(first, tag)| first == "messages" && is_language(tag));
    messages
        || below(folder) && is_language(&stem)
        || below(above) && is_language(&text(folder.and_then(Path::file_name)))
}

/// `de`, `pt-BR`, `zh_Hans`.
fn is_language(tag: &str) -> bool {
    let (language, region) = tag.split_once(['-', '_']).unwrap_or((tag, "XX"));
    let known = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let small = language.bytes().all(|byte| byte.is_ascii_lowercase());
    language.len() == 2 && small && (2..=4).contains(&region.len()) && known(region)
}

/// The tool that encrypted a file, from its first bytes or its name.
pub(crate) fn sealed(path: &Path, bytes: &[u8]) -> Option<&'static str> {
    let begins: [(&[u8], &str); 13] = [
        (b"age-encryption.org/", "age"),
        (b"-----BEGIN AGE ENCRYPTED FILE", "age"),
        (b"$ANSIBLE_VAULT;", "Ansible Vault"),
        (b"-----BEGIN PGP MESSAGE", "OpenPGP"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY", "a private key with a passphrase"),
        (b"\x03\xd9\xa2\x9a", "KeePass"),
        (b"GnomeKeyring\n\r\0\n", "GNOME keyring"),
        (b"KWALLET\n\r\0\r\n", "KWallet"),
        (b"\0GITCRYPT\0", "git-crypt"),
        (b"\xfe\xed\xfe\xed", "a Java key store"),
        (b"\xce\xce\xce\xce", "a Java key store"),
        (b"Salted__", "OpenSSL"),
        (b"U2FsdGVkX1", "OpenSSL"),
    ];
    let whole = begins.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, kind)| *kind);
    let text = bytes.len() <= TEXT_BYTES_MAX && !bytes.contains(&0);
    whole.or_else(|| sealed_by_name(path)).or_else(|| if text { sealed_in_part(bytes) } else { None })
}

/// The tool that encrypted single values in a text.
fn sealed_in_part(text: &[u8]) -> Option<&'static str> {
    const PARTS: [(&str, &str); 5] = [
        ("ENC[AES256_GCM,", "sops"),
        ("$ANSIBLE_VAULT;", "Ansible Vault"),
        ("kind: SealedSecret", "Sealed Secrets"),
        ("EJ[1:", "ejson"),
        ("\"encryptedPassword\"", "a browser's logins"),
    ];
    static MARKS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let marks = MARKS.get_or_init(|| AhoCorasick::new(PARTS.map(|(mark, _)| mark)).ok());
    let found = marks.as_ref()?.find(text)?;
    PARTS.get(found.pattern().as_usize()).map(|(_, kind)| *kind)
}

/// The tool that encrypted a file, from its name alone.
pub(crate) fn sealed_by_name(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let above = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    let ends: [(&str, &str); 13] = [
        (".gpg", "OpenPGP"),
        (".pgp", "OpenPGP"),
        (".age", "age"),
        (".kdbx", "KeePass"),
        (".kdb", "KeePass"),
        (".p12", "PKCS #12"),
        (".pfx", "PKCS #12"),
        (".jks", "a Java key store"),
        (".keystore", "a key store"),
        (".keyring", "GNOME keyring"),
        (".kwl", "KWallet"),
        (".yml.enc", "Rails credentials"),
        (".yaml.enc", "Rails credentials"),
    ];
    let by_end = ends.iter().find(|(end, _)| name.ends_with(end)).map(|(_, kind)| *kind);
    let credentials = above("credstore.encrypted").then_some("a credential of systemd");
    let browser = matches!(name.as_str(), "key4.db" | "login data").then_some("a browser's logins");
    by_end.or(credentials).or(browser)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_apart_as_its_readers_do() {
        let format = |path: &str, text: &str| format_of(Path::new(path), text.as_bytes());
        for (path, text, wanted) in [
            ("/srv/.env.production", "A=b", Some(Format::Dotenv)),
            ("/h/.openclaw/openclaw.json.bak.1", "{}", Some(Format::Json)),
            ("/h/auth-profiles.json.migrated-2026-1", "{}", Some(Format::Json)),
            ("/h/.aws/credentials", "[default]", Some(Format::Ini)),
            ("/h/.kube/config", "a: b", Some(Format::Yaml)),
            ("/srv/docker-compose.override.yml", "a: b", Some(Format::Compose)),
            ("/h/.pgpass~", "", Some(Format::Pgpass)),
            ("/run/secrets/db_password", "word\n", Some(Format::Whole)),
            ("/srv/admin.key", "word", Some(Format::Whole)),
            ("/srv/admin.key", "two words", None),
            ("/etc/supervisord.conf", "; c\n[program:x]\n", Some(Format::Ini)),
            ("/etc/supervisor/conf.d/app.conf", "[program:app]\n", Some(Format::Ini)),
            ("/etc/systemd/system/x.service", "[Service]\n", None),
            ("/h/.bashrc", "export A=b", None),
            ("/h/.pm2/dump.pm2", "[{", Some(Format::Json)),
        ] {
            assert_eq!(format(path, text), wanted, "{path}");
        }
    }

    #[test]
    fn a_leftover_is_known_by_its_name() {
        let is_marked = keyroll_leak::is_marked_as_leftover;
        assert!(is_marked(".env.bak") && is_marked("openclaw.json.last-good") && is_marked("x.yml~"));
        assert!(!is_marked(".env") && !is_marked("~") && !is_marked("access.log-20251104"));
        assert_eq!(original("openclaw.json.bak.4"), "openclaw.json");
    }

    #[test]
    fn a_translation_names_its_language() {
        for path in [
            "/s/locales/de.json",
            "/s/lang/pt-BR/login.yml",
            "/s/messages_fr.properties",
            "/s/i18n/zh_Hans.json",
        ] {
            assert!(is_translation(Path::new(path)), "{path}");
        }
        for path in
            ["/srv/lang/.env", "/srv/lang/config.yaml", "/srv/de/app.json", "/srv/lang/api/app.env.json"]
        {
            assert!(!is_translation(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn encrypted_stores_are_known() {
        for (path, bytes, wanted) in [
            ("/h/a", b"age-encryption.org/v1\n-> X25519".as_slice(), Some("age")),
            ("/h/group_vars/all.yml", b"key: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n", Some("Ansible Vault")),
            ("/h/s.yaml", b"key: ENC[AES256_GCM,data:x]\nsops:\n", Some("sops")),
            ("/h/.password-store/a.gpg", b"\x85\x01", Some("OpenPGP")),
            ("/h/p", b"\x03\xd9\xa2\x9a\x67", Some("KeePass")),
            ("/etc/credstore.encrypted/db", b"abc", Some("a credential of systemd")),
            ("/h/.env", b"A=b\n", None),
        ] {
            assert_eq!(sealed(Path::new(path), bytes), wanted, "{path}");
        }
    }
}
