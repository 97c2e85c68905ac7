use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::fake::{Fake, Link};

const FOLDER: &str = "/apis/keyroll.dev/v1alpha1/namespaces/shop/secretrotations";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const LONG: Duration = Duration::from_secs(600);

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn object() -> Value {
    json!({ "apiVersion": "keyroll.dev/v1alpha1", "kind": "SecretRotation", "spec": { "issuer": "manual" } })
}

fn put(fake: &Fake, names: &[&str]) {
    for name in names {
        fake.put(&path(name), object());
    }
}

/// One that is followed; what follows it ends with the test.
fn followed(fake: &Fake) -> (Arc<Known>, JoinHandle<()>) {
    let known = Arc::new(Known::default());
    let (cluster, by) = (fake.cluster(), Arc::clone(&known));
    let task = tokio::spawn(async move { follow(&cluster, "shop", &by).await });
    (known, task)
}

/// Waits for a condition, as the server does.
async fn until(known: &Known, is: impl Fn(&Known) -> bool) {
    let waits = async {
        while !is(known) {
            known.changed().await;
        }
    };
    timeout(LONG, waits).await.unwrap_or_else(|_| panic!("{:?} {:?}", names(known), known.troubles()));
}

fn names(known: &Known) -> Vec<String> {
    known.all().into_iter().map(|object| object.id.name).collect()
}

