//! Logins of servers replaced under load, with the real binary: 300 requests a second all through, none failed.

pub(crate) mod part;
pub(crate) mod scene;
pub(crate) mod server;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use keyroll_testkit::command::Ran;
use keyroll_testkit::{Deadline, until};
use tokio::sync::Mutex;

use crate::postgres::no_failure;
use scene::Scene;
use server::{Kind, Login};

/// The files that hold the value.
const COPIES: [&str; 2] = ["app/api.env", "job/report.env"];
/// How long a rotation may take to one of its moments, seconds.
const PHASE_S_MAX: u64 = 300;

/// One scene at a time: each needs its rate.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Not a test of its own: the scene starts this program again to play its other processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part() {
    part::play().await;
}

fn pids(scene: &Scene) -> BTreeSet<String> {
    ["api-1", "api-2"].map(|name| format!("pid {}", scene.pid(name))).into()
}

/// The processes that the command saw accepted by the server on the new login.
fn exercised(ran: &Ran) -> BTreeSet<String> {
    let shown = ran.of("evidence").into_iter().filter(|event| event["grade"] == "exercised");
    shown.map(|event| event["instance"].as_str().unwrap().to_owned()).collect()
}

/// The old login is dead by the server's own word and its list; the new one is used.
async fn dead(scene: &Scene, old: &str, kept: &str, new: &str) {
    scene.refused(&scene.kept(kept), old).await;
    assert_eq!(
        scene.server.login(old).await,
        Some(Login { on: false, password: false, sessions: 0 }),
        "{old}"
    );
    let now = scene.server.login(new).await.unwrap();
    assert!(now.on && now.password && now.sessions >= 8, "{new}: {now:?}");
    for copy in COPIES {
        assert_eq!(scene.answer(&scene.dir().join(copy)), "accepted", "{copy}");
    }
}

async fn rotate(scene: &Scene) {
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--confirm", "orders"]).await;
    ran.exits(0);
    let summary = ran.summary();
    println!("rotated: {summary}");
    assert_eq!(summary["outcome"], "done");
    assert_eq!(summary["dead_confirmed"], true);
    let (shown, running) = (exercised(&ran), pids(scene));
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}");
}

/// Two rotations, each to the other slot; and a restart of the server brings nothing back.
async fn replaced_under_load(kind: Kind) {
    let _alone = ALONE.lock().await;
    let Some(mut scene) = Scene::raise(kind, "logins are replaced under load").await else { return };
    let callers = scene.callers();
    rotate(&scene).await;
    dead(&scene, "orders", "first", "orders_a").await;
    fs::copy(scene.dir().join("app/api.env"), scene.kept("second")).unwrap();
    rotate(&scene).await;
    dead(&scene, "orders_a", "second", "orders_b").await;
    no_failure(&callers.stop().await);
    scene.server.restart();
    for (kept, login) in [("first", "orders"), ("second", "orders_a")] {
        scene.refused(&scene.kept(kept), login).await;
    }
    assert_eq!(scene.answer(&scene.dir().join("app/api.env")), "accepted", "orders_b after a restart");
}

/// After that step the old login is already disabled: a pause enables it again.
async fn goes_back_before(kind: Kind, step: &str) {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise(kind, "a rotation goes back").await else { return };
    let callers = scene.callers();
    for copy in COPIES {
        fs::copy(scene.dir().join(copy), scene.kept(&copy.replace('/', "-"))).unwrap();
    }
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--until", step]).await;
    ran.exits(4);
    let before = scene.server.login("orders").await.unwrap();
    assert!(before.on && before.password, "it works: {before:?}");
    // keyroll has just tried it, and a server may list a connection for a moment after its end.
    let unused = || async { (scene.server.login("orders").await?.sessions == 0).then_some(()) };
    until(Deadline::seconds(PHASE_S_MAX), unused).await.expect("all have moved");
    fs::copy(scene.dir().join("app/api.env"), scene.kept("new")).unwrap();
    assert_eq!(scene.answer(&scene.kept("new")), "accepted");

    let ran = scene.run(&["abort", &id]).await;
    ran.exits(5);
    println!("rolled back: {}", ran.summary());
    assert_eq!(ran.summary()["outcome"], "rolled_back");
    for copy in COPIES {
        let (now, before) = (scene.dir().join(copy), scene.kept(&copy.replace('/', "-")));
        let status = Command::new("cmp").args([now, before]).status().unwrap();
        assert!(status.success(), "{copy} is what it was, byte for byte");
    }
    scene.refused(&scene.kept("new"), "orders_a").await;
    let gone = scene.server.login("orders_a").await;
    assert_eq!(gone, Some(Login { on: false, password: false, sessions: 0 }));
    let back = scene.server.login("orders").await.unwrap();
    assert!(back.on && back.password && back.sessions >= 8, "{back:?}");
    no_failure(&callers.stop().await);
}

/// A word of the stream after which the driver is killed.
const MOMENTS: [&str; 5] = [
    "\"phase\":\"probe\"",
    // The first instance is being restarted.
    "\"step\":\"delivered\"",
    "\"phase\":\"promote\"",
    "\"phase\":\"disable\"",
    "\"type\":\"decided\"",
];

async fn killed_at(kind: Kind, moments: &[&str]) {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise(kind, "a killed driver loses nothing").await else { return };
    let callers = scene.callers();
    let (mut old, mut new) = ("orders", "orders_a");
    for moment in moments {
        fs::copy(scene.dir().join("app/api.env"), scene.kept("before")).unwrap();
        let (id, _) = scene.plan().await;
        let driver = scene.start(&["apply", &id, "--confirm", "orders"]);
        let begun = || async { driver.text().contains(moment).then_some(()) };
        if until(Deadline::seconds(PHASE_S_MAX), begun).await.is_err() {
            panic!("{moment} never comes: {}", driver.text());
        }
        driver.kill();
        let ran = scene.run(&["resume", &id, "--confirm", "orders"]).await;
        assert_eq!(ran.code, Some(0), "killed after {moment}: {}", ran.text);
        println!("killed after {moment}, resumed: {}", ran.summary());
        assert_eq!(ran.summary()["outcome"], "done");
        dead(&scene, old, "before", new).await;
        (old, new) = (new, if new == "orders_a" { "orders_b" } else { "orders_a" });
    }
    no_failure(&callers.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_users_are_replaced_under_load() {
    replaced_under_load(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_rotation_goes_back_half_way() {
    goes_back_before(Kind::Redis, "quiesce").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_rotation_goes_back_from_the_last_moment() {
    goes_back_before(Kind::Redis, "decide").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_rotation_killed_during_a_restart_loses_nothing() {
    killed_at(Kind::Redis, &MOMENTS[1..2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_rotation_killed_at_any_moment_loses_nothing() {
    killed_at(Kind::Redis, &MOMENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_accounts_are_replaced_under_load() {
    replaced_under_load(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_rotation_goes_back_from_the_last_moment() {
    goes_back_before(Kind::MariaDb, "decide").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mariadb_rotation_loses_nothing() {
    killed_at(Kind::MariaDb, &MOMENTS[1..4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_users_are_replaced_under_load() {
    replaced_under_load(Kind::RabbitMq).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rabbitmq_rotation_goes_back_from_the_last_moment() {
    goes_back_before(Kind::RabbitMq, "decide").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rabbitmq_rotation_loses_nothing() {
    killed_at(Kind::RabbitMq, &MOMENTS[1..2]).await;
}
