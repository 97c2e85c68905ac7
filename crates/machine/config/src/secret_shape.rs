//! The table of a secret as it is written: its own keys, and the tables that servers declare.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use keyroll_logins::{SERVERS, login_server};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::at::At;
use crate::login_table::{self, WrittenTable};
use crate::shape::SecretKeys;

/// One secret: its own keys, and the tables of servers.
#[derive(Debug)]
pub(crate) struct SecretShape {
    pub(crate) keys: SecretKeys,
    /// By the words of the servers.
    pub(crate) servers: BTreeMap<&'static str, At<WrittenTable>>,
}

impl<'de> Deserialize<'de> for SecretShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretShape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretShape, A::Error> {
        let mut servers = BTreeMap::new();
        let own = OwnKeys { map, servers: &mut servers };
        let keys = SecretKeys::deserialize(MapAccessDeserializer::new(own))?;
        Ok(SecretShape { keys, servers })
    }
}

/// The keys of the secret itself; tables of servers are set aside.
struct OwnKeys<'a, A> {
    map: A,
    servers: &'a mut BTreeMap<&'static str, At<WrittenTable>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OwnKeys<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            match self.map.next_key_seed(SecretKey(&mut seed))? {
                None => return Ok(None),
                Some(KeyRead::Own(key)) => return Ok(Some(key)),
                Some(KeyRead::Server(word)) => {
                    let table = self.map.next_value()?;
                    self.servers.insert(word, table);
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// One key of a secret's table; `K` reads those of the secret itself.
struct SecretKey<'s, K>(&'s mut Option<K>);

enum KeyRead<T> {
    Own(T),
    Server(&'static str),
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for SecretKey<'_, K> {
    type Value = KeyRead<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let name = String::deserialize(deserializer)?;
        if let Some(server) = login_server(&name) {
            return Ok(KeyRead::Server(server.word));
        }
        let seed = self.0.take().ok_or_else(|| D::Error::custom("a key was read twice"))?;
        // The error lists the keys that are known here: the servers' are among them.
        let known = |error: D::Error| {
            let words: Vec<&str> = SERVERS.iter().map(|server| server.word).collect();
            D::Error::custom(format_args!("{}, `{}`", error.to_string().trim_end(), words.join("`, `")))
        };
        seed.deserialize(name.into_deserializer()).map(KeyRead::Own).map_err(known)
    }
}

impl JsonSchema for SecretShape {
    fn schema_name() -> Cow<'static, str> {
        "SecretShape".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = SecretKeys::json_schema(generator);
        for server in SERVERS {
            generator.definitions_mut().extend(login_table::definitions(server));
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert(server.word.to_owned(), login_table::property(server));
            }
        }
        schema
    }
}
