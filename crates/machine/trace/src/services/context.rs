use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_leak::Rules;
use keyroll_manager::{Variables, user_homes, user_names};
use keyroll_observe::{Listing, NotVisible, Process, ProcessId, Rights, Start, shown};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use super::build::within;
use crate::Unseen;

/// How long reading the files of a home may take: its server may be gone, and then nothing ever answers.
const HOME_WAIT: Duration = Duration::from_secs(15);

/// The surroundings of a service: the processes, the answers of managers, the users.
pub(crate) struct Context<'a> {
    pub(crate) listing: &'a Listing,
    pub(crate) users: BTreeMap<u32, String>,
    /// The user of each home; if several users have it, root.
    pub(crate) owners: BTreeMap<PathBuf, u32>,
    pub(crate) unseen: Vec<Unseen>,
    /// The folders of services: projects, and everything that is mounted into containers, including volumes.
    pub(crate) folders: BTreeSet<PathBuf>,
    /// Homes that did not answer: they are not read again.
    silent: BTreeSet<PathBuf>,
    starts: &'a BTreeMap<ProcessId, Start>,
    of_pid: BTreeMap<u32, &'a Process>,
    children: BTreeMap<u32, Vec<&'a Process>>,
    rules: &'static Rules,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        listing: &'a Listing,
        starts: &'a BTreeMap<ProcessId, Start>,
        rules: &'static Rules,
    ) -> Self {
        let of_pid = listing.seen.iter().map(|one| (one.id.pid, one)).collect();
        let mut children: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        for one in &listing.seen {
            children.entry(one.ppid).or_default().push(one);
        }
        let (users, unseen) = (user_names(), Vec::new());
        let owners = user_homes().into_iter().rev().map(|(uid, home)| (home, uid)).collect();
        let (folders, silent) = (BTreeSet::new(), BTreeSet::new());
        Self { listing, users, owners, unseen, folders, silent, starts, of_pid, children, rules }
    }

    /// The number of a local user.
    pub(crate) fn uid_of(&self, name: &str) -> Option<u32> {
        self.users.iter().find(|(_, known)| *known == name).map(|(uid, _)| *uid)
    }

    /// The process with this number.
    pub(crate) fn process(&self, pid: u32) -> Option<&'a Process> {
        self.of_pid.get(&pid).copied()
    }

    /// Its children.
    pub(crate) fn children(&self, pid: u32) -> &[&'a Process] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// A process and all its descendants.
    pub(crate) fn tree(&self, root: ProcessId) -> Vec<ProcessId> {
        let (mut all, mut at) = (vec![root], 0);
        while let Some(parent) = all.get(at).copied() {
            all.extend(self.children(parent.pid).iter().map(|one| one.id));
            at += 1;
        }
        all
    }

    /// The environment that a process was started with; none if it is not visible, was overwritten, or the process has
    /// ended.
    pub(crate) fn start(&self, process: &ProcessId) -> Option<Variables> {
        variables_of(self.starts.get(process)?)
    }

    /// Whether a variable is a secret by its form or its name.
    pub(crate) fn is_secret(&self, name: &str, value: &SecretBytes) -> bool {
        within(name, value.expose(), self.rules).is_some()
    }

    /// Reads files of a home with its owner's rights, or with those of its user if root owns it: the files below it are
    /// the user's all the same. Returns nothing for a missing home. A home that does not answer, from the first folder
    /// to the last file, is abandoned.
    pub(crate) fn in_home<T: Default + Send + 'static>(
        &mut self,
        home: &Path,
        read: impl FnOnce(&Rights) -> T + Send + 'static,
    ) -> T {
        if self.silent.contains(home) {
            return T::default();
        }
        match as_owner(HOME_WAIT, home.to_owned(), self.owners.get(home).copied(), read) {
            Ok(read) => read,
            Err(NotVisible::Vanished) => T::default(),
            Err(why) => {
                if why == NotVisible::Stuck {
                    self.silent.insert(home.to_owned());
                }
                self.not_seen(format!("what programs keep in {}", shown(home)), why.to_string());
                T::default()
            }
        }
    }

    /// Reports that a manager did not answer.
    pub(crate) fn not_told(&mut self, what: impl Into<String>, failure: &Failure) {
        let source = failure.source.as_ref().map(|source| source.to_string());
        let source = source.unwrap_or_else(|| failure.attempted.clone());
        self.not_seen(what, source);
    }

    pub(crate) fn not_seen(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.unseen.push(Unseen { what: what.into(), reason: reason.into(), uid: None });
    }
}

