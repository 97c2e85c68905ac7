use std::path::PathBuf;

use keyroll_secret::{Fields, FingerprintKey};

use crate::known::Print;

/// The fingerprint of a version, which stands in the file of what a consumer is given.
pub fn print_of(key: &FingerprintKey, fields: &Fields) -> Print {
    key.fingerprint(&fields.encode()).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file of what a consumer is given, in the state folder.
pub fn version_file(secret: &str, consumer: &str) -> PathBuf {
    ["served", secret, consumer].iter().collect()
}
