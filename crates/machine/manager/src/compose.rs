//! A service of docker compose.

pub(crate) mod drift;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId};
use keyroll_port::{Class, Failure, FailureKind};

use crate::command::{Ended, Output, With};
use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::docker::{Docker, STOP_GRACE, State, is_init, processes_of, unknown};
use crate::facts::Notice::{Away, NoneFails};
use crate::facts::{OF_PROCESS, nightly};
use crate::find::list;
use crate::shell_word::shell_word;
use crate::{
    Applied, AppliedBy, Attempt, DraftValue, Drift, InstanceProcess, ManagerFact, OwnCopies,
    ServiceDeclaration, ServiceIdentity, Workload,
};

/// The verb, without options that affect other services or fetch images.
pub(crate) const UP: [&str; 6] = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never"];

/// The names of a project's files. Source: the Compose specification.
const PROJECT_FILES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// The project's files that exist; `place` is its folder or one of them.
fn project_files(place: &Path) -> Vec<PathBuf> {
    if !place.is_dir() {
        return vec![place.to_owned()];
    }
    PROJECT_FILES.iter().map(|name| place.join(name)).filter(|file| file.exists()).collect()
}

/// The engine's message when another container has the name.
const TAKEN: &[u8] = b"is already in use by container";

/// How long finding a service's containers may take, milliseconds.
const FIND_MS_MAX: u64 = 30_000;

/// A service of docker compose. `up` is the verb: a container keeps the environment that it was created with, and
/// `restart` would apply nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compose {
    /// The engine.
    pub docker: Docker,
    /// The project's folder, or one of its files.
    pub place: PathBuf,
    /// The service; its replicas are recreated together.
    pub service: String,
    /// How long its containers must stay up, and healthy where they have a health check, to count as applied.
    pub settle: Duration,
}

/// The containers of a service, and the project that they belong to.
#[derive(Default)]
pub(crate) struct Project {
    pub(crate) name: String,
    folder: String,
    files: Vec<String>,
    variables: Vec<String>,
    pub(crate) containers: Vec<State>,
}

impl Project {
    /// The project that a container was created from, by the labels that compose gave it; without its containers.
    pub(crate) fn of(container: &State) -> Option<Self> {
        let split = |text: &Option<String>| -> Vec<String> {
            let all = text.iter().flat_map(|text| text.split(','));
            all.filter(|one| !one.is_empty()).map(str::to_owned).collect()
        };
        Some(Self {
            name: container.project.clone()?,
            folder: container.folder.clone().unwrap_or_default(),
            files: split(&container.files),
            variables: split(&container.variables),
            containers: Vec::new(),
        })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(&self.folder)
    }

    /// The files that compose fills in variables from: `.env` of its folder, unless others were named.
    pub(crate) fn fills(&self) -> Vec<PathBuf> {
        let named = self.variables.iter().map(PathBuf::from);
        if self.variables.is_empty() { vec![self.folder().join(".env")] } else { named.collect() }
    }

    /// `compose` with the project, the files and the folder that the containers were created from.
    pub(crate) fn words<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        self.with_files(&[], more)
    }

    /// The present number of containers: an operator may have used `--scale`, which no file records, and `up` alone
    /// would end the additional ones.
    pub(crate) fn scale(&self, service: &str) -> String {
        format!("{service}={}", self.containers.len() - self.left().count())
    }

    /// The leftovers of a killed `up`: replacements that were never started, whose originals still exist.
    fn left(&self) -> impl Iterator<Item = &State> {
        let there = |id: &String| self.containers.iter().any(|one| one.id == *id);
        let left = move |one: &&State| one.status == "created" && one.replaces.as_ref().is_some_and(there);
        self.containers.iter().filter(left)
    }

    /// The same, with one more file, read from standard input, that overrides the others.
    pub(crate) fn words_over<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        self.with_files(&["--file", "-"], more)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Whether compose fills in variables from this file.
    pub(crate) fn fills_from(&self, file: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.fills().iter().any(|one| real(one) == real(file))
    }

    fn with_files<'a>(&'a self, last: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["compose", "--project-name", &self.name, "--project-directory", &self.folder];
        words.extend(self.files.iter().flat_map(|file| ["--file", file.as_str()]));
        words.extend(last);
        words.extend(self.variables.iter().flat_map(|file| ["--env-file", file.as_str()]));
        words.extend(more);
        words
    }
}

impl Compose {
    /// A service of a project that a survey found.
    pub fn declaration(folder: &Path, service: &str) -> ServiceDeclaration {
        let runs = [("compose", DraftValue::path(folder)), ("service", DraftValue::text(service))];
        ServiceDeclaration {
            identity: Some(ServiceIdentity::placed("compose", service, folder)),
            ..ServiceDeclaration::new("compose", service, runs)
        }
    }

    /// A service on this machine's engine that must stay up for two seconds.
    pub fn new(place: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        Self {
            docker: Docker::default(),
            place: place.into(),
            service: service.into(),
            settle: Duration::from_secs(2),
        }
    }

