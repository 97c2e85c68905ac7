//! A namespace of a real cluster, whose pods take one Secret in every way that there is. What keyroll says of a container is
//! compared with what the container has. And whole rotations: of a secret whose store is a Secret, and of one whose consumers
//! are pods.

mod bad_days_in_clusters;
mod external;
mod manifests;
mod rotate;
mod rotate_scene;
mod scaled;
mod scene;
mod served;
mod served_pod;
mod served_scene;

use std::collections::BTreeSet;

use keyroll_testkit::Kubernetes;
use scene::{Shop, verdicts};

use crate::kept::{err, out, run};
use crate::stores::needles::needles_of;
use crate::stores::run as rotate;

/// A test of all of it, with the truth from inside of each container.
#[test]
fn every_way_of_taking_a_secret_is_seen_and_no_verdict_is_wrong() {
    let Some(mut shop) = Shop::raise("what the pods of a cluster use") else { return };
    let old = shop.value.clone();
    shop.waits_for_all();
    // The Secret was never changed, so there is one value.
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert!(verdicts(&seen).values().all(|verdict| verdict == "current"), "{:?}", verdicts(&seen));

    let new = shop.change();
    shop.cluster.wait("the files of the pods", || shop.has("in-file", "cat /secrets/api-key") == new);
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    let said = verdicts(&seen);
    for never in ["by-env", "by-env-from", "by-sub-path", "stateful", "on-each-node"] {
        assert_eq!(said[never], "stale", "{never}: {said:?}");
        assert_eq!(shop.held(never), old, "{never}");
    }
    for follows in ["in-file", "projected"] {
        assert_eq!(said[follows], "unknown", "{follows}: {said:?}");
        assert_eq!(shop.held(follows), new, "{follows}");
    }
    // What an init container wrote from it is not visible, and here it is the old one.
    assert_eq!(said["by-init"], "unknown", "{said:?}");
    assert_eq!(shop.held("by-init"), old);
    // The node has it for the pull, and no container.
    assert!(!said.contains_key("by-pull"), "{said:?}");
    let told = shop.told(&["why", "anthropic", "--host", "prod"]);
    for words in [
        "kubectl rollout restart deployment/by-env",
        "secret/anthropic-credentials",
        "cronjob/nightly",
        "deployment/by-pull: it pulls its images with it",
    ] {
        assert!(told.text().contains(words), "{words}: {}", told.text());
    }

    // One is rolled out at once: its value may be from the kubelet's cache.
    shop.renews("by-env");
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert_ne!(verdicts(&seen)["by-env"], "stale", "it has the new value");
    assert_eq!(shop.held("by-env"), new);

    // Another pod of the same template, long after the change.
    shop.a_minute_passes();
    shop.renews("by-env-from");
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert_eq!(verdicts(&seen)["by-env-from"], "current");
    assert_eq!(shop.held("by-env-from"), new);
    shop.nothing_leaked();
}

/// A Secret that is made anew under its name is another one, whatever it holds.
#[test]
fn a_secret_that_was_made_anew_makes_nobody_current() {
    let Some(mut shop) = Shop::raise("a Secret that is made anew in a cluster") else { return };
    shop.waits_for_all();
    let old = shop.value.clone();
    shop.cluster.kubectl(&["-n", "shop", "delete", "secret", "anthropic-credentials"]);
    shop.make();
    assert_ne!(old, shop.value);
    assert_eq!(shop.held("by-env"), old);
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    // It may have been made anew with the value that it had.
    assert_eq!(verdicts(&seen)["by-env"], "likely stale");
    shop.nothing_leaked();
}

/// A node keeps a Secret that never changes as long as one of its pods takes it, and gives it to new pods: a pod that is
/// newer than the new Secret has the old value.
#[test]
fn a_secret_that_never_changes_and_was_made_anew_makes_nobody_current() {
    let Some(mut shop) = Shop::raise("a Secret that never changes in a cluster") else { return };
    shop.waits_for_all();
    let old = shop.value.clone();
    let fix = ["-n", "shop", "patch", "secret", "anthropic-credentials", "-p", "{\"immutable\":true}"];
    shop.cluster.kubectl(&fix);
    // With the next pod the node learns that it never changes.
    shop.renews("by-env");
    shop.cluster.kubectl(&["-n", "shop", "delete", "secret", "anthropic-credentials"]);
    shop.make();
    assert_ne!(old, shop.value);
    shop.cluster.kubectl(&fix);
    shop.a_minute_passes();
    shop.renews("by-env");
    assert_eq!(shop.held("by-env"), old, "the node kept it");
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert_eq!(verdicts(&seen)["by-env"], "unknown");
    shop.nothing_leaked();
}

