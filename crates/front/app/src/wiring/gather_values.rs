//! Reads the value from the configured copies, before it is in the store.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_cluster::content;
use keyroll_config::{Config, Copy, Secret};
use keyroll_copy::Template;
use keyroll_host::{CopySetup, CopySource, read, resolve};
use keyroll_port::Failure;
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};
use keyroll_setup::copy_setup;

use crate::configured::place_of;
use crate::problem::Problem;
use crate::redact;
use crate::wiring::kubernetes::cluster_of;

/// The values read from the copies of one secret.
#[derive(Default)]
pub struct Gathered {
    /// The values of each field, each with the copies that hold it.
    fields: BTreeMap<String, Vec<(SecretBytes, Vec<String>)>>,
    /// The copies that could not be read, and why.
    pub not_read: Vec<String>,
    /// The copies on other hosts, which are not read, each with its host.
    pub elsewhere: BTreeSet<String>,
}

/// Reads every copy of a secret on this machine, or those in one file; nothing is written or sent.
pub fn gather(secret: &Secret, only: Option<&Path>) -> Result<Gathered, Problem> {
    let mut gathered = Gathered::default();
    // What stands in a cluster is no file: it is read by the API of the cluster.
    for consumer in secret.consumers.iter().filter(|consumer| consumer.is_by_ssh() && only.is_none()) {
        let line = |copy: &Copy| format!("{}: not visible here: it is on {}", copy.place, consumer.host);
        gathered.elsewhere.extend(consumer.reads.iter().map(line));
    }
    let here = secret.consumers.iter().filter(|consumer| consumer.is_here);
    for copy in here.flat_map(|consumer| &consumer.reads) {
        if only.is_some_and(|only| !is_one(only, copy.place.path())) {
            continue;
        }
        let place = copy.place.to_string();
        let setup = copy_setup(secret, copy)?;
        let found = fields_of(&setup, copy.place.path());
        gathered.take(secret, found, &place);
    }
    Ok(gathered)
}

/// Reads the copies of a secret in clusters, each by the API of its cluster; nothing is written there.
///
/// # Errors
/// A login is not trusted, or cannot be used.
pub async fn gather_clusters(
    gathered: &mut Gathered,
    secret: &Secret,
    config: &Config,
) -> Result<(), Problem> {
    let mut clusters = BTreeMap::new();
    for consumer in &secret.consumers {
        let (Some(its), Some(address)) = (&consumer.in_cluster, config.cluster(consumer.host.as_str()))
        else {
            continue;
        };
        let cluster = match clusters.entry(consumer.host.as_str()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(cluster_of(address).await?),
        };
        for copy in &consumer.reads {
            let found = match content(cluster, &its.secret, &its.key).await {
                Ok(Some(value)) => found_in(&copy_setup(secret, copy)?, value.expose()),
                Ok(None) => Err("there is no such Secret, or it does not have this key".to_owned()),
                Err(failure) => Err(said(failure)),
            };
            gathered.take(secret, found, &place_of(consumer, copy));
        }
    }
    Ok(())
}

/// True if both paths lead to the same file.
pub(crate) fn is_one(path: &Path, other: &Path) -> bool {
    path == other || matches!((path.canonicalize(), other.canonicalize()), (Ok(one), Ok(two)) if one == two)
}

impl Gathered {
    /// Takes what was found at a place.
    fn take(&mut self, secret: &Secret, found: Result<Vec<(String, SecretBytes)>, String>, place: &str) {
        match found {
            Ok(found) => found.into_iter().for_each(|(name, value)| {
                // A host or user name is not secret: redacting it would make every message unreadable.
                if secret.fields.get(name.as_str()).is_none_or(|field| field.secret) {
                    redact::remember(&value);
                }
                self.put(name, value, place);
            }),
            Err(why) => {
                let line = format!("{place}: {why}");
                if !self.not_read.contains(&line) {
                    self.not_read.push(line);
                }
            }
        }
    }

