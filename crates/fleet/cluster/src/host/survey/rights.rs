//! Whether the login may do what a rotation does. Each right is asked for by itself, before anything is made.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_kube::{Effect, failure};
use keyroll_port::{Class, Failure};
use kube::Api;
use kube::api::PostParams;

use crate::host::ClusterHost;
use crate::model::Namespace;

/// One thing that a login may do: the group of the API, its kind of objects, the verb, and one object by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    /// Empty: any object.
    pub(super) name: String,
    pub(super) verb: &'static str,
}

impl Right {
    /// `patch secrets/anthropic`, `list pods`.
    fn shown(&self) -> String {
        let Self { kind, name, verb, .. } = self;
        let of = if name.is_empty() { String::new() } else { format!("/{name}") };
        format!("{verb} {kind}{of}")
    }
}

/// Makes mounted files follow at once. Without it they follow by themselves.
const REFRESHES: (&str, &str, &str) = ("", "pods", "patch");

impl ClusterHost {
    /// Refuses a login that may not do what a rotation needs. The notes say what it does without.
    pub(super) async fn refuse_without_rights(&self, namespace: &Namespace) -> Result<Vec<String>, Failure> {
        let (mut missing, mut notes) = (Vec::new(), Vec::new());
        for right in self.needed(namespace) {
            match self.may(&right).await? {
                Some(true) => {}
                Some(false) => missing.push(right),
                None => {
                    notes.push("whether the login has the rights of a rotation is not visible".to_owned());
                    break;
                }
            }
        }
        if !missing.is_empty() {
            let may_not: Vec<String> = missing.iter().map(Right::shown).collect();
            let attempted = format!("rotate in namespace {}", namespace.name);
            return Err(Failure::new(Class::Permanent, Code::ClusterAccess, attempted)
                .because(format!("the login may not {}", may_not.join(", ")))
                .help(format!("add to the Role of the login: {}", rules(&missing))));
        }
        let (group, kind, verb) = REFRESHES;
        let refresh = Right { group, kind, name: String::new(), verb };
        let rereads = self.setup.consumers.iter().any(|pods| pods.rereads);
        if rereads && notes.is_empty() && self.may(&refresh).await? == Some(false) {
            let rule = rules(&[refresh]);
            notes.push(format!(
                "mounted files follow within about two minutes; they follow at once if the Role of the login has: {rule}"
            ));
        }
        Ok(notes)
    }

    /// What a rotation of this setup needs.
    pub(super) fn needed(&self, namespace: &Namespace) -> BTreeSet<Right> {
        let mut all = BTreeSet::new();
        let mut add = |group, kind, name: &str, verbs: &[&'static str]| {
            all.extend(verbs.iter().copied().map(|verb| Right { group, kind, name: name.to_owned(), verb }));
        };
        for key in &self.setup.keys {
            if key.versioned.is_some() {
                add("", "secrets", "", &["get", "create", "delete"]);
            } else if key.synced {
                add("", "secrets", &key.secret, &["get"]);
                let name = namespace.external.get(&key.secret).map(|external| external.name.as_str());
                add("external-secrets.io", "externalsecrets", name.unwrap_or_default(), &["get", "patch"]);
            } else if key.own.is_some() {
                add("", "secrets", &key.secret, &["get"]);
            } else {
                add("", "secrets", &key.secret, &["get", "patch"]);
            }
        }
        add("", "pods", "", &["list"]);
        for pods in &self.setup.consumers {
            let (group, kind) = resource(pods.kind);
            let versioned = self.setup.key(pods.file).is_some_and(|key| key.versioned.is_some());
            let is_patched = versioned || !(pods.rereads || pods.is_job());
            let verbs: &[&'static str] = if is_patched { &["get", "patch"] } else { &["get"] };
            add(group, kind, &pods.workload, verbs);
            if pods.canary && pods.kind == WorkloadKind::Deployment {
                add("", "pods", "", &["create", "delete"]);
            }
            if pods.checks.iter().any(Option::is_some) {
                add("batch", "jobs", "", &["create", "get", "list", "patch", "delete"]);
                add("", "secrets", "", &["create"]);
            }
        }
        all
    }

    /// Whether the login has a right; `None`: it may not even ask.
    async fn may(&self, right: &Right) -> Result<Option<bool>, Failure> {
        let cluster = self.cluster().await?;
        let of = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            namespace: Some(cluster.namespace.clone()),
            group: of(right.group),
            resource: of(right.kind),
            verb: of(right.verb),
            name: of(&right.name),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        // It asks about the login itself, and changes nothing.
        let api = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
        match api.create(&PostParams::default(), &review).await {
            Ok(answer) => Ok(answer.status.map(|status| status.allowed)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(error) => {
                let attempted = format!("ask {} whether the login may {}", cluster.server, right.shown());
                Err(failure(attempted, error, Effect::None))
            }
        }
    }
}

/// The group and the kind of a workload, as a rule of a Role names them.
fn resource(kind: WorkloadKind) -> (&'static str, &'static str) {
    match kind {
        WorkloadKind::Deployment => ("apps", "deployments"),
        WorkloadKind::StatefulSet => ("apps", "statefulsets"),
        WorkloadKind::DaemonSet => ("apps", "daemonsets"),
        WorkloadKind::CronJob => ("batch", "cronjobs"),
        WorkloadKind::Job => ("batch", "jobs"),
        WorkloadKind::Pod => ("", "pods"),
    }
}

/// The rules that give these rights.
fn rules(rights: &[Right]) -> String {
    let mut all: BTreeMap<(&str, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        all.entry((right.group, right.kind, right.name.as_str())).or_default().insert(right.verb);
    }
    let rule = |((group, kind, name), verbs): ((&str, &str, &str), BTreeSet<&str>)| {
        let verbs: Vec<&str> = verbs.into_iter().collect();
        let names = if name.is_empty() { String::new() } else { format!(", resourceNames: [{name}]") };
        format!("apiGroups: [\"{group}\"], resources: [{kind}]{names}, verbs: [{}]", verbs.join(", "))
    };
    let rules: Vec<String> = all.into_iter().map(rule).collect();
    rules.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_have_the_verbs_of_each_object_together() {
        let right = |kind, name: &str, verb| Right { group: "", kind, name: name.to_owned(), verb };
        let rights =
            [right("secrets", "api", "patch"), right("pods", "", "list"), right("secrets", "api", "get")];
        assert_eq!(
            rules(&rights),
            "apiGroups: [\"\"], resources: [pods], verbs: [list]; \
             apiGroups: [\"\"], resources: [secrets], resourceNames: [api], verbs: [get, patch]"
        );
        assert_eq!(rights[0].shown(), "patch secrets/api");
        assert_eq!(rights[1].shown(), "list pods");
    }
}
