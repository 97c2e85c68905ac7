//! The adapter with the real Kubernetes: the conformance suite, rights, what the API server refuses, and one that is killed.

use std::mem::swap;
use std::path::Path;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_port::{Class, FailureKind, Truth};
use keyroll_secret::Credential;
use keyroll_testkit::{Kubernetes, tag};
use keyroll_truth::{KubernetesAddress, KubernetesSecret, connect_kubernetes, kubernetes};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::sample::{KEY, by, credential, failed, shown, value};
use crate::vault_sample::{is, unread};

/// A Secret of the namespace `default` with a value and a second key.
struct Scene {
    cluster: Kubernetes,
    name: String,
    old: Credential,
}

impl Scene {
    fn start(left_out: &str) -> Option<Self> {
        if !Kubernetes::is_here_or_skip(left_out) {
            return None;
        }
        let mut scene = Self { cluster: Kubernetes::control_plane(), name: String::new(), old: credential() };
        scene.make_another();
        Some(scene)
    }

    /// Makes another Secret, with another value.
    fn make_another(&mut self) {
        self.name = format!("agents-{}", tag().replace('_', "-"));
        self.old = credential();
        self.make();
    }

    fn make(&self) {
        let (key, beside) = (STANDARD.encode(value(&self.old)), STANDARD.encode(tag()));
        self.cluster.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{ name: {}, namespace: default }}\ntype: Opaque\n\
             data: {{ {KEY}: {key}, OTHER: {beside} }}\n",
            self.name
        ));
    }

    /// Changes it as somebody else does.
    fn patch(&self, patch: &Value) {
        self.cluster.kubectl(&["patch", "secret", &self.name, "--type=merge", "-p", &patch.to_string()]);
    }

    fn put(&self, key: &str, text: &str) {
        self.patch(&json!({ "data": { key: STANDARD.encode(text) } }));
    }

    fn object(&self) -> Value {
        self.cluster.object("default", &format!("secret/{}", self.name))
    }

    fn gives(&self, credential: &Credential) -> bool {
        self.object()["data"][KEY] == STANDARD.encode(value(credential))
    }

    async fn open(&self, kubeconfig: &Path) -> Box<dyn Truth> {
        let kubeconfig = Some(kubeconfig.to_owned());
        let namespace = Some("default".to_owned());
        let address = KubernetesAddress { kubeconfig, namespace, ..KubernetesAddress::default() };
        let cluster =
            connect_kubernetes(&address).await.unwrap_or_else(|failure| panic!("{}", shown(&failure)));
        let secret = KubernetesSecret {
            name: self.name.clone(),
            key: KEY.to_owned(),
            field: "value".to_owned(),
            reference: format!("k8s:default/{}#{KEY}", self.name),
            context: None,
        };
        Box::new(kubernetes(secret, &cluster).unwrap_or_else(|failure| panic!("{}", shown(&failure))))
    }

    async fn direct(&self) -> Box<dyn Truth> {
        self.open(self.cluster.kubeconfig()).await
    }

    /// As a service account with these rights to this Secret alone.
    async fn limited(&self, verbs: &str) -> Box<dyn Truth> {
        let account = tag().replace('_', "-");
        let rules = format!(
            "[{{apiGroups: [''], resources: [secrets], resourceNames: [{}], verbs: [{verbs}]}}]",
            self.name
        );
        self.cluster.apply(&Kubernetes::service_account(&account, "default", &rules));
        let kubeconfig = self.cluster.kubeconfig_for(&account, "default");
        let file = kubeconfig.to_str().unwrap();
        let read = ["--kubeconfig", file, "get", "secret", self.name.as_str()];
        self.cluster.wait("the rights of the role", || self.cluster.does(&read));
        self.open(&kubeconfig).await
    }
}

struct AtCluster {
    scene: Scene,
    truth: Box<dyn Truth>,
}

#[async_trait]
impl TruthHarness for AtCluster {
    async fn fresh(&mut self) -> Credential {
        self.scene.make_another();
        self.truth = self.scene.direct().await;
        self.scene.old.duplicate()
    }

    fn truth(&self) -> &dyn Truth {
        &*self.truth
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn credential(&mut self) -> Credential {
        credential()
    }

    async fn change(&mut self, to: &Credential) {
        self.scene.put(KEY, &value(to));
    }

    async fn change_beside(&mut self) -> bool {
        self.scene.put("OTHER", &tag());
        self.scene.patch(&json!({ "metadata": { "labels": { "changed": "by-somebody-else" } } }));
        true
    }

    async fn pending_of_others(&mut self) -> String {
        unreachable!("there is no place for one")
    }

    async fn pending(&self) -> Vec<String> {
        Vec::new()
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        let mut object = self.scene.object();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| key != "resourceVersion" && key != "managedFields");
        object.to_string().replace(&STANDARD.encode(value(credential)), "").into_bytes()
    }
}

