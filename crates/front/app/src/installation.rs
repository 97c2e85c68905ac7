//! The configuration, folders and state that one command works on.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use keyroll_config::Config;

use crate::config_file::absolute;
use crate::env;
use crate::handles::{Handles, KeptJournal, once};
use crate::places::{Locations, Places};
use crate::problem::Problem;
use crate::shell_words::quoted;

/// The configuration and state that one command works on.
///
/// Each part is opened once, on first use, and closed when this is dropped.
#[derive(Debug)]
pub struct Installation {
    locations: Locations,
    /// What is open of it, unless it was opened anew.
    handles: Arc<Handles>,
    places: OnceLock<Places>,
    config: OnceLock<Config>,
}

impl Installation {
    /// The installation at these locations; nothing is read or made.
    pub fn new(locations: Locations) -> Self {
        Self { locations, handles: Arc::default(), places: OnceLock::new(), config: OnceLock::new() }
    }

    /// The installation at these locations, with the journal that is kept. What `work` opens of the journal is kept.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_kept<T>(
        locations: Locations,
        journal: &KeptJournal,
        work: impl FnOnce(&Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let installation = Self { handles: journal.handles(), ..Self::new(locations) };
        let done = work(&installation);
        if let Ok(places) = installation.places() {
            journal.keep(places.journal(), &places.handles);
        }
        done
    }

    /// The same installation with nothing opened yet: a failed write stops a journal or a store for good, and must not
    /// stop the work that comes after it.
    ///
    /// # Errors
    /// As [`Self::places`].
    pub(crate) fn opened_anew(&self) -> Result<Self, Problem> {
        let places = OnceLock::from(self.places()?.opened_anew(true));
        Ok(Self { places, ..Self::new(self.locations.clone()) })
    }

    /// The same installation with nothing read or opened yet: this command has written its configuration.
    #[must_use]
    pub fn read_anew(&self) -> Self {
        Self::new(self.locations.clone())
    }

    /// The path of the configuration file.
    pub fn config_path(&self) -> PathBuf {
        let chosen = self.locations.config.clone().or_else(|| env::CONFIG.get().map(PathBuf::from));
        without_parents(chosen.unwrap_or_else(|| PathBuf::from("keyroll.toml")))
    }

    /// The same, absolute where that can be told.
    pub(crate) fn config_file(&self) -> PathBuf {
        let path = self.config_path();
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The configuration, checked whole, as it was when it was first asked for.
    ///
    /// # Errors
    /// It cannot be read, or is refused.
    pub fn config(&self) -> Result<Config, Problem> {
        once(&self.config, || Ok(Config::load(&self.config_path())?)).cloned()
    }

    /// The options that name this installation wherever a command runs.
    ///
    /// # Errors
    /// As [`Self::places`].
    pub fn words(&self) -> Result<Vec<OsString>, Problem> {
        // A link is not resolved, because its target changes with each deployment.
        let (config, places) = (absolute(&self.config_path())?, self.places()?);
        let named = [("--config", config), ("--state", places.state), ("--keys", places.keys)];
        Ok(named.into_iter().flat_map(|(option, path)| [option.into(), path.into_os_string()]).collect())
    }

    /// How the commands of this installation are called in another folder: the folder to be in, and the options that
    /// name what is not at its default place.
    pub fn called(&self) -> Result<(PathBuf, Vec<String>), Problem> {
        let absolute = absolute(&self.config_path())?;
        let folder = absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let elsewhere = absolute.file_name() != Some("keyroll.toml".as_ref());
        Ok((folder, self.options(elsewhere.then_some(&absolute))?))
    }

    /// The alias with which commands about this installation work in every folder; none if no option named it.
    pub fn alias(&self) -> Option<String> {
        let Locations { config, state, keys, .. } = &self.locations;
        if config.is_none() && state.is_none() && keys.is_none() {
            return None;
        }
        let config = absolute(&self.config_path()).ok()?;
        alias_of(&self.options(Some(&config)).ok()?)
    }

    /// The options that name this configuration file, and each folder that is not at its default place.
    fn options(&self, config: Option<&PathBuf>) -> Result<Vec<String>, Problem> {
        let mut words = Vec::new();
        if let Some(config) = config {
            words.extend(["--config".to_owned(), config.display().to_string()]);
        }
        let places = self.places()?;
        if self.locations.state.is_some() || env::STATE.get().is_some() {
            words.extend(["--state".to_owned(), places.state.display().to_string()]);
        }
        if self.locations.keys.is_some() || env::KEYS.get().is_some() {
            words.extend(["--keys".to_owned(), places.keys.display().to_string()]);
        }
        Ok(words)
    }

    /// True if neither an option nor the environment says where the state is.
    pub fn has_no_home(&self) -> bool {
        let named = self.locations.state.is_some() || env::STATE.get().is_some();
        let sealed = self.locations.sealing_key.is_some() || env::SEALING_KEY.get().is_some();
        !named && !sealed && env::HOME.get().is_none()
    }

    /// The folders and files of the installation, with what is open of them.
    ///
    /// # Errors
    /// No folder can be derived, they are not apart, or this user cannot look into the state folder.
    pub fn places(&self) -> Result<Places, Problem> {
        once(&self.places, || {
            let places = Places { handles: self.handles.clone(), ..Places::find(&self.locations)? };
            places.check_visible().map(|()| places)
        })
        .cloned()
    }
}

/// The command of a shell after which `keyroll` means these options too; none without options.
pub(crate) fn alias_of(options: &[String]) -> Option<String> {
    let options: Vec<String> = options.iter().map(|word| quoted(word)).collect();
    (!options.is_empty())
        .then(|| format!("alias keyroll={}", quoted(&format!("keyroll {}", options.join(" ")))))
}

/// The same path without `..`: what is found through it and what is named by it must be called the same.
fn without_parents(path: PathBuf) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        (_, _) => path,
    }
}
