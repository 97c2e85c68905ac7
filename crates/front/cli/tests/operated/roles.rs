//! Each role at each page: what it may not do is refused with 403 and nothing of it begins, what it may do is answered.

use std::collections::BTreeSet;

use keyroll_testkit::issuer::Ask;
use serde_json::{Value, json};

use super::openapi;
use super::team::{Team, begun, refused};

const ALL: &[&str] = &["vic", "otto", "ann", "rex", "ada"];
const OPERATE: &[&str] = &["otto", "ada"];
const APPROVE: &[&str] = &["ann", "ada"];
const RESPOND: &[&str] = &["rex", "ada"];

/// A page, with a request that would do something and one that is allowed and does nothing.
struct Row {
    method: &'static str,
    path: String,
    body: String,
    harmless: (String, &'static str),
    answers: u16,
    roles: &'static [&'static str],
}

/// Every page behind a token. `id` waits for consent; `plan` can be applied.
fn rows(id: &str, plan: &str) -> Vec<Row> {
    let one = format!("/v1/rotations/{id}");
    let reads = [
        "/metrics",
        "/secret-status",
        "/v1/rotations",
        one.as_str(),
        "/v1/history",
        "/v1/history?about=ring&all=true",
        "/v1/audit",
        "/v1/audit?about=ring&all=true",
        "/v1/due",
        "/v1/secrets",
        "/v1/incidents",
        "/v1/incidents?all=true",
        "/v1/openapi.json",
    ];
    let read = |path: &str| Row {
        method: "GET",
        path: path.to_owned(),
        body: String::new(),
        harmless: (path.to_owned(), ""),
        answers: 200,
        roles: ALL,
    };
    let post = |path: &str, body: &Value, (other, harmless): (&str, &'static str), answers, roles| Row {
        method: "POST",
        path: path.to_owned(),
        body: if body.is_null() { String::new() } else { body.to_string() },
        harmless: (other.to_owned(), harmless),
        answers,
        roles,
    };
    let mut all: Vec<Row> = reads.into_iter().map(read).collect();
    // A stream has no end: who may read it is told that this is no number.
    all.push(Row { answers: 400, ..read("/v1/events?after=none") });
    all.push(post("/v1/plans", &json!({"secret": "side"}), ("/v1/plans", "{"), 400, OPERATE));
    all.push(post("/v1/rotations", &json!({ "plan": plan }), ("/v1/rotations", "{"), 400, OPERATE));
    for what in ["resume", "retry", "pause", "abort"] {
        let none = format!("/v1/rotations/none/{what}");
        all.push(post(&format!("{one}/{what}"), &Value::Null, (none.as_str(), ""), 404, OPERATE));
    }
    let approve = format!("{one}/approve");
    let another = (approve.as_str(), r#"{"secret":"rung"}"#);
    all.push(post(&approve, &json!({"secret": "ring"}), another, 422, APPROVE));
    let emergency = ("/rotate-secret", r#"{"secret_name":"nobody"}"#);
    all.push(post("/rotate-secret", &json!({"secret_name": "side"}), emergency, 404, RESPOND));
    let read = r#"{"words":["status"],"json":false}"#;
    let words = serde_json::from_str(read).unwrap();
    all.push(post("/v1/commands", &words, ("/v1/commands", read), 200, ALL));
    all
}

/// What nobody without the role may have changed.
fn standing(team: &Team, id: &str) -> Value {
    team.is_quiet();
    let issuer = &team.served.scene.issuer;
    let row = team.rotation(id);
    json!({
        "rotation": [row["state"], row["why"], row["approvals"], row["status"]["phase"]],
        "rotations": team.ask("vic", "GET", "/v1/rotations", "").body["rotations"].as_array().map(Vec::len),
        "made": issuer.made(), "asked": issuer.asked(Ask::Mint), "ended": issuer.deletions(),
        "plans": team.served.scene.state().join("plans").read_dir().unwrap().count(),
    })
}

#[test]
fn each_role_may_do_what_is_its_own_and_the_pages_are_described() {
    let team = Team::beside(1);
    let plan = team.plan("side");
    let id = team.plan("ring");
    team.apply(&id);
    team.waits_for_consent(&id);
    let rows = rows(&id, &plan);
    let (was, files) = (standing(&team, &id), team.served.scene.snapshot());
    for row in &rows {
        // Without a token, whatever the page; after some of them, that it was too often.
        refused(&team.ask("", row.method, &row.path, &row.body), &[401, 429]);
        for who in ALL.iter().filter(|who| !row.roles.contains(who)) {
            let answer = team.ask(who, row.method, &row.path, &row.body);
            println!("{who} {} {}: {}", row.method, row.path, answer.code);
            refused(&answer, &[403]);
            assert!(answer.text("detail").contains(who), "{answer:?}");
        }
    }
    // Other spellings of pages that change something, and other methods.
    for path in [
        "/v1",
        "/v1/nothing",
        "/v1/plans/",
        "/v1//plans",
        "/V1/plans",
        "/v1/x/../plans",
        &format!("/v1/rotations/{id}/abort/"),
        &format!("/v1/rotations/{id}/%61bort"),
        &format!("/v1/rotations/{id}/approve/"),
        &format!("/v1/rotations/{id}/revoke"),
        &format!("/v1/rotations/{id}%2Fapprove"),
    ] {
        // Whoever is known reads that nothing is there, and not that a role is missing.
        for who in ALL {
            refused(&team.ask(who, "POST", path, r#"{"secret":"ring"}"#), &[404, 405]);
        }
    }
    for (method, path, has) in [
        ("GET", "/v1/plans".to_owned(), "POST"),
        ("POST", "/v1/history".to_owned(), "GET"),
        ("POST", "/metrics".to_owned(), "GET"),
        ("DELETE", format!("/v1/rotations/{id}"), "GET"),
        ("PUT", format!("/v1/rotations/{id}/approve"), "POST"),
        ("GET", format!("/v1/rotations/{id}/abort"), "POST"),
    ] {
        for who in ALL {
            let answer = team.ask(who, method, &path, "");
            refused(&answer, &[405]);
            assert!(answer.text("detail").contains(has), "{answer:?}");
        }
    }
    assert_eq!(standing(&team, &id), was, "something was begun");
    for row in &rows {
        for who in row.roles {
            let answer = team.ask(who, row.method, &row.harmless.0, row.harmless.1);
            assert_eq!(answer.code, row.answers, "{who} {} {}: {answer:?}", row.method, row.path);
        }
    }
    assert_eq!(standing(&team, &id), was, "something was begun");
    assert_eq!(team.served.scene.snapshot(), files);
    // Refusals of one who is known do not count as guesses.
    assert_eq!(team.ask("vic", "GET", "/v1/due", "").code, 200);
    begun(&team.act("otto", &id, "abort"), &id);
    team.ended(&id, "rolled_back");
    assert_eq!(team.served.scene.holds("api/api.env").as_deref(), Some(team.served.scene.old.as_str()));
    let pages: BTreeSet<(String, String)> = rows
        .iter()
        .filter(|row| row.path != "/metrics")
        .map(|row| {
            let path = row.path.split('?').next().unwrap();
            (row.method.to_lowercase(), path.replace(&id, "{id}"))
        })
        .collect();
    openapi::describes(&team, &pages, &id);
    team.nothing_leaked();
}
