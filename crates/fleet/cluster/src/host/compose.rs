//! What a cluster is told, composed from the configuration.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Check, Consumer, Secret};
use keyroll_port::{Class, Failure};
use keyroll_setup::{IssuerFacts, Own, copy_setup, key_files};

use super::setup::{ClusterSetup, KeySetup, PodsSetup};

/// What the setup of a cluster is composed from.
#[derive(Clone, Copy)]
pub struct ClusterComposition<'a> {
    /// The secret with only its consumers in this cluster: see [`Secret::on`].
    pub secret: &'a Secret,
    /// What its issuer says of itself.
    pub issuer: &'a IssuerFacts,
    /// The folder of keyroll's own records.
    pub state: &'a Path,
    /// The id of the rotation or plan; empty without one.
    pub rotation: &'a str,
    /// The keys of consumers that have one of their own.
    pub own: Option<&'a Own>,
}

impl ClusterSetup {
    /// Gives every key and consumer its number, in the order of the configuration.
    ///
    /// # Errors
    /// A template of a copy cannot be read, or there are too many.
    pub fn compose(of: &ClusterComposition<'_>) -> Result<Self, Failure> {
        let numbers = key_files(of.secret, of.state, of.own)?;
        let (mut keys, mut consumers): (Vec<KeySetup>, Vec<PodsSetup>) = (Vec::new(), Vec::new());
        for (files, consumer) in numbers {
            let (Some(pods), Some(file), Some(copy)) =
                (&consumer.in_cluster, files.first().copied(), consumer.reads.first())
            else {
                return Err(not_in_cluster(consumer));
            };
            if keys.len() == file.index() {
                keys.push(KeySetup {
                    secret: pods.secret.clone(),
                    key: pods.key.clone(),
                    copy: copy_setup(of.secret, copy)?,
                    synced: pods.synced,
                    versioned: pods.versioned.then(|| (pods.kind, pods.workload.clone())),
                    own: of.own.and_then(|own| own.get(consumer.name.as_str())).cloned(),
                });
            }
            consumers.push(PodsSetup {
                name: consumer.name.to_string(),
                kind: pods.kind,
                workload: pods.workload.clone(),
                container: pods.container.clone(),
                file,
                rereads: pods.rereads,
                trusted: consumer.trusts_word,
                canary: pods.canary,
                checks: checks(consumer),
            });
        }
        Ok(Self {
            rotation: of.rotation.to_owned(),
            keys,
            consumers,
            unit_time_max: of.secret.deadlines.unit,
            value_format: (of.issuer.alphabet.clone(), of.issuer.length_max),
        })
    }
}

/// The command of the check of each path.
fn checks(consumer: &Consumer) -> Vec<Option<keyroll_config::Argv>> {
    let main = consumer.check.as_ref().and_then(Check::command).cloned();
    let others = consumer.paths.iter().map(|path| path.check.command().cloned());
    std::iter::once(main).chain(others).collect()
}

fn not_in_cluster(consumer: &Consumer) -> Failure {
    let attempted = format!("find the pods of {}", consumer.name);
    Failure::new(Class::Permanent, Code::PlanStale, attempted).because("it is no consumer in a cluster")
}
