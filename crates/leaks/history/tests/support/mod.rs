//! Repositories made by the real git, and git's own data about their objects.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

pub(crate) mod marks;
pub(crate) mod random;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyroll_history::{ObjectId, ObjectKind};

/// A folder with repositories in it.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        Ground { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new repository.
    pub(crate) fn repository(&self, name: &str, more: &[&str]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let mut words = vec!["init", "-q", "-b", "main"];
        words.extend(more);
        self.git(&path, &words);
        path
    }

    fn command(&self, at: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(at).args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.folder.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada Example");
            command.env(format!("GIT_{who}_EMAIL"), "ada@example.org");
            command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
        }
        command
    }

    /// Runs git, which must succeed.
    pub(crate) fn git(&self, at: &Path, words: &[&str]) -> Vec<u8> {
        self.given(at, words, b"")
    }

    /// Runs git with something to read.
    pub(crate) fn given(&self, at: &Path, words: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.command(at, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(to.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub(crate) fn line(&self, at: &Path, words: &[&str]) -> String {
        String::from_utf8(self.git(at, words)).unwrap().trim().to_owned()
    }

    pub(crate) fn id(&self, at: &Path, name: &str) -> ObjectId {
        ObjectId::from_hex(self.line(at, &["rev-parse", name]).as_bytes()).unwrap()
    }

    /// Every object but trees, as git gives it.
    pub(crate) fn objects(&self, at: &Path) -> BTreeMap<ObjectId, (ObjectKind, Vec<u8>)> {
        let all = self.git(at, &["cat-file", "--batch-all-objects", "--batch", "--unordered"]);
        let mut rest = all.as_slice();
        let mut found = BTreeMap::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let head = std::str::from_utf8(&rest[..end]).unwrap();
            let words: Vec<&str> = head.split(' ').collect();
            let size: usize = words[2].parse().unwrap();
            let bytes = rest[end + 1..end + 1 + size].to_vec();
            rest = &rest[end + 2 + size..];
            let kind = match words[1] {
                "blob" => ObjectKind::Blob,
                "commit" => ObjectKind::Commit,
                "tag" => ObjectKind::Tag,
                _ => continue,
            };
            found.insert(ObjectId::from_hex(words[0].as_bytes()).unwrap(), (kind, bytes));
        }
        found
    }
}
