use std::ffi::OsStr;
use std::path::{Component, Path};

/// The name of git's own folder, or of the file that names it.
const GIT: &str = ".git";

/// Files of git's own folder that may hold a credential: settings, and addresses with logins. Messages of commits belong
/// to the history.
const FILES: [&str; 4] = ["config", "config.worktree", "credentials", "FETCH_HEAD"];

/// Folders of it whose files may: scripts, and logs with the address of a clone.
const FOLDERS: [&str; 5] = ["hooks", "logs", "remotes", "branches", "info"];

/// Folders of it with a folder of the same form for each submodule or linked working tree.
const NESTED: [&str; 2] = ["modules", "worktrees"];

/// What is in such a nested folder, and not a part of a submodule's path.
const NOT_PATHS: [&str; 4] = ["objects", "refs", "lfs", "rebase-merge"];

/// The example scripts that git makes.
const EXAMPLE: &str = ".sample";

/// The part of a path below git's own folder, which is one of its last `parts_max` parts; `None` outside of it.
pub fn below_git(path: &Path, parts_max: usize) -> Option<&Path> {
    // Most paths have none.
    memchr::memmem::find(path.as_os_str().as_encoded_bytes(), GIT.as_bytes())?;
    let folders = path.ancestors().take(parts_max).filter(|one| one.file_name() == Some(OsStr::new(GIT)));
    path.strip_prefix(folders.last()?).ok()
}

/// Whether a file or folder below git's own folder is searched. Objects, references and the index are not: they have
/// no text, and the history is searched by other means.
pub fn is_read_in_git(below: &Path, is_folder: bool) -> bool {
    let mut nested = false;
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else { return false };
        let (part, is_last) = (part.to_string_lossy(), parts.peek().is_none());
        if FOLDERS.contains(&&*part) {
            return !below.as_os_str().to_string_lossy().ends_with(EXAMPLE);
        } else if NESTED.contains(&&*part) {
            nested = true;
        } else if is_last && !is_folder {
            return FILES.contains(&&*part);
        } else if !nested || NOT_PATHS.contains(&&*part) {
            return false;
        }
    }
    is_folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_keeps_addresses_in_small_files_and_never_in_its_objects() {
        for path in [
            "config",
            "config.worktree",
            "FETCH_HEAD",
            "hooks/pre-push",
            "hooks/pre-push.d/one",
            "logs/HEAD",
            "logs/refs/remotes/origin/HEAD",
            "modules/lib/config",
            "modules/vendor/deep/lib/hooks/pre-push",
            "worktrees/next/config.worktree",
            "modules/lib/modules/inner/config",
        ] {
            assert!(is_read_in_git(Path::new(path), false), "{path}");
        }
        for path in [
            "index",
            "HEAD",
            "COMMIT_EDITMSG",
            "packed-refs",
            "objects/ab/cdef",
            "objects/pack/x.pack",
            "refs/heads/config",
            "hooks/pre-push.sample",
            "modules/lib/objects/ab/cdef",
            "modules/lib/refs/heads/config",
            "modules/lib/index",
            "lfs/objects/config",
        ] {
            assert!(!is_read_in_git(Path::new(path), false), "{path}");
        }
        for path in ["", "modules", "modules/vendor/deep", "hooks", "logs/refs/heads"] {
            assert!(is_read_in_git(Path::new(path), true), "{path}");
        }
        for path in ["objects", "refs", "modules/lib/objects", "lfs", "rr-cache"] {
            assert!(!is_read_in_git(Path::new(path), true), "{path}");
        }
    }

    #[test]
    fn the_part_of_a_path_below_git_is_seen_from_the_scanned_folder() {
        let below = |path: &str, parts: usize| {
            below_git(Path::new(path), parts).map(|below| below.display().to_string())
        };
        assert_eq!(below("/srv/app/.git/hooks/x", usize::MAX).as_deref(), Some("hooks/x"));
        assert_eq!(below("./.git/config", 2).as_deref(), Some("config"));
        assert_eq!(below("./.git", 1).as_deref(), Some(""));
        assert_eq!(below("/srv/app/.git/hooks/x", 2), None, "the scanned folder is .git itself");
        assert_eq!(below("/srv/.gitignore", usize::MAX), None);
        assert_eq!(below("/srv/x.git/config", usize::MAX), None);
    }
}
