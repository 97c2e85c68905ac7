//! Refuses a secret without the fields that its issuer needs: the next key would lack a part of the present one.

use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_config::{FieldSpec, IssuerRef, Name, Secret};

use super::issuer::Described;
use crate::problem::Problem;

/// The fields of a login, and whether each is secret; other fields are carried over.
const LOGIN: [(&str, Option<bool>); 2] = [("user", None), ("password", Some(true))];

/// Refuses fields that do not fit the issuer, and shows the table that would.
pub fn refuse_unfit_fields(described: &Described, secret: &Secret) -> Result<(), Problem> {
    let faults = match &described.spec {
        Some(spec) => {
            let wanted: Vec<_> = spec.fields().map(|(name, secret)| (name, Some(secret))).collect();
            unfit(&secret.fields, &wanted, false)
        }
        // A new key has these fields alone.
        None if secret.issuer == IssuerRef::AwsAccessKey => {
            let usual = secret.issuer.usual_fields().iter();
            let wanted: Vec<_> = usual.map(|(name, secret)| (*name, Some(*secret))).collect();
            unfit(&secret.fields, &wanted, false)
        }
        None => unfit(&secret.fields, &LOGIN, true),
    };
    if faults.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(Code::IssuerSettingsInvalid, format!("use the fields of {}", secret.name));
    let problem = faults.into_iter().fold(problem, Problem::because);
    let table: Vec<String> = match &described.spec {
        Some(spec) => spec.fields().map(line).collect(),
        None => secret.issuer.usual_fields().iter().copied().map(line).collect(),
    };
    Err(problem.help(format!(
        "write, in keyroll.toml: [secrets.{}.fields] with {}",
        secret.name,
        table.join(", ")
    )))
}

fn line((name, secret): (&str, bool)) -> String {
    format!("`{name} = {{ secret = {secret} }}`")
}

fn unfit(has: &BTreeMap<Name, FieldSpec>, wanted: &[(&str, Option<bool>)], more: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, secret) in wanted {
        match has.get(*name) {
            None => faults.push(format!("its issuer needs the field `{name}`, which it does not have")),
            Some(field) if secret.is_none_or(|secret| field.secret == secret) => {}
            Some(field) if !field.secret => {
                faults.push(format!("for its issuer the field `{name}` is secret, but here it is not"))
            }
            Some(_) => {
                faults.push(format!("for its issuer the field `{name}` is not secret, but here it is"))
            }
        }
    }
    let known = |name: &Name| wanted.iter().any(|(wanted, _)| *wanted == name.as_str());
    let strange = has.keys().filter(|name| !more && !known(name));
    faults
        .extend(strange.map(|name| format!("its issuer has no field `{name}`: the next key would lack it")));
    faults
}
