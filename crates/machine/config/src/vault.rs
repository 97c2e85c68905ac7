use std::path::{Path, PathBuf};

use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::path::resolve;
use crate::url::read_url;
use crate::vault_shape::{AppRoleShape, VaultShape};
use crate::{Kind, Reference};

/// The longest path of a unix socket, in bytes: `sun_path` of unix(7) without its closing NUL.
const SOCKET_BYTES_MAX: usize = 107;
/// The longest other text, bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Where AppRole is mounted, unless another path is named.
const APPROLE: &str = "approle";

/// How Vault or OpenBao is reached. What is not given comes from the environment, as for its own command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vault {
    /// Its address.
    pub address: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The certificates of its authority, absolute.
    pub ca: Option<PathBuf>,
    /// How keyroll logs in.
    pub login: Option<VaultLogin>,
}

/// How keyroll logs in at Vault or OpenBao.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultLogin {
    /// By a token in this file, absolute.
    Token(PathBuf),
    /// By the auth method AppRole.
    AppRole {
        /// Where it is mounted.
        mount: String,
        /// The id of the role.
        role_id: String,
        /// The file of the secret id, absolute.
        secret_id: PathBuf,
    },
    /// By an agent that listens at this unix socket, absolute, and logs in itself.
    Agent(PathBuf),
}

impl Vault {
    pub(crate) fn build(shape: Option<&At<VaultShape>>, folder: &Path, all: &mut Mistakes) -> Read<Self> {
        let Some(shape) = shape else { return Some(Self::default()) };
        let keys = &shape.value;
        let address = all.note(read_url("vault.address", keys.address.as_ref(), &[]));
        let ca = all.note(keys.ca.as_ref().map(|text| resolve(folder, "vault.ca", text)).transpose());
        let namespace = keys.namespace.as_ref().map(|text| plain("vault.namespace", text));
        let namespace = all.note(namespace.transpose());
        let login = read_login(shape, folder, all);
        let address = address?;
        Some(Self {
            address: keys.address.as_ref().filter(|_| address.is_some()).map(|text| text.value.clone()),
            namespace: namespace?,
            ca: ca?,
            login: login?,
        })
    }
}

/// The login, if the table names one.
fn read_login(shape: &At<VaultShape>, folder: &Path, all: &mut Mistakes) -> Read<Option<VaultLogin>> {
    let keys = &shape.value;
    let token = keys.token.as_ref().map(|text| {
        Reference::read(folder, "vault.token", text).map(|Reference::File(path)| VaultLogin::Token(path))
    });
    let approle = keys.approle.as_ref().map(|approle| read_approle(&approle.value, folder));
    let agent = keys.agent.as_ref().map(|text| read_agent(text, folder));
    let mut logins = all.note_all([token, approle, agent].into_iter().flatten())?;
    if logins.len() > 1 {
        let why = "`vault` has several of `token`, `approle` and `agent`";
        all.push(Mistake::new(Kind::BadCombination, why).at(&shape.span).help("keep one of them"));
        return None;
    }
    Some(logins.pop())
}

fn read_approle(approle: &AppRoleShape, folder: &Path) -> Result<VaultLogin, Mistake> {
    let Reference::File(secret_id) = Reference::read(folder, "vault.approle.secret_id", &approle.secret_id)?;
    let mount = approle.mount.as_ref().map(|text| plain("vault.approle.mount", text)).transpose()?;
    let mount = mount.unwrap_or_else(|| APPROLE.to_owned());
    let role_id = plain("vault.approle.role_id", &approle.role_id)?;
    Ok(VaultLogin::AppRole { mount, role_id, secret_id })
}

fn read_agent(text: &At<String>, folder: &Path) -> Result<VaultLogin, Mistake> {
    let path = resolve(folder, "vault.agent", text)?;
    if path.as_os_str().len() > SOCKET_BYTES_MAX {
        let why =
            format!("`vault.agent` is longer than the path of a socket can be, {SOCKET_BYTES_MAX} bytes");
        return Err(Mistake::new(Kind::BadPath, why).at(&text.span));
    }
    Ok(VaultLogin::Agent(path))
}

fn plain(key: &str, text: &At<String>) -> Result<String, Mistake> {
    let value = text.value.as_str();
    let fits = !value.is_empty()
        && value.len() <= TEXT_BYTES_MAX
        && !value.chars().any(|one| one.is_control() || one.is_whitespace());
    if fits {
        return Ok(value.to_owned());
    }
    let why = format!("`{key}` must have 1 to {TEXT_BYTES_MAX} bytes without spaces");
    Err(Mistake::new(Kind::WrongForm, why).at(&text.span))
}
