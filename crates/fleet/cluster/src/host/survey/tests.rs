use std::path::Path;

use keyroll_config::WorkloadKind;
use keyroll_secret::SecretBytes;
use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::fit::refuse_key;
use super::workload::Raw;
use super::*;
use crate::host::sample::{CHANGE, deployment, env, host, key, pods, secret, seen, takes};
use keyroll_kube::Owner;

use crate::model::{Changed, External, From, MapSeen, Namespace, SecretSeen, Taking, Unlisted, Way};
use crate::recorded::{Recorded, path as path_of, status};

/// What a refusal says: its code, its cause and its help.
fn said(refused: Result<(), Failure>) -> (Code, String, String) {
    let failure = refused.expect_err("it is refused");
    assert_eq!(failure.class, Class::Permanent);
    (failure.code, failure.source.unwrap().to_string(), failure.help.unwrap())
}

fn of_key() -> Vec<Taking> {
    vec![takes("api", "key", env())]
}

/// A look at Deployment `agent`, which takes this.
fn a_look(takes: &dyn Fn() -> Vec<Taking>) -> Seen {
    seen(vec![secret("api", "key", &alphanumeric(40))], vec![deployment("agent", 600, takes)])
}

fn raw(object: Value) -> Raw {
    serde_json::from_value(object).unwrap()
}

fn plain() -> Raw {
    raw(json!({ "metadata": { "name": "agent" } }))
}

/// Whether this consumer fits to this workload.
fn fits(pods: PodsSetup, key: KeySetup, seen: &Seen, raw: Option<&Raw>) -> Result<(), Failure> {
    let host = host(&Recorded::new(), key, vec![pods]);
    host.refuse_workload(seen, &host.setup.consumers[0], raw)
}

#[test]
fn a_workload_that_takes_the_key_and_rolls_out_is_accepted() {
    let seen = a_look(&of_key);
    fits(pods(), key(), &seen, Some(&plain())).unwrap();
    let named = |name: &str| PodsSetup { container: Some(name.to_owned()), ..pods() };
    fits(named("app"), key(), &seen, Some(&plain())).unwrap();
    let (code, why, help) = said(fits(named("web"), key(), &seen, Some(&plain())));
    assert_eq!((code, why.as_str()), (Code::NotPlannable, "its container web does not take secret/api key"));
    assert!(help.ends_with("secret/api key is taken by container app of deployment/agent"), "{help}");
}

#[test]
fn a_workload_that_is_not_there_is_refused_with_what_takes_the_key_instead() {
    let absent = PodsSetup { workload: "agents".to_owned(), ..pods() };
    let (_, why, help) = said(fits(absent, key(), &a_look(&of_key), None));
    assert_eq!(why, "there is no deployment/agents in namespace shop");
    assert!(help.ends_with("is taken by container app of deployment/agent"), "{help}");
    let (_, _, help) = said(fits(pods(), key(), &a_look(&Vec::<Taking>::new), None));
    assert!(help.ends_with("nothing that was seen takes secret/api key"), "{help}");
}

#[test]
fn a_workload_that_replaces_no_pods_is_refused() {
    let seen = a_look(&of_key);
    let of = |spec: Value| raw(json!({ "metadata": { "name": "agent" }, "spec": spec }));
    for (spec, word) in [
        (json!({ "paused": true }), "it is paused"),
        (json!({ "updateStrategy": { "type": "OnDelete" } }), "OnDelete"),
        (
            json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } }),
            "partition",
        ),
    ] {
        let (_, why, _) = said(fits(pods(), key(), &seen, Some(&of(spec))));
        assert!(why.contains(word), "{why}");
    }
    let (_, _, help) = said(fits(pods(), key(), &seen, Some(&of(json!({ "paused": true })))));
    assert_eq!(help, "kubectl rollout resume deployment/agent -n shop");
}

