//! n8n. Source: docs.n8n.io/hosting/configuration (encryption key, credential overwrites, environment variables) and
//! the schema of its database, read 2026-11.

use keyroll_database::rusqlite::types::ValueRef;
use keyroll_database::rusqlite::{self, Row};

use super::read::{database, folder, node};
use super::{Explained, Look, ranked, started};
use crate::document::Node;
use crate::{AgentLink, AgentLinkRole, AgentSlot};

const AGENT: &str = "n8n";

/// The longest text of a row that is shown, characters.
const SHOWN_CHARS_MAX: usize = 200;

const API: &str = "`PATCH /api/v1/credentials/ID`: its workflows go on naming it";

pub(super) fn keys(look: &Look<'_>) -> Vec<Explained> {
    // The variable names the parent folder.
    let home = folder(look, "N8N_USER_FOLDER", "").join(".n8n");
    let mut all = credentials(look, &home.join("database.sqlite"));
    let settings = home.join("config");
    let mut links = Vec::new();
    if (look.started_with)("N8N_ENCRYPTION_KEY") {
        let seems = Some("another value: it refuses to start while its settings file has the old one");
        links.push(started("N8N_ENCRYPTION_KEY", NEVER, seems));
    }
    if node(&settings, Node::json).and_then(Result::ok).is_some_and(|file| file.has(&["encryptionKey"])) {
        links.push(AgentLink {
            what: format!("encryptionKey of {}", settings.display()),
            file: Some(settings),
            slot: Some(AgentSlot::Pointer("/encryptionKey".to_owned())),
            role: AgentLinkRole::Shadowed,
            applies: NEVER,
            seems: Some("a new one: every credential in the database is lost"),
        });
    }
    if !links.is_empty() {
        all.push(Explained { agent: AGENT, name: "encryption key".to_owned(), links: ranked(links) });
    }
    all
}

const NEVER: &str = "nothing: it cannot be replaced without losing what it encrypts";

/// Each credential of the database, by its name and kind: its value is encrypted.
fn credentials(look: &Look<'_>, path: &std::path::Path) -> Vec<Explained> {
    if !path.is_file() {
        return Vec::new();
    }
    let link = |what: String, row: Option<String>, why| AgentLink {
        what,
        file: Some(path.to_owned()),
        slot: row.map(AgentSlot::Row),
        role: AgentLinkRole::NotVisible(why),
        applies: API,
        seems: Some("deleting it and making another one: workflows name it by its id"),
    };
    let listed = database(path).and_then(|database| {
        let odd = |_| "its database has another form than its documentation describes";
        let columns = ["id", "name", "type"];
        let mut rows = database.select("credentials_entity", &columns, "LIMIT 1000").map_err(odd)?;
        let read = |row: &Row<'_>| Ok((short(row, 0)?, short(row, 1)?, short(row, 2)?));
        let mut found =
            rows.query_map([], read).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(odd)?;
        found.sort();
        Ok(found)
    });
    let found = match listed {
        Ok(found) => found,
        Err(why) => {
            let links = vec![link(path.display().to_string(), None, why)];
            return vec![Explained { agent: AGENT, name: "credentials".to_owned(), links }];
        }
    };
    let overwritten = (look.started_with)("CREDENTIALS_OVERWRITE_DATA");
    let explain = |(id, name, kind): (String, String, String)| {
        let what = format!("credential '{name}' ({kind}) of {}", path.display());
        let row = format!("credentials_entity.id={id}");
        let mut links = vec![link(what, Some(row), "it is encrypted")];
        if overwritten {
            let mut over = started("CREDENTIALS_OVERWRITE_DATA", "a new process", None);
            over.role = AgentLinkRole::NotVisible("it may set fields of this kind of credential");
            links.insert(0, over);
        }
        Explained { agent: AGENT, name, links }
    };
    found.into_iter().map(explain).collect()
}

/// The beginning of a row's text for display; an untrusted writer may have made it very long.
fn short(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    match row.get_ref(at)? {
        ValueRef::Integer(number) => Ok(number.to_string()),
        ValueRef::Text(_) => Ok(row.get_ref(at)?.as_str()?.chars().take(SHOWN_CHARS_MAX).collect()),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Ok("?".to_owned()),
    }
}
