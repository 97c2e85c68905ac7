//! The text of a copy with a version.

use keyroll_copy::CopyError;
use keyroll_port::{Class, Failure};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_served::print_of;

use super::{CopySetup, CopySource, FileSetup};

/// The text that a copy should hold with a version.
pub(super) fn rendered(copy: &CopySetup, fields: &Fields) -> Result<SecretBytes, CopyError> {
    let field = |name: &str| {
        let field = fields.get(name).ok_or_else(|| CopyError::NoField { name: name.to_owned() })?;
        Ok(field.value.duplicate())
    };
    match copy {
        CopySetup::Value { source, .. } | CopySetup::Login { source, .. } => match source {
            CopySource::Field(name) => field(name),
            CopySource::Text(template) => template.render(fields),
            CopySource::Version(key) => Ok(SecretBytes::from(print_of(key, fields))),
        },
        CopySetup::Within(template) => template.render(fields),
    }
}

pub(super) fn refused(file: &FileSetup, error: &CopyError) -> Failure {
    let attempted = format!("edit {}", file.path.display());
    Failure::new(Class::Permanent, error.code(), attempted).because(error.to_string()).help(error.help())
}
