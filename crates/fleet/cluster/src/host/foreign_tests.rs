//! A value of somebody else between two steps, and checks before anything is made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use keyroll_codes::Code;
use keyroll_config::{Check, Config};
use keyroll_port::{AllowedChanges, Applied, Class, Clock as _, Failure, Host as _, Sessions, Values};
use keyroll_rotation::{ConsumerId, Holds, Reconciled, Which};
use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::shop::{Shop, no_limit, plain, versioned};
use super::{KeySetup, PodsSetup};
use crate::fake_api::Store;

const AGENT: ConsumerId = ConsumerId(0);
const WORKLOAD: &str = "/deployments/agent";

/// Somebody puts another value into the key.
fn overwrite(store: &mut Store) {
    let other = json!(STANDARD.encode(alphanumeric(40)));
    store.edit(("secrets", "api"), "kubectl-patch", |secret| secret["data"]["key"] = other);
}

/// Somebody removes the key; with `all`, the other ones as well.
fn remove_key(shop: &Shop, all: bool) {
    shop.api.with(|store| {
        store.edit(("secrets", "api"), "kubectl-patch", |secret| {
            if all {
                secret.as_object_mut().unwrap().remove("data");
            } else {
                secret["data"].as_object_mut().unwrap().remove("key");
            }
        });
    });
}

async fn roll_out(shop: &Shop) -> Result<Applied, Failure> {
    shop.host.apply(AGENT, 0, no_limit(2), AllowedChanges::Anything).await
}

#[tokio::test]
async fn a_value_that_somebody_writes_while_a_roll_out_waits_is_not_rolled_out() {
    // Before the Secret is read for its time, and after that.
    for end in ["/secrets/api", WORKLOAD] {
        let shop = Shop::new(plain);
        shop.deliver(Which::New, 1).await.unwrap();
        let (time, written) = (shop.time.clone(), shop.time.monotonic_ms());
        let mut is_due = true;
        shop.api.before(move |asked, store| {
            let now = time.monotonic_ms() > written + 10_000 && asked.path.ends_with(end);
            if now && std::mem::take(&mut is_due) {
                overwrite(store);
            }
        });
        let before = shop.agent();
        let failure = roll_out(&shop).await.err().unwrap();
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::FileChanged), "{end}");
        let why = failure.source.unwrap().to_string();
        assert!(why.contains("kubectl-patch") && why.contains("nothing was rolled out"), "{why}");
        assert!(failure.help.unwrap().contains(r#"-p '[{"op":"remove","path":"/data/key"}]'"#));
        assert_eq!(shop.agent(), before);
        assert_eq!(shop.api.count(&Method::PATCH, WORKLOAD), 0);
    }
}

#[tokio::test]
async fn a_line_end_behind_the_value_keeps_nobody_from_a_roll_out() {
    let shop = Shop::new(plain);
    shop.deliver(Which::New, 1).await.unwrap();
    let value = shop.values().new.unwrap().get("value").unwrap().value.duplicate();
    let text = [value.expose(), b"\n"].concat();
    shop.api.with(|store| {
        store.edit(("secrets", "api"), "kubectl-edit", |one| {
            one["data"]["key"] = json!(STANDARD.encode(text))
        });
    });
    assert_eq!(roll_out(&shop).await.unwrap(), Applied::Done(Vec::new()));
}

#[tokio::test]
async fn a_secret_of_a_version_that_somebody_made_anew_is_not_rolled_out() {
    let shop = Shop::new(versioned);
    shop.deliver(Which::New, 1).await.unwrap();
    let noted = shop.noted().unwrap();
    shop.api.with(|store| {
        store.remove("secrets", &noted);
        let data = json!({ "key": STANDARD.encode(alphanumeric(40)) });
        store.make("secrets", "kubectl-create", json!({ "metadata": { "name": noted }, "data": data }));
    });
    let before = shop.agent();
    let failure = roll_out(&shop).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Permanent, Code::FileChanged));
    assert_eq!(shop.agent(), before);
}

#[tokio::test]
async fn a_keyroll_that_was_given_no_values_compares_nothing() {
    let mut shop = Shop::new(plain);
    shop.deliver(Which::New, 1).await.unwrap();
    shop.api.with(overwrite);
    shop.takes_over();
    roll_out(&shop).await.unwrap();
    assert_eq!(shop.api.count(&Method::PATCH, WORKLOAD), 1);
}

#[tokio::test]
async fn a_key_that_somebody_removed_is_written_again_and_nothing_else() {
    for all in [false, true] {
        let shop = Shop::new(plain);
        shop.api.with(overwrite);
        let failure = shop.deliver(Which::New, 1).await.err().unwrap();
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::CopyDiffers));
        let help = failure.help.unwrap();
        let command =
            r#"kubectl -n shop patch secret api --type=json -p '[{"op":"remove","path":"/data/key"}]'"#;
        assert!(help.contains(command), "{help}");
        assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Foreign);
        remove_key(&shop, all);
        assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Absent);
        let looked = shop.host.enumerate(shop.values(), &Sessions::default(), Which::New).await.unwrap();
        assert_eq!(looked.enumeration.files[0].1, Holds::Other);
        shop.deliver(Which::New, 1).await.unwrap();
        assert!(shop.holds(Which::New));
        assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Executed(None));
        let secret = shop.api.with(|store| store.get("secrets", "api"));
        assert_eq!(secret["data"].as_object().unwrap().len(), if all { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_key_of_a_version_is_not_added_to_the_secret_that_somebody_emptied() {
    let shop = Shop::new(versioned);
    remove_key(&shop, false);
    let failure = shop.deliver(Which::New, 1).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Permanent, Code::CopyDiffers));
    assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Foreign);
}

