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
const NOT_PATHS: [&str; 2] = ["objects", "rebase-merge"];

/// What git keeps in folders of which a submodule's path may have the name too: with anything else in it, it is such a
/// path.
const LOGS: [&str; 2] = ["HEAD", "refs"];
const REFS: [&str; 9] =
    ["heads", "tags", "remotes", "notes", "stash", "bisect", "replace", "rewritten", "original"];

/// The example scripts that git makes.
const EXAMPLE: &str = ".sample";

/// The part of a path below git's own folder, which is one of its last `parts_max` parts; `None` outside of it.
pub fn below_git(path: &Path, parts_max: usize) -> Option<&Path> {
    // Most paths have none.
    memchr::memmem::find(path.as_os_str().as_encoded_bytes(), GIT.as_bytes())?;
    let folders = path.ancestors().take(parts_max).filter(|one| one.file_name() == Some(OsStr::new(GIT)));
    path.strip_prefix(folders.last()?).ok()
}

/// What a path below git's own folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GitPlace {
    /// In one of `FOLDERS`, or that folder.
    Folder(&'static str),
    /// One of `FILES`, or a folder on the way to one.
    Read,
    /// Nothing that is read.
    Passed,
}

/// Where a path below git's own folder leads. A submodule may be called like one of git's own folders.
fn place_of(below: &Path, is_folder: bool) -> GitPlace {
    // `first` is the first part of a submodule's path, which is never one of git's own names.
    let (mut nested, mut first) = (false, false);
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else { return GitPlace::Passed };
        let next = parts.peek().map(|next| next.as_os_str().to_string_lossy());
        let holds = |own: &[&str]| next.as_deref().is_some_and(|next| own.contains(&next));
        let part = part.to_string_lossy();
        let own = !std::mem::take(&mut first);
        let is_path = nested && part == "logs" && next.is_some() && !holds(&LOGS);
        let folder = FOLDERS.into_iter().find(|folder| own && *folder == part && !is_path);
        if let Some(folder) = folder {
            return GitPlace::Folder(folder);
        } else if own && NESTED.contains(&&*part) {
            (nested, first) = (true, true);
        } else if next.is_none() && !is_folder {
            return if FILES.contains(&&*part) { GitPlace::Read } else { GitPlace::Passed };
        } else if !nested || own && (NOT_PATHS.contains(&&*part) || part == "refs" && holds(&REFS)) {
            return GitPlace::Passed;
        }
    }
    if is_folder { GitPlace::Read } else { GitPlace::Passed }
}

/// Whether a file or folder below git's own folder is searched. Objects, references and the index are not: they have
/// no text, and the history is searched by other means.
pub fn is_read_in_git(below: &Path, is_folder: bool) -> bool {
    match place_of(below, is_folder) {
        GitPlace::Folder(_) => !below.as_os_str().to_string_lossy().ends_with(EXAMPLE),
        GitPlace::Read => true,
        GitPlace::Passed => false,
    }
}

/// Whether a file below git's own folder is a log of references.
pub fn is_log_in_git(below: &Path) -> bool {
    place_of(below, false) == GitPlace::Folder("logs")
}

/// Whether a file below git's own folder is a hook.
pub(crate) fn is_hook_in_git(below: &Path) -> bool {
    place_of(below, false) == GitPlace::Folder("hooks")
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
            "modules/lfs/config",
            "modules/objects/config",
            "modules/refs/hooks/pre-push",
            "modules/vendor/refs/x/config",
            "modules/vendor/lfs/config",
            "modules/hooks/config",
            "modules/vendor/logs/config",
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
            "modules/lib/lfs/objects/ab/config",
            "modules/objects/objects/ab/cdef",
            "modules/hooks/objects/ab/cdef",
            "modules/logs/HEAD",
            "modules/vendor/logs/index",
            "modules/lib/refs/remotes/origin/main",
        ] {
            assert!(!is_read_in_git(Path::new(path), false), "{path}");
        }
        for path in [
            "",
            "modules",
            "modules/vendor/deep",
            "hooks",
            "logs/refs/heads",
            "modules/objects",
            "modules/vendor/refs",
        ] {
            assert!(is_read_in_git(Path::new(path), true), "{path}");
        }
        for path in ["objects", "refs", "modules/lib/objects", "modules/lib/refs/heads", "lfs", "rr-cache"] {
            assert!(!is_read_in_git(Path::new(path), true), "{path}");
        }
    }

    #[test]
    fn a_submodule_may_be_called_like_a_folder_of_git() {
        for path in ["hooks/logs", "modules/logs/hooks/pre-push", "modules/vendor/logs/hooks/x"] {
            assert!(is_hook_in_git(Path::new(path)) && !is_log_in_git(Path::new(path)), "{path}");
        }
        for path in
            ["logs/HEAD", "logs/refs/heads/hooks/x", "modules/logs/logs/HEAD", "modules/hooks/logs/HEAD"]
        {
            assert!(is_log_in_git(Path::new(path)) && !is_hook_in_git(Path::new(path)), "{path}");
        }
        for path in ["modules/logs/config", "modules/logs/logs/config", "config"] {
            assert!(!is_hook_in_git(Path::new(path)), "{path}");
        }
        assert!(!is_log_in_git(Path::new("modules/logs/config")));
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
