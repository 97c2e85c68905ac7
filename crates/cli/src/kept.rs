//! What the store of this machine keeps, with its values, for whoever looks for them.

use std::collections::BTreeMap;

use keyroll_port::{Label, Store as _};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use crate::context::Context;
use crate::places::Places;
use crate::problem::Problem;
use crate::redact;
use crate::wiring::open;

/// All secrets of a store.
pub(crate) struct Kept {
    /// What its fingerprints are made with.
    pub(crate) key: FingerprintKey,
    /// What tells findings apart on this machine.
    pub(crate) identity: FingerprintKey,
    pub(crate) secrets: Vec<KeptSecret>,
}

/// One secret.
pub(crate) struct KeptSecret {
    pub(crate) name: String,
    /// Oldest first.
    pub(crate) versions: Vec<KeptVersion>,
}

/// One version; of one that was ended only the fingerprints are kept, unless its owner wants to find it again.
pub(crate) struct KeptVersion {
    pub(crate) number: u32,
    pub(crate) label: Label,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) values: Vec<SecretBytes>,
}

/// `None` = no store is here. Without `ask` one that is there and cannot be opened without a question is a problem: stdin may
/// be what is looked at. Nothing is made.
pub(crate) fn kept(context: &Context, ask: bool) -> Result<Option<Kept>, Problem> {
    // Without a home there is no folder of it; anything else that is wrong is said.
    let places = match context.places() {
        Ok(places) => places,
        Err(_) if context.has_no_home() => return Ok(None),
        Err(problem) => return Err(problem),
    };
    if !places.sealed().exists() {
        return Ok(None);
    }
    let places = Places { ask: ask && places.ask, ..places };
    let store = open::store(&places)?;
    let (key, identity) = (open::fingerprint_key(&places)?, open::identity_key(&places)?);
    let secrets = open::runtime()?.block_on(async {
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
                versions.push(KeptVersion {
                    number: version.number,
                    label: version.label,
                    fingerprints: version.fingerprints.into_iter().map(|(_, print)| print).collect(),
                    values: values.chain(retired).collect(),
                });
            }
            secrets.push(KeptSecret { name, versions });
        }
        Ok::<_, Problem>(secrets)
    })?;
    Ok(Some(Kept { key, identity, secrets }))
}
