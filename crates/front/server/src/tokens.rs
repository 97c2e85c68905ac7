//! The file of the tokens: at most two of a role are valid, so that a token can be replaced while it is in use, or as many
//! as a team has.
//!
//! A line has the name of a token, when it was made, the SHA-256 of the token, and its role unless that is `admin`; a token
//! has 256 random bits, so the digest tells nothing. A line that is a token itself, as an operator may write it, is
//! accepted too, and is an admin's.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keyroll_app::atomic_file;
use keyroll_app::exit::Exit;
use keyroll_app::lock_file::lock;
use keyroll_app::places::Asker;
use keyroll_app::problem::Problem;
use keyroll_app::records::acts::Act;
use keyroll_app::wall_clock;
use keyroll_codes::Code;
use keyroll_secret::is_private;
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use crate::role::Role;

/// The largest file, bytes.
const FILE_BYTES_MAX: u64 = 8_192;
/// The random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// The characters of a token that an operator may write.
const WRITTEN: std::ops::RangeInclusive<usize> = 32..=256;
/// The longest name of a token.
const NAME_BYTES_MAX: usize = 64;
/// The hexadecimal digits of a digest that identify a token.
const ID_DIGITS: usize = 16;

/// The valid tokens, as the file has them.
pub struct Tokens {
    path: PathBuf,
    all: Vec<Token>,
}

struct Token {
    name: String,
    /// RFC 3339; none = an operator wrote it.
    made: Option<String>,
    digest: [u8; SHA256_OUTPUT_LEN],
    role: Role,
    /// The line of the file; a token that an operator wrote stays as it is.
    line: Zeroizing<String>,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The name of the token.
    pub(crate) name: String,
    /// What its owner may do.
    pub(crate) role: Role,
    /// The beginning of the token's digest: another token of the same name has another one.
    pub(crate) id: String,
}

impl Caller {
    /// As the journal records it.
    pub(crate) fn asker(&self) -> Asker {
        Asker { by: format!("token {}", self.name), id: Some(self.id.clone()) }
    }

