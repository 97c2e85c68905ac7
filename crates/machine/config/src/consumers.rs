//! The consumers of a secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use keyroll_manager::Pods;

use crate::at::At;
use crate::cluster_consumer::{read_command, refuse_cluster_keys};
use crate::consumer::{Shared, read_paths};
use crate::copy::named_source;
use crate::mistake::Mistake;
use crate::roll::read_wave;
use crate::serves::read_trusts_of_pods;
use crate::shape::{CheckShape, ConsumerShape};
use crate::site::sites;
use crate::waves::refuse_early;
use crate::{Check, Consumer, Copy, Host, InCluster, Kind, Name, Runs, WriteMode};

/// The most consumers of one secret; one on several machines counts once for each of them.
const CONSUMERS_MAX: usize = 1_000;

/// The consumers of a secret, in the order of the file; one on several machines once for each of them, in the order of
/// `hosts`.
pub(crate) fn read_consumers(
    shapes: &[At<ConsumerShape>],
    folder: &Path,
    hosts: &BTreeMap<Name, Host>,
    shared: &Shared<'_>,
) -> Result<Vec<Consumer>, Mistake> {
    let mut all: Vec<Consumer> = Vec::new();
    let mut waves_at = Vec::new();
    for shape in shapes {
        let at = &shape.value.name.span;
        let wave_at = shape.value.wave.as_ref().map_or(at, |wave| &wave.span);
        let built = match cluster_of(&shape.value, hosts) {
            Some(host) => vec![in_cluster(shape, host, shared)?],
            None => on_machines(shape, folder, hosts, shared)?,
        };
        for consumer in built {
            refuse_more(&consumer.name, &all, shared.secret, at)?;
            refuse_same(&consumer, &all, shared.secret, shape)?;
            refuse_half_synced(&consumer, &all, shape)?;
            all.push(consumer);
            waves_at.push(wave_at.clone());
        }
    }
    refuse_early(&all, &waves_at)?;
    Ok(all)
}

/// A consumer on each of its machines.
fn on_machines(
    shape: &At<ConsumerShape>,
    folder: &Path,
    hosts: &BTreeMap<Name, Host>,
    shared: &Shared<'_>,
) -> Result<Vec<Consumer>, Mistake> {
    let sites = sites(&shape.value, hosts, folder)?;
    refuse_cluster_keys(&shape.value)?;
    sites.iter().map(|site| Consumer::build(shape, site, shared)).collect()
}

/// A consumer in a cluster.
fn in_cluster(shape: &At<ConsumerShape>, host: &Name, shared: &Shared<'_>) -> Result<Consumer, Mistake> {
    let name = Name::read("a consumer", &shape.value.name)?;
    let (pods, runs, copy) = InCluster::read(shape, host)?;
    let at = shape.value.reads.as_ref().map_or(&shape.span, |reads| &reads.span);
    let read = |check: &At<CheckShape>| read_command(check).map(Check::Exec);
    let workload = Arc::new(Pods { rereads: pods.rereads, is_job: pods.is_job() });
    Ok(Consumer {
        name,
        host: host.clone(),
        is_here: false,
        wave: read_wave(shape.value.wave.as_ref())?,
        runs: Runs::of_pods(workload, &runs.value, pods.canary),
        reads: vec![Copy {
            place: pods.place(),
            source: named_source(copy, at, shared.fields, shared.derived)?,
            write: WriteMode::Rename,
            generated: None,
        }],
        follows: false,
        serves: None,
        trusts_word: read_trusts_of_pods(&shape.value, pods.rereads)?,
        fetch: None,
        log: None,
        check: shape.value.check.as_ref().map(read).transpose()?,
        paths: read_paths(&shape.value.paths, &read)?,
        in_cluster: Some(pods),
    })
}

/// Refuses one more consumer if there are enough, or if its name is taken.
fn refuse_more(name: &Name, all: &[Consumer], secret: &Name, at: &Range<usize>) -> Result<(), Mistake> {
    if all.iter().any(|other| other.name == *name) {
        let why = format!("consumer `{name}` is named twice in secret `{secret}`");
        return Err(Mistake::new(Kind::Duplicate, why).at(at));
    }
    if all.len() == CONSUMERS_MAX {
        let why = format!("a secret may have at most {CONSUMERS_MAX} consumers");
        return Err(Mistake::new(Kind::WrongForm, why).at(at));
    }
    Ok(())
}

/// Refuses a consumer of a key of a Secret if it or another consumer of the key, but not both, says that External Secrets
/// writes it.
fn refuse_half_synced(
    consumer: &Consumer,
    others: &[Consumer],
    shape: &At<ConsumerShape>,
) -> Result<(), Mistake> {
    let Some(pods) = &consumer.in_cluster else { return Ok(()) };
    let differs = |other: &&Consumer| {
        let theirs = other.in_cluster.as_ref().filter(|_| other.host == consumer.host);
        theirs.is_some_and(|theirs| {
            (&theirs.secret, &theirs.key) == (&pods.secret, &pods.key) && theirs.synced != pods.synced
        })
    };
    let Some(other) = others.iter().find(differs) else { return Ok(()) };
    let (with, without) =
        if pods.synced { (&consumer.name, &other.name) } else { (&other.name, &consumer.name) };
    let why = format!(
        "the consumers `{with}` and `{without}` read the same key of the Secret `{}`, and only `{with}` has `synced`",
        pods.secret
    );
    Err(Mistake::new(Kind::BadCombination, why)
        .at(&shape.value.name.span)
        .help(format!("if External Secrets writes this Secret, write `synced = true` for `{without}` too")))
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
