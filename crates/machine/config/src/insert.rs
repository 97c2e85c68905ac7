//! Writes secrets and consumers that were found on a machine, and hosts of another list, into a configuration. Text is only
//! inserted; no existing byte is moved or changed.

use std::ops::Range;

use toml_edit::{Array, Document, InlineTable, Item, Key, TableLike, Value};

use crate::{Config, ConfigError, Kind, Name, is_unseen};

/// The longest line of a comment, bytes, unless one word is longer.
const COMMENT_BYTES_MAX: usize = 118;

/// A secret that was found, to be written into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSecret {
    /// Its name.
    pub name: Name,
    /// Comments above its table.
    pub notes: Vec<String>,
    /// Its issuer, as written: `openrouter`, `file:./acme.toml`.
    pub issuer: String,
    /// The admin credential's reference, as written.
    pub admin: Option<String>,
    /// The table of its server below its own, as it is written: without it such an issuer is refused.
    pub table: Option<String>,
}

/// A consumer that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundConsumer {
    /// Its name.
    pub name: Name,
    /// The machines that it runs on; none: the one that keyroll runs on.
    pub hosts: Vec<Name>,
    /// Comments above its table.
    pub notes: Vec<String>,
    /// The keys of its table `runs`.
    pub runs: Vec<(&'static str, Said)>,
    /// The copies that it starts from, as tables of `reads`.
    pub reads: Vec<FoundCopy>,
    /// Comments within its table.
    pub within: Vec<String>,
    /// In a cluster: External Secrets writes what it reads.
    pub synced: bool,
}

/// A copy, as a table of `reads`.
pub type FoundCopy = Vec<(&'static str, String)>;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(String),
    /// A command.
    Words(Vec<String>),
    /// `true`.
    Yes,
}

/// A host to write into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    /// Its name.
    pub name: Name,
    /// How it is reached, as written: `ssh://deploy@web-1`.
    pub connect: String,
    /// Whether keyroll-host is started with `sudo` there.
    pub sudo: bool,
    /// The group that it belongs to.
    pub group: Option<Name>,
}

impl NewHost {
    /// Its table.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("[hosts.{}]", Key::new(self.name.as_str()))];
        lines.push(format!("connect = {}", quoted(&self.connect)));
        lines.extend(self.group.iter().map(|group| format!("group = {}", quoted(group.as_str()))));
        lines.extend(self.sudo.then(|| "sudo = true".to_owned()));
        lines.join("\n") + "\n"
    }
}

impl FoundSecret {
    /// Its table, with that of its server.
    pub fn text(&self) -> String {
        let mut lines = comments(&self.notes);
        lines.push(format!("[secrets.{}]", Key::new(self.name.as_str())));
        lines.push(format!("issuer = {}", quoted(&self.issuer)));
        lines.extend(self.admin.iter().map(|admin| format!("admin  = {}", quoted(admin))));
        let head = lines.join("\n") + "\n";
        self.table.iter().fold(head, |head, table| format!("{head}\n{table}"))
    }
}

impl FoundConsumer {
    /// Its table below a secret.
    pub fn text(&self, secret: &Name) -> String {
        let mut lines = comments(&self.notes);
        lines.push(format!("[[secrets.{}.consumers]]", Key::new(secret.as_str())));
        lines.push(format!("name  = {}", quoted(self.name.as_str())));
        lines.extend(self.where_it_runs().map(|(key, hosts)| format!("{key:<5} = {hosts}")));
        lines.push(format!("runs  = {}", self.runs_table()));
        lines.extend(self.synced.then(|| "synced = true".to_owned()));
        lines.extend(comments(&self.within));
        // End the table with a key, so that text inserted after it later also comes after its comments.
        lines.push(match self.reads.as_slice() {
            [only] => format!("reads = {}", copy_table(only)),
            several => {
                let tables = several.iter().map(|one| format!("  {},\n", copy_table(one)));
                format!("reads = [\n{}]", tables.collect::<String>())
            }
        });
        lines.join("\n") + "\n"
    }

    /// The key that names its machines.
    fn where_it_runs(&self) -> Option<(&'static str, Value)> {
        match self.hosts.as_slice() {
            [] => None,
            [only] => Some(("host", quoted(only.as_str()))),
            several => Some(("hosts", Value::Array(several.iter().map(Name::as_str).collect::<Array>()))),
        }
    }

