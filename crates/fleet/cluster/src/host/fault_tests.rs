//! What is said and what is there after an answer that is lost, late or a refusal.

use hyper::Method;
use keyroll_codes::Code;
use keyroll_port::{AllowedChanges, Applied, Asked, Class, Clock as _, Host as _, Touched};
use keyroll_rotation::{ConsumerId, FileId, Reconciled, Which};
use serde_json::{Value, json};

use super::shop::{Shop, Told, no_limit, plain, reread, synced, versioned};
use crate::fake_api::Fault;
use crate::marks::REFRESH;

const AGENT: ConsumerId = ConsumerId(0);
const SECRET: &str = "/secrets/api";
const WORKLOAD: &str = "/deployments/agent";

const DONE: Reconciled = Reconciled::Executed(None);

/// A delivery of the new version whose request meets this fault: its class and code.
async fn delivery(fault: Fault) -> (Class, Code, Shop) {
    let shop = Shop::new(plain);
    shop.api.fails(Method::PATCH, SECRET, fault);
    let failure = shop.deliver(Which::New, 1).await.err().unwrap();
    assert!(shop.api.heals(), "{fault:?} was met");
    (failure.class, failure.code, shop)
}

#[tokio::test]
async fn a_delivery_without_an_answer_is_unknown_and_a_look_tells_whether_it_was_made() {
    for (fault, done) in [
        (Fault::LostAnswer, true),
        (Fault::Broken, true),
        (Fault::LostRequest, false),
        (Fault::Refused(500), false),
    ] {
        let (class, _, mut shop) = delivery(fault).await;
        assert_eq!(class, Class::Unknown, "{fault:?}");
        assert_eq!(shop.holds(Which::New), done, "{fault:?}");
        shop.takes_over();
        let wanted = if done { DONE } else { Reconciled::Absent };
        assert_eq!(shop.delivered(Which::New, 1).await, wanted, "{fault:?}");
        shop.deliver(Which::New, 1).await.unwrap();
        assert!(shop.holds(Which::New));
        let written = shop.api.with(|store| store.get("secrets", "api"))["metadata"]["managedFields"].clone();
        let by_keyroll = |one: &&Value| one["manager"] == "keyroll";
        let entry = written.as_array().unwrap().iter().find(by_keyroll).unwrap();
        assert_eq!(entry["fieldsV1"], json!({ "f:data": { "f:key": {} } }), "nothing else was written");
    }
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_says_whether_another_attempt_may_help() {
    for (fault, class, code) in [
        (Fault::Refused(409), Class::Retryable, Code::FileChanged),
        (Fault::Refused(429), Class::Retryable, Code::ClusterUnreachable),
        (Fault::Refused(503), Class::Retryable, Code::ClusterUnreachable),
        (Fault::Refused(403), Class::Permanent, Code::ClusterAccess),
        (Fault::Denied(400), Class::Permanent, Code::ClusterAccess),
        (Fault::Denied(403), Class::Permanent, Code::ClusterAccess),
        (Fault::Denied(422), Class::Permanent, Code::ClusterAccess),
    ] {
        let (found, reason, shop) = delivery(fault).await;
        assert_eq!((found, reason), (class, code), "{fault:?}");
        assert!(shop.holds(Which::Old), "{fault:?}");
        assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Absent, "{fault:?}");
        shop.deliver(Which::New, 1).await.unwrap();
        assert!(shop.holds(Which::New), "{fault:?}");
    }
}

#[tokio::test]
async fn what_a_webhook_would_deny_is_an_obstacle_before_anything_is_made() {
    let all: [(Told, &str); 3] = [(plain, SECRET), (versioned, "/secrets"), (versioned, WORKLOAD)];
    for (told, end) in all {
        for code in [400, 403, 422] {
            let shop = Shop::new(told);
            let before = (shop.secrets(), shop.agent());
            for method in [Method::PATCH, Method::POST] {
                shop.api.always_fails(method, end, Fault::Denied(code));
            }
            let against = shop.host.trial(shop.values()).await.unwrap();
            let classes: Vec<Class> = against.iter().map(|failure| failure.class).collect();
            assert_eq!(classes, [Class::Permanent], "{end} {code}");
            assert!(shop.api.heals());
            assert!(shop.host.trial(shop.values()).await.unwrap().is_empty(), "{end}");
            assert_eq!((shop.secrets(), shop.agent()), before, "{end}: a trial changes nothing");
            assert!(shop.holds(Which::Old));
        }
    }
}

