use std::path::Path;

use keyroll_template::escape;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::copy::USERLIST;
use crate::{Config, ConfigError, Kind, Name, Place, Signal, Source, WriteMode};

/// A consumer to write into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsumer {
    /// The secret that it uses; it must exist in the file.
    pub secret: Name,
    /// Its name.
    pub name: Name,
    /// The host by ssh that it runs on; `None` = the machine that keyroll runs on.
    pub host: Option<Name>,
    /// How a new value takes effect.
    pub apply: NewApply,
    /// The executable by which its process is found, and one word of its command line.
    pub process: Option<(String, Option<String>)>,
    /// A file with its process id, in place of `process`.
    pub pid_file: Option<String>,
    /// The copies that it starts from.
    pub reads: Vec<crate::Copy>,
    /// The words of a command that shows whether the value in its copy works; `{copy}` stands for the copy's path.
    pub check: Option<Vec<String>>,
}

/// How a new value takes effect in an adopted process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewApply {
    /// A command.
    Restart(Vec<String>),
    /// A signal.
    Signal(Signal),
    /// A restart of a unit of systemd, by which its processes are found too.
    Unit(String),
    /// Nothing runs: the consumer is a copy without a process.
    AtRest,
}

/// A secret to write into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// Its name.
    pub name: Name,
    /// Its issuer, as written: `openrouter`, `file:./acme.toml`, `postgres`.
    pub issuer: String,
    /// The admin credential's reference, as written.
    pub admin: Option<String>,
    /// Its fields, each with whether it is secret; empty if they are the usual ones.
    pub fields: Vec<(Name, bool)>,
}

/// Adds a consumer to the text; comments, order and spacing stay. The result is checked completely before it is
/// returned.
///
/// # Errors
/// [`Kind::BadEdit`] if the secret is missing or the consumer exists; any other kind if the result would be refused.
pub fn add_consumer(text: &str, file_name: &str, new: &NewConsumer) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    let before = Config::parse(text, file_name)?;
    let secret = before.secret(new.secret.as_str()).map_err(|help| {
        let why = format!("there is no secret `{}` to add a consumer to", new.secret);
        ConfigError::new(Kind::BadEdit, file_name, why, None, Some(help))
    })?;
    if secret.consumer(new.name.as_str()).is_some() {
        return Err(refuse(format!("secret `{}` has a consumer `{}` already", new.secret, new.name)));
    }
    let mut document = open(text, file_name)?;
    let none = Item::ArrayOfTables(ArrayOfTables::new());
    push(&mut document, (new.secret.as_str(), "consumers"), none, consumer_table(new)).map_err(refuse)?;
    checked(document, file_name)
}

/// Adds a table to a list of tables of a secret, in the form that the list has; `none`: that of a list which is not there.
pub(crate) fn push(
    document: &mut DocumentMut,
    (secret, list): (&str, &str),
    none: Item,
    table: Table,
) -> Result<(), String> {
    let of = document
        .get_mut("secrets")
        .and_then(|secrets| secrets.get_mut(secret))
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| format!("secret `{secret}` is not written as a table"))?;
    match of.entry(list).or_insert(none) {
        Item::ArrayOfTables(all) => all.push(table),
        Item::Value(Value::Array(all)) => all.push(table.into_inline_table()),
        Item::None | Item::Table(_) | Item::Value(_) => {
            return Err(format!("`{list}` of `{secret}` is not an array of tables"));
        }
    }
    Ok(())
}

/// Replaces the consumer with this name; other comments, order and spacing stay.
///
/// # Errors
/// [`Kind::BadEdit`] if there is none of this name in an array of tables; any other kind if the result would be refused.
pub fn replace_consumer(text: &str, file_name: &str, new: &NewConsumer) -> Result<String, ConfigError> {
    Config::parse(text, file_name)?;
    let mut document = open(text, file_name)?;
    let consumers = document
        .get_mut("secrets")
        .and_then(|secrets| secrets.get_mut(new.secret.as_str()))
        .and_then(|secret| secret.get_mut("consumers"))
        .and_then(Item::as_array_of_tables_mut);
    let found = consumers.and_then(|all| {
        all.iter_mut().find(|table| table.get("name").and_then(Item::as_str) == Some(new.name.as_str()))
    });
    let Some(found) = found else {
        let why = format!(
            "`{}` has no [[secrets.{}.consumers]] table named `{}`",
            new.secret, new.secret, new.name
        );
        return Err(ConfigError::new(Kind::BadEdit, file_name, why, None, None));
    };
    for (key, item) in consumer_table(new) {
        found.insert(&key, item);
    }
    if new.check.is_none() {
        found.remove("check");
    }
    checked(document, file_name)
}

