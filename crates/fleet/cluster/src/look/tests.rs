use std::collections::BTreeMap;
use std::sync::Arc;

use keyroll_inventory::{InstanceShown, KnownSecrets, NotMeant};
use keyroll_kube::Owner;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_testkit::alphanumeric;
use keyroll_trace::{Managed, Version};

use super::*;
use crate::model::{Changed, Container, External, MapSeen, Pod, SecretSeen, Taking, Unlisted, Workload};

/// When the key of the Secret was changed last.
const CHANGE: i64 = 1_700_000_000;

fn text(value: &str) -> SecretBytes {
    SecretBytes::from(value.to_owned())
}

fn secret(name: &str, key: &str, value: &str) -> SecretSeen {
    let changed = Changed { at: CHANGE, by: "kubectl-patch".to_owned(), sure: true, bound: true };
    SecretSeen {
        name: name.to_owned(),
        kind: "Opaque".to_owned(),
        created: Some(CHANGE - 90_000),
        data: BTreeMap::from([(key.to_owned(), text(value))]),
        changed: BTreeMap::from([(key.to_owned(), changed)]),
        ..SecretSeen::default()
    }
}

fn takes(from: From, way: Way) -> Taking {
    Taking { container: "app".to_owned(), init: false, from, way, optional: false, shadowed: false }
}

fn of_secret(name: &str, key: &str) -> From {
    From::Secret { name: name.to_owned(), key: Some(key.to_owned()) }
}

fn env(name: &str) -> Way {
    Way::Env(name.to_owned())
}

fn workload(kind: &str, name: &str, takes: Vec<Taking>) -> Workload {
    Workload { kind: kind.to_owned(), name: name.to_owned(), takes, ..Workload::default() }
}

/// A pod that runs since so many seconds after the change.
fn pod(name: &str, of: Option<(&str, &str)>, since: i64, takes: Vec<Taking>) -> Pod {
    let container = Container {
        name: "app".to_owned(),
        started: Some(CHANGE + since),
        running: true,
        ..Container::default()
    };
    Pod {
        name: name.to_owned(),
        created: Some(CHANGE + since - 2),
        phase: "Running".to_owned(),
        made_by: of.map(|(kind, name)| (kind.to_owned(), name.to_owned())),
        takes: takes.into(),
        containers: vec![container],
        ..Pod::default()
    }
}

fn look(namespace: Namespace) -> Look {
    managed(namespace, Vec::new())
}

fn managed(namespace: Namespace, managed: Vec<Managed>) -> Look {
    let key = FingerprintKey::new(&[7; 32]);
    Look::of(namespace, KnownSecrets { key, managed, values: Vec::new() })
}

/// A Deployment of two pods, of which one is older than the change, and a CronJob.
fn shop(value: &str) -> Namespace {
    let of_agent = || vec![takes(of_secret("anthropic-credentials", "api-key"), env("ANTHROPIC_API_KEY"))];
    let set = Some(("ReplicaSet", "agent-6d5f"));
    let mut replicas = workload("ReplicaSet", "agent-6d5f", of_agent());
    replicas.made_by = Some(("Deployment".to_owned(), "agent".to_owned()));
    Namespace {
        name: "prod".to_owned(),
        options: "--context admin@prod -n prod".to_owned(),
        secrets: vec![secret("anthropic-credentials", "api-key", value)],
        workloads: vec![
            workload("CronJob", "nightly", of_agent()),
            workload("Deployment", "agent", of_agent()),
            replicas,
        ],
        pods: vec![
            pod("agent-6d5f-k8w4p", set, 500, of_agent()),
            pod("agent-6d5f-x2x1z", set, -500, of_agent()),
        ],
        ..Namespace::default()
    }
}

fn verdicts(all: &[InstanceShown]) -> Vec<(&str, &str)> {
    all.iter().map(|one| (one.pod.as_deref().unwrap(), &*one.verdict)).collect()
}

