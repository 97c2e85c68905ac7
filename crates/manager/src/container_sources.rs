//! What containers take their variables from: what they were made with, their images, and what a project says now.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use crate::brings::{Hidden, Resolved, Variables, pairs, plain};
use crate::command::{Output, With};
use crate::compose::Project;
use crate::docker::{Docker, STATE, State, other_version};
use crate::settle::question;

/// How long all questions together may take, milliseconds.
const LOOK_MS_MAX: u64 = 30_000;

/// What is asked of a container beside its state; between the two and behind each a tabulator, which JSON has none of.
const MADE_WITH: &str = "\t{{json .Config.Env}}\t{{json .Config.Image}}\t\
                         {{json (index .Config.Labels \"com.docker.compose.service\")}}";

/// Compose takes a part of a project from elsewhere where it names a repository: nothing is fetched to look.
/// Source: docs.docker.com/compose, "Environment variables": `COMPOSE_EXPERIMENTAL_GIT_REMOTE`.
const NOTHING_REMOTE: [&str; 2] = ["COMPOSE_EXPERIMENTAL_GIT_REMOTE", "COMPOSE_EXPERIMENTAL_OCI_REMOTE"];

/// A container, with everything that its environment is made of.
pub struct ContainerSources {
    /// Its name.
    pub name: String,
    /// Its image, as whoever made it named it.
    pub image: String,
    /// It runs.
    pub runs: bool,
    /// Its first process; 0 = none.
    pub pid: u32,
    /// What it was made with, its image's variables among them.
    pub variables: Variables,
    /// The variables of its image.
    pub of_image: Variables,
    /// What is mounted from this machine: where it stands here, and there.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// Where the engine keeps its volumes.
    pub volumes: Vec<PathBuf>,
    /// Where compose has made it.
    pub compose: Option<ComposeSources>,
}

/// The service that a container belongs to, and what its project says now.
pub struct ComposeSources {
    /// The project's name.
    pub project: String,
    /// The service.
    pub service: String,
    /// The project's folder.
    pub folder: PathBuf,
    /// Its files; what is later wins.
    pub files: Vec<PathBuf>,
    /// The files that `${NAME}` is filled in from.
    pub fills: Vec<PathBuf>,
    /// The environment that a container made now would get beside its image's; or why compose does not tell.
    pub next: Result<Variables, String>,
}