    fn put(&mut self, name: String, value: SecretBytes, place: &str) {
        let values = self.fields.entry(name).or_default();
        match values.iter_mut().find(|(known, _)| *known == value) {
            Some((_, places)) if places.iter().any(|known| known == place) => {}
            Some((_, places)) => places.push(place.to_owned()),
            None => values.push((value, vec![place.to_owned()])),
        }
    }

    /// Every value, with its field.
    pub fn values(&self) -> impl Iterator<Item = (&str, &SecretBytes)> {
        self.fields
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |(value, _)| (name.as_str(), value)))
    }

    /// The value of a field; `None` if no copy holds it.
    ///
    /// Errors: the fingerprint and the copies of each value, if there are several.
    pub fn one(&self, name: &str, key: &FingerprintKey) -> Result<Option<&SecretBytes>, Vec<String>> {
        let values = self.fields.get(name).map(Vec::as_slice).unwrap_or_default();
        match values {
            [] => Ok(None),
            [(value, _)] => Ok(Some(value)),
            several => Err(several
                .iter()
                .map(|(value, places)| group(name, key.fingerprint(value), places))
                .collect()),
        }
    }
}

fn group(name: &str, fingerprint: Fingerprint, places: &[String]) -> String {
    format!("`{name}` with fingerprint {fingerprint}: {}", places.join(", "))
}

/// The fields in one copy.
fn fields_of(setup: &CopySetup, path: &Path) -> Result<Vec<(String, SecretBytes)>, String> {
    let content = resolve(path).and_then(|resolved| read(&resolved)).map_err(said)?;
    found_in(setup, content.bytes.expose())
}

fn said(failure: Failure) -> String {
    Problem::from(failure).causes.join(": ")
}

/// The fields in the text of a copy.
pub(crate) fn found_in(setup: &CopySetup, bytes: &[u8]) -> Result<Vec<(String, SecretBytes)>, String> {
    let found = match setup {
        CopySetup::Value { format, slot, source } => {
            let value = format.read(bytes, slot).map_err(|error| error.to_string())?;
            let value = value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{slot} is missing or empty"))?;
            match source {
                CopySource::Field(name) => vec![(name.clone(), value)],
                CopySource::Text(template) => extracted(template, &value)?,
                CopySource::Version(_) => return Err("it names a version, and has no value".to_owned()),
            }
        }
        // Only the value of the field `user` says which login belongs to the secret.
        CopySetup::Login { .. } => {
            return Err("a list of logins does not say which login is the current one".to_owned());
        }
        CopySetup::Within(template) => template.find(bytes).into_iter().flatten().collect(),
    };
    match found.is_empty() {
        true => Err("nothing in it matches the template".to_owned()),
        false => Ok(found),
    }
}

fn extracted(template: &Template, text: &SecretBytes) -> Result<Vec<(String, SecretBytes)>, String> {
    let found = template.extract(text).ok_or("its content does not match the template")?;
    Ok(found.into_iter().collect())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use keyroll_config::Config;

    use super::*;

    #[test]
    fn a_file_here_is_not_taken_for_the_copy_of_another_host() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), format!("generated-{}\n", std::process::id())).unwrap();
        let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n\
                    [[secrets.acme.consumers]]\nname = \"app\"\nreads = { file = \"./key\" }\n\
                    runs = { unit = \"app.service\" }\n";
        let file = folder.path().join("keyroll.toml").display().to_string();
        let mut secret = Config::parse(text, &file).unwrap().secret("acme").unwrap().clone();
        let here = gather(&secret, None).unwrap();
        assert_eq!((here.values().count(), here.elsewhere.len()), (1, 0));
        secret.consumers[0].is_here = false;
        let there = gather(&secret, None).unwrap();
        assert_eq!((there.values().count(), there.not_read.len(), there.elsewhere.len()), (0, 0, 1));
    }
}
