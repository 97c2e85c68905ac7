//! What makes pods.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/>.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_kube::{annotation, controller};

use crate::changed::seconds;
use crate::marks::VERSION;
use crate::model::Workload;
use crate::takes::{Keys, takes};

/// A Deployment.
pub(crate) fn deployment(object: &Deployment, keys: &Keys<'_>) -> Workload {
    let spec = object.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas);
    let paused = spec.and_then(|spec| spec.paused).unwrap_or_default();
    let made = workload("Deployment", &object.metadata, spec.map(|spec| &spec.template), keys);
    Workload { wanted, idle: paused || wanted == Some(0), ..made }
}

/// A StatefulSet.
pub(crate) fn stateful_set(object: &StatefulSet, keys: &Keys<'_>) -> Workload {
    let spec = object.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas);
    let made = workload("StatefulSet", &object.metadata, spec.map(|spec| &spec.template), keys);
    Workload { wanted, idle: wanted == Some(0), ..made }
}

/// A DaemonSet: how many pods it shall have depends on the nodes.
pub(crate) fn daemon_set(object: &DaemonSet, keys: &Keys<'_>) -> Workload {
    let wanted = object.status.as_ref().map(|status| status.desired_number_scheduled);
    let template = object.spec.as_ref().map(|spec| &spec.template);
    Workload { wanted, idle: wanted == Some(0), ..workload("DaemonSet", &object.metadata, template, keys) }
}

/// A ReplicaSet. One of an earlier template of its Deployment has no pods.
pub(crate) fn replica_set(object: &ReplicaSet, keys: &Keys<'_>) -> Workload {
    let spec = object.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas);
    let made = workload("ReplicaSet", &object.metadata, spec.and_then(|spec| spec.template.as_ref()), keys);
    Workload { wanted, idle: wanted == Some(0), ..made }
}

/// A Job. One that has ended makes no more pods.
pub(crate) fn job(object: &Job, keys: &Keys<'_>) -> Workload {
    let spec = object.spec.as_ref();
    let suspended = spec.and_then(|spec| spec.suspend).unwrap_or_default();
    let mut conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ended = conditions.any(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    });
    let wanted = if ended { Some(0) } else { spec.and_then(|spec| spec.parallelism) };
    let made = workload("Job", &object.metadata, spec.map(|spec| &spec.template), keys);
    Workload { wanted, idle: suspended || ended, ..made }
}

/// A CronJob.
pub(crate) fn cron_job(object: &CronJob, keys: &Keys<'_>) -> Workload {
    let spec = object.spec.as_ref();
    let idle = spec.and_then(|spec| spec.suspend).unwrap_or_default();
    let template = spec.and_then(|spec| spec.job_template.spec.as_ref()).map(|job| &job.template);
    Workload { idle, ..workload("CronJob", &object.metadata, template, keys) }
}

/// What all kinds have in common.
pub(super) fn workload(
    kind: &str,
    meta: &ObjectMeta,
    template: Option<&PodTemplateSpec>,
    keys: &Keys<'_>,
) -> Workload {
    let reloaded_by = reloader(meta).or_else(|| reloader(template?.metadata.as_ref()?));
    let spec = template.and_then(|template| template.spec.as_ref());
    let version =
        |(name, noted): (&String, &String)| Some((name.strip_prefix(VERSION)?.to_owned(), noted.clone()));
    Workload {
        kind: kind.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(seconds),
        made_by: controller(meta).map(|maker| (maker.kind.clone(), maker.name.clone())),
        takes: spec.map(|spec| takes(spec, keys)).unwrap_or_default(),
        wanted: None,
        idle: false,
        reloaded_by,
        versions: meta.annotations.iter().flatten().filter_map(version).collect(),
    }
}

