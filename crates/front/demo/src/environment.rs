use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// The environment variables that configure keyroll. No part of the demo inherits them: the demo would work on the
/// user's own folders, and a restart without the variable would look like a change.
pub(crate) fn settings() -> Vec<OsString> {
    let all = std::env::vars_os().map(|(name, _)| name);
    all.filter(|name| name.as_bytes().starts_with(b"KEYROLL_")).collect()
}

/// Removes them from a command.
pub(crate) fn without_settings(command: &mut std::process::Command) {
    for name in settings() {
        command.env_remove(name);
    }
}
