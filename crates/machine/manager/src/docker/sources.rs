//! The sources of the containers' variables: their creation, their images, and the present files of their projects.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use crate::command::{Output, With};
use crate::compose::Project;
use crate::compose::drift::{Hidden, pairs, plain};
use crate::docker::{Docker, STATE, State, other_version};
use crate::drift::Variables;
use crate::settle::question;

/// The longest wait for the engine's first answer, milliseconds.
const FIRST_MS_MAX: u64 = 10_000;

/// How long all questions together may take, milliseconds.
const LOOK_MS_MAX: u64 = 30_000;

/// How many projects compose resolves at once: each keeps a processor busy for a tenth of a second.
const RESOLVERS: usize = 2;

/// The queried properties of a container besides its state, separated by tabs, which JSON does not contain.
const MADE_WITH: &str = "\t{{json .Config.Env}}\t{{json .Config.Image}}\t\
                         {{json (index .Config.Labels \"com.docker.compose.service\")}}\t{{json .Created}}";

/// A project may include parts from a remote repository: keyroll lets compose fetch nothing.
/// Source: docs.docker.com/compose, "Environment variables": `COMPOSE_EXPERIMENTAL_GIT_REMOTE`.
const NOTHING_REMOTE: [&str; 2] = ["COMPOSE_EXPERIMENTAL_GIT_REMOTE", "COMPOSE_EXPERIMENTAL_OCI_REMOTE"];

/// A container, with everything that its environment is made of.
pub struct ContainerSources {
    /// Its name.
    pub name: String,
    /// Its image, as the engine names it.
    pub image: String,
    /// It runs.
    pub runs: bool,
    /// Its first process; 0 = none.
    pub pid: u32,
    /// When it was created, milliseconds since 1970; `None` = the engine does not tell.
    pub created_unix_ms: Option<u64>,
    /// The variables that it was created with, including its image's.
    pub variables: Variables,
    /// The variables of its image.
    pub of_image: Variables,
    /// Files and volumes that are mounted from this machine: the path here, and the path in the container.
    pub mounts: Mounts,
    /// Its compose service, if compose created it.
    pub compose: Option<ComposeSources>,
}

/// Paths on this machine, each with its path in a container.
pub type Mounts = Vec<(PathBuf, PathBuf)>;

/// The containers of an engine, and the images that it has.
#[derive(Default)]
pub struct EngineSources {
    /// Every container, running or not.
    pub containers: Vec<ContainerSources>,
    /// The variables of each image, by its name or, without one, its id.
    pub images: BTreeMap<String, Variables>,
}

/// The settings that a container would be created with now.
pub struct ComposeNext {
    /// Its environment beside its image's.
    pub variables: Variables,
    /// The variables that it would take from the caller's environment, where they are not set now.
    pub of_caller: Vec<String>,
    /// What would be mounted from this machine, without volumes.
    pub mounts: Mounts,
}

/// The service that a container belongs to, and what its project's files say now.
pub struct ComposeSources {
    /// The project's name.
    pub project: String,
    /// The service.
    pub service: String,
    /// The project's folder.
    pub folder: PathBuf,
    /// Its files; a later file wins.
    pub files: Vec<PathBuf>,
    /// The files that `${NAME}` is filled in from.
    pub fills: Vec<PathBuf>,
    /// The settings of a container that is created now; or why they are unknown.
    pub next: Result<ComposeNext, String>,
}

impl Docker {
    /// Every container and every image of this engine.
    ///
    /// # Errors
    /// The engine does not answer: `K0420`.
    pub fn sources(&self) -> Result<EngineSources, Failure> {
        let deadline = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
        let first = Instant::now() + Duration::from_millis(FIRST_MS_MAX);
        let ids = self.list(&["ps", "--all", "--quiet", "--no-trunc"], first)?;
        let ids = lines(&ids);
        let mut made = Vec::new();
        if !ids.is_empty() {
            let form = format!("{STATE}{MADE_WITH}");
            let words = ["container", "inspect", "--format", form.as_str(), "--"];
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let answer = self.list(&[&words[..], &ids].concat(), deadline)?;
            let lines = answer.expose().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let read: Option<Vec<Made>> = lines.map(Made::of_line).collect();
            made = read.ok_or_else(other_version)?;
        }
        let images = self.images(&made, deadline);
        let projects = self.projects(&made, deadline);
        let containers = made.into_iter().map(|one| one.sources(&images, &projects)).collect();
        let images = images.into_values().map(|image| (image.name, image.variables)).collect();
        Ok(EngineSources { containers, images })
    }

