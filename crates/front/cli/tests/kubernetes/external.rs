//! Secrets that somebody else writes than people: the real External Secrets with AWS Secrets Manager, and the marks of the
//! other writers. And what the API server shows of a change where that may mislead.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_testkit::issuer::Issuer;
use keyroll_testkit::{ExternalSecrets, Kubernetes, Moto, MotoUser, TempDir};
use serde_json::{Value, json};

use super::scene::{self, Shop, verdicts};

const SECRET: &str = "secret/anthropic-credentials";

/// The kinds of the Secrets Store CSI driver, whose own program does not run here. As it describes them:
/// <https://github.com/kubernetes-sigs/secrets-store-csi-driver/tree/main/config/crd/bases>.
const DRIVER_KINDS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: secretproviderclasses.secrets-store.csi.x-k8s.io}
spec:
  group: secrets-store.csi.x-k8s.io
  scope: Namespaced
  names: {kind: SecretProviderClass, listKind: SecretProviderClassList, plural: secretproviderclasses, singular: secretproviderclass}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {
      provider: {type: string}, parameters: {type: object, additionalProperties: {type: string}}}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: secretproviderclasspodstatuses.secrets-store.csi.x-k8s.io}
spec:
  group: secrets-store.csi.x-k8s.io
  scope: Namespaced
  names: {kind: SecretProviderClassPodStatus, listKind: SecretProviderClassPodStatusList, plural: secretproviderclasspodstatuses, singular: secretproviderclasspodstatus}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {status: {type: object, properties: {
      mounted: {type: boolean}, podName: {type: string}, secretProviderClassName: {type: string}, targetPath: {type: string},
      objects: {type: array, items: {type: object, properties: {id: {type: string}, version: {type: string}}}}}}}}}
";

/// A Deployment that mounts what the driver fetches. No node takes its pods: nothing mounts anything here.
const MOUNTS: &str = "
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: vault, namespace: shop}
spec: {provider: vault, parameters: {roleName: agent, objects: '[{objectName: openai, secretPath: kv/data/openai, secretKey: key}]'}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: by-csi, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: by-csi}}
  template:
    metadata: {labels: {app: by-csi}}
    spec:
      automountServiceAccountToken: false
      volumes: [{name: v, csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: vault}}}]
      containers: [{name: app, image: 'test.local/bb:1', volumeMounts: [{name: v, mountPath: /store}]}]
";

/// Secrets with the marks of each writer, and what names it. Sources, in their order:
/// <https://helm.sh/docs/topics/advanced/> (adoption of resources), with `helm.sh/chart` of
/// <https://helm.sh/docs/chart_best_practices/labels/>;
/// <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>, twice;
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/>;
/// <https://fluxcd.io/flux/components/helm/helmreleases/>, whose release is one of Helm, too;
/// <https://github.com/bitnami-labs/sealed-secrets#sealedsecrets-as-templates-for-secrets> (the Secret is a dependent of the
/// SealedSecret); <https://cert-manager.io/docs/reference/annotations/>;
/// <https://secrets-store-csi-driver.sigs.k8s.io/topics/sync-as-kubernetes-secret>.
const MARKS: [(&str, &str, &str); 8] = [
    (
        "by-helm",
        "labels: {app.kubernetes.io/managed-by: Helm, helm.sh/chart: agents-1.2.3}, \
         annotations: {meta.helm.sh/release-name: agents, meta.helm.sh/release-namespace: shop}",
        "Helm writes it, of release agents",
    ),
    (
        "by-argo",
        "annotations: {argocd.argoproj.io/tracking-id: 'tracked:/Secret:shop/by-argo'}",
        "Argo CD writes it, as application tracked has it in git",
    ),
    (
        "by-argo-label",
        "labels: {argocd.argoproj.io/instance: labelled}",
        "Argo CD writes it, as application labelled has it in git",
    ),
    (
        "by-flux",
        "labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}",
        "Flux writes it, as apps has it in git",
    ),
    (
        "by-flux-helm",
        "labels: {app.kubernetes.io/managed-by: Helm, helm.toolkit.fluxcd.io/name: podinfo, \
         helm.toolkit.fluxcd.io/namespace: shop}, \
         annotations: {meta.helm.sh/release-name: podinfo, meta.helm.sh/release-namespace: shop}",
        "Flux writes it, as podinfo has it in git",
    ),
    (
        "by-sealed",
        "ownerReferences: [{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, name: one, controller: true, \
         uid: 6e4ba2b6-93d4-4b2e-9b3b-0e7b5f2d3c11}]",
        "Sealed Secrets writes it from SealedSecret/one",
    ),
    (
        "by-certificate",
        "annotations: {cert-manager.io/certificate-name: web, cert-manager.io/issuer-kind: Issuer, \
         cert-manager.io/issuer-name: ca}",
        "cert-manager writes it for Certificate/web",
    ),
    (
        "by-driver",
        "labels: {secrets-store.csi.k8s.io/managed: 'true'}",
        "the Secrets Store CSI driver writes it: change it at its store",
    ),
];

