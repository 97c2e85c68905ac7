//! A file as another process sees it, in its own mount namespace.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use keyroll_observe::{ProcessId, read_small, within};
use keyroll_secret::SecretBytes;

/// The largest file that is read through another process's root, bytes.
const READ_BACK_BYTES_MAX: usize = 1 << 20;

/// How long one such file may take, milliseconds: if its mount is dead, nothing ever answers.
const READ_BACK_MS_MAX: u64 = 5_000;

/// A file as a process sees it.
pub(super) enum Inside {
    /// Its content there.
    Holds(SecretBytes),
    /// Something there cannot be read as a file: this process does not read the value from it.
    Other,
    /// The process's root is not visible to this user, or has no such file. The starter of the process then reads the
    /// file of this machine.
    Outside,
}

pub(super) fn read_inside(process: &ProcessId, path: &Path) -> Inside {
    let (process, path) = (*process, path.to_owned());
    in_time(Duration::from_millis(READ_BACK_MS_MAX), move || read_now(&process, &path))
}

/// A file that gives no answer in time cannot be read, by the process neither.
fn in_time(wait: Duration, read: impl FnOnce() -> Inside + Send + 'static) -> Inside {
    within(wait, read).unwrap_or(Inside::Other)
}

fn read_now(process: &ProcessId, path: &Path) -> Inside {
    let Ok(below) = path.strip_prefix("/") else { return Inside::Outside };
    let root = Path::new("/proc").join(process.pid.to_string()).join("root");
    let outside = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::PermissionDenied];
    match read_small(&root.join(below), READ_BACK_BYTES_MAX) {
        Ok(bytes) => Inside::Holds(bytes),
        Err(error) if outside.contains(&error.kind()) => Inside::Outside,
        Err(_) => Inside::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_read_that_never_answers_is_no_file_and_holds_nothing_up() {
        let (end, ended) = channel::<()>();
        // It blocks for as long as this test runs, like a mount whose server is gone.
        let dead = move || {
            let _ = ended.recv();
            Inside::Holds(SecretBytes::new(b"late".to_vec()))
        };
        assert!(matches!(in_time(Duration::from_millis(20), dead), Inside::Other));
        let alive = || Inside::Holds(SecretBytes::new(b"there".to_vec()));
        assert!(matches!(in_time(Duration::from_secs(100), alive), Inside::Holds(_)));
        drop(end);
    }

    #[test]
    fn a_file_is_read_as_this_process_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let own = keyroll_observe::process(std::process::id()).unwrap().id;
        assert!(matches!(read_inside(&own, &path), Inside::Outside));
        fs::write(&path, "KEY=there").unwrap();
        let Inside::Holds(bytes) = read_inside(&own, &path) else { panic!("it is not read") };
        assert_eq!(bytes.expose(), b"KEY=there");
        assert!(matches!(read_inside(&own, folder.path()), Inside::Other));
    }
}
