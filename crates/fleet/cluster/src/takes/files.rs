//! The files that a container sees through its mounts.

use k8s_openapi::api::core::v1::{CSIVolumeSource, KeyToPath, Volume, VolumeMount, VolumeProjection};

use crate::model::{From, Taking, Way};

use super::container::ContainerSpec;
use super::environment::Environment;
use super::object::{Keys, Object};

/// The driver that mounts values of a store as files. Source:
/// <https://secrets-store-csi-driver.sigs.k8s.io/getting-started/usage>.
const SECRETS_STORE: &str = "secrets-store.csi.k8s.io";

/// What a volume has in it.
enum Source {
    /// The keys of an object as files.
    Content { object: Object, optional: bool, items: Vec<Item>, projected: bool },
    /// What a driver fetches, as this SecretProviderClass says.
    Class(String),
    /// Files of elsewhere, which are mounted with this Secret.
    Login { secret: String, csi: bool },
}

/// A key that a volume names, with the path of its file below the volume.
struct Item {
    key: String,
    path: String,
}

/// Which part of a volume a mount shows.
enum Shown {
    /// All of it.
    Whole,
    /// What lies at or below this path.
    At(String),
    /// What lies at a path that is known only when the container starts.
    Unknown,
}

/// What a container takes by its mounts. A volume that no container mounts is not set up for the pod.
pub(super) fn files(
    container: &ContainerSpec<'_>,
    volumes: &[Volume],
    environment: &Environment<'_>,
    keys: &Keys<'_>,
) -> Vec<Taking> {
    let mut takes = Vec::new();
    for mount in container.mounts {
        let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) else { continue };
        let shown = Shown::of(mount, environment);
        let folder = mount.mount_path.trim_end_matches('/');
        for source in sources(volume) {
            let optional = matches!(source, Source::Content { optional: true, .. });
            let taken = source.taken(folder, &shown, keys);
            takes.extend(taken.into_iter().map(|(from, way)| container.taking(from, way, optional)));
        }
    }
    takes
}

impl Shown {
    fn of(mount: &VolumeMount, environment: &Environment<'_>) -> Self {
        if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
            return Self::At(normal(path));
        }
        let Some(text) = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) else {
            return Self::Whole;
        };
        let expanded = environment.expand(text);
        if expanded.complete { Self::At(normal(&expanded.text)) } else { Self::Unknown }
    }

    /// Where the file with this path below the volume is seen, if the mount shows it.
    fn seen_at(&self, folder: &str, path: &str) -> Option<String> {
        match self {
            Self::Whole => Some(join(folder, path)),
            Self::At(shown) if shown.is_empty() => Some(join(folder, path)),
            Self::At(shown) if shown == path => Some(join(folder, "")),
            Self::At(shown) => Some(join(folder, path.strip_prefix(shown.as_str())?.strip_prefix('/')?)),
            Self::Unknown => Some(join(folder, "")),
        }
    }
}

impl Source {
    fn taken(self, folder: &str, shown: &Shown, keys: &Keys<'_>) -> Vec<(From, Way)> {
        match self {
            Self::Class(class) => vec![(From::Class(class), Way::Csi(join(folder, "")))],
            Self::Login { secret, csi } => {
                let way = if csi { Way::Csi } else { Way::File };
                vec![(From::Secret { name: secret, key: None }, way(join(folder, "")))]
            }
            Self::Content { object, items, projected, .. } => {
                // A mount with a subPath keeps the file of the container's start. Source:
                // <https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod>.
                let way = match shown {
                    Shown::At(_) | Shown::Unknown => Way::SubPath,
                    Shown::Whole if projected => Way::Projected,
                    Shown::Whole => Way::File,
                };
                let Some(items) = items_of(&object, items, shown, keys) else {
                    return vec![(object.all(), way(join(folder, "")))];
                };
                let taken = |item: Item| {
                    shown.seen_at(folder, &item.path).map(|seen| (object.key(&item.key), way(seen)))
                };
                items.into_iter().filter_map(taken).collect()
            }
        }
    }
}