/// External Secrets, which brings `api_key` of `prod/anthropic` into the Secret of the shop. It ends before its cluster.
struct Written {
    controller: ExternalSecrets,
    shop: Shop,
    moto: Moto,
}

impl Written {
    /// In this cluster, with a first value. `None` where one of the parts cannot run.
    fn raise(left_out: &str, cluster: fn() -> Kubernetes, value: &str) -> Option<Self> {
        if !ExternalSecrets::is_here_or_skip(left_out) {
            return None;
        }
        let moto = Moto::start_or_skip(left_out)?;
        moto.create("prod/anthropic", &document(value), None);
        let mut shop = Shop::at(cluster());
        value.clone_into(&mut shop.value);
        shop.keep(value);
        shop.keep(&moto.key(MotoUser::Reader).1);
        let controller = ExternalSecrets::start(&shop.cluster, &moto);
        ExternalSecrets::store(&shop.cluster, &moto, "shop", "aws");
        shop.cluster.apply(&external("anthropic", "anthropic-credentials", "prod/anthropic"));
        let world = Self { controller, shop, moto };
        world.waits_for(value);
        Some(world)
    }

    /// Waits until the Secret has a value.
    fn waits_for(&self, value: &str) {
        self.shop.cluster.wait("the value from the store", || self.given_out() == value);
    }

    /// What the Secret has now; nothing while there is none.
    fn given_out(&self) -> String {
        let words = ["-n", "shop", "get", SECRET];
        match self.shop.cluster.does(&words) {
            true => given_out(&self.shop),
            false => String::new(),
        }
    }

    /// The store has another text, and External Secrets is asked to look.
    fn put(&self, text: &str, turn: &str) {
        self.moto.put("prod/anthropic", text, &["AWSCURRENT"]);
        self.force(turn);
    }

    fn force(&self, turn: &str) {
        let force = format!("force-sync={turn}");
        self.shop.cluster.kubectl(&[
            "-n",
            "shop",
            "annotate",
            "externalsecret/anthropic",
            &force,
            "--overwrite",
        ]);
    }

    fn is_not_ready(&self, name: &str) {
        let name = format!("externalsecret/{name}");
        let wait = ["-n", "shop", "wait", "--for=condition=Ready=False", "--timeout=100s", &name];
        self.shop.cluster.kubectl(&wait);
    }
}

/// The text at the store with this value.
fn document(value: &str) -> String {
    json!({ "api_key": value }).to_string()
}

fn external(name: &str, secret: &str, remote: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{refreshInterval: 1h, secretStoreRef: {{kind: SecretStore, name: aws}}, \
         target: {{name: {secret}, creationPolicy: Owner}}, \
         data: [{{secretKey: api-key, remoteRef: {{key: {remote}, property: api_key}}}}]}}\n"
    )
}

/// What the Secret of the shop has now.
fn given_out(shop: &Shop) -> String {
    let template = "go-template={{index .data \"api-key\" | base64decode}}";
    shop.cluster.kubectl(&["-n", "shop", "get", SECRET, "-o", template])
}

/// What follows is in a later second: the API shows whole ones.
fn a_second_passes() {
    sleep(Duration::from_secs(2));
}

/// The Secret of the shop, written in one of the two fields that hold values.
fn secret(field: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: anthropic-credentials, namespace: shop}}\n{field}: {{api-key: '{value}'}}\n"
    )
}