#[test]
fn a_pod_that_is_older_than_the_change_is_stale_and_the_command_that_moves_it_is_named() {
    let value = alphanumeric(40);
    let look = look(shop(&value));
    let report = look.scan();
    let [found] = report.found.as_slice() else { panic!("{:?}", report.found) };
    assert_eq!(found.secret, "anthropic");
    assert_eq!(found.copies[0].place, "secret/anthropic-credentials api-key");
    let users: Vec<_> = found.used_by.iter().map(|user| (user.name.as_str(), user.pods.len())).collect();
    assert_eq!(users, [("cronjob/nightly", 0), ("deployment/agent", 2)]);
    assert_eq!(found.used_by[0].applies.as_deref(), Some("the next job takes it"));
    assert_eq!(
        verdicts(&report.instances),
        [("agent-6d5f-x2x1z/app", "stale"), ("agent-6d5f-k8w4p/app", "current")]
    );
    let stale = &report.instances[0];
    let restart = "kubectl rollout restart deployment/agent --context admin@prod -n prod";
    assert_eq!(stale.applies.as_deref(), Some(restart));
    assert!(stale.seems.as_deref().unwrap().starts_with("kubectl apply"));
    assert!(stale.sentence.contains("secret/anthropic-credentials api-key"), "{}", stale.sentence);
    assert!(stale.sentence.contains("by kubectl-patch"), "{}", stale.sentence);
    assert!(report.missed.is_empty(), "{:?}", report.missed);
    let label = &found.values[0].label;
    assert!(stale.sentence.contains(label.as_str()), "{}", stale.sentence);
    let why = look.why("anthropic").unwrap();
    let all = format!("{report:?} {why:?} {:?}", look.trace("anthropic", true).unwrap());
    assert!(!all.contains(&value));
}

/// What is older than a Secret of that name may have had another one.
#[test]
fn a_secret_is_taken_for_made_anew_if_what_takes_it_is_older() {
    let of_x = || vec![takes(of_secret("x", "k"), env("K"))];
    let made = CHANGE - 90_000;
    let of = |immutable: bool, kind: &str, created: Option<i64>, pod_created: i64| {
        let maker = Workload { created, ..workload(kind, "app", of_x()) };
        let pod = Pod { created: Some(pod_created), ..pod("app-1", None, 0, of_x()) };
        let x = SecretSeen { immutable, ..secret("x", "k", "v") };
        let secrets = vec![x, secret("y", "k", "v")];
        let namespace =
            Namespace { secrets, workloads: vec![maker], pods: vec![pod], ..Namespace::default() };
        remade(&namespace).into_iter().collect::<Vec<_>>()
    };
    let is = |kind: &str, created: Option<i64>, pod_created: i64| of(false, kind, created, pod_created);
    assert!(is("StatefulSet", Some(made), made).is_empty());
    // One command may make both, the Secret last.
    assert!(is("StatefulSet", Some(made - 10), made).is_empty());
    assert_eq!(is("StatefulSet", Some(made - 11), made), ["secret/x"]);
    assert_eq!(is("ReplicaSet", Some(made - 11), made), ["secret/x"]);
    // It may have another template since.
    assert!(is("Deployment", Some(made - 11), made).is_empty());
    assert_eq!(is("Deployment", None, made - 11), ["secret/x"]);
    assert_eq!(of(true, "StatefulSet", Some(made - 1), made), ["secret/x"]);
    assert!(of(true, "StatefulSet", Some(made), made).is_empty());
}

#[test]
fn every_name_that_is_shown_can_be_asked_about() {
    let look = look(shop(&alphanumeric(40)));
    let instances =
        |word: &str| -> usize { look.why(word).unwrap().iter().map(|report| report.instances.len()).sum() };
    for word in
        ["anthropic", "secret/anthropic-credentials", "anthropic-credentials", "deployment/agent", "agent"]
    {
        assert_eq!(instances(word), 2, "{word}");
    }
    for word in ["agent-6d5f-x2x1z", "agent-6d5f-x2x1z/app", "deployment/agent (pod agent-6d5f-x2x1z/app)"] {
        assert_eq!(instances(word), 1, "{word}");
    }
    assert_eq!(instances("cronjob/nightly"), 0);
    assert_eq!(look.trace("ANTHROPIC_API_KEY", false).unwrap().found.secret, "anthropic");
    assert_eq!(look.trace("secret/anthropic-credentials", false).unwrap().found.secret, "anthropic");
    let names = vec!["anthropic".to_owned()];
    assert_eq!(look.why("openai").unwrap_err(), NotMeant::Unknown { names });
}

#[test]
fn one_word_for_two_objects_is_refused_with_both_names() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.workloads.push(workload("StatefulSet", "agent", Vec::new()));
    let names = vec!["deployment/agent".to_owned(), "statefulset/agent".to_owned()];
    assert_eq!(look(namespace).why("agent").unwrap_err(), NotMeant::Several { names });
}

