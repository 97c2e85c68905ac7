//! Begins a roll-out: the pod template gets an annotation that names the intent, and where each version has a Secret of its own
//! also the name of that.

use k8s_openapi::api::core::v1::Secret;
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_port::{AllowedChanges, Applied, Asked, Class, Failure};
use keyroll_rotation::{ConsumerId, Seq};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ClusterHost;
use super::api::{OWN, Patched, annotated, overtaken};
use super::own::Own;
use super::rolled_out::{Held, held};
use super::setup::{KeySetup, PodsSetup};
use super::template::{Template, is_stamped};
use crate::marks::ROLLED_BY;
use crate::model::SecretSeen;
use crate::objects;
use crate::verdict::CACHE_S;

/// How often a workload is read and changed, if somebody else changes it meanwhile.
pub(super) const ATTEMPTS_MAX: usize = 4;

/// How long before the time limit keyroll stops waiting, so that its answer comes in time, milliseconds.
pub(super) const ANSWER_MS: u64 = 500;

impl ClusterHost {
    /// Begins the roll-out of a consumer's workload, unless that makes other changes live that nobody allowed. Of a job, and
    /// of a program that reads the file again, nothing is replaced.
    pub(super) async fn roll_out(
        &self,
        (consumer, slot): (ConsumerId, u8),
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        let pods = self.pods_setup(consumer)?;
        if pods.is_job() || pods.rereads {
            return Ok(Applied::Done(Vec::new()));
        }
        if pods.kind == WorkloadKind::Pod {
            let alone = not_done(pods, "nothing makes a pod again that nothing manages");
            return Err(alone.help(format!("delete {} and make it again", pods.object())));
        }
        let key = self.key_setup(pods.file)?;
        let (mut changes, mut own) = self.changes(pods, brings).await?;
        let may_wait = key.versioned.is_none() && matches!(changes, Applied::Done(_));
        if may_wait && self.wait_for_caches(key, pods, asked, own.as_ref()).await? {
            (changes, own) = self.changes(pods, brings).await?;
        }
        if let Applied::Done(_) = changes {
            match (pods.canary, slot, pods.kind) {
                (true, _, WorkloadKind::StatefulSet) => {
                    self.move_stateful_set(pods, slot, asked, own).await?;
                }
                (true, 0, _) => self.make_canary(pods, asked, own).await?,
                _ => self.stamp_workload(key, pods, asked, own).await?,
            }
        }
        Ok(changes)
    }

    /// The pending changes that the roll-out would make live, and whether it may; and the look that showed them.
    async fn changes(
        &self,
        pods: &PodsSetup,
        brings: AllowedChanges<'_>,
    ) -> Result<(Applied, Option<Own>), Failure> {
        let (mut pending, own) = self.pending_of(pods).await?;
        if let AllowedChanges::Accepted(accepted) = brings {
            pending.retain(|change| !accepted.contains(&change.difference));
            if !pending.is_empty() {
                return Ok((Applied::Refused(pending), own));
            }
        }
        Ok((Applied::Done(pending), own))
    }

    /// Waits until every node gives a new pod the value that the Secret holds now. Whether it had to. `own`: a look just now.
    async fn wait_for_caches(
        &self,
        key: &KeySetup,
        pods: &PodsSetup,
        asked: Asked,
        own: Option<&Own>,
    ) -> Result<bool, Failure> {
        let began = self.clock.monotonic_ms();
        let limit = asked.until_ms.saturating_sub(ANSWER_MS);
        let mut waited = false;
        let mut seen =
            own.and_then(|own| own.secret_with(key).map(|secret| ms_left(changed_at(secret, key), own.date)));
        loop {
            let now = self.clock.monotonic_ms();
            let left = match seen.take() {
                Some(left) => left,
                None => self.cache_ms_left(key, pods).await?,
            };
            let due = match left {
                Some(left) => now.saturating_add(left),
                // Without the time of the change no pod will ever be current: what is waited for is only likely.
                None => limit.min(began.saturating_add(CACHE_MS)),
            };
            if due <= now {
                return Ok(waited);
            }
            waited = true;
            self.clock.sleep_until(due.min(limit)).await;
            if due > limit {
                let waits = format!(
                    "waits until {CACHE_S} s after the Secret was changed, because a node may give new pods the value of its \
                     cache"
                );
                return Err(
                    Failure::new(Class::Retryable, Code::RollOutNotDone, attempted(pods)).because(waits)
                );
            }
        }
    }

    /// How long a node may still have the former value of a key, milliseconds; `None`: the API does not show it.
    async fn cache_ms_left(&self, key: &KeySetup, pods: &PodsSetup) -> Result<Option<u64>, Failure> {
        let api = self.api().await?;
        let (secret, date) = api.get_dated::<Secret>(&api.secret(&key.secret), &attempted(pods)).await?;
        let secret = secret.map(objects::secret);
        let Some(secret) = secret.filter(|secret| secret.data.contains_key(&key.key)) else {
            let failure = Failure::new(Class::Permanent, Code::PlaceNotFound, attempted(pods));
            return Err(failure.because(format!("there is no {}: a new pod would not start", key.shown())));
        };
        self.refuse_content(pods, key, &secret)?;
        Ok(ms_left(changed_at(&secret, key), date))
    }

