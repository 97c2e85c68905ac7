use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_copy::Pointer;

use super::error::OpenClawError;
use super::home::{DOTENV, OpenClawHome, SETTINGS, STATE, text_of};
use super::settings::{KeyForm, OpenClawSettings};
use crate::{AgentLink, AgentLinkRole, AgentSlot};

/// The source of the key of one model provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key itself, in the settings.
    Literal,
    /// A variable. [`Bound::file`] is its file; `None` = the environment that the gateway was started with.
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

/// What applies a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: the gateway watches its settings, and uses the new key about a second later.
    Itself,
    /// Nothing: the gateway sees the change of `env` and restarts itself within its process. It does not listen for 5
    /// to 15 seconds.
    InPlace,
    /// `secrets reload`.
    Reload,
    /// `secrets store set`, then `secrets reload`.
    Store(String),
    /// `models auth paste-api-key` for this profile.
    Profile(String),
    /// A new process: neither a reload nor a restart within the process reads the variable again.
    Restart,
}

/// A running gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Started {
    /// The names in the environment that it was started with, where they are visible.
    pub names: Option<BTreeSet<String>>,
    /// The folder that it works in, where that is visible.
    pub folder: Option<PathBuf>,
}

/// The source from which a gateway that starts now would take the key of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The source.
    pub source: KeySource,
    /// What applies a new key.
    pub takes: Takes,
    /// The file that holds it, where one is known.
    pub file: Option<PathBuf>,
    /// The place in the file.
    pub slot: Option<AgentSlot>,
    /// All sources, the strongest first.
    pub chain: Vec<AgentLink>,
}

/// The longest file of variables, bytes.
const DOTENV_BYTES_MAX: u64 = 1024 * 1024;

const SELF: &str = "nothing: it is read within about a second";
const IN_PLACE: &str = "nothing: the gateway restarts itself in its process, and is away for 5 to 15 s";
const RELOAD: &str = "openclaw secrets reload, with warningCount 0";
/// What applies a variable that is read only once.
pub const NEW_PROCESS: &str = "a new process: stop the gateway and start it";
const NO_RELOAD: &str =
    "openclaw secrets reload, openclaw gateway restart, SIGUSR2: each reports success, and the old key stays";
/// The variable in which a service that OpenClaw installed lists its own variables.
const MANAGED: &str = "OPENCLAW_SERVICE_MANAGED_ENV_KEYS";

const STORE: &str = "openclaw secrets store set, then openclaw secrets reload";
const PASTE: &str = "openclaw models auth paste-api-key";

impl OpenClawHome {
    /// The source of the key of a provider; `started`: the running gateway, if there is one.
    ///
    /// # Errors
    /// The settings cannot be read, or have no such provider.
    pub fn bound(&self, provider: &str, started: Option<&Started>) -> Result<Bound, OpenClawError> {
        self.bound_by(provider, started, &|provider| self.profiles_of(provider))
    }

