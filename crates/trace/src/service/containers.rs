use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_copy::{CopyError, Format};
use keyroll_manager::{ComposeSources, ContainerSources, Variables};
use keyroll_observe::{descendants, shown};
use keyroll_secret::SecretBytes;

use super::around::Around;
use super::env_file;
use super::source::{Entry, Kept, Origin, Read, Source};
use super::{Handle, Keeper};
use crate::Record;

/// The most entries of an `env_file:` that are looked at.
const ENV_FILES_MAX: usize = 32;

/// The largest mounted file that is taken for one value, bytes: a private key with its certificates.
const MOUNTED_BYTES_MAX: usize = 64 * 1024;

/// The services of compose, and the containers that were made by hand.
pub(crate) fn kept(around: &mut Around<'_>) -> Vec<Kept> {
    let containers = match around.docker.sources() {
        Ok(containers) => containers,
        Err(failure) => {
            // A machine without an engine has no containers.
            if failure.code != "K0420" || around.docker.owner().is_some() {
                around.not_told("containers of docker", &failure);
            }
            return Vec::new();
        }
    };
    let mut of_service: BTreeMap<(String, String), Vec<ContainerSources>> = BTreeMap::new();
    let mut all = Vec::new();
    for one in containers {
        match &one.compose {
            Some(of) => of_service.entry((of.project.clone(), of.service.clone())).or_default().push(one),
            None => all.push(plain(around, one)),
        }
    }
    all.extend(of_service.into_values().filter_map(|containers| composed(around, containers)));
    all
}

/// What a container runs.
fn processes(around: &Around<'_>, one: &ContainerSources) -> Vec<keyroll_observe::ProcessId> {
    let main = around.process(one.pid).filter(|_| one.runs && one.pid > 0);
    let main = main.map(|main| main.id);
    main.into_iter()
        .chain(main.into_iter().flat_map(|id| descendants(around.listing, id)).map(|worker| worker.id))
        .collect()
}

/// A container that was made by hand: it keeps what it was made with.
fn plain(around: &Around<'_>, one: ContainerSources) -> Kept {
    let restart = format!("docker restart {}", one.name);
    let again = "docker rm, and docker run with the new value";
    let (own, of_image) = made_with(&one);
    let kept = Origin::Kept(Record::Container, one.name.clone());
    let what = format!("what the container {} was made with", one.name);
    let mut sources = vec![
        Source::new(what, kept).holding(own).applied_by(again).not_by(&restart),
        image(&one, of_image, again),
    ];
    sources.extend(mounted(around, &one, &restart, None));
    let processes = processes(around, &one);
    let main = processes.first().copied();
    let handle = Handle::Container(one.name.clone());
    Kept { keeper: Keeper::Docker, name: one.name, handle, processes, main, project: None, sources }
}

/// What a container was given, and what it has from its image.
fn made_with(one: &ContainerSources) -> (Variables, Variables) {
    let copy = |all: &Variables, same: bool| -> Variables {
        let of_image = |name: &String, value: &SecretBytes| one.of_image.get(name) == Some(value);
        let chosen = all.iter().filter(|(name, value)| same || !of_image(name, value));
        chosen.map(|(name, value)| (name.clone(), value.duplicate())).collect()
    };
    (copy(&one.variables, false), copy(&one.of_image, true))
}

fn image(one: &ContainerSources, variables: Variables, verb: &str) -> Source {
    let kept = Origin::Kept(Record::Image, one.image.clone());
    let source = Source::new(format!("ENV of the image {}", one.image), kept).holding(variables);
    source.applied_by(format!("docker build without it, then {verb}")).not_by("docker pull")
}

/// Files that are mounted one by one, as secrets are: each is a value under the name that it has in the container.
fn mounted(around: &Around<'_>, one: &ContainerSources, applies: &str, seems: Option<&str>) -> Vec<Source> {
    let mut all = Vec::new();
    for (here, there) in &one.mounts {
        let Ok(file) = env_file::read(here) else { continue };
        let value = env_file::whole(&file);
        let named = there.file_name().unwrap_or_default().to_string_lossy();
        let secret = there.starts_with("/run/secrets") || around.is_secret(&named, &value);
        if !secret || value.len() > MOUNTED_BYTES_MAX {
            continue;
        }
        let source = Source::of_file(format!("{} mounted at {}", shown(here), shown(there)), here);
        let mut source = source.applied_by(applies);
        source.seems = seems.map(str::to_owned);
        let name = there.to_string_lossy().into_owned();
        all.push(source.with(name, Entry { secret: true, ..Entry::at(1, value) }));
    }
    all
}

/// A service of compose: its next container gets what the project says now.
fn composed(around: &mut Around<'_>, containers: Vec<ContainerSources>) -> Option<Kept> {
    let first = containers.first()?;
    let of = first.compose.as_ref()?;
    let up = format!("docker compose up --detach --no-deps {}", of.service);
    let restart = format!("docker compose restart {}", of.service);
    let mut sources = match &of.next {
        Ok(next) => project(around, of, next, first),
        Err(why) => {
            let what = format!("compose's service {} of {}", of.service, shown(&of.folder));
            around.not_seen(what.clone(), why.clone());
            vec![Source::new(what, Origin::Nowhere).closed("compose does not tell what it would start now")]
        }
    };
    for source in &mut sources {
        source.applies = Some(up.clone());
        source.seems = Some(restart.clone());
    }
    let told = of.next.is_ok();
    let (_, of_image) = made_with(first);
    sources.push(image(first, of_image, &up));
    for one in &containers {
        let kept = Origin::Kept(Record::Container, one.name.clone());
        let what = format!("what the container {} was made with", one.name);
        // It goes on with it until it is made anew.
        let read = if told { Read::Not } else { Read::Start };
        sources.push(
            Source::new(what, kept).holding(made_with(one).0).read(read).applied_by(&up).not_by(&restart),
        );
    }
    let force = format!("docker compose up --detach --no-deps --force-recreate {}", of.service);
    sources.extend(mounted(around, first, &force, Some(&up)));
    let processes: Vec<_> = containers.iter().flat_map(|one| processes(around, one)).collect();
    Some(Kept {
        keeper: Keeper::Compose,
        name: format!("{}/{}", of.project, of.service),
        handle: Handle::Compose { folder: of.folder.clone(), service: of.service.clone() },
        main: processes.first().copied(),
        processes,
        project: Some(of.folder.clone()),
        sources,
    })
}

