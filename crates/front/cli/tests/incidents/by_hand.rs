//! Incidents at a terminal: assess, contain in each way, report, close; also a key that keyroll does not manage.

use std::fs;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use serde_json::json;
use zeroize::Zeroizing;

use super::sent::{incidents, only};
use crate::hostile::ran::Ran;
use crate::hostile::scene::{Scene, put};

fn git(scene: &Scene, folder: &str, text: &str) {
    scene.sh(&format!(
        "cd {folder} && export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.example GIT_COMMITTER_NAME=a \
         GIT_COMMITTER_EMAIL=a@b.example GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent && {text}"
    ));
}

/// Opens an incident of the current version.
#[track_caller]
fn opened(scene: &Scene) -> String {
    let ran = scene.run(&["incident", "open", "ring"]);
    ran.exits(0).of("incident")[0]["id"].as_str().unwrap().to_owned()
}

/// Everything that a person must know before the choice: alive, who uses it, copies, the first exposure, what stops.
#[test]
fn an_assessment_says_who_uses_it_where_it_is_and_since_when_it_is_exposed() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    // A commit that was taken back, in a repository around a copy.
    fs::create_dir_all(scene.path("repo")).unwrap();
    put(&scene.path("repo/deploy.sh"), &["KEY=", &value, "\n"], 0o644);
    git(
        &scene,
        "repo",
        "git init -q && git add . && git commit -qm one --date=2026-10-01T00:00:00Z && \
                         echo KEY= > deploy.sh && git commit -qam two",
    );
    let by_hand = scene.start_by_hand("stray", &scene.path("api/api.env"), "idle=yes");
    let id = opened(&scene);
    let ran = scene.run(&["incident", "assess", &id, "--in", "api", "--in", "repo"]);
    let found = ran.exits(0).of("assessment")[0];
    assert_eq!(found["alive"].as_str().unwrap().split(" at ").next(), Some("alive"), "{found}");
    let has = |key: &str, part: &str| {
        let all = found[key].as_array().unwrap();
        assert!(all.iter().any(|one| one.as_str().unwrap().contains(part)), "{key} {part}: {found:#}");
    };
    has("users", &format!("(pid {by_hand})"));
    has("copies", "api/api.env");
    has("exposed", "deploy.sh");
    has("exposed", "not in the checked-out commit");
    has("stops", "api, a configured consumer");
    has("stops", &format!("(pid {by_hand})"));
    assert!(found["first_exposed"].as_str().unwrap().starts_with("2026-10-01"), "{found:#}");
    assert!(found["next"].as_array().unwrap().len() == 2, "{found:#}");
    let kinds = [0, 1].map(|at| found["ways"][at]["kind"].as_str());
    assert_eq!(kinds, [Some("roll_first"), Some("revoke_now")], "{found:#}");
    assert!(!ran.text().contains(value.as_str()));
    assert_eq!(only(&scene)["next"], format!("keyroll incident contain {id} --roll-first"));
    let report = scene.run(&["incident", "report", &id]);
    let report = report.exits(0).of("report")[0];
    assert!(report["exposure"]["first"].as_str().unwrap().starts_with("2026-10-01"), "{report:#}");
    assert_eq!(report["exposure"]["dead"], json!(null));
    let open = report["tasks"][0].as_str().unwrap();
    assert!(open.contains("not seen dead") && open.contains("contain"), "{report:#}");
    scene.end(by_hand);
    assert!(scene.issuer.deletions().is_empty(), "an assessment changes nothing");
}