/// The variables of a start; none if the process wrote over them.
pub(crate) fn variables_of(start: &Start) -> Option<Variables> {
    if start.overwritten() {
        return None;
    }
    let mut all = Variables::new();
    for (name, entry) in start.entries() {
        let Some(name) = name else { continue };
        let value = entry.get(name.len() + 1..).unwrap_or_default();
        // Of several entries with one name the first counts, as for getenv(3).
        all.entry(name).or_insert_with(|| SecretBytes::new(value.to_vec()));
    }
    Some(all)
}

/// Reads files of a home with its owner's rights, within the time limit.
fn as_owner<T: Send + 'static>(
    wait: Duration,
    home: PathBuf,
    user: Option<u32>,
    read: impl FnOnce(&Rights) -> T + Send + 'static,
) -> Result<T, NotVisible> {
    keyroll_observe::within(wait, move || {
        let owner = Rights::of_owner(&home)?;
        let kept_by_root = user.filter(|_| owner.is_of(0));
        let rights = kept_by_root.map_or(owner, Rights::of_user);
        rights.reading(|| read(&rights))
    })?
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::process::{Child, Command};
    use std::sync::mpsc::channel;

    use keyroll_leak::Rules;
    use tempfile::TempDir;

    use super::*;

    /// A user id that no machine uses.
    const USER: u32 = 21_001;

    /// A home of a user, with one link to a file of the user and one to a file that only root may read, both with this
    /// text. `None` = this is not root, and has no rights to give up.
    pub(crate) fn home_with_links(text: &str, [own, roots]: [&str; 2]) -> Option<TempDir> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: only root can give up its rights");
            return None;
        }
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        chown(home.path(), Some(USER), Some(USER)).unwrap();
        for (link, owner) in [(own, USER), (roots, 0)] {
            let file = home.path().join(format!("file-of-{owner}"));
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            chown(&file, Some(owner), Some(owner)).unwrap();
            let link = home.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(&file, link).unwrap();
        }
        Some(home)
    }

    /// A process of that user, ended on drop.
    pub(crate) struct UserProcess(Child);

    impl UserProcess {
        pub(crate) fn start(folder: &Path) -> Self {
            use std::os::unix::process::CommandExt as _;
            let mut command = Command::new("sleep");
            Self(command.arg("100000").current_dir(folder).uid(USER).gid(USER).spawn().unwrap())
        }

        pub(crate) fn process(&self) -> Process {
            keyroll_observe::process(self.0.id()).unwrap()
        }
    }

    impl Drop for UserProcess {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// With a [`Context`] in which nothing runs.
    pub(crate) fn alone<T>(test: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let (listing, starts) = (Listing::default(), BTreeMap::new());
        test(&mut Context::new(&listing, &starts, Rules::shipped().unwrap()))
    }

    #[test]
    fn a_home_that_never_answers_holds_no_survey_up() {
        let home = tempfile::tempdir().unwrap();
        let (end, ended) = channel::<()>();
        // It blocks for as long as this test runs, like a file whose server is gone.
        let dead = move |_: &Rights| {
            let _ = ended.recv_timeout(Duration::from_secs(100));
        };
        let (there, short) = (home.path().to_owned(), Duration::from_millis(20));
        assert_eq!(as_owner(short, there.clone(), None, dead), Err(NotVisible::Stuck));
        drop(end);
        let long = Duration::from_secs(100);
        let owner = Rights::of_owner(home.path());
        assert_eq!(as_owner(long, there, None, Rights::clone), owner);
        assert_eq!(as_owner(long, home.path().join("gone"), None, |_| ()), Err(NotVisible::Vanished));
    }

    #[test]
    fn of_a_home_that_root_keeps_what_is_its_users_is_read() {
        let Some(home) = home_with_links("text", ["own", "roots"]) else { return };
        chown(home.path(), Some(0), Some(0)).unwrap();
        let read = |name: &'static str| {
            let path = home.path().join(name);
            let read = move |_: &Rights| fs::read_to_string(path).is_ok();
            as_owner(Duration::from_secs(100), home.path().to_owned(), Some(USER), read)
        };
        assert_eq!((read("own"), read("roots")), (Ok(true), Ok(false)));
    }

    #[test]
    fn a_home_that_did_not_answer_is_not_asked_again() {
        let home = tempfile::tempdir().unwrap();
        alone(|context| {
            assert!(context.in_home(home.path(), |_| true));
            context.silent.insert(home.path().to_owned());
            assert!(!context.in_home(home.path(), |_| true));
        });
    }
}