/// The kubelet's word that the container of a pod runs since then.
fn runs_since(shop: &Shop, pod: &str, started: &str) {
    let container = json!({
        "name": "app", "image": "test.local/bb:1", "imageID": "", "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": started } },
    });
    let status = json!({ "status": { "phase": "Running", "containerStatuses": [container] } }).to_string();
    shop.cluster.kubectl(&[
        "-n",
        "shop",
        "patch",
        pod,
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ]);
}

/// The verdicts of all containers of a report, by the names of their pods.
fn by_pod(seen: &keyroll_testkit::command::Ran) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one =
        |one: &&Value| (text(&one["pod"]).replace("/app", ""), text(&one["verdict"]), text(&one["cause"]));
    seen.of("instance").iter().map(one).collect()
}

/// A value that comes from a store upstream: who brings it is named, and every verdict is true, before and after a rotation
/// there, while somebody writes by hand, and while the store is broken.
#[test]
fn what_external_secrets_writes_is_named_and_no_verdict_about_it_is_wrong() {
    let first = scene::key();
    let raised = Written::raise("what External Secrets writes", Kubernetes::with_node, &first);
    let Some(mut world) = raised else { return };
    let both = scene::taking("by-env") + &scene::taking("in-file");
    world.shop.cluster.apply(&both);
    ["by-env", "in-file"].iter().for_each(|name| world.shop.is_rolled_out(name));
    let from = "External Secrets writes it from SecretStore/aws (prod/anthropic#api_key): change it there";
    for words in [["why", "anthropic"], ["trace", "anthropic"]] {
        let said = world.shop.told(&[words[0], words[1], "--host", "prod"]);
        said.exits(0).says(&[from]);
    }
    world.shop.told(&["scan", "--host", "prod"]).exits(0).says(&["External Secrets writes it"]);
    world.shop.keyroll(&["scan", "--host", "prod"]).exits(0).says(&[from]);
    let seen = world.shop.why("anthropic");
    world.shop.is_true_of_each(&seen);
    assert!(verdicts(&seen).values().all(|word| !word.ends_with("stale")), "{}", seen.text());

    // Rotated at the store.
    a_second_passes();
    let second = scene::key();
    world.shop.keep(&second);
    world.put(&document(&second), "1");
    world.waits_for(&second);
    world.shop.value.clone_from(&second);
    let seen = world.shop.why("anthropic");
    world.shop.is_true_of_each(&seen);
    // External Secrets owns labels, too: the time of its last write does not prove that it changed the value then.
    assert_eq!(verdicts(&seen)["by-env"], "likely stale", "{}", seen.text());
    assert_eq!(verdicts(&seen)["in-file"], "unknown", "{}", seen.text());
    assert_eq!(world.shop.held("by-env"), first);
    seen.says(&["by externalsecrets.external-secrets.io/anthropic"]);
    world.shop.cluster.wait("the file", || world.shop.has("in-file", "cat /secrets/api-key") == second);
    world.shop.is_true_of_each(&world.shop.why("anthropic"));

    // By hand, which External Secrets undoes while keyroll looks.
    for _ in 0..3 {
        world.shop.change();
        let said = by_pod(&world.shop.why("anthropic"));
        assert!(!said.is_empty(), "no container has a verdict");
        for (pod, word, _) in said {
            assert_ne!(word, "current", "{pod}");
        }
    }
    world.waits_for(&second);
    world.shop.value.clone_from(&second);
    world.shop.is_true_of_each(&world.shop.why("anthropic"));

    // A new pod has the value of the store, and goes on to have it when External Secrets writes nothing but an annotation.
    a_second_passes();
    world.shop.renews("by-env");
    assert_eq!(world.shop.held("by-env"), second);
    let seen = world.shop.why("anthropic");
    world.shop.is_true_of_each(&seen);
    assert!(!verdicts(&seen)["by-env"].ends_with("stale"), "{}", seen.text());
    a_second_passes();
    world.force("2");
    let annotated = || world.shop.shown(SECRET, "{.metadata.annotations.force-sync}") == "2";
    world.shop.cluster.wait("the annotation of the Secret", annotated);
    world.shop.is_true_of_each(&world.shop.why("anthropic"));

    broken(&world);
    world.shop.nothing_leaked();
    let log = world.controller.log();
    assert!(!log.is_empty(), "External Secrets logged nothing");
    assert!(!log.contains(&first) && !log.contains(&second), "External Secrets logged a value");
}

