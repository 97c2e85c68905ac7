//! One Debian host as people run it: PostgreSQL 15 behind PgBouncer, Redis, two units of a template, a job of cron, a service of
//! compose with `init: true`, and workers that somebody started by hand. Its secrets are rotated while everything that uses
//! them calls all the time, and no call fails.

pub(crate) mod part;
pub(crate) mod scene;

use std::fs;
use std::process::Command;

use keyroll_testkit::command::Ran;
use tokio::sync::Mutex;

use crate::servers::server::Login;
use scene::{HANDS, Scene, exercised};

/// The copies that keyroll.toml names before anything is adopted.
const COPIES: [&str; 4] = ["pooler/userlist.txt", "shop/shop.env", "bill/bill.env", "job/job.env"];

/// The most calls of one kind that an adoption makes.
const CALLS_MAX: u64 = 60;

/// Calls of the units while one secret is rotated, at least: the others may come before and after.
const MEANWHILE: u64 = 1_000;

/// One scene at a time: each needs its rate.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Not a test of its own: the scene starts this program again to play its other processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part() {
    part::play().await;
}

/// The words of an adoption of a worker that was started by hand.
fn adoption<'a>(
    pid: &'a str,
    name: &'a str,
    restart: &'a str,
    files: &'a [String; 2],
    variable: &'a str,
) -> Vec<&'a str> {
    let [pid_file, env_file] = files;
    let who = ["consumer", "adopt", pid, "--secret", "orders-db", "--name", name, "--restart", restart];
    let copy = ["--pid-file", pid_file, "--env-file", env_file, "--variable", variable];
    [&who[..], &copy].concat()
}

/// What names a worker's process, and what it reads.
fn files(hand: &str) -> [String; 2] {
    [format!("run/hand-{hand}.pid"), format!("hand/{hand}.env")]
}

async fn adopted(scene: &Scene, hand: &str) -> Ran {
    let (pid, name) = (scene.hand(hand), format!("hand-{hand}"));
    let restart = format!("hand/restart.sh {hand}");
    scene.run(&adoption(&pid, &name, &format!("./{restart}"), &files(hand), "DATABASE_URL")).await
}

/// A rotation that has moved every declared consumer, and waits because workers that nobody declared use the old login; its id.
async fn waits_for_hands(scene: &Scene) -> String {
    let id = scene.plan("orders-db").await;
    let ran = scene.run(&["apply", &id, "--confirm", "orders-db"]).await;
    ran.exits(6).says(&["undeclared process"]);
    for hand in HANDS {
        ran.says(&[&format!("keyroll consumer adopt {}", scene.hand(hand))]);
    }
    assert_eq!(scene.listed(), ["stats", "orders", "orders_a", "someone"], "both are let in");
    id
}

/// The rotation ended forward: every user was seen on the new login, and the old one is dead, also through the pooler.
async fn moved(scene: &Scene, ran: &Ran) {
    ran.exits(0).ended("done");
    println!("rotated: {}", ran.summary());
    assert_eq!(ran.summary()["dead_confirmed"], true, "{}", ran.text);
    assert_eq!(scene.role("orders").await, Some((false, false, 0)));
    let (login, password, sessions) = scene.role("orders_a").await.unwrap();
    assert!(login && password && sessions > 0, "{sessions} sessions");
    assert_ne!(scene.answer(&scene.kept("first")), "accepted");
    for copy in part::WITH_URL {
        assert_eq!(scene.answer(&scene.dir().join(copy)), "accepted", "{copy}");
    }
    assert_eq!(scene.listed(), ["stats", "orders_a", "someone"], "the old one's line is gone");
}

/// Rolled back before the old login is disabled: every copy is what it was, byte for byte, and everything works with the old
/// login.
async fn back(scene: &Scene) {
    for copy in COPIES {
        fs::copy(scene.dir().join(copy), scene.kept(&copy.replace('/', "-"))).unwrap();
    }
    let id = scene.plan("orders-db").await;
    let ran = scene.run(&["apply", &id, "--until", "quiesce"]).await;
    ran.exits(4).paused();
    let (shown, mut running) = (exercised(&ran), scene.users());
    for hand in HANDS {
        assert!(running.remove(&format!("pid {}", scene.hand(hand))), "it is one of them");
    }
    assert!(running.is_subset(&shown), "{shown:?} of {running:?}: {}", ran.text);
    scene.run(&["abort", &id]).await.exits(5).ended("rolled_back");
    for copy in COPIES {
        let (now, before) = (scene.dir().join(copy), scene.kept(&copy.replace('/', "-")));
        let status = Command::new("cmp").args([now, before]).status().unwrap();
        assert!(status.success(), "{copy} is what it was");
    }
    assert_eq!(scene.role("orders_a").await, Some((false, false, 0)));
    for copy in part::WITH_URL {
        assert_eq!(scene.answer(&scene.dir().join(copy)), "accepted", "{copy}");
    }
}

