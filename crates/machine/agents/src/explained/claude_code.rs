//! Claude Code. Source: code.claude.com/docs/en/authentication and /settings, read 2026-11. Since 2.0.1 `env` of
//! settings wins over the environment (anthropics/claude-code#8500).

use std::path::{Path, PathBuf};

use super::read::node;
use super::{Explained, Look, ranked, started};
use crate::document::Node;
use crate::{AgentLink, AgentLinkRole, AgentSlot};

const AGENT: &str = "Claude Code";

/// The settings that each session reads at its start.
const SESSION: &str = "a new session";

const APPROVED: &str = "an edit while a session runs; and a new key is asked about once, by its last characters: a session without a person waits";

/// A managed file of the machine; it wins over every user's.
const MANAGED: &str = "/etc/claude-code/managed-settings.json";

pub(super) fn keys(look: &Look<'_>) -> Vec<Explained> {
    let home = (look.tells)("CLAUDE_CONFIG_DIR").map_or_else(|| look.home.join(".claude"), PathBuf::from);
    let mut files = vec![PathBuf::from(MANAGED)];
    if let Some(folder) = look.folder {
        files.extend(["settings.local.json", "settings.json"].map(|name| folder.join(".claude").join(name)));
    }
    files.push(home.join("settings.json"));
    // The project's folder may be the home itself.
    files.dedup();
    let files: Vec<(PathBuf, Node)> =
        files.into_iter().filter_map(|path| Some((path.clone(), node(&path, Node::json)?.ok()?))).collect();
    let mut links = Vec::new();
    // A bearer token wins over a key, wherever each of them is.
    for variable in ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"] {
        links.extend(files.iter().filter(|(_, file)| file.has(&["env", variable])).map(|(path, _)| {
            link(path, format!("env.{variable} of {}", path.display()), format!("/env/{variable}"))
        }));
        if (look.started_with)(variable) {
            links.push(started(variable, SESSION, Some(APPROVED)));
        }
    }
    let helper = files.iter().find(|(_, file)| file.has(&["apiKeyHelper"]));
    links.extend(helper.map(|(path, _)| AgentLink {
        what: format!("apiKeyHelper of {}: a program that prints the key", path.display()),
        applies: "nothing: it is asked again after some minutes, and after a refusal with 401",
        seems: Some("a refusal with 403: it is not asked again"),
        ..link(path, String::new(), "/apiKeyHelper".to_owned())
    }));
    if (look.started_with)("CLAUDE_CODE_OAUTH_TOKEN") {
        links.push(started("CLAUDE_CODE_OAUTH_TOKEN", SESSION, None));
    }
    let stored = home.join(".credentials.json");
    if let Some(read) = node(&stored, Node::json) {
        let known = read.is_ok_and(|file| file.has(&["claudeAiOauth", "accessToken"]));
        links.push(AgentLink {
            role: if known {
                AgentLinkRole::Shadowed
            } else {
                AgentLinkRole::NotVisible("it has another form than its documentation describes")
            },
            applies: "`claude auth login`: a token of one owner, which it renews itself",
            seems: Some("writing the file: the next renewal writes over it"),
            ..link(
                &stored,
                format!("the login in {}", stored.display()),
                "/claudeAiOauth/accessToken".to_owned(),
            )
        });
    }
    match links.is_empty() {
        true => Vec::new(),
        false => vec![Explained { agent: AGENT, name: "anthropic".to_owned(), links: ranked(links) }],
    }
}

fn link(path: &Path, what: String, pointer: String) -> AgentLink {
    AgentLink {
        what,
        file: Some(path.to_owned()),
        slot: Some(AgentSlot::Pointer(pointer)),
        role: AgentLinkRole::Shadowed,
        applies: SESSION,
        seems: Some(APPROVED),
    }
}
