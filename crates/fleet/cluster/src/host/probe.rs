//! Checks in pods of their own: one with the version, and one after it with a wrong value, which must fail.
//!
//! Nothing is asked of the pods of the consumer, and no log is read.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_host::{place_digest, wrong_copy};
use keyroll_port::{Class, Failure, FailureKind, Proving, Values};
use keyroll_rotation::{ConsumerId, Kinds, Which};
use keyroll_secret::{Fingerprint, SecretBytes};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ClusterHost;
use super::api::{Created, Patched, overtaken};
use super::memo::Run;
use super::probe_job::{KEPT_S, ProbeJob, probe_job, probe_secret};
use super::probe_result::{Ended, Over, Shown, ended, over, shown};
use super::setup::{KeySetup, PodsSetup};
use crate::marks::PROBE;
use crate::model::SecretSeen;

/// How often is asked whether a Job has ended, milliseconds.
const POLL_MS: u64 = 500;

/// How long what a probe showed counts, where another one may show something else, milliseconds.
const COUNTS_MS: u64 = 60_000;

/// What the names of all probes begin with.
const NAME: &str = "keyroll-probe-";

/// A check of one consumer.
struct Check<'a> {
    pods: &'a PodsSetup,
    key: &'a KeySetup,
    path: u8,
    command: Vec<String>,
    /// The Secret that the key is in now.
    secret: &'a SecretSeen,
    /// What the names of its Jobs begin with.
    stem: String,
    /// The name of the Job with the version.
    name: String,
    /// How long its answer is waited for, milliseconds.
    limit_ms: u64,
}

/// What the Jobs of a check are made of.
struct Made {
    /// The workload as it was read.
    workload: Value,
    /// A digest of the pod.
    print: Fingerprint,
}

/// One of the two Jobs of a probe, with what is in the place of the key.
struct Twin<'a> {
    name: String,
    content: &'a SecretBytes,
}

/// An object of which nothing else counts.
#[derive(Deserialize)]
struct Named {
    metadata: ObjectMeta,
}

/// Something with a state.
#[derive(Deserialize)]
struct Stated<S> {
    status: Option<S>,
}

impl ClusterHost {
    /// Runs the check of a path in a pod like that of the consumer, with the version that this Secret holds. What it showed is
    /// remembered, so that it runs once; while the consumer is watched, it runs once a minute.
    pub(super) async fn probe(
        &self,
        of: Proving<'_>,
        path: u8,
        secret: &SecretSeen,
    ) -> Result<Kinds, Failure> {
        let (kinds, why) = self.probed(of, path, secret, u64::MAX).await?;
        if let Some(why) = why {
            self.remark(of, why);
        }
        Ok(kinds)
    }