/// A store that gives out nothing usable, and a Secret that was never written.
fn broken(world: &Written) {
    world.put("no document", "3");
    world.is_not_ready("anthropic");
    world.shop.cluster.apply(&external("late", "late-credentials", "prod/nothing"));
    let takes = "env: [{name: LATE, valueFrom: {secretKeyRef: {name: late-credentials, key: api-key}}}]";
    world.shop.cluster.apply(&scene::deployment("waits", takes, ""));
    world.is_not_ready("late");
    let seen = world.shop.why("anthropic");
    world.shop.is_true_of_each(&seen);
    seen.says(&["it says that it is not ready: could not get secret data from provider"]);
    let scan = world.shop.keyroll(&["scan", "--host", "prod"]);
    scan.exits(0).says(&[
        "secret/late-credentials api-key, which deployment/waits takes as LATE",
        "ExternalSecret/late is to write it from SecretStore/aws, and says that it is not ready",
    ]);
    world.shop.told(&["init", "--host", "prod", "--yes"]).exits(0);
    let written = world.shop.config();
    let note = "# External Secrets writes it from SecretStore/aws (prod/anthropic#api_key): change it there";
    assert!(written.contains(note), "{written}");
}

/// A Secret that External Secrets would write again is no store of keyroll's: that is said before anything is made.
#[test]
fn a_secret_that_external_secrets_writes_is_refused_as_a_store() {
    let (issuer, admin) = Issuer::start();
    let (id, value) = issuer.mint("by hand");
    let raised = Written::raise("External Secrets and a store", Kubernetes::control_plane, &value);
    let Some(world) = raised else { return };
    let copy = TempDir::new().unwrap();
    let put = |path: &std::path::Path, text: &str, mode: u32| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (folder, job) = (world.shop.folder(), copy.path().join("job.key"));
    let at = |name: &str| std::path::Path::new(&folder).join(name);
    put(&job, &value, 0o600);
    put(&at("admin.key"), &admin, 0o600);
    put(&at("acme.toml"), &issuer.spec("2s"), 0o644);
    put(&at("check.sh"), "#!/bin/sh\nexit 0\n", 0o755);
    let secret = format!(
        "{}\n[secrets.acme]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
         store = \"k8s:shop/anthropic-credentials#api-key\"\n\
         kubernetes = {{ context = \"admin\", kubeconfig = \"{}\" }}\n\
         [[secrets.acme.consumers]]\nname = \"job\"\nruns = {{ at_rest = true }}\nreads = {{ file = \"{}\" }}\n\
         check = {{ exec = [\"./check.sh\", \"{{copy}}\"] }}\n",
        world.shop.config(),
        world.shop.cluster.kubeconfig().display(),
        job.display()
    );
    put(&at("keyroll.toml"), &secret, 0o644);
    // To read it changes nothing.
    let clause = "External Secrets writes it, by ExternalSecret/anthropic";
    world.shop.told(&["secret", "import", "acme", "--id", &id]).exits(0).says(&[clause]);
    world.shop.told(&["doctor"]).exits(3).says(&["acme: source of truth", clause]);
    let made = issuer.made();
    let refused = world.shop.keyroll(&["plan", "acme"]);
    refused.refused(1, "K0642", &[clause, "rotate the value at the store that it reads"]);
    assert_eq!(issuer.made(), made, "nothing was made");
    assert!(*world.given_out() == **value, "nothing was written");
    world.shop.nothing_leaked();
}

