//! The consumers of a secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::at::At;
use crate::cluster_consumer::refuse_cluster_keys;
use crate::consumer::Shared;
use crate::mistake::Mistake;
use crate::shape::ConsumerShape;
use crate::site::sites;
use crate::waves::refuse_early;
use crate::{ClusterConsumer, Consumer, Host, Kind, Name};

/// The most consumers of one secret; one on several machines counts once for each of them.
const CONSUMERS_MAX: usize = 1_000;

/// The consumers of a secret, each kind in the order of the file.
#[derive(Default)]
pub(crate) struct Consumers {
    /// Those on machines; one on several machines once for each of them, in the order of `hosts`.
    pub(crate) on_machines: Vec<Consumer>,
    /// Those in clusters.
    pub(crate) in_clusters: Vec<ClusterConsumer>,
}

impl Consumers {
    /// Refuses one more consumer if there are enough, or if its name is taken.
    fn refuse_more(&self, name: &Name, secret: &Name, at: &Range<usize>) -> Result<(), Mistake> {
        let on_machines = self.on_machines.iter().map(|other| &other.name);
        if on_machines.chain(self.in_clusters.iter().map(|other| &other.name)).any(|other| other == name) {
            let why = format!("consumer `{name}` is named twice in secret `{secret}`");
            return Err(Mistake::new(Kind::Duplicate, why).at(at));
        }
        if self.on_machines.len() + self.in_clusters.len() == CONSUMERS_MAX {
            let why = format!("a secret may have at most {CONSUMERS_MAX} consumers");
            return Err(Mistake::new(Kind::WrongForm, why).at(at));
        }
        Ok(())
    }
}

/// The consumers of a secret.
pub(crate) fn read_consumers(
    shapes: &[At<ConsumerShape>],
    folder: &Path,
    hosts: &BTreeMap<Name, Host>,
    shared: &Shared<'_>,
) -> Result<Consumers, Mistake> {
    let mut all = Consumers::default();
    let mut waves_at = Vec::new();
    for shape in shapes {
        let at = &shape.value.name.span;
        if let Some(host) = cluster_of(&shape.value, hosts) {
            let consumer = ClusterConsumer::build(shape, host)?;
            all.refuse_more(&consumer.name, shared.secret, at)?;
            all.in_clusters.push(consumer);
            continue;
        }
        let wave_at = shape.value.wave.as_ref().map_or(at, |wave| &wave.span);
        let sites = sites(&shape.value, hosts, folder)?;
        refuse_cluster_keys(&shape.value)?;
        for site in sites {
            let consumer = Consumer::build(shape, &site, shared)?;
            all.refuse_more(&consumer.name, shared.secret, at)?;
            refuse_same(&consumer, &all.on_machines, shared.secret, shape)?;
            all.on_machines.push(consumer);
            waves_at.push(wave_at.clone());
        }
    }
    refuse_early(&all.on_machines, &waves_at)?;
    Ok(all)
}

/// The cluster that a consumer is in. One with `hosts` is on machines.
fn cluster_of<'a>(shape: &ConsumerShape, hosts: &'a BTreeMap<Name, Host>) -> Option<&'a Name> {
    let word = shape.host.as_ref().filter(|_| shape.hosts.is_none())?;
    let host = hosts.get(word.value.as_str())?;
    host.connect.cluster().map(|_| &host.name)
}

/// Refuses a consumer with the same process at keyroll's socket as another one.
fn refuse_same(
    consumer: &Consumer,
    others: &[Consumer],
    secret: &Name,
    shape: &At<ConsumerShape>,
) -> Result<(), Mistake> {
    let at = &shape.value.name.span;
    let same = |other: &&Consumer| other.serves.is_some() && other.serves == consumer.serves;
    let Some(other) = others.iter().find(same) else { return Ok(()) };
    let why = format!(
        "consumers `{}` and `{}` of secret `{secret}` serve the same user and executable",
        other.name, consumer.name
    );
    let serves_at = shape.value.serves.as_ref().map_or(at, |serves| &serves.span);
    Err(Mistake::new(Kind::Duplicate, why)
        .at(serves_at)
        .help("keyroll could not tell which of them asks: make them one consumer"))
}
