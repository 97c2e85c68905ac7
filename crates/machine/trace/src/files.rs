use std::path::Path;

use keyroll_leak::{below_git, holds_settings, is_read_in_git};
use keyroll_observe::{Choice, PathKind};

use crate::kinds::sealed_by_name;

/// Folders of installed or built files, by name: they hold no keys, and are most of a machine's files.
const INSTALLED: [&str; 14] = [
    ".pyenv",
    ".rbenv",
    ".asdf",
    ".sdkman",
    "node_modules",
    "site-packages",
    "dist-packages",
    "__pycache__",
    ".venv",
    ".rustup",
    ".npm",
    ".nvm",
    ".pnpm-store",
    "bower_components",
];

/// The same, but only below one folder.
const INSTALLED_BELOW: [&str; 8] = [
    "pkg/mod",
    ".cargo/registry",
    ".cargo/git",
    "lib/apt",
    "lib/dpkg",
    "local/share/Trash",
    "lib/snapd",
    "lib/flatpak",
];

/// Folders with the file systems of containers.
const CONTAINERS: [&str; 5] = [
    "overlay2",
    "/var/lib/docker/rootfs",
    "/var/lib/docker/image",
    "/var/lib/containerd",
    "containers/storage/overlay",
];

/// Folders that a tool builds into, each with the file that shows this.
const BUILT: [(&str, &str); 5] = [
    ("target", "Cargo.toml"),
    ("target", "pom.xml"),
    ("vendor", "go.mod"),
    ("vendor", "composer.json"),
    ("vendor", "Gemfile"),
];

/// Settings of the machine whose names look like those of secrets.
const OF_THE_MACHINE: [&str; 2] = ["etc/nsswitch.conf", "etc/ssl/openssl.cnf"];

/// Lists of a project's dependencies: full of checksums, without a secret.
const LOCKS: [&str; 9] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "composer.lock",
    "cargo.lock",
    "poetry.lock",
    "go.sum",
    "flake.lock",
];

const DATABASES: [&str; 6] = [".sqlite", ".sqlite3", ".db", ".db3", ".vscdb", ".s3db"];

const ARCHIVES: [&str; 18] = [
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jar", ".war", ".deb", ".rpm",
    ".apk", ".cpio", ".lz4", ".tbz2", ".txz",
];

/// Pictures, sound, fonts, programs: values in them are found by other means.
const MEDIA: [&str; 28] = [
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".mp3", ".mp4", ".mkv", ".webm", ".mov", ".ogg",
    ".wav", ".flac", ".ttf", ".otf", ".woff", ".woff2", ".so", ".a", ".o", ".pyc", ".class", ".rlib",
    ".rmeta", ".wasm", ".iso", ".qcow2",
];

/// Whether a file or a folder is searched for possible secrets.
pub(crate) fn settings(path: &Path, kind: PathKind) -> Choice {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    match kind {
        PathKind::Folder => folder(path),
        PathKind::File if OF_THE_MACHINE.iter().any(|one| path.ends_with(one)) => Choice::Pass,
        PathKind::File
            if is_passed_in_git(path, false) || LOCKS.contains(&name.as_str()) || is_beside(&name) =>
        {
            Choice::Pass
        }
        PathKind::File if sealed_by_name(path).is_some() || ends(&DATABASES) => Choice::Look,
        PathKind::File if ends(&ARCHIVES) => Choice::Name("an archive is not opened"),
        PathKind::File if ends(&MEDIA) => Choice::Pass,
        PathKind::File if holds_settings(path) || in_credentials(path) => Choice::Look,
        PathKind::File if below_git(path, usize::MAX).is_some() => Choice::Look,
        PathKind::File => Choice::Pass,
    }
}

/// Whether a file or a folder is searched for known values.
pub(crate) fn everything(path: &Path, kind: PathKind) -> Choice {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    match kind {
        PathKind::Folder => folder(path),
        PathKind::File if is_passed_in_git(path, false) || is_beside(&name) || ends(&ARCHIVES) => {
            Choice::Pass
        }
        PathKind::File if ends(&MEDIA) => Choice::LeaveOut("pictures, sound, fonts and programs"),
        PathKind::File => Choice::Look,
    }
}

fn folder(path: &Path) -> Choice {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let built = |(folder, beside): &(&str, &str)| *folder == name && path.with_file_name(beside).exists();
    if is_passed_in_git(path, true) {
        Choice::LeaveOut("the history of a git repository is compressed")
    } else if CONTAINERS.iter().any(|below| path.ends_with(below.trim_start_matches('/'))) {
        Choice::LeaveOut("layers of container images")
    } else if INSTALLED.contains(&&*name)
        || INSTALLED_BELOW.iter().any(|below| path.ends_with(below))
        || BUILT.iter().any(built)
    {
        Choice::LeaveOut("installed or built files")
    } else if name == ".cache" {
        Choice::LeaveOut("caches")
    } else {
        Choice::Look
    }
}

/// Inside of git's own folder, without the files that may hold a login.
fn is_passed_in_git(path: &Path, is_folder: bool) -> bool {
    below_git(path, usize::MAX).is_some_and(|below| !is_read_in_git(below, is_folder))
}

/// A database's log or journal: it is read together with the database.
fn is_beside(name: &str) -> bool {
    let beside = ["-wal", "-shm", "-journal"].iter().find_map(|end| name.strip_suffix(end));
    beside.is_some_and(|base| DATABASES.iter().any(|end| base.ends_with(end)))
}

/// A folder whose files are values: `/run/secrets`, `/etc/credstore`, a table of cron.
fn in_credentials(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    matches!(&*folder, "secrets" | "credentials" | "credstore" | "crontabs" | "cron.d" | "default" | ".ssh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_their_leftovers_are_looked_into() {
        let look = |path: &str| settings(Path::new(path), PathKind::File);
        for name in [
            ".env",
            "api.env",
            ".env.production",
            "openclaw.json.bak.1",
            ".pgpass",
            "compose.yaml",
            "env.local",
            "x.service",
            "db_password",
            ".zsh_history",
            ".wgetrc",
            "terraform.tfstate",
            "state.sqlite",
            "vault.kdbx",
            ".git/config",
            ".git/config.worktree",
            ".git/FETCH_HEAD",
            ".git/hooks/pre-push",
            ".git/modules/lib/config",
            ".git/logs/HEAD",
            ".gitmodules",
            ".smbcredentials",
            "x.nmconnection",
            ".kube/config",
            "secrets/one",
        ] {
            assert_eq!(look(&format!("/srv/{name}")), Choice::Look, "{name}");
        }
        for name in [
            "a.png",
            "main.rs",
            "env.rs",
            "README",
            "package-lock.json",
            "state.sqlite-wal",
            ".git/index",
            ".git/hooks/x.sample",
        ] {
            assert_eq!(look(&format!("/srv/{name}")), Choice::Pass, "{name}");
        }
        assert!(matches!(look("/srv/a.tar.gz"), Choice::Name(_)));
        assert!(matches!(settings(Path::new("/srv/node_modules"), PathKind::Folder), Choice::LeaveOut(_)));
        assert!(matches!(settings(Path::new("/srv/.git/objects"), PathKind::Folder), Choice::LeaveOut(_)));
        assert_eq!(settings(Path::new("/srv/target"), PathKind::Folder), Choice::Look);
        assert_eq!(everything(Path::new("/srv/main.rs"), PathKind::File), Choice::Look);
    }
}
