//! Files of packages: written with fixed modes, and packed so that the same files give the same bytes.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::release::Release;
use crate::run::output;

/// The error of a file.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Writes a file with this mode, and the folders above it.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    fs::write(path, bytes).map_err(at(path))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

/// Copies a file, with this mode; of a link the file that it leads to.
pub(super) fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    fs::copy(from, to).map_err(at(from))?;
    fs::set_permissions(to, Permissions::from_mode(mode)).map_err(at(to))
}

/// Compresses a file in its place, without its name and time.
pub(super) fn compress(path: &Path) -> Result<(), String> {
    output("gzip", &["-9nf", &path.display().to_string()]).map(drop)
}

/// Gives everything below a folder, and the folder, the time of the release.
pub(super) fn settle(path: &Path, release: &Release) -> Result<(), String> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(at(path))? {
            settle(&entry.map_err(at(path))?.path(), release)?;
        }
    }
    let seconds = release.epoch.parse::<u64>().map_err(|error| format!("{}: {error}", release.epoch))?;
    let time = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    File::open(path).and_then(|file| file.set_times(time)).map_err(at(path))
}

/// Packs what is in a folder, sorted, as the files of this user and group; `more` are further words for tar.
pub(super) fn tar(
    to: &Path,
    folder: &Path,
    (owner, release): (u32, &Release),
    more: &[&str],
) -> Result<(), String> {
    let (to, folder) = (to.display().to_string(), folder.display().to_string());
    let (user, group) = (format!("--owner={owner}"), format!("--group={owner}"));
    let time = format!("--mtime=@{}", release.epoch);
    let fixed = ["--format=gnu", "--sort=name", "--numeric-owner", &user, &group, &time, "-C", &folder];
    output("tar", &[&["-f", &to][..], &fixed, more].concat()).map(drop)
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> Result<String, String> {
    let said = output("sha256sum", &[&path.display().to_string()])?;
    said.split_whitespace().next().map(str::to_owned).ok_or_else(|| format!("sha256sum said {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_they_were_written() {
        let home = tempfile::tempdir().unwrap();
        let release = Release { version: "0.0.1", epoch: "1700000000".to_owned() };
        let packed = |name: &str, order: [&str; 3], hour: u64| {
            let folder = home.path().join(name);
            for file in order {
                let path = folder.join(file);
                write(&path, file.as_bytes(), 0o644).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(hour * 3_600);
                File::open(&path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
            }
            let to = home.path().join(format!("{name}.tar"));
            tar(&to, &folder, (0, &release), &["-c", "."]).unwrap();
            fs::read(to).unwrap()
        };
        let first = packed("a", ["usr/bin/x", "usr/y", "z"], 1);
        assert_eq!(first, packed("b", ["z", "usr/y", "usr/bin/x"], 400_000));
        assert_ne!(first, packed("c", ["z", "usr/y", "usr/bin/w"], 1));
    }

    #[test]
    fn what_is_settled_has_the_time_of_the_release() {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join("a/b"), b"", 0o640).unwrap();
        settle(home.path(), &Release { version: "0.0.1", epoch: "1700000000".to_owned() }).unwrap();
        for path in ["", "a", "a/b"] {
            let time = fs::metadata(home.path().join(path)).unwrap().modified().unwrap();
            assert_eq!(time, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000), "{path}");
        }
    }
}
