use serde_json::json;

use super::*;

fn read(status: Value) -> SecretRotation {
    let object = json!({
        "apiVersion": "keyroll.dev/v1alpha1",
        "kind": "SecretRotation",
        "metadata": { "name": "one", "namespace": "shop", "uid": "7c0d", "resourceVersion": "1", "generation": 2 },
        "spec": { "issuer": "manual" },
        "status": status,
    });
    SecretRotation::read("shop", serde_json::from_value(object).unwrap()).unwrap()
}

/// A status with what must not be forgotten.
fn written() -> Value {
    json!({
        "observedGeneration": 2,
        "phase": "Waiting",
        "message": "it waits",
        "secret": "shop.one",
        "rotation": { "id": "r1", "began": "then", "moved": 1, "of": 2, "waits": { "what": "you", "since": "then" } },
        "lastRotation": { "id": "r0", "outcome": "done" },
        "asked": { "rotate": "now", "plan": "r1", "resume": "again" },
        "conditions": [{ "type": "Ready", "status": "True" }],
    })
}

/// What must not be forgotten is there.
#[track_caller]
fn remembers(status: &Status) {
    let rotation = status.rotation.as_ref().unwrap();
    assert_eq!((rotation.id.as_str(), rotation.moved), ("r1", 1));
    assert_eq!(status.last_rotation.as_ref().unwrap().id, "r0");
    assert_eq!(status.asked.rotate.as_deref(), Some("now"));
    assert_eq!(status.asked.plan.as_deref(), Some("r1"));
}

#[test]
fn a_status_is_read_as_it_was_written() {
    let status = read(written()).status;
    remembers(&status);
    assert_eq!((status.phase, status.observed_generation), (Phase::Waiting, 2));
    assert_eq!(status.rotation.as_ref().unwrap().waits.as_ref().unwrap().since, "then");
    assert_eq!(read(serde_json::to_value(&status).unwrap()).status, status);
    assert_eq!(read(Value::Null).status, Status::default());
    assert_eq!(read(json!("nothing")).status, Status::default());
}

#[test]
fn a_part_of_another_form_hides_no_other_part() {
    for (pointer, value) in [
        ("/observedGeneration", json!("two")),
        ("/phase", json!("Sleeping")),
        ("/phase", json!(1)),
        ("/message", json!(["it waits"])),
        ("/message", Value::Null),
        ("/rotation/began", json!(1)),
        ("/rotation/of", json!(-1)),
        ("/rotation/waits", json!("you")),
        ("/rotation/waits/since", json!(1)),
        ("/lastRotation/outcome", json!({ "done": true })),
        ("/asked/resume", json!(true)),
        ("/asked/resume", json!("x".repeat(PART_BYTES_MAX))),
        ("/conditions", json!({ "type": "Ready" })),
        ("/conditions/0", json!("Ready")),
    ] {
        let mut status = written();
        *status.pointer_mut(pointer).unwrap() = value;
        let status = read(status).status;
        remembers(&status);
        let waits = status.rotation.as_ref().unwrap().waits.as_ref();
        assert!(pointer == "/rotation/waits" || waits.unwrap().what == "you", "{pointer}");
    }
    let mut status = written();
    status["rotation"] = json!("r1");
    status["consumers"] = json!([1, { "name": "agent" }, { "name": 1 }]);
    let status = read(status).status;
    assert_eq!(status.rotation, None);
    assert_eq!(status.asked.rotate.as_deref(), Some("now"));
    assert_eq!(status.consumers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["agent"]);
}

#[test]
fn a_phase_that_is_not_known_is_not_that_of_a_new_object() {
    let mut status = written();
    status["phase"] = json!("Sleeping");
    assert_eq!(read(status).status.phase, Phase::Other);
}

#[test]
fn of_a_status_that_is_too_large_the_lists_are_left_out() {
    let mut status = written();
    status["blockers"] = json!([{ "what": "x".repeat(STATUS_BYTES_MAX) }]);
    let status = read(status).status;
    remembers(&status);
    assert!(status.blockers.is_empty() && status.conditions.len() == 1);
}

#[test]
fn of_a_long_annotation_the_beginning_is_asked_for() {
    let mut object = read(Value::Null);
    let long = format!(" {}é", "x".repeat(ASK_BYTES_MAX - 1));
    for annotation in [asks::ROTATE, asks::KEY_ID] {
        object.annotations.insert(annotation.to_owned(), long.clone());
    }
    assert_eq!(object.asks(asks::ROTATE), Some(&*"x".repeat(ASK_BYTES_MAX - 1)));
    assert_eq!(object.asks(asks::KEY_ID), Some(long.trim()));
    // Whatever it is, it is remembered whole: else it would be done again.
    let worst = "\u{1}".repeat(2 * ASK_BYTES_MAX);
    object.annotations.insert(asks::ROTATE.to_owned(), format!("a{worst}"));
    let asked = object.asks(asks::ROTATE).unwrap().to_owned();
    let status = json!({ "asked": { "rotate": asked, "refusedAsk": format!("rotate={asked}") } });
    assert_eq!(read(status).status.asked.rotate, Some(asked));
}