/// The files of an object in a volume: those that the volume names; without names one for each key, at the key's name.
/// `None`: the keys are not known. Source: <https://kubernetes.io/docs/concepts/storage/volumes/#secret>.
fn items_of(object: &Object, named: Vec<Item>, shown: &Shown, keys: &Keys<'_>) -> Option<Vec<Item>> {
    if !named.is_empty() {
        return Some(named);
    }
    match shown {
        // Such a path is the name of a key, whether the key is known or not.
        Shown::At(path) if !path.is_empty() => Some(vec![Item { key: path.clone(), path: path.clone() }]),
        Shown::At(_) | Shown::Whole => {
            let keys = keys(&object.all())?;
            Some(keys.into_iter().map(|key| Item { path: key.clone(), key }).collect())
        }
        Shown::Unknown => None,
    }
}

/// What a volume has in it, as far as Secrets and ConfigMaps are concerned.
fn sources(volume: &Volume) -> Vec<Source> {
    let mut sources = Vec::new();
    if let Some(secret) = &volume.secret {
        let object = Object::Secret(secret.secret_name.clone().unwrap_or_default());
        sources.push(content(object, secret.optional, secret.items.as_deref(), false));
    }
    if let Some(map) = &volume.config_map {
        sources.push(content(Object::Map(map.name.clone()), map.optional, map.items.as_deref(), false));
    }
    if let Some(projected) = &volume.projected {
        sources.extend(projected.sources.iter().flatten().filter_map(projection));
    }
    if let Some(csi) = &volume.csi {
        sources.extend(csi_sources(csi));
    }
    sources.extend(logins(volume).map(|secret| Source::Login { secret: secret.to_owned(), csi: false }));
    sources
}

fn content(object: Object, optional: Option<bool>, items: Option<&[KeyToPath]>, projected: bool) -> Source {
    let items = items.unwrap_or_default().iter();
    let items = items.map(|item| Item { key: item.key.clone(), path: normal(&item.path) }).collect();
    Source::Content { object, optional: optional.unwrap_or_default(), items, projected }
}

/// One source of a projected volume. Source: <https://kubernetes.io/docs/concepts/storage/projected-volumes/>.
fn projection(projection: &VolumeProjection) -> Option<Source> {
    if let Some(secret) = &projection.secret {
        let object = Object::Secret(secret.name.clone());
        return Some(content(object, secret.optional, secret.items.as_deref(), true));
    }
    let map = projection.config_map.as_ref()?;
    Some(content(Object::Map(map.name.clone()), map.optional, map.items.as_deref(), true))
}

fn csi_sources(csi: &CSIVolumeSource) -> Vec<Source> {
    let class = csi.volume_attributes.as_ref().and_then(|attributes| attributes.get("secretProviderClass"));
    let class = class.filter(|_| csi.driver == SECRETS_STORE).map(|class| Source::Class(class.clone()));
    let login = csi.node_publish_secret_ref.as_ref().filter(|secret| !secret.name.is_empty());
    let login = login.map(|secret| Source::Login { secret: secret.name.clone(), csi: true });
    class.into_iter().chain(login).collect()
}

/// The Secrets that the node shows to the server of a volume to mount it.
fn logins(volume: &Volume) -> impl Iterator<Item = &str> {
    let references = [
        volume.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.scale_io.as_ref().map(|source| &source.secret_ref),
        volume.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()),
    ];
    let azure = volume.azure_file.as_ref().map(|source| source.secret_name.as_str());
    let named = references.into_iter().flatten().map(|secret| secret.name.as_str()).chain(azure);
    named.filter(|name| !name.is_empty())
}

/// A path without empty parts and `.`.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

fn join(folder: &str, path: &str) -> String {
    if path.is_empty() && !folder.is_empty() { folder.to_owned() } else { format!("{folder}/{path}") }
}