/// Everybody first, then the end of the key; and the report's clock has every step.
#[test]
fn roll_first_ends_the_key_after_everybody_moved() {
    let scene = Scene::new();
    let id = opened(&scene);
    // Nobody consented: everybody moves, and the command for the rest is named.
    scene.run(&["incident", "contain", &id, "--roll-first"]).exits(6);
    let row = only(&scene);
    assert_eq!((&row["state"], scene.issuer.deletions().len()), (&json!("waiting"), 0), "{row}");
    assert_ne!(scene.holds("api/api.env").unwrap(), scene.old);
    scene.run(&["incident", "contain", &id, "--roll-first", "--confirm=ring"]).exits(0).ended("done");
    assert_eq!(scene.issuer.deletions(), std::slice::from_ref(&scene.old));
    assert_eq!(only(&scene)["state"], "contained");
    scene.rotated();
    // Nothing is left: the same command says so, and does not move anybody again.
    scene
        .run(&["incident", "contain", &id, "--roll-first", "--confirm=ring"])
        .exits(0)
        .says(&["nothing is left"]);
    assert_eq!(scene.issuer.made(), 2);
    let report = scene.run(&["incident", "report", &id]);
    let report = report.of("report")[0];
    let after: Vec<f64> =
        report["clock"].as_array().unwrap().iter().map(|step| step["after_s"].as_f64().unwrap()).collect();
    assert!(after.is_sorted(), "{report:#}");
    assert!(fs::read_to_string(scene.path("log/refused")).unwrap().is_empty(), "calls that failed");
}

/// The key is dead before anybody has another one; only with the name of the secret, and never by the configuration's
/// consent to another thing.
#[test]
fn revoke_now_needs_its_own_consent() {
    let scene = Scene::made(|config, _| {
        *config = config.replace("[secrets.ring]\n", "[secrets.ring]\nemergency_revoke = true\n");
    });
    let id = opened(&scene);
    let before = scene.snapshot();
    scene.run(&["incident", "contain", &id, "--revoke-now"]).refused(
        6,
        "K0952",
        &["nobody consented", &format!("contain {id} --revoke-now --confirm=ring")],
    );
    scene.run(&["incident", "contain", &id, "--revoke-now", "--confirm=other"]).exits(2);
    assert_eq!(scene.snapshot(), before);
    scene.run(&["incident", "contain", &id, "--revoke-now", "--confirm=ring"]).exits(0).ended("done");
    assert_eq!(scene.issuer.deletions(), std::slice::from_ref(&scene.old));
    assert_eq!(only(&scene)["state"], "contained");
    scene.rotated();
}

/// The new key of an open rotation leaked: it is given up, and another one is made.
#[test]
fn a_leaked_key_that_an_open_rotation_moves_to_is_given_up() {
    let scene = Scene::new();
    scene.issuer.keep_values();
    scene.until("probe");
    let made: Vec<String> =
        scene.issuer.keys().into_iter().map(|key| key.id).filter(|id| *id != scene.old).collect();
    let values = scene.run(&["secret", "show", "ring"]);
    values.exits(0);
    let ran = scene.run(&["incident", "open", "ring"]);
    ran.exits(0);
    let pending = made[0].clone();
    let value = leaked(&scene, &pending);
    let ran = scene.fed(&["incident", "open", "--value-stdin", "--act"], &value);
    let row = ran.of("incident")[0];
    assert_eq!((&row["version"], &row["label"]), (&json!(2), &json!("pending")), "{}", ran.text());
    assert!(row["why"].as_str().unwrap().contains("moves consumers to"), "{row}");
    let id = row["id"].as_str().unwrap();
    let ran = scene.run(&["incident", "contain", id, "--roll-first", "--confirm=ring"]);
    ran.exits(0).ended("done");
    let keys = scene.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id != pending && keys[0].id != scene.old, "{keys:?}");
    scene.rotated();
}

