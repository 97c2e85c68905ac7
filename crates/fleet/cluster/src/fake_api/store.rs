//! What the server keeps, and how it answers.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Value, json};

use super::asked::Asked;
use super::fields::Writers;
use super::time::Time;
use super::{patch, select};
use crate::recorded::NAMESPACE;

/// An answer: its status and its text.
pub(super) type Answer = (u16, Value);

/// The kinds that it has, by the group and version of each: its plural and its name.
const KINDS: [(&str, &str, &str); 11] = [
    ("v1", "secrets", "Secret"),
    ("v1", "configmaps", "ConfigMap"),
    ("v1", "pods", "Pod"),
    ("v1", "serviceaccounts", "ServiceAccount"),
    ("apps/v1", "replicasets", "ReplicaSet"),
    ("apps/v1", "deployments", "Deployment"),
    ("apps/v1", "statefulsets", "StatefulSet"),
    ("apps/v1", "daemonsets", "DaemonSet"),
    ("batch/v1", "jobs", "Job"),
    ("batch/v1", "cronjobs", "CronJob"),
    ("external-secrets.io/v1", "externalsecrets", "ExternalSecret"),
];

/// The path of an object: `path("secrets", "api")`; without a name that of all objects of its kind.
pub(crate) fn path(plural: &str, name: &str) -> String {
    let (version, _, _) = KINDS.into_iter().find(|(_, one, _)| *one == plural).unwrap();
    let root = if version == "v1" { "/api" } else { "/apis" };
    let all = format!("{root}/{version}/namespaces/{NAMESPACE}/{plural}");
    if name.is_empty() { all } else { format!("{all}/{name}") }
}

/// An answer that refuses.
pub(super) fn refusal(code: u16, reason: &str, message: &str, details: Option<Value>) -> Answer {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    if let Some(details) = details {
        status["details"] = details;
    }
    (code, status)
}

/// The kind at a path, and the name of the object; `None`: the server has no such kind.
fn parsed(path: &str) -> Option<(Kind, &str)> {
    KINDS.into_iter().find_map(|(version, plural, name)| {
        let rest = path.strip_prefix(&self::path(plural, ""))?;
        let object = rest.strip_prefix('/').unwrap_or(rest);
        (rest.is_empty() || rest.starts_with('/')).then_some((Kind { version, plural, name }, object))
    })
}

#[derive(Clone, Copy)]
struct Kind {
    version: &'static str,
    plural: &'static str,
    name: &'static str,
}

impl Kind {
    /// Its status is written by itself, and by no other write.
    fn has_status(self) -> bool {
        !matches!(self.name, "Secret" | "ConfigMap" | "ServiceAccount")
    }

    fn not_found(self, name: &str) -> Answer {
        let message = format!("{} \"{name}\" not found", self.plural);
        refusal(404, "NotFound", &message, Some(json!({ "name": name, "kind": self.plural })))
    }
}

/// What the server keeps.
pub(crate) struct Store {
    pub(super) time: Time,
    objects: BTreeMap<String, Value>,
    writers: BTreeMap<String, Writers>,
    /// The number of the last write.
    version: u64,
}

impl Store {
    pub(super) fn new(time: Time) -> Self {
        let mut store = Self { time, objects: BTreeMap::new(), writers: BTreeMap::new(), version: 40_000 };
        store.make(
            "serviceaccounts",
            "kube-controller-manager",
            json!({ "metadata": { "name": "default" } }),
        );
        store
    }

    /// An object; `Null`: there is none.
    pub(crate) fn get(&self, plural: &str, name: &str) -> Value {
        self.objects.get(&path(plural, name)).cloned().unwrap_or_default()
    }

    /// The names of all objects of a kind.
    pub(crate) fn names(&self, plural: &str) -> Vec<String> {
        let all = format!("{}/", path(plural, ""));
        self.objects.keys().filter_map(|path| path.strip_prefix(&all)).map(str::to_owned).collect()
    }

    /// Somebody makes an object.
    #[track_caller]
    pub(crate) fn make(&mut self, plural: &str, by: &str, object: Value) {
        let (code, answer) = self.created(&path(plural, ""), by, object, false);
        assert_eq!(code, 201, "{answer}");
    }

    /// Somebody changes an object.
    #[track_caller]
    pub(crate) fn edit(&mut self, (plural, name): (&str, &str), by: &str, change: impl FnOnce(&mut Value)) {
        let path = path(plural, name);
        let mut object = self.objects[&path].clone();
        change(&mut object);
        let (code, answer) = self.changed(&path, by, object, false);
        assert_eq!(code, 200, "{answer}");
    }

