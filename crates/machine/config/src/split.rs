//! The two edits of a split: one gives a consumer a secret of its own; the other reverses that, so that all consumers
//! can be inspected at once.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use crate::edit::{checked, open};
use crate::{Config, ConfigError, Kind, Name};

/// A consumer that gets a secret of its own.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerSplit<'a> {
    /// The shared secret.
    pub secret: &'a Name,
    /// The consumer.
    pub consumer: &'a Name,
    /// The new secret.
    pub member: &'a Name,
}

/// Moves a consumer out of a secret into a secret of its own with the same settings; comments, order and spacing stay.
/// The result is checked whole before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if a secret or the consumer is missing, or the new name exists; any other kind if the result would
/// be refused.
pub fn split_consumer(text: &str, file_name: &str, split: &ConsumerSplit<'_>) -> Result<String, ConfigError> {
    let ConsumerSplit { secret, consumer, member } = *split;
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    let before = Config::parse(text, file_name)?;
    if before.secrets.contains_key(member) {
        return Err(refuse(format!("there is a secret `{member}` already")));
    }
    let mut document = open(text, file_name)?;
    let shared = table(&mut document, secret)
        .ok_or_else(|| refuse(format!("secret `{secret}` is not written as a table of its own")))?;
    let mut own = shared.clone();
    let moved = take(shared, consumer)
        .ok_or_else(|| refuse(format!("secret `{secret}` has no consumer `{consumer}`")))?;
    own.insert("consumers", moved);
    unplaced(&mut own);
    // Comments above the shared table belong to the shared secret.
    own.decor_mut().set_prefix("\n");
    if let Some(secrets) = secrets(&mut document) {
        secrets.insert(member.as_str(), Item::Table(own));
    }
    checked(document, file_name)
}

/// Moves the consumers of these secrets back into the secret that they were split from, and removes their own tables.
///
/// # Errors
/// [`Kind::BadEdit`] if a secret is missing or not a table; any other kind if the result would be refused.
pub fn join_consumers(
    text: &str,
    file_name: &str,
    secret: &Name,
    members: &[Name],
) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    let mut document = open(text, file_name)?;
    let mut all = Vec::new();
    for member in members {
        let own = table(&mut document, member)
            .ok_or_else(|| refuse(format!("there is no table of a secret `{member}`")))?;
        all.extend(own.remove("consumers").into_iter().flat_map(tables));
        secrets(&mut document).and_then(|secrets| secrets.remove(member.as_str()));
    }
    let shared = table(&mut document, secret)
        .ok_or_else(|| refuse(format!("secret `{secret}` is not written as a table of its own")))?;
    let mut consumers = ArrayOfTables::new();
    let own = shared.remove("consumers").into_iter().flat_map(tables);
    for mut consumer in own.chain(all) {
        unplaced(&mut consumer);
        consumers.push(consumer);
    }
    shared.insert("consumers", Item::ArrayOfTables(consumers));
    checked(document, file_name)
}

fn secrets(document: &mut DocumentMut) -> Option<&mut dyn TableLike> {
    document.get_mut("secrets")?.as_table_like_mut()
}

pub(crate) fn table<'a>(document: &'a mut DocumentMut, secret: &Name) -> Option<&'a mut Table> {
    secrets(document)?.get_mut(secret.as_str())?.as_table_mut()
}

pub(crate) fn named(item: Option<&Item>, consumer: &Name) -> bool {
    item.and_then(Item::as_str) == Some(consumer.as_str())
}

/// Removes one consumer and returns it as an array; the key is removed with the last consumer.
pub(crate) fn take(secret: &mut Table, consumer: &Name) -> Option<Item> {
    let (moved, empty) = match secret.get_mut("consumers")? {
        Item::ArrayOfTables(all) => {
            let at = all.iter().position(|table| named(table.get("name"), consumer))?;
            let mut one = ArrayOfTables::new();
            one.push(all.remove(at));
            (Item::ArrayOfTables(one), all.is_empty())
        }
        Item::Value(Value::Array(all)) => {
            let name = |value: &Value| value.as_inline_table()?.get("name")?.as_str().map(str::to_owned);
            let at = all.iter().position(|value| name(value).as_deref() == Some(consumer.as_str()))?;
            let mut one = Array::new();
            one.push(all.remove(at));
            (Item::Value(Value::Array(one)), all.is_empty())
        }
        Item::None | Item::Table(_) | Item::Value(_) => return None,
    };
    if empty {
        secret.remove("consumers");
    }
    Some(moved)
}

pub(crate) fn tables(consumers: Item) -> Vec<Table> {
    match consumers {
        Item::ArrayOfTables(all) => all.into_iter().collect(),
        Item::Value(Value::Array(all)) => {
            let inline =
                |value| if let Value::InlineTable(one) = value { Some(one.into_table()) } else { None };
            all.into_iter().filter_map(inline).collect()
        }
        Item::None | Item::Table(_) | Item::Value(_) => Vec::new(),
    }
}

/// The table is written at its new position, not at its old position in the file.
fn unplaced(table: &mut Table) {
    table.set_position(None);
    table.iter_mut().for_each(|(_, item)| unplaced_item(item));
}

/// The same for all tables of an item.
pub(crate) fn unplaced_item(item: &mut Item) {
    match item {
        Item::Table(inner) => unplaced(inner),
        Item::ArrayOfTables(all) => all.iter_mut().for_each(unplaced),
        Item::None | Item::Value(_) => {}
    }
}