#[test]
fn a_canary_is_refused_where_no_pod_can_be_moved_before_the_others() {
    let seen = a_look(&of_key);
    let of = |spec: Value| raw(json!({ "metadata": { "name": "agent" }, "spec": spec }));
    let canary = || PodsSetup { canary: true, ..pods() };
    for (spec, word) in [
        (json!({ "replicas": 2, "strategy": { "type": "Recreate" } }), "Recreate"),
        (json!({ "replicas": 0 }), "scaled to 0"),
    ] {
        fits(pods(), key(), &seen, Some(&of(spec.clone()))).unwrap();
        let (code, why, help) = said(fits(canary(), key(), &seen, Some(&of(spec))));
        assert!(code == Code::NotPlannable && why.contains(word), "{why}");
        assert_eq!(help, "leave out `canary`");
    }
    fits(canary(), key(), &seen, Some(&of(json!({ "replicas": 1 })))).unwrap();
}

#[test]
fn a_workload_that_something_else_makes_is_refused() {
    let owner =
        json!({ "apiVersion": "v1", "kind": "Tenant", "name": "shop", "uid": "u", "controller": true });
    let made = raw(json!({ "metadata": { "name": "agent", "ownerReferences": [owner] } }));
    let (_, why, _) = said(fits(pods(), key(), &a_look(&of_key), Some(&made)));
    assert_eq!(why, "Tenant/shop makes it, and may undo what is changed of it");
}

#[test]
fn rereads_is_refused_for_what_never_changes_in_the_container() {
    let rereads = || PodsSetup { rereads: true, ..pods() };
    for (way, word) in [
        (env(), "a variable (KEY)"),
        (Way::SubPath("/k".to_owned()), "a file by subPath (/k)"),
        (Way::Argument, "an argument"),
    ] {
        let seen = a_look(&|| vec![takes("api", "key", way.clone())]);
        let (code, why, help) = said(fits(rereads(), key(), &seen, Some(&plain())));
        assert!(code == Code::NotPlannable && why.contains(word), "{why}");
        assert!(help.starts_with("leave out `rereads`"), "{help}");
    }
    let seen = a_look(&|| vec![takes("api", "key", Way::File("/keys".to_owned()))]);
    fits(rereads(), key(), &seen, Some(&plain())).unwrap();
}

#[test]
fn a_template_from_git_keeps_its_reference() {
    let seen = a_look(&of_key);
    let versioned = || KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    let labelled = json!({ "name": "agent", "labels": { "kustomize.toolkit.fluxcd.io/name": "apps" } });
    let written = json!({ "name": "agent", "managedFields": [{ "manager": "argocd-controller", "operation": "Apply" }] });
    for (meta, word) in [(labelled, "Flux"), (written, "Argo CD")] {
        let raw = raw(json!({ "metadata": meta }));
        let (_, why, _) = said(fits(pods(), versioned(), &seen, Some(&raw)));
        assert!(why.starts_with(word), "{why}");
        fits(pods(), key(), &seen, Some(&raw)).unwrap();
    }
    fits(pods(), versioned(), &seen, Some(&plain())).unwrap();
}

fn holds(secret: SecretSeen) -> Namespace {
    Namespace { name: "shop".to_owned(), secrets: vec![secret], ..Namespace::default() }
}

fn api() -> SecretSeen {
    secret("api", "key", &alphanumeric(40))
}

#[test]
fn a_secret_that_keyroll_cannot_change_is_refused() {
    refuse_key(&holds(api()), &key()).unwrap();
    let (code, why, _) = said(refuse_key(&holds(secret("b", "key", "x")), &key()));
    assert_eq!((code, why.as_str()), (Code::CopyDiffers, "there is no such Secret in namespace shop"));
    let fixed = || SecretSeen { immutable: true, ..api() };
    let (code, _, help) = said(refuse_key(&holds(fixed()), &key()));
    assert!(code == Code::FileNotReplaceable && help.starts_with("write `versioned = true`"), "{help}");
    let versioned = KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    refuse_key(&holds(fixed()), &versioned).unwrap();
    let sealed = SecretSeen { owner: Some(Owner::SealedSecrets("api".to_owned())), ..api() };
    let (code, why, _) = said(refuse_key(&holds(sealed), &key()));
    assert!(code == Code::FileNotReplaceable && why.starts_with("Sealed Secrets writes it"), "{why}");
}

