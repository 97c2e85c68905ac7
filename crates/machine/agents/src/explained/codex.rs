//! Codex. Source: developers.openai.com/codex/auth and /config-reference, read 2026-11.

use std::path::Path;

use super::read::{folder, node};
use super::{Explained, Look, ranked, started};
use crate::document::Node;
use crate::{AgentLink, AgentLinkRole, AgentSlot};

const AGENT: &str = "Codex";

const SESSION: &str = "a new session";

pub(super) fn keys(look: &Look<'_>) -> Vec<Explained> {
    let home = folder(look, "CODEX_HOME", ".codex");
    let settings_at = home.join("config.toml");
    let settings = node(&settings_at, Node::toml).and_then(Result::ok);
    let mut all = Vec::new();
    let mut links = Vec::new();
    // Only `codex exec` reads this variable, before the stored key.
    if (look.started_with)("CODEX_API_KEY") {
        links.push(started("CODEX_API_KEY", SESSION, None));
    }
    let stored = home.join("auth.json");
    let store = settings.as_ref().and_then(|it| it.at("cli_auth_credentials_store")?.name());
    if let Some(read) = node(&stored, Node::json) {
        let file = read.ok();
        let has = |names: &[&str]| file.as_ref().is_some_and(|file| file.has(names));
        let link = |what: String, pointer: &str, role, applies, seems| AgentLink {
            what,
            file: Some(stored.clone()),
            slot: Some(AgentSlot::Pointer(pointer.to_owned())),
            role,
            applies,
            seems,
        };
        let in_keyring = store.as_deref() == Some("keyring");
        let role = if in_keyring { AgentLinkRole::NotRead } else { AgentLinkRole::Shadowed };
        if has(&["OPENAI_API_KEY"]) {
            let what = format!("OPENAI_API_KEY of {}", stored.display());
            let applies = "`codex login --with-api-key` (the key on standard input), then a new session";
            let seems = Some("a new OPENAI_API_KEY in the environment: the stored one is used");
            links.push(link(what, "/OPENAI_API_KEY", role, applies, seems));
        }
        if has(&["tokens", "access_token"]) {
            let what = format!("the login in {}", stored.display());
            let applies = "`codex login`: a token of one owner, which it renews itself";
            let seems = Some("a copy on a second machine: the first to renew it ends the other's");
            links.push(link(what, "/tokens/access_token", role, applies, seems));
        }
        if file.is_none() || !(has(&["OPENAI_API_KEY"]) || has(&["tokens", "access_token"])) {
            let role = AgentLinkRole::NotVisible("it has another form than its documentation describes");
            links.push(link(format!("{}", stored.display()), "", role, SESSION, None));
        }
    }
    if store.as_deref().is_some_and(|store| store != "file") {
        links.push(AgentLink {
            what: "the keyring of the user's session".to_owned(),
            file: None,
            slot: None,
            role: AgentLinkRole::NotVisible("it is encrypted"),
            applies: "`codex login`",
            seems: None,
        });
    }
    if !links.is_empty() {
        all.push(Explained { agent: AGENT, name: "openai".to_owned(), links: ranked(links) });
    }
    all.extend(settings.iter().flat_map(|file| providers(look, file, &settings_at)));
    all
}

/// The providers in its settings, each with its own variable or token.
fn providers(look: &Look<'_>, settings: &Node, settings_at: &Path) -> Vec<Explained> {
    let mut all = Vec::new();
    for (name, provider) in settings.at("model_providers").map(Node::names).unwrap_or_default() {
        let mut links = Vec::new();
        if let Some(variable) = provider.at("env_key").and_then(Node::name) {
            let mut link = started(&variable, SESSION, Some("a new value in a shell that runs already"));
            link.what += &format!(" (`env_key` of {})", settings_at.display());
            if !(look.started_with)(&variable) {
                link.role = AgentLinkRole::NotVisible("no session that runs now was started with it");
            }
            links.push(link);
        }
        if provider.has(&["experimental_bearer_token"]) {
            links.push(AgentLink {
                what: format!("experimental_bearer_token of {name} in {}", settings_at.display()),
                file: Some(settings_at.to_owned()),
                slot: Some(AgentSlot::Pointer(format!("/model_providers/{name}/experimental_bearer_token"))),
                role: AgentLinkRole::Shadowed,
                applies: SESSION,
                seems: None,
            });
        }
        if !links.is_empty() {
            all.push(Explained { agent: AGENT, name: name.clone(), links: ranked(links) });
        }
    }
    all
}
