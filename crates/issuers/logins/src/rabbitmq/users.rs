use std::collections::BTreeMap;

use crate::id::{Mark, ended};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyroll_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::link::{Link, ManagementApiError, segment};
use crate::directory::Login;

/// The prefix of a disabled user's hash. No password has a hash of this length, so nobody can log in; the rest is the
/// old hash, for enabling the user again.
const OFF: &[u8] = b"keyroll-off:";
/// The hashing algorithm of our users. A user with another algorithm keeps it.
const ALGORITHM: &str = "rabbit_password_hashing_sha256";
/// The length of the salt that a hash begins with, bytes.
const SALT_BYTES: usize = 4;

/// One user, as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) login: Login,
    /// The salted hash of the password, of a disabled user too; empty if there is no password.
    hash: Vec<u8>,
    algorithm: String,
    /// The tags, without our marks.
    pub(super) tags: Vec<String>,
    /// `max-connections`, `max-channels`.
    pub(super) limits: BTreeMap<String, i64>,
}

/// A user in the answer of the management API.
#[derive(Deserialize)]
struct UserJson {
    name: String,
    #[serde(default)]
    password_hash: String,
    #[serde(default)]
    hashing_algorithm: String,
    tags: Tags,
    #[serde(default)]
    limits: BTreeMap<String, i64>,
}

/// A list; in older versions one text with commas.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Tags {
    List(Vec<String>),
    Text(String),
}

/// The state that a user shall get. A mark is a tag, so one request changes the hash and the mark together.
#[derive(Serialize)]
pub(super) struct Wanted<'a> {
    password_hash: String,
    hashing_algorithm: &'a str,
    tags: Vec<String>,
}

/// All users.
pub(super) async fn read(link: &Link<'_>) -> Result<Vec<User>, ManagementApiError> {
    let users: Vec<UserJson> = link.get("/api/users").await?;
    users
        .into_iter()
        .map(|one| one.read().ok_or_else(|| ManagementApiError::Lost("a user's hash is odd".to_owned())))
        .collect()
}

/// The path of a user in the API.
pub(super) fn path(name: &str) -> String {
    format!("/api/users/{}", segment(name))
}

impl Tags {
    pub(super) fn list(self) -> Vec<String> {
        match self {
            Self::List(tags) => tags,
            Self::Text(text) => {
                text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

impl UserJson {
    fn read(self) -> Option<User> {
        let (marks, mut tags): (Vec<_>, Vec<_>) =
            self.tags.list().into_iter().partition(|tag| Mark::read(Some(tag)) != Mark::Foreign);
        tags.sort();
        let stored = BASE64.decode(&self.password_hash).ok()?;
        let (on, hash) = match stored.strip_prefix(OFF) {
            Some(hash) => (false, hash.to_vec()),
            None => (true, stored),
        };
        let mark = Mark::among(marks.iter().map(String::as_str));
        let passwords = usize::from(!hash.is_empty());
        let login = Login { name: self.name, on, passwords, open: false, mark };
        Some(User { login, hash, algorithm: self.hashing_algorithm, tags, limits: self.limits })
    }
}

impl User {
    /// Whether this password lets the user in, under this label.
    pub(super) fn carries(&self, label: &str, password: &SecretBytes) -> bool {
        self.login.on && self.login.mark == Mark::Ours(label.to_owned()) && self.has(password)
    }

    /// Whether this is the user's password. Only hashes of our own algorithm can be compared.
    fn has(&self, password: &SecretBytes) -> bool {
        let salted = self.hash.split_first_chunk::<SALT_BYTES>();
        self.algorithm == ALGORITHM && salted.is_some_and(|(salt, _)| self.hash == hash(*salt, password))
    }

    /// The same user, disabled or enabled.
    pub(super) fn switched(&self, on: bool) -> Wanted<'_> {
        let stored = if on || self.hash.is_empty() { self.hash.clone() } else { [OFF, &self.hash].concat() };
        self.with(&stored, mark_text(&self.login.mark))
    }

    /// The same user without a password. The mark keeps saying which credential was in it.
    pub(super) fn finished(&self) -> Wanted<'_> {
        self.with(&[], self.login.mark.label().map(ended))
    }

    fn with(&self, stored: &[u8], mark: Option<String>) -> Wanted<'_> {
        let tags = self.tags.iter().cloned().chain(mark).collect();
        Wanted { password_hash: BASE64.encode(stored), hashing_algorithm: &self.algorithm, tags }
    }
}

impl Wanted<'static> {
    /// A user that nobody can log in as, with these tags and its previous mark.
    pub(super) fn closed(tags: &[String], mark: &Mark) -> Self {
        let tags = tags.iter().cloned().chain(mark_text(mark)).collect();
        Self { password_hash: String::new(), hashing_algorithm: ALGORITHM, tags }
    }