/// The same after consumers have moved to it: it is the current version, and the alert begins nothing by itself.
#[test]
fn a_leaked_current_key_of_an_open_rotation_waits_for_a_person() {
    let scene = Scene::new();
    scene.until("disable");
    let made = scene.holds("api/api.env").unwrap();
    assert_ne!(made, scene.old);
    let value = scene.held("api/api.env");
    let ran = scene.fed(&["incident", "open", "--value-stdin", "--act"], &value);
    let row = ran.exits(0).of("incident")[0].clone();
    assert_eq!((&row["label"], &row["state"]), (&json!("current"), &json!("open")), "{row}");
    assert!(row["why"].as_str().unwrap().contains("moves consumers to"), "{row}");
    assert!(ran.of("rotation").is_empty() && scene.issuer.made() == 2, "{}", ran.text());
    let id = row["id"].as_str().unwrap();
    // No consumer may get a third key while it holds the leaked one: the rotation goes back, and the leaked key ends.
    let ran = scene.run(&["incident", "contain", id, "--roll-first", "--confirm=ring"]);
    ran.refused(7, "K0952", &["has begun to move consumers", "keyroll abort"]);
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
    let row = only(&scene);
    assert_eq!((&row["state"], &row["dead"]), (&json!("contained"), &json!(null)), "{row}");
    assert!(row["why"].as_str().unwrap().contains("accepted the end"), "{row}");
    scene.run(&["incident", "contain", id, "--roll-first"]).exits(0).says(&["accepted the end"]);
}

/// After a person closed an incident, the same alert is known, and another one of the same key is an incident again.
#[test]
fn a_closed_incident_swallows_no_other_alert() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    let told = |place: &str| {
        let alert = Zeroizing::new(json!({"value": value.as_str(), "url": place}).to_string());
        scene.fed(&["incident", "open", "--from", "generic"], &alert).exits(0).of("incident")[0].clone()
    };
    let first = told("a chat");
    scene.run(&["incident", "close", first["id"].as_str().unwrap(), "--because", "a test"]).exits(0);
    let again = told("a chat");
    assert_eq!(
        (&again["id"], &again["state"], &again["known"]),
        (&first["id"], &json!("closed"), &json!(true))
    );
    let other = told("a public page");
    assert_ne!(other["id"], first["id"]);
    assert_eq!((&other["state"], incidents(&scene, &[]).len()), (&json!("open"), 1), "{other}");
    // A person who says it again means it.
    scene.run(&["incident", "close", other["id"].as_str().unwrap(), "--because", "a test"]).exits(0);
    let ran = scene.run(&["incident", "open", "ring"]);
    assert_eq!(ran.exits(0).of("incident")[0]["state"], "open", "{}", ran.text());
    // GitHub made it public after somebody had closed it.
    let github = |action: &str| {
        let alert = json!({"action": action, "alert": {"number": 1, "secret_type": "acme", "html_url": "https://github.example/1"}});
        let ran = scene.fed(&["incident", "open", "--from", "github"], &Zeroizing::new(alert.to_string()));
        ran.exits(0).of("incident")[0].clone()
    };
    let created = github("created");
    scene.run(&["incident", "close", created["id"].as_str().unwrap(), "--because", "private"]).exits(0);
    assert_eq!(github("created")["state"], "closed");
    assert_eq!(github("publicly_leaked")["state"], "open");
}

/// The value of a key, as the issuer knows it.
fn leaked(scene: &Scene, id: &str) -> Zeroizing<String> {
    let all = scene.issuer.values();
    let its = all.iter().find(|value| scene.issuer.whose(value).as_deref() == Some(id)).unwrap();
    Zeroizing::new(String::from_utf8(its.clone()).unwrap())
}

