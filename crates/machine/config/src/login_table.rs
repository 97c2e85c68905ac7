//! The table of a server on which two logins take turns. Each kind of server declares the keys of its table.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use keyroll_logins::{Key, KeyForm, LoginServer, Table, Value, is_static_role};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};

use crate::at::At;
use crate::mistake::{Mistake, U16_FORM};
use crate::mistakes::{Mistakes, Read};
use crate::suggest::likely;
use crate::{Kind, Reference};

/// The longest path on a server's machine, bytes.
const PATH_BYTES_MAX: usize = 4_096;
/// The longest name of a static role with its mount, bytes.
const STATIC_ROLE_BYTES_MAX: usize = 512;

/// A value as it is written, of any key.
#[derive(Debug)]
pub(crate) enum Written {
    Text(String),
    Number(i64),
    Array(Vec<At<Self>>),
    Table(WrittenTable),
    /// A boolean, a fraction or a time: no key of a server takes one.
    Other,
}

/// A table as it is written.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct WrittenTable(BTreeMap<At<String>, At<Written>>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
        Ok(Written::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Written, E> {
        Ok(Written::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Written, E> {
        Ok(Written::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Written::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            table.insert(key, value);
        }
        Ok(Written::Table(WrittenTable(table)))
    }
}

/// Reads the table of a server.
pub(crate) fn read(
    server: &LoginServer,
    table: &At<WrittenTable>,
    folder: &Path,
    all: &mut Mistakes,
) -> Read<Table> {
    let named = format!("[secrets.NAME.{}] needs {}", server.word, required(server));
    read_keys(server.keys, (&table.value, &table.span), folder, &named, all)
}

/// The required keys of a server, in words: `host` and two `slots`.
pub(crate) fn required(server: &LoginServer) -> String {
    let required = server.keys.iter().filter(|key| key.required);
    let mut words: Vec<String> = required
        .map(|key| match key.form {
            KeyForm::Slots { .. } => format!("two `{}`", key.name),
            KeyForm::Host
            | KeyForm::Port(_)
            | KeyForm::Name(_)
            | KeyForm::StaticRoles
            | KeyForm::ServerPath
            | KeyForm::File
            | KeyForm::Tables(_) => format!("`{}`", key.name),
        })
        .collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}

/// Reads a table with these keys. `needed`: the help for a key that is missing.
fn read_keys(
    keys: &[Key],
    (table, span): (&WrittenTable, &Range<usize>),
    folder: &Path,
    needed: &str,
    all: &mut Mistakes,
) -> Read<Table> {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let unknown: Vec<&At<String>> =
        table.0.keys().filter(|written| !names.contains(&written.value.as_str())).collect();
    // A key that was meant by an unknown one is not missing too.
    let meant = unknown.iter().flat_map(|written| likely(&written.value, &names));
    let meant: Vec<&str> = meant.collect();
    for written in &unknown {
        all.push(Mistake::unknown_key(&written.value, &names).at(&written.span));
    }
    let mut values = Vec::new();
    for key in keys {
        let written = table.0.iter().find(|(name, _)| name.value == key.name).map(|(_, value)| value);
        let value = match (written, key.form) {
            (Some(written), KeyForm::Tables(keys)) => {
                read_tables((key.name, keys), written, folder, all).map(Value::Tables)
            }
            (Some(written), form) => {
                all.note(read_value(key.name, form, written, table, folder).map_err(|fault| fault.at(span)))
            }
            (None, KeyForm::Port(default)) => Some(Value::Port(default)),
            (None, _) if key.required => {
                if !meant.contains(&key.name) {
                    let why = format!("the key `{}` is missing", key.name);
                    all.push(Mistake::new(Kind::WrongForm, why).at(span).help(needed));
                }
                None
            }
            (None, _) => continue,
        };
        values.push(value.map(|value| (key.name, value)));
    }
    let values: Vec<_> = values.into_iter().collect::<Option<_>>()?;
    unknown.is_empty().then_some(Table { values })
}

/// Reads the tables of a list, each with these keys.
fn read_tables(
    (key, keys): (&str, &[Key]),
    written: &At<Written>,
    folder: &Path,
    all: &mut Mistakes,
) -> Read<Vec<Table>> {
    let required: Vec<String> =
        keys.iter().filter(|key| key.required).map(|key| format!("`{}`", key.name)).collect();
    let needed = format!("each of these tables needs {}", required.join(", "));
    let mut tables = Vec::new();
    for item in all.note(items(key, written))? {
        let table = match &item.value {
            Written::Table(table) => read_keys(keys, (table, &item.span), folder, &needed, all),
            Written::Text(_) | Written::Number(_) | Written::Array(_) | Written::Other => {
                all.note(Err(Mistake::wrong_form(key, true, "a table").at(&item.span)))
            }
        };
        tables.push(table);
    }
    tables.into_iter().collect()
}

fn read_value(
    key: &str,
    form: KeyForm,
    written: &At<Written>,
    table: &WrittenTable,
    folder: &Path,
) -> Result<Value, Mistake> {
    match form {
        KeyForm::Host => read_host(&text(key, written)?).map(Value::Text),
        KeyForm::Name(bytes_max) => read_name(key, bytes_max, &text(key, written)?).map(Value::Text),
        KeyForm::ServerPath => read_server_path(key, &text(key, written)?).map(Value::Text),
        KeyForm::File => {
            let Reference::File(path) = Reference::read(folder, key, &text(key, written)?)?;
            Ok(Value::File(path))
        }
        KeyForm::Port(_) => {
            let number = if let Written::Number(number) = written.value { Some(number) } else { None };
            let port = number.and_then(|number| u16::try_from(number).ok());
            port.map(Value::Port).ok_or_else(|| wrong_form(key, U16_FORM, written))
        }
        KeyForm::Slots { noun, apart_from, unless } => {
            let has = |key: &str| table.0.keys().any(|name| name.value == key);
            let apart_from = apart_from.filter(|_| !unless.is_some_and(has));
            read_slots(key, noun, apart_from, written, table)
        }
        KeyForm::StaticRoles => read_static_roles(key, written),
        // `read_tables` reads them.
        KeyForm::Tables(_) => items(key, written).map(|_| Value::Tables(Vec::new())),
    }
}

/// Two logins that differ from each other, and from the login in the key `apart_from`.
fn read_slots(
    key: &str,
    noun: &str,
    apart_from: Option<&str>,
    written: &At<Written>,
    table: &WrittenTable,
) -> Result<Value, Mistake> {
    let mut slots = Vec::new();
    for item in items(key, written)? {
        slots.push(read_name(key, NAME_BYTES_MAX, &text(key, item)?)?);
    }
    let other = table.0.iter().find(|(name, _)| Some(name.value.as_str()) == apart_from);
    let is_other = |slot: &String| {
        other.is_some_and(|(_, value)| matches!(&value.value, Written::Text(text) if text == slot))
    };
    match <[String; 2]>::try_from(slots) {
        Ok(slots) if slots[0] != slots[1] && !slots.iter().any(is_other) => Ok(Value::Slots(slots)),
        Ok(_) | Err(_) => {
            let and = apart_from.map_or_else(String::new, |other| format!(" and from `{other}`"));
            let why = format!("`{key}` must name two {noun} that differ from each other{and}");
            Err(Mistake::new(Kind::BadCombination, why).at(&written.span))
        }
    }
}

/// Two static roles of Vault or OpenBao that differ from each other.
fn read_static_roles(key: &str, written: &At<Written>) -> Result<Value, Mistake> {
    let mut roles = Vec::new();
    for item in items(key, written)? {
        let role = text(key, item)?;
        let plain = |one: char| !one.is_control() && !one.is_whitespace();
        let fits = role.value.len() <= STATIC_ROLE_BYTES_MAX && role.value.chars().all(plain);
        if !fits || !is_static_role(&role.value) {
            let why = format!(
                "`{key}` must name static roles as MOUNT/NAME, with at most {STATIC_ROLE_BYTES_MAX} bytes and without spaces"
            );
            return Err(Mistake::new(Kind::WrongForm, why)
                .at(&role.span)
                .help("such as \"database/orders-a\"; `vault list database/static-roles` lists the names"));
        }
        roles.push(role.value);
    }
    match <[String; 2]>::try_from(roles) {
        Ok(roles) if roles[0] != roles[1] => Ok(Value::StaticRoles(roles)),
        Ok(_) | Err(_) => {
            let why = format!("`{key}` must name two static roles that differ, in the order of the logins");
            Err(Mistake::new(Kind::BadCombination, why).at(&written.span))
        }
    }
}

/// PostgreSQL cuts longer names off silently (NAMEDATALEN - 1); the other servers take longer ones.
const NAME_BYTES_MAX: usize = 63;

fn wrong_form(key: &str, expected: &str, written: &At<Written>) -> Mistake {
    Mistake::wrong_form(key, false, expected).at(&written.span)
}

fn text(key: &str, written: &At<Written>) -> Result<At<String>, Mistake> {
    match &written.value {
        Written::Text(text) => Ok(At { value: text.clone(), span: written.span.clone() }),
        Written::Number(_) | Written::Array(_) | Written::Table(_) | Written::Other => {
            Err(wrong_form(key, "a string", written))
        }
    }
}

fn items<'w>(key: &str, written: &'w At<Written>) -> Result<&'w [At<Written>], Mistake> {
    match &written.value {
        Written::Array(items) => Ok(items),
        Written::Text(_) | Written::Number(_) | Written::Table(_) | Written::Other => {
            Err(wrong_form(key, "a list", written))
        }
    }
}