impl Docker {
    /// Every container of this engine, running or not.
    ///
    /// # Errors
    /// The engine does not tell: `K0420` to `K0424`.
    pub fn sources(&self) -> Result<Vec<ContainerSources>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
        let ids = self.list(&["ps", "--all", "--quiet", "--no-trunc"], deadline)?;
        let ids = String::from_utf8_lossy(ids.expose()).into_owned();
        let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let form = format!("{STATE}{MADE_WITH}");
        let words = [&["container", "inspect", "--format", form.as_str(), "--"][..], &ids].concat();
        let answer = self.list(&words, deadline)?;
        let lines = answer.expose().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let made: Option<Vec<Made>> = lines.map(Made::of_line).collect();
        let made = made.ok_or_else(other_version)?;
        let images = self.images(&made, deadline);
        let projects = self.projects(&made, deadline);
        Ok(made.into_iter().map(|one| one.sources(&images, &projects)).collect())
    }

    /// What each image brings; one that was removed meanwhile has nothing.
    fn images(&self, made: &[Made], deadline: Instant) -> BTreeMap<String, Variables> {
        #[derive(Deserialize)]
        struct Image(String, Option<Vec<Hidden>>);
        let mut ids: Vec<&str> = made.iter().map(|one| one.state.image.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let words = ["image", "inspect", "--format", "[{{json .Id}},{{json .Config.Env}}]", "--"];
        let Ok(answer) = self.list(&[&words[..], &ids].concat(), deadline) else { return BTreeMap::new() };
        let lines = answer.expose().split(|byte| *byte == b'\n');
        let read = lines.filter_map(|line| serde_json::from_slice::<Image>(line).ok());
        read.map(|Image(id, all)| (id, pairs(all))).collect()
    }

    /// Each project as compose resolves it now, by its name.
    fn projects(&self, made: &[Made], deadline: Instant) -> BTreeMap<String, Result<Answer, String>> {
        let mut projects = BTreeMap::new();
        for one in made.iter().filter(|one| one.service.is_some()) {
            let Some(project) = Project::of(&one.state) else { continue };
            projects.entry(project.name.clone()).or_insert_with(|| self.resolve(&project, deadline));
        }
        projects
    }

    fn resolve(&self, project: &Project, deadline: Instant) -> Result<Answer, String> {
        let mut words = project.words(&["config", "--format", "json"]);
        // Services of profiles that were switched on by hand are named too.
        words.splice(1..1, ["--profile", "*"]);
        let answer = self.list(&words, deadline).map_err(|failure| match failure.code {
            "K0423" => "docker compose is not there".to_owned(),
            _ => "compose cannot read the project any more".to_owned(),
        })?;
        let read: Resolved = serde_json::from_slice(answer.expose())
            .map_err(|_| "compose answered in a form that is not known".to_owned())?;
        let values = |all: BTreeMap<String, Option<Hidden>>| {
            let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
            given.map(|(name, Hidden(value))| (name, plain(&value))).collect()
        };
        Ok(read.services.into_iter().map(|(name, one)| (name, values(one.environment))).collect())
    }

    /// The answer to a question that may be long, whatever part of it was refused.
    fn list(&self, words: &[&str], deadline: Instant) -> Result<SecretBytes, Failure> {
        let variables = NOTHING_REMOTE.map(|name| (name, OsString::from("false")));
        let with = With { variables: &variables, ..With::output(Output::List) };
        let ended = self.run(words, &with, deadline, &mut |_| {}).map_err(question)?;
        let answer = ended.output.filter(|answer| ended.status.success() || !answer.is_empty());
        answer.ok_or_else(|| {
            Failure::new(Class::Retryable, "K0420", format!("ask the container engine at {}", self.host))
                .because(ended.status.to_string())
                .help("`docker ps` shows whether this user may use it, and whether it runs")
        })
    }
}

/// The environment of each service.
type Answer = BTreeMap<String, Variables>;

/// A container as the engine told of it.
struct Made {
    state: State,
    variables: Variables,
    image: String,
    service: Option<String>,
}

impl Made {
    fn of_line(line: &[u8]) -> Option<Self> {
        let mut parts = line.split(|byte| *byte == b'\t');
        let state = serde_json::from_slice(parts.next()?).ok()?;
        let variables = pairs(serde_json::from_slice(parts.next()?).ok()?);
        let image = serde_json::from_slice(parts.next()?).ok()?;
        let service = serde_json::from_slice(parts.next()?).ok()?;
        Some(Self { state, variables, image, service })
    }

    fn sources(
        self,
        images: &BTreeMap<String, Variables>,
        projects: &BTreeMap<String, Result<Answer, String>>,
    ) -> ContainerSources {
        let copied = |all: &Variables| -> Variables {
            all.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
        };
        let compose = self.service.as_ref().zip(Project::of(&self.state)).map(|(service, project)| {
            let next = match projects.get(&project.name) {
                Some(Ok(answer)) => match answer.get(service) {
                    Some(variables) => Ok(copied(variables)),
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
        let of_image = images.get(&self.state.image).map(copied).unwrap_or_default();
        let of_kind = |kind: &'static str| self.state.mounts.iter().filter(move |mount| mount.kind == kind);
        let binds = of_kind("bind");
        ContainerSources {
            name: self.state.shown().to_owned(),
            runs: self.state.runs(),
            pid: self.state.pid,
            mounts: binds.map(|mount| (mount.source.clone(), mount.destination.clone())).collect(),
            volumes: of_kind("volume").map(|mount| mount.source.clone()).collect(),
            image: self.image,
            variables: self.variables,
            of_image,
            compose,
        }
    }
}
