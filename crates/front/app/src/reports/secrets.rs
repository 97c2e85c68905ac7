//! The configured secrets with the versions that the store has of each.

use keyroll_config::{Config, Consumer, Secret};

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
    let (consumers, copies) = consumers(secret).into_iter().unzip();
    Ok(SecretShown {
        name: secret.name.to_string(),
        issuer: secret.issuer.to_string(),
        versions: versions(places, secret)?,
        consumers,
        store: secret.store.to_string(),
        owner: secret.owner.clone(),
        fields: fields.collect(),
        copies,
    })
}

/// Each consumer, with the places of its copies.
fn consumers(secret: &Secret) -> Vec<(String, Vec<String>)> {
    let shown = |consumer: &Consumer| {
        let copies = match consumer.follows {
            true => vec![format!("{}, which it reads itself", secret.store)],
            false => consumer.reads.iter().map(|copy| place_of(consumer, copy)).collect(),
        };
        (consumer.name.to_string(), copies)
    };
    secret.consumers.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_in_clusters_are_listed_with_the_others() {
        let text = "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                    [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\nruns = { deployment = \"agent\" }\n\
                    reads = { secret = \"anthropic\", key = \"api-key\" }\n\
                    [[secrets.acme.consumers]]\nname = \"api\"\nruns = { at_rest = true }\nreads = { file = \"./k\" }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let all = consumers(config.secret("acme").unwrap());
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["agent", "api"]);
        assert_eq!(all[0].1, ["prod:secret/anthropic api-key"]);
    }
}