/// What the CSI driver says of each pod: the names of versions, and no value.
#[test]
fn the_versions_that_a_driver_mounted_are_named_for_each_pod() {
    if !Kubernetes::is_here_or_skip("what a CSI driver mounted") {
        return;
    }
    let shop = Shop::without_node(0);
    shop.cluster.apply(DRIVER_KINDS);
    let kinds = ["classes", "classpodstatuses"]
        .map(|end| format!("crd/secretprovider{end}.secrets-store.csi.x-k8s.io"));
    for kind in &kinds {
        shop.cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=100s", kind]);
    }
    shop.cluster.apply(MOUNTS);
    let pods = || shop.pods("by-csi");
    shop.cluster.wait("the first pod", || pods().len() == 1);
    let old = pods().remove(0);
    let seen = shop.keyroll(&["scan", "--all", "--host", "prod"]);
    seen.exits(0);
    assert!(seen.of("instance").is_empty(), "nothing is mounted yet: {}", seen.text());
    a_second_passes();
    shop.cluster.kubectl(&["-n", "shop", "scale", "deployment/by-csi", "--replicas=2"]);
    shop.cluster.wait("the second pod", || pods().len() == 2);
    let new = pods().into_iter().find(|pod| *pod != old).unwrap();
    for (pod, version) in [(&old, "7"), (&new, "8")] {
        runs_since(&shop, pod, &shop.shown(pod, "{.metadata.creationTimestamp}"));
        shop.cluster.apply(&mounted(&shop, pod, version));
    }
    let seen = shop.why("vault/openai");
    let said = by_pod(&seen);
    let of = |pod: &str| said.iter().find(|(name, ..)| pod.ends_with(name.as_str())).unwrap();
    assert_eq!(said.len(), 2, "{}", seen.text());
    let (old_name, new_name) = (&of(&old).0, &of(&new).0);
    assert_eq!(of(&old).1, "likely stale");
    let sentence = format!("the driver mounted version 7 of openai, and in pod {new_name} version 8");
    assert!(of(&old).2.contains(&sentence), "{old_name}: {}", of(&old).2);
    assert_eq!(of(&new).1, "unknown");
    assert!(of(&new).2.contains("only the name of its version is visible: 8"), "{}", of(&new).2);
    let told = shop.told(&["trace", "vault/openai", "--host", "prod"]);
    told.exits(0).says(&["secretproviderclass/vault openai", "not visible"]);
    let init = shop.told(&["init", "--host", "prod", "--yes", "--secret", "vault/openai"]);
    init.says(&[
        "vault/openai: a CSI driver fetches it, and its value is not visible: rotate it at its store",
    ]);

    // The driver rotates the old pod, too: nothing differs any more.
    shop.cluster.apply(&mounted(&shop, &old, "8"));
    let said = by_pod(&shop.why("vault/openai"));
    assert!(said.iter().all(|(_, word, _)| word == "unknown"), "{said:?}");
    shop.nothing_leaked();
}

/// What the driver says of a pod.
fn mounted(shop: &Shop, pod: &str, version: &str) -> String {
    let (name, uid) = (pod.trim_start_matches("pod/"), shop.shown(pod, "{.metadata.uid}"));
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClassPodStatus",
        "metadata": {
            "name": format!("{name}-shop-vault"),
            "namespace": "shop",
            "labels": { "internal.secrets-store.csi.k8s.io/node-name": "localhost" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid }],
        },
        "status": {
            "podName": name,
            "secretProviderClassName": "vault",
            "mounted": true,
            "targetPath": format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/v/mount"),
            "objects": [{ "id": "openai", "version": version }],
        },
    })
    .to_string()
}

/// Every writer that marks its Secrets is named, and nobody for those that have no mark.
#[test]
fn whoever_marks_its_secrets_is_named_in_trace() {
    if !Kubernetes::is_here_or_skip("the marks of those who write Secrets") {
        return;
    }
    let shop = Shop::without_node(0);
    let marked = |name: &str, mark: &str| {
        let value = scene::key();
        shop.keep(&value);
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop, {mark}}}\nstringData: {{API_KEY: '{value}'}}\n---\n"
        )
    };
    let mut all: String = MARKS.iter().map(|(name, mark, _)| marked(name, mark)).collect();
    all += &marked("by-people", "labels: {app: agents, app.kubernetes.io/managed-by: kustomize}");
    shop.cluster.apply(&all);
    for (name, _, words) in MARKS {
        let secret = format!("secret/{name}");
        let traced = shop.told(&["trace", &secret, "--host", "prod"]);
        traced.exits(0).says(&[&format!("secret/{name}: {words}")]);
        shop.told(&["why", &secret, "--host", "prod"]).exits(0).says(&[words]);
    }
    let people = shop.told(&["trace", "secret/by-people", "--host", "prod"]);
    people.exits(0);
    assert!(!people.text().contains("writes it"), "{}", people.text());
    shop.nothing_leaked();
}