fn trouble(known: &Known) -> String {
    known.troubles().remove("shop").unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn objects_are_listed_and_then_watched() {
    let fake = Fake::new();
    put(&fake, &["a", "b"]);
    let (known, _task) = followed(&fake);
    assert!(!known.is_complete("shop"), "nothing was asked yet");
    until(&known, |known| known.is_complete("shop")).await;
    assert_eq!(names(&known), ["a", "b"]);
    assert!(!known.is_complete("mail"));
    put(&fake, &["c"]);
    until(&known, |known| names(known) == ["a", "b", "c"]).await;
    fake.delete(&path("a"));
    until(&known, |known| names(known) == ["b", "c"]).await;
    let mut changed = object();
    changed["metadata"] = json!({ "annotations": { "keyroll.dev/rotate": "now" } });
    fake.put(&path("b"), changed);
    until(&known, |known| known.all()[0].asks("keyroll.dev/rotate") == Some("now")).await;
    // A watch that ends goes on where it was.
    fake.end_watches();
    put(&fake, &["d"]);
    until(&known, |known| names(known) == ["b", "c", "d"]).await;
    assert_eq!(known.troubles(), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn objects_that_were_deleted_while_the_watch_was_away_disappear() {
    let fake = Fake::new();
    put(&fake, &["a", "b"]);
    let (known, _task) = followed(&fake);
    until(&known, |known| known.is_complete("shop")).await;
    // 410 is no trouble.
    fake.end_watches();
    fake.delete(&path("a"));
    put(&fake, &["c"]);
    fake.compact();
    until(&known, |known| names(known) != ["a", "b"]).await;
    assert_eq!(names(&known), ["b", "c"]);
    assert_eq!(known.troubles(), BTreeMap::new());
    // A server that is away is one, and what was seen stays.
    fake.link(Link::Cut);
    fake.end_watches();
    until(&known, |known| trouble(known).contains("reset")).await;
    assert_eq!(names(&known), ["b", "c"]);
    fake.delete(&path("b"));
    fake.link(Link::Open);
    until(&known, |known| names(known) == ["c"]).await;
    until(&known, |known| known.troubles().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_may_not_be_listed_and_a_kind_that_is_not_installed_are_troubles() {
    let fake = Fake::new();
    put(&fake, &["a"]);
    fake.refuse(Method::GET, "/secretrotations", 403);
    let (known, _task) = followed(&fake);
    until(&known, |known| trouble(known).contains("rights to list and watch secretrotations")).await;
    assert!(!known.is_complete("shop"));
    fake.heal();
    fake.refuse(Method::GET, "/secretrotations", 404);
    until(&known, |known| trouble(known).contains("kubectl apply -f")).await;
    fake.heal();
    until(&known, |known| known.is_complete("shop") && known.troubles().is_empty()).await;
    assert_eq!(names(&known), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_named_and_the_others_are_seen() {
    let fake = Fake::new();
    put(&fake, &["a"]);
    fake.put(&path("broken"), json!({ "apiVersion": "keyroll.dev/v1alpha1", "kind": "SecretRotation" }));
    let mut large = object();
    large["spec"]["text"] = "x".repeat(SPEC_BYTES_MAX).into();
    fake.put(&path("large"), large);
    let (known, _task) = followed(&fake);
    until(&known, |known| known.is_complete("shop")).await;
    assert_eq!(names(&known), ["a"]);
    let said = trouble(&known);
    assert!(
        said.contains("secretrotation broken: `spec`")
            && said.contains("secretrotation large: its `spec` has"),
        "{said}"
    );
    // They are there all the same: what counted of them counts on.
    let exist = ["a", "broken", "large", "other"].map(|name| known.may_exist("shop", name));
    assert_eq!(exist, [true, true, true, false]);
    assert!(known.may_exist("mail", "other"), "nothing was listed there");
    put(&fake, &["broken"]);
    fake.delete(&path("large"));
    until(&known, |known| known.troubles().is_empty()).await;
    assert_eq!(names(&known), ["a", "broken"]);
    assert!(!known.may_exist("shop", "large"));
    // A status is no reason to look away.
    let mut shown = object();
    shown["status"] = json!({ "message": "x".repeat(2 * SPEC_BYTES_MAX), "asked": { "rotate": "now" } });
    fake.put(&path("a"), shown);
    until(&known, |known| known.all()[0].resource_version != "1").await;
    assert_eq!(known.troubles(), BTreeMap::new());
    assert_eq!(known.all()[0].status.asked.rotate.as_deref(), Some("now"));
}

#[tokio::test(start_paused = true)]
async fn objects_for_which_there_is_no_room_are_named_and_come_in_when_there_is() {
    let fake = Fake::new();
    let all: Vec<String> = (0..OBJECTS_MAX + 2).map(|number| format!("o{number:04}")).collect();
    for name in &all {
        put(&fake, &[name.as_str()]);
    }
    let (known, _task) = followed(&fake);
    until(&known, |known| known.is_complete("shop")).await;
    assert_eq!(names(&known), all[..OBJECTS_MAX]);
    assert!(trouble(&known).contains("does not look at o1000, o1001"), "{}", trouble(&known));
    let exist = ["o0007", "o1000", "o1001", "o1002"].map(|name| known.may_exist("shop", name));
    assert_eq!(exist, [true, true, true, false]);
    fake.delete(&path("o0007"));
    until(&known, |known| names(known).contains(&"o1000".to_owned())).await;
    assert_eq!(known.all().len(), OBJECTS_MAX);
    assert!(trouble(&known).ends_with("does not look at o1001"), "{}", trouble(&known));
}

#[test]
fn of_too_many_names_none_is_known_to_be_absent() {
    let mut objects = Objects::default();
    assert!(!objects.may_have("other"));
    objects.beyond = (0..OBJECTS_MAX).map(|number| format!("o{number}")).collect();
    assert!(objects.may_have("other"));
}

#[tokio::test(start_paused = true)]
async fn what_a_write_answered_counts_at_once_and_is_no_change() {
    let fake = Fake::new();
    put(&fake, &["a"]);
    let (known, _task) = followed(&fake);
    until(&known, |known| known.is_complete("shop")).await;
    let before = known.all().remove(0);
    let mut now = before.clone();
    now.resource_version = "2".to_owned();
    now.status.message = "shown".to_owned();
    known.put(&before, now.clone());
    assert_eq!(known.all(), [now.clone()]);
    // The watch says the same: nothing changed.
    fake.put(&path("a"), object());
    assert!(timeout(Duration::from_secs(30), known.changed()).await.is_err());
    // It was seen in another version meanwhile.
    fake.put(&path("a"), object());
    until(&known, |known| known.all()[0].resource_version == "3").await;
    known.put(&before, now);
    assert_eq!(known.all()[0].resource_version, "3");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_pods_is_said_and_a_right_that_is_missing_once() {
    let fake = Fake::new();
    fake.put(&format!("{PODS}/one"), json!({ "apiVersion": "v1", "kind": "Pod" }));
    fake.refuse(Method::GET, "/pods", 403);
    let (changed, said) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let (cluster, to, says) = (fake.cluster(), Arc::clone(&changed), Arc::clone(&said));
    let say = move |text: &str| says.lock().unwrap().push(text.to_owned());
    let _task = tokio::spawn(async move { pods(&cluster, &to, &say).await });
    assert!(timeout(Duration::from_secs(300), changed.notified()).await.is_err());
    let all = said.lock().unwrap().clone();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("rights to list and watch pods in the namespace shop"), "{all:?}");
    fake.heal();
    timeout(LONG, changed.notified()).await.expect("they are listed");
    fake.put(&format!("{PODS}/two"), json!({ "apiVersion": "v1", "kind": "Pod" }));
    timeout(LONG, changed.notified()).await.expect("one came");
    fake.delete(&format!("{PODS}/one"));
    timeout(LONG, changed.notified()).await.expect("one went");
    assert!(timeout(Duration::from_secs(300), changed.notified()).await.is_err(), "nothing changes");
    assert_eq!(said.lock().unwrap().len(), 1);
}