    /// Somebody deletes an object, which is gone at once.
    pub(crate) fn remove(&mut self, plural: &str, name: &str) {
        self.gone(&path(plural, name));
    }

    /// Has these objects, as they are, instead of all others of their kinds.
    pub(crate) fn replace(&mut self, plural: &str, objects: Vec<Value>) {
        let all = path(plural, "");
        self.objects.retain(|path, _| path.strip_prefix(&all).is_none_or(|rest| !rest.starts_with('/')));
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap();
            self.objects.insert(path(plural, name), object);
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, asked: &Asked) -> Answer {
        if asked.path == "/apis" {
            return (200, groups());
        }
        if asked.path.ends_with("/selfsubjectaccessreviews") {
            return (201, json!({ "metadata": {}, "spec": {}, "status": { "allowed": true } }));
        }
        let Some((kind, name)) = parsed(&asked.path) else {
            return refusal(404, "NotFound", "the server could not find the requested resource", None);
        };
        let known = self.objects.get(&asked.path);
        let dry = asked.is_dry_run();
        match (&asked.method, known, name) {
            (&Method::GET, _, "") => (200, self.listed(kind, asked)),
            (&Method::GET, Some(object), _) => (200, object.clone()),
            (&Method::POST, _, "") => match asked.json() {
                Some(object) => self.created(&asked.path, asked.manager(), object, dry),
                None => refusal(400, "BadRequest", "the object cannot be read", None),
            },
            (&Method::PATCH, Some(object), _) => {
                let mut object = object.clone();
                let patch = asked.json();
                let Some(patch) = patch.as_ref().and_then(Value::as_array) else {
                    return refusal(400, "BadRequest", "the patch cannot be read", None);
                };
                match patch::apply(&mut object, patch) {
                    Ok(()) => self.changed(&asked.path, asked.manager(), object, dry),
                    Err(_) => {
                        let why = "the server rejected our request due to an error in our request";
                        refusal(422, "Invalid", why, Some(json!({})))
                    }
                }
            }
            (&Method::DELETE, Some(object), _) => {
                let (object, uid) = (object.clone(), object["metadata"]["uid"].clone());
                let wants = asked.json().unwrap_or_default()["preconditions"]["uid"].clone();
                if !wants.is_null() && wants != uid {
                    return refusal(409, "Conflict", "the UID in the precondition differs", None);
                }
                self.deleted(&asked.path, kind, object)
            }
            (_, None, name) if !name.is_empty() => kind.not_found(name),
            _ => refusal(405, "MethodNotAllowed", "the server does not allow this method", None),
        }
    }

    /// A page of a list, in the order of the names.
    fn listed(&self, kind: Kind, asked: &Asked) -> Value {
        let begin = format!("{}/", asked.path);
        let after = asked.query("continue").map(|name| format!("{begin}{name}"));
        let selector = asked.query("labelSelector").unwrap_or_default();
        let all = self.objects.iter().filter(|(path, object)| {
            path.starts_with(&begin)
                && after.as_ref().is_none_or(|after| *path > after)
                && select::fits(object, selector)
        });
        let limit = asked.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let mut page: Vec<&Value> = all.map(|(_, object)| object).take(limit.saturating_add(1)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().map(|object| object["metadata"]["name"].clone());
        let token = last.filter(|_| more).unwrap_or_else(|| "".into());
        let item = |object: &&Value| {
            if asked.metadata {
                return json!({
                    "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
                });
            }
            let mut item = (*object).clone();
            let map = item.as_object_mut().unwrap();
            // Those of a list of the server's own kinds have neither.
            if !kind.version.contains('.') {
                map.remove("kind");
                map.remove("apiVersion");
            }
            item
        };
        json!({
            "apiVersion": kind.version, "kind": format!("{}List", kind.name),
            "metadata": { "resourceVersion": self.version.to_string(), "continue": token },
            "items": page.iter().map(item).collect::<Vec<Value>>(),
        })
    }

    fn created(&mut self, all: &str, by: &str, mut object: Value, dry: bool) -> Answer {
        let (kind, _) = parsed(all).unwrap();
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
            return refusal(422, "Invalid", "name or generateName is required", None);
        };
        let path = format!("{all}/{name}");
        if self.objects.contains_key(&path) {
            let message = format!("{} \"{name}\" already exists", kind.plural);
            let details = json!({ "name": name, "kind": kind.plural });
            return refusal(409, "AlreadyExists", &message, Some(details));
        }
        if kind.name == "Secret" && object["type"].is_null() {
            object["type"] = json!("Opaque");
        }
        let time = self.time.text();
        let mut writers = Writers::default();
        writers.note(by, &Value::Null, &object, &time);
        let version = self.version + 1;
        object["apiVersion"] = json!(kind.version);
        object["kind"] = json!(kind.name);
        let meta = &mut object["metadata"];
        meta["namespace"] = json!(NAMESPACE);
        meta["uid"] = json!(format!("00000000-0000-4000-8000-{version:012}"));
        meta["resourceVersion"] = json!(version.to_string());
        meta["creationTimestamp"] = json!(time);
        meta["managedFields"] = writers.shown(kind.version);
        if kind.has_status() {
            meta["generation"] = json!(1);
        }
        if !dry {
            self.version = version;
            self.writers.insert(path.clone(), writers);
            self.objects.insert(path, object.clone());
        }
        (201, object)
    }