/// A login whose Role names what it may read sees just that, and what it does not see is named.
#[test]
fn a_login_with_few_rights_sees_what_it_may_and_names_the_rest() {
    let Some(mut shop) = Shop::raise("a login with few rights at a cluster") else { return };
    shop.waits_for_all();
    shop.change();
    // Pods, and one Secret by its name.
    shop.as_service_account("by-name", scene::BY_NAME);
    let checked = shop.told(&["hosts", "check", "prod"]);
    assert!(checked.text().contains("it may get some by name"), "{}", checked.text());
    let seen = shop.why("anthropic");
    shop.is_true_of_each(&seen);
    assert_eq!(verdicts(&seen)["by-env"], "stale", "{:?}", verdicts(&seen));
    let hidden: Vec<&str> = seen.of("not_visible").iter().filter_map(|one| one["what"].as_str()).collect();
    assert!(hidden.iter().any(|what| what.contains("secrets")), "{hidden:?}");
    assert!(hidden.iter().any(|what| what.contains("configmaps")), "{hidden:?}");

    // No pods: nothing is said of any.
    shop.as_service_account("no-pods", scene::NO_PODS);
    let seen = shop.keyroll(&["scan", "--all", "--host", "prod"]);
    assert!(seen.of("instance").is_empty(), "{}", seen.text());
    assert!(seen.text().contains("pods"), "{}", seen.text());

    // Nothing at all: that is an error, and no empty answer.
    shop.as_service_account("nothing", "[]");
    shop.keyroll(&["scan", "--host", "prod"]).refused(1, "K0966", &["is forbidden"]);
    let checked = shop.told(&["hosts", "check", "prod"]);
    checked.exits(3);
    assert!(checked.text().contains("✗ secrets: it may not list secrets in shop"), "{}", checked.text());

    // What was asked: no list of Secrets that was allowed to nobody, and nothing but reading.
    let verbs = shop.verbs_of("system:serviceaccount:shop:by-name");
    assert!(!verbs.is_empty(), "it asked for nothing");
    assert!(verbs.keys().all(|(verb, _)| ["get", "list", "create"].contains(&verb.as_str())), "{verbs:?}");
    for (verb, resource) in verbs.keys().filter(|(verb, _)| verb == "create") {
        assert!(resource.starts_with("selfsubject"), "{verb} {resource}");
    }
    shop.nothing_leaked();
}

/// An API server that ends in the middle, or is not there, is an error of this host alone.
#[test]
fn an_api_server_that_is_away_is_named_and_the_other_hosts_are_shown() {
    let Some(mut shop) = Shop::raise("an API server that is away") else { return };
    shop.cluster.stop_api_server();
    let seen = shop.keyroll(&["scan", &shop.folder(), "--memory", "0", "--host", "prod", "--host", "local"]);
    seen.refused(1, "K0965", &["prod"]);
    assert!(!seen.of("scan").is_empty(), "this machine was searched: {}", seen.text());
    shop.cluster.start_api_server();
    shop.keyroll(&["scan", "--host", "prod"]).exits(0);
    let searched = shop.told(&["leaks", &shop.folder(), "--all-hosts"]);
    let left_out = "not searched, for a cluster has no folders: prod";
    assert!(searched.text().contains(left_out), "{}", searched.text());
    shop.nothing_leaked();
}

/// What `init` writes of a cluster is read again.
#[test]
fn what_init_writes_of_a_cluster_is_complete() {
    let Some(shop) = Shop::raise("init with a cluster") else { return };
    shop.waits_for_all();
    let said = shop.told(&["init", "--host", "prod", "--yes"]);
    said.exits(0);
    let written = shop.config();
    for words in [
        "{ deployment = \"by-env\", container = \"app\" }",
        "{ secret = \"anthropic-credentials\", key = \"api-key\" }",
        "cronjob = \"nightly\"",
        "statefulset = \"stateful\"",
        "daemonset = \"on-each-node\"",
    ] {
        assert!(written.contains(words), "{words}: {written}");
    }
    // Once more adds nothing.
    shop.told(&["init", "--host", "prod", "--yes"]);
    assert_eq!(shop.config(), written);
    let seen = shop.told(&["scan", "--host", "prod"]);
    seen.exits(0);
    shop.nothing_leaked();
}

