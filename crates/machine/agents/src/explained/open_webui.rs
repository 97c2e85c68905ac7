//! Open WebUI. Source: docs.openwebui.com/getting-started/env-configuration (`PersistentConfig`) and its `config.py`,
//! read 2026-11.

use std::path::PathBuf;

use keyroll_database::rusqlite::OptionalExtension as _;

use super::read::database;
use super::{Explained, Look, ranked, started};
use crate::document::Node;
use crate::{AgentLink, AgentLinkRole, AgentSlot};

const AGENT: &str = "Open WebUI";

/// The keys in the settings that its database stores, and the variables that are read as long as there is no database.
const KEYS: [(&str, &str, [&str; 2]); 2] = [
    ("openai", "api_keys", ["OPENAI_API_KEYS", "OPENAI_API_KEY"]),
    ("audio", "stt", ["AUDIO_STT_OPENAI_API_KEY", "OPENAI_API_KEY"]),
];

const ADMIN: &str = "its admin's page of connections, or its admin API: live at once";

/// Why an edit of the environment has no effect.
const IGNORED: &str = "a new value in the environment and a restart: what was saved at the first start wins";

pub(super) fn keys(look: &Look<'_>) -> Vec<Explained> {
    let Some(path) = place(look) else { return Vec::new() };
    let stored = database(&path).and_then(|database| {
        let odd = |_| "its database has another form than its documentation describes";
        let mut last = database.select("config", &["data", "id"], "ORDER BY id DESC LIMIT 1").map_err(odd)?;
        let cell = last.query_row([], |row| {
            Ok(row.get_ref(0)?.as_bytes().ok().and_then(|bytes| Node::json(bytes).ok()))
        });
        cell.optional().map_err(odd)
    });
    let file = match stored {
        Ok(Some(Some(file))) => Ok(file),
        // Nothing was saved yet: the environment is read.
        Ok(None) => Ok(Node::List(Vec::new())),
        Ok(Some(None)) => Err("the data in its database has another form than its documentation describes"),
        Err(why) => Err(why),
    };
    let unseen = |why| {
        vec![AgentLink {
            what: path.display().to_string(),
            file: Some(path.clone()),
            slot: None,
            role: AgentLinkRole::NotVisible(why),
            applies: ADMIN,
            seems: Some(IGNORED),
        }]
    };
    let file = match file {
        Ok(file) => file,
        Err(why) => return vec![Explained { agent: AGENT, name: "openai".to_owned(), links: unseen(why) }],
    };
    let mut all = Vec::new();
    let ignores =
        (look.tells)("ENABLE_PERSISTENT_CONFIG").is_some_and(|word| word.eq_ignore_ascii_case("false"));
    for (part, key, variables) in KEYS {
        let mut links = stored_at(&path, &file, part, key);
        let set = variables.into_iter().find(|name| (look.started_with)(name));
        if let Some(name) = set {
            let mut link = started(name, "a new process", Some(IGNORED));
            if ignores {
                link.seems = None;
                links.insert(0, link);
            } else {
                link.role = if links.is_empty() { AgentLinkRole::Wins } else { AgentLinkRole::NotRead };
                links.push(link);
            }
        }
        if !links.is_empty() {
            all.push(Explained { agent: AGENT, name: part.to_owned(), links: ranked(links) });
        }
    }
    all
}

/// Each key belongs to its own connection. None wins over another, and the list counts as one place.
fn stored_at(path: &std::path::Path, file: &Node, part: &str, key: &str) -> Vec<AgentLink> {
    let Some(node) = file.at(part) else { return Vec::new() };
    let one = |pointer: String| AgentLink {
        what: format!("{pointer} of the table `config` of {}", path.display()),
        file: Some(path.to_owned()),
        slot: Some(AgentSlot::Row(format!("config.data{pointer}"))),
        role: AgentLinkRole::Shadowed,
        applies: ADMIN,
        seems: Some(IGNORED),
    };
    let listed = node.at(key).map(Node::entries).unwrap_or_default();
    if listed.iter().any(|entry| matches!(entry, Node::Text(text) if !text.is_empty())) {
        return vec![one(format!("/{part}/{key}"))];
    }
    if node.has(&[key, "openai", "api_key"]) {
        return vec![one(format!("/{part}/{key}/openai/api_key"))];
    }
    Vec::new()
}

/// The path of its database: as its variable says, or below the folder that it runs in.
fn place(look: &Look<'_>) -> Option<PathBuf> {
    let named = (look.tells)("DATA_DIR").map(|folder| PathBuf::from(folder).join("webui.db"));
    let below =
        |folder: &std::path::Path| ["data/webui.db", "backend/data/webui.db"].map(|name| folder.join(name));
    let all = named.into_iter().chain(look.folder.into_iter().flat_map(below));
    all.chain([look.home.join(".open-webui/webui.db")]).find(|path| path.is_file())
}
