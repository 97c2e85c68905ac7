//! Where the template of a workload refers to Secrets.

use std::collections::BTreeSet;

use keyroll_config::WorkloadKind;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::api::{OWN, PODS, annotate, annotated, annotation, changed, unannotate};
use super::setup::KeySetup;
use crate::marks::ROLLED_BY;

/// The references of a template to the Secrets of one key, as it was read.
pub(super) struct Template {
    workload: Value,
    kind: WorkloadKind,
    references: Vec<Reference>,
    /// The annotation that notes which Secret the next roll-out brings; `None`: the key has one Secret for all versions.
    mark: Option<String>,
    /// The Secret that it notes.
    noted: Option<String>,
}

/// A place that names a Secret.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    /// As a JSON pointer.
    at: String,
    /// The name there.
    name: String,
}

impl Template {
    /// The references of a workload to the Secrets with a version of a key.
    pub(super) fn of(workload: Value, kind: WorkloadKind, key: &KeySetup, rotation: &str) -> Self {
        let reference = |at: String| {
            let name = workload.pointer(&at)?.as_str().filter(|name| key.is_of(name))?.to_owned();
            Some(Reference { at, name })
        };
        let references = places(&workload, kind).into_iter().filter_map(reference).collect();
        let mark = key.versioned.is_some().then(|| key.mark());
        let text = mark.as_ref().and_then(|mark| annotated(&workload, OWN, mark));
        let noted = text.and_then(|text| key.noted(text, rotation)).map(str::to_owned);
        Self { workload, kind, references, mark, noted }
    }

    /// The names that it has.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.references.iter().map(|reference| reference.name.as_str()).collect()
    }

    /// The Secret that the next roll-out brings, if it is not in the template yet.
    pub(super) fn noted(&self) -> Option<&str> {
        self.noted.as_deref()
    }

    /// The Secrets that the pods of the next roll-out take the key from.
    pub(super) fn present(&self) -> BTreeSet<&str> {
        self.noted().map_or_else(|| self.names(), |noted| BTreeSet::from([noted]))
    }

    /// The one that they take it from; `None`: somebody made it several.
    pub(super) fn one(&self) -> Option<&str> {
        let all = self.present();
        all.first().copied().filter(|_| all.len() == 1)
    }

    /// Whether new pods replace those of before when it changes.
    pub(super) fn is_rolled_out(&self) -> bool {
        match self.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => true,
            WorkloadKind::CronJob | WorkloadKind::Job | WorkloadKind::Pod => false,
        }
    }

    /// The request that delivers a Secret, in this very state of the workload. It begins no roll-out: that has to be asked for,
    /// so what a roll-out would bring is only noted beside the template.
    pub(super) fn delivers(&self, to: &str, rotation: &str) -> Zeroizing<Vec<u8>> {
        let Some(mark) = self.mark.as_ref().filter(|_| self.is_rolled_out()) else {
            return changed(&self.workload, self.moved(to));
        };
        match self.names() == BTreeSet::from([to]) {
            true => changed(&self.workload, self.unmarked()),
            false => annotation(&self.workload, OWN, mark, &format!("{rotation}/{to}")),
        }
    }

    /// The request to roll out, in this very state of the workload: each reference gets the name of the delivered Secret, if
    /// there is one, and the pods get a stamp.
    pub(super) fn rolls_out(&self, to: Option<&str>, stamp: &str) -> Zeroizing<Vec<u8>> {
        let mut changes = to.map(|to| self.moved(to)).unwrap_or_default();
        changes.extend(self.unmarked());
        changes.push(annotate(&self.workload, PODS, ROLLED_BY, stamp));
        changed(&self.workload, changes)
    }

    /// The changes of the references that have another name.
    fn moved(&self, to: &str) -> Vec<Value> {
        let mut changes = Vec::new();
        for Reference { at, name } in self.references.iter().filter(|reference| reference.name != to) {
            changes.push(json!({ "op": "test", "path": at, "value": name }));
            changes.push(json!({ "op": "replace", "path": at, "value": to }));
        }
        changes
    }

    /// The change that removes what was noted: the template itself says it.
    fn unmarked(&self) -> Vec<Value> {
        let mark = self.mark.iter().filter(|mark| annotated(&self.workload, OWN, mark).is_some());
        mark.map(|mark| unannotate(OWN, mark)).collect()
    }
}

/// Whether the pods of a workload have this stamp.
pub(super) fn is_stamped(workload: &Value, stamp: &str) -> bool {
    annotated(workload, PODS, ROLLED_BY) == Some(stamp)
}