/// A key of the same issuer that keyroll does not manage: it is found where it is used, and its end is seen.
#[test]
fn a_key_that_keyroll_does_not_manage_is_ended_by_its_issuer() {
    let scene = Scene::new();
    let (foreign, value) = scene.issuer.mint("somebody's own");
    let ran = scene.fed(&["incident", "open", "--value-stdin", "--place", "a chat"], &value);
    let row = ran.exits(0).of("incident")[0].clone();
    assert_eq!((&row["issuer"], &row["places"]), (&json!("the issuer of ring"), &json!(["a chat"])), "{row}");
    let id = row["id"].as_str().unwrap();
    fs::create_dir_all(scene.path("elsewhere")).unwrap();
    put(&scene.path("elsewhere/app.env"), &["API_KEY=", &value, "\n"], 0o600);
    let ran = scene.run(&["incident", "assess", id, "--in", "elsewhere"]);
    let found = ran.exits(0).of("assessment")[0];
    assert!(found["alive"].as_str().unwrap().starts_with("alive"), "{found:#}");
    assert!(found["copies"].to_string().contains("elsewhere/app.env"), "{found:#}");
    scene.run(&["incident", "contain", id, "--roll-first"]).refused(
        1,
        "K0952",
        &["no consumers", "--revoke-now"],
    );
    scene.run(&["incident", "contain", id, "--revoke-now"]).refused(6, "K0952", &["nobody consented"]);
    // The name of the secret is the consent to end the secret's own key, and no other's.
    scene.run(&["incident", "contain", id, "--revoke-now", "--confirm=ring"]).exits(2);
    assert!(scene.issuer.deletions().is_empty());
    let ran = scene.run(&["incident", "contain", id, "--revoke-now", &format!("--confirm={id}")]);
    ran.exits(0).says(&["it is dead"]);
    assert_eq!(scene.issuer.deletions(), [foreign]);
    assert_eq!(only(&scene)["state"], "contained");
    // The managed key is untouched.
    scene.as_before();
    let report = scene.run(&["incident", "report", id]);
    let report = report.exits(0).of("report")[0];
    assert!(report["exposure"]["dead"].is_string(), "{report:#}");
    assert!(!ran.text().contains(value.as_str()));
}

/// Where keyroll cannot revoke it, a person does, and keyroll believes only the issuer.
#[test]
fn a_key_that_a_person_revokes_counts_when_the_issuer_refuses_it() {
    let scene = Scene::made(|_, spec| *spec = keyroll_testkit::issuer::without(spec, "op.identify"));
    let (foreign, value) = scene.issuer.mint("somebody's own");
    let ran = scene.fed(&["incident", "open", "--value-stdin"], &value);
    let id = ran.exits(0).of("incident")[0]["id"].as_str().unwrap().to_owned();
    scene.run(&["incident", "contain", &id, "--revoke-now", &format!("--confirm={id}")]).refused(
        6,
        "K0952",
        &["which of its keys", &format!("contain {id} --revoked-by-hand")],
    );
    assert!(scene.issuer.deletions().is_empty());
    scene.run(&["incident", "contain", &id, "--revoked-by-hand"]).exits(6).says(&["alive"]);
    assert_eq!(only(&scene)["state"], "open");
    scene.issuer.end(&foreign);
    scene.run(&["incident", "contain", &id, "--revoked-by-hand"]).exits(0).says(&["it is dead"]);
    assert_eq!(only(&scene)["state"], "contained");
}

/// Neither the consent to end one key nor the hand that ended it counts for another.
#[test]
fn a_leaked_key_that_no_consumer_has_yet_is_no_reason_to_end_the_old_one() {
    let scene = Scene::new();
    scene.issuer.keep_values();
    scene.until("probe");
    let pending = scene.issuer.keys().into_iter().find(|key| key.id != scene.old).unwrap().id;
    let value = leaked(&scene, &pending);
    let ran = scene.fed(&["incident", "open", "--value-stdin"], &value);
    let id = ran.of("incident")[0]["id"].as_str().unwrap().to_owned();
    scene.run(&["incident", "contain", &id, "--revoke-now", "--confirm=ring"]).refused(
        1,
        "K0952",
        &["nothing must stop", &format!("contain {id} --roll-first")],
    );
    scene.run(&["incident", "contain", &id, "--revoked-by-hand"]).refused(
        1,
        "K0952",
        &["keyroll manages this key"],
    );
    assert!(scene.issuer.deletions().is_empty() && scene.issuer.made() == 2);
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
}

