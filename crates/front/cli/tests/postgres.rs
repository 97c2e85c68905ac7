//! PostgreSQL logins replaced under load, with the real binary: 300 queries a second all through, none failed.

pub(crate) mod part;
pub(crate) mod pooled;
pub(crate) mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use keyroll_testkit::command::Ran;
use keyroll_testkit::load::Tally;
use keyroll_testkit::{Deadline, until};
use tokio::sync::Mutex;

use scene::{Scene, rate};

/// The files that hold the value.
const COPIES: [&str; 3] = ["app/api.env", "billing/billing.env", "job/pgpass"];
/// How long a rotation may take to one of its moments, seconds.
const PHASE_S_MAX: u64 = 300;

/// One scene at a time: each needs its rate.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Not a test of its own: the scene starts this program again to play its other processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part() {
    part::play().await;
}

/// Whether a role may log in, whether it has a password, and its sessions, by the server's catalogue.
async fn role(scene: &Scene, name: &str) -> Option<(bool, bool, i64)> {
    let admin = scene.server.connect_admin("postgres").await.unwrap();
    let sql = "SELECT rolcanlogin, rolpassword IS NOT NULL, \
                      (SELECT count(*) FROM pg_stat_activity WHERE usename = rolname) FROM pg_authid WHERE rolname = $1";
    let row = admin.query_opt(sql, &[&name]).await.unwrap()?;
    Some((row.get(0), row.get(1), row.get(2)))
}

async fn pids(scene: &Scene) -> BTreeSet<String> {
    ["api-1", "api-2", "billing-main"].map(|name| format!("pid {}", scene.pid(name))).into()
}

/// The processes that the command saw accepted by the server on the new login.
fn exercised(ran: &Ran) -> BTreeSet<String> {
    let shown = ran.of("evidence").into_iter().filter(|event| event["grade"] == "exercised");
    shown.map(|event| event["instance"].as_str().unwrap().to_owned()).collect()
}

/// So many calls show that callers called all the time, however busy the machine was.
const CALLS_MIN: u64 = 100;

pub(crate) fn no_failure(tally: &Tally) {
    println!("callers: {} sent, {} failed, {:.0} a second", tally.sent, tally.failed, rate(tally));
    assert_eq!(tally.failed, 0, "{:?}", tally.answers);
    assert!(tally.sent >= CALLS_MIN, "only {} calls", tally.sent);
}

/// The single process's count of its own calls. Calls that its restart skipped were never sent.
async fn no_own_failure(scene: &Scene) {
    scene.end_billing().await;
    let (sent, failed) = scene.own_calls();
    println!("the single process: {sent} sent, {failed} failed");
    assert!(sent > 0 && failed == 0, "{sent} sent, {failed} failed");
}

/// The old login is dead by the server's own word and its catalogue; the new one is used.
async fn dead(scene: &Scene, old: &str, kept: &str, new: &str) {
    let answer = scene.answer(&scene.kept(kept));
    assert!(["28000", "28P01"].contains(&answer.as_str()), "{old}: {answer}");
    assert_eq!(role(scene, old).await, Some((false, false, 0)), "{old}");
    let (login, password, sessions) = role(scene, new).await.unwrap();
    assert!(login && password && sessions >= 12, "{new}: {sessions} sessions");
    for copy in ["app/api.env", "billing/billing.env"] {
        assert_eq!(scene.answer(&scene.dir().join(copy)), "accepted", "{copy}");
    }
}

