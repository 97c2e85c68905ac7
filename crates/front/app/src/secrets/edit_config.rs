//! Writes a new secret into keyroll.toml.

use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_config::{Config, Name, NewSecret, Secret, add_secret};

use crate::config_file;
use crate::problem::Problem;
use crate::wiring::issuer::described;

/// A checked change of keyroll.toml that is not written yet.
pub(super) struct Edit {
    pub(super) path: PathBuf,
    pub(super) old: String,
    pub(super) new: String,
}

impl Edit {
    /// Adds a table with the secret, its issuer and the fields that the issuer needs.
    pub(super) fn prepare(
        name: &str,
        issuer: &str,
        admin: Option<String>,
        path: PathBuf,
    ) -> Result<Self, Problem> {
        let name = Name::new(name).ok_or_else(|| {
            Problem::new(Code::ConfigInvalid, "name the secret").because("a name is 1 to 64 of a-z 0-9 . _ -")
        })?;
        let old = config_file::read(&path)?;
        let shown = path.display().to_string();
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone()).display().to_string();
        let (issuer, admin) = (issuer.to_owned(), admin);
        let mut secret = NewSecret { name, issuer, admin, fields: Vec::new() };
        let mut new = add_secret(&old, &shown, &secret)?;
        let config = Config::parse(&new, &absolute)?;
        let needed = config.secrets.get(&secret.name).map(needed_fields).transpose()?.flatten();
        if let Some(fields) = needed {
            secret.fields = fields;
            new = add_secret(&old, &shown, &secret)?;
        }
        Ok(Self { path, old, new })
    }
}

/// The fields that a secret's issuer needs; none if they are the usual ones.
fn needed_fields(secret: &Secret) -> Result<Option<Vec<(Name, bool)>>, Problem> {
    let Some(spec) = described(secret)?.spec else { return Ok(None) };
    let fields: Vec<(Name, bool)> =
        spec.fields().filter_map(|(name, secret)| Some((Name::new(name)?, secret))).collect();
    let usual = fields.iter().map(|(name, secret)| (name.as_str(), *secret));
    Ok((!usual.eq(secret.issuer.usual_fields().iter().copied())).then_some(fields))
}