    /// The service's containers and their project, by the labels that compose gave them.
    pub(crate) fn project(&self) -> Result<Project, Failure> {
        let deadline = Instant::now() + Duration::from_millis(FIND_MS_MAX);
        let service = format!("label=com.docker.compose.service={}", self.service);
        let words = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &service];
        let words = [&words[..], &["--filter", "label=com.docker.compose.oneoff=False"]].concat();
        // The engine may still remove and create what a killed `up` asked for: then it is listed again.
        let mut containers = loop {
            let (ids, _) = self.docker.ask(&words, None, deadline)?;
            let ids = String::from_utf8_lossy(ids.expose()).into_owned();
            let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
            let containers = self.docker.inspect_listed(&ids, deadline)?;
            if containers.len() >= ids.len() || Instant::now() >= deadline {
                break containers;
            }
        };
        containers.retain(|one| self.is_of(one));
        let first = containers.first().ok_or_else(|| {
            self.failed(Class::Permanent, "find").because("no container of it was ever created there").help(
                "correct `runs.compose` and `runs.service`; `docker compose ls --all` shows the projects",
            )
        })?;
        let name = first.project.clone().unwrap_or_default();
        if containers.iter().any(|one| one.project.as_deref() != Some(&name)) {
            return Err(self
                .failed(Class::Permanent, "tell which containers are of")
                .because("two projects were started from this folder")
                .help("end the one that is not meant: `docker compose --project-name NAME down`"));
        }
        let project = Project::of(first).unwrap_or_default();
        Ok(Project { name, containers, ..project })
    }

    /// Whether a container was created from this folder or file.
    fn is_of(&self, one: &State) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let place = real(&self.place);
        let of_folder = one.folder.as_deref().is_some_and(|folder| real(Path::new(folder)) == place);
        let of_file =
            one.files.iter().flat_map(|all| all.split(',')).any(|file| real(Path::new(file)) == place);
        of_folder || of_file
    }

    pub(crate) fn failed(&self, class: Class, verb: &str) -> Failure {
        let what = format!("{verb} the service {} of {}", self.service.escape_debug(), self.place.display());
        Failure::new(class, Code::ContainerUnusable, what).kind(FailureKind::ServiceUnusable)
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let before = self.project()?;
        // A killed `up` leaves the replacement created and not started: then the service can still be started.
        if before.containers.iter().all(State::stopped) {
            return Err(self
                .failed(Class::Permanent, "restart")
                .because("it is stopped, and `up` would start it")
                .help("declare it `at_rest`, or start it"));
        }
        let scale = before.scale(&self.service);
        let mut ended = self.up(&before, &scale, deadline, started)?;
        if name_was_taken(&ended) {
            let now = self.project().map_err(unknown)?;
            if !now.containers.iter().all(State::stopped) {
                ended = self.up(&now, &scale, deadline, started).map_err(unknown)?;
            }
        }
        if !ended.status.success() {
            return Err(Failure::new(
                Class::Unknown,
                Code::ContainerUnusable,
                format!("carry out `docker compose up` for {}", self.service),
            )
            .because(ended.status.to_string())
            .help(format!("run it by hand to see why: `{}`", self.recreates())));
        }
        let after = self.project().map_err(unknown)?;
        let ids: Vec<&str> = after.containers.iter().map(|one| one.id.as_str()).collect();
        if let Some(old) = before.containers.iter().find(|one| ids.contains(&one.id.as_str())) {
            let what = format!("see the service {} recreated", self.service);
            return Err(Failure::new(Class::Unknown, Code::ContainerUnusable, what)
                .because(format!("the container {} was not recreated", old.shown()))
                .help(format!("`{}` shows what there is", self.typed("ps --all"))));
        }
        self.docker.settle(&format!("the service {}", self.service), &ids, self.settle, deadline)?;
        Ok(Applied { done: format!("recreated {} with `docker compose up`", self.service), output: None })
    }

    /// Carries out `up`, even if only a mounted file has changed, which `up` alone does not notice.
    fn up(
        &self,
        project: &Project,
        scale: &str,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        self.clear(project, deadline)?;
        let verb = [&UP[..], &["--force-recreate", "--scale", scale, "--", &self.service]].concat();
        let with = With::output(Output::Drain);
        self.docker.run(&project.words(&verb), &with, deadline, started)
    }

    /// The verb, as an operator types it in any folder.
    fn recreates(&self) -> String {
        self.typed(&format!("{} --force-recreate {}", UP.join(" "), shell_word(&self.service)))
    }

    /// A command of compose for this project, as an operator types it in any folder.
    fn typed(&self, verb: &str) -> String {
        let place = shell_word(self.place.display().to_string());
        let is_file = self.place.extension().is_some_and(|it| it == "yml" || it == "yaml");
        let of = if is_file { "-f" } else { "--project-directory" };
        format!("docker compose {of} {place} {verb}")
    }

    /// Removes the leftovers of a killed `up`. Compose removes them too, but at the same time makes another container
    /// of the same name, which fails (seen with 2.26).
    fn clear(&self, project: &Project, deadline: Instant) -> Result<(), Failure> {
        for one in project.left() {
            self.docker.ask(&["rm", "--", &one.id], None, deadline)?;
        }
        Ok(())
    }

    /// The processes are listed after the engine has told which they are.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let project = self.project()?;
        processes_of(&project.containers, &list()?)
    }
}