#[test]
fn a_chain_names_what_wins_what_is_shadowed_and_who_writes_it() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.secrets[0].owner = Some(Owner::ExternalSecrets("anthropic".to_owned()));
    let external = External {
        store: "SecretStore/aws".to_owned(),
        keys: BTreeMap::from([("api-key".to_owned(), "prod/anthropic#api_key".to_owned())]),
        ..External::default()
    };
    namespace.external.insert("anthropic-credentials".to_owned(), external);
    namespace.secrets.push(secret("old", "ANTHROPIC_API_KEY", &alphanumeric(40)));
    let from = From::Secret { name: "old".to_owned(), key: None };
    let beside = Taking { shadowed: true, ..takes(from, Way::EnvFrom(String::new())) };
    namespace.workloads[1].takes.insert(0, beside);
    let look = look(namespace);
    let report = look.why("secret/anthropic-credentials").unwrap().remove(0);
    let found = look.trace("secret/anthropic-credentials", false).unwrap().found;
    assert!(found.risk.starts_with("External Secrets writes it"), "{}", found.risk);
    assert!(found.risks[0].contains("(prod/anthropic#api_key): change it there"), "{:?}", found.risks);
    let chain = report.chains.iter().find(|chain| chain.used_by == "deployment/agent").unwrap();
    assert_eq!((chain.name.as_str(), &*chain.keeper), ("ANTHROPIC_API_KEY", "kubernetes"));
    let links: Vec<_> = chain.links.iter().map(|link| (link.what.as_str(), &*link.standing)).collect();
    assert_eq!(
        links,
        [
            ("env from secret/anthropic-credentials api-key", "wins"),
            ("envFrom secret/old ANTHROPIC_API_KEY", "shadowed"),
        ]
    );
    let why = chain.links[0].why.as_deref().unwrap();
    assert!(why.contains("from SecretStore/aws (prod/anthropic#api_key): change it there"), "{why}");
    assert!(report.sentences.iter().any(|text| text.starts_with("secret/anthropic-credentials: External")));
}

#[test]
fn what_external_secrets_has_not_written_yet_is_named_with_its_reason() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.workloads[1].takes = vec![takes(of_secret("absent", "api-key"), env("ANTHROPIC_API_KEY"))];
    let external = External {
        name: "late".to_owned(),
        store: "SecretStore/aws".to_owned(),
        not_ready: Some("no such key".to_owned()),
        ..External::default()
    };
    namespace.external.insert("absent".to_owned(), external);
    let missed = look(namespace).missed();
    let said = "it is not there: its pods do not start without it; ExternalSecret/late is to write it from \
                SecretStore/aws, and says that it is not ready: no such key";
    assert!(missed.iter().any(|one| one.why == said), "{missed:?}");
}

#[test]
fn a_file_follows_by_itself_and_no_pod_of_it_is_called_stale() {
    let file = || vec![takes(of_secret("web", "token"), Way::File("/etc/web/token".to_owned()))];
    let namespace = Namespace {
        name: "prod".to_owned(),
        secrets: vec![secret("web", "token", &alphanumeric(40))],
        workloads: vec![workload("StatefulSet", "web", file())],
        pods: vec![pod("web-0", Some(("StatefulSet", "web")), -500, file())],
        ..Namespace::default()
    };
    let look = look(namespace);
    assert_eq!(verdicts(&look.scan().instances), [("web-0/app", "unknown")]);
    let report = look.why("statefulset/web").unwrap().remove(0);
    assert!(
        report.sentences[0].contains("the file /etc/web/token: it follows by itself"),
        "{:?}",
        report.sentences
    );
    assert!(report.chains[0].links[0].applies.as_deref().unwrap().starts_with("it follows by itself"));
    assert_eq!(report.chains[0].links[0].seems, None);
}

#[test]
fn a_text_in_a_template_is_compared_with_the_pods_and_told_as_a_risk() {
    let [old, new] = [alphanumeric(40), alphanumeric(40)];
    let literal = |value: &str| vec![takes(From::Text(text(value)), env("OPENAI_API_KEY"))];
    let set = Some(("StatefulSet", "web"));
    let namespace = Namespace {
        name: "prod".to_owned(),
        workloads: vec![workload("StatefulSet", "web", literal(&new))],
        pods: vec![pod("web-0", set, 5, literal(&new)), pod("web-1", set, 5, literal(&old))],
        ..Namespace::default()
    };
    let look = look(namespace);
    let report = look.scan();
    let [found] = report.found.as_slice() else { panic!("{:?}", report.found) };
    assert_eq!((found.secret.as_str(), found.values.len()), ("openai", 2));
    assert_eq!(verdicts(&report.instances), [("web-1/app", "stale"), ("web-0/app", "current")]);
    assert!(found.risks.contains(&"copies differ".to_owned()), "{:?}", found.risks);
    assert!(found.risks.iter().any(|risk| risk.starts_with("in the template of ")), "{:?}", found.risks);
}

