//! Files that references name. OpenClaw reads none that is a link, that belongs to another user, or that others can access:
//! `secrets reload` keeps every key then, in a rollback too.

use std::fs::symlink_metadata;
use std::os::unix::fs::MetadataExt as _;

use keyroll_agents::ReferencedFile;
use keyroll_port::{Class, Failure};

use super::OpenClaw;
use crate::shell_word::shell_word;

/// What everybody but the owner may do with a file, by its mode.
const OTHERS: u32 = 0o077;

impl OpenClaw {
    /// A file that a reference names and the gateway would not read.
    pub(super) fn unread_reference(&self) -> Option<Failure> {
        let owner = self.state.metadata().ok()?.uid();
        self.home().referenced_files().ok()?.iter().find_map(|file| self.unread(file, owner))
    }

    fn unread(&self, file: &ReferencedFile, owner: u32) -> Option<Failure> {
        let meta = symlink_metadata(&file.path).ok()?;
        let (path, word) = (file.path.display(), shell_word(file.path.to_string_lossy()));
        let (why, help) = if meta.is_symlink() {
            (
                format!("{path} is a link"),
                format!("name the file itself in {}", self.home().settings_file().display()),
            )
        } else if file.any_mode {
            return None;
        } else if meta.uid() != owner {
            (format!("{path} belongs to user {}", meta.uid()), format!("chown {owner} {word}"))
        } else if meta.mode() & OTHERS != 0 {
            (
                format!("other users can access {path}: its mode is {:04o}", meta.mode() & 0o7777),
                format!("chmod 600 {word}"),
            )
        } else {
            return None;
        };
        Some(self.failed(Class::Permanent, "read every key that a reference names").because(why).help(help))
    }
}
