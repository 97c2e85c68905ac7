//! An object and what keyroll knows of it, for tests.

use std::collections::BTreeMap;

use serde_json::Map;

use crate::object::{Asked, Id, Pods, RotationStatus, SecretRotation, Status, Waits};
use crate::standing::{Accepted, Held, HeldKey, Holds, Open, Pod, Standing, TakeOver, Value};
use crate::way::{Command, Way};

/// The id of the rotation.
pub(crate) const ID: &str = "0a5fe3178d2b4c6e9f0011223344aabb";
/// What keyroll's own commands begin with.
pub(crate) const PREFIX: &str = "kubectl -n keyroll exec keyroll-0 -- ";

/// The object, with a status.
pub(crate) fn object(status: Status) -> SecretRotation {
    SecretRotation {
        id: Id { host: "shop".to_owned(), name: "anthropic".to_owned() },
        namespace: "shop".to_owned(),
        uid: "7c0d".to_owned(),
        resource_version: "1".to_owned(),
        generation: 3,
        made_s: 0,
        annotations: BTreeMap::new(),
        spec: Map::new(),
        status,
    }
}

/// Nothing is open, and all is well.
pub(crate) fn at_rest() -> Standing {
    Standing {
        now: "2026-01-01T00:00:00Z".to_owned(),
        accepted: Accepted::Yes,
        consumers: ["agent", "worker"].map(|name| (name.to_owned(), format!("deployment/{name}"))).to_vec(),
        value: Ok(Value {
            version: 4,
            since: None,
            due: Some("2026-03-01T00:00:00Z".to_owned()),
            overdue: None,
        }),
        open: None,
        last: None,
        pods: Some(Ok(["agent", "worker"].map(|name| (format!("deployment/{name}"), pods(2, 0, 0))).into())),
        held: Some(Ok(held_keys(&[Holds::Current], TakeOver::Never))),
        lost: None,
        asked: Asked::default(),
        queued: None,
        base: None,
        pod: Some(Pod { namespace: "keyroll".to_owned(), name: "keyroll-0".to_owned() }),
    }
}

fn held_keys(all: &[Holds], take_over: TakeOver) -> Held {
    let key = |(at, holds): (usize, &Holds)| HeldKey {
        secret: "credentials".to_owned(),
        key: format!("key-{at}"),
        holds: holds.clone(),
    };
    Held { version: 4, keys: all.iter().enumerate().map(key).collect(), take_over }
}

/// Nothing is open, and the keys of its Secret hold this.
pub(crate) fn holding(all: &[Holds], take_over: TakeOver) -> Standing {
    Standing { held: Some(Ok(held_keys(all, take_over))), ..at_rest() }
}

pub(crate) fn pods(current: u32, stale: u32, unknown: u32) -> Pods {
    Pods { total: current + stale + unknown, current, stale, unknown }
}

/// A rotation that goes on.
pub(crate) fn open() -> Open {
    Open {
        shown: RotationStatus {
            id: ID.to_owned(),
            began: "2025-12-31T00:00:00Z".to_owned(),
            phase: Some("roll".to_owned()),
            old_key: "alive".to_owned(),
            moved: 1,
            of: 2,
            driven: true,
            waits: None,
        },
        forward: Vec::new(),
        back: Vec::new(),
        rolls_back: false,
        consent: false,
        confirm: ID.to_owned(),
        held: None,
        stuck: false,
        blockers: Vec::new(),
        stages: BTreeMap::new(),
    }
}

/// A wait for a person as keyroll says it.
pub(crate) fn waits(what: &str) -> Waits {
    Waits {
        what: what.to_owned(),
        since: "2025-12-31 01:00:00Z".to_owned(),
        person: true,
        ..Waits::default()
    }
}

/// A way of one command.
pub(crate) fn only(command: Command) -> Way {
    Way { first: None, then: vec![command] }
}

/// A rotation that waits for the consent to the end of the old key.
pub(crate) fn consent() -> Open {
    let mut open = open();
    open.consent = true;
    open.shown.moved = 2;
    open.shown.phase = Some("decide".to_owned());
    open.shown.waits = Some(waits("you: your consent"));
    (open.forward, open.back) = (vec![only(Command::Confirm)], vec![only(Command::Abort)]);
    open
}

/// A rotation that is paused, or stuck.
pub(crate) fn held(stuck: bool) -> Open {
    let mut open = open();
    open.stuck = stuck;
    open.held = Some("`agent` did not prove the new key".to_owned());
    open.shown.driven = false;
    open.shown.waits = Some(waits("you: `agent` did not prove the new key"));
    (open.forward, open.back) = (vec![only(Command::Resume)], vec![only(Command::Abort)]);
    open
}