/// Two writers with different fields for one key do not conflict, and the later one silently wins.
#[test]
fn a_writer_with_another_field_for_the_same_key_misleads_nobody() {
    if !Kubernetes::is_here_or_skip("two writers of one key") {
        return;
    }
    let mut shop = Shop::at(Kubernetes::with_node());
    let [first, second, third] = [(); 3].map(|()| scene::key());
    [&first, &second, &third].iter().for_each(|value| shop.keep(value));
    shop.cluster.apply_as("one", &secret("stringData", &first));
    shop.value.clone_from(&first);
    shop.cluster.apply(&scene::taking("by-env"));
    shop.is_rolled_out("by-env");
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert!(!verdicts(&seen)["by-env"].ends_with("stale"), "{}", seen.text());

    // Who writes in which field, and what is there then. The last one writes what the pod has had all along.
    let data = |value: &str| STANDARD.encode(value);
    for (writer, field, text, value) in [
        ("two", "data", data(&second), &second),
        ("one", "stringData", first.clone(), &first),
        ("two", "data", data(&third), &third),
        ("one", "stringData", first.clone(), &first),
    ] {
        a_second_passes();
        shop.cluster.apply_as(writer, &secret(field, &text));
        assert!(given_out(&shop) == *value, "{writer} did not win");
        shop.value.clone_from(value);
        let seen = shop.why("anthropic");
        shop.is_true_of_each(&seen);
        let (_, word, cause) = by_pod(&seen).remove(0);
        assert_eq!(word, "likely stale", "{cause}");
        // The time is that of the write, as the API server kept it for its writer.
        let path = format!("{{.metadata.managedFields[?(@.manager==\"{writer}\")].time}}");
        let at = shop.shown(SECRET, &path).replace('T', " ");
        assert!(cause.contains(&format!("({at} by {writer})")), "{at}: {cause}");
        assert_eq!(shop.held("by-env"), first);
    }
    // Whoever changes nothing moves no time.
    a_second_passes();
    let before = by_pod(&shop.why("anthropic"));
    shop.cluster.apply_as("one", &secret("stringData", &first));
    assert_eq!(by_pod(&shop.why("anthropic")), before);
    shop.nothing_leaked();
}

/// Times are whole seconds: a Secret can be made, taken by a pod, and changed within one.
#[test]
fn a_secret_that_was_changed_in_the_second_of_its_creation_makes_nobody_current() {
    if !Kubernetes::is_here_or_skip("a Secret that is changed at once") {
        return;
    }
    let shop = Shop::without_node(0);
    let [first, second] = [(); 2].map(|()| scene::key());
    [&first, &second].iter().for_each(|value| shop.keep(value));
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: early, namespace: shop}\n\
               spec: {automountServiceAccountToken: false, containers: [{name: app, image: 'test.local/bb:1', \
               env: [{name: ANTHROPIC_API_KEY, valueFrom: {secretKeyRef: {name: anthropic-credentials, key: api-key}}}]}]}\n";
    let (made, changed) = (secret("stringData", &first) + pod, secret("data", &STANDARD.encode(&second)));
    let time = "{.metadata.creationTimestamp}";
    shop.cluster.wait("a change in the second of the creation", || {
        shop.cluster.kubectl(&["-n", "shop", "delete", "--now", "--ignore-not-found", SECRET, "pod/early"]);
        shop.cluster.apply_as("one", &made);
        shop.cluster.apply_as("two", &changed);
        let at = shop.shown(SECRET, time);
        at == shop.shown("pod/early", time)
            && at == shop.shown(SECRET, "{.metadata.managedFields[?(@.manager==\"two\")].time}")
    });
    // Its container began after the kubelet had read the first value, and before the second one was there.
    runs_since(&shop, "pod/early", &shop.shown("pod/early", time));
    let seen = shop.why("anthropic");
    let (_, word, cause) = by_pod(&seen).remove(0);
    assert_eq!(word, "unknown", "{cause}");
    shop.nothing_leaked();
}
