//! How the containers of a pod take values.

mod arguments;
mod container;
mod environment;
mod files;
mod object;
mod reference;

#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::PodSpec;

use crate::model::{From, Taking, Way};

use self::arguments::arguments;
use self::environment::Environment;
use self::files::files;

pub(crate) use self::container::ContainerSpec;
pub(crate) use self::object::Keys;

/// How each container of a pod takes values. Where a container takes all keys of an object, it is said for each of them if
/// `keys` knows them, and otherwise for the object.
pub(crate) fn takes(spec: &PodSpec, keys: &Keys<'_>) -> Vec<Taking> {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let mut takes = Vec::new();
    for container in ContainerSpec::all(spec) {
        let environment = Environment::of(container, keys);
        let arguments = arguments(&container, &environment);
        let files = files(&container, volumes, &environment, keys);
        takes.extend(environment.into_takes());
        takes.extend(arguments);
        takes.extend(files);
    }
    takes.extend(pull_secrets(spec));
    takes
}

/// The Secrets with which the kubelet pulls the images of all containers.
fn pull_secrets(spec: &PodSpec) -> impl Iterator<Item = Taking> {
    let named = spec.image_pull_secrets.iter().flatten().filter(|secret| !secret.name.is_empty());
    named.map(|secret| Taking {
        container: String::new(),
        init: false,
        from: From::Secret { name: secret.name.clone(), key: None },
        way: Way::PullImage,
        // Without it the image is pulled anonymously, and a node may have the image already.
        optional: true,
        shadowed: false,
    })
}
