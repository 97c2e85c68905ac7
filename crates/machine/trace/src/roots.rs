use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_observe::{Listing, Process, ProcessId, has_other_files, read_regular, working_folder};

/// The usual settings folders of every machine.
const EVERYWHERE: [&str; 8] =
    ["/etc", "/root", "/home", "/srv", "/opt", "/usr/local/etc", "/var/spool/cron", "/run/secrets"];

/// Where services keep their own files.
const STATE: [&str; 2] = ["/var/lib", "/var/www"];

/// The list of users; a larger one is not read, bytes.
const USERS_BYTES_MAX: usize = 4 << 20;

/// Folders that hold programs and no user's settings.
const OF_THE_MACHINE: [&str; 12] =
    ["/", "/usr", "/bin", "/sbin", "/lib", "/boot", "/proc", "/sys", "/dev", "/run", "/tmp", "/var"];

/// The folders that are searched if none is named: those of settings, the homes of all users, the working folders of
/// all processes and of keyroll itself, and the folders that managers named.
pub(crate) fn roots(listing: &Listing, of_managers: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let standing = EVERYWHERE.iter().chain(&STATE).map(PathBuf::from);
    let ours = |process: &&Process| !has_other_files(&process.id).unwrap_or(true);
    let running = listing.seen.iter().filter(ours).filter_map(|process| working_folder(&process.id).ok());
    let found = running.chain(of_managers).filter(|folder| is_somebodys(folder));
    let all: BTreeSet<PathBuf> = standing.chain(of_users()).chain(found).collect();
    all.into_iter().filter(|root| root.exists()).collect()
}

/// The working folders of processes, except homes and folders of the machine, in which any process may run.
pub(crate) fn standing<'p>(processes: impl Iterator<Item = &'p ProcessId>) -> Vec<(ProcessId, PathBuf)> {
    let homes = of_users();
    let folder = |process: &ProcessId| Some((*process, working_folder(process).ok()?));
    processes.filter_map(folder).filter(|(_, one)| is_somebodys(one) && !homes.contains(one)).collect()
}

/// The folders that may be a user's home: those of all users, or the named folders and the homes below them.
pub(crate) fn homes(named: &[PathBuf]) -> Vec<PathBuf> {
    let within = |home: &PathBuf| named.is_empty() || named.iter().any(|root| home.starts_with(root));
    let all: BTreeSet<PathBuf> = of_users().into_iter().filter(within).chain(named.iter().cloned()).collect();
    all.into_iter().collect()
}

/// The homes of the users of this machine.
fn of_users() -> Vec<PathBuf> {
    let Ok(users) = read_regular(Path::new("/etc/passwd"), USERS_BYTES_MAX) else { return Vec::new() };
    let text = String::from_utf8_lossy(&users.bytes).into_owned();
    let home = |line: &str| line.split(':').nth(5).map(PathBuf::from);
    text.lines().filter_map(home).filter(|home| is_somebodys(home)).collect()
}

/// Whether a folder may hold a program's own files: it is none of the machine's folders, and not below a folder of
/// installed files.
fn is_somebodys(folder: &Path) -> bool {
    let machines = OF_THE_MACHINE.iter().any(|one| folder == Path::new(one));
    let below = ["/usr", "/proc", "/sys", "/dev", "/boot", "/lib", "/bin", "/sbin"];
    let kept = ["/usr/local", "/usr/src"];
    let installed =
        below.iter().any(|one| folder.starts_with(one)) && !kept.iter().any(|one| folder.starts_with(one));
    folder.is_absolute() && !machines && !installed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_is_nobodys() {
        for folder in ["/srv/app", "/home/ada/work", "/tmp/run", "/var/lib/app", "/usr/local/app"] {
            assert!(is_somebodys(Path::new(folder)), "{folder}");
        }
        for folder in ["/", "/tmp", "/usr/sbin", "/proc/1", "/dev", "nonsense", ""] {
            assert!(!is_somebodys(Path::new(folder)), "{folder}");
        }
    }

    #[test]
    fn what_managers_name_is_a_root_unless_it_is_the_machines() {
        let folder = tempfile::tempdir().unwrap();
        let bound = folder.path().to_owned();
        let named = BTreeSet::from([
            bound.clone(),
            PathBuf::from("/"),
            PathBuf::from("/usr/lib"),
            bound.join("gone"),
        ]);
        let roots = roots(&Listing::default(), named);
        assert!(roots.contains(&bound), "{roots:?}");
        assert!(
            !roots.iter().any(|one| one == Path::new("/") || one.starts_with("/usr/lib") || !one.exists())
        );
    }
}