#[test]
fn a_pod_that_takes_another_secret_than_the_template_is_stale() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.secrets.push(secret("anthropic-v2", "api-key", &alphanumeric(40)));
    namespace.workloads[1].takes =
        vec![takes(of_secret("anthropic-v2", "api-key"), env("ANTHROPIC_API_KEY"))];
    let report = look(namespace).scan();
    let words: Vec<&str> = report.instances.iter().map(|one| &*one.verdict).collect();
    // The newer pod surely has the old Secret's value; the other one has that value or an earlier one.
    assert_eq!(words, ["stale", "likely stale"]);
    assert!(report.instances[0].sentence.contains("a new pod takes it from secret/anthropic-v2 api-key"));
}

#[test]
fn copies_outside_of_secrets_are_found_in_every_encoding() {
    let value = alphanumeric(40);
    let mut namespace = shop(&value);
    let coded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &value);
    let data = BTreeMap::from([("settings".to_owned(), text(&format!("key {coded}")))]);
    namespace.config_maps.push(MapSeen { name: "app".to_owned(), data, ..MapSeen::default() });
    let manifest = format!(
        "{{\"kind\":\"Secret\",\"metadata\":{{\"name\":\"anthropic-credentials\"}},\"stringData\":{{\"api-key\":\"{}\"}}}}",
        alphanumeric(40)
    );
    namespace.secrets[0].last_applied = Some(text(&manifest));
    let report = look(namespace).scan();
    let [found] = report.found.as_slice() else { panic!("{:?}", report.found) };
    let copies: Vec<_> = found.copies.iter().map(|copy| (copy.place.as_str(), &*copy.form)).collect();
    assert_eq!(
        copies,
        [
            ("secret/anthropic-credentials api-key", "plain"),
            ("secret/anthropic-credentials annotation of kubectl apply api-key", "plain"),
            ("configmap/app settings", "base64"),
        ]
    );
    // The value of the annotation is an earlier one of the same entry.
    assert_eq!(found.values.len(), 2);
    assert!(found.risks.contains(&"in a ConfigMap: configmap/app".to_owned()), "{:?}", found.risks);
    let applied = "in the annotation of kubectl apply of secret/anthropic-credentials".to_owned();
    assert!(found.risks.contains(&applied), "{:?}", found.risks);
}

#[test]
fn equal_values_in_two_secrets_are_one_secret_and_a_configured_one_keeps_its_name() {
    let value = alphanumeric(40);
    let mut namespace = shop(&value);
    namespace.secrets.push(secret("copy", "token", &value));
    let key = FingerprintKey::new(&[7; 32]);
    let version = Version { number: 7, state: "current", fingerprints: vec![key.fingerprint(&text(&value))] };
    let known = vec![Managed { name: "claude".to_owned(), versions: vec![version] }];
    let report = managed(namespace, known).scan();
    let [found] = report.found.as_slice() else { panic!("{:?}", report.found) };
    assert_eq!((found.secret.as_str(), found.managed, found.values[0].version), ("claude", true, Some(7)));
    let several = "several Secrets have it: anthropic-credentials, copy".to_owned();
    assert!(found.risks.contains(&several), "{:?}", found.risks);
}

#[test]
fn a_secret_that_nobody_takes_is_listed_and_what_is_missing_is_told() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.secrets.push(secret("spare", "password", &alphanumeric(20)));
    namespace.workloads[1].takes.push(takes(of_secret("openai", "api-key"), env("OPENAI_API_KEY")));
    let waits = Container {
        name: "app".to_owned(),
        waits: Some("CreateContainerConfigError".to_owned()),
        ..Container::default()
    };
    let mut stuck = pod("agent-7c-9", Some(("Deployment", "agent")), 5, Vec::new());
    stuck.takes = vec![takes(of_secret("openai", "api-key"), env("OPENAI_API_KEY"))].into();
    stuck.containers = vec![waits];
    namespace.pods.push(stuck);
    let report = look(namespace).scan();
    let spare = report.found.iter().find(|one| one.secret == "spare").unwrap();
    assert!(spare.used_by.is_empty() && spare.risk == "unused", "{spare:?}");
    let missed: Vec<_> = report.missed.iter().map(|one| (one.what.as_str(), one.why.as_str())).collect();
    assert_eq!(
        missed,
        [
            (
                "secret/openai api-key, which deployment/agent takes as OPENAI_API_KEY",
                "it is not there: its pods do not start without it"
            ),
            ("pod agent-7c-9/app of deployment/agent", "it does not run: CreateContainerConfigError"),
        ]
    );
    assert!(!report.instances.iter().any(|one| one.pod.as_deref() == Some("agent-7c-9/app")));
}

