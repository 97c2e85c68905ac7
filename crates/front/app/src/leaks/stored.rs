use std::collections::{BTreeMap, BTreeSet};

use keyroll_codes::Code;
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_port::Label;
use keyroll_scanner::{KnownValues, SecretVersion};
use keyroll_secret::FingerprintKey;

use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::versions::label;
use crate::redact::with_value;
use crate::stored_values::stored_values;

/// What a search uses from the store of this machine.
#[derive(Default)]
pub(super) struct OfStore {
    /// Every stored version of every secret.
    pub known: KnownValues,
    /// The names of these secrets.
    pub secrets: BTreeSet<String>,
    /// The key of the identities of findings on this machine; `None` if there is no store.
    pub identity: Option<FingerprintKey>,
}

/// Reads the store. Tells the operator about each value that cannot be searched for.
pub(super) fn of_store(installation: &Installation, operator: &mut dyn Operator) -> Result<OfStore, Problem> {
    let Some(kept) = stored_values(installation, false)? else { return Ok(OfStore::default()) };
    let mut builder = Needles::builder();
    let (mut versions, mut ended) = (Vec::new(), BTreeMap::new());
    for secret in &kept.secrets {
        for version in &secret.versions {
            let known = SecretVersion {
                secret: secret.name.clone(),
                number: u64::from(version.number),
                state: label(version.label),
                retired: version.label == Label::Retired,
            };
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
    Ok(OfStore { known, secrets, identity: Some(kept.identity) })
}

fn not_looked_for(known: &SecretVersion, operator: &mut dyn Operator) {
    let what = format!("{} v{}", known.secret, known.number);
    let why = format!(
        "its value does not have {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX} bytes, so it is not searched for"
    );
    operator.event(Event::NotVisible { what, why });
}
