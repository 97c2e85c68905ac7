//! The schema of `status`. Nothing that it does not name is kept, so it has each key that [`crate::Status`] has.

use serde_json::{Map, Value, json};

/// The schema of `status`.
pub(super) fn status() -> Value {
    let all = [
        ("observedGeneration", generation()),
        (
            "phase",
            text(
                "How it stands, in a word: Pending, Invalid, NoValue, Ready, Due, Rotating, RollingBack, Waiting.",
            ),
        ),
        ("message", text("In a sentence, how it stands, and the next command where a person is needed.")),
        ("secret", text("What keyroll calls the secret in its own commands.")),
        ("version", text("The current version, such as v4.")),
        ("since", text("When that version was added.")),
        ("due", text("When it is due.")),
        ("rotation", rotation()),
        ("lastRotation", ended()),
        ("consumers", list(&consumer())),
        ("blockers", list(&blocker())),
        ("asked", asked()),
        ("conditions", conditions()),
    ];
    table("What keyroll shows.", all)
}

fn rotation() -> Value {
    let waits = [
        ("what", text("What it waits for.")),
        ("since", text("Since when.")),
        ("until", text("Until when at the latest.")),
        ("person", flag("It ends only when a person acts.")),
        ("forward", text("Each way to go on, the best first, with its commands.")),
        ("back", text("The command that rolls back.")),
    ];
    let all = [
        ("id", text("Its id.")),
        ("began", text("When it began.")),
        ("phase", text("Its step, as `keyroll status` has it: move_consumers.")),
        ("oldKey", text("The old key: alive, disabled, revoked, dead, unknown.")),
        ("moved", number("Consumers on the new version.")),
        ("of", number("All consumers.")),
        ("driven", flag("A process drives it now.")),
        ("waits", table("What it waits for.", waits)),
    ];
    table("The open rotation.", all)
}

fn ended() -> Value {
    let all = [
        ("id", text("Its id.")),
        ("outcome", text("How it ended: done, rolled back, done with a debt.")),
        ("ended", text("When it ended.")),
        ("cause", text("Why it was rolled back.")),
    ];
    table("The rotation that ended last.", all)
}

fn consumer() -> Value {
    let pods = [
        ("total", number("All of them.")),
        ("current", number("Those with the value that the Secret has.")),
        ("stale", number("Those with one before it, certainly or likely.")),
        ("unknown", number("Those whose value is not visible.")),
    ];
    let all = [
        ("name", text("Its name.")),
        ("workload", text("What runs its pods: deployment/agent.")),
        ("stage", text("How far it is in the open rotation.")),
        ("pods", table("How many containers have which value, as they were seen last.", pods)),
    ];
    table("One consumer.", all)
}

fn blocker() -> Value {
    let all = [
        ("what", text("What it is.")),
        ("why", text("How it was found.")),
        ("next", text("What to do.")),
        ("orElse", text("What to do instead.")),
    ];
    table("Something that keeps the old key alive.", all)
}

fn asked() -> Value {
    let all = [
        ("rotate", text("The text of keyroll.dev/rotate.")),
        ("plan", text("The plan that was made for it; its rotation has the same id.")),
        ("confirm", text("The text of keyroll.dev/confirm.")),
        ("abort", text("The text of keyroll.dev/abort.")),
        ("resume", text("The text of keyroll.dev/resume.")),
        ("forget", text("The text of keyroll.dev/forget.")),
        ("refusedAsk", text("The annotation that was not done, as rotate=TEXT.")),
        ("refusedAfter", text("The rotation that was open or had ended last by then.")),
        ("refused", text("Why the last of them was not done, with what to do.")),
    ];
    table("The annotations that were dealt with.", all)
}

/// One condition of each type, so that another writer can add one of its own.
fn conditions() -> Value {
    let all = [
        ("type", text("What it is about.")),
        ("status", text("True, False or Unknown.")),
        ("reason", text("A word in CamelCase.")),
        ("message", text("A sentence.")),
        ("lastTransitionTime", text("Since when it has this status.")),
        ("observedGeneration", generation()),
    ];
    let mut one = table("A condition.", all);
    if let Some(one) = one.as_object_mut() {
        one.insert("required".to_owned(), json!(["type", "status"]));
    }
    let mut all = list(&one);
    if let Some(all) = all.as_object_mut() {
        all.insert("x-kubernetes-list-type".to_owned(), "map".into());
        all.insert("x-kubernetes-list-map-keys".to_owned(), json!(["type"]));
    }
    all
}

fn generation() -> Value {
    json!({ "type": "integer", "format": "int64", "description": "The generation of the object that this is about." })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "description": description })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn table<const N: usize>(description: &str, keys: [(&str, Value); N]) -> Value {
    let keys: Map<String, Value> = keys.into_iter().map(|(key, of)| (key.to_owned(), of)).collect();
    json!({ "type": "object", "description": description, "properties": keys })
}