    /// The same, and why it does not show more, if it ran now. It is waited for so many milliseconds at most.
    pub(super) async fn probed(
        &self,
        of: Proving<'_>,
        path: u8,
        secret: &SecretSeen,
        limit_ms: u64,
    ) -> Result<(Kinds, Option<Failure>), Failure> {
        let pods = self.pods_setup(of.consumer)?;
        let key = self.key_setup(pods.file)?;
        let Some(Some(check)) = pods.checks.get(usize::from(path)) else { return Ok((Kinds::NONE, None)) };
        let Some(content) = secret.data.get(&key.key) else { return Ok((Kinds::NONE, None)) };
        let at = (of.consumer, path, of.which);
        let command = check.fill("main", None, None);
        let stem = stem(&self.setup.rotation, of.consumer, path, of.which);
        // Drawn, so that no node has a Secret of this name from before.
        let name = format!("{stem}{:06x}", RandomState::new().hash_one(&stem) & 0xff_ffff);
        let unit_ms = self.unit_ms_max();
        let limit_ms = limit_ms.min(unit_ms);
        let check = Check { pods, key, path, command, secret, stem, name, limit_ms };
        let made = match self.made_of(&check).await {
            Ok(made) => made,
            Err(failure) if failure.kind == FailureKind::Unreached => return Err(failure),
            Err(failure) => return Ok((Kinds::NONE, Some(failure))),
        };
        let print = self.key.fingerprint(content);
        let made_of = made.as_ref().map(|made| made.print);
        let mut before = Kinds::NONE;
        if let Some(run) = self.memo().checked.runs.get(&at).filter(|run| run.is_of(print, made_of)) {
            let recent = self.clock.monotonic_ms().saturating_sub(run.at_ms) < COUNTS_MS;
            if recent || run.settled && !of.watched {
                return Ok((run.kinds, None));
            }
            before = run.kinds;
        }
        let Some(Made { workload, print: made_of }) = made else {
            let why = unusable(&check).because(format!("there is no {}", pods.object()));
            return Ok((before, Some(why)));
        };
        let (shown, fails, why) = match self.run_probe(&check, &workload, content, of).await {
            Ok((version, wrong)) => {
                let fails = match &version {
                    Ended::Failed(how) => Some(how.clone()),
                    Ended::Passed | Ended::Unknown(_) => None,
                };
                let mut shown = shown(&version, &wrong, before);
                let help = help(&check, (&version, &wrong), &self.cluster().await?.options);
                let why = shown.why.take().map(|why| unusable(&check).because(why).help(help));
                (shown, fails, why)
            }
            Err(failure) if failure.kind == FailureKind::Unreached => return Err(failure),
            // The login may not do it, or the cluster refuses such a pod.
            Err(failure) => (Shown { kinds: before, settled: false, why: None }, None, Some(failure)),
        };
        let (kinds, settled) = (shown.kinds, shown.settled);
        let at_ms = self.clock.monotonic_ms();
        let run = Run { content: print, made_of, at_ms, kinds, settled, fails };
        self.memo().checked.runs.insert(at, run);
        Ok((kinds, why))
    }

    /// What the Jobs of a check are made of now; `None`: there is no such workload.
    async fn made_of(&self, check: &Check<'_>) -> Result<Option<Made>, Failure> {
        let (api, object) = (self.api().await?, check.pods.object());
        let path = api.workload(check.pods.kind, &check.pods.workload);
        let workload = api.get::<Value>(&path, &format!("read {object}")).await?;
        let Some(workload) = workload else { return Ok(None) };
        // Each Job has a drawn name. An environment may have values as text.
        let job = self.job(check, &workload, &check.stem)?;
        let print = self.key.fingerprint(&SecretBytes::from(job.to_string()));
        Ok(Some(Made { workload, print }))
    }

    /// A Job of this name.
    fn job(&self, check: &Check<'_>, workload: &Value, name: &str) -> Result<Value, Failure> {
        let Check { pods, key, .. } = check;
        let is_key = |name: &str| key.is_of(name);
        let job = ProbeJob {
            name,
            rotation: &self.setup.rotation,
            kind: pods.kind,
            container: pods.container.as_deref(),
            is_key: &is_key,
            command: &check.command,
            seconds_max: self.setup.unit_time_max.as_secs(),
        };
        probe_job(workload, &job).ok_or_else(|| {
            let name = pods.container.as_deref().unwrap_or("for the check");
            unusable(check).because(format!("{} has no container {name}", pods.object()))
        })
    }

    /// Runs both Jobs, and deletes them; one whose check failed is kept for a time.
    async fn run_probe(
        &self,
        check: &Check<'_>,
        workload: &Value,
        content: &SecretBytes,
        of: Proving<'_>,
    ) -> Result<(Ended, Ended), Failure> {
        let own = check.key.own.as_deref();
        let values = Values { new: own.or(of.values.new), ..of.values };
        let Some(wrong) = wrong_copy(content.expose(), values) else {
            let why = "no wrong value can be made for it: the value is not in the key as it is";
            return Err(unusable(check).because(why));
        };
        self.clear_probes(&check.stem).await?;
        let api = self.api().await?;
        let twins = [
            Twin { name: check.name.clone(), content },
            Twin { name: format!("{}-control", check.name), content: &wrong },
        ];
        let ended = self.run_twins(check, workload, &twins).await;
        let kept = matches!(&ended, Ok((Ended::Failed(_), _)));
        for twin in twins.iter().skip(usize::from(kept)) {
            // What stays is deleted before the next probe, and at the end of the rotation.
            drop(api.delete(&api.workload(WorkloadKind::Job, &twin.name), "delete the Job of a check").await);
        }
        ended
    }