async fn rotate(scene: &Scene) {
    let (id, planned) = scene.plan().await;
    let plan = planned.of("plan")[0];
    assert_eq!(plan["downtimes"], serde_json::json!(["billing"]), "the downtime is announced");
    let announced =
        plan["steps"].as_array().unwrap().iter().filter(|step| step.to_string().contains("DOWNTIME"));
    assert_eq!(announced.count(), 1, "{plan}");
    let ran = scene.run(&["apply", &id, "--confirm", "orders-db"]).await;
    ran.exits(0);
    let summary = ran.summary();
    println!("rotated: {summary}");
    assert_eq!(summary["outcome"], "done");
    assert_eq!(summary["dead_confirmed"], true);
    assert!(
        summary["downtime_s"].as_f64().is_some_and(|downtime| downtime > 0.0),
        "the downtime is measured"
    );
    let measured = ran.of("host_step").into_iter().filter(|step| step["detail"].is_string());
    assert!(measured.map(|step| &step["consumer"]).eq(["billing"]), "of one consumer: {}", ran.text);
    let (shown, running) = (exercised(&ran), pids(scene).await);
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_are_replaced_under_load() {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise("logins are replaced under load").await else { return };
    let callers = scene.callers();
    rotate(&scene).await;
    dead(&scene, "orders", "first", "orders_a").await;
    // The second rotation goes to the other slot.
    fs::copy(scene.dir().join("billing/billing.env"), scene.kept("second")).unwrap();
    rotate(&scene).await;
    dead(&scene, "orders_a", "second", "orders_b").await;
    no_failure(&callers.stop().await);
    no_own_failure(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_back_half_way_and_nothing_fails() {
    go_back_before("quiesce").await;
}

/// The old login was already disabled: a pause enables it again, and a rollback is possible.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_back_from_the_last_moment_and_nothing_fails() {
    go_back_before("decide").await;
}

async fn go_back_before(step: &str) {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise("a rotation goes back half-way").await else { return };
    let callers = scene.callers();
    for copy in COPIES {
        fs::copy(scene.dir().join(copy), scene.kept(&copy.replace('/', "-"))).unwrap();
    }
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--until", step]).await;
    ran.exits(4);
    let (shown, running) = (exercised(&ran), pids(&scene).await);
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}");
    let before = role(&scene, "orders").await;
    assert_eq!(before, Some((true, true, 0)), "all are on the new login, and the old one works");
    fs::copy(scene.dir().join("billing/billing.env"), scene.kept("new")).unwrap();
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
    let answer = scene.answer(&scene.kept("new"));
    assert!(["28000", "28P01"].contains(&answer.as_str()), "{answer}");
    assert_eq!(role(&scene, "orders_a").await, Some((false, false, 0)));
    assert_eq!(scene.answer(&scene.kept("first")), "accepted");
    let (login, password, sessions) = role(&scene, "orders").await.unwrap();
    assert!(login && password && sessions >= 12, "{sessions} sessions on the old login");
    no_failure(&callers.stop().await);
    no_own_failure(&scene).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_killed_during_a_restart_loses_nothing() {
    killed_at(&MOMENTS[1..2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_killed_at_any_moment_loses_nothing() {
    killed_at(&MOMENTS).await;
}

async fn killed_at(moments: &[&str]) {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise("a killed driver loses nothing").await else { return };
    let callers = scene.callers();
    let (mut old, mut new) = ("orders", "orders_a");
    for moment in moments {
        fs::copy(scene.dir().join("billing/billing.env"), scene.kept("before")).unwrap();
        let (id, _) = scene.plan().await;
        let driver = scene.start(&["apply", &id, "--confirm", "orders-db"]);
        let begun = || async { driver.text().contains(moment).then_some(()) };
        if until(Deadline::seconds(PHASE_S_MAX), begun).await.is_err() {
            panic!("{moment} never comes: {}", driver.text());
        }
        driver.kill();
        let ran = scene.run(&["resume", &id, "--confirm", "orders-db"]).await;
        assert_eq!(ran.code, Some(0), "killed after {moment}: {}", ran.text);
        println!("killed after {moment}, resumed: {}", ran.summary());
        assert_eq!(ran.summary()["outcome"], "done");
        dead(&scene, old, "before", new).await;
        (old, new) = (new, if new == "orders_a" { "orders_b" } else { "orders_a" });
    }
    no_failure(&callers.stop().await);
    no_own_failure(&scene).await;
}

/// Only the server's own log shows it; no consumer has a log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_login_in_the_soak_is_switched_on_again_and_named() {
    let _alone = ALONE.lock().await;
    let logged = ["logging_collector=on", "log_destination=csvlog"];
    let Some(scene) = Scene::raise_with("a forgotten login", &logged).await else { return };
    let config = scene.dir().join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("soak = \"2s\"", "soak = \"30m\"")).unwrap();
    let (id, planned) = scene.plan().await;
    assert!(
        planned.text.contains("are visible in PostgreSQL's log (csvlog) and in the logs of api"),
        "{}",
        planned.text
    );
    let driver = scene.start(&["apply", &id, "--confirm", "orders-db"]);
    let soaks = || async { driver.text().contains("\"phase\":\"soak\"").then_some(()) };
    if until(Deadline::seconds(PHASE_S_MAX), soaks).await.is_err() {
        panic!("it never soaks: {}", driver.text());
    }
    assert!(!role(&scene, "orders").await.unwrap().0, "the old login is off");
    let mut forgotten = scene.forget(&scene.kept("first"));
    let ran = driver.ended().await;
    ran.exits(6);
    assert!(!ran.of("paused").is_empty(), "{}", ran.text);
    assert!(role(&scene, "orders").await.unwrap().0, "the old login is off");
    assert_eq!(scene.answer(&scene.kept("first")), "accepted");
    let named = ran.of("blocked").into_iter().any(|event| event["holder"]["pid"] == forgotten.id());
    assert!(named, "process {} is not named: {}", forgotten.id(), ran.text);
    forgotten.kill().unwrap();
    forgotten.wait().unwrap();
    let ran = scene.run(&["abort", &id]).await;
    ran.exits(5);
    assert_eq!(scene.answer(&scene.kept("first")), "accepted");
}