    /// The variables of each image, by its id; an image that was removed since has none.
    fn images(&self, made: &[Made], deadline: Instant) -> BTreeMap<String, Image> {
        #[derive(Deserialize)]
        struct InspectedImage(String, Option<Vec<Hidden>>, Option<Vec<String>>);
        let all = self.list(&["image", "ls", "--quiet", "--no-trunc"], deadline);
        let all = all.map(|answer| lines(&answer)).unwrap_or_default();
        let mut ids: Vec<&str> = made.iter().map(|one| one.state.image.as_str()).collect();
        ids.extend(all.iter().map(String::as_str));
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let form = "[{{json .Id}},{{json .Config.Env}},{{json .RepoTags}}]";
        let words = ["image", "inspect", "--format", form, "--"];
        let Ok(answer) = self.list(&[&words[..], &ids].concat(), deadline) else { return BTreeMap::new() };
        let lines = answer.expose().split(|byte| *byte == b'\n');
        let read = lines.filter_map(|line| serde_json::from_slice::<InspectedImage>(line).ok());
        let image = |InspectedImage(id, all, names): InspectedImage| {
            let name = names.unwrap_or_default().into_iter().next().unwrap_or_else(|| id.clone());
            (id, Image { name, variables: pairs(all) })
        };
        read.map(image).collect()
    }

    /// Each project as compose resolves it now, by its name.
    fn projects(&self, made: &[Made], deadline: Instant) -> BTreeMap<String, Result<ServicesNext, String>> {
        let of_compose = made.iter().filter(|one| one.service.is_some());
        let projects = of_compose.filter_map(|one| Project::of(&one.state));
        let projects: BTreeMap<String, Project> =
            projects.map(|project| (project.name.clone(), project)).collect();
        let projects: Vec<&Project> = projects.values().collect();
        let (next, answers) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let resolve = || {
            while let Some(project) = projects.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.resolve(project, deadline);
                if let Ok(mut answers) = answers.lock() {
                    answers.insert(project.name.clone(), answer);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..RESOLVERS.min(projects.len()) {
                scope.spawn(resolve);
            }
        });
        answers.into_inner().unwrap_or_default()
    }

    fn resolve(&self, project: &Project, deadline: Instant) -> Result<ServicesNext, String> {
        let mut words = project.words(&["config", "--format", "json"]);
        // This includes services of profiles that were enabled by hand.
        words.splice(1..1, ["--profile", "*"]);
        let answer = self.list(&words, deadline).map_err(|failure| {
            if failure.kind == FailureKind::ManagerUnsupported {
                "docker compose is not installed".to_owned()
            } else {
                "compose cannot read the project any more".to_owned()
            }
        })?;
        let config: ComposeConfig = serde_json::from_slice(answer.expose())
            .map_err(|_| "compose answered in a form that is not known".to_owned())?;
        let ComposeConfig { services, secrets, configs } = config;
        let of = |files: &Option<BTreeMap<String, FileConfig>>, name: &str| {
            files.as_ref()?.get(name)?.file.clone()
        };
        let next = |(name, one): (String, ServiceConfig)| {
            let target = |used: &FileUse, folder: &str| {
                Path::new(folder).join(used.target.as_deref().unwrap_or(&used.source))
            };
            let mut mounts = Mounts::new();
            for used in one.secrets.iter().flatten() {
                mounts.extend(of(&secrets, &used.source).map(|file| (file, target(used, "/run/secrets"))));
            }
            for used in one.configs.iter().flatten() {
                mounts.extend(of(&configs, &used.source).map(|file| (file, target(used, "/"))));
            }
            let binds = one.volumes.into_iter().flatten().filter(|volume| volume.kind == "bind");
            mounts.extend(binds.filter_map(|volume| Some((volume.source?, volume.target))));
            let (mut variables, mut of_caller) = (Variables::new(), Vec::new());
            for (name, value) in one.environment.into_iter().flatten() {
                match value {
                    Some(Hidden(value)) => drop(variables.insert(name, plain(&value))),
                    None => of_caller.push(name),
                }
            }
            (name, ComposeNext { variables, of_caller, mounts })
        };
        Ok(services.into_iter().map(next).collect())
    }

