use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::OpenClawError;
use super::home::{OpenClawHome, SETTINGS};
use super::settings::{KeyForm, OpenClawSettings};
use crate::{AgentLink, AgentSlot, Standing};

/// Where the key of one model provider comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key itself, in the settings.
    Literal,
    /// A variable; where it stands is told by [`Bound::file`], `None` = in the environment that the gateway was started with.
    Variable(String),
    /// A file that a reference names.
    File,
    /// A program that a reference names.
    Program,
    /// A row of its own store.
    Store(String),
    /// A profile.
    Profile(String),
}

/// What makes a new key live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it looks at its settings, and has the new key about a second later.
    Itself,
    /// Nothing: it sees the change of `env` and restarts itself in its process. It does not listen for 5 to 15 seconds.
    InPlace,
    /// `secrets reload`.
    Reload,
    /// `secrets store set`, then `secrets reload`.
    Store(String),
    /// `models auth paste-api-key` for this profile.
    Profile(String),
    /// Its process must end and another one begin: no reload and no restart in its process reads the variable again.
    Restart,
}

/// From where the key of a provider would be taken by a gateway that starts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// What it is.
    pub source: KeySource,
    /// What makes a new one live.
    pub takes: Takes,
    /// The file that holds it, where one is known.
    pub file: Option<PathBuf>,
    /// Where in it.
    pub slot: Option<AgentSlot>,
    /// All places, the strongest first.
    pub chain: Vec<AgentLink>,
}

const SELF: &str = "nothing: it is read within about a second";
const IN_PLACE: &str = "nothing: the gateway restarts itself in its process, and is away for 5 to 15 s";
const RELOAD: &str = "openclaw secrets reload, with warningCount 0";
const RESTART: &str = "a new process: stop the gateway and start it";
const NO_RELOAD: &str =
    "openclaw secrets reload, openclaw gateway restart, SIGUSR2: each reports success, and the old key stays";
const STORE: &str = "openclaw secrets store set, then openclaw secrets reload";
const PASTE: &str = "openclaw models auth paste-api-key";

impl OpenClawHome {
    /// Where the key of a provider is taken from. `started_with`: the names in the environment that the gateway was started
    /// with, where it runs and they are visible.
    ///
    /// # Errors
    /// The settings cannot be read, or have no such provider.
    pub fn bound(
        &self,
        provider: &str,
        started_with: Option<&BTreeSet<String>>,
    ) -> Result<Bound, OpenClawError> {
        let settings = self.settings()?;
        let Some(form) = settings.providers.get(provider) else {
            let there: Vec<&str> = settings.providers().collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let path = self.settings_file();
            return Err(OpenClawError::NoProvider { path, provider: provider.to_owned(), there });
        };
        match form {
            KeyForm::Literal => Ok(self.literal(provider)),
            KeyForm::Variable(name) => Ok(self.variable(&settings, name, started_with)),
            KeyForm::Profile(id) => Ok(self.of_profile(id)),
            KeyForm::Absent => self.absent(provider),
            KeyForm::Reference { source, resolver, id } => match source.as_str() {
                "env" => Ok(self.variable(&settings, id, started_with)),
                "store" => Ok(self.store(id)),
                "exec" => Ok(self.program(resolver, id)),
                "file" => self.file(&settings, provider, resolver, id),
                _ => Err(self.reference(provider, "of a source that this keyroll does not know")),
            },
        }
    }

    fn reference(&self, provider: &str, why: &str) -> OpenClawError {
        let path = self.settings_file();
        OpenClawError::Reference { path, provider: provider.to_owned(), why: why.to_owned() }
    }

    /// A profile wins over a key in the settings, and loses to a variable or a reference there.
    fn literal(&self, provider: &str) -> Bound {
        let at = format!("/models/providers/{}/apiKey", escaped(provider));
        let here = |standing| AgentLink {
            what: format!("apiKey of {provider} in {SETTINGS}"),
            file: Some(self.settings_file()),
            slot: Some(AgentSlot::Pointer(at.clone())),
            standing,
            applies: SELF,
            seems: None,
        };
        match self.profiles_of(provider) {
            Ok(ids) => match ids.into_iter().next() {
                Some(id) => {
                    let mut bound = self.of_profile(&id);
                    bound.chain.push(here(Standing::Shadowed));
                    bound
                }
                None => Bound {
                    source: KeySource::Literal,
                    takes: Takes::Itself,
                    file: Some(self.settings_file()),
                    slot: Some(AgentSlot::Pointer(at.clone())),
                    chain: vec![here(Standing::Wins)],
                },
            },
            Err(why) => Bound {
                source: KeySource::Literal,
                takes: Takes::Itself,
                file: Some(self.settings_file()),
                slot: Some(AgentSlot::Pointer(at.clone())),
                chain: vec![self.hidden_profiles(why), here(Standing::Wins)],
            },
        }
    }

    fn hidden_profiles(&self, why: &'static str) -> AgentLink {
        AgentLink {
            what: "a profile in its database".to_owned(),
            file: Some(self.state.join(super::state::STATE)),
            slot: Some(AgentSlot::Row("authProfiles.store".to_owned())),
            standing: Standing::NotVisible(why),
            applies: PASTE,
            seems: Some(
                "a new apiKey in openclaw.json: the reload reports success, and the profile goes on winning",
            ),
        }
    }

