//! Whether the roll-out of a workload is done, by its pods.
//!
//! Only then does every pod run the present template: before, an old pod may still serve, and a new one may still fail.

mod state;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_port::{Class, Failure};
use kube::core::Selector;
use serde_json::Value;

use self::state::items;
pub(super) use self::state::{
    Held, RollOut, TEMPLATE_HASH, has_ended, held, number, replicas, state, state_of_pod, state_of_top, text,
};
use super::ClusterHost;
use super::api::Api;
use super::setup::PodsSetup;

impl ClusterHost {
    /// The state of the roll-out of a consumer's workload. The pods are read last: one that is made meanwhile from another
    /// template shows itself.
    pub(super) async fn rolled_out(&self, pods: &PodsSetup) -> Result<RollOut, Failure> {
        let attempted = format!("see the pods of {}", pods.object());
        let api = self.api().await?;
        let (workload, date) = self.workload_now(pods, &attempted).await?;
        let Some(workload) = workload else {
            // A Job is removed some time after its end.
            let gone = RollOut::Going(format!("{} does not exist", pods.object()));
            return Ok(if pods.kind == WorkloadKind::Job { RollOut::AtRest } else { gone });
        };
        let selector = match pods.kind {
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::Job => selector_of(&workload, &attempted)?,
            WorkloadKind::CronJob => match jobs_of(&workload) {
                Some(selector) => selector,
                None => return Ok(RollOut::AtRest),
            },
            WorkloadKind::Pod => return Ok(self.state_of(&workload, &[], &[], date)),
        };
        let (sets, all, date) = sets_and_pods(api, pods.kind, &selector, &attempted).await?;
        Ok(self.state_of(&workload, &all, &sets, date))
    }

    /// The workload of a consumer with its kind, and when it was read.
    pub(super) async fn workload_now(
        &self,
        pods: &PodsSetup,
        attempted: &str,
    ) -> Result<(Option<Value>, Option<i64>), Failure> {
        let api = self.api().await?;
        let path = api.workload(pods.kind, &pods.workload);
        let (mut workload, date) = api.get_dated::<Value>(&path, attempted).await?;
        if let Some(object) = workload.as_mut().and_then(Value::as_object_mut) {
            object.insert("kind".to_owned(), kind_name(pods.kind).into());
        }
        Ok((workload, date))
    }

    /// The state of a roll-out whose objects were read at this time by the server's clock.
    pub(super) fn state_of(
        &self,
        workload: &Value,
        pods: &[Value],
        replica_sets: &[Value],
        date: Option<i64>,
    ) -> RollOut {
        state(workload, pods, replica_sets, self.server_time(date))
    }

    /// The time of an answer by the server's clock. Without it, this machine's clock has to do: only the settle window rests
    /// on it.
    pub(super) fn server_time(&self, date: Option<i64>) -> i64 {
        date.unwrap_or_else(|| i64::try_from(self.clock.unix_ms() / 1000).unwrap_or(i64::MAX))
    }
}

/// The ReplicaSets of a Deployment and then the pods that a selector fits, and when the pods were read.
pub(super) async fn sets_and_pods(
    api: Api<'_>,
    kind: WorkloadKind,
    selector: &str,
    attempted: &str,
) -> Result<(Vec<Value>, Vec<Value>, Option<i64>), Failure> {
    let sets = match kind {
        WorkloadKind::Deployment => listed(api, ("apps", "replicasets"), selector, attempted).await?.0,
        WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::CronJob
        | WorkloadKind::Job
        | WorkloadKind::Pod => Vec::new(),
    };
    let (pods, date) = listed(api, ("", "pods"), selector, attempted).await?;
    Ok((sets, pods, date))
}

/// The objects of a kind, as `(group, plural)`, that a selector fits, and when they were read.
pub(super) async fn listed(
    api: Api<'_>,
    (group, plural): (&str, &str),
    selector: &str,
    attempted: &str,
) -> Result<(Vec<Value>, Option<i64>), Failure> {
    let listed = api.list::<Value>(&api.path(group, "v1", plural), selector, attempted).await?;
    Ok(listed.map(|listed| (listed.items, listed.date)).unwrap_or_default())
}

/// The selector of the pods of a workload, as a list takes it.
pub(super) fn selector_of(workload: &Value, attempted: &str) -> Result<String, Failure> {
    let selector = workload.pointer("/spec/selector").cloned();
    let selector = selector.and_then(|selector| serde_json::from_value::<LabelSelector>(selector).ok());
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    // One that selects nothing in particular would bring all pods of the namespace.
    selector.filter(|selector| !selector.selects_all()).map(|selector| selector.to_string()).ok_or_else(
        || {
            Failure::new(Class::Permanent, Code::RollOutNotDone, attempted)
                .because("its selector cannot be read")
        },
    )
}

/// The selector of the pods of a CronJob's Jobs that have not ended; `None`: there is no such Job.
fn jobs_of(cron_job: &Value) -> Option<String> {
    let active = items(cron_job, "/status/active").iter();
    let names: Vec<&str> = active.map(|job| text(job, "/name")).filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then(|| format!("job-name in ({})", names.join(",")))
}

/// The kind, as the API names it.
fn kind_name(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "Deployment",
        WorkloadKind::StatefulSet => "StatefulSet",
        WorkloadKind::DaemonSet => "DaemonSet",
        WorkloadKind::CronJob => "CronJob",
        WorkloadKind::Job => "Job",
        WorkloadKind::Pod => "Pod",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_has_its_labels_and_its_expressions() {
        let workload = json!({ "spec": { "selector": {
            "matchLabels": { "app": "agent" },
            "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }],
        } } });
        assert_eq!(selector_of(&workload, "see the pods").unwrap(), "app=agent,tier in (a,b)");
    }

    #[test]
    fn a_workload_without_a_selector_does_not_stand_for_every_pod() {
        for spec in [json!({}), json!({ "selector": {} }), json!({ "selector": "all" })] {
            assert!(selector_of(&json!({ "spec": spec }), "see the pods").is_err(), "{spec}");
        }
    }

    #[test]
    fn the_pods_of_a_cron_job_are_those_of_its_jobs_that_run() {
        let active = |active: Value| jobs_of(&json!({ "status": { "active": active } }));
        let named = json!([{ "kind": "Job", "name": "nightly-1" }, { "kind": "Job", "name": "nightly-2" }]);
        assert_eq!(active(named).as_deref(), Some("job-name in (nightly-1,nightly-2)"));
        assert_eq!(active(json!([])), None);
        assert_eq!(jobs_of(&json!({})), None);
    }
}
