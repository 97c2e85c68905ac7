use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_manager::{Container, ContainerSources, Docker};
use keyroll_observe::shown;
use keyroll_port::{Failure, FailureKind};

use super::compose;
use super::container_sources::{image, made_with, processes, record};
use super::context::Context;
use super::mounted::{Inside, mounted};
use super::source::{Kept, word};
use crate::{Made, Unseen};

/// The program that supervises each container of podman. Source: conmon(8).
const OF_PODMAN: &str = "conmon";

/// The services of compose, and the containers that were created by hand.
pub(crate) fn kept(
    context: &mut Context<'_>,
    asked: Result<Vec<ContainerSources>, Failure>,
    docker: &Docker,
) -> Vec<Kept> {
    of_podman(context);
    let containers = match asked {
        Ok(asked) => asked,
        Err(failure) => {
            // A machine without an engine has no containers.
            if failure.kind != FailureKind::ManagerAbsent || docker.owner().is_some() {
                context.not_told("containers of docker", &failure);
            }
            return Vec::new();
        }
    };
    let mut of_service: BTreeMap<(String, String), Vec<ContainerSources>> = BTreeMap::new();
    let mut all = Vec::new();
    for one in containers {
        context.folders.extend(one.mounts.iter().map(|(here, _)| here.clone()));
        match &one.compose {
            Some(of) => of_service.entry((of.project.clone(), of.service.clone())).or_default().push(one),
            None => all.push(plain(context, one)),
        }
    }
    all.extend(of_service.into_values().filter_map(|containers| compose::composed(context, containers)));
    all
}

/// Podman is not queried: its containers are reported as not visible.
fn of_podman(context: &mut Context<'_>) {
    let seen = context.listing.seen.iter();
    let is = |path: &Path| path.file_name() == Some(OF_PODMAN.as_ref());
    let users: BTreeSet<Option<u32>> =
        seen.filter(|one| one.exe.as_deref().is_some_and(is)).map(|one| one.uid).collect();
    for uid in users {
        let what = "what containers of podman were made with".to_owned();
        context.unseen.push(Unseen { what, reason: "keyroll does not query podman".to_owned(), uid });
    }
}

fn run_again(name: &str, file: &Path) -> String {
    let file = word(shown(file));
    format!("remove container {name}, then repeat the docker run that made it, with --env-file {file}")
}

/// A container that was created by hand: it keeps the settings of its creation.
fn plain(context: &Context<'_>, one: ContainerSources) -> Kept {
    let restart = format!("docker restart {}", word(&one.name));
    let again = format!(
        "remove container {0}, then repeat the docker run that made it, with the new value",
        one.name
    );
    let (own, of_image) = made_with(&one);
    let mut sources =
        vec![record(&one, own).applied_by(&again).not_by(&restart), image(&one, of_image, &again)];
    let inside = Inside::of(&one, &one.variables, &one.mounts);
    sources.extend(mounted(context, &inside).into_iter().map(|source| source.applied_by(&restart)));
    let processes = processes(context, &one);
    let made = one.created_unix_ms.map(|unix_ms| Made {
        unix_ms,
        event: "its container was made",
        folder: None,
        again: run_again,
        restart,
    });
    let main = processes.first().copied();
    Kept { main, made, sources, ..Kept::of(Container::declaration(&one.name), one.name, processes) }
}
