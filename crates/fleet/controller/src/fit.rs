//! From the `spec` of an object to the table of a secret.

use std::path::{Component, Path};

use keyroll_config::{IssuerRef, KubeAddress, NAME_BYTES_MAX, Name};
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::bounds::Bounds;
use crate::object::SecretRotation;
use crate::refusal::{Refusal, of_aws, out_of_folder, outside};

/// The table of an object's secret: its `spec`, the host of each consumer, and paths in the folder of the namespace.
pub(crate) fn fit(object: &SecretRotation, bounds: &Bounds<'_>) -> Result<Table, Refusal> {
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
    let mut table = table(&object.spec)?;
    // An empty list of hosts to search is what an object has anyway.
    table.retain(|key, value| key != "searched_hosts" || !value.as_array().is_some_and(Vec::is_empty));
    let mut mistakes: Vec<Refusal> = table.keys().filter_map(|key| outside(key)).collect();
    if table.get("issuer").and_then(Value::as_str) == Some(IssuerRef::aws_word()) {
        mistakes.push(of_aws());
    }
    for key in ["admin", "issuer"] {
        mistakes.extend(place(key, &mut table, bounds.folder).err());
    }
    mistakes.extend(fill_hosts(&mut table, bounds.host).err());
    Refusal::of_all(mistakes)?;
    if table.get("store").and_then(Value::as_str).is_some_and(|store| store.starts_with("k8s:")) {
        table.insert("kubernetes".to_owned(), Value::Table(cluster(bounds.address)));
    }
    Ok(table)
}

/// Writes the host of every consumer.
fn fill_hosts(table: &mut Table, host: &Name) -> Result<(), Refusal> {
    let consumers = table.get_mut("consumers").and_then(Value::as_array_mut);
    let Some(consumers) = consumers.filter(|consumers| !consumers.is_empty()) else {
        return Err(Refusal::new(
            "it names no consumer, so that a rotation would give the new value to nobody",
            "write `consumers`: a list, each with `name`, `runs` and `reads`",
        ));
    };
    for consumer in consumers.iter_mut().filter_map(Value::as_table_mut) {
        let own = Value::String(host.to_string());
        let is_other = consumer.get("host").is_some_and(|written| *written != own);
        if is_other || consumer.contains_key("hosts") {
            return Err(Refusal::new(
                "a consumer has a `host` or `hosts` of its own, and a consumer of an object is in the object's namespace",
                "leave out `host` and `hosts`; consumers elsewhere are for keyroll's base file",
            ));
        }
        consumer.insert("host".to_owned(), own);
    }
    Ok(())
}

/// Writes the whole path of a reference to a file, which must be in the folder of the namespace.
fn place(key: &str, table: &mut Table, folder: Option<&Path>) -> Result<(), Refusal> {
    let Some(Value::String(text)) = table.get_mut(key) else { return Ok(()) };
    // The parser refuses a reference to nothing.
    let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) else { return Ok(()) };
    let Some(folder) = folder else {
        return Err(Refusal::new(
            format!("`{key}` names a file, and its namespace has no folder of files"),
            "the folder is `folder` under [server.kubernetes.namespaces.HOST] in keyroll's base file",
        ));
    };
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(path).components().all(is_inside) {
        return Err(out_of_folder(key));
    }
    let whole = format!("file:{}", folder.join(path).display());
    *text = whole;
    Ok(())
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

fn table(json: &Map<String, Json>) -> Result<Table, Refusal> {
    let mut table = Table::new();
    for (key, json) in json {
        if let Some(value) = value(json)? {
            table.insert(key.clone(), value);
        }
    }
    Ok(table)
}

/// The same value in TOML, which has no null: it is left out.
fn value(json: &Json) -> Result<Option<Value>, Refusal> {
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::String(text) => Value::String(text.clone()),
        Json::Object(object) => Value::Table(table(object)?),
        Json::Array(items) => {
            let items: Result<Vec<Option<Value>>, Refusal> = items.iter().map(value).collect();
            Value::Array(items?.into_iter().flatten().collect())
        }
        Json::Number(number) => match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(fraction)) => Value::Float(fraction),
            (None, None) => return Err(Refusal::new("a number in its `spec` is too large", "correct it")),
        },
    }))
}