/// Whether `up` failed because an earlier, killed `up` had requested a container that the engine made in the meantime.
/// This `up` has removed that container (seen with 2.26).
fn name_was_taken(ended: &Ended) -> bool {
    let said = ended.output.as_ref().map(|output| output.expose()).unwrap_or_default();
    !ended.status.success() && said.windows(TAKEN.len()).any(|part| part == TAKEN)
}

impl Compose {
    /// The variables of the service that hold the value, of all copies in the project's own file.
    fn own_variables<'a>(&self, entries: &[&'a [String]]) -> impl Iterator<Item = &'a str> {
        entries.iter().filter_map(|steps| match steps {
            [services, of, kind, name]
                if services == "services" && *of == self.service && kind == "environment" =>
            {
                Some(name.as_str())
            }
            _ => None,
        })
    }
}

/// A service of docker compose.
pub(crate) static COMPOSE: Manager = Manager {
    keys: &[
        Key::new(
            "compose",
            KeyForm::Path,
            "The folder of a docker compose project, or the path of one of its compose files: `/srv/shop`.",
        ),
        Key::new(
            "service",
            KeyForm::Template,
            "With `compose`: the name of the service; may contain `{instance}`. The replicas of one service are recreated together.",
        ),
    ],
    with: &["instances", "ports", "ready", "drain"],
    only: "`compose` goes with `service`, `instances`, `ready` and `drain` only",
    example: "{ compose = \"/srv/app\", service = \"web\" }",
    facts: &[ManagerFact {
        manager: "`compose`",
        source: "`env_file:`, a mounted file",
        verb: "`docker compose up --detach --no-deps --no-build --pull never --force-recreate SERVICE`",
        wrong: "`docker compose restart`: the environment stays the old one",
        downtime: "until the new container is healthy; none with two services behind a proxy",
        evidence: OF_PROCESS,
        test: "only_a_container_that_was_made_anew_has_the_new_value",
        services: &[nightly("compose-two", NoneFails), nightly("compose-one", Away)],
    }],
    survey: None,
    read: |of| {
        if !of.has("service") {
            return Err(DeclarationError::combination("`compose` needs `service`"));
        }
        let service = of.docker_name("service")?;
        if of.several && !of.names_instance.contains(&"service") {
            return Err(DeclarationError::combination(
                "several instances must be services of their own: `{instance}` is missing in `service`",
            ));
        }
        Ok(Arc::new(Compose::new(of.needed_path("compose")?, service)))
    },
};

impl Workload for Compose {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Command(self.recreates())
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }

    fn is_handed_on_by(&self, process: &Process) -> bool {
        self.docker.has_as_engine(process)
    }

    fn is_init(&self, process: &ProcessId) -> bool {
        is_init(process)
    }

    fn engine(&self) -> Option<&Docker> {
        Some(&self.docker)
    }

    fn drift(&self, own: &OwnCopies<'_>) -> Drift {
        let written = own.variables.iter().flat_map(|(_, names)| names.iter().copied());
        let names: Vec<&str> = written.chain(self.own_variables(&own.compose_entries)).collect();
        let mut files: Vec<(&Path, &str)> = Vec::new();
        for (path, names) in &own.variables {
            files.extend(names.iter().map(|name| (*path, *name)));
        }
        self.pending_changes(&names, &files).unwrap_or_else(|failure| {
            let what = format!("what a restart of '{}' would make live", own.consumer);
            Drift {
                not_visible: vec![format!("{what}: could not {}", failure.attempted)],
                ..Drift::default()
            }
        })
    }

    /// A user who can change a project chooses what runs on this machine, and as which user.
    fn trusted_files(&self) -> Vec<PathBuf> {
        project_files(&self.place)
    }

    /// A value may stand below `environment:`.
    fn search_roots(&self) -> Vec<PathBuf> {
        project_files(&self.place)
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        let folder = if self.place.is_file() { self.place.parent() } else { None };
        vec![ServiceIdentity::placed("compose", &self.service, folder.unwrap_or(&self.place))]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("a container of the service {} in {}", self.service, self.place.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise keyroll would report the value itself as an edit that no operator accepted.
    #[test]
    fn a_variable_that_holds_the_value_in_the_project_is_the_consumers_own() {
        let entries = ["services/web/environment/KEY", "services/other/environment/B", "services/web/image"];
        let entries = entries.map(|at| at.split('/').map(str::to_owned).collect::<Vec<_>>());
        let entries: Vec<&[String]> = entries.iter().map(Vec::as_slice).collect();
        let named = |service: &str| -> Vec<&str> {
            Compose::new("/srv/shop", service).own_variables(&entries).collect()
        };
        assert_eq!(named("web"), ["KEY"]);
        assert_eq!(named("db"), [""; 0]);
    }
}
