//! Places of the namespace, besides the keys of the plan, that hold the version that goes.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_copy::Format;
use keyroll_host::place_digest;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::{Class, Failure, Named, Values};
use keyroll_rotation::Which;
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_trace::Names;

use crate::found::texts;
use crate::host::ClusterHost;
use crate::host::seen::Seen;
use crate::host::setup::KeySetup;
use crate::model::SecretSeen;
use crate::place::Place;
use crate::takers::Taker;
use crate::unpack;

/// What a search found.
#[derive(Default)]
pub(super) struct Strangers {
    /// The places.
    pub(super) names: Vec<Named>,
    /// The names of Secrets that a probe left.
    pub(super) probes: Vec<String>,
    /// What could not be searched, and why.
    pub(super) not_read: Vec<String>,
}

/// A search that goes on.
struct Search {
    needles: Needles,
    names: Names,
    found: Strangers,
}

impl Search {
    fn holds(&self, data: &SecretBytes) -> bool {
        !self.needles.is_clean(data.expose())
    }

    /// Notes a place, once.
    fn note(&mut self, place: &Place) {
        self.note_as(place.shown(&self.names));
    }

    fn note_as(&mut self, name: String) {
        let named = Named { digest: place_digest(Path::new(&name)), name };
        if !self.found.names.contains(&named) {
            self.found.names.push(named);
        }
    }

    /// What a release of Helm was made of.
    fn release(&mut self, secret: &SecretSeen) {
        let release = unpack::release_name(&secret.name);
        let read = secret.data.get("release").ok_or("it has no entry 'release'").and_then(unpack::release);
        match read {
            Ok((manifests, config)) => {
                for (what, data) in [("its manifests", manifests), ("its values", config)] {
                    if self.holds(&data) {
                        self.note(&Place::Helm { release: release.clone(), what: what.to_owned() });
                    }
                }
            }
            Err(why) => self.found.not_read.push(format!("release of Helm {release}: {why}")),
        }
    }

    /// The copy that `kubectl apply` keeps of a Secret.
    fn applied(&mut self, secret: &SecretSeen) {
        let Some(text) = &secret.last_applied else { return };
        let data = unpack::manifest(text.expose(), Format::Json).map(|manifest| manifest.data);
        let mut is_named = false;
        for (key, data) in data.unwrap_or_default() {
            if self.holds(&data) {
                self.note(&Place::Applied { name: secret.name.clone(), key });
                is_named = true;
            }
        }
        if !is_named && self.holds(text) {
            self.note_as(format!("secret/{} annotation of kubectl apply", secret.name));
        }
    }
}

impl ClusterHost {
    /// The other places that hold the version that goes.
    pub(super) fn strangers(
        &self,
        seen: &Seen,
        takers: &[Taker<'_>],
        values: Values<'_>,
        stays: Which,
    ) -> Result<Strangers, Failure> {
        let sought = going(values, stays);
        if sought.is_empty() {
            return Ok(Strangers::default());
        }
        let mut known = keyroll_trace::Values::new(FingerprintKey::new(self.key.bytes()));
        for value in &sought {
            known.add(value.duplicate(), None);
        }
        let (needles, names) = (needles(&sought)?, Names::of_values(&known));
        let mut search = Search { needles, names, found: Strangers::default() };
        for secret in &seen.namespace.secrets {
            match secret.kind.as_str() {
                "helm.sh/release.v1" => search.release(secret),
                _ => self.search_secret(&mut search, secret),
            }
            search.applied(secret);
        }
        for text in texts(&seen.namespace, takers) {
            if search.holds(text.data) {
                search.note(&text.place);
            }
        }
        Ok(search.found)
    }

    /// The keys of one Secret.
    fn search_secret(&self, search: &mut Search, secret: &SecretSeen) {
        for (key, data) in &secret.data {
            let mut own = self.setup.keys.iter().filter(|setup| is_of(setup, secret));
            let base = own.next();
            let is_source = base.is_some_and(|one| one.key == *key) || own.any(|one| one.key == *key);
            if is_source || !search.holds(data) {
                continue;
            }
            if secret.of_probe {
                search.found.probes.push(secret.name.clone());
                return;
            }
            // Each version's own Secret has the other keys, too: to the operator they are one place.
            let name = base.map_or(&secret.name, |setup| &setup.secret).clone();
            search.note(&Place::Secret { name, key: key.clone(), entry: None });
        }
    }
}

/// Whether a Secret is the one that the configuration names, or holds one version of it.
pub(super) fn is_of(setup: &KeySetup, secret: &SecretSeen) -> bool {
    setup.is_of(&secret.name) || secret.version_of.as_ref() == Some(&setup.secret)
}

/// The secret fields of the version that goes that the other one does not share.
fn going(values: Values<'_>, stays: Which) -> Vec<&SecretBytes> {
    let (goes, kept) = (values.of(stays.other()), values.of(stays));
    let differs = |(name, value)| {
        let other = kept.and_then(|kept| kept.get(name)).map(|field| &field.value);
        (other != Some(value)).then_some(value)
    };
    goes.into_iter().flat_map(Fields::secrets).filter_map(differs).collect()
}

/// The search for these values, in every encoding.
fn needles(sought: &[&SecretBytes]) -> Result<Needles, Failure> {
    let builder = sought.iter().fold(Needles::builder(), |builder, value| builder.add(NeedleId(0), value));
    builder.build().map_err(|error| {
        Failure::new(Class::Permanent, Code::ValueRefused, "search for a value").because(error.to_string())
    })
}