    /// Puts the stamp of the intent into the template, together with the name of the version's own Secret. `own`: a look just
    /// now; if somebody changed the workload since, nothing is changed, and it is read again.
    async fn stamp_workload(
        &self,
        key: &KeySetup,
        pods: &PodsSetup,
        asked: Asked,
        mut own: Option<Own>,
    ) -> Result<(), Failure> {
        let api = self.api().await?;
        let (path, attempted) = (api.workload(pods.kind, &pods.workload), attempted(pods));
        let stamp = self.stamp(asked.intent);
        let mut seen = own.as_mut().and_then(|own| own.workload.take());
        for _ in 0..ATTEMPTS_MAX {
            let workload: Option<Value> = match seen.take() {
                Some(workload) => Some(workload),
                None => api.get(&path, &attempted).await?,
            };
            let Some(workload) = workload else { return Err(gone(pods)) };
            if is_stamped(&workload, &stamp) {
                return Ok(());
            }
            refuse_held(pods, held(&workload), &api.cluster.options)?;
            self.refuse_foreign(pods, own.take()).await?;
            self.may_begin(asked, || attempted.clone())?;
            let template = Template::of(workload, pods.kind, key, &self.setup.rotation);
            let patch = template.rolls_out(template.noted(), &stamp);
            match api.patch::<IgnoredAny>(&path, patch, &attempted).await? {
                Patched::Done(_) => return Ok(()),
                Patched::Overtaken => {}
                Patched::Gone => return Err(gone(pods)),
            }
        }
        Err(overtaken(attempted))
    }

    /// Whether the workload has the stamp of this intent. A job and a program that reads the file again never have it.
    pub(super) async fn is_rolled_by(&self, consumer: ConsumerId, intent: Seq) -> Result<bool, Failure> {
        let pods = self.pods_setup(consumer)?;
        if !pods.has_roll_out() {
            return Ok(false);
        }
        let api = self.api().await?;
        let attempted = format!("see whether {} was rolled out", pods.object());
        let workload: Option<Value> = api.get(&api.workload(pods.kind, &pods.workload), &attempted).await?;
        let Some(workload) = workload else { return Ok(false) };
        let stamp = self.stamp(intent);
        if is_stamped(&workload, &stamp) {
            return Ok(true);
        }
        match (pods.canary, pods.kind) {
            (true, WorkloadKind::StatefulSet) => {
                Ok(annotated(&workload, OWN, ROLLED_BY) == Some(stamp.as_str()))
            }
            (true, _) => self.has_canary(pods, &stamp).await,
            (false, _) => Ok(false),
        }
    }
}

/// How long a node may give a new pod the former value, milliseconds.
const CACHE_MS: u64 = CACHE_S.unsigned_abs() * 1000;

/// How long a node may still have the former value of a key that was changed at a time, milliseconds. Both times are whole
/// seconds of the server's clock, and a pod counts as new only if it was made after the last of them.
fn ms_left(changed: Option<i64>, now: Option<i64>) -> Option<u64> {
    let left = changed?.saturating_add(CACHE_S + 1).saturating_sub(now?);
    Some(u64::try_from(left).unwrap_or(0).saturating_mul(1000))
}

/// When a key was changed last, as far as the API shows it.
fn changed_at(secret: &SecretSeen, key: &KeySetup) -> Option<i64> {
    secret.changed.get(&key.key).map(|changed| changed.at)
}

/// What is attempted.
pub(super) fn attempted(pods: &PodsSetup) -> String {
    format!("roll out {}", pods.object())
}

/// The roll-out would not complete.
pub(super) fn not_done(pods: &PodsSetup, why: &str) -> Failure {
    Failure::new(Class::Permanent, Code::RollOutNotDone, attempted(pods)).because(why)
}

/// Refuses a workload that replaces no pod, or not all, before somebody changes it. `options`: those of kubectl.
pub(super) fn refuse_held(pods: &PodsSetup, held: Option<Held>, options: &str) -> Result<(), Failure> {
    let Some(held) = held else { return Ok(()) };
    Err(not_done(pods, &held.why()).help(held.command(&pods.object(), options)))
}

/// There is no such workload.
pub(super) fn gone(pods: &PodsSetup) -> Failure {
    not_done(pods, "it does not exist")
        .help(format!("correct `runs` of '{}' in the configuration", pods.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::sample::pods;

    #[test]
    fn the_nodes_have_the_new_value_one_second_after_their_caches_ended() {
        assert_eq!(ms_left(Some(100), Some(100)), Some(31_000));
        assert_eq!(ms_left(Some(100), Some(130)), Some(1_000));
        assert_eq!(ms_left(Some(100), Some(131)), Some(0));
        assert_eq!(ms_left(Some(100), Some(5_000)), Some(0));
    }

    #[test]
    fn without_a_time_of_the_change_or_of_the_server_nothing_is_known_of_the_caches() {
        assert_eq!(ms_left(None, Some(100)), None);
        assert_eq!(ms_left(Some(100), None), None);
    }

    #[test]
    fn what_holds_a_workload_is_a_failure_that_names_the_command() {
        let held = |spec: Value| {
            let failure = refuse_held(&pods(), held(&json!({ "spec": spec })), "-n shop").err()?;
            Some((failure.source.unwrap().to_string(), failure.help.unwrap()))
        };
        let (why, help) = held(json!({ "paused": true })).unwrap();
        assert!(why.starts_with("it is paused"), "{why}");
        assert_eq!(help, "kubectl rollout resume deployment/agent -n shop");
        let (why, help) = held(json!({ "updateStrategy": { "type": "OnDelete" } })).unwrap();
        assert!(why.contains("OnDelete") && help.contains("RollingUpdate"), "{why} {help}");
        let partition =
            json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } });
        assert!(held(partition).unwrap().0.contains("below 2"));
        assert_eq!(held(json!({ "paused": false, "strategy": { "type": "Recreate" } })), None);
    }

    #[test]
    fn a_workload_that_does_not_exist_is_a_permanent_failure() {
        let failure = gone(&pods());
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::RollOutNotDone));
        assert_eq!(failure.to_string(), "could not roll out deployment/agent");
    }
}
