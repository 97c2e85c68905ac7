//! The form of a `SecretRotation`: what people write, and what keyroll shows them.

use std::collections::BTreeMap;
use std::fmt;

use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The group, version and kind of the objects.
pub(crate) const GROUP: &str = "keyroll.dev";
pub(crate) const VERSION: &str = "v1alpha1";
pub(crate) const KIND: &str = "SecretRotation";
pub(crate) const PLURAL: &str = "secretrotations";

/// The kind, for requests.
pub(crate) fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, KIND), PLURAL)
}

/// The longest text of an annotation that is looked at: a status remembers it.
const ASK_BYTES_MAX: usize = 256;
/// The largest status of which all is read, as JSON; of a larger one the lists are left out.
const STATUS_BYTES_MAX: usize = 256 * 1_024;
/// The largest part of a status that is carried on, as JSON.
const PART_BYTES_MAX: usize = 2 * 1_024;

/// The annotations by which people ask for something.
pub mod asks {
    /// Any new text: make a plan, and apply it.
    pub const ROTATE: &str = "keyroll.dev/rotate";
    /// The id of a rotation: consent to the end of its old key.
    pub const CONFIRM: &str = "keyroll.dev/confirm";
    /// The id of a rotation: roll it back.
    pub const ABORT: &str = "keyroll.dev/abort";
    /// Any new text: go on with what is paused or stuck.
    pub const RESUME: &str = "keyroll.dev/resume";
    /// The issuer's id of the key that the consumers have now; for the first import, where the issuer does not tell it.
    pub const KEY_ID: &str = "keyroll.dev/key-id";
    /// The id of a rotation that no journal has any more: it is over.
    pub const FORGET: &str = "keyroll.dev/forget";
}

/// Which object: the host of the configuration whose namespace it is in, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The host.
    pub host: String,
    /// Its own name.
    pub name: String,
}

/// As sentences name it.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secretrotation {} on {}", self.name, self.host)
    }
}

/// One object as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretRotation {
    /// Which one.
    pub id: Id,
    /// Its namespace.
    pub namespace: String,
    /// The uid.
    pub uid: String,
    /// Which of its versions this is. Only whether two are the same says something.
    pub resource_version: String,
    /// The generation of its `spec`.
    pub generation: i64,
    /// When it was made, Unix seconds: of two objects that exclude each other the older one counts.
    pub made_s: i64,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The table `[secrets.NAME]`, as JSON.
    pub spec: Map<String, Value>,
    /// What keyroll showed last.
    pub status: Status,
}

/// Why an object is none that keyroll understands.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    /// A part that every object has.
    #[error("the API server left out its {0}")]
    Missing(&'static str),
    /// There is nothing to go by.
    #[error("`spec` is missing, or no table")]
    NoSpec,
}

impl SecretRotation {
    /// Reads an object of a host's namespace. A part of its status that has another form counts as not there: it is written
    /// anew.
    ///
    /// # Errors
    /// It has no name, or no table as its `spec`.
    pub fn read(host: &str, object: DynamicObject) -> Result<Self, Unreadable> {
        let DynamicObject { metadata, mut data, .. } = object;
        let name = metadata.name.ok_or(Unreadable::Missing("name"))?;
        let Some(Value::Object(spec)) = data.get_mut("spec").map(Value::take) else {
            return Err(Unreadable::NoSpec);
        };
        let status = data.get_mut("status").map(Value::take).unwrap_or_default();
        Ok(Self {
            id: Id { host: host.to_owned(), name },
            namespace: metadata.namespace.ok_or(Unreadable::Missing("namespace"))?,
            uid: metadata.uid.ok_or(Unreadable::Missing("uid"))?,
            resource_version: metadata.resource_version.ok_or(Unreadable::Missing("resourceVersion"))?,
            generation: metadata.generation.unwrap_or_default(),
            made_s: metadata.creation_timestamp.map(|at| at.0.as_second()).unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            spec,
            status: Status::read(status),
        })
    }

    /// What keyroll calls its secret: `shop.anthropic`. A namespace has no dot, so no two objects have one name.
    pub fn secret(&self) -> String {
        format!("{}.{}", self.namespace, self.id.name)
    }

    /// What an annotation asks for; an empty one asks for nothing. Of a long text the beginning counts; that of
    /// [`asks::KEY_ID`] is no request that is remembered, and whole.
    pub fn asks(&self, annotation: &str) -> Option<&str> {
        let text =
            self.annotations.get(annotation).map(|text| text.trim()).filter(|text| !text.is_empty())?;
        match annotation == asks::KEY_ID {
            true => Some(text),
            false => text.get(..text.floor_char_boundary(ASK_BYTES_MAX)),
        }
    }
}

/// In a word, how it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was said of it yet.
    #[default]
    Pending,
    /// Its `spec` cannot be used. If one could be used before, that one counts on.
    Invalid,
    /// keyroll has not its value yet.
    NoValue,
    /// Nothing is open.
    Ready,
    /// What was asked for last was refused.
    Refused,
    /// It is due, and has not begun.
    Due,
    /// A rotation goes on.
    Rotating,
    /// A rotation is rolled back.
    RollingBack,
    /// A rotation waits for a person.
    Waiting,
    /// A word that this keyroll does not know; it writes none.
    #[serde(other)]
    Other,
}

