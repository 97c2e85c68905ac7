use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::document::Document;

/// The JSON Schema (draft 2020-12) of an issuer spec, for editors and for docs/reference/issuer-spec.schema.json.
pub fn spec_schema() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    generator.root_schema_for::<Document>().to_value()
}