/// Where the variables come from that compose would give to a container made now: `environment:` wins over `env_file:`.
/// Compose tells what each would be; where it stands is looked for in the project's files.
fn project(
    around: &Around<'_>,
    of: &ComposeSources,
    next: &Variables,
    now: &ContainerSources,
) -> Vec<Source> {
    let files: Vec<(&Path, SecretBytes)> =
        of.files.iter().rev().filter_map(|path| Some((path.as_path(), env_file::read(path).ok()?))).collect();
    let fills: Vec<Source> = of.fills.iter().map(|path| fills(path)).collect();
    let named = env_files(of, &files);
    let mut all: Vec<Source> = Vec::new();
    let mut elsewhere =
        Source::new(format!("the project {} as compose reads it", of.project), Origin::Nowhere);
    let interesting = next.iter().filter(|(name, value)| {
        let other = |all: &Variables| all.get(*name).is_some_and(|value| around.is_secret(name, value));
        around.is_secret(name, value) || other(&now.variables) || other(&now.of_image)
    });
    let interesting: BTreeSet<&String> = interesting.map(|(name, _)| name).collect();
    for name in interesting {
        let Some(value) = next.get(name) else { continue };
        let written = files.iter().find_map(|(path, file)| {
            let made = environment(file, &of.service, name)?;
            Some((*path, made, env_file::line_of(file.expose(), name)))
        });
        match written {
            Some((path, made, line)) => {
                let filled = fills.iter().find_map(|source| filled(source, value)).filter(|_| made);
                let source = match filled {
                    Some((other, variable, line)) => {
                        let what =
                            format!("{} fills {variable} into environment: of {}", other.what, shown(path));
                        Source::of_file(what, path_of(other)).with(name, Entry::at(line, value.duplicate()))
                    }
                    None => Source::of_file(format!("environment: in {}", shown(path)), path)
                        .with(name, Entry::at(line, value.duplicate())),
                };
                all.push(source);
            }
            None if named.iter().find_map(|source| source.value(name)) == Some(value) => {}
            // A file that is merged in, or a spelling that only compose takes apart.
            None => drop(elsewhere.entries.insert(name.clone(), Entry::at(1, value.duplicate()))),
        }
    }
    all.push(elsewhere);
    all.extend(named);
    all.retain(|source| !source.says_nothing());
    all
}

fn path_of(source: &Source) -> &Path {
    match &source.origin {
        Origin::File(path) => path,
        Origin::Start(_) | Origin::Kept(..) | Origin::Nowhere => Path::new(""),
    }
}

/// A file that `${NAME}` is filled in from.
fn fills(path: &Path) -> Source {
    env_file::source(shown(path), path)
}

/// The variable of such a file that a value is made of.
fn filled<'a>(source: &'a Source, value: &SecretBytes) -> Option<(&'a Source, &'a str, u64)> {
    let part = |entry: &Entry| {
        let Ok(part) = &entry.value else { return false };
        !part.is_empty() && value.expose().windows(part.len()).any(|window| window == part.expose())
    };
    let longest = source.entries.iter().filter(|(_, entry)| part(entry));
    let longest = longest.max_by_key(|(_, entry)| entry.value.as_ref().map_or(0, SecretBytes::len));
    longest.map(|(name, entry)| (source, name.as_str(), entry.line))
}

/// Whether a file gives a variable to a service by `environment:`; `Some(true)` = and compose makes it of others.
fn environment(file: &SecretBytes, service: &str, name: &str) -> Option<bool> {
    let at = format!("/services/{}/environment/{}", escaped(service), escaped(name));
    let slot = Format::Compose.slot(&at, None).ok()?;
    match Format::Compose.read(file.expose(), &slot) {
        Ok(found) => found.map(|_| false),
        Err(CopyError::Ambiguous { .. }) => Some(true),
        Err(_) => None,
    }
}

/// The files of `env_file:`, what is later first. A project's files are laid over each other, and their lists joined.
fn env_files(of: &ComposeSources, files: &[(&Path, SecretBytes)]) -> Vec<Source> {
    let mut all = Vec::new();
    for (_, file) in files {
        let read = |at: String| {
            let slot = Format::Yaml.slot(&at, None).ok()?;
            let value = Format::Yaml.read(file.expose(), &slot).ok()??;
            Some(String::from_utf8_lossy(value.expose()).into_owned())
        };
        let at = format!("/services/{}/env_file", escaped(&of.service));
        let listed = (0..ENV_FILES_MAX).map_while(|number| {
            read(format!("{at}/{number}")).or_else(|| read(format!("{at}/{number}/path")))
        });
        let mut named: Vec<String> = read(at.clone()).into_iter().collect();
        named.extend(listed);
        all.extend(named.into_iter().rev().map(|name| {
            let path = of.folder.join(&name);
            env_file::source(format!("env_file: {}", shown(&path)), &path)
        }));
    }
    all
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