    fn changed(&mut self, path: &str, by: &str, mut object: Value, dry: bool) -> Answer {
        let (kind, name) = parsed(path).unwrap();
        let before = &self.objects[path];
        if object["metadata"]["name"] != before["metadata"]["name"]
            || object["metadata"]["uid"] != before["metadata"]["uid"]
        {
            return invalid(kind, name, "metadata", "Invalid value: field is immutable");
        }
        if kind.has_status() {
            match before.get("status") {
                Some(status) => object["status"] = status.clone(),
                None => _ = object.as_object_mut().unwrap().remove("status"),
            }
        }
        for kept in ["resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            if let Some(value) = before["metadata"].get(kept) {
                object["metadata"][kept] = value.clone();
            }
        }
        if kind.name == "Secret" && before["immutable"] == json!(true) {
            let fixed = ["data", "immutable", "type"].into_iter().find(|name| object[*name] != before[*name]);
            if let Some(field) = fixed {
                return invalid(kind, name, field, "Forbidden: field is immutable when `immutable` is set");
            }
        }
        if object == *before {
            return (200, object);
        }
        let time = self.time.text();
        let mut writers = self.writers.get(path).cloned().unwrap_or_default();
        writers.note(by, before, &object, &time);
        if object["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let version = self.version + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["managedFields"] = writers.shown(kind.version);
        if !dry {
            self.version = version;
            self.writers.insert(path.to_owned(), writers);
            self.objects.insert(path.to_owned(), object.clone());
        }
        (200, object)
    }

    /// A pod, and what has finalizers, stays for a time.
    fn deleted(&mut self, path: &str, kind: Kind, mut object: Value) -> Answer {
        let waits = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if kind.name == "Pod" || waits {
            object["metadata"]["deletionTimestamp"] = json!(self.time.text());
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.objects.insert(path.to_owned(), object.clone());
            return (200, object);
        }
        self.gone(path);
        let details = json!({ "name": object["metadata"]["name"], "kind": kind.plural });
        (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "details": details }))
    }

    /// An object is not there any more, and then what it owned neither.
    fn gone(&mut self, path: &str) {
        self.objects.remove(path);
        self.writers.remove(path);
        self.version += 1;
        loop {
            let uids: BTreeSet<String> =
                self.objects.values().map(|object| object["metadata"]["uid"].to_string()).collect();
            let is_orphan = |(_, object): &(&String, &Value)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                let has = |owner: &Value| uids.contains(&owner["uid"].to_string());
                owners.is_some_and(|owners| !owners.is_empty() && !owners.iter().any(has))
            };
            let orphan = self.objects.iter().find(is_orphan).map(|(path, _)| path.clone());
            let Some(orphan) = orphan else { return };
            self.objects.remove(&orphan);
            self.writers.remove(&orphan);
        }
    }
}

/// The groups of kinds that are installed besides.
fn groups() -> Value {
    let version = json!({ "groupVersion": "external-secrets.io/v1", "version": "v1" });
    json!({
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [{ "name": "external-secrets.io", "versions": [version] }],
    })
}

fn invalid(kind: Kind, name: &str, field: &str, why: &str) -> Answer {
    let message = format!("{} \"{name}\" is invalid: {field}: {why}", kind.name);
    let causes = json!([{ "reason": "FieldValueForbidden", "message": why, "field": field }]);
    refusal(422, "Invalid", &message, Some(json!({ "name": name, "kind": kind.name, "causes": causes })))
}
