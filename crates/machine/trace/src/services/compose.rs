use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_copy::{CopyError, DotenvReader, Format, Pointer};
use keyroll_manager::{Compose, ComposeNext, ComposeSources, ContainerSources, references};
use keyroll_observe::{Process, shown};
use keyroll_secret::SecretBytes;

use super::container_sources::{image, made_with, processes, record};
use super::context::Context;
use super::mounted::{Inside, mounted};
use super::source::{Assignment, Kept, Origin, Read, Source, word};
use super::{env_file, sessions};

/// The most entries of an `env_file:` that are read.
const ENV_FILES_MAX: usize = 32;

/// The files that compose reads in a folder if none is named, and their overrides. Source: docs.docker.com/compose,
/// "How Compose works".
const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVER: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

const BY_HAND: &str =
    "compose reads it too where no file is named, and the running containers were created without it";
const BY_CALLER: &str = "compose takes it where it is called from this shell";
const NOBODY: &str = "compose takes it from its caller's environment";

/// A service of compose: its next container gets what the project's files say now.
pub(super) fn composed(context: &mut Context<'_>, containers: Vec<ContainerSources>) -> Option<Kept> {
    let first = containers.first()?;
    let of = first.compose.as_ref()?;
    let compose = command(of);
    let up = format!("{compose} up --detach --no-deps {}", word(&of.service));
    let restart = format!("{compose} restart {}", word(&of.service));
    let mut sources = match &of.next {
        Ok(next) => project(context, of, next, first),
        Err(why) => {
            let what = format!("compose's service {} of {}", of.service, shown(&of.folder));
            context.not_seen(what.clone(), why.clone());
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
        // The container keeps it until it is recreated.
        let read = if told { Read::Not } else { Read::Start };
        sources.push(record(one, made_with(one).0).read(read).applied_by(&up).not_by(&restart));
    }
    sources.extend(files(context, of, first, &up));
    let processes: Vec<_> = containers.iter().flat_map(|one| processes(context, one)).collect();
    let declaration = Compose::declaration(&of.folder, &of.service);
    let (name, main) = (format!("{}/{}", of.project, of.service), processes.first().copied());
    Some(Kept { main, project: Some(of.folder.clone()), sources, ..Kept::of(declaration, name, processes) })
}

/// `docker compose` for this project, from any folder. What compose finds by itself is left out.
fn command(of: &ComposeSources) -> String {
    // Source: docs.docker.com/compose, "Specify a project name".
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let folder = of.folder.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let by_folder: String = folder.chars().filter(plain).collect();
    let named = by_folder.trim_start_matches(['-', '_']) != of.project;
    let mut words = vec!["docker compose".to_owned()];
    words.extend(named.then(|| format!("-p {}", word(&of.project))));
    let inside = of.files.first().and_then(|file| file.parent()) == Some(of.folder.as_path());
    words.extend((!inside).then(|| format!("--project-directory {}", word(shown(&of.folder)))));
    words.extend(of.files.iter().map(|file| format!("-f {}", word(shown(file)))));
    let fills = of.fills.iter().filter(|file| **file != of.folder.join(".env"));
    words.extend(fills.map(|file| format!("--env-file {}", word(shown(file)))));
    words.join(" ")
}

/// The mounted files: those of the next container, and those of the running one that differ.
fn files(context: &Context<'_>, of: &ComposeSources, now: &ContainerSources, up: &str) -> Vec<Source> {
    let force = format!("{} up --detach --no-deps --force-recreate {}", command(of), word(&of.service));
    let running = mounted(context, &Inside::of(now, &now.variables, &now.mounts));
    let Ok(next) = &of.next else {
        return running.into_iter().map(|source| source.applied_by(&force).not_by(up)).collect();
    };
    let mut mounts = next.mounts.clone();
    let kept = now.mounts.iter().filter(|(_, there)| next.mounts.iter().all(|(_, other)| other != there));
    // The project's files do not name the contents of a volume.
    mounts.extend(kept.cloned());
    let coming = mounted(context, &Inside::of(now, &next.variables, &mounts));
    let same = |one: &Source| coming.iter().any(|other| one.is_at(other));
    let old = running.into_iter().filter(|one| !same(one));
    let old: Vec<Source> = old.map(|one| one.read(Read::Not).applied_by(up)).collect();
    coming.into_iter().map(|one| one.applied_by(&force).not_by(up)).chain(old).collect()
}

/// The sources of the variables that compose would give to a container now: `environment:` wins over `env_file:`.
/// Compose reports each value; its place is searched in the project's files.
fn project(
    context: &Context<'_>,
    of: &ComposeSources,
    next: &ComposeNext,
    now: &ContainerSources,
) -> Vec<Source> {
    let files: Vec<(&Path, SecretBytes)> =
        of.files.iter().rev().filter_map(|path| Some((path.as_path(), env_file::read(path).ok()?))).collect();
    let fills: Vec<Source> =
        of.fills.iter().map(|path| env_file::source_for(shown(path), path, DotenvReader::Compose)).collect();
    let named = env_files(of, &files);
    let mut all: Vec<Source> = Vec::new();
    let mut elsewhere =
        Source::new(format!("the project {} as compose reads it", of.project), Origin::Nowhere);
    let interesting = next.variables.iter().filter(|(name, value)| {
        let other =
            |all: &keyroll_manager::Variables| all.get(*name).is_some_and(|it| context.is_secret(name, it));
        context.is_secret(name, value) || other(&now.variables) || other(&now.of_image)
    });
    let interesting: BTreeSet<&String> = interesting.map(|(name, _)| name).collect();
    for name in &interesting {
        let Some(value) = next.variables.get(*name) else { continue };
        let written =
            files.iter().find_map(|(path, file)| Some((*path, file, environment(file, &of.service, name)?)));
        match written {
            Some((path, file, Written::Made)) => {
                all.extend(made(context, of, path, file, name, value, &fills));
            }
            Some((path, file, Written::Plain(_))) => {
                let line = env_file::line_of(file.expose(), name);
                let source = Source::of_file(format!("environment: in {}", shown(path)), path);
                all.push(source.with(*name, Assignment::at(line, value.duplicate())));
            }
            None if named.iter().find_map(|source| source.value(name)) == Some(value) => {}
            // A file that is merged in, or a spelling that only compose understands.
            None => drop(elsewhere.entries.insert((*name).clone(), Assignment::at(1, value.duplicate()))),
        }
    }
    for name in &next.of_caller {
        all.extend(exported(context, &[name.as_str()], name, None));
        elsewhere.entries.insert(name.clone(), Assignment::not_told(1, NOBODY));
    }
    all.push(elsewhere);
    all.extend(named);
    let known: Vec<&String> = interesting.into_iter().chain(&next.of_caller).collect();
    let mut first = over(of, &known);
    first.extend(all);
    first.retain(|source| !source.says_nothing());
    first
}

/// A variable that compose builds from others: the caller's exports win over the file that compose fills in from.
fn made(
    context: &Context<'_>,
    of: &ComposeSources,
    path: &Path,
    file: &SecretBytes,
    name: &str,
    value: &SecretBytes,
    fills: &[Source],
) -> Vec<Source> {
    let text = raw(file, &of.service, name);
    let named: Vec<&str> = text.as_deref().map(references).unwrap_or_default();
    let filled = fills.iter().find_map(|source| filled(source, value, &named));
    let (mut asked, mut source) = (named, None);
    if let Some((other, variable, line)) = filled {
        if asked.is_empty() {
            asked.push(variable);
        }
        let what = format!("{} fills {variable} into environment: of {}", other.what, shown(path));
        let origin = Source::new(what, other.origin.clone());
        source = Some(origin.with(name, Assignment::at(line, value.duplicate())));
    }
    let source = source.unwrap_or_else(|| {
        let line = env_file::line_of(file.expose(), name);
        let source = Source::of_file(format!("environment: in {}", shown(path)), path);
        source.with(name, Assignment::at(line, value.duplicate()))
    });
    let mut all = exported(context, &asked, name, Some(value));
    all.push(source);
    all
}

/// Shells that export another value for a variable that compose fills in: compose takes that value when it is called in
/// such a shell.
fn exported(context: &Context<'_>, asked: &[&str], name: &str, value: Option<&SecretBytes>) -> Vec<Source> {
    let of_service = |one: &Process| one.unit().is_some_and(|unit| unit.ends_with(".service"));
    let by_hand = |one: &&Process| sessions::is_shell(one) && one.container().is_none() && !of_service(one);
    let mut all: Vec<Source> = Vec::new();
    for shell in context.listing.seen.iter().filter(by_hand) {
        let Some(start) = context.start(&shell.id) else { continue };
        for variable in asked {
            let Some(theirs) = start.get(*variable).filter(|theirs| Some(*theirs) != value) else { continue };
            if all.iter().any(|known| known.value(name) == Some(theirs)) {
                continue;
            }
            let what = format!("{variable} as shell {} exports it", shell.id.pid);
            let source = Source::new(what, Origin::Start(shell.id)).read(Read::Perhaps(BY_CALLER));
            all.push(source.with(name, Assignment::at(1, theirs.duplicate())));
        }
    }
    all
}

/// Override files of the project that compose reads by itself, and that did not exist when its containers were created.
fn over(of: &ComposeSources, names: &[&String]) -> Vec<Source> {
    let by_itself = |path: &PathBuf| FILES.iter().any(|name| *path == of.folder.join(name));
    if !of.files.first().is_some_and(by_itself) || of.files.len() > 1 {
        return Vec::new();
    }
    let mut all = Vec::new();
    for path in OVER.iter().map(|name| of.folder.join(name)) {
        let Ok(file) = env_file::read(&path) else { continue };
        let what = format!("environment: in {}", shown(&path));
        let mut source = Source::of_file(what, &path).read(Read::Perhaps(BY_HAND));
        for name in names {
            let line = env_file::line_of(file.expose(), name);
            let entry = match environment(&file, &of.service, name) {
                Some(Written::Plain(value)) => Assignment::at(line, value),
                Some(Written::Made) => Assignment::not_told(line, "compose makes it of other variables"),
                None => continue,
            };
            source.entries.insert((*name).clone(), entry);
        }
        all.push(source);
    }
    all
}

/// The variable of a file from which a value is built: one that the text refers to, if that is known.
fn filled<'a>(source: &'a Source, value: &SecretBytes, named: &[&str]) -> Option<(&'a Source, &'a str, u64)> {
    let part = |entry: &Assignment| {
        let Ok(part) = &entry.value else { return false };
        !part.is_empty() && value.expose().windows(part.len()).any(|window| window == part.expose())
    };
    let meant = |name: &str| named.is_empty() || named.contains(&name);
    let longest = source.entries.iter().filter(|(name, entry)| meant(name) && part(entry));
    let longest = longest.max_by_key(|(_, entry)| entry.value.as_ref().map_or(0, SecretBytes::len));
    longest.map(|(name, entry)| (source, name.as_str(), entry.line))
}

