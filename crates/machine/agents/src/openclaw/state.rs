//! OpenClaw's databases, read and never written: its profiles, the keys that are in its rows now, and the keys that it
//! does not use for a while.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_database::rusqlite::OptionalExtension as _;
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::home::{OpenClawHome, STATE};
use super::key::KeySource;
use crate::database::{Opened, open};

/// The database of an agent, in its folder.
const AGENT: &str = "agent/openclaw-agent.sqlite";

/// The rows of its store.
const STORE: &str = "secret_store_entries";

/// The prefix of the id under which it records the health of a provider's key that is not in a profile.
const INLINE: &str = "inline-api-key:";

/// Its profiles, as its database keeps them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Profiles<Each> {
    /// By their ids; of each what is asked for.
    pub profiles: BTreeMap<String, Each>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Profile {
    provider: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeyProfile {
    key: Option<SecretText>,
    token: Option<SecretText>,
}

/// A text that is a value.
#[derive(Deserialize)]
#[serde(from = "String")]
pub struct SecretText(pub SecretBytes);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretBytes::from(text))
    }
}

/// A row from which it takes a key.
pub struct KeyRow {
    /// A profile or a row of its store.
    pub source: KeySource,
    /// The key in the row.
    pub value: SecretBytes,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Health {
    usage_stats: BTreeMap<String, Usage>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Usage {
    cooldown_until: Option<f64>,
    cooldown_reason: Option<String>,
    disabled_until: Option<f64>,
    disabled_reason: Option<String>,
}

/// A cool-down: until it ends, an agent does not use a key. The gateway answers by itself and calls nobody, whatever
/// the key is now. The cool-down belongs to the provider: a new key inherits it, even through a reload or restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoolDown {
    /// The agent's database.
    pub database: PathBuf,
    /// Its id there.
    pub id: String,
    /// Until when, milliseconds since 1970.
    pub until_unix_ms: u64,
    /// Why: `auth`, `billing`.
    pub reason: String,
}

impl CoolDown {
    /// Whether it applies to the key of this source, and not to another key of the same provider.
    pub fn is_of(&self, source: &KeySource, provider: &str) -> bool {
        match source {
            KeySource::Profile(id) => self.id == *id,
            KeySource::Literal | KeySource::Variable(_) | KeySource::File => self.is_inline(provider),
            KeySource::Program | KeySource::Store(_) => self.is_inline(provider),
        }
    }

    fn is_inline(&self, provider: &str) -> bool {
        self.id.strip_prefix(INLINE) == Some(provider)
    }
}

impl OpenClawHome {
    /// The ids of a provider's profiles, in their order.
    ///
    /// # Errors
    /// The reason why they are not visible.
    pub(super) fn profiles_of(&self, provider: &str) -> Result<Vec<String>, &'static str> {
        let which = "WHERE state_key = 'authProfiles.store'";
        let columns = ["value_json", "state_key"];
        let found = cell(&self.state.join(STATE), "config_machine_state", columns, which)?;
        let found: Profiles<Profile> = found.unwrap_or_default();
        Ok(found.profiles.into_iter().filter(|(_, it)| it.provider == provider).map(|(id, _)| id).collect())
    }

    /// The keys in the rows of its profiles and of its store, including the commits in the database's log.
    ///
    /// # Errors
    /// The reason why they are not visible.
    pub fn key_rows(&self) -> Result<Vec<KeyRow>, &'static str> {
        open(&self.state.join(STATE))?.map_or_else(|| Ok(Vec::new()), |opened| rows_of(&opened))
    }

    /// The keys of a provider that its agents do not use now.
    ///
    /// # Errors
    /// The reason why they are not visible.
    pub fn cool_downs(&self, provider: &str, now_unix_ms: u64) -> Result<Vec<CoolDown>, &'static str> {
        let mut all = Vec::new();
        for agent in self.agents() {
            let database = agent.join(AGENT);
            let columns = ["state_json", "state_key"];
            let found = cell(&database, "auth_profile_state", columns, "WHERE state_key = 'primary'")?;
            let found: Health = found.unwrap_or_default();
            for (id, usage) in found.usage_stats {
                let of = id.strip_prefix(INLINE).unwrap_or(&id).split(':').next();
                let until = [
                    (usage.cooldown_until, usage.cooldown_reason),
                    (usage.disabled_until, usage.disabled_reason),
                ];
                let until = until.into_iter().filter_map(|(until, reason)| Some((whole(until?), reason)));
                let last = until.max_by_key(|(until, _)| *until).filter(|(until, _)| *until > now_unix_ms);
                if let Some((until_unix_ms, reason)) = last
                    && of == Some(provider)
                {
                    let (database, reason) = (database.clone(), reason.unwrap_or_default());
                    all.push(CoolDown { database, id, until_unix_ms, reason });
                }
            }
        }
        Ok(all)
    }
}

