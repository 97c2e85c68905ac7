//! Imports the value that a secret's source of truth gives out: its first version, or one that somebody changed there.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Secret, StoreRef};
use keyroll_port::Label;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use super::fields::{plain_fields, refuse_unbound, report_validation};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::given_out::{GivenOutNow, Known, given_out_now};
use crate::records::versions;
use crate::wiring::{open, truth, validate_value};

/// A value to import from its store.
pub(super) struct StoreImport<'a> {
    pub(super) wanted: &'a Secret,
    /// The issuer's id of the credential; none = as the issuer reports it.
    pub(super) id: Option<&'a str>,
    /// The fields that are not secret, as `NAME=TEXT`.
    pub(super) fields: &'a [String],
    /// Imports a value although its validation failed.
    pub(super) anyway: bool,
    /// Refuses a key whose id at the issuer nobody says.
    pub(super) bound: bool,
}

/// Whether the value is taken from the secret's store and not from its copies: where `--from` names the store, or the secret
/// has a store outside of keyroll and `--from` names nothing.
///
/// # Errors
/// `--from` names another store than keyroll.toml.
pub(super) fn is_from_store(wanted: &Secret, from: Option<&Path>) -> Result<bool, Problem> {
    let Some(from) = from else { return Ok(wanted.store != StoreRef::Keyroll) };
    let named = from.to_str();
    if wanted.store != StoreRef::Keyroll && named == Some(wanted.store.to_string().as_str()) {
        return Ok(true);
    }
    if !named.is_some_and(StoreRef::is_foreign) {
        return Ok(false);
    }
    let name = &wanted.name;
    Err(importing(wanted, Code::UsageWrong)
        .because(format!(
            "--from names a store, and the `store` of {name} in keyroll.toml is {}",
            wanted.store
        ))
        .help(format!(
            "write the store into [secrets.{name}] of keyroll.toml, then: keyroll secret import {name}"
        ))
        .exits(Exit::Usage))
}

/// Seals the value that the source of truth gives out, as the current version.
///
/// # Errors
/// The source of truth does not answer, the value is that of a version that was replaced, a rotation is open, or the
/// validation fails.
pub(super) fn import_from_store(
    request: &StoreImport<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let wanted = request.wanted;
    if !request.anyway {
        validate_value::readable(wanted)?;
    }
    let places = installation.places()?;
    let config_file = installation.config_file();
    let (now, unwritable) = read(wanted, &places, &config_file)?;
    note_unwritable(&now.name, unwritable, operator);
    let (first, number) = match (now.known, now.current) {
        (Known::Current(number), _) => {
            operator.note(format!("{} gives out v{number}, which is current: nothing was changed", now.name));
            return Ok(());
        }
        (Known::Foreign, None) => (true, 0),
        // An import was a mistake, and the value of before it is given out again.
        (Known::Foreign | Known::Other(_, Label::Previous), Some(number)) => (false, number),
        (Known::Other(..), _) => {
            let problem = now.refusal(wanted, &format!("import the value of {}", wanted.name));
            return Err(
                problem.unwrap_or_else(|| importing(wanted, Code::ChangedElsewhere).because(now.what()))
            );
        }
    };
    let credential = credential(request, &now, &places)?;
    let looked = validate_value::look(wanted, &credential, &places, open::folder_of(&config_file))?;
    report_validation(&looked, wanted, request.anyway, operator).map_err(|problem| match (first, looked.dead) {
        (true, _) => problem,
        (false, true) => problem.help(format!(
            "give out a value there that the issuer accepts, such as that of v{number}: keyroll secret drift {} shows what \
             is given out",
            wanted.name
        )),
        (false, false) => problem.help(format!(
            "let its consumers fetch and load the value first; or take it over as it is: keyroll secret import {} --anyway",
            wanted.name
        )),
    })?;
    match first {
        true => versions::keep(&places, wanted, &credential)?,
        false => versions::accept(&places, wanted, &credential)?,
    }
    operator.note(format!(
        "added {} from {}; its value is sealed in {}",
        wanted.name,
        now.name,
        places.state.display()
    ));
    if !first && same_key(&places, wanted, number, &credential)? {
        operator
            .note(format!("v{number} stays sealed as the previous version, under the same id at the issuer"));
    } else if !first {
        operator.note(format!(
            "v{number} stays sealed as the previous version, and keyroll revokes it no more: see that nothing uses it \
             (keyroll secret drift {0}), revoke its key at the issuer, then: keyroll verify {0}",
            wanted.name
        ));
    }
    if credential.id.is_none() {
        operator.note(format!(
            "{} is not bound to an id at its issuer: you will have to revoke it yourself, unless you import it with --id",
            wanted.name
        ));
    }
    Ok(())
}

