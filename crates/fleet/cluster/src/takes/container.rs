//! What the three kinds of containers of a pod have in common.

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EphemeralContainer, PodSpec, VolumeMount,
};

use crate::model::{From, Taking, Way};

/// A container, as its pod's specification describes it.
#[derive(Clone, Copy)]
pub(crate) struct ContainerSpec<'a> {
    pub(crate) name: &'a str,
    /// It ends before the others begin.
    pub(crate) init: bool,
    pub(super) env: &'a [EnvVar],
    pub(super) env_from: &'a [EnvFromSource],
    pub(super) mounts: &'a [VolumeMount],
    pub(super) command: &'a [String],
    pub(super) args: &'a [String],
}

impl<'a> ContainerSpec<'a> {
    /// All containers of a pod, in the order of their kinds: those that initialise it come first.
    pub(crate) fn all(spec: &'a PodSpec) -> Vec<Self> {
        let initial = spec
            .init_containers
            .iter()
            .flatten()
            .map(|container| Self::of(container, initialises(container)));
        let ordinary = spec.containers.iter().map(|container| Self::of(container, false));
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(Self::ephemeral);
        initial.chain(ordinary).chain(ephemeral).collect()
    }

    fn of(container: &'a Container, init: bool) -> Self {
        Self {
            name: &container.name,
            init,
            env: container.env.as_deref().unwrap_or_default(),
            env_from: container.env_from.as_deref().unwrap_or_default(),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
            command: container.command.as_deref().unwrap_or_default(),
            args: container.args.as_deref().unwrap_or_default(),
        }
    }

    fn ephemeral(container: &'a EphemeralContainer) -> Self {
        Self {
            name: &container.name,
            init: false,
            env: container.env.as_deref().unwrap_or_default(),
            env_from: container.env_from.as_deref().unwrap_or_default(),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
            command: container.command.as_deref().unwrap_or_default(),
            args: container.args.as_deref().unwrap_or_default(),
        }
    }

    /// That this container takes a value.
    pub(super) fn taking(&self, from: From, way: Way, optional: bool) -> Taking {
        Taking { container: self.name.to_owned(), init: self.init, from, way, optional, shadowed: false }
    }
}

/// Whether a container from `initContainers` ends before the others begin. With `restartPolicy: Always` it is a sidecar,
/// which runs as long as they do. Source: <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>.
fn initialises(container: &Container) -> bool {
    container.restart_policy.as_deref() != Some("Always")
}