/// The new key of an emergency leaked too, and consumers have it: the emergency is ended first, then this key.
#[test]
fn a_leaked_key_of_an_open_emergency_is_contained_after_it() {
    let scene = Scene::new();
    let first = opened(&scene);
    scene.run(&["incident", "contain", &first, "--roll-first"]).exits(6);
    let second = opened(&scene);
    assert_ne!(first, second);
    let ran = scene.run(&["incident", "contain", &second, "--roll-first", "--confirm=ring"]);
    ran.refused(7, "K0952", &["has begun to move consumers", "keyroll resume"]);
    let help = ran.of("error")[0]["help"].as_str().unwrap().to_owned();
    let rotation = help.split(' ').nth(2).unwrap();
    scene.run(&["resume", rotation, "--confirm=ring"]).exits(0).ended("done");
    scene.run(&["incident", "contain", &second, "--roll-first", "--confirm=ring"]).exits(0).ended("done");
    let all = incidents(&scene, &["--all"]);
    assert!(all.len() == 2 && all.iter().all(|row| row["state"] == "contained"), "{all:#?}");
    scene.rotated();
}

/// An operator paused the rotation: an alert does not go on with it.
#[test]
fn an_alert_does_not_override_an_operator() {
    let scene = Scene::new();
    let old = scene.held("api/api.env");
    scene.until("disable");
    let told = |place: &str| {
        let alert = Zeroizing::new(json!({"value": old.as_str(), "url": place}).to_string());
        scene.fed(&["incident", "open", "--from", "generic", "--act"], &alert)
    };
    let ran = told("a page");
    assert!(ran.exits(0).of("rotation").is_empty(), "{}", ran.text());
    assert_eq!(only(&scene)["state"], "waiting", "{}", only(&scene));
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
    // The leaked key is in use again, and no operator holds it back any more.
    let ran = told("another page");
    ran.exits(6);
    assert_ne!(scene.holds("api/api.env").unwrap(), scene.old, "{}", ran.text());
}

/// The same id in another account is another key.
#[test]
fn a_key_of_another_account_is_not_ended_by_its_id() {
    let scene = Scene::new();
    let (_, value) = scene.issuer.mint("somebody's own");
    let ran = scene.fed(&["incident", "open", "--value-stdin"], &value);
    let id = ran.of("incident")[0]["id"].as_str().unwrap().to_owned();
    // Its worker would be asked about in place of the keys.
    scene.sh("kill $(cat run/api.pid)");
    scene.issuer.forget();
    wait("the worker has ended", || scene.issuer.last_of("api").is_none());
    // The question whether it is alive, and the one whose it is; the last is about the secret's own key.
    scene.issuer.mood(Ask::Me, ResponseFault::Another, 2);
    scene.run(&["incident", "contain", &id, "--revoke-now", &format!("--confirm={id}")]).refused(
        6,
        "K0952",
        &["same account", "--revoked-by-hand"],
    );
    assert!(scene.issuer.deletions().is_empty());
    assert_eq!(only(&scene)["state"], "open");
}

/// A refusal by an issuer that never accepted the key says nothing; a key that is accepted again is not contained.
#[test]
fn a_refusal_counts_only_where_the_key_was_accepted_before() {
    let scene = Scene::new();
    let (never, value) = scene.issuer.mint("ended before it was reported");
    scene.issuer.end(&never);
    let id = |value: &Zeroizing<String>| {
        let ran = scene.fed(&["incident", "open", "--value-stdin"], value);
        ran.exits(0).of("incident")[0]["id"].as_str().unwrap().to_owned()
    };
    let id_never = id(&value);
    scene
        .run(&["incident", "contain", &id_never, "--revoked-by-hand"])
        .exits(6)
        .says(&["never seen to accept"]);
    scene.run(&["incident", "close", &id_never, "--because", "old"]).exits(0);
    let (other, value) = scene.issuer.mint("somebody's own");
    let id_other = id(&value);
    scene.run(&["incident", "assess", &id_other, "--in", "api"]).exits(0);
    scene.issuer.end(&other);
    scene.run(&["incident", "contain", &id_other, "--revoked-by-hand"]).exits(0);
    assert!(incidents(&scene, &[]).is_empty());
    scene.issuer.restore(&other);
    scene.run(&["incident", "assess", &id_other, "--in", "api"]).exits(0);
    assert_eq!(incidents(&scene, &[])[0]["state"], "open");
}

