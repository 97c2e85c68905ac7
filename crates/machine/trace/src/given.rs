//! How a process got its environment, and what gives its next start another one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_manager::home_of;
use keyroll_observe::{ProcessId, Start, script, started_unix_ms};

use crate::services::{Reads, here, start_again, variables_of};
use crate::{Link, LinkRole, Made, Place, Service, Survey};

/// How many folders above the working folder a program's file may be in, and how many below it.
const ABOVE_MAX: usize = 3;
const BELOW_MAX: usize = 2;

/// What is known of the environment of a service.
pub(crate) enum Kind {
    /// Nobody says where it comes from.
    Unmanaged,
    /// Its manager starts something that sets it: this restarts it.
    Set(Option<String>),
    /// Its manager keeps what it was made with.
    Made(Made),
}

impl Kind {
    /// `None` = its manager shows where the environment comes from.
    pub(crate) fn of(service: &Service, main: &ProcessId) -> Option<Self> {
        if let Some(made) = &service.made {
            return Some(Self::Made(made.clone()));
        }
        if !service.managed_by.is_service() {
            return Some(Self::Unmanaged);
        }
        let is_own = |link: &Link| link.place.as_ref().and_then(Place::process) == Some(main);
        let unseen = service.chains.iter().filter_map(|chain| chain.links.first());
        let restart = service.declaration.as_ref().and_then(|one| one.restart.clone());
        let mut own = unseen.filter(|link| is_own(link) && matches!(link.role, LinkRole::NotVisible(_)));
        own.next().map(|_| Self::Set(restart))
    }

    pub(crate) fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }

    /// The commands that apply a change of a file. `of_main` = its variables are in the environment of the first process.
    pub(crate) fn commands(
        &self,
        survey: &Survey,
        starts: &BTreeMap<ProcessId, Start>,
        service: &Service,
        main: &ProcessId,
        (file, of_main): (&Path, bool),
    ) -> Commands {
        match self {
            Self::Unmanaged => Commands::of_process(survey, starts, main, (file, of_main)),
            Self::Set(Some(restart)) => Commands { applies: Some(restart.clone()), seems: None },
            Self::Set(None) => {
                Commands { applies: Some(format!("a restart of {}", service.name)), seems: None }
            }
            Self::Made(made) => {
                let (applies, seems) = ((made.again)(&service.name, file), made.restart.clone());
                Commands { applies: Some(applies), seems: Some(seems) }
            }
        }
    }
}

/// How a process got its environment.
pub(crate) struct Given {
    /// When, milliseconds since 1970.
    pub(crate) unix_ms: Option<u64>,
    pub(crate) near: Near,
    /// Its manager keeps the environment with which it was made.
    pub(crate) made: bool,
    /// When the interactive shell began that started it: its exports may be older than the process.
    pub(crate) shell_unix_ms: Option<u64>,
}

impl Given {
    pub(crate) fn of(survey: &Survey, kind: &Kind, process: &ProcessId) -> Self {
        match kind {
            Kind::Made(made) => {
                let near = Near { folders: made.folder.clone().into_iter().collect(), ..Near::default() };
                Self { unix_ms: Some(made.unix_ms), near, made: true, shell_unix_ms: None }
            }
            Kind::Unmanaged | Kind::Set(_) => {
                let unix_ms = started_unix_ms(process).ok();
                let shell = survey.shell_of(process).and_then(|shell| started_unix_ms(&shell).ok());
                Self { unix_ms, near: Near::of(survey, process), made: false, shell_unix_ms: shell }
            }
        }
    }
}

/// The commands that apply a change of a file, and those that only seem to.
#[derive(Clone)]
pub(crate) struct Commands {
    /// `None` = nothing that concerns this process alone.
    pub(crate) applies: Option<String>,
    pub(crate) seems: Option<String>,
}

impl Commands {
    /// The program may be a shell's, which exports what it has read before.
    pub(crate) fn of_shell(survey: &Survey, process: &ProcessId, file: &Path) -> Self {
        let shell = survey.shell_of(process).map_or(0, |shell| shell.pid);
        let file = keyroll_observe::shown(file);
        let applies = format!(
            "in shell {shell}: end the program, read {file} again (set -a; . FILE; set +a), and start it there"
        );
        Self { applies: Some(applies), seems: None }
    }

    fn of_process(
        survey: &Survey,
        starts: &BTreeMap<ProcessId, Start>,
        main: &ProcessId,
        (file, of_main): (&Path, bool),
    ) -> Self {
        let start = |id: &ProcessId| starts.get(id).and_then(variables_of);
        let reads = if of_main { Reads::Sourced(file) } else { Reads::Itself };
        let process = survey.listing.seen.iter().find(|one| one.id == *main);
        // A manager's own process: its end would be that of all that it keeps running.
        let kept = survey.services.iter().filter(|one| one.managed_by.is_service());
        let kept: BTreeSet<ProcessId> = kept.flat_map(|one| one.processes.iter().copied()).collect();
        let keeps = survey.listing.seen.iter().any(|one| one.ppid == main.pid && kept.contains(&one.id));
        let process = process.filter(|_| !keeps);
        let applies = process.map(|process| start_again(&survey.listing, &start, process, reads));
        Self { applies, seems: None }
    }
}

/// Where a process would look for a file of variables.
#[derive(Default)]
pub(crate) struct Near {
    folders: BTreeSet<PathBuf>,
    /// The working folder: programs keep files in `config` too.
    below: Option<PathBuf>,
    named: Vec<PathBuf>,
}

impl Near {
    fn of(survey: &Survey, main: &ProcessId) -> Self {
        let (mut folders, mut named) = (BTreeSet::new(), Vec::new());
        let process = survey.listing.seen.iter().find(|one| one.id == *main);
        let folder = here(main);
        if let Some(folder) = &folder {
            folders.extend(
                folder.ancestors().take(ABOVE_MAX).filter(|one| one.parent().is_some()).map(Path::to_owned),
            );
        }
        folders.extend(process.and_then(|one| home_of(one.uid?)));
        if let (Some(process), Some(folder)) = (process, &folder) {
            let script = script(process).map(|script| folder.join(script));
            folders.extend(script.and_then(|script| Some(script.parent()?.to_owned())));
            process.args.any(|word| {
                let word = word.split(|byte| *byte == b'=').next_back().unwrap_or_default();
                if let Ok(text) = std::str::from_utf8(word)
                    && text.contains("env")
                {
                    named.push(folder.join(text.strip_prefix("./").unwrap_or(text)));
                }
                false
            });
        }
        Self { folders, below: folder, named }
    }

    pub(crate) fn has(&self, path: &Path) -> bool {
        let above = |folder: &Path| {
            folder.ancestors().take(BELOW_MAX + 1).any(|one| self.below.as_deref() == Some(one))
        };
        path.parent().is_some_and(|folder| self.folders.contains(folder) || above(folder))
            || self.named.iter().any(|one| one == path)
    }
}