    /// What it asks for, as the journal records it.
    pub(crate) fn asks(&self, what: &str, secret: &str, about: Option<&str>) -> Act {
        let (secret, about) = (Some(secret.to_owned()), about.map(str::to_owned));
        Act { secret, about, ..self.asker().asks(what) }
    }
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenShown {
    /// Its name.
    pub name: String,
    /// What identifies it: the beginning of its digest. A name may be that of another token later.
    pub id: String,
    /// When it was made, RFC 3339; none = an operator wrote it into the file.
    pub made: Option<String>,
    /// What its owner may do.
    pub role: Role,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Token {
    fn id(&self) -> String {
        hex(&self.digest).chars().take(ID_DIGITS).collect()
    }
}

fn problem(attempted: &str, path: &Path) -> Problem {
    Problem::new(Code::AdminTokenUnusable, format!("{attempted} {}", path.display()))
}

impl Tokens {
    /// Reads the file. A missing one has no token.
    ///
    /// # Errors
    /// `K0950`: others can read or change it, it cannot be read, or a line is not a token.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let failed = || problem("read the admin tokens in", path);
        let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), all: Vec::new() });
            }
            Err(error) => return Err(failed().because_of(&error)),
        };
        let text = read_checked(&file, path)?;
        let mut all = Vec::new();
        for (at, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = read_line(line, at).map_err(|(why, help)| failed().because(why).help(help))?;
            all.push(token);
        }
        for (role, word) in Role::ALL {
            let count = all.iter().filter(|token| token.role == role).count();
            let most = role.valid_max();
            if count > most {
                return Err(failed()
                    .because(format!(
                        "it has {count} tokens of the role {word}, and at most {most} may be valid"
                    ))
                    .help("remove the lines of the others, or: keyroll token revoke NAME"));
            }
        }
        Ok(Self { path: path.to_owned(), all })
    }

    /// The name, the role and the id of the token, if it is valid. Takes the same time for every wrong token.
    pub fn check(&self, given: &[u8]) -> Option<(&str, Role, String)> {
        let digest = digest(&SHA256, given);
        let mut found = None;
        for token in &self.all {
            if verify_slices_are_equal(digest.as_ref(), &token.digest).is_ok() {
                found = Some(token);
            }
        }
        found.map(|token| (token.name.as_str(), token.role, token.id()))
    }

    /// The valid tokens; none of them is shown.
    pub fn list(&self) -> Vec<TokenShown> {
        self.all
            .iter()
            .map(|token| TokenShown {
                name: token.name.clone(),
                id: token.id(),
                made: token.made.clone(),
                role: token.role,
            })
            .collect()
    }

    /// Makes a token, and writes it into a new file that only this user can read.
    ///
    /// # Errors
    /// `K0950`: as many tokens of the role are valid already as may be, the name is taken, or a file cannot be written; no token was
    /// added.
    pub fn add(path: &Path, name: &str, role: Role, out: &Path) -> Result<(), Problem> {
        let _one = one_at_a_time(path)?;
        let mut tokens = Self::read(path)?;
        tokens.add_to(name, role, out)
    }

    /// Whether a token may have this name.
    fn is_name(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
    }

    fn add_to(&mut self, name: &str, role: Role, out: &Path) -> Result<(), Problem> {
        let attempted = match role {
            Role::Admin => "add an admin token to",
            Role::Viewer => "add a viewer's token to",
            Role::Operator => "add an operator's token to",
            Role::Approver => "add an approver's token to",
            Role::Responder => "add a responder's token to",
        };
        let failed = || problem(attempted, &self.path);
        if !Self::is_name(name) {
            return Err(failed()
                .because("the name of a token has 1 to 64 characters of A-Z a-z 0-9 . _ - @")
                .exits(Exit::Usage));
        }
        if self.all.iter().any(|token| token.name == name) {
            return Err(failed()
                .because(format!("a token named {name} is valid"))
                .help(format!("choose another name, or: keyroll token revoke {name}")));
        }
        let of_role = self.all.iter().filter(|token| token.role == role);
        let names: Vec<&str> = of_role.map(|token| token.name.as_str()).collect();
        if names.len() >= role.valid_max() {
            let why = match names.as_slice() {
                [one, other] => format!("{one} and {other} are valid, and two may be"),
                all => format!("{} are valid, and no more than {} may be", all.join(", "), role.valid_max()),
            };
            return Err(failed().because(why).help(format!(
                "revoke one first: keyroll token revoke {}",
                names.first().unwrap_or(&"NAME")
            )));
        }
        let token = made(role).map_err(|()| failed().because("the system has no random numbers"))?;
        let at = wall_clock::now().timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let digest = digest(&SHA256, token.as_bytes());
        let mut line = format!("{name} {at} sha256:{}", hex(digest.as_ref()));
        // An admin's line has no role, as it had before there were roles.
        if role != Role::Admin {
            line = format!("{line} {}", role.word());
        }
        // A token that nobody has is better than one that is valid and lost.
        give(out, &token)?;
        self.all.push(read_line(&line, 0).map_err(|(why, _)| failed().because(why))?);
        self.write().inspect_err(|_| drop(std::fs::remove_file(out)))
    }

    /// Makes a token invalid.
    ///
    /// # Errors
    /// `K0950`: no token has this name, or the file cannot be written.
    pub fn revoke(path: &Path, name: &str) -> Result<(), Problem> {
        let _one = one_at_a_time(path)?;
        let mut tokens = Self::read(path)?;
        tokens.remove(name)
    }

    fn remove(&mut self, name: &str) -> Result<(), Problem> {
        let before = self.all.len();
        self.all.retain(|token| token.name != name);
        if self.all.len() == before {
            let names: Vec<&str> = self.all.iter().map(|token| token.name.as_str()).collect();
            let which = if names.is_empty() {
                "none is valid".to_owned()
            } else {
                format!("valid: {}", names.join(", "))
            };
            return Err(problem("revoke an admin token in", &self.path)
                .because(format!("no token is named {name}; {which}"))
                .help("keyroll token list"));
        }
        self.write()
    }

    fn write(&self) -> Result<(), Problem> {
        let lines = self.all.iter().map(|token| format!("{}\n", *token.line));
        let text = Zeroizing::new(lines.collect::<String>());
        atomic_file::replace_private(&self.path, text.as_bytes())
            .map_err(|error| problem("write the admin tokens to", &self.path).because_of(&error))
    }
}

/// Two commands that change the file at once would each undo what the other did. The lock is on a file beside it, which
/// stays: the file itself is replaced.
fn one_at_a_time(path: &Path) -> Result<File, Problem> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    lock(Path::new(&beside), FlockOperation::LockExclusive)
        .map_err(|error| problem("lock the admin tokens in", path).because_of(&error))
}