/// Forward: two workers that somebody started by hand hold the rotation up, and are adopted into it.
async fn forward(scene: &Scene) {
    let id = waits_for_hands(scene).await;
    let before = HANDS.map(|hand| scene.hand(hand));
    for hand in HANDS {
        // The URL is found out, although only its variable was named.
        adopted(scene, hand).await.exits(0).says(&["url", &format!("keyroll resume {id}")]);
    }
    let ran = scene.run(&["resume", &id, "--confirm", "orders-db"]).await;
    moved(scene, &ran).await;
    assert!(HANDS.iter().zip(before).all(|(hand, before)| scene.hand(hand) != before), "both were restarted");
    let (shown, users) = (exercised(&ran), scene.users());
    for hand in HANDS {
        let pid = format!("pid {}", scene.hand(hand));
        assert!(shown.contains(&pid) && users.contains(&pid), "{hand}: {pid} of {shown:?}");
    }
}

/// The other secret of the same host.
async fn second_secret(scene: &Scene) {
    let id = scene.plan("cache").await;
    let ran = scene.run(&["apply", &id, "--confirm", "cache"]).await;
    ran.exits(0).ended("done");
    println!("rotated: {}", ran.summary());
    let dead = Login { on: false, password: false, sessions: 0 };
    assert_eq!(scene.redis.login("orders").await, Some(dead));
    let now = scene.redis.login("orders_a").await.unwrap();
    assert!(now.on && now.password && now.sessions > 0, "{now:?}");
}

/// Red: a consumer is not moved, or not moved back; a call fails; the program below docker-init is not taken for the instance,
/// and everything is rolled back for it; a worker that nobody declared goes unseen, and the old login is revoked under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debian_host_is_rotated_back_and_forward_and_no_call_fails() {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise("a Debian host is rotated back and forward").await else { return };
    let found = scene.found();
    println!("{found}");
    for part in ["shop@", "cache@", "service = \"bill\""] {
        assert!(found.contains(part), "`init` does not find {part}: {found}");
    }
    scene.configure().await;
    let load = scene.load().await;
    back(&scene).await;
    let before = load.sent();
    forward(&scene).await;
    let meanwhile = load.sent() - before;
    println!("{meanwhile} requests while a secret was rotated");
    assert!(meanwhile >= MEANWHILE, "only {meanwhile} requests while it was rotated");
    second_secret(&scene).await;
    scene.no_failure(load).await;
}

/// Nothing of keyroll.toml changed in an adoption that was refused.
async fn refused(scene: &Scene, words: &[&str], code: &str) {
    let before = scene.config();
    scene.run(words).await.refused(1, code, &[]);
    assert_eq!(scene.config(), before, "{words:?}");
}

/// An adoption that is killed at each of its calls of a kind is finished by the same command.
async fn finished(scene: &Scene, call: &'static str, words: &[&str]) {
    let kills = scene.killed_at_each(call, CALLS_MAX, words);
    println!("an adoption was killed at {kills} calls of {call}");
    assert!(kills >= 2, "killed {kills} times at {call}");
    scene.run(words).await.exits(0).says(&["already a consumer"]);
}

/// Red: an adoption that was killed cannot be finished, or one that is wrong is accepted and locks the rotation; or a correction
/// does not reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adoptions_that_were_killed_or_wrong_are_finished_and_put_right() {
    let _alone = ALONE.lock().await;
    let Some(scene) = Scene::raise("adoptions that were killed or wrong").await else { return };
    if !scene.traces() {
        eprintln!("left out: strace may not trace: adoptions that were killed or wrong");
        return;
    }
    scene.configure().await;
    let load = scene.load().await;
    let id = waits_for_hands(&scene).await;
    let [a, b] = HANDS.map(|hand| scene.hand(hand));
    let [its, other] = HANDS.map(files);
    // What can never work is refused at once: a command that is not there, and a variable without the value.
    let nowhere = adoption(&a, "hand-a", "./hand/nowhere.sh a", &its, "DATABASE_URL");
    refused(&scene, &nowhere, "K0404").await;
    refused(&scene, &adoption(&a, "hand-a", "./hand/restart.sh a", &its, "NOWHERE"), "K0811").await;
    let right = adoption(&a, "hand-a", "./hand/restart.sh a", &its, "DATABASE_URL");
    finished(&scene, "fsync", &right).await;
    // What is wrong is seen only when it runs: a command that fails.
    let wrong = adoption(&b, "hand-b", "./hand/wrong.sh b", &other, "DATABASE_URL");
    finished(&scene, "pwrite64", &wrong).await;
    for name in ["hand-a", "hand-b"] {
        let config = scene.config();
        assert_eq!(config.matches(&format!("name = \"{name}\"")).count(), 1, "{config}");
    }
    let ran = scene.run(&["resume", &id, "--confirm", "orders-db"]).await;
    assert!(ran.exits(6).paused()["reason"].as_str().unwrap().contains("hand-b"), "{}", ran.text);
    assert_eq!(scene.hand("b"), b, "nothing was restarted");
    let config = scene.config();
    assert!(config.contains("./hand/wrong.sh"), "{config}");
    let corrected = config.replace("./hand/wrong.sh", "./hand/restart.sh");
    fs::write(scene.dir().join("keyroll.toml"), corrected).unwrap();
    let correct = ["consumer", "correct", "hand-b", "--secret", "orders-db"];
    scene.run(&correct).await.exits(0).says(&["from now on", &format!("keyroll retry {id}")]);
    scene.run(&["retry", &id]).await;
    let ran = scene.run(&["resume", &id, "--confirm", "orders-db"]).await;
    moved(&scene, &ran).await;
    assert!(scene.hand("a") != a && scene.hand("b") != b, "both were restarted");
    scene.no_failure(load).await;
}
