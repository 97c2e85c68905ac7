use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

/// The number of a local user.
///
/// # Errors
/// `K0362`: /etc/passwd has none of that name.
pub fn uid_of(name: &str) -> Result<u32, Failure> {
    User::named(name).map(|user| user.uid)
}

/// The home folder of a local user.
pub fn home_of(uid: u32) -> Option<PathBuf> {
    User::of_uid(uid).ok().map(|user| user.home)
}

/// The homes of the local users, by number.
pub fn user_homes() -> BTreeMap<u32, PathBuf> {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes = BTreeMap::new();
    for user in list.lines().filter_map(|line| User::of_line(line, line.split(':').next()?)) {
        // Of several lines with one id the first counts, as in the system's own lookups.
        homes.entry(user.uid).or_insert(user.home);
    }
    homes
}

/// The local users, by number, with their names.
pub fn user_names() -> BTreeMap<u32, String> {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = list.lines().filter_map(|line| {
        let name = line.split(':').next()?;
        Some((User::of_line(line, name)?.uid, name.to_owned()))
    });
    named.collect()
}

/// A user of this machine, as /etc/passwd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

impl User {
    /// Looked up in /etc/passwd alone: users that only a directory service knows are refused.
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        let attempted = || format!("run something as the user `{}`", name.escape_debug());
        let list = std::fs::read_to_string("/etc/passwd").map_err(|error| {
            Failure::new(Class::Permanent, Code::CheckUnusable, attempted()).because(error)
        })?;
        list.lines().find_map(|line| Self::of_line(line, name)).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::CheckUnusable, attempted())
                .because("/etc/passwd has no such user")
                .help("name a local user in the configuration")
        })
    }

    /// The user with this id.
    pub(crate) fn of_uid(uid: u32) -> Result<Self, Failure> {
        let attempted = || format!("run a command as user {uid}");
        let list = std::fs::read_to_string("/etc/passwd").map_err(|error| {
            Failure::new(Class::Permanent, Code::CheckUnusable, attempted()).because(error)
        })?;
        let names = list.lines().filter_map(|line| Self::of_line(line, line.split(':').next()?));
        names.into_iter().find(|user| user.uid == uid).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::CheckUnusable, attempted())
                .because("/etc/passwd has no such user")
                .help("give the file to a local user, or name the manager's folder in the configuration")
        })
    }

    /// `name:password:uid:gid:comment:home:shell`. Source: passwd(5).
    fn of_line(line: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.first() != Some(&name) {
            return None;
        }
        Some(Self {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5)?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_understood() {
        let user = User::of_line("app:x:998:997:App:/srv/app:/bin/sh", "app").expect("a user");
        assert_eq!((user.uid, user.gid, user.home), (998, 997, "/srv/app".into()));
        assert!(User::of_line("app2:x:998:997::/:", "app").is_none());
        assert!(User::named("no such user").is_err());
    }
}
