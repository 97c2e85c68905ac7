//! The server of Vault or OpenBao, and the login there, of every room that asks it.

use std::net::SocketAddr;

use keyroll_config::{Secret, StoreRef, Vault, VaultLogin};
use keyroll_setup::on_this_machine;
use keyroll_setup::trust::trusted_files;
use keyroll_truth::VaultSettings;

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
    VaultSettings { address, namespace, ca, login, request_ms_max: None }.with_environment(&env::of_vault)
}

/// Where the Vault or OpenBao of a secret accepts connections, if its address is one of this machine.
pub(crate) fn vault_here(secret: &Secret) -> Option<SocketAddr> {
    let is_store = matches!(secret.store, StoreRef::Vault { .. });
    let address = is_store.then(|| vault_settings(&secret.vault).address)??;
    on_this_machine(&host_and_port(&address)?)
}

/// `host:port` of an address, also where the port is the one of its scheme.
fn host_and_port(address: &str) -> Option<String> {
    let (rest, port) = match address.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (address.strip_prefix("http://")?, 80),
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // An IPv6 address has colons of its own, in brackets.
    let named = authority.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    Some(if named { authority.to_owned() } else { format!("{authority}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let cases = [
            ("http://127.0.0.1:8200", Some("127.0.0.1:8200")),
            ("https://[::1]:8200/", Some("[::1]:8200")),
            ("https://[::1]", Some("[::1]:443")),
            ("http://localhost/v1", Some("localhost:80")),
            ("unix:///run/vault.sock", None),
        ];
        for (address, place) in cases {
            assert_eq!(host_and_port(address).as_deref(), place, "{address}");
        }
    }
}
