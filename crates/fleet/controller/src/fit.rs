//! From the `spec` of an object to the table of a secret.

use std::path::{Component, Path};

use keyroll_config::{IssuerRef, KubeAddress, NAME_BYTES_MAX, Name};
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::bounds::Bounds;
use crate::object::SecretRotation;
use crate::refusal::{Refusal, no_consumer, no_folder, of_aws, out_of_folder, outside};

/// A table, and what of it is not for an object.
type Fitted = (Table, Vec<Refusal>);

/// A path that is put in place of one that is refused, so that the parser finds the other mistakes.
const ELSEWHERE: &str = "file:/elsewhere";

/// The table of an object's secret: its `spec`, the host of each consumer, and paths in the folder of the namespace. With a
/// refusal it is only to be checked for further mistakes.
pub(crate) fn fit(object: &SecretRotation, bounds: &Bounds<'_>) -> Result<Fitted, Refusal> {
    if Name::new(object.secret()).is_none() {
        return Err(Refusal::new(
            format!(
                "its secret would be called NAMESPACE.NAME, which must be 1 to {NAME_BYTES_MAX} of a-z 0-9 . _ -"
            ),
            "make an object of a shorter name",
        ));
    }
    if bounds.address.namespace.as_ref() != Some(&object.namespace) {
        return Err(Refusal::new(
            format!("it is not in the namespace of the host `{}`", bounds.host),
            "correct [hosts] in keyroll's base file",
        ));
    }
    let mut mistakes = Vec::new();
    let mut table = table(&object.spec, &mut mistakes);
    // An empty list of hosts to search is what an object has anyway.
    table.retain(|key, value| key != "searched_hosts" || !value.as_array().is_some_and(Vec::is_empty));
    mistakes.extend(table.keys().filter_map(|key| outside(key)));
    let of_aws_keys = table.get("issuer").and_then(Value::as_str) == Some(IssuerRef::aws_word());
    if of_aws_keys {
        mistakes.push(of_aws());
    }
    // A key that is to be left out has no other mistakes; an issuer needs its table.
    table.retain(|key, _| outside(key).is_none() || of_aws_keys && key == "aws");
    for key in ["admin", "issuer"] {
        mistakes.extend(place(key, &mut table, bounds.folder).err());
    }
    mistakes.extend(fill_hosts(&mut table, bounds.host));
    if table.get("store").and_then(Value::as_str).is_some_and(|store| store.starts_with("k8s:")) {
        table.insert("kubernetes".to_owned(), Value::Table(cluster(bounds.address)));
    }
    Ok((table, mistakes))
}

/// Writes the host of every consumer.
fn fill_hosts(table: &mut Table, host: &Name) -> Vec<Refusal> {
    let consumers = table.get_mut("consumers").and_then(Value::as_array_mut);
    let Some(consumers) = consumers.filter(|consumers| !consumers.is_empty()) else {
        return vec![no_consumer()];
    };
    let mut mistakes = Vec::new();
    for consumer in consumers.iter_mut().filter_map(Value::as_table_mut) {
        let own = Value::String(host.to_string());
        let before = consumer.insert("host".to_owned(), own.clone());
        let is_other = before.is_some_and(|written| written != own);
        if consumer.remove("hosts").is_some() || is_other {
            mistakes.push(Refusal::new(
                "a consumer has a `host` or `hosts` of its own, and a consumer of an object is in the object's namespace",
                "leave out `host` and `hosts`; consumers elsewhere are for keyroll's base file",
            ));
        }
    }
    mistakes
}

/// Writes the whole path of a reference to a file, which must be in the folder of the namespace.
fn place(key: &str, table: &mut Table, folder: Option<&Path>) -> Result<(), Refusal> {
    let Some(Value::String(text)) = table.get_mut(key) else { return Ok(()) };
    // The parser refuses a reference to nothing.
    let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) else { return Ok(()) };
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let (whole, placed) = match folder {
        None => (ELSEWHERE.to_owned(), Err(no_folder(key))),
        Some(folder) if Path::new(path).components().all(is_inside) => {
            (format!("file:{}", folder.join(path).display()), Ok(()))
        }
        Some(_) => (ELSEWHERE.to_owned(), Err(out_of_folder(key))),
    };
    *text = whole;
    placed
}

/// How a store `k8s:` is reached: as the host is.
fn cluster(address: &KubeAddress) -> Table {
    let mut table = Table::new();
    match &address.context {
        None => {
            table.insert("in_cluster".to_owned(), Value::Boolean(true));
        }
        Some(context) => {
            table.insert("context".to_owned(), Value::String(context.clone()));
            if let Some(path) = &address.kubeconfig {
                table.insert("kubeconfig".to_owned(), Value::String(path.display().to_string()));
            }
        }
    }
    table
}

fn table(json: &Map<String, Json>, mistakes: &mut Vec<Refusal>) -> Table {
    let all = json.iter().filter_map(|(key, json)| Some((key.clone(), value(json, mistakes)?)));
    all.collect()
}

/// The same value in TOML, which has no null: it is left out.
fn value(json: &Json, mistakes: &mut Vec<Refusal>) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::String(text) => Value::String(text.clone()),
        Json::Object(object) => Value::Table(table(object, mistakes)),
        Json::Array(items) => Value::Array(items.iter().filter_map(|item| value(item, mistakes)).collect()),
        Json::Number(number) => match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(fraction)) => Value::Float(fraction),
            (None, None) => {
                mistakes.push(Refusal::new("a number in its `spec` is too large", "correct it"));
                Value::Integer(i64::MAX)
            }
        },
    })
}