    fn runs_table(&self) -> InlineTable {
        let said = |said: &Said| match said {
            Said::Text(text) => Value::from(text.as_str()),
            Said::Words(words) => Value::Array(words.iter().collect::<Array>()),
            Said::Yes => Value::from(true),
        };
        self.runs.iter().map(|(key, value)| (*key, said(value))).collect()
    }
}

fn copy_table(copy: &FoundCopy) -> InlineTable {
    copy.iter().map(|(key, value)| (*key, Value::from(value.as_str()))).collect()
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

/// The lines as TOML comments, whatever they contain; long lines are wrapped.
pub fn comments(lines: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for line in lines {
        let line: String = line.chars().map(|letter| if is_unseen(letter) { ' ' } else { letter }).collect();
        let mut now = "#".to_owned();
        for word in line.split(' ') {
            if now.len() > 1 && now.len() + word.len() >= COMMENT_BYTES_MAX {
                all.push(now.trim_end().to_owned());
                now = "#  ".to_owned();
            }
            now.push(' ');
            now.push_str(word);
        }
        all.push(now.trim_end().to_owned());
    }
    all
}

/// Adds a secret at the end. The result is checked completely before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if the secret exists; any other kind if the result would be refused.
pub fn with_secret(text: &str, file_name: &str, new: &FoundSecret) -> Result<String, ConfigError> {
    if Config::parse(text, file_name)?.secrets.contains_key(&new.name) {
        let why = format!("there is a secret `{}` already", new.name);
        return Err(ConfigError::new(Kind::BadEdit, file_name, why, None, None));
    }
    checked(&put(text, text.len(), &new.text()), file_name)
}

/// Adds hosts at the end. The result is checked completely before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if one of the hosts exists, or `hosts` is not written as tables; any other kind if the result would be
/// refused.
pub fn with_hosts(text: &str, file_name: &str, new: &[NewHost]) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    let before = Config::parse(text, file_name)?;
    if let Some(known) = new.iter().find(|host| before.hosts.contains_key(&host.name)) {
        return Err(refuse(format!("there is a host `{}` already", known.name)));
    }
    if open(text, file_name)?.get("hosts").is_some_and(Item::is_value) {
        return Err(refuse("`hosts` is not written as tables: write `[hosts.NAME]` for each".to_owned()));
    }
    let edited = new.iter().fold(text.to_owned(), |text, host| put(&text, text.len(), &host.text()));
    checked(&edited, file_name)
}

/// Adds a consumer after the existing text of its secret; if the consumers are a list of inline tables, after the last
/// one.
///
/// # Errors
/// [`Kind::BadEdit`] if the secret is missing or has the consumer already; any other kind if the result would be refused.
pub fn with_consumer(
    text: &str,
    file_name: &str,
    secret: &Name,
    new: &FoundConsumer,
) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::new(Kind::BadEdit, file_name, why, None, None);
    let before = Config::parse(text, file_name)?;
    let known = before.secrets.get(secret.as_str());
    let known = known.ok_or_else(|| refuse(format!("there is no secret `{secret}`")))?;
    if known.consumer(new.name.as_str()).is_some() {
        return Err(refuse(format!("secret `{secret}` has a consumer `{}` already", new.name)));
    }
    let document = open(text, file_name)?;
    let table = document.get("secrets").and_then(|all| all.get(secret.as_str()));
    let table = table.ok_or_else(|| refuse(format!("secret `{secret}` is not written as a table")))?;
    if let Some(list) = table.get("consumers").and_then(Item::as_array) {
        let mut one = InlineTable::new();
        one.insert("name", quoted(new.name.as_str()));
        if let Some((key, hosts)) = new.where_it_runs() {
            one.insert(key, hosts);
        }
        one.insert("runs", Value::InlineTable(new.runs_table()));
        if new.synced {
            one.insert("synced", Value::from(true));
        }
        one.insert("reads", Value::Array(new.reads.iter().map(copy_table).collect()));
        let at =
            behind_last(list).ok_or_else(|| refuse(format!("the place of `consumers` of `{secret}`")))?;
        let before = if list.is_empty() { "" } else { ", " };
        return checked(&inserted(text, &[(at, &format!("{before}{one}"))]), file_name);
    }
    let end = end_of(table)
        .ok_or_else(|| refuse(format!("secret `{secret}` is not written as a table of its own")))?;
    checked(&put(text, end, &new.text(secret)), file_name)
}

