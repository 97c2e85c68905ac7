//! Compares the consumers of a configuration with those that were found in a cluster.

use keyroll_config::{FoundConsumer, InCluster, Name, Said, Secret};

/// Whether a secret has this consumer of this cluster already, under whatever name.
pub(super) fn has(secret: &Secret, cluster: &Name, found: &FoundConsumer) -> bool {
    let is_run = |known: &InCluster| {
        let container = text(found, "container");
        text(found, known.kind.word()) == Some(&known.workload)
            && known.container.as_ref().is_none_or(|own| container == Some(own))
    };
    taking(secret, cluster, found).any(is_run)
}

/// Whether one of its consumers of this cluster takes the same key of the same Secret.
pub(super) fn takes_same(secret: &Secret, cluster: &Name, found: &FoundConsumer) -> bool {
    taking(secret, cluster, found).next().is_some()
}

/// The consumers of a secret in this cluster that take the key of a Secret that a found one takes.
fn taking<'s>(
    secret: &'s Secret,
    cluster: &'s Name,
    found: &'s FoundConsumer,
) -> impl Iterator<Item = &'s InCluster> {
    let is_read = move |known: &InCluster| {
        found.reads.iter().any(|copy| {
            let own = |key: &str| copy.iter().find(|(one, _)| *one == key).map(|(_, text)| text.as_str());
            own("key") == Some(known.key.as_str()) && own("secret").is_some_and(|name| is_secret(known, name))
        })
    };
    let there = secret.in_clusters().filter(move |(known, _)| known.host == *cluster);
    there.map(|(_, pods)| pods).filter(move |known| is_read(known))
}

/// Whether a consumer takes the Secret with this name. That of one version is `NAME-…`.
fn is_secret(known: &InCluster, name: &str) -> bool {
    let rest = name.strip_prefix(known.secret.as_str());
    rest.is_some_and(|rest| rest.is_empty() || known.versioned && rest.starts_with('-'))
}

/// The text of a key of its table `runs`.
fn text<'f>(found: &'f FoundConsumer, key: &str) -> Option<&'f String> {
    found.runs.iter().find(|(own, _)| *own == key).and_then(|(_, said)| match said {
        Said::Text(text) => Some(text),
        Said::Words(_) | Said::Yes => None,
    })
}
