//! Adds a value that the operator enters, and optionally its secret to keyroll.toml.

use std::path::{Path, PathBuf};

use keyroll_config::{Config, Name, Secret};
use keyroll_manager::shell_word;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use super::edit_config::Edit;
use super::fields::{adding, field_options, of_server, plain_fields, report_added, report_validation};
use crate::config_file;
use crate::configured::secret;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::versions;
use crate::wiring::issuer::{admin_login, issuer};
use crate::wiring::{open, validate_value};

/// A value that the operator wants to add.
pub struct AddRequest<'a> {
    /// The secret.
    pub name: &'a str,
    /// Writes the secret into keyroll.toml with this issuer.
    pub issuer: Option<&'a str>,
    /// The reference of the admin credential to write with it.
    pub admin: Option<String>,
    /// The issuer's id of the credential.
    pub id: Option<&'a str>,
    /// The fields that are not secret, as `NAME=TEXT`.
    pub fields: &'a [String],
    /// Replaces a wrong value.
    pub replace: bool,
    /// Adds a value although its validation failed.
    pub anyway: bool,
}

/// A checked request; nothing is written yet.
pub struct Addition<'a> {
    request: AddRequest<'a>,
    edit: Option<Edit>,
    config: Config,
    places: Places,
    fields: Fields,
}

impl<'a> Addition<'a> {
    /// Checks the request before the operator enters a value.
    ///
    /// # Errors
    /// The configuration, the issuer or a field is not valid.
    pub fn prepare(request: AddRequest<'a>, installation: &Installation) -> Result<Self, Problem> {
        let path = installation.config_path();
        let (name, admin) = (request.name, request.admin.clone());
        let edit = request.issuer.map(|issuer| Edit::prepare(name, issuer, admin, path)).transpose()?;
        let config = match &edit {
            Some(edit) => Config::parse(&edit.new, &absolute(&edit.path).display().to_string())?,
            None => installation.config()?,
        };
        let wanted = to_add(&config, request.name)?;
        if !request.anyway {
            // A mistyped reference would be written into the configuration, and its value added unchecked.
            if edit.is_some() {
                issuer(wanted)?;
            }
            validate_value::readable(wanted)?;
        }
        let fields = not_secret(wanted, &request)?;
        if !request.anyway {
            admin_login(wanted)?;
        }
        let places = installation.places()?;
        Ok(Self { request, edit, config, places, fields })
    }

    /// The secret whose fields the operator enters.
    ///
    /// # Errors
    /// None after `prepare`.
    pub fn secret(&self) -> Result<&Secret, Problem> {
        to_add(&self.config, self.request.name)
    }

    /// Validates the value, writes the configuration if it was asked for, and seals the value.
    ///
    /// # Errors
    /// The validation fails, or configuration or store cannot be written.
    pub fn finish(
        self,
        secret_fields: Vec<(Name, SecretBytes)>,
        installation: &Installation,
        operator: &mut dyn Operator,
    ) -> Result<(), Problem> {
        let Self { request, edit, config, places, mut fields } = self;
        for (name, value) in secret_fields {
            fields.insert(name.as_str(), value, true);
        }
        let mut credential = Credential { id: request.id.map(CredentialId::new), fields };
        let wanted = to_add(&config, request.name)?;
        if credential.id.is_none() && wanted.server.is_some() {
            credential.id = validate_value::whose(wanted, &credential, &places)?;
        }
        let config_file = installation.config_file();
        let mut looked = validate_value::look(wanted, &credential, &places, open::folder_of(&config_file))?;
        validate_value::beside_truth(wanted, &credential, (&places, &config_file), &mut looked)?;
        report_validation(&looked, wanted, request.anyway, operator)?;
        if let Some(edit) = edit {
            // The store refuses a value that another secret has: nothing has changed by then.
            versions::check(&places, wanted, &credential, request.replace)?;
            config_file::replace(&edit.path, &edit.old, &edit.new)?;
            operator.event(Event::Undo {
                what: format!("wrote [secrets.{}] into {}", request.name, edit.path.display()),
                with: "remove that table".to_owned(),
            });
        }
        let config = installation.config()?;
        let wanted = secret(&config, request.name)?;
        match request.replace {
            true => versions::correct(&places, wanted, &credential)?,
            false => versions::keep(&places, wanted, &credential)?,
        }
        report_added(&looked, wanted, &places, operator);
        Ok(())
    }
}

/// The fields that are not secret: as given, or as the table of the server names them.
fn not_secret(wanted: &Secret, request: &AddRequest<'_>) -> Result<Fields, Problem> {
    let mut given = plain_fields(wanted, request.fields)?;
    let mut fields = Fields::new();
    let mut missing = Vec::new();
    for (name, _) in wanted.fields.iter().filter(|(_, spec)| !spec.secret) {
        match given.remove(name).map(SecretBytes::from).or_else(|| of_server(wanted, name)) {
            Some(text) => fields.insert(name.as_str(), text, false),
            None => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(fields);
    }
    let causes = missing.iter().map(|name| format!("the field `{name}` is missing"));
    let problem = causes.fold(adding(wanted), Problem::because);
    let mut options = field_options(request.fields, &missing);
    let others = [("--id", request.id), ("--issuer", request.issuer), ("--admin", request.admin.as_deref())];
    for (option, text) in others.iter().filter_map(|(option, text)| Some((option, (*text)?))) {
        options += &format!(" {option} {}", shell_word(text));
    }
    if request.replace {
        options += " --replace";
    }
    Err(problem.help(format!("keyroll secret add {}{options}", wanted.name)))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The secret with this name; else a problem that says how to configure it.
fn to_add<'c>(config: &'c Config, name: &str) -> Result<&'c Secret, Problem> {
    secret(config, name).map_err(|problem| {
        let near = problem.help.as_ref().filter(|help| help.starts_with("did you mean"));
        let near = near.map(|near| format!("{near} ")).unwrap_or_default();
        problem.help(format!(
            "{near}to write a new secret into keyroll.toml too, add --issuer ISSUER --admin file:./FILE; \
             keyroll issuers list shows the issuers, keyroll issuers show ISSUER what each needs"
        ))
    })
}