fn external(refresh: &str) -> Namespace {
    let external = External {
        name: "from-aws".to_owned(),
        store: "SecretStore/aws".to_owned(),
        refresh: Some(refresh.to_owned()),
        ..External::default()
    };
    Namespace { external: [("api".to_owned(), external)].into(), ..holds(api()) }
}

#[test]
fn a_secret_that_external_secrets_writes_needs_synced_and_an_interval() {
    let synced = || KeySetup { synced: true, ..key() };
    let (_, why, help) = said(refuse_key(&external("1h"), &key()));
    assert!(why.contains("ExternalSecret/from-aws"), "{why}");
    assert!(help.starts_with("write `synced = true`") && help.contains("(SecretStore/aws)"), "{help}");
    refuse_key(&external("1h"), &synced()).unwrap();
    for zero in ["0", "0s", "0h0m"] {
        assert!(said(refuse_key(&external(zero), &synced())).1.contains("refreshInterval 0"), "{zero}");
    }
    let (_, why, _) = said(refuse_key(&holds(api()), &synced()));
    assert!(why.starts_with("no ExternalSecret writes it"), "{why}");
    let unlisted = vec![Unlisted { plural: "externalsecrets", in_part: false }];
    let (_, why, _) = said(refuse_key(&Namespace { unlisted, ..holds(api()) }, &synced()));
    assert!(why.ends_with("is not visible"), "{why}");
}

#[test]
fn another_key_that_was_changed_after_a_pod_started_goes_live_with_a_roll_out() {
    let map = |key: &str| {
        let from = From::Map { name: "settings".to_owned(), key: Some(key.to_owned()) };
        let way = Way::Env(key.to_owned());
        Taking { container: "app".to_owned(), init: false, from, way, optional: false, shadowed: false }
    };
    let takes = || vec![takes("api", "key", env()), map("LOG_LEVEL"), map("MODE")];
    let look = |level: &str| {
        let mut seen = seen(vec![api()], vec![deployment("agent", 600, &takes)]);
        let changed = |at| Changed { at, by: "kubectl-edit".to_owned(), sure: true, bound: true };
        seen.namespace.config_maps = vec![MapSeen {
            name: "settings".to_owned(),
            created: Some(CHANGE - 90_000),
            changed: [("LOG_LEVEL".to_owned(), changed(CHANGE + 900)), ("MODE".to_owned(), changed(CHANGE))]
                .into(),
            data: ["LOG_LEVEL", "MODE"]
                .map(|key| (key.to_owned(), SecretBytes::from(level.to_owned())))
                .into(),
            ..MapSeen::default()
        }];
        seen
    };
    let host = host(&Recorded::new(), key(), vec![pods()]);
    let found = |level: &str| host.keys_pending(&look(level), &host.setup.consumers[0]);
    let [one] = found("debug").try_into().unwrap();
    assert_eq!(&*one.difference.name, "agent/configmap/settings:LOG_LEVEL");
    assert_eq!(one.what, "configmap/settings LOG_LEVEL was changed after pod/agent-1 started");
    assert_eq!(one.since_unix_ms, Some(1_700_000_900_000));
    assert!(found("debug") == [one]);
    assert!(found("info")[0].difference.digest != found("debug")[0].difference.digest);
}

#[test]
fn a_roll_out_that_is_not_done_goes_live_too_unless_this_rotation_began_it() {
    let host = host(&Recorded::new(), key(), vec![pods()]);
    let of = |status: Value, stamp: &str| {
        let annotations = json!({ "deployment.kubernetes.io/revision": "4" });
        let template = json!({ "metadata": { "creationTimestamp": null, "annotations": { "keyroll.dev/rolled-by": stamp } } });
        let raw = raw(json!({
            "metadata": { "name": "agent", "generation": 7, "annotations": annotations },
            "spec": { "template": template }, "status": status,
        }));
        host.template_pending(&host.setup.consumers[0], &raw).map(|one| one.difference.name.to_string())
    };
    let named = Some("agent/template:agent".to_owned());
    let half = || json!({ "observedGeneration": 7, "replicas": 3, "updatedReplicas": 1 });
    assert_eq!(of(json!({ "observedGeneration": 7, "replicas": 3, "updatedReplicas": 3 }), ""), None);
    assert_eq!(of(half(), "r0/5"), named);
    assert_eq!(of(half(), "r1/5"), None);
    assert_eq!(of(json!({ "observedGeneration": 6, "replicas": 3, "updatedReplicas": 3 }), ""), named);
    let daemons =
        json!({ "observedGeneration": 7, "currentNumberScheduled": 2, "updatedNumberScheduled": 1 });
    assert_eq!(of(daemons, ""), named);
}

