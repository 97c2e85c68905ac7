use std::path::{Path, PathBuf};

use keyroll_observe::Kind;

/// The largest file that is read for what looks like a secret, bytes: what people write by hand is far smaller.
const CANDIDATE_BYTES_MAX: u64 = 1 << 20;

/// Folders of what was installed or built: nobody keeps a key there, and they are most of a machine's files.
const LEFT_OUT: [&str; 14] = [
    "node_modules",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "target",
    ".git",
    ".cache",
    "vendor",
    ".venv",
    ".rustup",
    ".cargo",
    ".npm",
    "go",
    ".nvm",
];

/// Names of files that hold settings, by how they end.
const ENDS: [&str; 24] = [
    ".env",
    ".envrc",
    ".conf",
    ".config",
    ".cfg",
    ".cnf",
    ".ini",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".jsonc",
    ".json5",
    ".properties",
    ".service",
    ".timer",
    ".socket",
    ".sh",
    ".tfvars",
    ".pem",
    ".key",
    ".token",
    ".secret",
    ".txt",
];

/// Names of files that hold settings, whole.
const NAMES: [&str; 26] = [
    "env",
    "environment",
    "config",
    "credentials",
    "kubeconfig",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".git-credentials",
    ".npmrc",
    ".yarnrc",
    ".pypirc",
    ".profile",
    ".bashrc",
    ".bash_profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".my.cnf",
    ".s3cfg",
    ".boto",
    ".dockercfg",
    "crontab",
    "dump.pm2",
    "id_rsa",
    "id_ed25519",
];

/// Whether a file or a folder is looked into.
pub(crate) fn wanted(path: &Path, kind: Kind) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match kind {
        Kind::Folder => !LEFT_OUT.contains(&name.as_ref()),
        Kind::File(bytes) => bytes > 0 && bytes <= CANDIDATE_BYTES_MAX && holds_settings(&name),
    }
}

/// Also with something behind it: `.env.production`, `openclaw.json.bak.1`.
fn holds_settings(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    let env = small.starts_with(".env") || small.split('.').any(|part| part == "env");
    let copied = [".bak", ".old", ".orig", ".save", ".last-good", "~"];
    env || NAMES.contains(&small.as_str())
        || ENDS.iter().any(|end| small.ends_with(end))
        || copied.iter().any(|mark| small.contains(mark))
}

/// Where people and programs keep settings on this machine.
pub(crate) fn roots() -> Vec<PathBuf> {
    [
        "/etc",
        "/root",
        "/home",
        "/srv",
        "/opt",
        "/usr/local/etc",
        "/var/lib",
        "/var/spool/cron",
        "/run/secrets",
    ]
    .map(PathBuf::from)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_their_leftovers_are_looked_into() {
        for name in [
            ".env",
            "api.env",
            ".env.production",
            "openclaw.json.bak.1",
            ".pgpass",
            "compose.yaml",
            "env.local",
            "x.service",
        ] {
            assert!(wanted(&Path::new("/srv").join(name), Kind::File(100)), "{name}");
        }
        for name in ["a.png", "main.rs", "README"] {
            assert!(!wanted(&Path::new("/srv").join(name), Kind::File(100)), "{name}");
        }
        assert!(!wanted(Path::new("/srv/node_modules"), Kind::Folder));
        assert!(!wanted(Path::new("/srv/.env"), Kind::File(1 << 30)));
    }
}
