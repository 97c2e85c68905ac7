use serde_json::Value;

use crate::file_shape::FileShape;

/// The name of the schema's file as the first line of a keyroll.toml names it (`#:schema ./keyroll.schema.json`).
pub const SCHEMA_FILE_NAME: &str = "keyroll.schema.json";

/// The JSON Schema (2020-12) of keyroll.toml, made from the types that the file is read into.
pub fn schema() -> Value {
    schemars::schema_for!(FileShape).to_value()
}