    fn of_profile(&self, id: &str) -> Bound {
        let link = AgentLink {
            what: format!("the profile {id}"),
            standing: Standing::Wins,
            ..self.hidden_profiles("")
        };
        Bound {
            source: KeySource::Profile(id.to_owned()),
            takes: Takes::Profile(id.to_owned()),
            file: None,
            slot: None,
            chain: vec![link],
        }
    }

    fn absent(&self, provider: &str) -> Result<Bound, OpenClawError> {
        match self.profiles_of(provider).map(|ids| ids.into_iter().next()) {
            Ok(Some(id)) => Ok(self.of_profile(&id)),
            Ok(None) => Err(self.reference(provider, "that is missing, and no profile is there for it")),
            Err(why) => Err(self
                .reference(provider, &format!("that is missing, and its profiles are not visible: {why}"))),
        }
    }

    /// The environment that it was started with, then `.env`, then `env` of the settings.
    fn variable(
        &self,
        settings: &OpenClawSettings,
        name: &str,
        started_with: Option<&BTreeSet<String>>,
    ) -> Bound {
        let dotenv = self.dotenv();
        let in_dotenv = names_in(&dotenv);
        let in_settings = settings.variables.get(name).map(|under| format!("{under}{}", escaped(name)));
        let mut won = false;
        let mut take = |there: bool| match (there, won) {
            (true, false) => {
                won = true;
                Standing::Wins
            }
            (true, true) => Standing::Shadowed,
            (false, _) => Standing::NotRead,
        };
        let mut chain = vec![AgentLink {
            what: format!("{name} in the environment that the gateway is started with"),
            file: None,
            slot: Some(AgentSlot::Variable(name.to_owned())),
            standing: match started_with {
                Some(names) => take(names.contains(name)),
                None => Standing::NotVisible("the gateway does not run, or its environment is closed"),
            },
            applies: RESTART,
            seems: Some(NO_RELOAD),
        }];
        let own = match &in_dotenv {
            Ok(names) => take(names.contains(name)),
            Err(why) => Standing::NotVisible(why),
        };
        chain.push(AgentLink {
            what: format!("{name} in {}", dotenv.display()),
            file: Some(dotenv.clone()),
            slot: Some(AgentSlot::Variable(name.to_owned())),
            standing: own,
            applies: RESTART,
            seems: Some(NO_RELOAD),
        });
        if let Some(at) = &in_settings {
            chain.push(AgentLink {
                what: format!("{name} under env in {SETTINGS}"),
                file: Some(self.settings_file()),
                slot: Some(AgentSlot::Pointer(at.clone())),
                standing: take(true),
                applies: IN_PLACE,
                seems: Some("openclaw secrets reload: it reports success, and the old key stays"),
            });
        }
        chain.retain(|link| link.standing != Standing::NotRead);
        let winner = chain.iter().find(|link| link.standing == Standing::Wins);
        let takes = match winner {
            Some(link) if link.applies == IN_PLACE => Takes::InPlace,
            Some(_) | None => Takes::Restart,
        };
        Bound {
            source: KeySource::Variable(name.to_owned()),
            takes,
            file: winner.and_then(|link| link.file.clone()),
            slot: winner.and_then(|link| link.slot.clone()),
            chain,
        }
    }

    fn store(&self, name: &str) -> Bound {
        let link = AgentLink {
            what: format!("{name} in its store"),
            file: Some(self.state.join(super::state::STATE)),
            slot: Some(AgentSlot::Row(format!("secret_store_entries/{name}"))),
            standing: Standing::Wins,
            applies: STORE,
            seems: Some("openclaw secrets store set alone"),
        };
        let (source, takes) = (KeySource::Store(name.to_owned()), Takes::Store(name.to_owned()));
        Bound { source, takes, file: None, slot: None, chain: vec![link] }
    }

    fn program(&self, resolver: &str, id: &str) -> Bound {
        let link = AgentLink {
            what: format!("{id} of the program {resolver}"),
            file: None,
            slot: None,
            standing: Standing::Wins,
            applies: RELOAD,
            seems: None,
        };
        Bound { source: KeySource::Program, takes: Takes::Reload, file: None, slot: None, chain: vec![link] }
    }

    fn file(
        &self,
        settings: &OpenClawSettings,
        provider: &str,
        resolver: &str,
        id: &str,
    ) -> Result<Bound, OpenClawError> {
        let home = self.state.parent().unwrap_or(&self.state);
        let path = settings.resolver_path(resolver, home);
        let path =
            path.ok_or_else(|| self.reference(provider, &format!("to `{resolver}`, which names no file")))?;
        let whole = settings.resolvers.get(resolver).and_then(|it| it.mode.as_deref()) == Some("singleValue");
        let slot = if whole { AgentSlot::Whole } else { AgentSlot::Pointer(id.to_owned()) };
        let link = AgentLink {
            what: format!("{resolver} in {}", path.display()),
            file: Some(path.clone()),
            slot: Some(slot.clone()),
            standing: Standing::Wins,
            applies: RELOAD,
            seems: Some("a reload with a warning: it says ok, and the last good key stays"),
        };
        Ok(Bound {
            source: KeySource::File,
            takes: Takes::Reload,
            file: Some(path),
            slot: Some(slot),
            chain: vec![link],
        })
    }
}

/// A name as a part of a JSON pointer. Source: RFC 6901.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The names of the variables in a dotenv file; an absent file has none.
fn names_in(path: &Path) -> Result<BTreeSet<String>, &'static str> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(_) => return Err("it cannot be read"),
    };
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, _) = line.split_once('=')?;
        (!name.starts_with('#')).then(|| name.trim_end().to_owned())
    });
    Ok(names.collect())
}