    /// As [`Self::bound`], for a caller that has already read the ids of the provider's profiles, in their order.
    ///
    /// # Errors
    /// The settings cannot be read, or have no such provider.
    pub fn bound_by(
        &self,
        provider: &str,
        started: Option<&Started>,
        profiles: &dyn Fn(&str) -> Result<Vec<String>, &'static str>,
    ) -> Result<Bound, OpenClawError> {
        let settings = self.settings()?;
        let Some(form) = settings.providers.get(provider) else {
            let there: Vec<&str> = settings.providers().collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let path = self.settings_file();
            return Err(OpenClawError::NoProvider { path, provider: provider.to_owned(), there });
        };
        match form {
            KeyForm::Literal => Ok(self.literal(provider, self.one_profile(provider, profiles(provider))?)),
            KeyForm::Variable(name) => Ok(self.variable(&settings, name, started)),
            KeyForm::Profile(id) => Ok(self.of_profile(id)),
            KeyForm::Absent => self.absent(provider, self.one_profile(provider, profiles(provider))?),
            KeyForm::Reference { source, resolver, id } => match source.as_str() {
                "env" => Ok(self.variable(&settings, id, started)),
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

    /// The profile of a provider, if it has exactly one. The agents choose among several by themselves, and each
    /// profile may belong to another account.
    fn one_profile(
        &self,
        provider: &str,
        profiles: Result<Vec<String>, &'static str>,
    ) -> Result<Result<Option<String>, &'static str>, OpenClawError> {
        match profiles {
            Ok(ids) if ids.len() > 1 => {
                let (path, provider) = (self.settings_file(), provider.to_owned());
                Err(OpenClawError::SeveralProfiles { path, provider, there: ids.join(", ") })
            }
            other => Ok(other.map(|ids| ids.into_iter().next())),
        }
    }

    /// A profile wins over a key in the settings, and loses to a variable or a reference in the settings.
    fn literal(&self, provider: &str, profile: Result<Option<String>, &'static str>) -> Bound {
        let at = format!("/models/providers/{}/apiKey", Pointer::escaped(provider));
        let here = |role| AgentLink {
            what: format!("apiKey of {provider} in {SETTINGS}"),
            file: Some(self.settings_file()),
            slot: Some(AgentSlot::Pointer(at.clone())),
            role,
            applies: SELF,
            seems: None,
        };
        match profile {
            Ok(Some(id)) => {
                let mut bound = self.of_profile(&id);
                bound.chain.push(here(AgentLinkRole::Shadowed));
                bound
            }
            Ok(None) => Bound {
                source: KeySource::Literal,
                takes: Takes::Itself,
                file: Some(self.settings_file()),
                slot: Some(AgentSlot::Pointer(at.clone())),
                chain: vec![here(AgentLinkRole::Wins)],
            },
            Err(why) => Bound {
                source: KeySource::Literal,
                takes: Takes::Itself,
                file: Some(self.settings_file()),
                slot: Some(AgentSlot::Pointer(at.clone())),
                chain: vec![self.hidden_profiles(why), here(AgentLinkRole::Wins)],
            },
        }
    }

    fn hidden_profiles(&self, why: &'static str) -> AgentLink {
        AgentLink {
            what: "a profile in its database".to_owned(),
            file: Some(self.state.join(STATE)),
            slot: Some(AgentSlot::Row("authProfiles.store".to_owned())),
            role: AgentLinkRole::NotVisible(why),
            applies: PASTE,
            seems: Some(
                "a new apiKey in openclaw.json: the reload reports success, and the profile goes on winning",
            ),
        }
    }

    fn of_profile(&self, id: &str) -> Bound {
        let link = AgentLink {
            what: format!("the profile {id}"),
            role: AgentLinkRole::Wins,
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

    fn absent(
        &self,
        provider: &str,
        profile: Result<Option<String>, &'static str>,
    ) -> Result<Bound, OpenClawError> {
        match profile {
            Ok(Some(id)) => Ok(self.of_profile(&id)),
            Ok(None) => Err(self.reference(provider, "that is missing, and no profile is there for it")),
            Err(why) => Err(self
                .reference(provider, &format!("that is missing, and its profiles are not visible: {why}"))),
        }
    }

    /// The order of a variable: the environment at the start, then `.env` of the working folder, OpenClaw's own `.env`,
    /// and `env` of the settings. Source: docs/help/environment.md of the release.
    fn variable(&self, settings: &OpenClawSettings, name: &str, started: Option<&Started>) -> Bound {
        let slot = Some(AgentSlot::Variable(name.to_owned()));
        let in_file = |path: PathBuf, role| AgentLink {
            what: format!("{name} in {}", path.display()),
            file: Some(path),
            slot: slot.clone(),
            role,
            applies: NEW_PROCESS,
            seems: Some(NO_RELOAD),
        };
        let own = names_in(&self.dotenv());
        let names = started.and_then(|started| started.names.as_ref());
        let installed = names.is_some_and(|names| names.contains(MANAGED));
        let of_start = match names {
            Some(names) if !names.contains(name) => AgentLinkRole::NotRead,
            Some(_) if installed && own.as_ref().is_ok_and(|own| own.contains(name)) => {
                AgentLinkRole::NotVisible("its own service: it may take .env instead")
            }
            Some(_) => AgentLinkRole::Wins,
            None => AgentLinkRole::NotVisible("the gateway does not run, or its environment is closed"),
        };
        let mut chain = vec![AgentLink {
            what: format!("{name} in the environment that the gateway is started with"),
            file: None,
            slot: slot.clone(),
            role: of_start,
            applies: NEW_PROCESS,
            seems: Some(NO_RELOAD),
        }];
        let beside = started.and_then(|started| started.folder.as_ref()).map(|folder| folder.join(DOTENV));
        if let Some(path) = beside.filter(|path| *path != self.dotenv()) {
            let role = of_working_folder(&path, name);
            chain.push(in_file(path, role));
        }
        chain.push(in_file(self.dotenv(), role_of(own, name)));
        if let Some(path) = self.gateway_env() {
            let role = role_of(names_in(&path), name);
            chain.push(in_file(path, role));
        }
        if let Some(under) = settings.variables.get(name) {
            chain.push(AgentLink {
                what: format!("{name} under env in {SETTINGS}"),
                file: Some(self.settings_file()),
                slot: Some(AgentSlot::Pointer(format!("{under}{}", Pointer::escaped(name)))),
                role: AgentLinkRole::Wins,
                applies: IN_PLACE,
                seems: Some("openclaw secrets reload: it reports success, and the old key stays"),
            });
        }
        chain.retain(|link| link.role != AgentLinkRole::NotRead);
        for loser in chain.iter_mut().skip_while(|link| link.role != AgentLinkRole::Wins).skip(1) {
            if loser.role == AgentLinkRole::Wins {
                loser.role = AgentLinkRole::Shadowed;
            }
        }
        let winner = chain.iter().find(|link| link.role == AgentLinkRole::Wins);
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

    /// The file in which an older release stored variables; only an installation in the default state folder reads it.
    fn gateway_env(&self) -> Option<PathBuf> {
        let home = self.state.parent().filter(|_| self.state.ends_with(".openclaw"))?;
        Some(home.join(".config/openclaw/gateway.env"))
    }

    fn store(&self, name: &str) -> Bound {
        let link = AgentLink {
            what: format!("{name} in its store"),
            file: Some(self.state.join(STATE)),
            slot: Some(AgentSlot::Row(format!("secret_store_entries/{name}"))),
            role: AgentLinkRole::Wins,
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
            role: AgentLinkRole::Wins,
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
            role: AgentLinkRole::Wins,
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

/// Whether a file of variables contains a name and therefore could win.
fn role_of(names: Result<BTreeSet<String>, &'static str>, name: &str) -> AgentLinkRole {
    match names {
        Ok(names) if names.contains(name) => AgentLinkRole::Wins,
        Ok(_) => AgentLinkRole::NotRead,
        Err(why) => AgentLinkRole::NotVisible(why),
    }
}

/// The names of the variables in a dotenv file; an absent file has none.
fn names_in(path: &Path) -> Result<BTreeSet<String>, &'static str> {
    let text = match text_of(path, DOTENV_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(_) => return Err("it is no file of variables that can be read"),
    };
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, _) = line.split_once('=')?;
        (!name.starts_with('#')).then(|| name.trim_end().to_owned())
    });
    Ok(names.collect())
}

/// What `.env` of the gateway's working folder contributes. OpenClaw ignores it for names that it knows itself or that
/// end in certain words.
fn of_working_folder(path: &Path, name: &str) -> AgentLinkRole {
    match names_in(path) {
        Ok(names) if names.contains(name) => AgentLinkRole::NotVisible(
            "of the folder that the gateway works in: it is read unless OpenClaw knows the name as a provider's",
        ),
        Ok(_) => AgentLinkRole::NotRead,
        Err(why) => AgentLinkRole::NotVisible(why),
    }
}