#[tokio::test]
async fn a_secret_of_the_real_kubernetes_keeps_every_rule() {
    let Some(scene) = Scene::start("a Secret as a store") else { return };
    let truth = scene.direct().await;
    run(&mut AtCluster { scene, truth }).await.unwrap();
}

#[tokio::test]
async fn of_two_writers_at_once_one_writes_and_the_other_leaves_it() {
    let Some(scene) = Scene::start("two writers of a Secret") else { return };
    let (one, two) = (scene.direct().await, scene.direct().await);
    let mut before = scene.old.duplicate();
    for round in 0..8 {
        let (ours, theirs) = (credential(), credential());
        let (by_one, by_two) = (by(2 * round), by(2 * round + 1));
        let (first, second) =
            tokio::join!(one.give_out(&by_one, &before, &ours), two.give_out(&by_two, &before, &theirs));
        assert!(first.is_ok() != second.is_ok(), "round {round}: one of the two writes");
        let (loser, winner) = if first.is_ok() { (second, ours) } else { (first, theirs) };
        let failure = failed(loser, &[&before, &winner]);
        assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
        assert!(scene.gives(&winner), "round {round}");
        before = winner;
    }
}

#[tokio::test]
async fn the_rights_to_get_and_patch_one_secret_are_enough_and_their_absence_changes_nothing() {
    let Some(scene) = Scene::start("the rights of a store in Kubernetes") else { return };
    let (truth, new) = (scene.limited("get, patch").await, credential());
    truth.writable().await.unwrap();
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    let given = truth.current().await.unwrap();
    assert!(given.unix_ms.is_some(), "the time of keyroll's own write is certain");
    assert!(scene.gives(&new));

    let reader = scene.limited("get").await;
    reader.current().await.unwrap();
    let role = ["verbs: [get, patch]", scene.name.as_str()];
    is(&failed(reader.writable().await, &[&new]), Class::Permanent, "K0641", &role);
    let failure = failed(reader.give_out(&by(5), &new, &scene.old).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &role);
    assert!(scene.gives(&new));
    let log = scene.cluster.audit_log();
    assert!(!log.is_empty() && !log.contains(&value(&new)) && !log.contains(&STANDARD.encode(value(&new))));
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_its_reason() {
    let Some(mut scene) = Scene::start("refusals of the real Kubernetes") else { return };
    let truth = scene.direct().await;
    scene.patch(&json!({ "immutable": true }));
    is(&failed(truth.writable().await, &[&scene.old]), Class::Permanent, "K0642", &["is immutable"]);
    let new = credential();
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0642", &["is immutable", "make one of another name"]);
    assert!(scene.gives(&scene.old));

    scene.make_another();
    let truth = scene.direct().await;
    scene.patch(&json!({ "data": { KEY: null } }));
    unread(&*truth, &scene.old, Class::Permanent, "K0642", &["no key", "describe"]).await;
    scene.cluster.kubectl(&["delete", "secret", &scene.name]);
    unread(&*truth, &scene.old, Class::Permanent, "K0642", &["there is no Secret", "get secrets"]).await;
    // One of the same name, made anew with the old value, is written.
    scene.make();
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert!(scene.gives(&new));
    scene.patch(&json!({ "metadata": { "finalizers": ["test.local/hold"] } }));
    scene.cluster.kubectl(&["delete", "secret", &scene.name, "--wait=false"]);
    unread(&*truth, &new, Class::Permanent, "K0642", &["is being deleted"]).await;
    scene.patch(&json!({ "metadata": { "finalizers": null } }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_of_writes_is_looked_at_again() {
    let Some(mut scene) = Scene::start("an API server that is killed while it writes") else { return };
    let truth = scene.direct().await;
    let (mut before, mut after) = (scene.old.duplicate(), credential());
    let (to, mut moved) = unbounded_channel();
    let moving = tokio::spawn(async move {
        loop {
            if let Err(failure) = truth.give_out(&by(4), &before, &after).await {
                return (truth, before, after, failure);
            }
            swap(&mut before, &mut after);
            let _ = to.send(());
        }
    });
    // It writes now, and does so until it is refused.
    moved.recv().await.unwrap();
    scene.cluster.stop_api_server();
    let (truth, before, after, failure) = moving.await.unwrap();
    let failure = failed(Err::<(), _>(failure), &[&before, &after]);
    assert!([Class::Unknown, Class::Retryable].contains(&failure.class), "{}", shown(&failure));
    assert!(failure.help.is_some());
    scene.cluster.start_api_server();
    truth.give_out(&by(4), &before, &after).await.unwrap();
    assert!(scene.gives(&after));
    truth.give_out(&by(4), &after, &before).await.unwrap();
    assert!(scene.gives(&before));
}
