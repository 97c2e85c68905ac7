//! What a login may see of a namespace, before anything is asked of its Secrets.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use keyroll_kube::{Cluster, Effect, failure};
use keyroll_port::Failure;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What.
    pub what: &'static str,
    /// Whether it is as keyroll needs it.
    pub grade: Grade,
    /// What was seen.
    pub detail: String,
    /// What to do.
    pub help: Option<String>,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As keyroll needs it.
    Good,
    /// keyroll sees less.
    Less,
    /// keyroll sees nothing.
    Bad,
}

impl Checked {
    fn good(what: &'static str, detail: String) -> Self {
        Self { what, grade: Grade::Good, detail, help: None }
    }
}

/// What keyroll lists: the group of the API, the kinds, and what is missing without them.
const LISTED: [(&str, &[&str], &str); 5] = [
    ("", &["secrets"], "only Secrets that it may get by name, and that a pod or template names, are seen"),
    ("", &["pods"], "which pods still have an old value stays unknown"),
    ("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"], "what makes a pod is not known"),
    ("batch", &["jobs", "cronjobs"], "jobs that take a Secret at their next run are not seen"),
    (
        "",
        &["configmaps", "serviceaccounts"],
        "copies in ConfigMaps, and Secrets that pull images for a service account, are not seen",
    ),
];

/// Reaches the cluster, and asks who the login is and what it may do in the namespace.
///
/// # Errors
/// The cluster cannot be reached, does not accept the login, or something else answers in its place.
pub async fn check(cluster: &Cluster) -> Result<Vec<Checked>, Failure> {
    let Cluster { client, namespace, server, .. } = cluster;
    let failed = |attempted: String| move |error| failure(attempted.clone(), error, Effect::None);
    let reach = format!("reach {server}");
    let version = client.apiserver_version().await.map_err(failed(reach.clone()))?;
    let version = said("gitVersion", Some(&version.git_version), reach)?;
    let mut checked = vec![Checked::good("API server", format!("{server}, version {version}"))];
    // Both requests ask about the login itself; they change nothing.
    let whoami = Api::<SelfSubjectReview>::all(client.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let who = format!("ask {server} who the login is");
    let user = whoami.map_err(failed(who.clone()))?;
    let name = user.status.and_then(|status| status.user_info).and_then(|info| info.username);
    checked.push(Checked::good("login", said("username", name.as_deref(), who)?));
    let there = is_there(client, namespace).await;
    checked.push(there.map_err(failed(format!("ask {server} for namespace {namespace}")))?);
    let asked = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.clone()) },
        ..SelfSubjectRulesReview::default()
    };
    let reviewed =
        Api::<SelfSubjectRulesReview>::all(client.clone()).create(&PostParams::default(), &asked).await;
    let rules = reviewed.map_err(failed(format!("ask {server} for the rights of the login")))?.status;
    let (rules, incomplete) =
        rules.map(|status| (status.resource_rules, status.incomplete)).unwrap_or_default();
    checked.extend(rights(&rules, namespace, incomplete));
    Ok(checked)
}

/// What each API server says; what answers without it is something else.
fn said(what: &str, word: Option<&str>, attempted: String) -> Result<String, Failure> {
    let word = word.map(plain).filter(|word| !word.is_empty());
    word.ok_or_else(|| {
        let why = format!("its answer is not one of a Kubernetes API server: it has no {what}");
        failure(attempted, kube::Error::Service(why.into()), Effect::None)
    })
}

/// Whether the namespace is there. The server answers all other questions about one that is not there as if it were
/// empty.
async fn is_there(client: &Client, namespace: &str) -> Result<Checked, kube::Error> {
    let what = "namespace";
    let good = || Checked::good(what, format!("{namespace} is there"));
    let bad = |detail: String| {
        let help = "correct connect in keyroll.toml; kubectl get namespaces shows their names".to_owned();
        Checked { what, grade: Grade::Bad, detail, help: Some(help) }
    };
    match Api::<Namespace>::all(client.clone()).get_metadata(namespace).await {
        Ok(_) => return Ok(good()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Ok(bad(format!("there is no namespace {namespace}")));
        }
        // The Role of keyroll does not have this right.
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        Err(error) => return Err(error),
    }
    let one = ListParams::default().limit(1);
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace).list_metadata(&one).await;
    match some(accounts.map(|all| all.items))? {
        Some(true) => return Ok(good()),
        Some(false) => {
            return Ok(bad(format!(
                "{namespace} has not even the service account that each namespace has: it does not exist, or was made just now"
            )));
        }
        None => {}
    }
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list_metadata(&one).await;
    if some(pods.map(|all| all.items))? == Some(true) {
        return Ok(good());
    }
    let detail = format!(
        "it is not visible whether {namespace} exists: the login may neither get it nor list its service accounts"
    );
    Ok(Checked { what, grade: Grade::Less, detail, help: None })
}