/// From another folder, with the path of keyroll.toml as a person types it.
#[test]
fn an_emergency_begins_from_any_folder() {
    let scene = Scene::new();
    let id = opened(&scene);
    scene.sh("mkdir ../other");
    let words = ["incident", "contain", &id, "--roll-first", "--config", "../scene/keyroll.toml"];
    let mut command = scene.command(&words);
    command.current_dir(scene.path("../other"));
    Ran::run(&mut command).exits(6);
    assert_ne!(scene.holds("api/api.env").unwrap(), scene.old);
}

/// One document, several keys: each is an incident, each counts as news once, and no text shows a part of them.
#[test]
fn each_key_of_a_document_is_an_incident() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    let (_, one) = scene.issuer.mint("somebody's own");
    let (_, two) = scene.issuer.mint("somebody's other");
    let text = format!("first {} then {} and {}.", value.as_str(), one.as_str(), two.as_str());
    let document = json!([
        {"type": format!("a page with {}", one.as_str()), "text": text, "url": format!("at {}", &value[4..34])},
        {"type": "a page", "value": one.as_str(), "url": "a page"},
    ]);
    let ran = scene.fed(&["incident", "open", "--from", "generic"], &Zeroizing::new(document.to_string()));
    let rows = ran.exits(0).of("incident");
    assert_eq!(rows.len(), 3, "{}", ran.text());
    assert!(rows.iter().all(|row| row.get("known").is_none()), "{}", ran.text());
    assert_eq!(rows.iter().filter(|row| row["issuer"] == "the issuer of ring").count(), 2, "{}", ran.text());
    assert_eq!(rows.iter().filter(|row| row["secret"] == "ring").count(), 1, "{}", ran.text());
    let shown = ran.text().to_owned() + scene.run(&["incident", "list"]).text();
    for value in [&value, &one, &two] {
        assert!(!shown.contains(&value[10..30]), "{shown}");
    }
    // What has neither a name nor a place is news each time.
    let told = || {
        let alert = Zeroizing::new(json!({"value": value.as_str()}).to_string());
        scene.fed(&["incident", "open", "--from", "generic"], &alert).of("incident")[0].clone()
    };
    scene.run(&["incident", "close", told()["id"].as_str().unwrap(), "--because", "a test"]).exits(0);
    assert_eq!(told()["state"], "open");
    // A mistyped id leaves the others open.
    let open = incidents(&scene, &[]);
    let id = open[0]["id"].as_str().unwrap();
    scene.run(&["incident", "close", id, "nothing", "--because", "a test"]).exits(1);
    assert_eq!(incidents(&scene, &[]).len(), open.len());
}

/// A key that a person brought for an open rotation is none that keyroll does not manage.
#[test]
fn a_key_that_is_sealed_for_a_rotation_is_not_ended_as_another_ones() {
    let scene = Scene::made(|_, spec| keyroll_testkit::issuer::by_hand(spec));
    let (new, value) = scene.issuer.mint("made at the console");
    // It is sealed, and the issuer does not answer when it is asked about it again.
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "ring"]).exits(6);
    scene.issuer.mood(Ask::Me, ResponseFault::Silence, 1_000);
    scene.fed(&["resume", &plan, "--value-stdin"], &value);
    scene.issuer.calm();
    let ran = scene.fed(&["incident", "open", "--value-stdin"], &value);
    let row = ran.exits(0).of("incident")[0].clone();
    assert!(row["why"].as_str().unwrap_or_default().contains("brought for the open rotation"), "{row}");
    let id = row["id"].as_str().unwrap();
    scene.run(&["incident", "contain", id, "--revoke-now", &format!("--confirm={id}")]).refused(
        1,
        "K0952",
        &[],
    );
    assert!(scene.issuer.deletions().is_empty() && scene.issuer.keys().iter().any(|key| key.id == new));
}