#[tokio::test]
async fn a_delivery_whose_time_is_over_before_it_begins_writes_nothing() {
    let all: [(Told, &str); 3] = [(plain, SECRET), (versioned, WORKLOAD), (versioned, SECRET)];
    for (told, end) in all {
        let shop = Shop::new(told);
        let asked = Asked { intent: 1, until_ms: shop.time.monotonic_ms() + 1_000 };
        shop.api.fails(Method::GET, end, Fault::Slow(1_000));
        let late = shop.host.deliver(FileId(0), Which::New, shop.values(), asked).await.err().unwrap();
        assert_eq!((late.class, late.code), (Class::Retryable, Code::Stopped), "{end}");
        assert!(shop.api.heals() && shop.holds(Which::Old), "{end}");
        assert_eq!(shop.secrets(), ["api"], "{end}");
        assert_eq!(shop.delivered(Which::New, 1).await, Reconciled::Absent, "{end}");
    }
}

#[tokio::test]
async fn what_somebody_else_writes_in_between_stays() {
    let shop = Shop::new(plain);
    let mut first = true;
    shop.api.before(move |asked, store| {
        if asked.method == Method::PATCH && std::mem::take(&mut first) {
            store.edit(("secrets", "api"), "kubectl-label", |one| {
                one["metadata"]["labels"]["team"] = json!("a");
            });
        }
    });
    let failure = shop.deliver(Which::New, 1).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Retryable, Code::FileChanged));
    assert!(shop.holds(Which::Old));
    shop.deliver(Which::New, 1).await.unwrap();
    assert!(shop.holds(Which::New));
    let secret = shop.api.with(|store| store.get("secrets", "api"));
    assert_eq!(secret["metadata"]["labels"]["team"], "a");
    assert_eq!(secret["data"]["other"], json!("ZWxzZQ=="));
}

#[tokio::test]
async fn a_secret_that_was_made_anew_is_not_written_by_the_same_keyroll() {
    let mut shop = Shop::new(plain);
    shop.deliver(Which::New, 1).await.unwrap();
    let data = json!({ "key": shop.data(Which::New) });
    shop.api.with(|store| {
        store.remove("secrets", "api");
        store.make("secrets", "kubectl-create", json!({ "metadata": { "name": "api" }, "data": data }));
    });
    let failure = shop.deliver(Which::Old, 2).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Permanent, Code::FileChanged));
    assert!(shop.holds(Which::New));
    shop.takes_over();
    shop.deliver(Which::Old, 2).await.unwrap();
    assert!(shop.holds(Which::Old));
}

/// How often the template was changed.
fn changes(shop: &Shop) -> i64 {
    shop.agent()["metadata"]["generation"].as_i64().unwrap() - 1
}

#[tokio::test]
async fn a_roll_out_begins_once_and_not_before_every_node_has_the_new_value() {
    let shop = Shop::new(plain);
    shop.deliver(Which::New, 1).await.unwrap();
    let written = shop.time.seconds();
    for _ in 0..2 {
        let applied = shop.host.apply(AGENT, 0, no_limit(2), AllowedChanges::Accepted(&[])).await.unwrap();
        assert_eq!(applied, Applied::Done(Vec::new()));
        assert_eq!(changes(&shop), 1);
        assert!(shop.host.await_end(Touched::Consumer(AGENT), 2).await.unwrap());
        assert!(!shop.host.await_end(Touched::Consumer(AGENT), 3).await.unwrap());
    }
    let agent = shop.agent();
    assert_eq!(agent["spec"]["template"]["metadata"]["annotations"]["keyroll.dev/rolled-by"], "r1/2");
    assert!(shop.time.seconds() >= written + 31, "{} s", shop.time.seconds() - written);
}

