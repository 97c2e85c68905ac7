//! The environment of a started command, and where its program is looked up.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::user::User;

/// The variables that a started command gets besides PATH, as far as keyroll has them.
const PASSED_ON: [&str; 2] = ["HOME", "LANG"];

/// The search path where keyroll has none, or an empty one.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Clears the environment but for PATH, HOME and LANG: keyroll's own may hold a value.
#[expect(clippy::disallowed_methods, reason = "what a command gets of the environment")]
pub(crate) fn with_plain_environment(command: &mut Command, user: Option<&User>) {
    command.env_clear().env("PATH", search_path());
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(user) = user {
        command.env("HOME", &user.home).uid(user.uid).gid(user.gid);
    }
}

/// The folders in which the program of a command is looked up, by keyroll and by the commands that it starts.
#[expect(clippy::disallowed_methods, reason = "what a command gets of the environment")]
pub fn search_path() -> OsString {
    let own = std::env::var_os("PATH").filter(|path| !path.is_empty());
    own.unwrap_or_else(|| PATH_DEFAULT.into())
}

/// The home folder that a command gets which runs as keyroll's own user.
#[expect(clippy::disallowed_methods, reason = "what a command gets of the environment")]
pub fn home() -> Option<OsString> {
    std::env::var_os("HOME").filter(|home| !home.is_empty())
}

/// The program of that name in keyroll's search path, or the path itself; `None` where nothing can be run there.
pub fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    std::env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|path| runs(path))
}

pub(crate) fn runs(path: &Path) -> bool {
    let meta = std::fs::metadata(path);
    meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