fn read_name(key: &str, bytes_max: usize, text: &At<String>) -> Result<String, Mistake> {
    let fits = (1..=bytes_max).contains(&text.value.len()) && !text.value.chars().any(char::is_control);
    if fits {
        return Ok(text.value.clone());
    }
    let why = format!("`{key}` must be 1 to {bytes_max} bytes without control characters");
    Err(Mistake::new(Kind::BadName, why).at(&text.span))
}

fn read_host(text: &At<String>) -> Result<String, Mistake> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '@';
    if (1..=255).contains(&text.value.len()) && text.value.chars().all(plain) {
        return Ok(text.value.clone());
    }
    Err(Mistake::new(Kind::WrongForm, "`host` must be a name, an address or a folder").at(&text.span))
}

/// A path on the server's machine is not resolved here.
fn read_server_path(key: &str, text: &At<String>) -> Result<String, Mistake> {
    let path = &text.value;
    if path.starts_with('/') && path.len() <= PATH_BYTES_MAX && !path.chars().any(char::is_control) {
        return Ok(path.clone());
    }
    let why = format!("`{key}` must be an absolute path on the server's machine");
    Err(Mistake::new(Kind::BadPath, why).at(&text.span))
}

/// The tables of a server by their names in the schema: its own, and those of its keys.
pub(crate) fn definitions(server: &LoginServer) -> Vec<(String, Json)> {
    let mut all = vec![(server.word.to_owned(), schema(server.word, server.doc, server.keys))];
    for key in server.keys {
        if let KeyForm::Tables(keys) = key.form {
            let name = format!("{}.{}", server.word, key.name);
            let schema = schema(&name, key.doc, keys);
            all.push((name, schema));
        }
    }
    all
}

