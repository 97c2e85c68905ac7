use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_config::FoundCopy;
use keyroll_manager::SurveyedAgent;
use keyroll_needle::Encoding;
use keyroll_observe::working_folder;
use keyroll_trace::{
    Basis, Chain, Link, LinkRole, ManagedBy, Place, Service, Sighting, SurveyedSecret, User, ValueId,
    chains_of, is_left_behind, without_wrappings,
};

use crate::consumer_draft::Context;
use crate::copy::copy;
use crate::process::main_of;

/// The fewest components of a folder that may belong to one program: `/` and `/srv` hold many.
const OWN_STEPS_MIN: usize = 3;

const NAMED_BY_A_KEY: &str = "its path contains a name that looks like a credential";

/// The copies that a consumer starts from.
pub(crate) struct Copies<'a> {
    around: &'a Context<'a>,
    found: &'a SurveyedSecret,
    user: &'a User,
    service: Option<&'a Service>,
    /// The copies, as tables of the configuration.
    pub all: Vec<FoundCopy>,
    /// Their places.
    pub places: BTreeSet<Place>,
    /// Notes on them, and on copies that cannot be drafted.
    pub notes: Vec<String>,
}

impl<'a> Copies<'a> {
    /// From each chain, the winning copy; if the manager itself stores it, the file that it was read from. Without a
    /// chain: the files that the process has open, otherwise those in its folder.
    pub(crate) fn of(
        around: &'a Context<'a>,
        found: &'a SurveyedSecret,
        user: &'a User,
        service: Option<&'a Service>,
    ) -> Self {
        let (all, places, notes) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut copies = Self { around, found, user, service, all, places, notes };
        for chain in chains_of(around.survey, found, user) {
            copies.of_chain(chain);
        }
        if copies.all.is_empty() {
            let open = copies.open();
            let own: Vec<Place> =
                copies.beside(|one| one.place.file().is_some_and(|path| open.contains(path)));
            for place in own {
                copies.take(&place, "");
            }
        }
        if copies.all.is_empty() && !copies.notes.iter().any(|note| note.starts_with("which copy")) {
            copies.of_folder(None);
        }
        copies
    }

    fn of_chain(&mut self, chain: &Chain) {
        let holding = || chain.links.iter().filter(|link| holds(self.found, link));
        let wins = holding().find(|link| link.role == LinkRole::Wins);
        let hidden = chain.links.iter().find_map(|link| match link.role {
            LinkRole::NotVisible(why) => Some((link, why)),
            LinkRole::Wins | LinkRole::Shadowed | LinkRole::NotRead | LinkRole::NotThere => None,
        });
        if let (None, Some((link, why))) = (wins, hidden) {
            if self.perhaps(chain) {
                return;
            }
            let (name, what) = (self.around.names.shown(&chain.name), without_wrappings(&link.what));
            return self.notes.push(format!("not visible which copy of {name} wins: {what} ({why})"));
        }
        let Some(from) = wins.or_else(|| holding().next()) else { return };
        if let Some(place) = wins.and_then(|wins| wins.place.as_ref())
            && self.take(place, &chain.name)
        {
            if wins.is_some_and(|wins| wins.basis == Basis::Names) {
                self.notes.push(format!(
                    "{place}: its other names agree with the environment of the process; its start was not seen to \
                     read that file"
                ));
            }
            let doubt = chain.next().is_none().then_some(hidden).flatten();
            self.notes.extend(doubt.map(|(link, why)| {
                let what = without_wrappings(&link.what);
                format!("not visible whether {what} wins over {place} ({why})")
            }));
            return;
        }
        // A value that a manager stores was read from a file: its manifest, or another file of the project.
        let manifest = self.manifest();
        let of_manifest = holding().filter(|link| link.value == from.value);
        let of_manifest = of_manifest.filter_map(|link| link.place.as_ref());
        let of_manifest = of_manifest.filter(|place| place.file().is_some() && place.file() == manifest);
        let of_manifest: Vec<&Place> = of_manifest.collect();
        let before = self.all.len();
        for place in of_manifest {
            self.take(place, &chain.name);
        }
        if self.all.len() > before {
            return;
        }
        if !self.of_folder(Some((&chain.name, from))) {
            self.notes.push(format!("{} has it, and no file was found that it comes from", from.what));
        }
    }