/// Adds a secret to the text; comments, order and spacing stay. The result is checked completely before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if the secret exists; any other kind if the result would be refused.
pub fn add_secret(text: &str, file_name: &str, new: &NewSecret) -> Result<String, ConfigError> {
    let before = Config::parse(text, file_name)?;
    if before.secrets.contains_key(&new.name) {
        let why = format!("there is a secret `{}` already", new.name);
        let help = "add its value without --issuer and --admin; correct the existing table by hand";
        return Err(ConfigError::new(Kind::BadEdit, file_name, why, None, Some(help.to_owned())));
    }
    let mut document = open(text, file_name)?;
    let mut table = Table::new();
    table.insert("issuer", value(new.issuer.as_str()));
    if let Some(admin) = &new.admin {
        table.insert("admin", value(admin.as_str()));
    }
    table.insert("store", value("keyroll"));
    if !new.fields.is_empty() {
        table.insert("fields", Item::Table(fields_table(&new.fields)));
    }
    let secrets = document.entry("secrets").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let Some(secrets) = secrets.as_table_like_mut() else {
        return Err(ConfigError::new(Kind::BadEdit, file_name, "`secrets` is not a table", None, None));
    };
    secrets.insert(new.name.as_str(), Item::Table(table));
    checked(document, file_name)
}

fn fields_table(fields: &[(Name, bool)]) -> Table {
    let mut table = Table::new();
    for (name, secret) in fields {
        let mut field = InlineTable::new();
        field.insert("secret", (*secret).into());
        table.insert(name.as_str(), value(field));
    }
    table
}

pub(crate) fn open(text: &str, file_name: &str) -> Result<DocumentMut, ConfigError> {
    text.parse::<DocumentMut>()
        .map_err(|_| ConfigError::new(Kind::BadEdit, file_name, "cannot be edited: not TOML", None, None))
}

/// Returns the new text if it is a valid configuration.
pub(crate) fn checked(document: DocumentMut, file_name: &str) -> Result<String, ConfigError> {
    let text = document.to_string();
    Config::parse(&text, file_name).map(|_| text)
}

fn consumer_table(new: &NewConsumer) -> Table {
    let mut runs = InlineTable::new();
    match &new.apply {
        NewApply::Restart(words) => {
            runs.insert("restart", words.iter().collect::<Array>().into());
        }
        NewApply::Signal(signal) => {
            runs.insert("signal", signal.name().into());
        }
        NewApply::Unit(unit) => {
            runs.insert("unit", unit.as_str().into());
        }
        NewApply::AtRest => {
            runs.insert("at_rest", true.into());
        }
    }
    if let Some((path, arg)) = &new.process {
        runs.insert("process", path.as_str().into());
        if let Some(arg) = arg {
            // Escapes a word of a command line: its braces are not placeholders.
            runs.insert("arg", escape(arg).into());
        }
    }
    if let Some(path) = &new.pid_file {
        runs.insert("pid_file", path.as_str().into());
    }
    let mut reads = Array::new();
    for copy in &new.reads {
        reads.push(copy_table(copy));
    }
    let mut table = Table::new();
    table.insert("name", value(new.name.as_str()));
    if let Some(host) = &new.host {
        table.insert("host", value(host.as_str()));
    }
    table.insert("runs", value(runs));
    table.insert("reads", value(reads));
    if let Some(words) = &new.check {
        let mut check = InlineTable::new();
        check.insert("exec", words.iter().collect::<Array>().into());
        table.insert("check", value(check));
    }
    table
}

fn copy_table(copy: &crate::Copy) -> InlineTable {
    let shown = |path: &Path| path.display().to_string();
    let mut table = InlineTable::new();
    match &copy.place {
        Place::EnvFile { path, variable } => {
            table.insert("env_file", shown(path).into());
            table.insert("variable", variable.as_str().into());
        }
        Place::File { path } => {
            table.insert("file", shown(path).into());
        }
        Place::Inside { path, format, at, part } => {
            table.insert("file", shown(path).into());
            table.insert("format", format.name().unwrap_or_default().into());
            table.insert("at", at.as_str().into());
            if *part == Some(keyroll_copy::Part::User) {
                table.insert("part", "user".into());
            }
        }
        Place::Userlist { path, .. } => {
            table.insert("file", shown(path).into());
            table.insert("format", USERLIST.into());
        }
        Place::Within { path, template } => {
            table.insert("file", shown(path).into());
            table.insert("template", template.as_str().into());
        }
        Place::Key { secret, key, .. } => {
            table.insert("secret", secret.as_str().into());
            table.insert("key", key.as_str().into());
        }
    }
    match &copy.source {
        Source::Field(name) => {
            table.insert("field", name.as_str().into());
        }
        Source::Derived(name) => {
            table.insert("derived", name.as_str().into());
        }
        Source::Template(_) => {}
    }
    if let Some(words) = &copy.generated {
        table.insert("generated", words.words().iter().map(crate::Argument::text).collect::<Array>().into());
    }
    match copy.write {
        WriteMode::Rename => {}
        WriteMode::InPlace => {
            table.insert("write", "in_place".into());
        }
    }
    table
}
