//! Rotations between two logins of PostgreSQL whose passwords Vault changes, with three instances of a service that query the
//! server without a pause: there and back, keyroll killed at the moment when Vault has turned a role, somebody else on the idle
//! login, a sealed Vault, a password that Vault changed by itself, and a rollback. No query fails in any of them.
//!
//! The fake Vault has the passwords in its memory, where a search of all processes would find them. Each scene therefore runs in
//! a namespace of processes of its own, as if Vault and the server were on another machine.

pub(crate) mod outside;
pub(crate) mod part;
pub(crate) mod scene;

use std::fs;
use std::thread;

use keyroll_testkit::TempDir;
use keyroll_testkit::command::wait;
use outside::Outside;
use scene::Scene;

use crate::kill::apart;
use crate::stores::door::{Door, End};
use crate::stores::needles::needles_of;
use crate::stores::relay::Wanted;
use crate::stores::relay::When::After;
use crate::way::listen;

/// The request that turns each role.
const TURN_A: Wanted = ("POST /v1/database/rotate-role/orders-a", "");
const TURN_B: Wanted = ("POST /v1/database/rotate-role/orders-b", "");

/// How many passwords and tokens there are before a rotation: those of the two logins and of the one that looks, and the tokens
/// of keyroll and of the service's host.
const SEEDED: usize = 5;

/// One case, in a scene of its own.
type Case = fn(&Scene);

/// The cases by name, each with how many passwords Vault makes in it.
const CASES: [(&str, usize, Case); 7] = [
    ("back", 4, there_and_back),
    ("mint", 3, killed_at_the_mint),
    ("revoke", 2, killed_at_the_revoke),
    ("idle", 2, somebody_on_the_idle_login),
    ("sealed", 2, sealed_meanwhile),
    ("itself", 8, rotated_by_itself),
    ("abort", 6, aborted),
];

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

/// One case, where this program was started as a lane: the ports of Vault, of the server and of the door, the file with what
/// the scene logs in with, and the case.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let [vault, server, door, logins, name] = words[..] else { panic!("a lane has five words") };
    let (.., case) = CASES.iter().find(|(one, ..)| *one == name).unwrap();
    let port = |word: &str| word.parse::<u16>().unwrap();
    let scene = Scene::new(port(vault), port(server), logins.as_ref(), Door(port(door)));
    case(&scene);
    // Nothing searches this process any more. The logs of Vault and of the server are searched outside.
    let values = scene.end();
    fs::write(report, serde_json::to_string(&values).unwrap()).unwrap();
}

/// Runs a case with a Vault and a server of its own, and searches their logs for every password and token.
fn run(name: &str) {
    if !apart::namespaces_or_skip(name) {
        return;
    }
    let Some(outside) = Outside::start(&format!("a rotation between static roles of Vault, {name}")) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let logins = folder.path().join("logins");
    fs::write(&logins, outside.logins()).unwrap();
    let (listener, port) = listen();
    let (vault, server) = (outside.vault.port(), outside.server.port());
    let words = format!("{vault} {server} {port} {} {name}", logins.display());
    let report = thread::scope(|scope| {
        let lane = scope.spawn(move || {
            let _end = End(Door(port));
            apart::run("static_roles::lane", &words)
        });
        outside.serve(&listener);
        lane.join().unwrap()
    });
    let values: Vec<Vec<u8>> = serde_json::from_str(&report.unwrap()).unwrap();
    let (_, made, _) = CASES.iter().find(|(one, ..)| *one == name).unwrap();
    assert_eq!(values.len(), SEEDED + made, "not every password was looked for");
    let (needles, log) = (needles_of(&values), outside.vault.log());
    assert!(log.contains("POST /v1/database/rotate-role/"), "Vault's log has no rotation: {log}");
    for text in [log, outside.server.log().unwrap()] {
        assert!(needles.is_clean(text.as_bytes()), "a log has a password");
    }
}

/// From `orders_a` to `orders_b` and then back to `orders_a`. Each role turns once for a mint and once for a revocation.
fn there_and_back(scene: &Scene) {
    scene.is_on(0);
    let first = scene.keep("first");
    scene.rotate();
    assert_eq!(scene.turns(), [1, 1]);
    scene.is_dead(&first);
    scene.is_on(1);
    let second = scene.keep("second");
    scene.rotate();
    assert_eq!(scene.turns(), [2, 2]);
    scene.is_dead(&second);
    scene.is_dead(&first);
    scene.is_on(0);
}

/// Vault has turned the idle role, and nobody hears of it: nobody has that password. The role turns once more, and no program was
/// touched meanwhile.
fn killed_at_the_mint(scene: &Scene) {
    let (first, pids) = (scene.keep("first"), scene.pids());
    let id = scene.plan();
    scene.killed(&["apply", &id, "--confirm", "orders"], TURN_B, After);
    assert_eq!(scene.turns(), [0, 1]);
    let lost = scene.kept("lost.env");
    scene.fetch(1, &lost);
    assert_eq!([scene.answer(&first), scene.answer(&lost)], ["accepted", "accepted"]);
    assert_eq!(scene.pids(), pids, "a program was restarted");
    scene.is_used(0);

    scene.run(&["resume", &id, "--confirm", "orders"]).exits(0).ended("done");
    assert_eq!(scene.turns(), [1, 2]);
    scene.is_dead(&lost);
    scene.is_dead(&first);
    scene.is_on(1);
}

