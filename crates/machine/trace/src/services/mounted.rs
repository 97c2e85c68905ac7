use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_leak::names_a_secret;
use keyroll_manager::{ContainerSources, Variables};
use keyroll_observe::shown;
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::env_file;
use super::source::{Assignment, Source};

/// The largest mounted file that counts as one value, bytes: a private key with its certificates.
const BYTES_MAX: usize = 64 * 1024;

/// The most files that the variables of one container name.
const NAMED_MAX: usize = 64;

/// Where docker and compose put secrets. Source: docs.docker.com/compose, "Secrets".
const SECRETS: &str = "/run/secrets";

/// The files of a container as its program sees them.
pub(super) struct Inside<'a> {
    given: &'a Variables,
    mounts: &'a [(PathBuf, PathBuf)],
    /// Its root folder, if it runs.
    root: Option<PathBuf>,
}

impl<'a> Inside<'a> {
    pub(super) fn of(one: &ContainerSources, given: &'a Variables, mounts: &'a [(PathBuf, PathBuf)]) -> Self {
        let root = Path::new("/proc").join(one.pid.to_string()).join("root");
        Self { given, mounts, root: Some(root).filter(|_| one.runs && one.pid > 0) }
    }

    /// The path on this machine of a path in the container, whether it is mounted, and its content.
    fn here(&self, there: &Path) -> Option<(PathBuf, bool, std::io::Result<SecretBytes>)> {
        let over = self.mounts.iter().filter(|(_, mount)| there.starts_with(mount));
        let deepest = over.max_by_key(|(_, mount)| mount.components().count());
        if let Some((here, mount)) = deepest {
            let rest = there.strip_prefix(mount).ok()?;
            return Some(match rest.as_os_str().is_empty() {
                true => (here.clone(), true, env_file::read(here)),
                false => (here.join(rest), true, env_file::read_in(here, rest)),
            });
        }
        let here = self.root.as_ref()?.join(there.strip_prefix("/").ok()?);
        let read = env_file::read(&here);
        Some((here, false, read))
    }

    /// The files that are values: files that are mounted singly, and files that a variable names (`DB_PASSWORD_FILE`).
    fn files(&self) -> BTreeMap<&'a Path, Option<&'a str>> {
        let mut all: BTreeMap<&Path, Option<&str>> =
            self.mounts.iter().map(|(_, there)| (there.as_path(), None)).collect();
        let named = self.given.iter().filter_map(|(name, value)| {
            let what = name.strip_suffix("_FILE").or_else(|| name.strip_suffix("_file"))?;
            let path = Path::new(std::str::from_utf8(value.expose()).ok()?);
            let meant = names_a_secret(what) || path.starts_with(SECRETS);
            (meant && path.is_absolute()).then_some((path, Some(name.as_str())))
        });
        all.extend(named.take(NAMED_MAX));
        all
    }
}

/// Files that are one value each, under their names in the container.
pub(super) fn mounted(context: &Context<'_>, inside: &Inside<'_>) -> Vec<Source> {
    let mut all = Vec::new();
    for (there, named) in inside.files() {
        let Some((here, is_mounted, file)) = inside.here(there) else { continue };
        let called = there.file_name().unwrap_or_default().to_string_lossy();
        let Ok(value) = file.map(|file| env_file::whole(&file)) else { continue };
        let secret = named.is_some() || there.starts_with(SECRETS) || context.is_secret(&called, &value);
        if !secret || value.is_empty() || value.len() > BYTES_MAX {
            continue;
        }
        let mut what = format!("{} mounted at {}", shown(&here), shown(there));
        if !is_mounted {
            what = format!("{} of the container itself", shown(there));
        }
        if let Some(variable) = named {
            what = format!("{what}, which {variable} names");
        }
        let name = there.to_string_lossy().into_owned();
        all.push(
            Source::of_file(what, &here).with(name, Assignment { secret: true, ..Assignment::at(1, value) }),
        );
    }
    all
}
