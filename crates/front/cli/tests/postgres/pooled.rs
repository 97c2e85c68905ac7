//! The same where services reach the server through a PgBouncer: with the login in its list, or asked of the server.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use keyroll_testkit::load::Callers;
use keyroll_testkit::{Deadline, until, write_program};

use super::scene::{Scene, Way};
use super::{ALONE, PHASE_S_MAX, exercised, no_failure, role};

/// Both instances were seen on the new login: the pooler shows which process uses it.
fn pids(scene: &Scene) -> BTreeSet<String> {
    ["api-1", "api-2"].map(|name| format!("pid {}", scene.pid(name))).into()
}

fn list(scene: &Scene) -> PathBuf {
    scene.dir().join("pooler/userlist.txt")
}

/// The users of the pooler's list. The test itself never reads it: it would hold the value.
fn users(scene: &Scene) -> Vec<String> {
    let mut names = Command::new("sed");
    let output = names.args(["-n", r#"s/^"\([^"]*\)".*/\1/p"#]).arg(list(scene)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The old login is dead through the pooler too, nothing of it is open, and the new one is used.
async fn dead(scene: &Scene, old: &str, new: &str) {
    assert_eq!(role(scene, old).await, Some((false, false, 0)), "{old}");
    let (login, password, sessions) = role(scene, new).await.unwrap();
    assert!(login && password && sessions > 0, "{new}: {sessions} sessions");
    assert_ne!(scene.answer(&scene.kept("first")), "accepted");
    assert_eq!(scene.answer(&scene.dir().join("app/api.env")), "accepted");
}

async fn rotate(scene: &Scene) {
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--confirm", "orders-db"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    println!("rotated: {}", ran.summary());
    assert_eq!(ran.summary()["outcome"], "done");
    assert_eq!(ran.summary()["dead_confirmed"], true);
    let (shown, running) = (exercised(&ran), pids(scene));
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}");
    assert_eq!(ran.summary()["residues"], serde_json::json!([]), "{}", ran.summary());
}

/// Under load, the first rotation is rolled back half-way; the second is killed in the middle and resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_replaced_through_a_pooler_with_a_list() {
    let _alone = ALONE.lock().await;
    let what = "a login is replaced through a pooler with a list";
    let Some(scene) = Scene::raise_pooled(Way::List, what).await else { return };
    let callers = scene.callers();
    go_back(&scene).await;
    let (id, _) = scene.plan().await;
    let driver = scene.start(&["apply", &id, "--confirm", "orders-db"]);
    let begun = || async { driver.text().contains("\"phase\":\"promote\"").then_some(()) };
    if until(Deadline::seconds(PHASE_S_MAX), begun).await.is_err() {
        panic!("it never comes to promote: {}", driver.text());
    }
    driver.kill();
    assert_eq!(users(&scene), ["stats", "orders", "orders_a", "someone"], "both are let in");
    let ran = scene.run(&["resume", &id, "--confirm", "orders-db"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(users(&scene), ["stats", "orders_a", "someone"], "the old one's line is gone");
    dead(&scene, "orders", "orders_a").await;
    no_failure(&callers.stop().await);
}

async fn go_back(scene: &Scene) {
    let before = scene.kept("userlist");
    fs::copy(list(scene), &before).unwrap();
    // A line of an earlier time that has the next one's name.
    let mut append = Command::new("sed");
    append.args(["-i", r#"$a "orders_a" "gone""#]).arg(list(scene));
    assert!(append.status().unwrap().success());
    let ran = scene.run(&["plan", "orders-db"]).await;
    assert!(ran.code != Some(0) && ran.text().contains("K0144"), "{}", ran.text());
    fs::copy(&before, list(scene)).unwrap();
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--until", "decide"]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.text());
    let (shown, running) = (exercised(&ran), pids(scene));
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}");
    assert_eq!(users(scene), ["stats", "orders", "orders_a", "someone"]);
    // A consumer that cannot be rolled back keeps using the new login through the pooler, which was rolled back.
    let (env, restart) = (scene.dir().join("app/api.env"), scene.dir().join("app/restart.sh"));
    fs::copy(&env, scene.kept("second")).unwrap();
    let works = fs::read(&restart).unwrap();
    write_program(&restart, "#!/bin/sh\nexit 1\n");
    let ran = scene.run(&["abort", &id]).await;
    assert!(ran.code != Some(5) && ran.text().contains("stuck"), "{}", ran.text());
    assert_eq!(users(scene), ["stats", "orders", "orders_a", "someone"]);
    assert_eq!(scene.answer(&scene.kept("second")), "accepted");
    write_program(&restart, works);
    let ran = scene.run(&["retry", &id]).await;
    assert_eq!(ran.code, Some(5), "{}", ran.text());
    let status = Command::new("cmp").args([list(scene), before]).status().unwrap();
    assert!(status.success(), "the list is what it was, byte for byte");
    assert_eq!(role(scene, "orders_a").await, Some((false, false, 0)));
    assert_eq!(scene.answer(&scene.kept("first")), "accepted");
}

/// Nothing of the pooler is a copy, and its clients are seen all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_replaced_through_a_pooler_that_asks_the_server() {
    let _alone = ALONE.lock().await;
    let what = "a login is replaced through a pooler that asks the server";
    let Some(scene) = Scene::raise_pooled(Way::Asked, what).await else { return };
    let callers: Callers = scene.callers();
    rotate(&scene).await;
    dead(&scene, "orders", "orders_a").await;
    no_failure(&callers.stop().await);
}

/// A pooler that logs in by itself is a consumer like any other. The server shows which login it uses, so keyroll
/// notices a verb that does not apply the new login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_logs_in_by_itself_counts_when_it_was_told() {
    let _alone = ALONE.lock().await;
    let what = "a pooler that logs in by itself counts when it was told";
    let Some(scene) = Scene::raise_pooled(Way::Forced, what).await else { return };
    // Clients of its own that come and go.
    let mut clients = scene.forget(&scene.kept("web"));
    rotate_forced(&scene).await;
    assert_eq!(scene.answer(&scene.kept("web")), "accepted", "its clients have logins of their own");
    // It reads its file at a reload only.
    let config = scene.dir().join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("signal = \"HUP\"", "rereads = true")).unwrap();
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--confirm", "orders-db"]).await;
    assert!(ran.code.is_some_and(|code| code != 0), "{}", ran.text());
    let (login, password, _) = role(&scene, "orders_a").await.unwrap();
    assert!(login && password, "what it uses is not ended: {}", ran.text());
    assert_eq!(scene.answer(&scene.kept("web")), "accepted");
    clients.kill().unwrap();
    clients.wait().unwrap();
}

async fn rotate_forced(scene: &Scene) {
    let (id, _) = scene.plan().await;
    let ran = scene.run(&["apply", &id, "--confirm", "orders-db"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(ran.summary()["dead_confirmed"], true);
    assert_eq!(role(scene, "orders").await, Some((false, false, 0)));
    let (login, password, sessions) = role(scene, "orders_a").await.unwrap();
    assert!(login && password && sessions > 0, "{sessions} sessions");
}