/// Milliseconds from JavaScript's number; `as` saturates on purpose.
fn whole(number: f64) -> u64 {
    number as u64
}

/// Reads both tables at one moment: otherwise a key that is moved from one to the other meanwhile would be in neither.
fn rows_of(opened: &Opened) -> Result<Vec<KeyRow>, &'static str> {
    let which = "WHERE state_key = 'authProfiles.store'";
    let found = cell_of(opened, "config_machine_state", ["value_json", "state_key"], which)?;
    let found: Profiles<KeyProfile> = found.unwrap_or_default();
    let mut rows = Vec::new();
    for (id, profile) in found.profiles {
        let keys = [profile.key, profile.token].into_iter().flatten();
        rows.extend(keys.map(|key| KeyRow { source: KeySource::Profile(id.clone()), value: key.0 }));
    }
    if opened.database.tables().map_err(unread)?.iter().any(|table| table == STORE) {
        let mut statement = opened.database.select(STORE, &["name", "value"], "").map_err(unread)?;
        let mut found = statement.query([]).map_err(unread)?;
        while let Some(row) = found.next().map_err(unread)? {
            let name: String = row.get(0).map_err(unread)?;
            let value = row.get_ref(1).and_then(|value| Ok(value.as_bytes()?.to_vec())).map_err(unread)?;
            rows.push(KeyRow { source: KeySource::Store(name), value: SecretBytes::new(value) });
        }
    }
    Ok(rows)
}

fn unread<E>(_: E) -> &'static str {
    "its database cannot be read, or has another form than this release's"
}

/// One JSON cell: the first of two columns. `None` where there is no database or no row.
fn cell<T: DeserializeOwned>(
    path: &Path,
    table: &str,
    columns: [&str; 2],
    which: &'static str,
) -> Result<Option<T>, &'static str> {
    open(path)?.map_or(Ok(None), |opened| cell_of(&opened, table, columns, which))
}

/// The same cell, from an open database.
fn cell_of<T: DeserializeOwned>(
    opened: &Opened,
    table: &str,
    columns: [&str; 2],
    which: &'static str,
) -> Result<Option<T>, &'static str> {
    if !opened.whole {
        return Err("its database is large, so its log cannot be read with it");
    }
    let mut statement = opened.database.select(table, &columns, which).map_err(unread)?;
    let read = statement.query_row([], |row| {
        let cell = row.get_ref(0)?;
        // A list would be read as a table of which every key is missing.
        let text = cell.as_str().ok().filter(|text| text.trim_start().starts_with('{'));
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    });
    match read.optional().map_err(unread)? {
        None => Ok(None),
        Some(Some(found)) => Ok(Some(found)),
        Some(None) => Err("the data in its database has another form than in this release"),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Without its log, a store that holds a key may look empty.
    #[test]
    fn rows_of_a_database_without_its_log_are_not_visible() {
        let folder = tempfile::tempdir().unwrap();
        let home = OpenClawHome::at(folder.path());
        assert!(home.key_rows().is_ok_and(|rows| rows.is_empty()), "there is no database");
        let path = folder.path().join(STATE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let value = keyroll_testkit::alphanumeric(40);
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch(
                "CREATE TABLE config_machine_state (state_key TEXT PRIMARY KEY, value_json TEXT) STRICT;\
                 CREATE TABLE secret_store_entries (name TEXT PRIMARY KEY, value TEXT) STRICT;",
            )
            .unwrap();
        database.execute("INSERT INTO secret_store_entries VALUES ('ACME_KEY', ?1)", [&value]).unwrap();
        drop(database);
        let rows = home.key_rows().unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].source == KeySource::Store("ACME_KEY".to_owned()));
        assert!(rows[0].value.expose() == value.as_bytes());
        let mut opened = open(&path).unwrap().unwrap();
        opened.whole = false;
        assert!(rows_of(&opened).is_err_and(|why| why.contains("log")));
    }
}