/// Adds a copy to a consumer.
///
/// # Errors
/// [`Kind::BadEdit`] if the consumer is missing, or its `reads` are tables of their own; any other kind if the result would
/// be refused.
pub fn with_copy(
    text: &str,
    file_name: &str,
    (secret, consumer): (&Name, &Name),
    new: &FoundCopy,
) -> Result<String, ConfigError> {
    let refuse = || {
        let why = format!("`reads` of `{consumer}` of `{secret}` is not written in one place");
        ConfigError::new(Kind::BadEdit, file_name, why, None, None)
    };
    let document = open(text, file_name)?;
    let consumers = document
        .get("secrets")
        .and_then(|all| all.get(secret.as_str()))
        .and_then(|secret| secret.get("consumers"))
        .ok_or_else(refuse)?;
    let tables: Vec<&dyn TableLike> = match consumers {
        Item::ArrayOfTables(all) => all.iter().map(|table| table as &dyn TableLike).collect(),
        Item::Value(Value::Array(all)) => {
            all.iter().filter_map(|value| Some(value.as_inline_table()? as &dyn TableLike)).collect()
        }
        Item::None | Item::Table(_) | Item::Value(_) => Vec::new(),
    };
    let named = |table: &&&dyn TableLike| table.get("name").and_then(Item::as_str) == Some(consumer.as_str());
    let reads = tables.iter().find(named).and_then(|table| table.get("reads")).ok_or_else(refuse)?;
    let copy = copy_table(new);
    let edited = match reads {
        Item::Value(Value::InlineTable(one)) => {
            let Range { start, end } = one.span().ok_or_else(refuse)?;
            inserted(text, &[(start, "["), (end, &format!(", {copy}]"))])
        }
        Item::Value(Value::Array(all)) => {
            let at = behind_last(all).ok_or_else(refuse)?;
            let before = if all.is_empty() { "" } else { ", " };
            inserted(text, &[(at, &format!("{before}{copy}"))])
        }
        Item::Value(Value::String(_)) => {
            let why = format!("`{consumer}` of `{secret}` reads the store itself: it has no copies");
            return Err(ConfigError::new(Kind::BadEdit, file_name, why, None, None));
        }
        Item::None | Item::Table(_) | Item::ArrayOfTables(_) | Item::Value(_) => return Err(refuse()),
    };
    checked(&edited, file_name)
}

fn open<'t>(text: &'t str, file_name: &str) -> Result<Document<&'t str>, ConfigError> {
    Document::parse(text)
        .map_err(|_| ConfigError::new(Kind::BadEdit, file_name, "cannot be edited: not TOML", None, None))
}

fn checked(text: &str, file_name: &str) -> Result<String, ConfigError> {
    Config::parse(text, file_name).map(|_| text.to_owned())
}

/// The position after the last element of a list, or after its bracket if it is empty.
fn behind_last(list: &Array) -> Option<usize> {
    match list.iter().last() {
        Some(last) => last.span().map(|span| span.end),
        None => list.span().map(|span| span.start + 1),
    }
}

/// The end of the last part of an item.
fn end_of(item: &Item) -> Option<usize> {
    let own = item.span().map(|span| span.end);
    let within = match item {
        Item::Table(table) => table.iter().filter_map(|(_, item)| end_of(item)).max(),
        Item::ArrayOfTables(all) => {
            let of = |table: &toml_edit::Table| {
                let within = table.iter().filter_map(|(_, item)| end_of(item)).max();
                within.max(table.span().map(|span| span.end))
            };
            all.iter().filter_map(of).max()
        }
        Item::None | Item::Value(_) => None,
    };
    own.max(within)
}

/// Inserts lines after the line of this position, with an empty line between.
fn put(text: &str, at: usize, lines: &str) -> String {
    let rest = text.get(at..).unwrap_or_default();
    let end = rest.find('\n').map_or(text.len(), |length| at + length + 1);
    let end = if at == text.len() { at } else { end };
    let before = text.get(..end).unwrap_or_default();
    let mut block = String::new();
    if !before.is_empty() && !before.ends_with('\n') {
        block.push('\n');
    }
    if !before.is_empty() && !before.ends_with("\n\n") && !before.ends_with("\n\r\n") {
        block.push('\n');
    }
    block.push_str(lines);
    if text.contains("\r\n") {
        block = block.replace('\n', "\r\n");
    }
    inserted(text, &[(end, &block)])
}

/// The text with other texts inserted at these positions, which are in order.
fn inserted(text: &str, all: &[(usize, &str)]) -> String {
    let (mut whole, mut from) = (String::new(), 0);
    for (at, new) in all {
        whole.push_str(text.get(from..*at).unwrap_or_default());
        whole.push_str(new);
        from = *at;
    }
    whole.push_str(text.get(from..).unwrap_or_default());
    whole
}
