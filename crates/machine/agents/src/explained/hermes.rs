//! Hermes. Source: hermes-agent.nousresearch.com/docs/user-guide/configuration and NousResearch/hermes-agent#21013,
//! #55528, #119162, read 2026-11.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_copy::Format;

use super::read::{bytes, folder, node};
use super::{Explained, Look, ranked, started};
use crate::document::Node;
use crate::{AgentLink, AgentLinkRole, AgentSlot};

const AGENT: &str = "Hermes";

/// How the name of a key's variable ends.
const ENDS: [&str; 3] = ["_API_KEY", "_TOKEN", "_SECRET"];

const TURN: &str =
    "nothing: the next turn reads it; where an auxiliary client kept the old one `hermes gateway restart`";

pub(super) fn keys(look: &Look<'_>) -> Vec<Explained> {
    let home = folder(look, "HERMES_HOME", ".hermes");
    let mut all = variables(look, &home);
    all.extend(pool(&home));
    all.extend(settings(&home));
    all
}

/// `.env`, key by key.
fn variables(look: &Look<'_>, home: &Path) -> Vec<Explained> {
    let path = home.join(".env");
    let Some(file) = bytes(&path) else { return Vec::new() };
    let names: BTreeSet<String> = Format::Dotenv
        .variables(file.expose())
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, value)| {
            ENDS.iter().any(|end| name.ends_with(end)) && value.as_ref().is_ok_and(|value| !value.is_empty())
        })
        .map(|(name, _)| name)
        .collect();
    let explain = |name: String| {
        let mut links = vec![AgentLink {
            what: format!("{name} of {}", path.display()),
            file: Some(path.clone()),
            slot: Some(AgentSlot::Variable(name.clone())),
            role: AgentLinkRole::Shadowed,
            applies: TURN,
            seems: Some("`hermes auth reset`: it forgets that a key was refused, and takes no other one"),
        }];
        if (look.started_with)(&name) {
            // Releases differ in which of the two wins.
            links.insert(
                0,
                AgentLink {
                    role: AgentLinkRole::NotVisible("which of the two wins depends on the release"),
                    ..started(&name, "a new process, without the variable", Some("an edit of .env"))
                },
            );
        }
        Explained { agent: AGENT, name, links: ranked(links) }
    };
    names.into_iter().map(explain).collect()
}

/// Several keys of one provider that take turns: a refused key is skipped, and the next one is used.
fn pool(home: &Path) -> Vec<Explained> {
    let path = home.join("auth.json");
    let Some(read) = node(&path, Node::json) else { return Vec::new() };
    let Ok(file) = read else {
        let links = vec![AgentLink {
            what: path.display().to_string(),
            file: Some(path.clone()),
            slot: None,
            role: AgentLinkRole::NotVisible("it has another form than its documentation describes"),
            applies: "`hermes auth`",
            seems: None,
        }];
        return vec![Explained { agent: AGENT, name: "auth.json".to_owned(), links }];
    };
    let mut all = Vec::new();
    let link = |pointer: String, what: String| AgentLink {
        what,
        file: Some(path.clone()),
        slot: Some(AgentSlot::Pointer(pointer)),
        role: AgentLinkRole::Shadowed,
        applies: "`hermes auth`, then `hermes auth reset PROVIDER`: a new key inherits that the old one was refused",
        seems: Some("an answer of the provider: another key of the pool may have given it"),
    };
    for (provider, entries) in file.at("credential_pool").map(Node::names).unwrap_or_default() {
        let links: Vec<AgentLink> = (0..)
            .zip(entries.entries())
            .flat_map(|(at, entry): (usize, &Node)| {
                let names = entry.names().iter().filter(|(name, node)| holds_key(name, node));
                names.map(move |(name, _)| (at, name)).collect::<Vec<_>>()
            })
            .map(|(at, name)| {
                let what = format!("key {at} of {provider} in the pool of {}", path.display());
                link(format!("/credential_pool/{provider}/{at}/{name}"), what)
            })
            .collect();
        if !links.is_empty() {
            // Each of them may win: they take turns.
            all.push(Explained { agent: AGENT, name: provider.clone(), links: turns(links) });
        }
    }
    for (provider, entry) in file.at("providers").map(Node::names).unwrap_or_default() {
        let names = entry.names().iter().filter(|(name, node)| holds_key(name, node));
        let links: Vec<AgentLink> = names
            .map(|(name, _)| {
                let what = format!("{name} of {provider} in {}", path.display());
                link(format!("/providers/{provider}/{name}"), what)
            })
            .collect();
        if !links.is_empty() {
            all.push(Explained { agent: AGENT, name: provider.clone(), links: ranked(links) });
        }
    }
    all
}

/// Keys that take turns: only a single key is certain to be used.
fn turns(mut links: Vec<AgentLink>) -> Vec<AgentLink> {
    let role = match links.len() {
        1 => AgentLinkRole::Wins,
        _ => AgentLinkRole::NotVisible("the keys of a pool take turns"),
    };
    links.iter_mut().for_each(|link| link.role = role);
    links
}

fn holds_key(name: &str, node: &Node) -> bool {
    let key = ["api_key", "access_token", "refresh_token", "key", "token", "agent_key"].contains(&name);
    key && matches!(node, Node::Text(text) if !text.is_empty())
}

/// Whether this is a key itself and not a reference to a variable.
fn is_literal(node: Option<&Node>) -> bool {
    matches!(node, Some(Node::Text(text)) if !text.is_empty() && !text.expose().starts_with(b"${"))
}

/// Keys that are written in `config.yaml` itself.
fn settings(home: &Path) -> Vec<Explained> {
    let path = home.join("config.yaml");
    let Some(Ok(file)) = node(&path, Node::yaml) else { return Vec::new() };
    let link = |pointer: String| AgentLink {
        what: format!("{} of {}", pointer.trim_start_matches('/').replace('/', "."), path.display()),
        file: Some(path.clone()),
        slot: Some(AgentSlot::Pointer(pointer)),
        role: AgentLinkRole::Wins,
        applies: "`hermes gateway restart`, or a new session",
        seems: Some("a new key in .env"),
    };
    let mut all = Vec::new();
    if is_literal(file.at("model").and_then(|model| model.at("api_key"))) {
        let links = vec![link("/model/api_key".to_owned())];
        all.push(Explained { agent: AGENT, name: "model".to_owned(), links });
    }
    for (at, provider) in (0..).zip(file.at("custom_providers").map(Node::entries).unwrap_or_default()) {
        let at: usize = at;
        if is_literal(provider.at("api_key")) {
            let name = provider.at("name").and_then(Node::name).unwrap_or_else(|| at.to_string());
            all.push(Explained {
                agent: AGENT,
                name,
                links: vec![link(format!("/custom_providers/{at}/api_key"))],
            });
        }
    }
    all
}
