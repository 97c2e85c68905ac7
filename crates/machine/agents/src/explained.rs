//! Programs that keyroll knows from their documentation: it locates and explains their keys, and does not rotate them.

mod claude_code;
mod codex;
mod hermes;
mod n8n;
mod open_webui;
mod read;

use std::path::Path;

use crate::{AgentLink, AgentLinkRole, AgentSlot, LITELLM};

/// The sources of one key of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The program.
    pub agent: &'static str,
    /// The key's name in the program: a variable or a provider.
    pub name: String,
    /// The places, the strongest first.
    pub links: Vec<AgentLink>,
}

/// The scope of one search for keys.
pub(crate) struct Look<'a> {
    /// A user's home folder.
    home: &'a Path,
    /// The folder of a running program or of a project, if there is one.
    folder: Option<&'a Path>,
    /// The value of a variable that names a folder; never of a key.
    tells: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a running program was started with a variable; never its value.
    started_with: &'a dyn Fn(&str) -> bool,
}

/// Programs by the names of their commands.
const COMMANDS: [(&str, &str); 7] = [
    ("litellm", LITELLM),
    ("claude", "Claude Code"),
    ("codex", "Codex"),
    ("hermes", "Hermes"),
    ("hermes-agent", "Hermes"),
    ("n8n", "n8n"),
    ("open-webui", "Open WebUI"),
];

/// The program that a word of a command line names, if it is known here.
pub fn agent_of(word: &[u8]) -> Option<&'static str> {
    let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let known = COMMANDS.iter().find(|(command, _)| command.as_bytes() == name);
    known.map(|(_, agent)| *agent)
}

/// Every key of the programs known here, in a user's home and in the folder of a project or of a running program.
/// `tells`: variables that name folders (`CODEX_HOME`). `started_with`: whether a program was started with a variable.
/// Follows no reference out of these folders, and changes nothing.
pub fn explained(
    home: &Path,
    folder: Option<&Path>,
    tells: &dyn Fn(&str) -> Option<String>,
    started_with: &dyn Fn(&str) -> bool,
) -> Vec<Explained> {
    let look = Look { home, folder, tells, started_with };
    [claude_code::keys, codex::keys, hermes::keys, n8n::keys, open_webui::keys]
        .iter()
        .flat_map(|keys| keys(&look))
        .collect()
}

/// The environment of a running program, as a source.
fn started(name: &str, applies: &'static str, seems: Option<&'static str>) -> AgentLink {
    AgentLink {
        what: format!("{name} in the environment that it was started with"),
        file: None,
        slot: Some(AgentSlot::Variable(name.to_owned())),
        role: AgentLinkRole::Shadowed,
        applies,
        seems,
    }
}

/// The first source that can win wins; the later ones are read and lose to it. A source before it that is not visible
/// may win too, so the result is then uncertain.
pub(crate) fn ranked(links: Vec<AgentLink>) -> Vec<AgentLink> {
    let mut decided = false;
    let rank = |mut link: AgentLink| {
        match link.role {
            AgentLinkRole::Wins | AgentLinkRole::Shadowed => {
                link.role = if decided { AgentLinkRole::Shadowed } else { AgentLinkRole::Wins };
                decided = true;
            }
            AgentLinkRole::NotVisible(_) => decided = true,
            AgentLinkRole::NotRead => {}
        }
        link
    };
    links.into_iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_wins_and_what_is_hidden_leaves_nobody_certain() {
        let link = |role| AgentLink { role, ..started("A", "", None) };
        let roles = |all: Vec<AgentLinkRole>| -> Vec<AgentLinkRole> {
            ranked(all.into_iter().map(link).collect()).into_iter().map(|link| link.role).collect()
        };
        use AgentLinkRole::{NotRead, NotVisible, Shadowed, Wins};
        assert_eq!(roles(vec![NotRead, Shadowed, Shadowed]), [NotRead, Wins, Shadowed]);
        assert_eq!(roles(vec![NotVisible("x"), Shadowed]), [NotVisible("x"), Shadowed]);
    }

    #[test]
    fn an_empty_home_has_nothing() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(explained(home.path(), None, &|_| None, &|_| false), []);
    }
}
