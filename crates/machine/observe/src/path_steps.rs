use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The most links on the way to one file, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The sticky bit: in such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// A folder, a link or a file on the way to a file.
#[derive(Debug)]
pub struct PathStep {
    /// Its path; no folder in it is a link.
    pub path: PathBuf,
    /// What it is itself: a link is not followed.
    pub meta: Metadata,
    /// Its folder is sticky: the owner of a link chooses where it leads.
    pub in_sticky: bool,
}

/// The way to a file, as the kernel goes it from the root folder: every folder, every link, and the file. Of a path that
/// does not exist, the part that does.
pub fn path_steps(file: &Path) -> Vec<PathStep> {
    let Ok(file) = std::path::absolute(file) else { return Vec::new() };
    let parts = |path: &Path| -> Vec<OsString> {
        path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
    };
    let (mut left, mut at) = (parts(&file), PathBuf::new());
    let (mut all, mut links): (Vec<PathStep>, usize) = (Vec::new(), 0);
    while let Some(part) = left.pop() {
        let next = match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                // The folder above the root folder is the root folder.
                if at.parent().is_some_and(|above| !above.as_os_str().is_empty()) {
                    at.pop();
                }
                continue;
            }
            Some(Component::CurDir) | None => continue,
            Some(Component::RootDir | Component::Prefix(_)) => PathBuf::from("/"),
            Some(Component::Normal(name)) => at.join(name),
        };
        let Ok(meta) = next.symlink_metadata() else { break };
        let in_sticky = at.metadata().is_ok_and(|folder| folder.mode() & STICKY != 0);
        if meta.is_symlink() {
            links += 1;
            let Some(target) = next.read_link().ok().filter(|_| links <= LINKS_MAX) else { break };
            left.extend(parts(&target));
        } else {
            at.clone_from(&next);
        }
        all.push(PathStep { path: next, meta, in_sticky });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_every_folder_on_the_way_is_a_step() {
        let scene = tempfile::tempdir().unwrap();
        let root = scene.path().canonicalize().unwrap();
        for folder in ["a", "b", "c/d"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("c/d/file"), "").unwrap();
        symlink("../b/second", root.join("a/first")).unwrap();
        symlink(root.join("c/d"), root.join("b/second")).unwrap();
        let named = |path: &str| {
            let steps = path_steps(&root.join(path));
            let below = steps.iter().filter_map(|step| step.path.strip_prefix(&root).ok());
            below.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let all = ["", "a", "a/first", "b", "b/second", "", "c", "c/d", "c/d/file"];
        assert_eq!(named("a/first/file"), all);
        assert_eq!(named("a/../c/./none/file"), ["", "a", "c"]);
        assert_eq!(path_steps(Path::new("/../..")).len(), 1);
        symlink("loop", root.join("loop")).unwrap();
        assert!(named("loop").len() <= 1 + LINKS_MAX);
    }
}
