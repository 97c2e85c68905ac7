use std::collections::{BTreeMap, BTreeSet};

use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_port::Label;
use keyroll_scanner::{Known, Version};
use keyroll_secret::FingerprintKey;

use crate::context::Context;
use crate::kept::kept;
use crate::problem::Problem;
use crate::records::versions::label;
use crate::ui::Event;

/// What the store of this machine says to a search.
#[derive(Default)]
pub(crate) struct OfStore {
    /// Every version of every secret that is kept.
    pub(crate) known: Known,
    /// The names of these secrets.
    pub(crate) secrets: BTreeSet<String>,
    /// What tells findings apart on this machine; `None` where no store is here.
    pub(crate) identity: Option<FingerprintKey>,
}

/// Reads it. A value that cannot be looked for by itself is named.
pub(crate) fn of_store(context: &mut Context) -> Result<OfStore, Problem> {
    let Some(kept) = kept(context, false)? else { return Ok(OfStore::default()) };
    let mut builder = Needles::builder();
    let (mut versions, mut ended) = (Vec::new(), BTreeMap::new());
    for secret in &kept.secrets {
        for version in &secret.versions {
            let known = Version {
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
                builder = builder.add(id, value);
                versions.push(known.clone());
            }
            odd.iter().for_each(|_| not_looked_for(&known, context));
            // What is not looked for by itself is known again where something else finds it.
            if version.values.is_empty() || !odd.is_empty() {
                ended.extend(version.fingerprints.iter().map(|print| (*print, known.clone())));
            }
        }
    }
    let needles =
        builder.build().map_err(|error| Problem::new("K0933", "look for known values").because_of(&error))?;
    let needles = (!versions.is_empty()).then_some(needles);
    let known = Known { needles, versions, ended, key: Some(kept.key), ..Known::default() };
    let secrets = kept.secrets.into_iter().map(|secret| secret.name).collect();
    Ok(OfStore { known, secrets, identity: Some(kept.identity) })
}

fn not_looked_for(known: &Version, context: &mut Context) {
    let what = format!("{} v{}", known.secret, known.number);
    let why = format!(
        "its value has not {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX} bytes: it is not looked for by itself"
    );
    context.ui.event(Event::NotVisible { what, why });
}