/// The form of a variable in `environment:` of a file.
enum Written {
    /// A literal value.
    Plain(SecretBytes),
    /// A value that compose builds from others.
    Made,
}

fn environment(file: &SecretBytes, service: &str, name: &str) -> Option<Written> {
    let at = format!("/services/{}/environment/{}", Pointer::escaped(service), Pointer::escaped(name));
    let slot = Format::Compose.slot(&at, None).ok()?;
    match Format::Compose.read(file.expose(), &slot) {
        Ok(found) => found.map(Written::Plain),
        Err(CopyError::Ambiguous { .. }) => Some(Written::Made),
        Err(_) => None,
    }
}

/// The literal text of such a variable.
fn raw(file: &SecretBytes, service: &str, name: &str) -> Option<String> {
    let at = format!("/services/{}/environment/{}", Pointer::escaped(service), Pointer::escaped(name));
    let slot = Format::Yaml.slot(&at, None).ok()?;
    let found = Format::Yaml.read(file.expose(), &slot).ok()??;
    Some(String::from_utf8_lossy(found.expose()).into_owned())
}

/// The files of `env_file:`, the last one first. A project's files override each other, and their lists are joined.
fn env_files(of: &ComposeSources, files: &[(&Path, SecretBytes)]) -> Vec<Source> {
    let mut all = Vec::new();
    for (_, file) in files {
        let read = |at: String| {
            let slot = Format::Yaml.slot(&at, None).ok()?;
            let value = Format::Yaml.read(file.expose(), &slot).ok()??;
            Some(String::from_utf8_lossy(value.expose()).into_owned())
        };
        let at = format!("/services/{}/env_file", Pointer::escaped(&of.service));
        let listed = (0..ENV_FILES_MAX).map_while(|number| {
            read(format!("{at}/{number}")).or_else(|| read(format!("{at}/{number}/path")))
        });
        let mut named: Vec<String> = read(at.clone()).into_iter().collect();
        named.extend(listed);
        all.extend(named.into_iter().rev().map(|name| {
            let path = of.folder.join(&name);
            env_file::source_for(format!("env_file: {}", shown(&path)), &path, DotenvReader::Compose)
        }));
    }
    all
}