#[test]
fn a_chain_names_its_container_where_there_are_several() {
    let mut namespace = shop(&alphanumeric(40));
    let side = Taking {
        container: "side".to_owned(),
        ..takes(of_secret("anthropic-credentials", "api-key"), env("KEY"))
    };
    namespace.workloads[1].takes.push(side);
    let report = look(namespace).why("deployment/agent").unwrap().remove(0);
    let names: Vec<&str> = report.chains.iter().map(|chain| chain.name.as_str()).collect();
    assert_eq!(names, ["ANTHROPIC_API_KEY in container app", "KEY in container side"]);
}

#[test]
fn a_secret_is_not_the_first_of_its_name_if_a_replica_set_is_older() {
    let of = |kind: &str, before: i64| {
        let takes = vec![takes(of_secret("anthropic-credentials", "api-key"), env("ANTHROPIC_API_KEY"))];
        let created = Some(CHANGE - 90_000 - before);
        let older = Workload { created, ..workload(kind, "agent-6d5f", takes) };
        let secrets = vec![secret("anthropic-credentials", "api-key", &alphanumeric(40))];
        look(Namespace { secrets, workloads: vec![older], ..Namespace::default() }).remade.len()
    };
    assert_eq!((of("ReplicaSet", 11), of("Job", 11), of("ReplicaSet", 10)), (1, 1, 0));
    // Its template may name the Secret since a moment ago.
    assert_eq!(of("Deployment", 11), 0);
}

#[test]
fn why_says_how_many_pods_a_workload_lacks_and_why_it_makes_none() {
    let sentence = |kind: &str, wanted: Option<i32>, idle: bool, pods: bool| {
        let mut namespace = shop(&alphanumeric(40));
        let taken = namespace.workloads.remove(1).takes;
        namespace.workloads = vec![Workload { wanted, idle, ..workload(kind, "agent", taken) }];
        namespace.pods.truncate(usize::from(pods));
        namespace.pods.iter_mut().for_each(|pod| pod.made_by = Some((kind.to_owned(), "agent".to_owned())));
        look(namespace).why(&format!("{}/agent", kind.to_lowercase())).unwrap()[0].sentences[0].clone()
    };
    for (kind, wanted, idle, pods, end) in [
        ("Deployment", Some(1), false, true, "its pods (1) keep the value of their start"),
        ("Deployment", Some(2), false, true, "its pods (1 of 2) keep the value of their start"),
        ("StatefulSet", None, false, false, "and has no pod now: the next one takes the value of then"),
        ("StatefulSet", Some(0), true, false, "and makes no pod now: it is scaled to 0"),
        ("CronJob", None, true, false, "and makes no pod now: it is suspended"),
        ("Job", Some(0), true, false, "and makes no pod now: it has ended, or is suspended"),
        ("DaemonSet", Some(0), true, false, "and makes no pod now: no node fits it"),
        (
            "Deployment",
            Some(1),
            true,
            true,
            "its pods (1) keep the value of their start; it is paused, and rolls nothing out before it is resumed",
        ),
    ] {
        let sentence = sentence(kind, wanted, idle, pods);
        assert!(sentence.ends_with(end), "{sentence}");
    }
}

#[test]
fn what_no_visible_template_takes_any_more_is_not_current() {
    let value = alphanumeric(40);
    let own = |from: From| vec![takes(from, env("API_TOKEN"))];
    let literal = || From::Text(text(&value));
    let by_name = || of_secret("anthropic-credentials", "api-key");
    let verdict = |kind: &str, from: From, template: Option<Vec<Taking>>| {
        let maker = Some((kind, "agent")).filter(|(kind, _)| *kind != "Pod");
        let look = look(Namespace {
            secrets: vec![secret("anthropic-credentials", "api-key", &value)],
            workloads: template.map(|takes| workload(kind, "agent", takes)).into_iter().collect(),
            pods: vec![pod("agent-0", maker, 500, own(from))],
            ..Namespace::default()
        });
        let all = look.scan().instances;
        assert_eq!(all.len(), 1, "{kind}");
        all[0].verdict.to_string()
    };
    let renamed = |from: From| Some(vec![takes(from, env("OTHER_TOKEN"))]);
    // Its kind is not read, or it takes nothing of it, or takes the template of a Deployment.
    assert_eq!(verdict("CloneSet", literal(), None), "unknown");
    assert_eq!(verdict("StatefulSet", literal(), Some(Vec::new())), "unknown");
    assert_eq!(verdict("Rollout", literal(), Some(Vec::new())), "unknown");
    assert_eq!(verdict("StatefulSet", by_name(), Some(Vec::new())), "unknown");
    // Another name for the same; a Secret that is compared with itself; a pod without a template.
    assert_eq!(verdict("StatefulSet", literal(), renamed(literal())), "current");
    assert_eq!(verdict("StatefulSet", by_name(), renamed(by_name())), "current");
    assert_eq!(verdict("CloneSet", by_name(), None), "current");
    assert_eq!(verdict("Pod", literal(), None), "current");
}

