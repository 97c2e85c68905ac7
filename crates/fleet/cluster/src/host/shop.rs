//! A namespace on a fake API server for tests: Deployment `agent` takes key `key` of Secret `api`.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_config::WorkloadKind;
use keyroll_port::conformance::host::HostHarness;
use keyroll_port::{Asked, Failure, Host, Values};
use keyroll_rotation::{FileId, Reconciled, Seq, Which};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::sample::host_at;
use super::{ClusterHost, KeySetup, PodsSetup};
use crate::fake_api::{FakeApi, Store, Time};

/// What a host is told: of the key and of its consumer.
pub(super) type Told = fn() -> (KeySetup, PodsSetup);

/// One Secret for all versions.
pub(super) fn plain() -> (KeySetup, PodsSetup) {
    (super::sample::key(), super::sample::pods())
}

/// One Secret for each version.
pub(super) fn versioned() -> (KeySetup, PodsSetup) {
    let (key, pods) = plain();
    (KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key }, pods)
}

/// External Secrets writes it.
pub(super) fn synced() -> (KeySetup, PodsSetup) {
    let (key, pods) = plain();
    (KeySetup { synced: true, ..key }, pods)
}

/// The program reads the mounted file again.
pub(super) fn reread() -> (KeySetup, PodsSetup) {
    let (key, pods) = plain();
    (key, PodsSetup { rereads: true, ..pods })
}

/// The namespace, and a host that drives a rotation there.
pub(super) struct Shop {
    told: Told,
    versions: (Fields, Fields),
    pub(super) time: Time,
    pub(super) api: FakeApi,
    pub(super) host: ClusterHost,
}

impl Shop {
    /// One whose Secret has the old version since an hour.
    pub(super) fn new(told: Told) -> Self {
        let field = || Fields::single(SecretBytes::from(alphanumeric(40)));
        Self::with(told, (field(), field()))
    }

    fn with(told: Told, versions: (Fields, Fields)) -> Self {
        let time = Time::new();
        let api = FakeApi::new(time.clone());
        api.with(|store| {
            let data = json!({ "key": encoded(&versions.0), "other": STANDARD.encode("else") });
            store.make("secrets", "kubectl-create", json!({ "metadata": { "name": "api" }, "data": data }));
            store.make("deployments", "kubectl-create", deployment());
        });
        time.pass(3_600_000);
        let host = host(&api, &time, told);
        Self { told, versions, time, api, host }
    }

    /// Another keyroll takes over.
    pub(super) fn takes_over(&mut self) {
        self.host = host(&self.api, &self.time, self.told);
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values { old: &self.versions.0, new: Some(&self.versions.1), old_ended: false }
    }

    /// A version as a Secret has it.
    pub(super) fn data(&self, which: Which) -> Value {
        json!(encoded(self.values().of(which).unwrap()))
    }

    pub(super) async fn deliver(&self, which: Which, intent: Seq) -> Result<(), Failure> {
        self.host.deliver(FileId(0), which, self.values(), no_limit(intent)).await
    }

    pub(super) async fn delivered(&self, which: Which, intent: Seq) -> Reconciled {
        self.host.delivered(FileId(0), which, self.values(), intent).await.unwrap()
    }

    /// Whether the Secret `api` holds a version.
    pub(super) fn holds(&self, which: Which) -> bool {
        self.api.with(|store| store.get("secrets", "api"))["data"]["key"] == self.data(which)
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        self.api.with(|store| store.names("secrets"))
    }

    pub(super) fn agent(&self) -> Value {
        self.api.with(|store| store.get("deployments", "agent"))
    }

    /// The Secret that the template names.
    pub(super) fn named(&self) -> String {
        self.agent().pointer(REFERENCE).unwrap().as_str().unwrap().to_owned()
    }

    /// The Secret of a version that is noted for the next roll-out.
    pub(super) fn noted(&self) -> Option<String> {
        let agent = self.agent();
        let text = agent["metadata"]["annotations"]["version.keyroll.dev/api"].as_str()?;
        Some(text.strip_prefix("r1/").unwrap().to_owned())
    }
}

/// An effect without a time limit.
pub(super) fn no_limit(intent: Seq) -> Asked {
    Asked { intent, until_ms: u64::MAX }
}

fn host(api: &FakeApi, time: &Time, told: Told) -> ClusterHost {
    let (key, pods) = told();
    host_at(Some(api.cluster()), Arc::new(time.clone()), key, vec![pods])
}

fn encoded(fields: &Fields) -> String {
    STANDARD.encode(fields.get("value").unwrap().value.expose())
}

fn deployment() -> Value {
    let variable = json!({ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "api", "key": "key" } } });
    let container = json!({ "name": "app", "image": "agent:1", "env": [variable] });
    json!({
        "metadata": { "name": "agent" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": { "containers": [container] },
            },
        },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        },
    })
}

/// The name in the reference of the template.
const REFERENCE: &str = "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name";

/// Somebody puts another content where the next roll-out takes it from. A workload that is replaced as a whole has only what
/// the manifest says: a reference, and no note.
fn overwrite(store: &mut Store, is_versioned: bool) {
    let other = json!({ "key": STANDARD.encode(alphanumeric(40)) });
    if !is_versioned {
        return store.edit(("secrets", "api"), "kubectl-patch", |secret| secret["data"] = other);
    }
    let secret = json!({ "metadata": { "name": "api-0123456789" }, "data": other });
    store.make("secrets", "kubectl-create", secret);
    store.edit(("deployments", "agent"), "kubectl-replace", |agent| {
        *agent.pointer_mut(REFERENCE).unwrap() = json!("api-0123456789");
        agent["metadata"].as_object_mut().unwrap().remove("annotations");
    });
}

#[async_trait]
impl HostHarness for Shop {
    async fn fresh(&mut self) {
        let versions = std::mem::take(&mut self.versions);
        *self = Self::with(self.told, versions);
    }

    async fn reopen(&mut self) {
        self.takes_over();
    }

    fn host(&self) -> &dyn Host {
        &self.host
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions.0, &self.versions.1)
    }

    async fn overwrite(&mut self) {
        let is_versioned = (self.told)().0.versioned.is_some();
        self.api.with(|store| overwrite(store, is_versioned));
    }
}
