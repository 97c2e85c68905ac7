use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Minted};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use serde_json::Value;

use crate::answer::{Answer, wipe};
use crate::call::Call;
use crate::document::{Decoy, Document, ValueForm};
use crate::operation::{Get, Mint};
use crate::render::Values;
use crate::shape;
use crate::template::{Slot, Template};

/// The longest id that an issuer may give, in bytes.
const ID_BYTES_MAX: usize = 1024;

/// Reads the settings that the new credential shall share with the one in use.
pub(crate) async fn settings(
    call: &Call<'_>,
    get: &Get,
    values: &Values<'_>,
) -> Result<BTreeMap<String, Value>, Failure> {
    let answer = call.succeed(values, &get.ok).await?;
    let mut copy = BTreeMap::new();
    for (name, pointer) in &get.copy {
        let found = answer.json().and_then(|json| pointer.find(json));
        let Some(value) = found else {
            let why = format!("the setting `{name}` is not where the spec says");
            return Err(call.nonsense(&answer, &why));
        };
        copy.insert(name.clone(), value.clone());
    }
    Ok(copy)
}

/// Makes the credential and takes it from the answer. Once sent, whatever is wrong is *unknown*: it may exist.
pub(crate) async fn mint(
    call: &Call<'_>,
    op: &Mint,
    values: &Values<'_>,
    current: &Credential,
    proposed: Option<&Credential>,
) -> Result<Minted, Failure> {
    let answer = call.succeed(values, &op.ok).await?;
    let id = match &op.take.id {
        Some(at) => answer.json().and_then(|json| at.text(json)).map(|id| call.document.id_form.id(id)),
        // A credential without an id is known by our label, which no other has.
        None => values.label.map(str::to_owned),
    };
    let printable = |id: &String| (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
    let Some(id) = id.filter(printable) else {
        return Err(call.nonsense(&answer, "the new id is not where the spec says"));
    };
    let mut fields = proposed.map(|proposed| proposed.fields.duplicate()).unwrap_or_default();
    for (name, form) in &call.document.fields {
        if let Some(pointer) = op.take.fields.get(name) {
            let encoded = op.take.base64.contains(name);
            let Some(value) = text(&answer, pointer).and_then(|text| plain(text, encoded, form.form)) else {
                return Err(call.nonsense(&answer, &format!("the new `{name}` is not where the spec says")));
            };
            let long = form.length_max.is_some_and(|most| value.len() > most);
            if !form.secret && (long || !value.expose().iter().all(u8::is_ascii_graphic)) {
                let why = format!("the new `{name}` does not have the form that [fields.{name}] declares");
                return Err(call.nonsense(&answer, &why));
            }
            fields.insert(name.clone(), value, form.secret);
        } else if let Some(kept) = current.fields.get(name).filter(|_| !form.secret && proposed.is_none()) {
            fields.insert(name.clone(), kept.value.duplicate(), false);
        }
    }
    well_formed(call, &fields)?;
    Ok(Minted { id: CredentialId::new(id), fields })
}

fn text(answer: &Answer, pointer: &crate::pointer::Pointer) -> Option<SecretBytes> {
    let found = answer.json().and_then(|json| pointer.find(json)).and_then(Value::as_str);
    found.filter(|text| !text.is_empty()).map(|text| SecretBytes::new(text.as_bytes().to_vec()))
}

/// The value as consumers get it. White space around a document is no part of it: a file ends with one line break anyway.
fn plain(text: SecretBytes, encoded: bool, form: ValueForm) -> Option<SecretBytes> {
    let value = match encoded {
        true => SecretBytes::new(STANDARD.decode(text.expose()).ok()?),
        false => text,
    };
    let value = match form {
        ValueForm::Text => value,
        ValueForm::Json | ValueForm::Pem => SecretBytes::new(value.expose().trim_ascii().to_vec()),
    };
    Some(value).filter(|value| !value.is_empty())
}

/// A value that is not what the spec declares would be checked against the wrong alphabet by every copy.
fn well_formed(call: &Call<'_>, fields: &Fields) -> Result<(), Failure> {
    for (name, form) in call.document.fields.iter().filter(|(_, form)| form.secret) {
        let fits = fields.get(name).is_some_and(|field| shape::fits(field.value.expose(), form));
        if !fits {
            let why = format!("the new `{name}` does not have the form that [fields.{name}] declares");
            return Err(call.fail(Class::Unknown, Code::RequestFailed).because(why).help(
                "correct the spec, then plan again; keyroll finds the new key by its label and revokes it",
            ));
        }
    }
    Ok(())
}

/// The next credential, if we choose its value: every secret field is new, the others stay the same.
pub(crate) fn propose(document: &Document, current: &Credential) -> Result<Credential, Failure> {
    let mut fields = Fields::new();
    for (name, form) in &document.fields {
        if form.secret {
            fields.insert(name.clone(), shape::choose(form)?, true);
        } else if let Some(kept) = current.fields.get(name) {
            fields.insert(name.clone(), kept.value.duplicate(), false);
        }
    }
    Ok(Credential { id: None, fields })
}

/// The field with the private key of the credential's own JWT, with another private key in its place.
fn signer(key: &Template, fields: &Fields, other: &str) -> Option<(String, SecretBytes)> {
    let slot = key.sole_slot()?;
    if let Slot::CredField(name) = slot {
        return Some((name.clone(), SecretBytes::new(other.as_bytes().to_vec())));
    }
    let Slot::CredPart(name, at) = slot else { return None };
    let mut json: Value = serde_json::from_slice(fields.get(name)?.value.expose()).ok()?;
    let made = at.find_mut(&mut json).map(|place| {
        wipe(place);
        *place = Value::String(other.to_owned());
    });
    let document = made.and_then(|()| serde_json::to_vec(&json).ok());
    wipe(&mut json);
    Some((name.clone(), SecretBytes::new(document?)))
}

/// A credential that must be refused. `other` is a private key that no issuer knows.
pub(crate) fn decoy<'a>(
    document: &Document,
    current: &Credential,
    other: impl Fn() -> Option<&'a str>,
) -> Credential {
    let mut fields = current.fields.duplicate();
    // A private key with other letters in it is no key, and would never be sent.
    if let Some(jwt) = &document.auth.own.jwt
        && let Some(other) = other()
        && let Some((name, other)) = signer(&jwt.key, &current.fields, other)
    {
        fields.insert(name, other, true);
        return Credential { id: None, fields };
    }
    let chosen = &document.control.fields;
    let wrong = |name: &String, secret: bool| if chosen.is_empty() { secret } else { chosen.contains(name) };
    for (name, form) in document.fields.iter().filter(|(name, form)| wrong(name, form.secret)) {
        let model = current.fields.get(name).map(|field| field.value.expose()).unwrap_or_default();
        let value = match document.control.decoy {
            Decoy::SameShape => shape::decoy(model, form),
        };
        fields.insert(name.clone(), value, form.secret);
    }
    Credential { id: None, fields }
}