/// A release of Helm with this text as its manifest, in a gzip file with one stored block (RFC 1951).
fn release(name: &str, manifest: &str) -> SecretSeen {
    use base64::Engine as _;
    let json = serde_json::json!({ "manifest": manifest, "config": {} }).to_string();
    let length = u16::try_from(json.len()).unwrap();
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(json.as_bytes());
    packed.extend([0; 8]);
    let coded = text(&base64::engine::general_purpose::STANDARD.encode(packed));
    SecretSeen {
        name: format!("sh.helm.release.v1.{name}"),
        kind: "helm.sh/release.v1".to_owned(),
        data: BTreeMap::from([("release".to_owned(), coded)]),
        ..SecretSeen::default()
    }
}

#[test]
fn pods_that_share_what_they_take_share_it_without_the_texts_that_are_forgotten() {
    let value = alphanumeric(40);
    let mut namespace = shop(&value);
    let plain = || takes(From::Text(text("a mock is used here")), env("OTHER"));
    let shared: Arc<[Taking]> = vec![takes(From::Text(text(&value)), env("COPY_KEY")), plain()].into();
    namespace.pods.iter_mut().for_each(|pod| pod.takes = Arc::clone(&shared));
    drop(shared);
    namespace.pods.push(pod("alone", None, 5, vec![plain()]));
    namespace.pods.push(pod("nothing", None, 5, Vec::new()));
    let look = look(namespace);
    let bytes = |one: &Taking| if let From::Text(text) = &one.from { text.len() } else { 0 };
    let pods = &look.namespace.pods;
    let all: Vec<Vec<usize>> = pods.iter().map(|pod| pod.takes.iter().map(bytes).collect()).collect();
    assert_eq!(all, [vec![40, 0], vec![40, 0], vec![0], Vec::new()]);
    assert!(Arc::ptr_eq(&pods[0].takes, &pods[1].takes));
}

#[test]
fn a_text_without_a_value_is_forgotten_and_what_it_shadows_is_still_shadowed() {
    let mut namespace = shop(&alphanumeric(40));
    let own = || takes(of_secret("anthropic-credentials", "api-key"), env("ANTHROPIC_API_KEY"));
    let shadowed =
        || Taking { shadowed: true, ..takes(of_secret("anthropic-credentials", "api-key"), env("OTHER")) };
    let plain = || takes(From::Text(text("a mock is used here")), env("OTHER"));
    namespace.workloads.iter_mut().for_each(|one| one.takes.extend([shadowed(), plain()]));
    namespace.pods.iter_mut().for_each(|pod| pod.takes = vec![own(), shadowed(), plain()].into());
    let look = look(namespace);
    let all = look.namespace.workloads.iter().flat_map(|one| one.takes.iter());
    let all = all.chain(look.namespace.pods.iter().flat_map(|pod| pod.takes.iter()));
    let texts = all.filter_map(|one| if let From::Text(text) = &one.from { Some(text.len()) } else { None });
    assert_eq!(texts.collect::<Vec<_>>(), [0; 5]);
    let report = look.why("deployment/agent").unwrap().remove(0);
    assert_eq!(report.chains[1].name, "OTHER");
    let links: Vec<_> =
        report.chains[1].links.iter().map(|link| (link.what.as_str(), &*link.standing)).collect();
    assert_eq!(
        links,
        [
            ("env from a text in the template", "wins"),
            ("env from secret/anthropic-credentials api-key", "shadowed"),
        ]
    );
    assert_eq!(report.instances.len(), 2);
}

