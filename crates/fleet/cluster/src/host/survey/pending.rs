//! What a roll-out makes live besides the value: changes of other keys, and of the template.

use keyroll_port::{Failure, PendingChange};
use keyroll_rotation::Difference;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_trace::{Names, Values};

use super::workload::Raw;
use crate::commands::never_follows;
use crate::host::ClusterHost;
use crate::host::object::framed;
use crate::host::own::{Own, typed};
use crate::host::seen::{Seen, is_of};
use crate::host::setup::PodsSetup;
use crate::marks::ROLLED_BY;
use crate::model::{From, Namespace, Pod, Way};
use crate::takers::{Use, container_of, uses};
use crate::verdict::idle;
use keyroll_kube::annotation;

/// The revision of a Deployment's template, and that of a DaemonSet's. Source:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/>.
const REVISIONS: [&str; 2] =
    ["deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"];

impl ClusterHost {
    /// What a roll-out of a consumer would make live now.
    pub(super) async fn pending_in(
        &self,
        seen: &Seen,
        pods: &PodsSetup,
    ) -> Result<Vec<PendingChange>, Failure> {
        if !pods.has_roll_out() {
            return Ok(Vec::new());
        }
        let mut all = self.keys_pending(seen, pods);
        let raw = self.settled_workload(pods).await?;
        all.extend(raw.and_then(|raw| self.template_pending(pods, &raw)));
        Ok(all)
    }

    /// The same by a look at this consumer alone.
    ///
    /// Whether there was another object of a name before is not asked: it only makes *unknown* what otherwise is reported.
    pub(super) async fn pending_own(
        &self,
        own: &Own,
        pods: &PodsSetup,
    ) -> Result<Vec<PendingChange>, Failure> {
        let mut all = self.keys_pending(&own.seen, pods);
        let raw =
            own.workload.as_ref().map(|workload| typed::<Raw>(workload, &format!("read {}", pods.object())));
        let raw = match raw.transpose()? {
            // Its controller may not have seen the delivery just now.
            Some(raw) if !raw.is_observed() => self.settled_workload(pods).await?,
            raw => raw,
        };
        all.extend(raw.and_then(|raw| self.template_pending(pods, &raw)));
        Ok(all)
    }

    /// The other keys that its pods take once, and that were changed since.
    pub(super) fn keys_pending(&self, seen: &Seen, pods: &PodsSetup) -> Vec<PendingChange> {
        let takers = seen.takers();
        let taker = takers.iter().find(|taker| is_of(taker, pods.kind, &pods.workload));
        let names = Names::of_values(&Values::new(FingerprintKey::new(self.key.bytes())));
        let mut all: Vec<PendingChange> = Vec::new();
        for pod in taker.iter().flat_map(|taker| &taker.pods) {
            for one in uses(&seen.namespace, &pod.takes) {
                let Some(change) = self.key_pending(seen, (pods, *pod), &one, &names) else { continue };
                if !all.iter().any(|known| known.difference == change.difference) {
                    all.push(change);
                }
            }
        }
        all
    }

    /// One key that a pod of a consumer takes.
    fn key_pending(
        &self,
        seen: &Seen,
        (pods, pod): (&PodsSetup, &Pod),
        one: &Use<'_>,
        names: &Names,
    ) -> Option<PendingChange> {
        let beside = one.taking.shadowed || one.taking.way == Way::PullImage;
        if beside || !never_follows(&one.taking.way) || self.is_of_plan(one) {
            return None;
        }
        let container = container_of(pod, one.taking).filter(|container| idle(container, pod).is_none())?;
        let (key, object) = (one.key?, one.taking.from.object()?);
        let was = match seen.judged(one, container, pod).word {
            "stale" => "was",
            "likely stale" => "may have been",
            _ => return None,
        };
        let shown = names.shown(key);
        let name = format!("{}/{object}:{shown}", pods.name);
        let digest = self.digest(&[name.as_bytes(), key.as_bytes(), value(&seen.namespace, one)?.expose()]);
        let changed = seen.namespace.history(&one.taking.from)?.changed.get(key);
        let since = changed.and_then(|changed| u64::try_from(changed.at).ok());
        Some(PendingChange {
            difference: Difference { name: name.into(), digest },
            what: format!("{object} {shown} {was} changed after pod/{} started", pod.name),
            since_unix_ms: since.map(|seconds| seconds.saturating_mul(1000)),
        })
    }

    /// A template that not all pods have: a roll-out that is not done, unless this rotation began it.
    pub(super) fn template_pending(&self, pods: &PodsSetup, raw: &Raw) -> Option<PendingChange> {
        let stamp = annotation(&raw.spec.template.metadata, ROLLED_BY);
        let rotation = &self.setup.rotation;
        let is_own = stamp.and_then(|stamp| stamp.split_once('/')).is_some_and(|(id, _)| id == rotation);
        if !raw.is_rolling() || (is_own && !rotation.is_empty()) {
            return None;
        }
        let noted = REVISIONS.iter().find_map(|name| annotation(&raw.metadata, name));
        let generation = raw.metadata.generation.unwrap_or_default().to_string();
        let revision = noted.unwrap_or(match raw.status.update_revision.as_str() {
            "" => generation.as_str(),
            revision => revision,
        });
        let name = format!("{}/template:{}", pods.name, pods.workload);
        let digest = self.digest(&[name.as_bytes(), revision.as_bytes()]);
        Some(PendingChange {
            difference: Difference { name: name.into(), digest },
            what: format!("the template of {} was changed, and not all of its pods have it", pods.object()),
            since_unix_ms: None,
        })
    }

    /// The first half of a keyed digest.
    fn digest(&self, parts: &[&[u8]]) -> u64 {
        let print = self.key.fingerprint(&framed(parts));
        print.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

/// What a key holds now.
fn value<'n>(namespace: &'n Namespace, one: &Use<'_>) -> Option<&'n SecretBytes> {
    match &one.taking.from {
        From::Secret { name, .. } => namespace.secret(name)?.data.get(one.key?),
        From::Map { name, .. } => namespace.config_map(name)?.data.get(one.key?),
        From::Text(_) | From::Class(_) => None,
    }
}
