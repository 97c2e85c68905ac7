//! The programs that are shipped: keyroll, and the keyroll-host that it sends to other machines.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{output, root, run};

/// For which machine keyroll-host is built. With a named target, what runs while building stays dynamic.
pub(super) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The variable that makes the program of this target static, and its value.
const STATIC: (&str, &str) =
    ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");

/// Both programs.
pub(super) struct Programs {
    pub(super) keyroll: PathBuf,
    pub(super) host: PathBuf,
}

impl Programs {
    /// A keyroll that was built before, and the keyroll-host beside it.
    pub(super) fn beside(keyroll: &Path) -> Result<Self, String> {
        let host = keyroll.with_file_name("keyroll-host");
        if let Some(missing) = [keyroll, &host].into_iter().find(|path| !path.is_file()) {
            return Err(format!("there is no {}", missing.display()));
        }
        Ok(Self { keyroll: keyroll.to_owned(), host })
    }

    /// Builds both. What is shipped has a profile of its own for keyroll-host.
    pub(super) fn built(profile: &str) -> Result<Self, String> {
        run("cargo", &["build", "--locked", "--profile", profile, "-p", "keyroll", "--bin", "keyroll"])?;
        let keyroll = root().join("target").join(folder(profile)).join("keyroll");
        let host = host_program(if profile == "dist" { "host" } else { profile })?;
        Ok(Self { keyroll, host })
    }

    /// Copies of them without symbols.
    pub(super) fn stripped(&self, folder: &Path) -> Result<Self, String> {
        let strip = |from: &Path, name: &str| {
            let to = folder.join(name);
            output("strip", &["-o", &to.display().to_string(), &from.display().to_string()])?;
            Ok::<PathBuf, String>(to)
        };
        Ok(Self { keyroll: strip(&self.keyroll, "keyroll")?, host: strip(&self.host, "keyroll-host")? })
    }
}

/// Builds a static keyroll-host, which runs on every host of its kind of machine: its path.
pub(crate) fn host_program(profile: &str) -> Result<PathBuf, String> {
    let words =
        ["build", "--profile", profile, "--quiet", "-p", "keyroll", "--bin", "keyroll-host", "--target"];
    let mut command = Command::new("cargo");
    command.args(words).arg(TARGET).env(STATIC.0, STATIC.1).current_dir(root());
    let status = command.status().map_err(|error| format!("could not start cargo: {error}"))?;
    match status.success() {
        true => Ok(root().join("target").join(TARGET).join(folder(profile)).join("keyroll-host")),
        false => Err(format!("the static build of keyroll-host ended with {status}")),
    }
}

/// Where cargo puts what it builds with a profile.
fn folder(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}
