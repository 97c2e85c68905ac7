//! The configured secrets with the versions that the store has of each.

use keyroll_config::{Config, Secret};

use crate::configured::place_of;
use crate::operator::{FieldShown, SecretShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::versions::versions;

/// Every configured secret, ordered by name.
///
/// # Errors
/// The store cannot be opened or read.
pub fn secrets(config: &Config, places: &Places) -> Result<Vec<SecretShown>, Problem> {
    config.secrets.values().map(|secret| secret_shown(secret, places)).collect()
}

/// One configured secret.
///
/// # Errors
/// The store cannot be opened or read.
pub fn secret_shown(secret: &Secret, places: &Places) -> Result<SecretShown, Problem> {
    let fields =
        secret.fields.iter().map(|(name, spec)| FieldShown { name: name.to_string(), secret: spec.secret });
    let copies = secret.consumers.iter().map(|consumer| match consumer.follows {
        true => vec![format!("{}, which it reads itself", secret.store)],
        false => consumer.reads.iter().map(|copy| place_of(consumer, copy)).collect(),
    });
    Ok(SecretShown {
        name: secret.name.to_string(),
        issuer: secret.issuer.to_string(),
        versions: versions(places, secret)?,
        consumers: secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect(),
        store: secret.store.to_string(),
        owner: secret.owner.clone(),
        fields: fields.collect(),
        copies: copies.collect(),
    })
}
