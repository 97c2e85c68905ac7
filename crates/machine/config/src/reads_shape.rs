//! `reads` as it is written: the copies of a consumer, or the word `store`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One table, an array of them, or a word. Written by hand because an untagged enum would lose the position of an error.
#[derive(Debug)]
pub(crate) enum ReadsShape<T> {
    /// The copies.
    Copies(Vec<T>),
    /// A word. Which words there are is checked when the model is built.
    Word(String),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ReadsShape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadsVisitor(PhantomData))
    }
}

struct ReadsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ReadsVisitor<T> {
    type Value = ReadsShape<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, an array of tables, or the text `store`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReadsShape<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(ReadsShape::Copies(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ReadsShape<T>, A::Error> {
        Ok(ReadsShape::Copies(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ReadsShape<T>, E> {
        Ok(ReadsShape::Word(text.to_owned()))
    }
}

impl<T: JsonSchema> JsonSchema for ReadsShape<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Reads_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        let store = "The program reads the secret's store itself: it has no copy.";
        schemars::json_schema!({
            "anyOf": [
                one,
                { "type": "array", "items": one },
                { "const": "store", "description": store },
            ],
        })
    }
}
