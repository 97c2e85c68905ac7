//! What still holds the ended version.

use keyroll_kube::words;
use keyroll_port::{Failure, Residue, Swept, Values};
use keyroll_rotation::{Holds, Visibility, Which};

use super::not_read;
use super::strangers::is_of;
use crate::commands::{is_word, restart};
use crate::host::ClusterHost;
use crate::host::seen::{Seen, Taken, name};
use crate::host::setup::KeySetup;
use crate::model::{From, Namespace, Taking};
use crate::takers::Taker;

impl ClusterHost {
    /// The last search for the old version.
    pub(in crate::host) async fn sweep_namespace(&self, values: Values<'_>) -> Result<Swept, Failure> {
        let seen = self.see().await?;
        self.swept(&seen, values)
    }

    /// What this look at the namespace shows.
    pub(super) fn swept(&self, seen: &Seen, values: Values<'_>) -> Result<Swept, Failure> {
        let (namespace, takers) = (&seen.namespace, seen.takers());
        let strangers = self.strangers(seen, &takers, values, Which::New)?;
        let mut residues = Vec::new();
        for named in strangers.names {
            let reason = "holds the dead value; no consumer takes it from there".to_owned();
            residues.push(Residue { place: named.name, reason });
        }
        for probe in strangers.probes {
            let reason = format!("a probe left it, with the dead value: {}", delete(namespace, &probe));
            residues.push(Residue { place: format!("secret/{probe}"), reason });
        }
        for key in &self.setup.keys {
            if self.content(key, seen, values, Which::New) == Holds::Old {
                let reason = "was written back to the dead value".to_owned();
                residues.push(Residue { place: key.shown(), reason });
            }
            for one in self.left(key, seen, &takers, values) {
                // Several workloads may have versions of one Secret.
                if !residues.contains(&one) {
                    residues.push(one);
                }
            }
        }
        let mut not_visible = not_read(namespace);
        not_visible.extend(strangers.not_read);
        for one in self.taken(seen, &takers) {
            let place = name(&one);
            match self.observed(&one, seen, values, Which::New).old {
                Visibility::Yes => {
                    let again = self.holds_of(&one, seen, values, Which::New) == Holds::Old;
                    residues.push(Residue { place, reason: stays_with(namespace, &one, again) });
                }
                Visibility::NotVisible => {
                    let why = one.judged.doubt.as_ref().unwrap_or(&one.judged.sentence);
                    not_visible.push(format!("which version {place} has: {why}"));
                }
                Visibility::No => {}
            }
        }
        for one in self.may_start_behind(seen, &takers, values, Which::New) {
            let place = name(&one);
            not_visible
                .push(format!("which version {place} will start with: its pod may have a value of before"));
        }
        Ok(Swept { residues, not_visible, downtimes: Vec::new() })
    }

    /// The Secrets of earlier versions that are still there.
    fn left(&self, key: &KeySetup, seen: &Seen, takers: &[Taker<'_>], values: Values<'_>) -> Vec<Residue> {
        let present = self.secret_of(key, seen).map(|(name, _)| name);
        let mut all = Vec::new();
        for secret in seen.namespace.secrets.iter().filter(|one| is_of(key, one)) {
            let bytes = secret.data.get(&key.key);
            let is_old = bytes.is_some() && key.holding(bytes, values, Which::New) == Holds::Old;
            if present == Some(secret.name.as_str()) || !is_old {
                continue;
            }
            let reason = match taken_by(takers, &secret.name) {
                Some(taker) => format!("holds the dead value, and {taker} refers to it"),
                // People made it, and their manifests may name it.
                None if secret.name == key.secret => {
                    "holds the dead value, and nothing refers to it; a manifest may: write the present value there, or delete it"
                        .to_owned()
                }
                None => {
                    let delete = delete(&seen.namespace, &secret.name);
                    format!("holds the dead value, and nothing refers to it: {delete}")
                }
            };
            all.push(Residue { place: format!("secret/{} {}", secret.name, key.key), reason });
        }
        all
    }
}

/// Why a container may still have the dead value, and what ends that. `again`: its Secret holds that value.
fn stays_with(namespace: &Namespace, one: &Taken<'_>, again: bool) -> String {
    let without = "is not seen to be without the dead value until";
    if one.pod.ending {
        let on = one.pod.node.as_ref().map(|node| format!(", on node {}", words(node)));
        return format!("{without} its pod has ended{}", on.unwrap_or_default());
    }
    match again {
        true => format!(
            "is not seen to be without the dead value, which {} still holds for the next pod of {}",
            one.own.object(),
            one.taker.shown()
        ),
        false => format!("{without} it is replaced: {}", restart(namespace, one.taker)),
    }
}

/// What takes a Secret now: in its template, or in a pod.
fn taken_by(takers: &[Taker<'_>], name: &str) -> Option<String> {
    let is_it = |taking: &Taking| matches!(&taking.from, From::Secret { name: own, .. } if own == name);
    let takes = |taker: &&Taker<'_>| {
        let pods = taker.pods.iter().flat_map(|pod| pod.takes.iter());
        taker.template().iter().chain(pods).any(is_it)
    };
    takers.iter().find(takes).map(Taker::shown)
}

/// The command that deletes a Secret.
fn delete(namespace: &Namespace, name: &str) -> String {
    match is_word(name) {
        true => format!("kubectl delete secret {name} {}", namespace.options),
        false => "no command is shown: its name cannot be a name of Kubernetes".to_owned(),
    }
}