/// Every place that could name a Secret of which a container takes a value. Source:
/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>.
fn places(workload: &Value, kind: WorkloadKind) -> Vec<String> {
    let pod = pod_spec(kind);
    let below = |list: String| -> Vec<String> {
        let len = workload.pointer(&list).and_then(Value::as_array).map_or(0, Vec::len);
        (0..len).map(|at| format!("{list}/{at}")).collect()
    };
    let mut all = Vec::new();
    for containers in ["initContainers", "containers"] {
        for container in below(format!("{pod}/{containers}")) {
            let variables = below(format!("{container}/env"));
            all.extend(variables.into_iter().map(|one| format!("{one}/valueFrom/secretKeyRef/name")));
            let objects = below(format!("{container}/envFrom"));
            all.extend(objects.into_iter().map(|one| format!("{one}/secretRef/name")));
        }
    }
    for volume in below(format!("{pod}/volumes")) {
        let sources = below(format!("{volume}/projected/sources"));
        all.push(format!("{volume}/secret/secretName"));
        all.extend(sources.into_iter().map(|one| format!("{one}/secret/name")));
    }
    all
}

/// Where the specification of its pods is.
pub(super) fn pod_spec(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::CronJob => "/spec/jobTemplate/spec/template/spec",
        WorkloadKind::Pod => "/spec",
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => "/spec/template/spec",
        WorkloadKind::DaemonSet | WorkloadKind::Job => "/spec/template/spec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sample::key;

    fn pod() -> Value {
        json!({
            "initContainers": [{
                "name": "migrate",
                "env": [{ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "api", "key": "k" } } }],
            }],
            "containers": [
                { "name": "proxy", "env": [{ "name": "LEVEL", "value": "api" }] },
                {
                    "name": "app",
                    "env": [
                        { "name": "MODE", "valueFrom": { "configMapKeyRef": { "name": "api", "key": "k" } } },
                        { "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "api", "key": "k" } } },
                        { "name": "OTHER", "valueFrom": { "secretKeyRef": { "name": "api-2", "key": "k" } } },
                    ],
                    "envFrom": [{ "configMapRef": { "name": "api" } }, { "secretRef": { "name": "api" } }],
                },
            ],
            "volumes": [
                { "name": "api", "configMap": { "name": "api" } },
                { "name": "files", "secret": { "secretName": "api" } },
                { "name": "all", "projected": { "sources": [
                    { "configMap": { "name": "api" } }, { "secret": { "name": "api" } },
                ] } },
            ],
        })
    }

    /// A Deployment with these annotations.
    fn deployment(annotations: &Value) -> Value {
        json!({
            "metadata": { "resourceVersion": "7", "annotations": annotations },
            "spec": { "template": { "metadata": { "labels": { "app": "agent" } }, "spec": pod() } },
        })
    }

    /// The places below the specification of the pods at which the Secret `api` is named.
    const PLACES: [&str; 5] = [
        "/initContainers/0/env/0/valueFrom/secretKeyRef/name",
        "/containers/1/env/1/valueFrom/secretKeyRef/name",
        "/containers/1/envFrom/1/secretRef/name",
        "/volumes/1/secret/secretName",
        "/volumes/2/projected/sources/1/secret/name",
    ];

    const VERSION: &str = "api-0123456789";
    const MARK: &str = "version.keyroll.dev/api";

    fn of(workload: Value, kind: WorkloadKind) -> Template {
        let versioned = Some((kind, "agent".to_owned()));
        Template::of(workload, kind, &KeySetup { versioned, ..key() }, "r1")
    }

    fn found(workload: Value, kind: WorkloadKind) -> Vec<String> {
        of(workload, kind).references.into_iter().map(|reference| reference.at).collect()
    }

    fn below(pod: &str) -> Vec<String> {
        PLACES.map(|place| format!("{pod}{place}")).to_vec()
    }

    /// The changes of a request, behind the test of what it was made from.
    fn changes(request: &[u8]) -> Vec<Value> {
        let mut all: Vec<Value> = serde_json::from_slice(request).unwrap();
        let test = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "7" });
        assert_eq!(all.remove(0), test);
        all
    }

    /// The changes of every reference below here.
    fn moves(pod: &str, to: &str) -> Vec<Value> {
        let change = |path: String| {
            [
                json!({ "op": "test", "path": path, "value": "api" }),
                json!({ "op": "replace", "path": path, "value": to }),
            ]
        };
        below(pod).into_iter().flat_map(change).collect()
    }

    fn stamped() -> Value {
        json!({ "op": "add", "path": "/spec/template/metadata/annotations", "value": { "keyroll.dev/rolled-by": "r1/5" } })
    }

    #[test]
    fn a_secret_is_found_in_every_place_and_a_config_map_of_its_name_is_not() {
        assert_eq!(found(deployment(&json!({})), WorkloadKind::Deployment), below("/spec/template/spec"));
        let cron = json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": pod() } } } } });
        assert_eq!(found(cron, WorkloadKind::CronJob), below("/spec/jobTemplate/spec/template/spec"));
        assert_eq!(found(json!({ "spec": pod() }), WorkloadKind::Pod), below("/spec"));
        assert!(found(json!({ "spec": {} }), WorkloadKind::Deployment).is_empty());
    }

    #[test]
    fn a_delivery_changes_no_template_that_is_rolled_out() {
        let template = of(deployment(&json!({ "a": "b" })), WorkloadKind::Deployment);
        assert_eq!((template.noted(), template.one()), (None, Some("api")));
        let path = "/metadata/annotations/version.keyroll.dev~1api";
        let noted = json!({ "op": "add", "path": path, "value": "r1/api-0123456789" });
        assert_eq!(changes(&template.delivers(VERSION, "r1")), [noted]);
        // What is noted is not needed where the template has it.
        let template = of(deployment(&json!({ MARK: "r1/api-0123456789" })), WorkloadKind::Deployment);
        assert_eq!((template.noted(), template.one()), (Some(VERSION), Some(VERSION)));
        assert_eq!(changes(&template.delivers("api", "r1")), [json!({ "op": "remove", "path": path })]);
    }

    #[test]
    fn the_next_job_of_a_cron_job_gets_what_is_delivered() {
        let cron = json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "jobTemplate": { "spec": { "template": { "spec": pod() } } } },
        });
        let template = of(cron, WorkloadKind::CronJob);
        let wanted = moves("/spec/jobTemplate/spec/template/spec", VERSION);
        assert_eq!(changes(&template.delivers(VERSION, "r1")), wanted);
    }

    #[test]
    fn a_roll_out_brings_what_was_delivered_in_one_request_with_its_stamp() {
        let template = of(deployment(&json!({ MARK: "r1/api-0123456789" })), WorkloadKind::Deployment);
        let mut wanted = moves("/spec/template/spec", VERSION);
        let path = "/metadata/annotations/version.keyroll.dev~1api";
        wanted.extend([json!({ "op": "remove", "path": path }), stamped()]);
        assert_eq!(changes(&template.rolls_out(template.noted(), "r1/5")), wanted);
    }

    #[test]
    fn a_template_that_is_right_gets_only_the_stamp() {
        let template = of(deployment(&json!({})), WorkloadKind::Deployment);
        for to in [None, Some("api")] {
            assert_eq!(changes(&template.rolls_out(to, "r1/5")), [stamped()]);
        }
        let mut workload = deployment(&json!({}));
        workload["spec"]["template"]["metadata"]["annotations"] = json!({ "keyroll.dev/rolled-by": "r1/4" });
        assert!(is_stamped(&workload, "r1/4") && !is_stamped(&workload, "r1/5"));
        let path = "/spec/template/metadata/annotations/keyroll.dev~1rolled-by";
        let again = json!({ "op": "add", "path": path, "value": "r1/5" });
        assert_eq!(changes(&of(workload, WorkloadKind::Deployment).rolls_out(None, "r1/5")), [again]);
    }

    #[test]
    fn what_another_rotation_noted_does_not_count_and_what_one_secret_has_is_not_touched() {
        for text in ["r0/api-0123456789", "r1/api-2", "api-0123456789"] {
            let template = of(deployment(&json!({ MARK: text })), WorkloadKind::Deployment);
            assert_eq!((template.noted(), template.one()), (None, Some("api")), "{text}");
        }
        let noted = deployment(&json!({ MARK: "r1/api-0123456789" }));
        let template = Template::of(noted, WorkloadKind::Deployment, &key(), "r1");
        assert_eq!(changes(&template.rolls_out(template.noted(), "r1/5")), [stamped()]);
    }

    #[test]
    fn a_template_with_two_versions_has_not_one() {
        let mut workload = deployment(&json!({}));
        workload["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"] = json!(VERSION);
        let template = of(workload, WorkloadKind::Deployment);
        assert_eq!(template.names(), BTreeSet::from(["api", VERSION]));
        assert_eq!(template.one(), None);
    }
}
