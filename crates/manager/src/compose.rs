//! A service of docker compose.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

use crate::command::{Ended, Output, With};
use crate::docker::{Docker, State, processes_of, unknown};
use crate::find::list;
use crate::{Applied, InstanceProcess};

/// The verb, without anything that it would do to other services or fetch from elsewhere.
pub(crate) const UP: [&str; 6] = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never"];

/// What the engine says where a container's name is another one's.
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

    /// As many containers as there are: somebody may have asked for them with `--scale`, which stands in no file, and
    /// `up` alone would end the others.
    pub(crate) fn scale(&self, service: &str) -> String {
        format!("{service}={}", self.containers.len() - self.left().count())
    }

    /// What a killed `up` left: a replacement that was never started, while the container that it is for is still there.
    fn left(&self) -> impl Iterator<Item = &State> {
        let there = |id: &String| self.containers.iter().any(|one| one.id == *id);
        let left = move |one: &&State| one.status == "created" && one.replaces.as_ref().is_some_and(there);
        self.containers.iter().filter(left)
    }

    /// The same, with a file over the others that is read from standard input.
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
        let (ids, _) = self.docker.ask(&words, None, deadline)?;
        let ids = String::from_utf8_lossy(ids.expose()).into_owned();
        let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
        let mut containers = self.docker.inspect(&ids, deadline)?;
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
        Failure::new(class, "K0424", what)
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let before = self.project()?;
        // A killed `up` leaves the replacement created and not started: then there is something to go on with.
        if before.containers.iter().all(State::stopped) {
            return Err(self
                .failed(Class::Permanent, "restart")
                .because("it is stopped, and `up` would start it")
                .help("declare it `at_rest`, or start it, then `keyroll resume`"));
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
            let folder = self.place.display();
            return Err(Failure::new(
                Class::Unknown,
                "K0426",
                format!("carry out `docker compose up` for {}", self.service),
            )
            .because(ended.status.to_string())
            .help(format!(
                "run it by hand in {folder} to see why, then `keyroll resume` or `keyroll abort`"
            )));
        }
        let after = self.project().map_err(unknown)?;
        let ids: Vec<&str> = after.containers.iter().map(|one| one.id.as_str()).collect();
        if let Some(old) = before.containers.iter().find(|one| ids.contains(&one.id.as_str())) {
            let what = format!("see the service {} recreated", self.service);
            return Err(Failure::new(Class::Unknown, "K0425", what)
                .because(format!("the container {} is still the one of before", old.shown()))
                .help(
                    "`docker compose ps --all` shows what there is; then `keyroll resume` or `keyroll abort`",
                ));
        }
        self.docker.settle(&format!("the service {}", self.service), &ids, self.settle, deadline)?;
        Ok(Applied { done: format!("recreated {} with `docker compose up`", self.service), output: None })
    }

    /// Carries out `up`, also where nothing but a mounted file has changed, which `up` alone does not notice.
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

    /// Removes what a killed `up` left. Compose removes it too, and makes another of the same name at the same time,
    /// which fails (seen with 2.26).
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

/// Whether it failed by a container that a killed `up` had asked for, and that the engine made while this one was at work. It has
/// taken that one away (seen with 2.26).
fn name_was_taken(ended: &Ended) -> bool {
    let said = ended.output.as_ref().map(|output| output.expose()).unwrap_or_default();
    !ended.status.success() && said.windows(TAKEN.len()).any(|part| part == TAKEN)
}