    /// Without a manager: the files that hold the value of the process's start environment under the same name. Its
    /// start may read one of them. For a job, which has no process now: the files that its line may read.
    fn perhaps(&mut self, chain: &Chain) -> bool {
        let started = |link: &&Link| matches!(link.place, Some(Place::Environment { .. }));
        let started = chain.links.iter().find(started).and_then(|link| link.value);
        let nobodys = self.user.managed_by == ManagedBy::Unmanaged && started.is_some();
        let is_job =
            self.service.and_then(|service| service.declaration.as_ref()).is_some_and(|of| of.is_job);
        let mut any = false;
        for link in &chain.links {
            let (LinkRole::NotVisible(why), Some(place)) = (link.role, &link.place) else { continue };
            if nobodys && link.value == started {
                any |= self.same(place, &chain.name);
            } else if is_job
                && place.file().is_some()
                && holds(self.found, link)
                && self.take(place, &chain.name)
            {
                self.notes.push(format!("not visible whether its program gets {place} ({why})"));
                any = true;
            }
        }
        any
    }

    /// Adds a place that holds the same value as a place that cannot be written, with a note that no start was seen to
    /// read it.
    fn same(&mut self, place: &Place, name: &str) -> bool {
        let taken = self.take(place, name);
        if taken {
            self.notes
                .push(format!("{place} holds the same value; its start was not seen to read that file"));
        }
        taken
    }

    /// Adds the files in its folder that hold the same value, under the same name if that is known.
    fn of_folder(&mut self, from: Option<(&str, &Link)>) -> bool {
        let Some(folder) = self.folder() else { return false };
        let name = from.map(|(name, _)| name);
        let value = from.and_then(|(_, link)| link.value);
        // Files that a manager writes for itself are not sources.
        let kept = self.service.and_then(|service| {
            let own = service.agent.as_deref().and_then(SurveyedAgent::state);
            own.or_else(|| service.declaration.as_ref()?.manager_folder.as_deref())
        });
        let places = self.beside(|one| {
            let inside =
                |path: &Path| path.starts_with(&folder) && !kept.is_some_and(|kept| path.starts_with(kept));
            (value.is_none() || Some(one.value) == value)
                && (name.is_none() || one.name.as_deref() == name)
                && one.slot.is_some()
                && one.place.file().is_some_and(inside)
        });
        let mut any = false;
        for place in places {
            any |= self.same(&place, name.unwrap_or_default());
        }
        any
    }

    /// The folder of its project, or its working folder.
    fn folder(&self) -> Option<PathBuf> {
        let project = self.service.and_then(|service| service.project.as_deref());
        let of_service = self.manifest().and_then(Path::parent).or(project).map(Path::to_owned);
        let own = || main_of(self.around.survey, self.user).and_then(|main| working_folder(&main).ok());
        of_service.or_else(own).filter(|folder| folder.components().count() >= OWN_STEPS_MIN)
    }

    /// The file in which its manager declares it.
    fn manifest(&self) -> Option<&'a Path> {
        self.service?.declaration.as_ref()?.manifest.as_deref()
    }

    /// The files with copies that its processes have open.
    fn open(&self) -> BTreeSet<&'a Path> {
        let instances = self.user.processes.iter().filter_map(|one| self.around.survey.instances.get(one));
        let open = instances.flat_map(|one| &one.open).filter(|open| !open.replaced);
        open.map(|open| open.path.as_path()).collect()
    }

    /// The wanted places in files. Leaves out leftover files and encoded copies.
    fn beside(&self, wanted: impl Fn(&Sighting) -> bool) -> Vec<Place> {
        let good = |one: &&Sighting| {
            one.encoding == Encoding::Raw
                && one.place.file().is_some_and(|path| !is_left_behind(path))
                && wanted(one)
        };
        let all: BTreeSet<Place> =
            self.found.sightings.iter().filter(good).map(|one| one.place.clone()).collect();
        all.into_iter().collect()
    }

    /// Adds a place in a file, if keyroll can write there.
    fn take(&mut self, place: &Place, name: &str) -> bool {
        let (Place::File { path, line }, Some(value)) = (place, value_at(self.found, place)) else {
            return false;
        };
        let copy = copy(self.around.survey, (path, *line), name, value, self.around.folder);
        let clean = |copy: &FoundCopy| copy.iter().all(|(_, text)| self.around.names.is_clean(text));
        match copy.and_then(|copy| if clean(&copy) { Ok(copy) } else { Err(NAMED_BY_A_KEY) }) {
            Ok(copy) => {
                self.places.insert(place.clone());
                if !self.all.contains(&copy) {
                    self.all.push(copy);
                }
                true
            }
            Err(why) => {
                self.notes.push(format!("{place} cannot be written: {why}"));
                false
            }
        }
    }
}

/// The value of a secret at a place.
pub(crate) fn value_at(found: &SurveyedSecret, place: &Place) -> Option<ValueId> {
    found.sightings.iter().find(|one| one.place == *place).map(|one| one.value)
}

fn holds(found: &SurveyedSecret, link: &Link) -> bool {
    link.value.is_some_and(|value| found.values.contains(&value))
}