/// The program that restarts the pods when a Secret changes. Sources: <https://docs.stakater.com/reloader/>,
/// <https://github.com/wave-k8s/wave>.
fn reloader(meta: &ObjectMeta) -> Option<&'static str> {
    let on = |name: &str| annotation(meta, name) == Some("true");
    let named =
        annotation(meta, "secret.reloader.stakater.com/reload").is_some_and(|names| !names.is_empty());
    if named || on("reloader.stakater.com/auto") || on("secret.reloader.stakater.com/auto") {
        return Some("Reloader");
    }
    on("wave.pusher.com/update-on-config-change").then_some("Wave")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An object of this kind with this `spec`, whose template takes all of one Secret.
    fn object(version: &str, kind: &str, mut spec: Value) -> Value {
        spec["template"] = template();
        spec["selector"] = json!({});
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "app"}});
        object["spec"] = spec;
        object
    }

    fn template() -> Value {
        json!({"spec": {"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "api"}}]}]}})
    }

    fn a_deployment(spec: Value) -> Workload {
        deployment(&serde_json::from_value(object("apps/v1", "Deployment", spec)).unwrap(), &|_| None)
    }

    fn a_job(spec: Value, conditions: Value) -> Workload {
        let mut object = object("batch/v1", "Job", spec);
        object["status"] = json!({});
        object["status"]["conditions"] = conditions;
        job(&serde_json::from_value(object).unwrap(), &|_| None)
    }

    fn annotated(name: &str, text: &str) -> Workload {
        let mut object = object("apps/v1", "Deployment", json!({}));
        object["metadata"]["annotations"] = json!({name: text});
        deployment(&serde_json::from_value(object).unwrap(), &|_| None)
    }

    fn numbers(workload: &Workload) -> (Option<i32>, bool) {
        (workload.wanted, workload.idle)
    }

    #[test]
    fn a_deployment_that_is_paused_or_has_no_pods_is_idle() {
        let seen = a_deployment(json!({"replicas": 2}));
        assert_eq!((seen.kind.as_str(), seen.name.as_str()), ("Deployment", "app"));
        assert_eq!(seen.takes.len(), 1);
        assert_eq!(numbers(&seen), (Some(2), false));
        assert_eq!(numbers(&a_deployment(json!({"replicas": 2, "paused": true}))), (Some(2), true));
        assert_eq!(numbers(&a_deployment(json!({"replicas": 0}))), (Some(0), true));
    }

    #[test]
    fn a_replica_set_of_an_earlier_template_is_idle() {
        let read = |replicas: i32| {
            let mut object = object("apps/v1", "ReplicaSet", json!({"replicas": replicas}));
            let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "app", "uid": "u", "controller": true});
            object["metadata"]["ownerReferences"] = json!([owner]);
            replica_set(&serde_json::from_value(object).unwrap(), &|_| None)
        };
        assert_eq!(numbers(&read(1)), (Some(1), false));
        assert_eq!(numbers(&read(0)), (Some(0), true));
        assert_eq!(read(1).made_by, Some(("Deployment".to_owned(), "app".to_owned())));
        assert_eq!(read(1).takes.len(), 1);
    }

    #[test]
    fn a_stateful_set_says_how_many_pods_it_wants() {
        let object = object("apps/v1", "StatefulSet", json!({"replicas": 3}));
        let seen = stateful_set(&serde_json::from_value(object).unwrap(), &|_| None);
        assert_eq!((numbers(&seen), seen.takes.len()), ((Some(3), false), 1));
    }

    #[test]
    fn a_daemon_set_wants_as_many_pods_as_nodes_fit() {
        let mut object = object("apps/v1", "DaemonSet", json!({}));
        object["status"] = json!({"desiredNumberScheduled": 4, "currentNumberScheduled": 4, "numberMisscheduled": 0,
            "numberReady": 4});
        let seen = daemon_set(&serde_json::from_value(object).unwrap(), &|_| None);
        assert_eq!((numbers(&seen), seen.takes.len()), ((Some(4), false), 1));
    }

    #[test]
    fn a_job_that_is_suspended_or_ended_is_idle() {
        let seen = a_job(json!({"parallelism": 2}), json!([{"type": "Complete", "status": "False"}]));
        assert_eq!((numbers(&seen), seen.takes.len()), ((Some(2), false), 1));
        assert_eq!(numbers(&a_job(json!({"parallelism": 2, "suspend": true}), json!([]))), (Some(2), true));
        for condition in ["Complete", "Failed"] {
            let ended = a_job(json!({"parallelism": 2}), json!([{"type": condition, "status": "True"}]));
            assert_eq!(numbers(&ended), (Some(0), true), "{condition}");
        }
    }

    #[test]
    fn a_cron_job_takes_what_its_jobs_take() {
        let read = |suspend: bool| {
            let job = json!({"spec": {"template": template()}});
            let spec = json!({"schedule": "* * * * *", "suspend": suspend, "jobTemplate": job});
            let object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "app"}, "spec": spec});
            cron_job(&serde_json::from_value(object).unwrap(), &|_| None)
        };
        assert_eq!((numbers(&read(false)), read(false).takes.len()), ((None, false), 1));
        assert_eq!(numbers(&read(true)), (None, true));
    }

    #[test]
    fn the_secret_of_the_next_roll_out_is_that_of_the_workload_itself() {
        let noted = annotated("version.keyroll.dev/api", "r1/api-0123456789");
        assert_eq!(noted.versions.get("api").map(String::as_str), Some("r1/api-0123456789"));
        assert_eq!(noted.next_secrets().collect::<Vec<_>>(), ["api-0123456789"]);
        let copy = Workload { made_by: Some(("Deployment".to_owned(), "app".to_owned())), ..noted };
        assert_eq!(copy.next_secrets().count(), 0);
        assert!(annotated("keyroll.dev/rolled-by", "r1/7").versions.is_empty());
    }

    #[test]
    fn an_annotation_names_the_program_that_restarts_the_pods() {
        assert_eq!(annotated("reloader.stakater.com/auto", "true").reloaded_by, Some("Reloader"));
        assert_eq!(annotated("reloader.stakater.com/auto", "false").reloaded_by, None);
        assert_eq!(annotated("secret.reloader.stakater.com/auto", "true").reloaded_by, Some("Reloader"));
        assert_eq!(annotated("secret.reloader.stakater.com/reload", "api,db").reloaded_by, Some("Reloader"));
        assert_eq!(annotated("wave.pusher.com/update-on-config-change", "true").reloaded_by, Some("Wave"));
        let mut object = object("apps/v1", "Deployment", json!({}));
        object["spec"]["template"]["metadata"] =
            json!({"annotations": {"reloader.stakater.com/auto": "true"}});
        let seen = deployment(&serde_json::from_value(object).unwrap(), &|_| None);
        assert_eq!(seen.reloaded_by, Some("Reloader"));
    }
}
