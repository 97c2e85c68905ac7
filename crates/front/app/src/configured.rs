//! Finds a secret in the configuration.

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};

use crate::exit::Exit;
use crate::problem::Problem;

/// One secret of the configuration, or a problem with a suggestion.
pub fn secret<'a>(config: &'a Config, name: &str) -> Result<&'a Secret, Problem> {
    config.secret(name).map_err(|help| {
        Problem::new(Code::NameNotFound, "find the secret in the configuration")
            .because("no secret has this name")
            .help(help)
    })
}

/// The only configured secret, or the named one.
pub fn only_secret<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Secret, Problem> {
    let mut all = config.secrets.values();
    match (name, all.next(), all.next()) {
        (Some(name), _, _) => secret(config, name),
        (None, Some(only), None) => Ok(only),
        (None, None, _) => {
            Err(Problem::new(Code::NameNotFound, "find the secret").because("none is configured"))
        }
        (None, Some(_), Some(_)) => {
            let names: Vec<&str> = config.secrets.keys().map(keyroll_config::Name::as_str).collect();
            Err(Problem::new(Code::NameNotFound, "find the secret")
                .because("there are several")
                .help(format!("choose one with --secret: {}", names.join(", "))))
        }
    }
}

/// Refuses a consent that names another secret.
pub fn consent(confirm: Option<&str>, name: &str) -> Result<(), Problem> {
    match confirm {
        Some(given) if given != name => {
            Err(Problem::new(Code::UsageWrong, "accept the consent to revoke the old key")
                .because("--confirm names another secret")
                .help(format!("--confirm={name}"))
                .exits(Exit::Usage))
        }
        Some(_) | None => Ok(()),
    }
}