#[tokio::test]
async fn a_roll_out_that_would_have_to_wait_too_long_does_not_begin() {
    let shop = Shop::new(plain);
    shop.deliver(Which::New, 1).await.unwrap();
    let asked = Asked { intent: 2, until_ms: shop.time.monotonic_ms() + 20_000 };
    let failure = shop.host.apply(AGENT, 0, asked, AllowedChanges::Anything).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Retryable, Code::RollOutNotDone));
    assert_eq!(changes(&shop), 0);
    assert!(shop.time.monotonic_ms() < asked.until_ms);
    shop.host.apply(AGENT, 0, no_limit(2), AllowedChanges::Anything).await.unwrap();
    assert_eq!(changes(&shop), 1);
}

#[tokio::test]
async fn a_roll_out_without_an_answer_is_unknown_and_on_record_if_it_began() {
    for (fault, began) in [(Fault::LostAnswer, 1), (Fault::Broken, 1), (Fault::LostRequest, 0)] {
        let mut shop = Shop::new(plain);
        shop.api.fails(Method::PATCH, WORKLOAD, fault);
        let failure = shop.host.apply(AGENT, 0, no_limit(2), AllowedChanges::Anything).await.err().unwrap();
        assert_eq!(failure.class, Class::Unknown, "{fault:?}");
        assert!(shop.api.heals());
        assert_eq!(changes(&shop), began, "{fault:?}");
        shop.takes_over();
        let known = shop.host.await_end(Touched::Consumer(AGENT), 2).await.unwrap();
        assert_eq!(known, began == 1, "{fault:?}");
        shop.host.apply(AGENT, 0, no_limit(2), AllowedChanges::Anything).await.unwrap();
        assert_eq!(changes(&shop), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_version_whose_delivery_has_no_answer_is_not_made_twice() {
    for (method, end, outcome) in
        [(Method::POST, "/secrets", Reconciled::Absent), (Method::PATCH, WORKLOAD, DONE)]
    {
        let mut shop = Shop::new(versioned);
        shop.api.fails(method, end, Fault::LostAnswer);
        let failure = shop.deliver(Which::New, 1).await.err().unwrap();
        assert_eq!(failure.class, Class::Unknown, "{end}");
        assert!(shop.api.heals());
        shop.takes_over();
        assert_eq!(shop.delivered(Which::New, 1).await, outcome, "{end}");
        shop.deliver(Which::New, 1).await.unwrap();
        assert_eq!(shop.delivered(Which::New, 1).await, DONE);
        assert_eq!((shop.secrets().len(), changes(&shop)), (2, 0), "{end}: a delivery begins no roll-out");
        let made = shop.noted().unwrap();
        assert!(shop.secrets().contains(&made) && shop.named() == "api", "{end}: {made}");
        assert!(shop.holds(Which::Old), "the Secret of the configuration is not touched");
    }
}

#[tokio::test]
async fn only_the_secret_of_the_version_that_was_ended_is_removed() {
    let shop = Shop::new(versioned);
    let roll_out = async |intent| {
        shop.host.apply(AGENT, 0, no_limit(intent), AllowedChanges::Anything).await.unwrap();
    };
    shop.deliver(Which::New, 1).await.unwrap();
    let made = shop.noted().unwrap();
    let version = shop.api.with(|store| store.get("secrets", &made));
    assert_eq!((&version["data"]["key"], &version["immutable"]), (&shop.data(Which::New), &json!(true)));
    shop.host.remove_superseded(shop.values(), no_limit(2)).await.unwrap();
    assert!(shop.secrets().contains(&made), "the next roll-out brings it");
    roll_out(3).await;
    assert_eq!((shop.named(), shop.noted()), (made.clone(), None));
    shop.host.remove_superseded(shop.values(), no_limit(4)).await.unwrap();
    assert!(shop.secrets().contains(&made), "the template names it");
    shop.deliver(Which::Old, 5).await.unwrap();
    assert_eq!((shop.named(), shop.noted()), (made.clone(), Some("api".to_owned())));
    shop.host.remove_superseded(shop.values(), no_limit(6)).await.unwrap();
    assert!(shop.secrets().contains(&made), "the template still names it");
    roll_out(7).await;
    assert_eq!((shop.named(), shop.noted()), ("api".to_owned(), None));
    shop.api.fails(Method::DELETE, &made, Fault::LostAnswer);
    let failure = shop.host.remove_superseded(shop.values(), no_limit(8)).await.err().unwrap();
    assert_eq!(failure.class, Class::Retryable);
    shop.host.remove_superseded(shop.values(), no_limit(8)).await.unwrap();
    assert_eq!(shop.secrets(), ["api"], "that of the configuration has the old version");
    assert_eq!(shop.delivered(Which::Old, 5).await, DONE);
}

/// A namespace where External Secrets writes the Secret; whether its controller works.
fn synced_shop(works: bool) -> Shop {
    let shop = Shop::new(synced);
    shop.api.with(|store| {
        let object = json!({
            "metadata": { "name": "from-store" },
            "spec": { "target": { "name": "api" }, "data": [{ "secretKey": "key", "remoteRef": { "key": "k" } }] },
        });
        store.make("externalsecrets", "kubectl-create", object);
    });
    let new = shop.data(Which::New);
    let mut since = None;
    let time = shop.time.clone();
    shop.api.before(move |_, store| {
        let object = store.get("externalsecrets", "from-store");
        let is_asked = object["metadata"]["annotations"]["keyroll.dev/sync"].is_string();
        let asked_at = *since.get_or_insert(time.seconds());
        if !is_asked {
            since = None;
        } else if works && time.seconds() > asked_at + 1 {
            store.edit(("secrets", "api"), "external-secrets", |one| one["data"]["key"] = new.clone());
        }
    });
    shop
}

#[tokio::test]
async fn a_fetch_returns_once_the_secret_has_the_content() {
    let shop = synced_shop(true);
    let began = shop.time.seconds();
    shop.host.fetch(AGENT, Which::New, shop.values(), no_limit(1)).await.unwrap();
    assert!(shop.holds(Which::New) && shop.time.seconds() > began);
    assert_eq!(shop.api.count(&Method::PATCH, SECRET), 0, "keyroll writes no Secret of another one");
    assert_eq!(shop.api.count(&Method::PATCH, "/externalsecrets/from-store"), 1);
}

#[tokio::test]
async fn a_fetch_of_what_is_not_written_in_time_says_what_the_secret_holds() {
    let shop = synced_shop(false);
    let asked = Asked { intent: 1, until_ms: shop.time.monotonic_ms() + 5_000 };
    let failure = shop.host.fetch(AGENT, Which::New, shop.values(), asked).await.err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Retryable, Code::CopyDiffers));
    let why = failure.source.unwrap().to_string();
    assert!(why.contains("still holds the old value"), "{why}");
    assert!(shop.time.monotonic_ms() < asked.until_ms);
}

/// A running pod that mounts the Secret.
fn mounting() -> Value {
    json!({
        "metadata": { "name": "agent-1", "labels": { "app": "agent" } },
        "spec": {
            "containers": [{ "name": "app", "volumeMounts": [{ "name": "keys", "mountPath": "/keys" }] }],
            "volumes": [{ "name": "keys", "secret": { "secretName": "api" } }],
        },
        "status": { "phase": "Running" },
    })
}

#[tokio::test]
async fn after_a_delivery_the_pods_that_mount_the_key_are_refreshed_where_that_is_allowed() {
    let stamp = |shop: &Shop| {
        let pod = shop.api.with(|store| store.get("pods", "agent-1"));
        pod["metadata"]["annotations"][REFRESH].clone()
    };
    for (fault, wanted) in [(None, json!("r1/1")), (Some(Fault::Denied(403)), Value::Null)] {
        let shop = Shop::new(reread);
        shop.api.with(|store| store.make("pods", "kube-controller-manager", mounting()));
        if let Some(fault) = fault {
            shop.api.always_fails(Method::PATCH, "/pods/agent-1", fault);
        }
        shop.deliver(Which::New, 1).await.unwrap();
        assert!(shop.holds(Which::New));
        assert_eq!(stamp(&shop), wanted);
    }
}