/// Whether a list has an object; `None`: the login may not list them.
fn some<T>(listed: Result<Vec<T>, kube::Error>) -> Result<Option<bool>, kube::Error> {
    match listed {
        Ok(all) => Ok(Some(!all.is_empty())),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

/// What these rules are enough for. An authorizer that does not list its rules (`incomplete`) may allow more.
fn rights(rules: &[ResourceRule], namespace: &str, incomplete: bool) -> Vec<Checked> {
    let named = |kind: &str| allows(rules, "", kind, "get", false);
    let seen = |kind: &str| allows(rules, "", kind, "list", true);
    // Without both, nothing says which value anything has.
    let blind = !(incomplete || named("secrets") || seen("secrets") || seen("pods"));
    let of = |(group, kinds, lost): &(&'static str, &'static [&'static str], &'static str)| {
        let missing: Vec<&str> =
            kinds.iter().copied().filter(|kind| !allows(rules, group, kind, "list", true)).collect();
        let what = kinds.first().copied().unwrap_or_default();
        if missing.is_empty() {
            return Checked::good(what, format!("it may list {}", kinds.join(", ")));
        }
        let by_name = if what == "secrets" && named(what) { "; it may get some by name" } else { "" };
        let not = if incomplete { "the cluster does not say whether it may list" } else { "it may not list" };
        let detail = format!("{not} {} in {namespace}{by_name}: {lost}", missing.join(", "));
        let resources = missing.join(", ");
        let verbs = if what == "secrets" { "get, list" } else { "list" };
        let rule = format!("apiGroups: [\"{group}\"], resources: [{resources}], verbs: [{verbs}]");
        let grade = if blind && matches!(what, "secrets" | "pods") { Grade::Bad } else { Grade::Less };
        Checked { what, grade, detail, help: Some(format!("add this to the Role of the login: {rule}")) }
    };
    LISTED.iter().map(of).collect()
}

/// Whether a rule allows this verb; `all`: for every object, not for named ones alone.
fn allows(rules: &[ResourceRule], group: &str, kind: &str, verb: &str, all: bool) -> bool {
    let has = |words: &[String], word: &str| words.iter().any(|one| one == word || one == "*");
    rules.iter().any(|rule| {
        let named = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
        has(&rule.verbs, verb)
            && has(rule.api_groups.as_deref().unwrap_or_default(), group)
            && has(rule.resources.as_deref().unwrap_or_default(), kind)
            && !(all && named)
    })
}

/// Words of the server in one line.
fn plain(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use keyroll_codes::Code;
    use serde_json::{Value, json};

    use super::*;
    use crate::recorded::{Recorded, list, path, status};

    fn rule(group: &str, kinds: &[&str], verbs: &[&str], names: &[&str]) -> ResourceRule {
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ResourceRule {
            api_groups: Some(all(&[group])),
            resources: Some(all(kinds)),
            verbs: all(verbs),
            resource_names: (!names.is_empty()).then(|| all(names)),
        }
    }

    fn missing(rules: &[ResourceRule]) -> Vec<&'static str> {
        rights(rules, "shop", false)
            .into_iter()
            .filter(|one| one.grade != Grade::Good)
            .map(|one| one.what)
            .collect()
    }

    #[test]
    fn what_the_login_may_not_list_is_named_with_the_rule_that_allows_it() {
        assert_eq!(missing(&[rule("*", &["*"], &["*"], &[])]), Vec::<&str>::new());
        let pods = rule("", &["pods", "configmaps", "serviceaccounts"], &["get", "list"], &[]);
        let apps =
            rule("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"], &["list"], &[]);
        assert_eq!(missing(&[pods.clone(), apps.clone()]), ["secrets", "jobs"]);
        let without_one = rule("apps", &["deployments", "replicasets", "statefulsets"], &["list"], &[]);
        let seen = rights(&[pods, without_one], "shop", false);
        let apps = seen.iter().find(|one| one.what == "deployments").unwrap();
        assert!(apps.detail.contains("may not list daemonsets in shop"), "{apps:?}");
        let help = apps.help.as_deref().unwrap();
        assert!(help.ends_with("apiGroups: [\"apps\"], resources: [daemonsets], verbs: [list]"), "{help}");
        let secrets = rights(&[], "shop", false).remove(0).help.unwrap();
        assert!(secrets.ends_with("resources: [secrets], verbs: [get, list]"), "{secrets}");
    }

    #[test]
    fn a_right_for_named_secrets_is_not_one_for_all() {
        let named = rule("", &["secrets"], &["get", "list"], &["api"]);
        let seen = rights(&[named], "shop", false);
        let secrets = seen.iter().find(|one| one.what == "secrets").unwrap();
        assert!(
            secrets.grade == Grade::Less && secrets.detail.contains("it may get some by name"),
            "{secrets:?}"
        );
        // A rule for writing is none for reading.
        assert!(missing(&[rule("", &["secrets"], &["patch"], &[])]).contains(&"secrets"));
        let unsure = rights(&[], "shop", true);
        assert!(unsure[0].detail.starts_with("the cluster does not say"), "{:?}", unsure[0]);
    }

    #[test]
    fn a_login_that_sees_neither_secrets_nor_pods_is_bad_and_one_that_may_see_them_is_not() {
        let bad = |rules: &[ResourceRule], incomplete: bool| -> Vec<&str> {
            let all = rights(rules, "shop", incomplete);
            all.into_iter().filter(|one| one.grade == Grade::Bad).map(|one| one.what).collect()
        };
        assert_eq!(bad(&[rule("", &["configmaps"], &["list"], &[])], false), ["secrets", "pods"]);
        assert_eq!(bad(&[], true), Vec::<&str>::new());
        for seen in [
            rule("", &["pods"], &["list"], &[]),
            rule("", &["secrets"], &["list"], &[]),
            rule("", &["secrets"], &["get"], &["api"]),
        ] {
            assert_eq!(bad(std::slice::from_ref(&seen), false), Vec::<&str>::new(), "{seen:?}");
        }
    }

    /// A server whose login may do everything, in a namespace that is there.
    fn server() -> Recorded {
        let recorded = Recorded::new();
        recorded.answers("/version", &[(200, json!({ "gitVersion": "v1.33.1" }))]);
        recorded.answers(WHOAMI, &[(200, json!({ "status": { "userInfo": { "username": "keyroll" } } }))]);
        let rule = json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] });
        let status = json!({ "resourceRules": [rule], "nonResourceRules": [], "incomplete": false });
        recorded.answers(RULES, &[(200, json!({ "spec": {}, "status": status }))]);
        recorded.answers(SHOP, &[(200, json!({ "metadata": { "name": "shop" } }))]);
        recorded
    }

    const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    const SHOP: &str = "/api/v1/namespaces/shop metadata";

    #[tokio::test]
    async fn a_server_that_is_no_kubernetes_or_names_no_login_is_a_failure() {
        let checked = check(&server().cluster()).await.unwrap();
        assert!(checked.iter().all(|one| one.grade == Grade::Good), "{checked:?}");
        assert_eq!(checked[0].detail, "https://cluster.example, version v1.33.1");
        assert_eq!(checked[1].detail, "keyroll");
        for (request, missing) in [("/version", "gitVersion"), (WHOAMI, "username")] {
            let server = server();
            server.answers(request, &[(200, json!({ "hello": "world" }))]);
            let failure = check(&server.cluster()).await.unwrap_err();
            assert_eq!(failure.code, Code::ClusterUnreachable, "{request}");
            let why = failure.source.unwrap().to_string();
            assert!(why.contains("not one of a Kubernetes API server") && why.contains(missing), "{why}");
        }
    }

    #[tokio::test]
    async fn a_namespace_that_does_not_exist_is_not_passed_over() {
        let (accounts, pods) = ("api/v1/serviceaccounts", "api/v1/pods");
        let forbidden = || (403, status(403, "forbidden"));
        let listed =
            |kind: &str, objects: &[Value]| (format!("{} metadata", path(kind)), (200, list(objects, None)));
        let refused = |kind: &str| (format!("{} metadata", path(kind)), forbidden());
        let object = json!({ "metadata": { "name": "default" } });
        let with = std::slice::from_ref(&object);
        let get = |answer: (u16, Value)| (SHOP.to_owned(), answer);
        for (answers, grade, detail) in [
            (vec![get((404, status(404, "absent")))], Grade::Bad, "there is no namespace shop"),
            (vec![get(forbidden()), listed(accounts, with)], Grade::Good, "shop is there"),
            (
                vec![get(forbidden()), listed(accounts, &[])],
                Grade::Bad,
                "does not exist, or was made just now",
            ),
            (vec![get(forbidden()), refused(accounts), listed(pods, with)], Grade::Good, "shop is there"),
            (
                vec![get(forbidden()), refused(accounts), listed(pods, &[])],
                Grade::Less,
                "not visible whether",
            ),
            (vec![get(forbidden()), refused(accounts), refused(pods)], Grade::Less, "not visible whether"),
        ] {
            let server = server();
            for (request, answer) in answers {
                server.answers(&request, &[answer]);
            }
            let checked = check(&server.cluster()).await.unwrap();
            let found = checked.iter().find(|one| one.what == "namespace").unwrap();
            assert!(found.grade == grade && found.detail.contains(detail), "{found:?}");
        }
    }
}