/// An emergency that failed ten times is for a person, who reads how the last attempt ended, however many alerts follow.
#[test]
fn an_emergency_that_failed_too_often_says_once_why() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    let alert = |id: u32| {
        let alert =
            Zeroizing::new(json!({"type": "acme key", "value": value.as_str(), "id": id}).to_string());
        scene.fed(&["incident", "open", "--from", "generic", "--reserve"], &alert).exits(0);
    };
    alert(1);
    let id = only(&scene)["id"].as_str().unwrap().to_owned();
    let path = scene.state().join(format!("incidents/{id}.json"));
    let mut file: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    (file["attempts"], file["why"]) = (json!(10), json!("the issuer was silent"));
    fs::write(&path, file.to_string()).unwrap();
    let why = "10 attempts to begin its emergency failed; the last one: the issuer was silent";
    for id in [2, 3] {
        alert(id);
        assert_eq!(only(&scene)["why"], why, "alert {id}");
    }
}

/// A closed incident is over, its value is deleted, and it can be opened again.
#[test]
fn a_closed_incident_stays_closed_until_it_is_opened_again() {
    let scene = Scene::new();
    let (_, value) = scene.issuer.mint("somebody's own");
    let id = scene.fed(&["incident", "open", "--value-stdin"], &value).of("incident")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    scene
        .run(&["incident", "close", &id, "--because", "a test key"])
        .exits(0)
        .says(&[&format!("incident reopen {id}")]);
    assert!(incidents(&scene, &[]).is_empty());
    let file = fs::read_to_string(scene.state().join(format!("incidents/{id}.json"))).unwrap();
    assert!(file.contains("\"sealed\": null"), "{file}");
    scene.run(&["incident", "contain", &id, "--revoke-now"]).refused(1, "K0952", &["closed", "reopen"]);
    scene.run(&["incident", "reopen", &id]).exits(0);
    assert_eq!(only(&scene)["state"], "open");
    scene.run(&["incident", "contain", &id, "--revoke-now"]).refused(1, "K0952", &["not stored any more"]);
}

/// A scan of a history finds the stored key and replaces it; the copies that consumers read are no leaks.
#[test]
fn leaks_with_alert_replaces_a_key_that_a_history_holds() {
    let scene = Scene::made(|config, _| {
        *config = config.replace("[secrets.ring]\n", "[secrets.ring]\nemergency_revoke = true\n");
    });
    let value = scene.held("api/api.env");
    // The copy itself, as long as it is in no commit.
    scene.run(&["leaks", "api", "--alert"]).says(&["no incident was opened"]);
    assert!(incidents(&scene, &["--all"]).is_empty());
    fs::create_dir_all(scene.path("repo")).unwrap();
    put(&scene.path("repo/deploy.sh"), &["KEY=", &value, "\n"], 0o644);
    git(&scene, "repo", "git init -q && git add . && git commit -qm one");
    let ran = scene.run(&["leaks", "--git", "repo", "--alert"]);
    ran.exits(0).ended("done");
    let row = only(&scene);
    assert_eq!((&row["state"], &row["sources"]), (&json!("contained"), &json!(["leaks"])), "{row}");
    assert!(row["places"][0].as_str().unwrap().contains("deploy.sh"), "{row}");
    assert_eq!(scene.issuer.deletions(), std::slice::from_ref(&scene.old));
    wait("the worker calls with the new key", || scene.issuer.last_of("api") == scene.holds("api/api.env"));
    // The same scan finds a dead leak now: nothing to do, whether or not the store keeps its value.
    let ran = scene.run(&["leaks", "--git", "repo", "--alert", "--known"]);
    assert!(ran.of("rotation").is_empty(), "{}", ran.text());
    assert_eq!(scene.issuer.made(), 2);
}
