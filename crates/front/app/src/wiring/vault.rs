//! The server of Vault or OpenBao, and the login there, of every room that asks it.

use keyroll_config::{Vault, VaultLogin};
use keyroll_truth::VaultSettings;

use super::trusted::trusted_files;
use crate::env;
use crate::problem::Problem;

/// How Vault or OpenBao is reached: as configured, and what is missing there from the environment. Whoever listens at the
/// socket, or signs the certificate, gets the token and the values.
///
/// # Errors
/// Another user can change the socket or the file of authorities.
pub(super) fn trusted_vault(vault: &Vault) -> Result<VaultSettings, Problem> {
    let settings = vault_settings(vault);
    let socket = match &settings.login {
        Some(keyroll_truth::VaultLogin::Agent(socket)) => Some(socket.clone()),
        _ => None,
    };
    trusted_files(settings.ca.clone().into_iter().chain(socket).collect())?;
    Ok(settings)
}

fn vault_settings(vault: &Vault) -> VaultSettings {
    let login = vault.login.as_ref().map(|login| match login {
        VaultLogin::Token(file) => keyroll_truth::VaultLogin::Token(file.clone()),
        VaultLogin::AppRole { mount, role_id, secret_id } => keyroll_truth::VaultLogin::AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: secret_id.clone(),
        },
        VaultLogin::Agent(socket) => keyroll_truth::VaultLogin::Agent(socket.clone()),
    });
    let Vault { address, namespace, ca, .. } = vault.clone();
    VaultSettings { address, namespace, ca, login }.with_environment(&env::of_vault)
}