    /// Makes both Jobs, and lets one begin after the other: together they could keep each other from a lock, or meet a limit,
    /// and the control has to fail because of its value.
    async fn run_twins(
        &self,
        check: &Check<'_>,
        workload: &Value,
        twins: &[Twin<'_>; 2],
    ) -> Result<(Ended, Ended), Failure> {
        let [version, wrong] = twins;
        let uids =
            (self.make_twin(check, workload, version).await?, self.make_twin(check, workload, wrong).await?);
        self.begin_twin(version, &uids.0).await?;
        let until_ms = self.clock.monotonic_ms().saturating_add(check.limit_ms);
        let version = self.end_of(version, until_ms).await?;
        // If the version itself fails, nothing is asked of the other one.
        if version != Ended::Passed {
            return Ok((version, Ended::Unknown("the check does not pass".to_owned())));
        }
        self.begin_twin(wrong, &uids.1).await?;
        Ok((version, self.end_of(wrong, until_ms).await?))
    }

    /// Makes a Job that does not begin yet, and its Secret. Returns the Job's uid.
    async fn make_twin(
        &self,
        check: &Check<'_>,
        workload: &Value,
        twin: &Twin<'_>,
    ) -> Result<String, Failure> {
        let Check { pods, key, secret, .. } = check;
        let api = self.api().await?;
        let job = self.job(check, workload, &twin.name)?;
        let attempted = format!("make the Job of the check of '{}'", pods.name);
        let body = Zeroizing::new(job.to_string().into_bytes());
        let made = api.create::<Named>(&api.path("batch", "v1", "jobs"), body, &attempted).await?;
        let Created::Done(made) = made else { return Err(overtaken(attempted)) };
        let uid = made.metadata.uid.unwrap_or_default();
        let data = secret.data.iter().map(|(name, value)| {
            let content = if *name == key.key { twin.content } else { value };
            (name.as_str(), content)
        });
        let attempted = format!("make the Secret of the check of '{}'", pods.name);
        let body = probe_secret((&twin.name, &uid), &self.setup.rotation, data);
        match api.create::<Named>(&api.path("", "v1", "secrets"), body, &attempted).await? {
            Created::Done(_) => Ok(uid),
            Created::Exists => Err(overtaken(attempted)),
        }
    }

    /// Lets a Job begin.
    async fn begin_twin(&self, twin: &Twin<'_>, uid: &str) -> Result<(), Failure> {
        let api = self.api().await?;
        let patch = json!([
            { "op": "test", "path": "/metadata/uid", "value": uid },
            { "op": "replace", "path": "/spec/suspend", "value": false },
        ]);
        let attempted = format!("begin job/{}", twin.name);
        let patch = Zeroizing::new(patch.to_string().into_bytes());
        match api.patch::<Named>(&api.workload(WorkloadKind::Job, &twin.name), patch, &attempted).await? {
            Patched::Done(_) => Ok(()),
            Patched::Overtaken | Patched::Gone => Err(overtaken(attempted)),
        }
    }

    /// Waits until a Job has ended, or the time is over.
    async fn end_of(&self, twin: &Twin<'_>, until_ms: u64) -> Result<Ended, Failure> {
        let api = self.api().await?;
        let (path, attempted) =
            (api.workload(WorkloadKind::Job, &twin.name), format!("read job/{}", twin.name));
        let over = loop {
            let Some(job) = api.get::<Stated<JobStatus>>(&path, &attempted).await? else {
                return Ok(Ended::Unknown(format!("somebody deleted job/{}", twin.name)));
            };
            let over = job.status.as_ref().and_then(over);
            let now = self.clock.monotonic_ms();
            if over.is_some() || now >= until_ms {
                break over;
            }
            self.clock.sleep_until(now.saturating_add(POLL_MS).min(until_ms)).await;
        };
        if over == Some(Over::Passed) {
            return Ok(Ended::Passed);
        }
        let (pods, selector) = (api.path("", "v1", "pods"), format!("job-name={}", twin.name));
        let pods = api.list::<Stated<PodStatus>>(&pods, &selector, &attempted).await?;
        let pods = pods.into_iter().flat_map(|pods| pods.items).filter_map(|pod| pod.status);
        Ok(ended(over, &pods.collect::<Vec<_>>()))
    }

    /// Deletes what is left of probes: all that a keyroll before this one left, and of this check what an earlier call left.
    async fn clear_probes(&self, stem: &str) -> Result<(), Failure> {
        let cleared = Arc::clone(&self.memo().checked.cleared);
        cleared.get_or_try_init(|| self.remove_probes(NAME)).await?;
        self.remove_probes(stem).await
    }

    /// Deletes the Jobs of this rotation's probes whose names begin with this, and with them their Secrets and pods.
    async fn remove_probes(&self, begin: &str) -> Result<(), Failure> {
        let api = self.api().await?;
        let selector = format!("{PROBE}={}", self.setup.rotation);
        let jobs = api.path("batch", "v1", "jobs");
        let all = api.list::<Named>(&jobs, &selector, "find what is left of checks").await?;
        let names = all.into_iter().flat_map(|all| all.items).filter_map(|one| one.metadata.name);
        for name in names.filter(|name| name.starts_with(begin)) {
            api.delete(&api.workload(WorkloadKind::Job, &name), "delete what is left of a check").await?;
        }
        Ok(())
    }

    /// Deletes what is left of all probes of the rotation, if there can be any.
    pub(super) async fn remove_all_probes(&self) -> Result<(), Failure> {
        let checks = self.setup.consumers.iter().flat_map(|pods| &pods.checks);
        if checks.flatten().next().is_none() {
            return Ok(());
        }
        self.remove_probes(NAME).await
    }
}

/// What the names of the Jobs of one check of a rotation begin with.
fn stem(rotation: &str, consumer: ConsumerId, path: u8, which: Which) -> String {
    let of = format!("{rotation} {} {path} {which:?}", consumer.0);
    format!("{NAME}{:010x}-", place_digest(Path::new(&of)) & 0xff_ffff_ffff)
}

/// A check that does not show enough.
fn unusable(check: &Check<'_>) -> Failure {
    let path = if check.path == 0 { String::new() } else { format!(" of path {}", check.path) };
    let attempted = format!("pass the check{path} of '{}' in a pod of its own", check.pods.name);
    Failure::new(Class::Retryable, Code::CheckUnusable, attempted)
}

/// What a person can do about it. `options`: those of kubectl.
fn help(check: &Check<'_>, ended: (&Ended, &Ended), options: &str) -> String {
    match ended {
        (Ended::Failed(_), _) => {
            format!(
                "see what it wrote: kubectl logs job/{} {options} (it is kept for {KEPT_S} s)",
                check.name
            )
        }
        (Ended::Passed, Ended::Passed) => {
            "let it make a real call with the value that its environment or its file has, and end with another \
             status than 0 if that is refused"
                .to_owned()
        }
        (Ended::Passed | Ended::Unknown(_), _) => {
            format!(
                "see what the cluster says of its pods, whose names begin with {}: kubectl get events {options}",
                check.stem
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_port::FailingCheck;

    use super::*;
    use crate::host::memo::Checked;
    use crate::host::sample;
    use crate::recorded::Recorded;

    #[test]
    fn each_check_of_a_rotation_has_a_name_of_its_own() {
        let consumer = ConsumerId;
        let all = [
            stem("r-1", consumer(0), 0, Which::New),
            stem("r-2", consumer(0), 0, Which::New),
            stem("r-1", consumer(1), 0, Which::New),
            stem("r-1", consumer(0), 1, Which::New),
            stem("r-1", consumer(0), 0, Which::Old),
        ];
        let names: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(all[0], stem("r-1", consumer(0), 0, Which::New));
        // With the drawn digits and `-control` behind it, and what the cluster adds for the pod.
        assert!(all.iter().all(|stem| stem.len() == NAME.len() + 11 && stem.len() + 6 + 8 + 6 <= 63));
    }

    #[tokio::test]
    async fn what_a_check_showed_counts_until_its_pod_would_be_another_one() {
        let container = |image: &str, level: &str| {
            let variable = json!({ "name": "LEVEL", "value": level });
            json!([{ "name": "app", "image": image, "env": [variable] }])
        };
        let workload = |containers: Value, stamp: &str| {
            let metadata = json!({ "annotations": { "keyroll.dev/rolled-by": stamp } });
            json!({ "spec": { "replicas": 2, "template": { "metadata": metadata, "spec": { "containers": containers } } } })
        };
        let recorded = Recorded::new();
        let answers = [
            (200, workload(container("app:1", "info"), "r1/1")),
            (200, workload(container("app:1", "info"), "r1/2")),
            (200, workload(container("app:2", "info"), "r1/2")),
            (200, workload(container("app:1", "debug"), "r1/2")),
            (404, crate::recorded::status(404, "there is no such object")),
        ];
        recorded.answers("/apis/apps/v1/namespaces/shop/deployments/agent", &answers);
        let host = sample::host(&recorded, sample::key(), vec![sample::pods()]);
        let (pods, key) = (sample::pods(), sample::key());
        let secret = SecretSeen::default();
        let check = Check {
            pods: &pods,
            key: &key,
            path: 0,
            command: vec!["/check".to_owned()],
            secret: &secret,
            stem: "stem-".to_owned(),
            name: "stem-1".to_owned(),
            limit_ms: 0,
        };
        let content = Fingerprint::from_bytes([1; 32]);
        let made_of = host.made_of(&check).await.unwrap().unwrap().print;
        let run = Run { content, made_of, at_ms: 0, kinds: Kinds::CHECKED, settled: true, fails: None };
        let mut same = Vec::new();
        for _ in 1..answers.len() {
            let now = host.made_of(&check).await.unwrap();
            same.push(run.is_of(content, now.map(|made| made.print)));
        }
        // Another stamp, another image, another environment; at last it is gone.
        assert_eq!(same, [true, false, false, true]);
        assert!(!run.is_of(Fingerprint::from_bytes([2; 32]), Some(made_of)));
    }

    #[test]
    fn only_the_checks_of_this_consumer_and_version_fail() {
        let mut checked = Checked::default();
        let content = keyroll_secret::Fingerprint::from_bytes([1; 32]);
        let run = |fails: Option<&str>| Run {
            content,
            made_of: content,
            at_ms: 0,
            kinds: Kinds::NONE,
            settled: false,
            fails: fails.map(str::to_owned),
        };
        let (one, two) = (ConsumerId(0), ConsumerId(1));
        checked.runs.insert((one, 0, Which::New), run(Some("exit code 1")));
        checked.runs.insert((one, 1, Which::New), run(None));
        checked.runs.insert((one, 0, Which::Old), run(Some("exit code 2")));
        checked.runs.insert((two, 0, Which::New), run(Some("exit code 3")));
        let failing = checked.failing(one, Which::New);
        assert_eq!(failing, [FailingCheck { path: 0, what: "exit code 1".to_owned() }]);
    }
}
