//! The table `runs` as it is written. Each manager declares its own keys, in its own file; a consumer in a cluster has others.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use keyroll_manager::{Key, KeyForm, MANAGERS, keys};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::WorkloadKind;
use crate::at::At;
use crate::workload_kind::{CANARY_KEY, WORKLOAD_KEYS};

/// The keys of `runs`, by name.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| known().map(|key| key.name).collect());

/// The keys of managers, and those of a cluster.
fn known() -> impl Iterator<Item = &'static Key> {
    keys().chain(&WORKLOAD_KEYS).chain([&CANARY_KEY])
}

/// What runs: the keys that stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunsShape(pub(crate) BTreeMap<&'static str, At<RunsValue>>);

/// What stands behind a key of `runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunsValue {
    Text(String),
    Words(Vec<At<String>>),
    Flag(bool),
    Ports(Vec<u16>),
}

impl RunsShape {
    /// The text behind a key.
    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        match self.0.get(key) {
            Some(At { value: RunsValue::Text(text), span }) => {
                Some(At { value: text.clone(), span: span.clone() })
            }
            Some(_) | None => None,
        }
    }
}

impl<'de> Deserialize<'de> for RunsShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = RunsShape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RunsShape, A::Error> {
        let mut table = BTreeMap::new();
        while let Some(key) = map.next_key_seed(KnownKey)? {
            let value = match key.form {
                KeyForm::Text
                | KeyForm::Path
                | KeyForm::Executable
                | KeyForm::Template
                | KeyForm::TemplatePath => with(map.next_value()?, RunsValue::Text),
                KeyForm::Command | KeyForm::Names => with(map.next_value()?, RunsValue::Words),
                KeyForm::Flag => with(map.next_value()?, RunsValue::Flag),
                KeyForm::Ports => with(map.next_value()?, RunsValue::Ports),
            };
            table.insert(key.name, value);
        }
        Ok(RunsShape(table))
    }
}

fn with<T>(read: At<T>, value: fn(T) -> RunsValue) -> At<RunsValue> {
    At { value: value(read.value), span: read.span }
}

/// Reads one key. The error for an unknown one is made here, where the deserializer adds its place.
struct KnownKey;

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = &'static Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = &'static Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of `runs`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<&'static Key, E> {
        known().find(|key| key.name == name).ok_or_else(|| E::unknown_field(name, &NAMES))
    }
}

impl JsonSchema for RunsShape {
    fn schema_name() -> Cow<'static, str> {
        "RunsShape".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let properties: Map<String, Value> =
            known().map(|key| (key.name.to_owned(), property(key))).collect();
        schemars::json_schema!({
            "description": description(),
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

fn property(key: &Key) -> Value {
    let strings = || json!({ "type": "string" });
    match key.form {
        KeyForm::Text | KeyForm::Path | KeyForm::Executable | KeyForm::Template | KeyForm::TemplatePath => {
            json!({ "description": key.doc, "type": ["string", "null"] })
        }
        KeyForm::Command | KeyForm::Names => {
            json!({ "description": key.doc, "type": ["array", "null"], "items": strings() })
        }
        KeyForm::Flag => json!({ "description": key.doc, "type": ["boolean", "null"] }),
        KeyForm::Ports => {
            let port = json!({ "type": "integer", "format": "uint16", "minimum": 0, "maximum": 65535 });
            json!({ "description": key.doc, "type": ["array", "null"], "items": port })
        }
    }
}

/// Which keys name a manager, and which of them go together.
fn description() -> String {
    let named = |keys: &[&str], between: &str| {
        keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(between)
    };
    let all: Vec<&str> = MANAGERS.iter().map(|manager| manager.key()).collect();
    let also = MANAGERS.iter().filter_map(|manager| {
        let others: Vec<&str> = manager.with.iter().copied().filter(|key| all.contains(key)).collect();
        let also = format!("with `{}` also {}", manager.key(), named(&others, " or "));
        (!others.is_empty()).then_some(also)
    });
    let also: Vec<String> = also.collect();
    format!(
        "How the consumer's processes are found, and how they load a new value. Exactly one of {}; {}. Of a consumer in a cluster \
         exactly one of {}; `container` may stand beside it, the container of its pods that takes the value, `rereads`, if the \
         program reads the mounted file again by itself, so that no pod is replaced, and `canary`, if one pod is moved first.",
        named(&all, ", "),
        also.join(", "),
        named(&WorkloadKind::ALL.map(WorkloadKind::word), ", ")
    )
}