/// 100 workloads with their pods: how many requests a look makes.
#[test]
fn a_hundred_workloads_are_read_with_sixteen_requests() {
    if !Kubernetes::is_here_or_skip("a hundred workloads of a cluster") {
        return;
    }
    let shop = Shop::without_node(100);
    let before = shop.requests();
    let seen = shop.keyroll(&["scan", "--all", "--host", "prod"]);
    seen.exits(0);
    let asked = shop.requests() - before;
    assert!((1..=16).contains(&asked), "{asked} requests");
    let users: BTreeSet<String> = seen
        .of("found")
        .iter()
        .flat_map(|one| one["used_by"].as_array().cloned().unwrap_or_default())
        .filter_map(|user| user["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(users.len(), 100, "{users:?}");
    shop.nothing_leaked();
}

/// Values in the wrong place: a literal in a template, a ConfigMap, an annotation of kubectl.
#[test]
fn copies_outside_of_secrets_are_found() {
    if !Kubernetes::is_here_or_skip("copies of a value in a cluster") {
        return;
    }
    let shop = Shop::without_node(0);
    let (literal, mapped) = (scene::key(), scene::key());
    shop.cluster.apply(&scene::copies(&literal, &mapped));
    shop.keep(&literal);
    shop.keep(&mapped);
    let seen = shop.keyroll(&["scan", "--all", "--host", "prod"]);
    seen.exits(0);
    let copies: Vec<String> = seen
        .of("found")
        .iter()
        .flat_map(|one| one["copies"].as_array().cloned().unwrap_or_default())
        .filter_map(|copy| copy["place"].as_str().map(str::to_owned))
        .collect();
    for place in ["deployment/with-literal", "configmap/settings"] {
        assert!(copies.iter().any(|one| one.contains(place)), "{place}: {copies:?}");
    }
    shop.nothing_leaked();
}

#[test]
fn a_secret_as_the_store_the_recipe_forward_and_back() {
    rotate("kubernetes-recipe");
}

#[test]
fn a_secret_as_the_store_is_written_once_although_keyroll_is_killed_at_each_step() {
    rotate("kubernetes-killed");
}

#[test]
fn a_secret_as_the_store_that_somebody_changed_is_not_overwritten_and_is_taken_over() {
    rotate("kubernetes-changed");
}

#[test]
fn a_secret_as_the_store_while_the_api_server_is_away_nothing_is_given_out() {
    rotate("kubernetes-away");
}

#[test]
fn a_secret_as_the_store_a_write_that_the_api_server_never_answered_is_found_out() {
    rotate("kubernetes-lost");
}

#[test]
fn a_secret_as_the_store_that_was_made_anew_with_another_value_is_not_overwritten() {
    rotate("kubernetes-anew");
}

#[test]
fn a_secret_as_the_store_of_programs_that_read_it_themselves_forward_and_back() {
    rotate("kubernetes-followed");
}

/// Without a cluster: the login cannot be read.
#[test]
fn a_refused_cluster_says_its_failure_once_unless_other_hosts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let host =
        |name: &str| format!("[hosts.{name}]\nconnect = \"kube://eks/agents\"\nkubeconfig = \"./absent\"\n");
    let config = format!("version = 1\n{}{}", host("prod"), host("stage"));
    std::fs::write(folder.path().join("keyroll.toml"), config).unwrap();
    let scan = |more: &[&str]| run(folder.path(), &[&["scan", "--host", "prod"][..], more].concat(), b"");
    let one_more: &[&str] = &["--host", "stage"];
    for (more, count) in [(&[][..], 1), (one_more, 3)] {
        let ran = scan(more);
        assert_eq!(ran.status.code(), Some(1), "{}", err(&ran));
        assert_eq!(err(&ran).matches("absent cannot be read").count(), count, "{}", err(&ran));
        assert!(err(&ran).contains("kubeconfig = \"PATH\" under [hosts.NAME]"), "{}", err(&ran));
    }
    let events = out(&scan(&["--json"]));
    assert!(events.contains("\"type\":\"not_visible\",\"what\":\"prod\""), "{events}");
    assert!(events.contains("\"type\":\"error\""), "{events}");
}
