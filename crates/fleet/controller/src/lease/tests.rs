use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::fake::{Fake, Link, Random};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/keyroll";

/// A Lease of somebody else, whose clock is far ahead.
fn of(holder: &str, renewed: &str) -> Value {
    json!({ "spec": { "holderIdentity": holder, "leaseDurationSeconds": 30, "leaseTransitions": 4,
        "acquireTime": "2150-01-01T00:00:00.000000Z", "renewTime": format!("2150-01-01T01:00:{renewed}.000000Z") } })
}

async fn taken(fake: &Fake, name: &str) -> Lease {
    acquire(&fake.cluster(), name, true, &|_: &str| {}).await.unwrap()
}

/// Takes it, and what was said meanwhile.
async fn taken_saying(fake: &Fake, name: &str, pod: bool) -> (Lease, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let say = |text: &str| said.lock().unwrap().push(text.to_owned());
    let lease = acquire(&fake.cluster(), name, pod, &say).await.unwrap();
    let said = said.lock().unwrap().clone();
    (lease, said)
}

fn has(fake: &Fake) -> String {
    fake.get(PATH).unwrap()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn transitions(fake: &Fake) -> Option<i64> {
    fake.get(PATH).unwrap()["spec"]["leaseTransitions"].as_i64()
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_has_is_taken_at_once() {
    let fake = Fake::new();
    let (_lease, said) = taken_saying(&fake, "keyroll-0", true).await;
    assert!(has(&fake).starts_with("keyroll-0_") && said.is_empty(), "{} {said:?}", has(&fake));
    let spec = &fake.get(PATH).unwrap()["spec"];
    assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&json!(30), &json!(0)));
    assert!(spec["renewTime"].is_string() && spec["acquireTime"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_waited_for_by_the_own_clock() {
    let fake = Fake::new();
    fake.put(PATH, of("mail-0_00000000", "00"));
    let began = Instant::now();
    let (_lease, said) = taken_saying(&fake, "keyroll-0", true).await;
    // The clock of the tests is exact.
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited <= Duration::from_secs(32), "{waited:?}");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("mail-0_00000000 has") && said[0].contains("since 2150-01-01T00:00:00Z"),
        "{said:?}"
    );
    assert!(has(&fake).starts_with("keyroll-0_"));
    assert_eq!(transitions(&fake), Some(5));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_is_not_taken() {
    let fake = Fake::new();
    fake.put(PATH, of("mail-0_00000000", "00"));
    let renewed = async {
        for second in 1..50 {
            sleep(Duration::from_secs(20)).await;
            fake.put(PATH, of("mail-0_00000000", &format!("{second:02}")));
        }
    };
    tokio::select! {
        () = renewed => {}
        _lease = taken(&fake, "keyroll-0") => panic!("it was renewed"),
    }
    assert_eq!(has(&fake), "mail-0_00000000");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_life_of_the_same_pod_is_not_waited_for() {
    for (holder, pod, waits) in [
        ("keyroll-0_00000000", true, false),
        ("keyroll-0_00000000", false, true),
        ("keyroll-01_00000000", true, true),
        ("keyroll-0", true, true),
    ] {
        let fake = Fake::new();
        fake.put(PATH, of(holder, "00"));
        let began = Instant::now();
        let (_lease, said) = taken_saying(&fake, "keyroll-0", pod).await;
        assert_eq!(
            (began.elapsed() >= Duration::from_secs(30), !said.is_empty()),
            (waits, waits),
            "{holder} {pod}"
        );
        assert_eq!(transitions(&fake), Some(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let fake = Fake::new();
    let first = taken(&fake, "keyroll-0").await;
    first.release().await;
    assert_eq!(has(&fake), "");
    let (_second, said) = taken_saying(&fake, "other-0", true).await;
    assert!(said.is_empty() && has(&fake).starts_with("other-0_"), "{said:?}");
    assert_eq!(transitions(&fake), Some(1));
    first.release().await;
    assert!(has(&fake).starts_with("other-0_"), "it is released by its holder only");
    assert!(first.keep().await.0.contains("other-0_"));
}

#[tokio::test(start_paused = true)]
async fn a_kept_lease_stays_and_is_lost_when_another_has_it() {
    let fake = Fake::new();
    let lease = taken(&fake, "keyroll-0").await;
    assert!(timeout(Duration::from_secs(600), lease.keep()).await.is_err(), "it is renewed");
    assert_eq!(transitions(&fake), Some(0));
    fake.put(PATH, of("mail-0_00000000", "00"));
    let lost = lease.keep().await;
    assert!(lost.0.contains("mail-0_00000000 has the Lease keyroll"), "{lost}");

    let lease = taken(&fake, "mail-0").await;
    fake.delete(PATH);
    assert!(lease.keep().await.0.contains("deleted"));
}

#[tokio::test(start_paused = true)]
async fn a_label_that_somebody_adds_does_not_end_it() {
    let fake = Fake::new();
    let lease = taken(&fake, "keyroll-0").await;
    let mut labelled = fake.get(PATH).unwrap();
    labelled["metadata"]["labels"] = json!({ "a": "b" });
    fake.put(PATH, labelled);
    assert!(timeout(Duration::from_secs(600), lease.keep()).await.is_err());
    assert_eq!(fake.get(PATH).unwrap()["metadata"]["labels"]["a"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_before_others_may_take_it() {
    for link in [Link::Cut, Link::Deaf, Link::Silent] {
        let fake = Fake::new();
        let lease = taken(&fake, "keyroll-0").await;
        let began = Instant::now();
        fake.link(link);
        let lost = lease.keep().await;
        // The clock of the tests is exact.
        assert!(began.elapsed() >= UNRENEWED_MAX, "{link:?}");
        assert!(began.elapsed() < Duration::from_secs(21), "{link:?}");
        let why = if link == Link::Silent { "does not answer" } else { "reset" };
        assert!(lost.0.contains("20 s") && lost.0.contains(why), "{lost}");
    }
    let fake = Fake::new();
    let lease = taken(&fake, "keyroll-0").await;
    fake.refuse(Method::PUT, "/leases/keyroll", 503);
    let heals = async {
        sleep(Duration::from_secs(15)).await;
        fake.heal();
        sleep(Duration::from_secs(60)).await;
    };
    tokio::select! {
        lost = lease.keep() => panic!("{lost}"),
        () = heals => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_ends_the_wait_and_is_named() {
    for (method, code, exists, named) in [
        (Method::GET, 403, false, "the right to get leases"),
        (Method::POST, 403, false, "the right to create leases"),
        (Method::PUT, 403, true, "the right to update leases"),
        (Method::POST, 404, false, "create the namespace"),
    ] {
        let fake = Fake::new();
        if exists {
            fake.put(PATH, json!({ "spec": {} }));
        }
        fake.refuse(method, "", code);
        let failure = acquire(&fake.cluster(), "keyroll-0", true, &|_: &str| {}).await.err().unwrap();
        assert_eq!(failure.class, Class::Permanent);
        assert!(failure.help.as_ref().unwrap().contains(named), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trouble_is_said_once_and_the_lease_is_taken_when_it_is_over() {
    let fake = Fake::new();
    fake.refuse(Method::GET, "", 503);
    let healed = async {
        sleep(Duration::from_secs(60)).await;
        fake.heal();
    };
    let ((_lease, said), ()) = tokio::join!(taken_saying(&fake, "keyroll-0", true), healed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("it is not ready"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_with_a_lost_answer_is_known_as_the_own() {
    let fake = Fake::new();
    let desk = Desk::new(&fake.cluster(), "keyroll-0").unwrap();
    assert!(matches!(desk.create().await, Ok(Attempt::Taken(_))));
    assert!(matches!(desk.attempt(None, &mut None).await, Ok(Attempt::Taken(_))));
    assert_eq!(transitions(&fake), Some(0));
}

/// Takes it and keeps it, again and again. `having`: how many believe that they have it.
async fn contend(server: Fake, name: &'static str, having: Arc<AtomicUsize>, wins: Arc<AtomicUsize>) {
    loop {
        let lease = acquire(&server.cluster(), name, false, &|_: &str| {}).await.unwrap();
        assert_eq!(having.fetch_add(1, Ordering::SeqCst), 0, "two have it");
        wins.fetch_add(1, Ordering::SeqCst);
        lease.keep().await;
        having.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_that_race_never_two_have_it_and_one_has_it_in_the_end() {
    let mut won = 0;
    for seed in 0..50 {
        let (fake, mut random, mut tasks) = (Fake::new(), Random(seed), JoinSet::new());
        match random.below(3) {
            0 => drop(fake.put(PATH, of("mail-0_00000000", "00"))),
            1 => drop(fake.put(PATH, json!({ "spec": {} }))),
            _ => {}
        }
        let (having, wins) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut servers = Vec::new();
        for name in ["a", "b", "c"] {
            let server = fake.slow(random.below(u64::MAX));
            servers.push(server.clone());
            tasks.spawn(contend(server, name, Arc::clone(&having), Arc::clone(&wins)));
        }
        for _ in 0..30 {
            let link = match random.below(6) {
                0 => Link::Cut,
                1 => Link::Deaf,
                2 => Link::Silent,
                _ => Link::Open,
            };
            let which = usize::try_from(random.below(3)).unwrap();
            servers[which].link(link);
            sleep(Duration::from_millis(random.below(30_000))).await;
        }
        for server in &servers {
            server.link(Link::Open);
        }
        sleep(Duration::from_secs(120)).await;
        if let Some(ended) = tasks.try_join_next() {
            panic!("seed {seed}: {ended:?}");
        }
        assert_eq!(having.load(Ordering::SeqCst), 1, "seed {seed}");
        won += wins.load(Ordering::SeqCst);
        tasks.shutdown().await;
    }
    assert!(won > 50, "it was taken over: {won}");
}
