use std::collections::BTreeMap;

use keyroll_secret::SecretBytes;

/// The values of fields that a text was rendered from, by the names of the fields.
pub type FieldValues = BTreeMap<String, SecretBytes>;

/// Adds the value of a field; `None` where the field has another one already.
pub(super) fn add(found: &mut FieldValues, name: &str, value: Vec<u8>) -> Option<()> {
    let value = SecretBytes::new(value);
    match found.get(name) {
        Some(earlier) => (*earlier == value).then_some(()),
        None => {
            found.insert(name.to_owned(), value);
            Some(())
        }
    }
}
