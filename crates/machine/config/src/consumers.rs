//! The consumers of a secret.

use std::collections::BTreeMap;
use std::path::Path;

use crate::at::At;
use crate::consumer::Shared;
use crate::mistake::Mistake;
use crate::shape::ConsumerShape;
use crate::site::sites;
use crate::waves::refuse_early;
use crate::{Consumer, Host, Kind, Name};

/// The most consumers of one secret; one on several machines counts once for each of them.
const CONSUMERS_MAX: usize = 1_000;

/// The consumers, in the order of the file; one on several machines once for each of them, in the order of `hosts`.
pub(crate) fn read_consumers(
    shapes: &[At<ConsumerShape>],
    folder: &Path,
    hosts: &BTreeMap<Name, Host>,
    shared: &Shared<'_>,
) -> Result<Vec<Consumer>, Mistake> {
    let mut consumers: Vec<Consumer> = Vec::new();
    let mut waves_at = Vec::new();
    for shape in shapes {
        let at = &shape.value.name.span;
        let wave_at = shape.value.wave.as_ref().map_or(at, |wave| &wave.span);
        for site in sites(&shape.value, hosts, folder)? {
            let consumer = Consumer::build(shape, &site, shared)?;
            refuse_same(&consumer, &consumers, shared.secret, shape)?;
            if consumers.len() == CONSUMERS_MAX {
                let why = format!("a secret may have at most {CONSUMERS_MAX} consumers");
                return Err(Mistake::new(Kind::WrongForm, why).at(at));
            }
            consumers.push(consumer);
            waves_at.push(wave_at.clone());
        }
    }
    refuse_early(&consumers, &waves_at)?;
    Ok(consumers)
}

/// Refuses a consumer with the name of another one, or with the same process at keyroll's socket.
fn refuse_same(
    consumer: &Consumer,
    others: &[Consumer],
    secret: &Name,
    shape: &At<ConsumerShape>,
) -> Result<(), Mistake> {
    let at = &shape.value.name.span;
    if others.iter().any(|other| other.name == consumer.name) {
        let why = format!("consumer `{}` is named twice in secret `{secret}`", consumer.name);
        return Err(Mistake::new(Kind::Duplicate, why).at(at));
    }
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