    /// A user with this password and label; `None` if the system has no randomness.
    pub(super) fn opened(tags: &[String], label: &str, password: &SecretBytes) -> Option<Self> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).ok()?;
        let tags = tags.iter().cloned().chain([label.to_owned()]).collect();
        let password_hash = BASE64.encode(hash(salt, password));
        Some(Self { password_hash, hashing_algorithm: ALGORITHM, tags })
    }
}

fn mark_text(mark: &Mark) -> Option<String> {
    match mark {
        Mark::Foreign => None,
        Mark::Ours(label) => Some(label.clone()),
        Mark::Ended(label) => Some(ended(label)),
    }
}

/// The hash that RabbitMQ stores: a salt, and the SHA-256 of salt and password.
fn hash(salt: [u8; SALT_BYTES], password: &SecretBytes) -> Vec<u8> {
    let mut salted = Zeroizing::new(Vec::with_capacity(SALT_BYTES + password.len()));
    salted.extend_from_slice(&salt);
    salted.extend_from_slice(password.expose());
    [salt.as_slice(), digest(&SHA256, &salted).as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> User {
        serde_json::from_str::<UserJson>(text).unwrap().read().unwrap()
    }

    #[test]
    fn a_user_is_read_with_its_mark_however_tags_are_written() {
        let hash = BASE64.encode([7; 36]);
        let list = user(&format!(
            r#"{{"name":"orders_a","password_hash":"{hash}","hashing_algorithm":"x","tags":["monitoring","keyroll/r/3"],"limits":{{"max-connections":5}}}}"#
        ));
        assert_eq!(list.login.mark, Mark::Ours("keyroll/r/3".to_owned()));
        assert_eq!(
            (list.login.on, list.login.passwords, list.tags.as_slice()),
            (true, 1, &["monitoring".to_owned()][..])
        );
        assert_eq!(list.limits.get("max-connections"), Some(&5));
        let text = user(r#"{"name":"o","password_hash":"","tags":"revoked keyroll/r/3, monitoring"}"#);
        assert_eq!(text.login.mark, Mark::Ended("keyroll/r/3".to_owned()));
        assert!(text.login.is_off() && text.tags == ["monitoring"]);
        assert!(
            serde_json::from_str::<UserJson>(r#"{"name":"o","password_hash":"!","tags":""}"#)
                .unwrap()
                .read()
                .is_none()
        );
    }

    #[test]
    fn switching_off_keeps_the_hash_and_lets_no_password_in() {
        let password = SecretBytes::from("secret".to_owned());
        let opened = Wanted::opened(&[], "keyroll/r/1", &password).unwrap();
        let read = |wanted: &Wanted<'_>| {
            let told = serde_json::json!({ "name": "o", "password_hash": wanted.password_hash,
                "hashing_algorithm": wanted.hashing_algorithm, "tags": wanted.tags });
            user(&told.to_string())
        };
        let on = read(&opened);
        assert!(on.has(&password) && !on.has(&SecretBytes::from("other".to_owned())));
        let off = read(&on.switched(false));
        assert!(off.login.is_off() && off.login.passwords == 1 && off.login.mark == on.login.mark);
        // Neither SHA-256, SHA-512 nor MD5 behind a salt has this length.
        let stored = BASE64.decode(on.switched(false).password_hash).unwrap();
        assert!(![36, 68, 20].contains(&stored.len()));
        assert_eq!(read(&off.switched(false)), off, "twice is once");
        assert_eq!(read(&off.switched(true)), on);
        let gone = read(&off.finished());
        assert_eq!(gone.login.mark, Mark::Ended("keyroll/r/1".to_owned()));
        assert!(gone.login.is_off() && gone.login.passwords == 0);
    }

    #[test]
    fn a_hash_is_the_one_that_rabbitmq_makes() {
        // From the server's documents: `test12` with the salt 908D C60A.
        let hash = hash([0x90, 0x8d, 0xc6, 0x0a], &SecretBytes::from("test12".to_owned()));
        let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, "908DC60AA5B924B3096B8897D65A3B5F80FA5DB62A94B83122CDF4F8FEAD10D515D8F391");
    }
}
