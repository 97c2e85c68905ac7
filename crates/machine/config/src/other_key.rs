use toml_edit::{Array, Item, Table, TableLike, Value, value};

use crate::edit::{checked, open, push};
use crate::mistake::Mistake;
use crate::other_key_shape::OtherKeyShape;
use crate::{Config, ConfigError, Kind, OtherKey, is_unseen};

impl OtherKey {
    /// A key as it is written in the file.
    pub(crate) fn read(shape: &OtherKeyShape) -> Result<Self, Mistake> {
        let plain = |text: &str| !text.is_empty() && !text.chars().any(is_unseen);
        if !plain(&shape.id.value) {
            let why = "`other_keys.id` must not be empty, and have no characters that are not seen";
            return Err(Mistake::new(Kind::WrongForm, why).at(&shape.id.span));
        }
        let parts: Vec<&str> = shape.label.value.split('/').collect();
        let numbered = matches!(parts.as_slice(), ["keyroll", rotation, step] if plain(rotation) && step.bytes().all(|byte| byte.is_ascii_digit()) && step.parse::<u64>().is_ok());
        if !numbered {
            let why = "`other_keys.label` must be a whole label: keyroll/ROTATION/STEP";
            return Err(Mistake::new(Kind::WrongForm, why).at(&shape.label.span));
        }
        Ok(Self { id: shape.id.value.clone(), label: shape.label.value.clone() })
    }
}

/// Writes a key of another keyroll into the secret's `other_keys`; comments, order and spacing stay. The text stays as it is
/// if the key is there already. The result is checked completely before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if there is no secret of this name; any other kind if the result would be refused.
pub fn accept_key(text: &str, file_name: &str, secret: &str, key: &OtherKey) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    if has(text, file_name, secret, key)? {
        return Ok(text.to_owned());
    }
    let mut document = open(text, file_name)?;
    let mut table = Table::new();
    table.insert("id", value(key.id.as_str()));
    table.insert("label", value(key.label.as_str()));
    push(&mut document, (secret, "other_keys"), value(Array::new()), table).map_err(refuse)?;
    checked(document, file_name)
}

/// Takes a key of another keyroll out of the secret's `other_keys` again. The text stays as it is if the key is not there.
///
/// # Errors
/// As [`accept_key`].
pub fn withdraw_key(
    text: &str,
    file_name: &str,
    secret: &str,
    key: &OtherKey,
) -> Result<String, ConfigError> {
    if !has(text, file_name, secret, key)? {
        return Ok(text.to_owned());
    }
    let mut document = open(text, file_name)?;
    let keys = document
        .get_mut("secrets")
        .and_then(|secrets| secrets.get_mut(secret))
        .and_then(|secret| secret.get_mut("other_keys"));
    match keys {
        Some(Item::ArrayOfTables(all)) => all.retain(|table| !is(table, key)),
        Some(Item::Value(Value::Array(all))) => {
            all.retain(|one| !one.as_inline_table().is_some_and(|table| is(table, key)));
        }
        Some(Item::None | Item::Table(_) | Item::Value(_)) | None => {}
    }
    checked(document, file_name)
}

fn has(text: &str, file_name: &str, secret: &str, key: &OtherKey) -> Result<bool, ConfigError> {
    let config = Config::parse(text, file_name)?;
    let secret = config.secret(secret).map_err(|help| {
        let why = format!("there is no secret `{secret}`");
        ConfigError::new(Kind::BadEdit, file_name, why, None, Some(help))
    })?;
    Ok(secret.other_keys.contains(key))
}

fn is(table: &dyn TableLike, key: &OtherKey) -> bool {
    let text = |name: &str| table.get(name).and_then(Item::as_str);
    text("id") == Some(key.id.as_str()) && text("label") == Some(key.label.as_str())
}
