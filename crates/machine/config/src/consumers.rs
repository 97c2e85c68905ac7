//! The consumers of a secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use keyroll_manager::Pods;

use crate::around::Around;
use crate::at::At;
use crate::broken::Broken;
use crate::check::read_path;
use crate::cluster_consumer::{read_command, refuse_cluster_keys};
use crate::consumer::Shared;
use crate::copy::named_source;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::roll::read_wave;
use crate::secret_parts::Parts;
use crate::serves::read_trusts_of_pods;
use crate::shape::{CheckShape, ConsumerShape};
use crate::site::{Site, sites};
use crate::waves::refuse_early;
use crate::{Check, Consumer, Copy, Host, InCluster, Kind, LOCAL, Name, PathCheck, Runs, WriteMode};

/// The most consumers of one secret; one on several machines counts once for each of them.
const CONSUMERS_MAX: usize = 1_000;

/// The consumers of a secret, in the order of the file; one on several machines once for each of them, in the order of
/// `hosts`.
pub(crate) fn read_consumers(
    shapes: &[At<ConsumerShape>],
    around: &Around<'_>,
    shared: &Shared<'_>,
    broken: &Broken,
    all: &mut Mistakes,
) -> Read<Vec<Consumer>> {
    let mut read: Vec<Consumer> = Vec::new();
    let (mut waves_at, mut is_whole) = (Vec::new(), true);
    for (index, shape) in shapes.iter().enumerate() {
        let at = &shape.value.name.span;
        let wave_at = shape.value.wave.as_ref().map_or(at, |wave| &wave.span);
        let broken = broken.below(&index.to_string());
        let Some(built) = read_consumer(shape, around, shared, &broken, all) else {
            is_whole = false;
            continue;
        };
        for consumer in built {
            if read.len() == CONSUMERS_MAX {
                let why = format!("a secret may have at most {CONSUMERS_MAX} consumers");
                all.push(Mistake::new(Kind::WrongForm, why).at(at));
                return None;
            }
            all.note(refuse_twice(&consumer.name, &read, shared.secret, at));
            all.note(refuse_same(&consumer, &read, shared.secret, shape));
            all.note(refuse_half_synced(&consumer, &read, shape));
            read.push(consumer);
            waves_at.push(wave_at.clone());
        }
    }
    if is_whole {
        all.note(refuse_early(&read, &waves_at));
    }
    is_whole.then_some(read)
}

/// One consumer, on each of its machines.
fn read_consumer(
    shape: &At<ConsumerShape>,
    around: &Around<'_>,
    shared: &Shared<'_>,
    broken: &Broken,
    all: &mut Mistakes,
) -> Read<Vec<Consumer>> {
    if !around.hosts_are_whole && names_unknown_host(&shape.value, around.hosts) {
        return None;
    }
    match cluster_of(&shape.value, around.hosts) {
        Some(_) if broken.is_any() => None,
        Some(host) => {
            let parts = shared.parts?;
            all.note(in_cluster(shape, host, parts)).map(|consumer| vec![consumer])
        }
        None => on_machines(shape, around, shared, broken, all),
    }
}

/// Whether it names a host that may be one with a mistake.
fn names_unknown_host(shape: &ConsumerShape, hosts: &BTreeMap<Name, Host>) -> bool {
    let words = shape.hosts.iter().flat_map(|words| &words.value).chain(&shape.host);
    let is_known = |word: &At<String>| word.value == LOCAL || hosts.contains_key(word.value.as_str());
    !words.into_iter().all(is_known)
}

/// A consumer on each of its machines.
fn on_machines(
    shape: &At<ConsumerShape>,
    around: &Around<'_>,
    shared: &Shared<'_>,
    broken: &Broken,
    all: &mut Mistakes,
) -> Read<Vec<Consumer>> {
    let unknown = ["name", "host", "hosts"].into_iter().any(|key| broken.has(key));
    let found = all.note_unless(unknown, || sites(&shape.value, around.hosts, around.folder));
    let of_machines = refuse_cluster_keys(&shape.value);
    let Some(sites) = found else {
        // Its other mistakes are noted too, unless it is meant to be in a cluster.
        of_machines.ok()?;
        let here = Site { name: Name::local(), host: Name::local(), folder: around.folder, is_here: true };
        Consumer::build(shape, &here, shared, broken, all);
        return None;
    };
    all.note(of_machines)?;
    // A mistake on the first one is one on all.
    sites.iter().map(|site| Consumer::build(shape, site, shared, broken, all)).collect()
}

/// A consumer in a cluster.
fn in_cluster(shape: &At<ConsumerShape>, host: &Name, parts: &Parts) -> Result<Consumer, Mistake> {
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
            source: named_source(copy, at, &parts.fields, &parts.derived)?,
            write: WriteMode::Rename,
            generated: None,
        }],
        follows: false,
        serves: None,
        trusts_word: read_trusts_of_pods(&shape.value, pods.rereads)?,
        fetch: None,
        log: None,
        check: shape.value.check.as_ref().map(read).transpose()?,
        paths: read_paths(shape, &read)?,
        in_cluster: Some(pods),
    })
}

/// The further flows of a consumer in a cluster.
fn read_paths(
    shape: &At<ConsumerShape>,
    read: &dyn Fn(&At<CheckShape>) -> Result<Check, Mistake>,
) -> Result<Vec<PathCheck>, Mistake> {
    let mut paths = Vec::new();
    for path in &shape.value.paths {
        paths.push(read_path(path, &paths, read)?);
    }
    Ok(paths)
}

/// Refuses a consumer whose name is taken.
fn refuse_twice(name: &Name, all: &[Consumer], secret: &Name, at: &Range<usize>) -> Result<(), Mistake> {
    if !all.iter().any(|other| other.name == *name) {
        return Ok(());
    }
    let why = format!("consumer `{name}` is named twice in secret `{secret}`");
    Err(Mistake::new(Kind::Duplicate, why).at(at))
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
