use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use keyroll_secret::SecretBytes;

/// What an address begins with that is a Unix socket.
/// Source: <https://github.com/openbao/openbao/blob/main/api/client.go>, `ParseAddress`.
pub(crate) const SOCKET: &str = "unix://";

/// Where the command line tools keep the token of the last login, below the home folder.
/// Source: <https://developer.hashicorp.com/vault/docs/commands/token-helper>.
const TOKEN_FILE: &str = ".vault-token";

/// Which server is asked, and how keyroll logs in there.
#[derive(Debug, Clone, Default)]
pub struct VaultSettings {
    /// `https://vault.example:8200`; `http` only to this machine; or `unix:///run/vault.sock`.
    pub address: Option<String>,
    /// The namespace of the secret and of the login.
    pub namespace: Option<String>,
    /// A PEM file with the certificate authorities to trust, instead of the machine's own.
    pub ca: Option<PathBuf>,
    /// How keyroll logs in.
    pub login: Option<VaultLogin>,
    /// How long one request may take, milliseconds; 20,000 where nothing is said.
    pub request_ms_max: Option<u64>,
}

/// How keyroll logs in.
#[derive(Debug, Clone)]
pub enum VaultLogin {
    /// A file with a token, which only its owner may read.
    Token(PathBuf),
    /// A token that was in the environment.
    Environment(VaultToken),
    /// AppRole.
    AppRole {
        /// The path of the login below `auth/`, mostly `approle`.
        mount: String,
        /// The id of the role, which is no secret.
        role_id: String,
        /// A file with the secret id, which only its owner may read.
        secret_id: PathBuf,
    },
    /// The Unix socket of an agent or a proxy that logs in by itself (auto-auth).
    Agent(PathBuf),
}

/// A token. It is never printed.
#[derive(Clone)]
pub struct VaultToken(Arc<SecretBytes>);

impl VaultToken {
    /// Takes it over.
    pub fn new(token: SecretBytes) -> Self {
        Self(Arc::new(token))
    }

    pub(crate) fn bytes(&self) -> &SecretBytes {
        &self.0
    }
}

/// No byte of it.
impl fmt::Debug for VaultToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultToken")
    }
}

impl VaultSettings {
    /// Fills in what is missing: `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`; for the login, in this order, the socket
    /// in `VAULT_AGENT_ADDR` (unless an address is configured), `VAULT_TOKEN`, and the file `~/.vault-token`. A variable of OpenBao (`BAO_ADDR` and so on)
    /// comes before that of Vault, also where it is empty.
    /// Source: <https://github.com/openbao/openbao/blob/main/api/env.go>, `ReadBaoVariable`.
    #[must_use]
    pub fn with_environment(self, variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let either = |name: &str| {
            let set = variable(&format!("BAO_{name}")).or_else(|| variable(&format!("VAULT_{name}")));
            set.filter(|value| !value.is_empty())
        };
        let text = |name: &str| either(name).map(|value| value.to_string_lossy().into_owned());
        // An address in keyroll.toml says which server is asked.
        let is_placed = self.address.is_some();
        let agent = || {
            let socket = text("AGENT_ADDR").filter(|_| !is_placed)?;
            socket.strip_prefix(SOCKET).map(|path| VaultLogin::Agent(PathBuf::from(path)))
        };
        let token = || {
            let token = SecretBytes::new(either("TOKEN")?.into_vec());
            Some(VaultLogin::Environment(VaultToken::new(token)))
        };
        let file = || {
            let home = variable("HOME").filter(|home| !home.is_empty())?;
            Some(VaultLogin::Token(PathBuf::from(home).join(TOKEN_FILE)))
        };
        Self {
            address: self.address.or_else(|| text("ADDR")),
            namespace: self.namespace.or_else(|| text("NAMESPACE")),
            ca: self.ca.or_else(|| either("CACERT").map(PathBuf::from)),
            login: self.login.or_else(agent).or_else(token).or_else(file),
            request_ms_max: self.request_ms_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(own: VaultSettings, variables: &[(&str, &str)]) -> VaultSettings {
        own.with_environment(&|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_environment_fills_in_only_what_is_missing() {
        let variables = [
            ("VAULT_ADDR", "https://vault.example:8200"),
            ("VAULT_NAMESPACE", "team-a"),
            ("BAO_NAMESPACE", "team-b"),
            ("VAULT_CACERT", "/etc/ca.pem"),
            ("HOME", "/home/ada"),
        ];
        let filled = with(VaultSettings::default(), &variables);
        assert_eq!(filled.address.as_deref(), Some("https://vault.example:8200"));
        assert_eq!(filled.namespace.as_deref(), Some("team-b"));
        assert_eq!(filled.ca, Some(PathBuf::from("/etc/ca.pem")));
        assert!(matches!(filled.login, Some(VaultLogin::Token(path)) if path.ends_with("ada/.vault-token")));

        let own = VaultSettings {
            address: Some("https://own.example".to_owned()),
            login: Some(VaultLogin::Agent(PathBuf::from("/run/agent.sock"))),
            ..VaultSettings::default()
        };
        let kept = with(own, &[("VAULT_ADDR", "https://vault.example"), ("VAULT_TOKEN", "canary")]);
        assert_eq!(kept.address.as_deref(), Some("https://own.example"));
        assert!(matches!(kept.login, Some(VaultLogin::Agent(_))));
        assert!(with(VaultSettings::default(), &[("BAO_ADDR", ""), ("VAULT_ADDR", "x")]).address.is_none());
    }

    #[test]
    fn a_socket_comes_before_a_token_and_a_token_is_not_printed() {
        let variables = [("VAULT_TOKEN", "canary"), ("HOME", "/home/ada")];
        let filled = with(VaultSettings::default(), &variables);
        assert!(matches!(&filled.login, Some(VaultLogin::Environment(token)) if token.bytes().len() == 6));
        assert!(!format!("{filled:?}").contains("canary"));
        let agent = [("VAULT_TOKEN", "canary"), ("VAULT_AGENT_ADDR", "unix:///run/agent.sock")];
        let filled = with(VaultSettings::default(), &agent);
        assert!(matches!(filled.login, Some(VaultLogin::Agent(path)) if path.ends_with("run/agent.sock")));
    }
}
