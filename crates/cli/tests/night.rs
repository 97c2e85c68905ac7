//! A night with a leaked key, with the shipped program: what a person types first must work, or be refused before
//! anything is lost.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "hostile/issuer.rs"]
mod issuer;
#[path = "hostile/ran.rs"]
mod ran;
#[path = "hostile/request.rs"]
mod request;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "hostile/worker.rs"]
mod worker;

use std::fs;

use scene::Scene;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

/// The new key copies settings that the issuer forgets together with the old one.
const COPIES: &str = r#"
[op.get]
as = "admin"
request = { method = "PATCH", url = "http://127.0.0.1:@PORT@/v1/keys/{current.id}", json = { note = "" } }
ok = [{ status = [200] }]
copy = { off = "/disabled" }

[op.mint]
as      = "admin"
request = { method = "POST", url = "http://127.0.0.1:@PORT@/v1/keys", json = { name = "{label}", disabled = "{copy.off}" } }
"#;

fn copying(spec: &mut String, port: u16) {
    let copies = COPIES.replace("@PORT@", &port.to_string());
    let begin = spec.find("[op.mint]").unwrap();
    let end = begin + spec[begin..].find("ok ").unwrap();
    spec.replace_range(begin..end, &copies);
}

fn port(spec: &str) -> u16 {
    let (_, rest) = spec.split_once("127.0.0.1:").unwrap();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_key_that_is_ended_first_still_passes_its_settings_on() {
    let scene = Scene::made(|_, spec| {
        let port = port(spec);
        copying(spec, port);
    });
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    ran.exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_key_that_makes_its_own_successor_is_not_ended_first() {
    let scene = Scene::made(|_, spec| {
        let at = spec.find("[op.mint]").unwrap();
        let mint = spec[at..].replacen("\"admin\"", "\"self\"", 1);
        spec.replace_range(at.., &mint);
    });
    let plan = scene.plan();
    let before = scene.snapshot();
    let ran = scene.run(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    ran.refused(1, "K0852", &[&format!("keyroll apply {plan} --emergency roll-first --confirm=ring")]);
    assert_eq!(scene.snapshot(), before);
}

#[test]
fn a_first_value_is_shown_to_its_issuer() {
    let scene = Scene::new();
    let (id, value) = scene.issuer.mint("by hand too");
    let words = ["second", "--issuer", "file:./acme.toml", "--admin", "file:./admin.key", "--id", &id];
    let ran = scene.take_in(&words, &value);
    ran.exits(0).says(&["accepted at 127.0.0.1:"]);
    assert!(ran.of("not_visible").is_empty(), "{}", ran.text);
}

#[test]
fn a_mistyped_spec_is_not_written_into_the_configuration() {
    let scene = Scene::new();
    let (id, value) = scene.issuer.mint("by hand too");
    let before = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let words = ["second", "--issuer", "file:./amce.toml", "--admin", "file:./admin.key", "--id", &id];
    scene.take_in(&words, &value).refused(1, "K0821", &["amce.toml"]);
    assert_eq!(fs::read_to_string(scene.path("keyroll.toml")).unwrap(), before);
}