    /// A query's output, which may be long; also if a part of the query failed.
    fn list(&self, words: &[&str], deadline: Instant) -> Result<SecretBytes, Failure> {
        let variables = NOTHING_REMOTE.map(|name| (name, OsString::from("false")));
        let with = With { variables: &variables, ..With::output(Output::List) };
        let ended = self.run(words, &with, deadline, &mut |_| {}).map_err(question)?;
        let answer = ended.output.filter(|answer| ended.status.success() || !answer.is_empty());
        answer.ok_or_else(|| {
            Failure::new(
                Class::Retryable,
                Code::ContainerUnusable,
                format!("ask the container engine at {}", self.host),
            )
            .kind(FailureKind::ManagerAbsent)
            .because(ended.status.to_string())
            .help("`docker ps` shows whether this user may use it, and whether it runs")
        })
    }
}

/// What each service would get.
type ServicesNext = BTreeMap<String, ComposeNext>;

/// An image by its name.
struct Image {
    name: String,
    variables: Variables,
}

/// A project as compose resolves it. Source: `docker compose config --format json`.
#[derive(Deserialize)]
struct ComposeConfig {
    services: BTreeMap<String, ServiceConfig>,
    secrets: Option<BTreeMap<String, FileConfig>>,
    configs: Option<BTreeMap<String, FileConfig>>,
}

#[derive(Deserialize)]
struct ServiceConfig {
    environment: Option<BTreeMap<String, Option<Hidden>>>,
    secrets: Option<Vec<FileUse>>,
    configs: Option<Vec<FileUse>>,
    volumes: Option<Vec<VolumeConfig>>,
}

#[derive(Deserialize)]
struct FileUse {
    source: String,
    target: Option<String>,
}

#[derive(Deserialize)]
struct FileConfig {
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct VolumeConfig {
    #[serde(rename = "type")]
    kind: String,
    source: Option<PathBuf>,
    target: PathBuf,
}

fn lines(answer: &SecretBytes) -> Vec<String> {
    String::from_utf8_lossy(answer.expose()).split_ascii_whitespace().map(str::to_owned).collect()
}

/// A container as the engine describes it.
struct Made {
    state: State,
    variables: Variables,
    image: String,
    service: Option<String>,
    created_unix_ms: Option<u64>,
}

impl Made {
    fn of_line(line: &[u8]) -> Option<Self> {
        let mut parts = line.split(|byte| *byte == b'\t');
        let state = serde_json::from_slice(parts.next()?).ok()?;
        let variables = pairs(serde_json::from_slice(parts.next()?).ok()?);
        let image = serde_json::from_slice(parts.next()?).ok()?;
        let service = serde_json::from_slice(parts.next()?).ok()?;
        let created: String = serde_json::from_slice(parts.next()?).ok()?;
        let created = created.parse::<jiff::Timestamp>().ok();
        let created_unix_ms = created.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        Some(Self { state, variables, image, service, created_unix_ms })
    }

    fn sources(
        self,
        images: &BTreeMap<String, Image>,
        projects: &BTreeMap<String, Result<ServicesNext, String>>,
    ) -> ContainerSources {
        let copied = |all: &Variables| -> Variables {
            all.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
        };
        let compose = self.service.as_ref().zip(Project::of(&self.state)).map(|(service, project)| {
            let next = match projects.get(&project.name) {
                Some(Ok(answer)) => match answer.get(service) {
                    Some(next) => {
                        let (of_caller, mounts) = (next.of_caller.clone(), next.mounts.clone());
                        Ok(ComposeNext { variables: copied(&next.variables), of_caller, mounts })
                    }
                    None => Err("its project has no such service any more".to_owned()),
                },
                Some(Err(why)) => Err(why.clone()),
                None => Err("its project was not asked for".to_owned()),
            };
            ComposeSources {
                service: service.clone(),
                folder: project.folder(),
                files: project.files().map(PathBuf::from).collect(),
                fills: project.fills(),
                project: project.name,
                next,
            }
        });
        let known = images.get(&self.state.image);
        let of_image = known.map(|image| copied(&image.variables)).unwrap_or_default();
        let image = known.map_or(self.image, |image| image.name.clone());
        let mounts = self.state.mounts.iter().filter(|mount| mount.source.is_absolute());
        ContainerSources {
            name: self.state.shown().to_owned(),
            runs: self.state.runs(),
            pid: self.state.pid,
            mounts: mounts.map(|mount| (mount.source.clone(), mount.destination.clone())).collect(),
            image,
            created_unix_ms: self.created_unix_ms,
            variables: self.variables,
            of_image,
            compose,
        }
    }
}
