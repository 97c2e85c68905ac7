use keyroll_template::{Piece, pieces};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::pointer::Pointer;

/// What a placeholder is replaced with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `{label}`: keyroll's label for the new credential.
    Label,
    /// `{admin}`: the admin credential's value. `{admin/NAME}`: the text at this position in it, if it is a JSON document.
    Admin(Option<Pointer>),
    /// `{token}`: the access token that the admin credential was exchanged for.
    Token,
    /// `{jwt}`: the JWT that the caller signed.
    Jwt,
    /// `{hmac}`: the HMAC that the caller computed.
    Hmac,
    /// `{time}`: the time at which the caller signs, in seconds since 1970.
    Time,
    /// `{cred.id}`: the id of the credential that the operation is about.
    CredId,
    /// `{cred.NAME}`: a field of that credential.
    CredField(String),
    /// `{cred.NAME/PLACE}`: the text at this position in a field of that credential that is a JSON document.
    CredPart(String, Pointer),
    /// `{current.id}`: the id of the current credential, for `mint`, `get` and `list`.
    CurrentId,
    /// `{current.NAME}`: a field of the current credential.
    CurrentField(String),
    /// `{copy.NAME}`: a setting that `op.get` read. As a whole JSON string it keeps the type that it was read with.
    Copy(String),
    /// `{session.handle}`: the id of the session to end.
    SessionHandle,
    /// `{since}`: the time after which refused calls are requested.
    Since,
    /// `{session.force}`: `true` if a session with a request in progress may be ended too, else `false`.
    SessionForce,
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Literal text.
    Literal(String),
    /// A placeholder.
    Slot(Slot),
}

/// Text with placeholders in braces, such as `{admin}`; `{{` and `}}` are literal braces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Its pieces in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The placeholders in it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Literal(_) => None,
        })
    }

    /// The one placeholder that the template consists of.
    pub(crate) fn sole_slot(&self) -> Option<&Slot> {
        match self.0.as_slice() {
            [Part::Slot(slot)] => Some(slot),
            _ => None,
        }
    }

    /// The setting, if the template consists of one `{copy.NAME}` only.
    pub(crate) fn sole_copy(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Slot(Slot::Copy(name))] => Some(name),
            _ => None,
        }
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let part = |piece| {
            Ok(match piece {
                Piece::Text(text) => Part::Literal(text),
                Piece::Placeholder { name, .. } => Part::Slot(slot(name)?),
            })
        };
        let pieces = pieces(&text).map_err(|error| error.to_string())?;
        pieces.into_iter().map(part).collect::<Result<_, _>>().map(Self)
    }
}

fn slot(name: &str) -> Result<Slot, String> {
    let named = |prefix: &str| {
        let field = name.strip_prefix(prefix)?;
        let plain = field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (plain && !field.is_empty()).then(|| field.to_owned())
    };
    if let Some((whole, _)) = name.split_once('/') {
        let pointer = Pointer::try_from(name.split_at(whole.len()).1.to_owned())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        return match whole.strip_prefix("cred.") {
            _ if whole == "admin" => Ok(Slot::Admin(Some(pointer))),
            Some(field) if !field.is_empty() && field.bytes().all(plain) => {
                Ok(Slot::CredPart(field.to_owned(), pointer))
            }
            Some(_) | None => Err(UNKNOWN.to_owned()),
        };
    }
    let known = match name {
        "token" => Some(Slot::Token),
        "jwt" => Some(Slot::Jwt),
        "hmac" => Some(Slot::Hmac),
        "time" => Some(Slot::Time),
        "label" => Some(Slot::Label),
        "since" => Some(Slot::Since),
        "admin" => Some(Slot::Admin(None)),
        "cred.id" => Some(Slot::CredId),
        "current.id" => Some(Slot::CurrentId),
        "session.handle" => Some(Slot::SessionHandle),
        "session.force" => Some(Slot::SessionForce),
        _ => named("cred.")
            .map(Slot::CredField)
            .or_else(|| named("current.").map(Slot::CurrentField))
            .or_else(|| named("copy.").map(Slot::Copy)),
    };
    known.ok_or_else(|| UNKNOWN.to_owned())
}

const UNKNOWN: &str = "this placeholder is unknown; there are {label}, {admin}, {admin/PLACE}, {token}, {jwt}, {hmac}, {time}, {cred.id}, \
     {cred.FIELD}, {cred.FIELD/PLACE}, {current.id}, {current.FIELD}, {copy.NAME}, {since}, {session.handle} and \
     {session.force}";

/// A JSON body whose strings are templates.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "serde_json::Map<String, Value>")]
pub(crate) enum JsonTemplate {
    /// A string.
    Text(Template),
    /// A boolean, a number or nothing.
    Plain(Value),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object, whose keys are literal.
    Object(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Every text in it.
    pub(crate) fn texts(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) => vec![template],
            Self::Plain(_) => Vec::new(),
            Self::Array(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Object(entries) => entries.iter().flat_map(|(_, value)| value.texts()).collect(),
        }
    }
}

impl TryFrom<Value> for JsonTemplate {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::try_from(text)?),
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value),
            Value::Array(items) => {
                Self::Array(items.into_iter().map(Self::try_from).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let entry = |(key, value)| Ok::<_, String>((key, Self::try_from(value)?));
                Self::Object(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_braces() {
        let parse = |text: &str| Template::try_from(text.to_owned());
        let bearer = parse("Bearer {admin}").unwrap();
        assert_eq!(bearer.parts(), [Part::Literal("Bearer ".to_owned()), Part::Slot(Slot::Admin(None))]);
        assert_eq!(parse("{{x}}").unwrap().parts(), [Part::Literal("{x}".to_owned())]);
        assert_eq!(parse("{copy.scopes}").unwrap().sole_copy(), Some("scopes"));
        assert_eq!(parse("a{copy.scopes}").unwrap().sole_copy(), None);
        let sole = |text: &str| parse(text).unwrap().slots().next().cloned();
        let place = |text: &str| Pointer::try_from(text.to_owned()).unwrap();
        assert_eq!(sole("{admin/a/0}"), Some(Slot::Admin(Some(place("/a/0")))));
        assert_eq!(sole("{cred.value/a}"), Some(Slot::CredPart("value".to_owned(), place("/a"))));
        for wrong in ["{current.value/a}", "{cred./a}", "{admin/~2}", "{cred.a-b/c}"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["{", "}", "{admin", "{cred.}", "{cred.a-b}", "{secret}", "a}b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