/// What keyroll shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the object that this is about.
    pub observed_generation: i64,
    /// How it stands, in a word.
    pub phase: Phase,
    /// In a sentence, how it stands, and the next command where a person is needed.
    pub message: String,
    /// What keyroll calls the secret in its own commands.
    pub secret: String,
    /// The current version, such as `v4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When that version was added, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it is due, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// The open rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
    /// The rotation that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Ended>,
    /// Each consumer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<ConsumerStatus>,
    /// What keeps the old key alive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// What was asked for.
    pub asked: Asked,
    /// The conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Status {
    /// The condition of this type, if it has this status.
    pub(crate) fn condition(&self, kind: &str, is: &str) -> Option<&Condition> {
        self.conditions.iter().find(|one| one.kind == kind && one.status == is)
    }

    /// Reads a status, each part by itself: what was asked for, and what is open, must not be forgotten because of another
    /// part.
    fn read(status: Value) -> Self {
        let Value::Object(mut status) = status else { return Self::default() };
        for list in ["blockers", "consumers", "conditions"] {
            if json_bytes(&status) > STATUS_BYTES_MAX {
                status.remove(list);
            }
        }
        let waits =
            status.get_mut("rotation").and_then(|rotation| rotation.get_mut("waits")).map(Value::take);
        let mut take = |part: &str| status.remove(part).unwrap_or_default();
        let (rotation, last, asked) = (take("rotation"), take("lastRotation"), take("asked"));
        let (consumers, blockers, conditions) = (take("consumers"), take("blockers"), take("conditions"));
        let rotation: Option<RotationStatus> = parts(rotation);
        Self {
            rotation: rotation.map(|rotation| RotationStatus { waits: waits.and_then(parts), ..rotation }),
            last_rotation: parts(last),
            asked: parts(asked).unwrap_or_default(),
            consumers: each(consumers),
            blockers: each(blockers),
            conditions: each(conditions),
            ..parts(Value::Object(status)).unwrap_or_default()
        }
    }
}

/// How large it is as JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// A table without the keys whose values have another form, or are too large to be carried on.
fn parts<T: DeserializeOwned>(value: Value) -> Option<T> {
    let Value::Object(keys) = value else { return None };
    let alone = |key: &str, value: &Value| Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
    let fits = |(key, value): &(String, Value)| {
        json_bytes(value) <= PART_BYTES_MAX && serde_json::from_value::<T>(alone(key, value)).is_ok()
    };
    let kept: Map<String, Value> = keys.into_iter().filter(fits).collect();
    serde_json::from_value(Value::Object(kept)).ok()
}

/// Those of a list that have the form.
fn each<T: DeserializeOwned>(value: Value) -> Vec<T> {
    let Value::Array(all) = value else { return Vec::new() };
    all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect()
}

/// An open rotation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotationStatus {
    /// Its id.
    pub id: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// Its step, as `keyroll status` has it: `move_consumers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `alive`, `disabled`, `revoked`, `dead`, `unknown`.
    pub old_key: String,
    /// Consumers on the new version.
    pub moved: usize,
    /// All consumers.
    pub of: usize,
    /// A process drives it now.
    pub driven: bool,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

/// What a rotation waits for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waits {
    /// What.
    pub what: String,
    /// Since when, as keyroll writes times.
    pub since: String,
    /// Until when at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// It ends only when a person acts.
    pub person: bool,
    /// Each way to go on, the best first, with its commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// The command that rolls back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
}

/// A rotation that ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// `done`, `rolled back`, `done with a debt`.
    pub outcome: String,
    /// RFC 3339.
    pub ended: String,
    /// Why it was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// One consumer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// `deployment/agent`.
    pub workload: String,
    /// How far it is in the open rotation, as `keyroll status` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Its pods, as they were seen last; none: they were not looked at yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
}

/// How many containers of a workload have which value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pods {
    /// All of them.
    pub total: u32,
    /// The value that the Secret has.
    pub current: u32,
    /// One before it, certainly or likely.
    pub stale: u32,
    /// Not visible.
    pub unknown: u32,
}

/// Something that keeps the old key alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Blocker {
    /// What it is.
    pub what: String,
    /// How it was found.
    pub why: String,
    /// What to do.
    pub next: String,
    /// What to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub or_else: Option<String>,
}

/// What people asked for by annotations, as far as keyroll took it up: the text of each annotation that was dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Asked {
    /// `keyroll.dev/rotate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate: Option<String>,
    /// The plan that was made for it; its rotation has the same id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// `keyroll.dev/confirm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// `keyroll.dev/abort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<String>,
    /// `keyroll.dev/resume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// `keyroll.dev/forget`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget: Option<String>,
    /// The annotation that was not done, as `rotate=TEXT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_ask: Option<String>,
    /// The rotation that was open or had ended last by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_after: Option<String>,
    /// Why the last of them was not done, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A condition as Kubernetes has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word in CamelCase.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// RFC 3339.
    pub last_transition_time: String,
    /// The generation of the object that it is about; 0: that of another writer who says none.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
}

fn is_zero(generation: &i64) -> bool {
    *generation == 0
}

#[cfg(test)]
mod tests;