/// Vault has turned the old role, and nobody hears of it: the next driver sees that, and does not turn it again.
fn killed_at_the_revoke(scene: &Scene) {
    let first = scene.keep("first");
    let id = scene.plan();
    scene.killed(&["apply", &id, "--confirm", "orders"], TURN_A, After);
    assert_eq!(scene.turns(), [1, 1]);
    scene.is_dead(&first);
    scene.is_used(1);
    scene.run(&["resume", &id, "--confirm", "orders"]).exits(0).ended("done");
    assert_eq!(scene.turns(), [1, 1], "a role was turned again");
    scene.is_on(1);
}

/// Whoever uses the idle login would be cut off by a mint: the plan refuses, and nothing turns.
fn somebody_on_the_idle_login(scene: &Scene) {
    let theirs = scene.kept("theirs.env");
    scene.fetch(1, &theirs);
    let mut somebody = scene.somebody(&theirs);
    wait("their session", || scene.sessions(1) > 0);
    scene.run(&["plan", "orders"]).refused(1, "K0144", &["orders_b", "live session"]);
    assert_eq!(scene.turns(), [0, 0]);
    assert_eq!(scene.answer(&theirs), "accepted");
    somebody.kill().unwrap();
    somebody.wait().unwrap();
    wait("the end of their session", || scene.sessions(1) == 0);
    scene.rotate();
    scene.is_dead(&theirs);
    assert_eq!(scene.turns(), [1, 1]);
    scene.is_on(1);
}

/// Sealed before a plan, and once the new password is made: programs go on, both passwords work, and the rotation waits, says for
/// what, and ends after the unseal.
fn sealed_meanwhile(scene: &Scene) {
    scene.ask("seal");
    let ran = scene.run(&["plan", "orders"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    ran.says(&["K0105", "it is sealed", "vault operator unseal"]);
    scene.ask("unseal");

    let first = scene.keep("first");
    let id = scene.until("roll");
    assert_eq!(scene.turns(), [0, 1]);
    let new = scene.kept("new.env");
    scene.fetch(1, &new);
    scene.ask("seal");
    let running = scene.start(&["resume", &id, "--confirm", "orders"]);
    running.says("that Vault is sealed", |event| event.to_string().contains("it is sealed"));
    assert_eq!([scene.answer(&first), scene.answer(&new)], ["accepted", "accepted"]);
    assert_eq!(scene.turns(), [0, 1]);
    scene.ask("unseal");
    scene.heard(running.end()).exits(0).ended("done");
    assert_eq!(scene.turns(), [1, 1]);
    scene.is_dead(&first);
    scene.is_on(1);
}

/// Vault changed the password in use by itself. Where the programs have the new one already, keyroll takes it over by the
/// command that the plan shows. Where they have not, the rotation moves them to the other login.
fn rotated_by_itself(scene: &Scene) {
    let first = scene.keep("first");
    scene.ask("rotate orders-a");
    scene.is_dead(&first);
    let ran = scene.run(&["plan", "orders"]);
    ran.exits(0).says(&["Vault has another password of", "keyroll secret import NAME"]);
    scene.fetch_and_restart(0);
    // The file has the new one by now.
    scene.run(&["plan", "orders"]).exits(1).says(&["K0302", "keyroll secret import orders"]);
    scene.take_over();
    scene.rotate();
    scene.is_on(1);
    assert_eq!(scene.roles().map(|[_, asked]| asked), [1, 1]);

    let second = scene.keep("second");
    scene.ask("rotate orders-b");
    scene.is_dead(&second);
    scene.rotate();
    scene.is_on(0);

    // The same after a rotation: the programs have Vault's password already, and keyroll takes it over.
    scene.ask("rotate orders-a");
    scene.fetch_and_restart(0);
    scene.take_over();
    scene.rotate();
    scene.is_on(1);
}

/// Before a program was moved, and once all are: the idle role turns once more, and the password of before was never changed.
fn aborted(scene: &Scene) {
    let (first, new, pids) = (scene.keep("first"), scene.kept("new.env"), scene.pids());
    for (step, turned) in [("roll", 1), ("quiesce", 3)] {
        let id = scene.until(step);
        assert_eq!(scene.turns(), [0, turned]);
        scene.fetch(1, &new);
        assert_eq!(scene.answer(&new), "accepted");
        scene.run(&["abort", &id]).exits(5).ended("rolled_back");
        assert_eq!(scene.turns(), [0, turned + 1]);
        scene.is_dead(&new);
        assert_eq!(scene.answer(&first), "accepted");
        scene.is_on(0);
        if step == "roll" {
            assert_eq!(scene.pids(), pids, "a program was restarted");
        }
    }
    scene.rotate();
    assert_eq!(scene.turns(), [1, 5]);
    scene.is_on(1);
}

#[test]
fn two_static_roles_take_turns_under_load() {
    run("back");
}

#[test]
fn killed_when_vault_has_turned_the_idle_role_nothing_is_lost() {
    run("mint");
}

#[test]
fn killed_when_vault_has_turned_the_old_role_it_is_not_turned_again() {
    run("revoke");
}

#[test]
fn somebody_who_uses_the_idle_login_stops_the_plan() {
    run("idle");
}

#[test]
fn while_vault_is_sealed_programs_go_on_and_the_revocation_waits() {
    run("sealed");
}

#[test]
fn a_password_that_vault_changed_by_itself_is_taken_over_or_left_for_the_other_login() {
    run("itself");
}

#[test]
fn an_abort_turns_the_idle_role_once_more_and_touches_no_program() {
    run("abort");
}
