use hyper::Method;
use serde_json::Value;

use super::*;
use crate::cut::MARK;
use crate::fake::Fake;
use crate::object::RotationStatus;

const PATH: &str = "/apis/keyroll.dev/v1alpha1/namespaces/shop/secretrotations/anthropic";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

/// What the server has, as it was read.
fn read(written: Value) -> SecretRotation {
    SecretRotation::read("shop", serde_json::from_value(written).unwrap()).unwrap()
}

fn put(fake: &Fake, status: Value) -> SecretRotation {
    read(fake.put(
        PATH,
        json!({ "apiVersion": "keyroll.dev/v1alpha1", "kind": "SecretRotation", "spec": { "issuer": "manual" },
            "status": status }),
    ))
}

#[tokio::test]
async fn a_status_is_written_whole_and_has_no_other_field_afterwards() {
    let fake = Fake::new();
    let before = Status {
        message: "it rotates".to_owned(),
        version: Some("v1".to_owned()),
        rotation: Some(RotationStatus { id: "r1".to_owned(), ..RotationStatus::default() }),
        ..Status::default()
    };
    let object = put(&fake, serde_json::to_value(&before).unwrap());
    assert_eq!(object.status, before);
    let status = Status { message: "nothing is open".to_owned(), ..Status::default() };
    let Shown::Done(now) = show(&fake.cluster(), &object, &status).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!(now.status, status);
    assert_ne!(now.resource_version, object.resource_version);
    let there = fake.get(PATH).unwrap();
    assert_eq!(there["status"], serde_json::to_value(&status).unwrap());
    assert!(there["status"].get("rotation").is_none() && there["status"].get("version").is_none());
    assert_eq!(there["spec"], json!({ "issuer": "manual" }));
    let asked = fake.asked(&Method::PUT, "/anthropic/status").remove(0);
    assert_eq!(asked["metadata"]["resourceVersion"], json!(object.resource_version));
    assert_eq!(asked["metadata"]["uid"], json!(object.uid));
    // The answer is what the next one is made from.
    assert!(matches!(show(&fake.cluster(), &now, &before).await.unwrap(), Shown::Done(_)));
}

#[tokio::test]
async fn a_status_is_not_written_over_a_change_or_to_another_object_of_the_name() {
    let (fake, status) = (Fake::new(), Status { message: "shown".to_owned(), ..Status::default() });
    let first = put(&fake, Value::Null);
    let second = put(&fake, Value::Null);
    assert_eq!(first.uid, second.uid);
    assert_eq!(show(&fake.cluster(), &first, &status).await.unwrap(), Shown::Overtaken);
    fake.delete(PATH);
    assert_eq!(show(&fake.cluster(), &second, &status).await.unwrap(), Shown::Gone);
    let other = put(&fake, Value::Null);
    assert_ne!(other.uid, second.uid);
    assert_eq!(show(&fake.cluster(), &second, &status).await.unwrap(), Shown::Gone);
    assert_eq!(fake.get(PATH).unwrap()["status"], Value::Null);
}

#[tokio::test]
async fn a_right_that_is_missing_is_a_failure() {
    let fake = Fake::new();
    let object = put(&fake, Value::Null);
    fake.refuse(Method::PUT, "/status", 403);
    let failure = show(&fake.cluster(), &object, &Status::default()).await.unwrap_err();
    assert_eq!(failure.to_string(), "could not write the status of secretrotation anthropic on shop");
    fake.refuse(Method::POST, "/events", 403);
    let news = [News { warning: false, reason: "RotationBegan", note: String::new() }];
    let failure = tell(&fake.cluster(), &object, &news).await.unwrap_err();
    assert!(failure.to_string().contains("event RotationBegan of secretrotation anthropic"), "{failure}");
}

#[tokio::test]
async fn each_piece_of_news_is_an_event_with_its_own_note() {
    let fake = Fake::new();
    let object = put(&fake, Value::Null);
    let long = "ä".repeat(NOTE_BYTES_MAX);
    let news = [
        News { warning: false, reason: "ConsumerMoved", note: "agent has v2".to_owned() },
        News { warning: false, reason: "ConsumerMoved", note: "mailer has v2".to_owned() },
        News { warning: true, reason: "RotationPaused", note: long.clone() },
    ];
    tell(&fake.cluster(), &object, &news).await.unwrap();
    let events = fake.all(EVENTS);
    let notes: Vec<&str> = events.iter().map(|event| event["note"].as_str().unwrap()).collect();
    assert_eq!(notes[..2], ["agent has v2", "mailer has v2"]);
    let kept = notes[2].strip_suffix(MARK).unwrap();
    assert!(notes[2].len() <= NOTE_BYTES_MAX && kept.len() > 1000 && long.starts_with(kept));
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Normal", "Normal", "Warning"]);
    for event in &events {
        assert_eq!(event["regarding"]["uid"], json!(object.uid));
        assert_eq!(event["regarding"]["kind"], "SecretRotation");
        assert_eq!(event["reportingController"], REPORTER);
        assert_eq!(event["action"], ACTION);
    }
}
