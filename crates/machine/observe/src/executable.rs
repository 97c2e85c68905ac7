use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::ProcessId;
use crate::proc::ProcFolder;

/// Whether exactly this process runs the file that is at this path of this machine now: the file itself, not one of the same
/// path in a container, and not one that was replaced since. False if either is not visible.
pub fn runs_file(process: &ProcessId, path: &Path) -> bool {
    let Ok(file) = std::fs::metadata(path) else { return false };
    let behind = ProcFolder::open_exact(process).and_then(|folder| folder.behind("exe"));
    behind.is_ok_and(|behind| (behind.st_dev, behind.st_ino) == (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn a_process_runs_its_own_executable_and_no_copy_of_it() {
        let own = process(std::process::id()).unwrap();
        let exe = own.exe.clone().unwrap();
        assert!(runs_file(&own.id, &exe));
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("link"), folder.path().join("other"));
        std::os::unix::fs::symlink(&exe, &link).unwrap();
        std::fs::write(&other, "another file").unwrap();
        assert!(runs_file(&own.id, &link));
        assert!(!runs_file(&own.id, &other) && !runs_file(&own.id, &folder.path().join("none")));
        let replaced = ProcessId { start_ticks: own.id.start_ticks + 1, ..own.id };
        assert!(!runs_file(&replaced, &exe));
    }
}