/// To take a value over needs no write.
fn note_unwritable(store: &str, unwritable: Option<Problem>, operator: &mut dyn Operator) {
    if let Some(problem) = unwritable {
        operator.note(format!("no rotation can write into {store}: {}", problem.causes.join(": ")));
    }
}

/// Whether the issuer has both under one id: to revoke the previous one would end the value that was taken over.
fn same_key(places: &Places, wanted: &Secret, number: u32, now: &Credential) -> Result<bool, Problem> {
    let before = versions::read(places, wanted, number)?.and_then(|before| before.id);
    Ok(before.is_some() && before == now.id)
}

/// What is given out, and why no rotation could write there.
fn read(wanted: &Secret, places: &Places, file: &Path) -> Result<(GivenOutNow, Option<Problem>), Problem> {
    open::runtime(places)?.block_on(async {
        let truth = truth::of(places, file, wanted).await?.ok_or_else(|| {
            importing(wanted, Code::UsageWrong).because("its source of truth is keyroll's own store")
        })?;
        let now = given_out_now(places, wanted, truth.as_ref()).await?;
        Ok((now, truth::unwritable(wanted, truth.as_ref()).await))
    })
}

/// What is given out, with the fields that are not secret and that no store holds, under its id at the issuer.
fn credential(request: &StoreImport<'_>, now: &GivenOutNow, places: &Places) -> Result<Credential, Problem> {
    let wanted = request.wanted;
    let mut given = plain_fields(wanted, request.fields)?;
    let before = sealed(wanted, now.current, places)?;
    let mut fields = Fields::new();
    for (name, spec) in &wanted.fields {
        let known = |fields: &Fields| fields.get(name.as_str()).map(|field| field.value.duplicate());
        let value = match spec.secret {
            true => known(&now.given.fields),
            false => given.remove(name).map(SecretBytes::from).or_else(|| known(before.as_ref()?)),
        };
        let value = value.ok_or_else(|| {
            importing(wanted, Code::PlaceNotFound)
                .because(format!("{} does not hold the field `{name}`", now.name))
                .help(format!("--field {name}=TEXT"))
        })?;
        fields.insert(name.as_str(), value, spec.secret);
    }
    let mut credential = Credential { id: request.id.map(CredentialId::new), fields };
    if let (None, Known::Other(number, _)) = (&credential.id, now.known) {
        credential.id = versions::read(places, wanted, number)?.and_then(|version| version.id);
    }
    if credential.id.is_none() {
        credential.id = validate_value::whose(wanted, &credential, places)?;
    }
    if request.bound {
        refuse_unbound(wanted, &credential)?;
    }
    Ok(credential)
}

/// The fields of the current version.
fn sealed(wanted: &Secret, current: Option<u32>, places: &Places) -> Result<Option<Fields>, Problem> {
    let Some(number) = current else { return Ok(None) };
    let credential = versions::read(places, wanted, number)?;
    Ok(credential.map(|credential| credential.fields))
}

fn importing(wanted: &Secret, code: Code) -> Problem {
    Problem::new(code, format!("import the value of {} from its store", wanted.name))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    #[test]
    fn the_store_is_meant_unless_a_copy_is_named() {
        let secret = |store: &str| {
            let text = format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"{store}\"\n");
            Config::parse(&text, "/srv/keyroll.toml").unwrap().secret("acme").unwrap().clone()
        };
        let (aws, own) = (secret("aws-sm:prod/acme#KEY"), secret("keyroll"));
        let meant = |wanted: &Secret, from: Option<&str>| is_from_store(wanted, from.map(Path::new));
        assert!(meant(&aws, None).unwrap() && meant(&aws, Some("aws-sm:prod/acme#KEY")).unwrap());
        assert!(!meant(&aws, Some("./acme.env")).unwrap() && !meant(&own, None).unwrap());
        for (wanted, from) in [(&aws, "aws-sm:prod/acme#OTHER"), (&own, "aws-sm:prod/acme#KEY")] {
            let problem = meant(wanted, Some(from)).unwrap_err();
            assert!(problem.code == "K0802" && problem.exit() == Exit::Usage, "{problem:?}");
        }
    }
}