/// An annotation that a delivery puts beside the template of a Deployment is a change, too.
#[tokio::test]
async fn a_change_that_the_controller_has_not_seen_yet_is_no_template_of_somebody_else() {
    let recorded = Recorded::new();
    let seen = |generation: i64| {
        let status = json!({ "observedGeneration": generation, "replicas": 3, "updatedReplicas": 3 });
        (200, json!({ "metadata": { "name": "agent", "generation": 7 }, "status": status }))
    };
    let path = format!("{}/agent", path_of("apis/apps/v1/deployments"));
    recorded.answers(&path, &[seen(6), seen(6), seen(7)]);
    let host = host(&recorded, key(), vec![pods()]);
    let raw = host.settled_workload(&host.setup.consumers[0]).await.unwrap().unwrap();
    assert!(host.template_pending(&host.setup.consumers[0], &raw).is_none());
    assert_eq!(recorded.count(&path), 3);
}

#[test]
fn the_path_of_a_key_is_that_of_the_configuration() {
    assert_eq!(path(&key()), Path::new("secret/api/key"));
    let versioned = KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    assert_eq!(path(&versioned), Path::new("deployment/agent/secret/api/key"));
}

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

fn review(allowed: bool) -> (u16, Value) {
    (201, json!({ "spec": {}, "status": { "allowed": allowed } }))
}

#[tokio::test]
async fn all_rights_that_are_missing_are_named_at_once_with_their_rules() {
    let recorded = Recorded::new();
    recorded.answers(REVIEWS, &[review(false)]);
    let host = host(&recorded, key(), vec![pods()]);
    let failure = host.refuse_without_rights(&holds(api())).await.unwrap_err();
    let (code, why, help) = said(Err(failure));
    assert_eq!(code, Code::ClusterAccess);
    let all = "the login may not list pods, get secrets/api, patch secrets/api, get deployments/agent, patch deployments/agent";
    assert_eq!(why, all);
    let rule = "apiGroups: [\"apps\"], resources: [deployments], resourceNames: [agent], verbs: [get, patch]";
    assert!(help.contains(rule), "{help}");
}

#[tokio::test]
async fn what_the_login_may_not_ask_is_a_note_and_so_is_a_slower_refresh() {
    let recorded = Recorded::new();
    recorded.answers(REVIEWS, &[(403, status(403, "forbidden"))]);
    let notes = host(&recorded, key(), vec![pods()]).refuse_without_rights(&holds(api())).await.unwrap();
    assert_eq!(notes, ["whether the login has the rights of a rotation is not visible"]);
    // The Secret, the pods and the workload; then the right to refresh.
    recorded.answers(REVIEWS, &[review(true), review(true), review(true), review(true), review(false)]);
    let rereads = PodsSetup { rereads: true, ..pods() };
    let notes = host(&recorded, key(), vec![rereads]).refuse_without_rights(&holds(api())).await.unwrap();
    assert!(
        notes.len() == 1 && notes[0].starts_with("mounted files follow within about two minutes"),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_workload_is_read_by_its_name() {
    let recorded = Recorded::new();
    let host = host(&recorded, key(), vec![pods()]);
    assert!(host.workload(&host.setup.consumers[0]).await.unwrap().is_none());
    let object = json!({ "metadata": { "name": "agent" }, "spec": { "paused": true } });
    recorded.answers(&format!("{}/agent", path_of("apis/apps/v1/deployments")), &[(200, object)]);
    assert!(host.workload(&host.setup.consumers[0]).await.unwrap().unwrap().spec.paused);
}