/// A namespace of which these kinds could not be listed.
fn without(plurals: &[&'static str], namespace: Namespace) -> Namespace {
    let unlisted = plurals.iter().map(|plural| Unlisted { plural, in_part: false }).collect();
    Namespace { unlisted, refused: true, ..namespace }
}

#[test]
fn what_nobody_was_seen_to_take_is_not_called_unused_if_pods_or_workloads_are_hidden() {
    let spare = || Namespace {
        name: "prod".to_owned(),
        secrets: vec![secret("spare", "password", &alphanumeric(20))],
        ..Namespace::default()
    };
    let said = |plurals: &[&'static str]| {
        let look = look(without(plurals, spare()));
        let found = look.scan().found.remove(0);
        let why = look.why("spare").unwrap().remove(0).sentences.remove(0);
        let nobody = look.trace("spare", false).unwrap().nobody;
        assert_eq!(why, format!("spare: {nobody}"));
        (found.risk, found.risks[0].clone(), found.pods_hidden, nobody)
    };
    let (risk, risks, pods_hidden, nobody) = said(&["pods", "jobs"]);
    let hidden = "who takes it is not visible, because pods, jobs cannot be listed";
    assert_eq!((risk.as_str(), risks.as_str(), nobody.as_str()), ("users not visible", hidden, hidden));
    assert!(pods_hidden);
    let (risk, _, pods_hidden, nobody) = said(&["cronjobs"]);
    assert_eq!((risk.as_str(), pods_hidden), ("users not visible", false));
    let template = "; whether a template does is not visible, because cronjobs cannot be listed";
    assert!(nobody.starts_with("no container that runs in namespace prod") && nobody.ends_with(template));
    let (risk, risks, _, nobody) = said(&["configmaps", "serviceaccounts"]);
    assert_eq!((risk.as_str(), risks.as_str()), ("unused", "nothing in the namespace takes it"));
    assert_eq!(nobody, "no container that runs in namespace prod takes it");
}

#[test]
fn of_a_workload_whose_pods_are_hidden_nothing_is_said_of_their_number() {
    let namespace = Namespace { pods: Vec::new(), ..shop(&alphanumeric(40)) };
    let report = look(without(&["pods"], namespace)).why("deployment/agent").unwrap().remove(0);
    let said = "deployment/agent: takes it as ANTHROPIC_API_KEY: its pods (not visible) keep the value of their start";
    assert_eq!(report.sentences, [said]);
}

#[test]
fn a_secret_that_could_not_be_read_is_not_said_to_be_missing_and_its_takers_are_shown() {
    let absent = look(shop_without(false));
    let mut namespace = shop_without(false);
    namespace.hidden.insert("anthropic-credentials".to_owned());
    let hidden = look(namespace);
    // What was not read is named once, where it was not read.
    assert!(hidden.missed().is_empty(), "{:?}", hidden.missed());
    assert_eq!(absent.missed().len(), 2);
    for (look, standing, means) in [
        (&hidden, "not visible", "it could not be read: whether it is there is not visible"),
        (&absent, "not there", "it is not there: its pods do not start without it"),
    ] {
        for word in ["anthropic-credentials", "secret/anthropic-credentials"] {
            let reports = look.why(word).unwrap();
            let [report] = reports.as_slice() else { panic!("{reports:?}") };
            assert_eq!(report.sentences.len(), 2, "{:?}", report.sentences);
            assert!(report.sentences.iter().all(|text| text.ends_with(means)), "{:?}", report.sentences);
            let users: Vec<&str> = report.chains.iter().map(|chain| chain.used_by.as_str()).collect();
            assert_eq!(users, ["cronjob/nightly", "deployment/agent"]);
            assert!(report.chains.iter().all(|chain| chain.links[0].standing == standing));
        }
        assert!(matches!(look.trace("anthropic-credentials", false), Err(NotMeant::Unknown { .. })));
    }
    assert!(matches!(absent.why("secret/other"), Err(NotMeant::Unknown { .. })));
}

/// The shop without its Secret, which its pods can start without if it is `optional`.
fn shop_without(optional: bool) -> Namespace {
    let mut namespace = shop(&alphanumeric(40));
    namespace.secrets.clear();
    let all = namespace.workloads.iter_mut().flat_map(|one| &mut one.takes);
    all.for_each(|one| one.optional = optional);
    namespace
}

#[test]
fn a_secret_that_is_missing_and_optional_is_named_as_such() {
    let missed = look(shop_without(true)).missed();
    assert_eq!(missed.len(), 2, "{missed:?}");
    assert!(missed.iter().all(|one| one.why == "it is not there: its pods start without it"), "{missed:?}");
    assert!(missed[1].what.starts_with("secret/anthropic-credentials api-key, which deployment/agent takes"));
    // Settings are often optional, and hold no secrets as a rule.
    let mut namespace = shop_without(true);
    let map = || From::Map { name: "settings".to_owned(), key: Some("MODE".to_owned()) };
    namespace.workloads.iter_mut().flat_map(|one| &mut one.takes).for_each(|one| one.from = map());
    let missed = look(namespace).missed();
    assert!(missed.is_empty(), "{missed:?}");
}

/// A Deployment that takes a key of a ConfigMap, and pods that run since so many seconds after its change.
fn with_map(since: &[i64]) -> Namespace {
    let SecretSeen { name, created, data, changed, .. } = secret("settings", "API_TOKEN", &alphanumeric(40));
    let of_map = || {
        let from = From::Map { name: "settings".to_owned(), key: Some("API_TOKEN".to_owned()) };
        vec![takes(from, env("API_TOKEN"))]
    };
    let pods = since.iter().enumerate();
    let pods =
        pods.map(|(at, since)| pod(&format!("web-{at}"), Some(("StatefulSet", "web")), *since, of_map()));
    Namespace {
        name: "prod".to_owned(),
        options: "-n prod".to_owned(),
        config_maps: vec![MapSeen { name, created, data, changed, ..MapSeen::default() }],
        workloads: vec![workload("StatefulSet", "web", of_map())],
        pods: pods.collect(),
        ..Namespace::default()
    }
}

#[test]
fn who_takes_a_value_of_a_config_map_is_judged_by_the_times_of_it_and_the_worst_comes_first() {
    let look = look(with_map(&[500, 7, -500, 9, -600]));
    let reports = look.why("configmap/settings").unwrap();
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    let wanted = [
        ("web-2/app", "stale"),
        ("web-4/app", "stale"),
        ("web-1/app", "unknown"),
        ("web-3/app", "unknown"),
        ("web-0/app", "current"),
    ];
    assert_eq!(verdicts(&report.instances), wanted);
    assert_eq!(verdicts(&look.scan().instances), wanted);
    let [stale, _, unknown, ..] = report.instances.as_slice() else { panic!("{report:?}") };
    assert!(stale.sentence.contains("configmap/settings API_TOKEN"), "{}", stale.sentence);
    assert_eq!(
        stale.seems.as_deref(),
        Some("kubectl apply of the ConfigMap: the pods that run keep their value")
    );
    // A new pod makes sure of what the cache of the kubelet leaves open.
    let restart = "kubectl rollout restart statefulset/web -n prod";
    assert_eq!((unknown.applies.as_deref(), unknown.seems.as_deref()), (Some(restart), None));
    assert!(unknown.cause.ends_with(&format!("; to be certain: {restart}")), "{}", unknown.cause);
    assert_eq!(report.instances[4].applies, None);
}

#[test]
fn a_config_map_that_is_not_there_is_shown_with_who_takes_it() {
    let mut namespace = with_map(&[5]);
    namespace.config_maps.clear();
    let standing = |namespace: Namespace| {
        let report = look(namespace).why("configmap/settings").unwrap().remove(0);
        report.chains[0].links[0].standing.to_string()
    };
    assert_eq!(standing(namespace), "not there");
    let mut namespace = with_map(&[5]);
    namespace.config_maps.clear();
    assert_eq!(standing(without(&["configmaps"], namespace)), "not visible");
}

#[test]
fn a_workload_that_is_called_like_a_secret_is_named_beside_it() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.workloads.push(workload("Deployment", "anthropic", Vec::new()));
    let look = look(namespace);
    let report = look.why("anthropic").unwrap().remove(0);
    assert_eq!(report.instances.len(), 2);
    let said = "anthropic is also the name of deployment/anthropic".to_owned();
    assert!(report.sentences.contains(&said), "{:?}", report.sentences);
    assert!(look.why("deployment/anthropic").unwrap()[0].instances.is_empty());
}

#[test]
fn a_word_for_a_secret_and_a_workload_is_refused_with_names_that_can_be_typed() {
    let mut namespace = shop(&alphanumeric(40));
    namespace.workloads.push(workload("Deployment", "anthropic-credentials", Vec::new()));
    let look = look(namespace);
    let Err(NotMeant::Several { names }) = look.why("anthropic-credentials") else { panic!("it is refused") };
    assert_eq!(names, ["deployment/anthropic-credentials", "secret/anthropic-credentials"]);
    let instances = |word: &str| look.why(word).unwrap()[0].instances.len();
    assert_eq!((instances(&names[0]), instances(&names[1])), (0, 2));
}

#[test]
fn releases_that_would_fill_the_memory_are_named_and_not_read() {
    let large = "x".repeat(40 << 10);
    let secrets = vec![release("a.v1", &large), release("a.v2", &large), release("a.v3", "")];
    let missed = look(Namespace { secrets, ..Namespace::default() }).missed();
    let missed: Vec<_> = missed.iter().map(|one| (one.what.as_str(), one.why.as_str())).collect();
    let why = "not read: the releases before it have more than 256 MiB";
    assert_eq!(missed, [("release of Helm a v2", why), ("release of Helm a v3", why)]);
}
