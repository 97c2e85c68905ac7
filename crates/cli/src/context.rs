use std::path::PathBuf;

use keyroll_config::{Config, Secret};

use crate::args::Globals;
use crate::env;
use crate::places::Places;
use crate::problem::Problem;
use crate::ui::{Look, Ui};

/// What every command is given.
pub(crate) struct Context {
    /// The one place that prints and asks.
    pub(crate) ui: Ui,
    /// The flags of every command.
    pub(crate) globals: Globals,
}

impl Context {
    pub(crate) fn open(globals: Globals) -> Result<Self, Problem> {
        let look = Look::choose(globals.json, globals.plain, globals.no_input);
        Ok(Self { ui: Ui::new(look), globals })
    }

    /// The configuration file: `--config`, `KEYROLL_CONFIG`, or `keyroll.toml` here.
    pub(crate) fn config_path(&self) -> PathBuf {
        let chosen = self.globals.config.clone().or_else(|| env::CONFIG.get().map(PathBuf::from));
        chosen.unwrap_or_else(|| PathBuf::from("keyroll.toml"))
    }

    /// The configuration, checked whole.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        Ok(Config::load(&self.config_path())?)
    }

    /// Where keyroll keeps what it knows.
    pub(crate) fn places(&self) -> Result<Places, Problem> {
        Places::find(&self.globals)
    }
}

/// One secret of the configuration, or a problem with a suggestion.
pub(crate) fn secret<'a>(config: &'a Config, name: &str) -> Result<&'a Secret, Problem> {
    config.secret(name).map_err(|help| {
        Problem::new("K0805", "find the secret in the configuration")
            .because("no secret has this name")
            .help(help)
    })
}

/// The only secret of the configuration, or the one that is named.
pub(crate) fn only_secret<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Secret, Problem> {
    let mut all = config.secrets.values();
    match (name, all.next(), all.next()) {
        (Some(name), _, _) => secret(config, name),
        (None, Some(only), None) => Ok(only),
        (None, None, _) => Err(Problem::new("K0805", "find the secret").because("none is configured")),
        (None, Some(_), Some(_)) => {
            let names: Vec<&str> = config.secrets.keys().map(keyroll_config::Name::as_str).collect();
            Err(Problem::new("K0805", "find the secret")
                .because("there are several")
                .help(format!("say which with --secret: {}", names.join(", "))))
        }
    }
}

/// The longest id of a plan or a rotation, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Refuses what cannot be the id of a plan or a rotation, without repeating it.
pub(crate) fn rotation_id(id: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    match (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain) {
        true => Ok(()),
        false => Err(Problem::new("K0807", "find the rotation")
            .because("an id has letters, digits and - only")
            .help("keyroll status shows the ids of all that is open")),
    }
}

/// Refuses a consent that names another secret than the one it is for.
pub(crate) fn consent(confirm: Option<&str>, name: &str) -> Result<(), Problem> {
    match confirm {
        Some(given) if given != name => Err(Problem::new("K0808", "take the consent to end the old key")
            .because("--confirm names another secret")
            .help(format!("--confirm={name}"))),
        Some(_) | None => Ok(()),
    }
}
