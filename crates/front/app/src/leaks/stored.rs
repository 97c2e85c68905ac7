use std::collections::{BTreeMap, BTreeSet};

use keyroll_codes::Code;
use keyroll_needle::{
    FingerprintLabel, FingerprintSet, FingerprintState, NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN,
};
use keyroll_port::Label;
use keyroll_scanner::{KnownValues, SecretVersion};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::versions::label;
use crate::redact::with_value;
use crate::stored_values::{StoredSecret, StoredValues, StoredVersion, stored_values};

/// What a search uses from the store of this machine.
#[derive(Default)]
pub(super) struct OfStore {
    /// Every stored version of every secret.
    pub known: KnownValues,
    /// The names of these secrets.
    pub secrets: BTreeSet<String>,
    /// The key of the identities of findings on this machine; `None` if there is no store.
    pub identity: Option<FingerprintKey>,
    /// What is searched for on other machines.
    pub there: There,
}

/// The stored values as they are searched for on other machines: by fingerprints, under numbers in place of names.
#[derive(Default)]
pub(super) struct There {
    /// A fingerprint file; `None` without any value.
    pub prints: Option<String>,
    /// What the numbers mean.
    pub versions: Vec<SecretVersion>,
    /// The values without a fingerprint, by these numbers.
    pub unprinted: Vec<(usize, SecretBytes)>,
}

/// Reads the store. Tells the operator about each value that cannot be searched for.
/// With `on_hosts`, also what is searched for there.
pub(super) fn of_store(
    on_hosts: bool,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<OfStore, Problem> {
    let Some(kept) = stored_values(installation, false)? else { return Ok(OfStore::default()) };
    let there = if on_hosts { there(&kept, operator)? } else { There::default() };
    let mut builder = Needles::builder();
    let (mut versions, mut ended) = (Vec::new(), BTreeMap::new());
    for secret in &kept.secrets {
        for version in &secret.versions {
            let known = known_version(secret, version);
            let (fit, odd): (Vec<_>, Vec<_>) = version
                .values
                .iter()
                .partition(|value| (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()));
            for value in fit {
                let id = NeedleId(u32::try_from(versions.len()).unwrap_or(u32::MAX));
                builder = with_value(builder, id, value);
                versions.push(known.clone());
            }
            odd.iter().for_each(|_| not_looked_for(&known, operator));
            // A value that is not searched for is still recognised if a rule finds it.
            if version.values.is_empty() || !odd.is_empty() {
                ended.extend(version.fingerprints.iter().map(|print| (*print, known.clone())));
            }
        }
    }
    let needles = builder.build().map_err(|error| {
        Problem::new(Code::SearchTargetUnknown, "search for keyroll's own secrets").because_of(&error)
    })?;
    let needles = (!versions.is_empty()).then_some(needles);
    let known = KnownValues { needles, versions, ended, key: Some(kept.key), ..KnownValues::default() };
    let secrets = kept.secrets.into_iter().map(|secret| secret.name).collect();
    Ok(OfStore { known, secrets, identity: Some(kept.identity), there })
}

/// Fingerprints of all values that cannot be guessed. Tells the operator about each other one.
fn there(kept: &StoredValues, operator: &mut dyn Operator) -> Result<There, Problem> {
    let problem = || Problem::new(Code::SearchTargetUnknown, "search hosts for keyroll's own secrets");
    let mut builder = FingerprintSet::builder().map_err(|error| problem().because_of(&error))?;
    let (mut versions, mut unprinted) = (Vec::new(), Vec::new());
    for (secret, version) in kept.secrets.iter().flat_map(|one| one.versions.iter().map(move |it| (one, it)))
    {
        let retired = version.label == Label::Retired;
        let mut missed = |why: String| {
            let what = format!("{} v{} on hosts", secret.name, version.number);
            operator.event(Event::NotVisible { what, why });
        };
        if version.values.is_empty() && retired {
            missed("the store does not keep its value (keep_retired)".to_owned());
        }
        for value in &version.values {
            // Only the state matters there: a comment does not accept a value that works.
            let state = if retired { FingerprintState::Retired } else { FingerprintState::Current };
            let label = FingerprintLabel { name: versions.len().to_string(), version: 0, state };
            if let Err(why) = builder.add(label, value) {
                missed(format!("found there only by a rule: {why}"));
                unprinted.push((versions.len(), value.duplicate()));
            }
        }
        versions.push(known_version(secret, version));
    }
    let prints = (builder.values() > 0).then(|| builder.build().to_bytes());
    let prints = prints.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(There { prints, versions, unprinted })
}

fn known_version(secret: &StoredSecret, version: &StoredVersion) -> SecretVersion {
    SecretVersion {
        secret: secret.name.clone(),
        number: u64::from(version.number),
        state: label(version.label),
        retired: version.label == Label::Retired,
    }
}

fn not_looked_for(known: &SecretVersion, operator: &mut dyn Operator) {
    let what = format!("{} v{}", known.secret, known.number);
    let why = format!(
        "its value does not have {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX} bytes, so it is not searched for"
    );
    operator.event(Event::NotVisible { what, why });
}
