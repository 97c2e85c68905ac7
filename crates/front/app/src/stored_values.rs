//! The stored secrets with their values, for searches.

use std::collections::BTreeMap;

use keyroll_port::{Label, Store as _};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use crate::installation::Installation;
use crate::problem::Problem;
use crate::redact;
use crate::wiring::open;

/// All secrets of a store.
pub struct StoredValues {
    /// The key of fingerprints.
    pub key: FingerprintKey,
    /// The key of the identities of findings.
    pub identity: FingerprintKey,
    /// Every secret of the store.
    pub secrets: Vec<StoredSecret>,
}

/// One secret.
pub struct StoredSecret {
    /// Its name.
    pub name: String,
    /// Oldest first.
    pub versions: Vec<StoredVersion>,
}

/// One version; a retired version has only fingerprints, unless `keep_retired` is set.
pub struct StoredVersion {
    /// Its number.
    pub number: u32,
    /// Its label.
    pub label: Label,
    /// Of every secret field.
    pub fingerprints: Vec<Fingerprint>,
    /// Every secret field.
    pub values: Vec<SecretBytes>,
}

/// Opens the store; `None` if there is none. Without `ask`, a store that needs a passphrase is a problem, because
/// stdin may be the scanned stream. Nothing is made.
pub fn stored_values(installation: &Installation, ask: bool) -> Result<Option<StoredValues>, Problem> {
    // Without a home folder there is no state folder; any other problem is reported.
    let places = match installation.places() {
        Ok(places) => places,
        Err(_) if installation.has_no_home() => return Ok(None),
        Err(problem) => return Err(problem),
    };
    if !places.sealed().exists() {
        return Ok(None);
    }
    let places = places.opened_anew(ask);
    let store = open::store(&places)?;
    let (key, identity) = (open::fingerprint_key(&places)?, open::identity_key(&places)?);
    let secrets = open::runtime(&places)?.block_on(async {
        let mut secrets = Vec::new();
        for name in store.secrets().await? {
            let needles = store.0.needles(&name).await?;
            needles.iter().flat_map(|(_, values)| values).for_each(redact::remember);
            let mut needles: BTreeMap<u32, Vec<SecretBytes>> = needles.into_iter().collect();
            let mut versions = Vec::new();
            for version in store.versions(&name).await? {
                let credential = store.read(&name, version.number).await?;
                let values = credential.iter().flat_map(|credential| credential.fields.secrets());
                let values = values.map(|(_, value)| value.duplicate());
                let retired = needles.remove(&version.number).unwrap_or_default();
                versions.push(StoredVersion {
                    number: version.number,
                    label: version.label,
                    fingerprints: version.fingerprints.into_iter().map(|(_, print)| print).collect(),
                    values: values.chain(retired).collect(),
                });
            }
            secrets.push(StoredSecret { name, versions });
        }
        Ok::<_, Problem>(secrets)
    })?;
    Ok(Some(StoredValues { key, identity, secrets }))
}