/// The text of the file, if it is private and this user or root is its owner.
fn read_checked(file: &File, path: &Path) -> Result<Zeroizing<String>, Problem> {
    let failed = || problem("read the admin tokens in", path);
    let meta = file.metadata().map_err(|error| failed().because_of(&error))?;
    if !meta.is_file() {
        return Err(failed().because("it is not a file"));
    }
    let mode = meta.mode() & 0o7777;
    if !is_private(mode, meta.uid(), meta.gid()) {
        return Err(failed()
            .because(format!("other users can access it (mode {mode:04o})"))
            .help(format!("chmod 600 {}", path.display())));
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&meta.uid()) {
        return Err(failed().because(format!("it belongs to user {}", meta.uid())));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.map_err(|error| failed().because_of(&error))?;
    if u64::try_from(read).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(failed().because(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The token of a line; or why it is none, and what helps. Neither repeats a part of the line, which may be a token.
fn read_line(line: &str, at: usize) -> Result<Token, (String, &'static str)> {
    let neither = || {
        (
            format!("line {at} is neither a token nor a line of keyroll token new"),
            "a token has 32 to 256 characters without white space; or: keyroll token new NAME --out FILE",
        )
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, made, digest, role) = match words.as_slice() {
        [name, made, digested, role @ ..] if role.len() <= 1 => {
            let digest = digested.strip_prefix("sha256:").and_then(unhex).ok_or_else(neither)?;
            let role = role.first().map_or(Some(Role::Admin), |word| Role::named(word));
            let role = role.ok_or_else(|| {
                let why = format!("line {at} has a role that keyroll does not know");
                (why, "the roles are viewer, operator, approver, responder and admin; or update keyroll")
            })?;
            ((*name).to_owned(), Some((*made).to_owned()), digest, role)
        }
        [token] if WRITTEN.contains(&token.len()) => {
            let digest = digest(&SHA256, token.as_bytes());
            let digest = digest.as_ref().try_into().map_err(|_| neither())?;
            // A token that was made for less is not an admin's because somebody copied it here.
            let role =
                Role::ALL.into_iter().map(|(role, _)| role).find(|role| token.starts_with(role.prefix()));
            (format!("line-{at}"), None, digest, role.unwrap_or(Role::Admin))
        }
        _ => return Err(neither()),
    };
    Ok(Token { name, made, digest, role, line: Zeroizing::new(line.to_owned()) })
}

/// A new token.
fn made(role: Role) -> Result<Zeroizing<String>, ()> {
    let mut bytes = Zeroizing::new([0_u8; RANDOM_BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| ())?;
    let prefix = role.prefix();
    let mut token = Zeroizing::new(String::with_capacity(prefix.len() + RANDOM_BYTES * 2));
    token.push_str(prefix);
    BASE64_URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut token);
    Ok(token)
}

/// Writes the token into a new file that only this user can read.
fn give(out: &Path, token: &str) -> Result<(), Problem> {
    let failed = |error: &io::Error| {
        let problem = problem("write the new token to", out).because_of(error);
        if error.kind() == io::ErrorKind::AlreadyExists {
            return problem.help("name a new file with --out");
        }
        problem
    };
    let text = Zeroizing::new(format!("{token}\n"));
    atomic_file::create(out, text.as_bytes(), 0o600).map_err(|error| failed(&error))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a digest in hexadecimal digits, of either case.
pub(crate) fn unhex(text: &str) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    if text.len() != bytes.len() * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn token(file: &Path) -> String {
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    #[test]
    fn two_tokens_may_be_valid_so_that_one_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let file = at("admin-token");
        let read = || Tokens::read(&file).unwrap();
        let whose =
            |token: &[u8]| read().check(token).map(|(name, role, id)| (name.to_owned(), role, id.len()));
        assert_eq!(read().list(), Vec::new());
        Tokens::add(&file, "ada", Role::Admin, &at("ada")).unwrap();
        Tokens::add(&file, "bob", Role::Admin, &at("bob")).unwrap();
        let (ada, bob) = (token(&at("ada")), token(&at("bob")));
        let prefix = "keyroll_admin_";
        assert!(ada.starts_with(prefix) && ada.len() == prefix.len() + 43 && ada != bob, "{}", ada.len());
        assert_eq!(whose(ada.as_bytes()), Some(("ada".to_owned(), Role::Admin, ID_DIGITS)));
        assert_eq!(whose(bob.as_bytes()), Some(("bob".to_owned(), Role::Admin, ID_DIGITS)));
        assert_eq!(read().check(&ada.as_bytes()[1..]), None);
        assert_eq!(read().check(b""), None);
        let refused = Tokens::add(&file, "eve", Role::Admin, &at("eve")).unwrap_err();
        assert_eq!(refused.help.as_deref(), Some("revoke one first: keyroll token revoke ada"));
        assert!(!at("eve").exists());
        Tokens::revoke(&file, "ada").unwrap();
        assert_eq!(read().check(ada.as_bytes()), None);
        assert_eq!(whose(bob.as_bytes()), Some(("bob".to_owned(), Role::Admin, ID_DIGITS)));
        // A token is never in the file itself, and never written over another file.
        assert!(!fs::read_to_string(at("admin-token")).unwrap().contains(&bob));
        assert!(Tokens::add(&file, "eve", Role::Admin, &at("bob")).is_err());
        assert_eq!(read().list().len(), 1);
        assert!(Tokens::revoke(&file, "eve").is_err());
        for file in ["admin-token", "bob"] {
            assert_eq!(fs::metadata(at(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn each_role_has_two_tokens_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let file = at("admin-token");
        for (name, role) in
            [("ada", Role::Admin), ("bob", Role::Admin), ("prom", Role::Viewer), ("look", Role::Viewer)]
        {
            Tokens::add(&file, name, role, &at(name)).unwrap();
        }
        let prom = token(&at("prom"));
        assert!(prom.starts_with("keyroll_viewer_"), "{prom}");
        let tokens = Tokens::read(&file).unwrap();
        assert!(matches!(tokens.check(prom.as_bytes()), Some(("prom", Role::Viewer, _))));
        let refused = Tokens::add(&file, "third", Role::Viewer, &at("third")).unwrap_err();
        assert_eq!(refused.help.as_deref(), Some("revoke one first: keyroll token revoke prom"));
        let text = fs::read_to_string(&file).unwrap();
        let ends: Vec<bool> = text.lines().map(|line| line.ends_with(" viewer")).collect();
        assert_eq!(ends, [false, false, true, true], "an admin's line has no role");
        // A line with the role of an admin is read too; an unknown role lets nobody in.
        let line = text.lines().next().unwrap().to_owned();
        fs::write(&file, format!("{line} admin\n")).unwrap();
        assert_eq!(Tokens::read(&file).unwrap().list()[0].role, Role::Admin);
        for role in ["canary", "viewer admin"] {
            fs::write(&file, format!("{text}{line} {role}\n")).unwrap();
            let refused = Tokens::read(&file).unwrap_err();
            let why = refused.causes.join(" ");
            assert!(why.contains("line 5") && !why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn a_team_has_eight_tokens_and_a_full_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let file = at("admin-token");
        for (role, word) in Role::ALL {
            for number in 0..role.valid_max() {
                // The longest name there may be.
                let name = format!("{word}-{number}-{}", "n".repeat(NAME_BYTES_MAX));
                let name = &name[..NAME_BYTES_MAX];
                Tokens::add(&file, name, role, &at(name)).unwrap();
            }
            assert!(Tokens::add(&file, "more", role, &at("more")).is_err(), "{word}");
        }
        assert_eq!(Tokens::read(&file).unwrap().list().len(), 22);
        let refused = Tokens::add(&file, "more", Role::Approver, &at("more")).unwrap_err();
        assert!(refused.causes.join(" ").contains("no more than 8 may be"), "{refused:?}");
    }

    #[test]
    fn two_commands_at_once_undo_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: String| folder.path().join(name);
        let file = at("admin-token".to_owned());
        for round in 0..20 {
            Tokens::add(&file, "old", Role::Admin, &at(format!("old-{round}"))).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| Tokens::revoke(&file, "old").unwrap());
                scope.spawn(|| {
                    Tokens::add(&file, "new", Role::Admin, &at(format!("new-{round}"))).unwrap();
                });
            });
            let names: Vec<String> =
                Tokens::read(&file).unwrap().list().into_iter().map(|one| one.name).collect();
            assert_eq!(names, ["new"], "in round {round}");
            Tokens::revoke(&file, "new").unwrap();
        }
    }

    #[test]
    fn a_token_that_an_operator_wrote_is_valid_and_its_file_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        let written = "0123456789abcdef0123456789abcdef";
        let put = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put(&format!("# mine\n\n{written}\n"), 0o600);
        let tokens = Tokens::read(&path).unwrap();
        let (name, role, id) = tokens.check(written.as_bytes()).unwrap();
        assert_eq!((name, role), ("line-3", Role::Admin));
        let shown = TokenShown { name: name.to_owned(), id: id.clone(), made: None, role };
        assert_eq!(tokens.list(), [shown]);
        // On another line it has another name, and is the same token.
        put(&format!("{written}\n"), 0o600);
        let moved = Tokens::read(&path).unwrap();
        assert_eq!(moved.check(written.as_bytes()), Some(("line-1", Role::Admin, id)));
        let why = |text: &str, mode| {
            put(text, mode);
            Tokens::read(&path).unwrap_err().causes.join(" ")
        };
        assert!(why(written, 0o640).contains("other users can access it (mode 0640)"));
        assert!(why("short", 0o600).contains("line 1"));
        assert!(why("a b sha256:00", 0o600).contains("line 1"));
        assert!(why(&format!("{written}1\n{written}2\n{written}3\n"), 0o600).contains("3 tokens"));
        assert!(why(&"x".repeat(9_000), 0o600).contains("more than 8192 bytes"));
    }
}