/// The key of a server's table in the schema of a secret.
pub(crate) fn property(server: &LoginServer) -> Json {
    json!({
        "description": format!("The server, and the two logins between which rotations alternate; only with `issuer = \"{}\"`.", server.word),
        "anyOf": [{ "$ref": format!("#/$defs/{}", server.word) }, { "type": "null" }],
    })
}

fn schema(name: &str, doc: &str, keys: &[Key]) -> Json {
    let properties: Map<String, Json> =
        keys.iter().map(|key| (key.name.to_owned(), key_schema(name, key))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    json!({
        "description": doc,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn key_schema(table: &str, key: &Key) -> Json {
    let one = |kind: &str| if key.required { json!(kind) } else { json!([kind, "null"]) };
    match key.form {
        KeyForm::Host | KeyForm::Name(_) | KeyForm::ServerPath | KeyForm::File => {
            json!({ "description": key.doc, "type": one("string") })
        }
        KeyForm::Port(_) => json!({
            "description": key.doc, "type": one("integer"), "format": "uint16", "minimum": 0, "maximum": 65535,
        }),
        KeyForm::Slots { .. } | KeyForm::StaticRoles => {
            json!({ "description": key.doc, "type": "array", "items": { "type": "string" } })
        }
        KeyForm::Tables(_) => {
            let items = json!({ "$ref": format!("#/$defs/{table}.{}", key.name) });
            json!({ "description": key.doc, "type": "array", "items": items })
        }
    }
}
