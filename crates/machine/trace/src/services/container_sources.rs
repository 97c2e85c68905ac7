//! The facts about every container, created by compose or by hand: its processes, its start variables, its image.

use keyroll_manager::{ContainerSources, Variables};
use keyroll_observe::ProcessId;
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::source::{Origin, Source};
use crate::Record;

/// The processes of a container.
pub(super) fn processes(context: &Context<'_>, one: &ContainerSources) -> Vec<ProcessId> {
    let main = context.process(one.pid).filter(|_| one.runs && one.pid > 0);
    main.map(|main| context.tree(main.id)).unwrap_or_default()
}

/// The variables that the container itself was created with, as a source.
pub(super) fn record(one: &ContainerSources, variables: Variables) -> Source {
    let kept = Origin::Kept(Record::Container, one.name.clone());
    Source::new(format!("what the container {} was made with", one.name), kept).holding(variables)
}

/// The variables that a container was given, and those that it has from its image.
pub(super) fn made_with(one: &ContainerSources) -> (Variables, Variables) {
    let copy = |all: &Variables, same: bool| -> Variables {
        let of_image = |name: &String, value: &SecretBytes| one.of_image.get(name) == Some(value);
        let chosen = all.iter().filter(|(name, value)| same || !of_image(name, value));
        chosen.map(|(name, value)| (name.clone(), value.duplicate())).collect()
    };
    (copy(&one.variables, false), copy(&one.of_image, true))
}

pub(super) fn image(one: &ContainerSources, variables: Variables, verb: &str) -> Source {
    let kept = Origin::Kept(Record::Image, one.image.clone());
    let source = Source::new(format!("ENV of the image {}", one.image), kept).holding(variables);
    source.applied_by(format!("docker build without it, then {verb}")).not_by("docker pull")
}