/// The consumer has a check.
fn checked() -> (KeySetup, PodsSetup) {
    let text = "version = 1\n\
                [hosts.prod]\nconnect = \"kube://eks/shop\"\n\
                [secrets.acme]\nissuer = \"openrouter\"\n\
                [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\n\
                runs = { deployment = \"agent\" }\nreads = { secret = \"api\", key = \"key\" }\n\
                check = { exec = [\"/app/check\"] }\n";
    let config = Config::parse(text, "/etc/keyroll/keyroll.toml").unwrap();
    let consumer = config.secrets.values().flat_map(|secret| &secret.consumers).next().unwrap();
    let check = consumer.check.as_ref().and_then(Check::command).cloned();
    let (key, pods) = plain();
    (key, PodsSetup { checks: vec![check], ..pods })
}

/// The pod of a Job whose check ended with exit code 7.
fn failed_pod(job: &str) -> Value {
    let end = json!({ "terminated": { "exitCode": 7, "reason": "Error" } });
    let check = json!({ "name": "app", "ready": false, "restartCount": 0, "image": "i", "imageID": "i", "state": end });
    json!({
        "metadata": { "name": format!("{job}-x"), "labels": { "job-name": job } },
        "status": { "phase": "Failed", "containerStatuses": [check] },
    })
}

/// Each Job ends as soon as it may begin: that with the value, and its control.
fn ends_jobs(shop: &Shop, passes: bool, control: bool) {
    shop.api.before(move |_, store| {
        let mut all = Vec::new();
        for name in store.names("jobs") {
            let mut job = store.get("jobs", &name);
            if job["spec"]["suspend"] == json!(false) && job["status"].is_null() {
                let passes = if name.ends_with("-control") { control } else { passes };
                let word = if passes { "Complete" } else { "Failed" };
                job["status"] = json!({ "conditions": [{ "type": word, "status": "True" }] });
                if !passes {
                    store.make("pods", "kube-controller-manager", failed_pod(&name));
                }
            }
            all.push(job);
        }
        store.replace("jobs", all);
    });
}

/// The Jobs that are there.
fn jobs(shop: &Shop) -> Vec<String> {
    shop.api.with(|store| store.names("jobs"))
}

#[tokio::test]
async fn a_check_that_works_with_the_present_value_is_no_obstacle_and_leaves_nothing() {
    let shop = Shop::new(checked);
    ends_jobs(&shop, true, false);
    assert!(shop.host.trial(shop.values()).await.unwrap().is_empty());
    assert_eq!(shop.api.count(&Method::POST, "/jobs"), 2);
    assert!(jobs(&shop).is_empty());
    assert_eq!(shop.secrets(), ["api"]);
    // It is remembered.
    assert!(shop.host.trial(shop.values()).await.unwrap().is_empty());
    assert_eq!(shop.api.count(&Method::POST, "/jobs"), 2);
}

#[tokio::test]
async fn a_check_that_never_works_is_an_obstacle_before_anything_is_made() {
    for (passes, control) in [(false, false), (true, true)] {
        let shop = Shop::new(checked);
        ends_jobs(&shop, passes, control);
        // It is asked again each time, since somebody may have mended it.
        for _ in 0..2 {
            let against = shop.host.trial(shop.values()).await.unwrap();
            let [failure] = against.as_slice() else { panic!("{against:?}") };
            assert_eq!((failure.class, failure.code), (Class::Permanent, Code::CheckUnusable));
            let help = failure.help.as_ref().unwrap();
            assert_eq!(jobs(&shop).len(), usize::from(!passes), "that of a check that failed is kept");
            assert!(jobs(&shop).iter().all(|job| help.contains(job.as_str())), "{help}");
        }
        ends_jobs(&shop, true, false);
        assert!(shop.host.trial(shop.values()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_check_is_not_tried_with_a_dead_value_nor_where_something_else_is_against() {
    let shop = Shop::new(checked);
    ends_jobs(&shop, false, false);
    let dead = Values { old_ended: true, ..shop.values() };
    assert!(shop.host.trial(dead).await.unwrap().is_empty());
    shop.api.with(overwrite);
    let against = shop.host.trial(shop.values()).await.unwrap();
    assert_eq!(against.iter().map(|failure| failure.code).collect::<Vec<_>>(), [Code::CopyDiffers]);
    assert_eq!(shop.api.count(&Method::POST, "/jobs"), 0);
}

#[tokio::test]
async fn a_check_without_an_answer_in_time_is_not_visible_and_no_obstacle() {
    let shop = Shop::new(checked);
    let began = shop.time.monotonic_ms();
    assert!(shop.host.trial(shop.values()).await.unwrap().is_empty());
    assert!(shop.time.monotonic_ms() <= began + 40_000);
    let looked = shop.host.enumerate(shop.values(), &Sessions::default(), Which::New).await.unwrap();
    let line = looked.not_visible.iter().find(|line| line.contains("check of 'agent'")).unwrap();
    assert!(line.contains("present value"), "{line}");
}
